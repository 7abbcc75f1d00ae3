"""One backup in a process of its own, to be killed: arguments are folder, group, machine, options."""

from __future__ import annotations

import json
import os
import sys

from ansible_collections.vmguard.azure.plugins.module_utils._arm.client import ArmClient
from ansible_collections.vmguard.azure.plugins.module_utils._backup.engine import Backup
from ansible_collections.vmguard.azure.plugins.module_utils._backup.request import BackupRequest
from ansible_collections.vmguard.azure.plugins.module_utils._clock import SystemClock
from ansible_collections.vmguard.azure.plugins.module_utils._login.login import resolve_login
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore


def main() -> None:
    folder, group, vm, options = sys.argv[1:]
    clock = SystemClock()
    arm = ArmClient(resolve_login({}, os.environ), clock=clock, wait_timeout=120)
    repository = Repository.open(FolderStore(folder), None)
    request = BackupRequest(group=group, vm=vm, **json.loads(options))
    outcome = Backup(arm, repository, request, clock, lambda act, _predicted=None: act()).run()
    sys.stdout.write(json.dumps({"id": outcome.backup.id, "warnings": outcome.warnings}))


if __name__ == "__main__":
    main()
