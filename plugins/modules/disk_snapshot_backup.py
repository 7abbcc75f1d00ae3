#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_snapshot_backup
short_description: Back up the disks of an Azure VM into a repository
version_added: 0.1.0
description:
  - Backs up a virtual machine, its configuration and its disks block by block, into a repository of
    your own.
  - The disks are read from snapshots or from a restore point that the module takes. A V(full) backup
    reads what was ever written, an V(incremental) one what changed since the last backup, and a
    V(differential) one what changed since the last full one.
  - Each backup holds all of each disk. Restoring it needs no other backup, and no snapshot.
  - What is in the repository already is not stored again, whichever machine it came from.
  - The module needs the repository, which M(vmguard.azure.backup_repository) creates.
author:
  - vmguard contributors (@vmguard)
attributes:
  check_mode:
    details:
      - The levels are foretold, the numbers of bytes are not.
      - Where there is no repository yet, an empty one is taken for granted, with a warning.
  idempotent:
    support: partial
    details:
      - With O(max_age) a second run changes nothing. Without it each run makes another backup.
options:
  resource_group:
    description: Resource group of the VM.
    type: str
    required: true
  vm:
    description: Name of the VM.
    type: str
    required: true
  level:
    description:
      - How much is read of the disks.
      - V(auto) reads changes since the last backup, or all of a disk of which there is no backup or
        whose last full one is older than O(full_every).
      - V(full) reads all, V(incremental) the changes since the last backup, V(differential) the
        changes since the last full one.
      - A disk whose changes cannot be told, or not be trusted, is read in full, with a warning and the
        reason in RV(disks[].fallback).
    type: str
    choices: [auto, full, incremental, differential]
    default: auto
  source:
    description:
      - What the disks are read from.
      - V(snapshot) takes incremental snapshots of all disks, begun together. Each disk is
        crash-consistent. Those of a running machine with several disks are of moments a few seconds
        apart, and together they are no state that a crash leaves.
      - V(restore_point) takes one restore point. All disks are of one moment then, and the guest can
        take part.
    type: str
    choices: [snapshot, restore_point]
    default: snapshot
  exclude_disks:
    description:
      - Disks to leave out, each by its name, its LUN, its id, or V(os) for the OS disk.
      - A disk that the VM does not have is a failure that lists those that it has.
    type: list
    elements: str
    default: []
  full_every:
    description:
      - With O(level=auto), a disk whose last full backup is older than this is read in full.
      - Seconds, or a number with V(s), V(m), V(h), V(d) or V(w).
    type: str
    default: 30d
  max_age:
    description:
      - A backup in the repository that was begun less than this ago is enough, and none is made then, if
        it holds the same disks, was read from the same O(source) with the same O(consistency_mode), is
        as consistent as O(require_consistency) demands, and read as much as O(level) does.
        A full backup is enough for every level, a differential one for all but V(full).
      - Seconds, or a number with V(s), V(m), V(h), V(d) or V(w), as in V(4h).
    type: str
  keep_base_snapshots:
    description:
      - Which of the snapshots or restore points that backups of the VM have made stay in Azure, after
        this one is in the repository.
      - V(needed) keeps those that the next incremental and the next differential backup are computed
        against, also of disks of the VM that O(exclude_disks) leaves out this time. V(all) keeps all, and
        V(none) keeps none, so that the next backup is a full one.
    type: str
    choices: [needed, all, none]
    default: needed
  snapshot_resource_group:
    description: Resource group of the snapshots. By default O(resource_group).
    type: str
  tags:
    description:
      - Tags of the snapshots, beside those of vmguard, and of a collection that is made. Names that
        begin with V(vmguard-) are refused.
    type: dict
    default: {}
  collection:
    description:
      - With O(source=restore_point), the collection of the restore point, which is made if it does
        not exist.
      - By default V(<vm>-restore-points).
    type: str
  consistency_mode:
    description:
      - With O(source=restore_point), the consistency to ask for.
      - V(application) lets the guest prepare, V(crash) does not involve it. By default Azure decides,
        which is V(application).
    type: str
    choices: [application, crash]
  require_consistency:
    description:
      - Fail if less than this was achieved; nothing is backed up then.
      - With O(source=snapshot) it can only be V(crash). A running VM with several disks is refused then
        before anything is done, as it takes O(source=restore_point) to have them of one moment.
    type: str
    choices: [application, filesystem, crash]
  bandwidth_limit:
    description: How many MiB are read per second at most, of all disks together. By default there is no limit.
    type: float
  parallel_transfers:
    description: How many requests for data are under way at once, 1 to 64.
    type: int
    default: 8
  parallel_disks:
    description: How many disks are read at once, 1 to 64.
    type: int
    default: 4
  private_link:
    description:
      - Whether disks that can be exported through a private endpoint only are read nevertheless.
      - The machine that runs the task has to reach that endpoint.
    type: bool
    default: false
  wait_timeout:
    description:
      - How long to wait for operations of Azure, such as taking the snapshots, in seconds, 1 at least.
      - Reading does not count. A disk that Azure throttles is given up when it refuses all for so long.
    type: int
    default: 1800
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.repository
  - vmguard.azure.attributes
  - vmguard.azure.attributes.action_group
notes:
  - Backups of different VMs into one repository can run at the same time. A second one of the same VM
    is refused while the first runs.
  - A run that was killed leaves nothing that counts. The next one of the same VM ends its access to
    disks, deletes its snapshots, and finds what it stored.
  - Azure fills the snapshots of Premium SSD v2 and Ultra disks for hours. When O(wait_timeout) is over
    before, they are kept, and the next run of the same task within two days goes on with them.
  - Disks with the C(dataAccessAuthMode) C(AzureActiveDirectory) take the role Data Operator for Managed Disks.
seealso:
  - module: vmguard.azure.backup_repository
  - module: vmguard.azure.backup_info
  - module: vmguard.azure.backup_verify
  - module: vmguard.azure.vm_restore
"""

EXAMPLES = r"""
- name: Back up a VM, in full once a month and otherwise what changed
  vmguard.azure.disk_snapshot_backup:
    resource_group: shop
    vm: web01
    repository:
      type: azure_blob
      account_url: https://contosobackups.blob.core.windows.net
      container: vm-backups
      passphrase: "{{ vault_backup_passphrase }}"
    max_age: 12h

- name: Back up all disks of one moment, without the scratch disk
  vmguard.azure.disk_snapshot_backup:
    resource_group: shop
    vm: db01
    repository:
      type: folder
      path: /srv/backups/shop
    source: restore_point
    require_consistency: filesystem
    exclude_disks: [5]
"""

RETURN = r"""
backup_id:
  description: Id of the backup, which may be one that was there. V(null) in check mode.
  returned: success
  type: str
  sample: 20260901t100000z-1f0c93ab
repository_id:
  description: Unique id of the repository.
  returned: success
  type: str
  sample: 5f0c3a94c2f24b1f8f3c5b7a6d1e9b20
requested_level:
  description: What was asked for in O(level).
  returned: success
  type: str
  sample: auto
vm:
  description: The virtual machine. What is in it is said in M(vmguard.azure.backup_info).
  returned: success
  type: dict
  sample:
    id: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/virtualMachines/web01
    name: web01
    resource_group: shop
    subscription_id: 00000000-0000-4000-8000-000000000001
    location: westeurope
    vm_id: 2e18d9e9-c5bf-4114-bd5c-0100270c062f
level:
  description:
    - How much was read; V(full), V(incremental) or V(differential), and V(mixed) if not the same of
      all disks.
    - Each backup holds all of each disk, whatever its level.
  returned: success
  type: str
  sample: incremental
started:
  description: When it was begun, in UTC. V(null) in check mode.
  returned: success
  type: str
  sample: "2026-09-01T10:00:00+00:00"
finished:
  description: When it was finished, in UTC. V(null) in check mode.
  returned: success
  type: str
  sample: "2026-09-01T10:00:42+00:00"
seconds:
  description: How long it took. V(null) in check mode.
  returned: success
  type: float
  sample: 42.0
source:
  description:
    - What the disks were read from.
    - C(consistency) is what all disks together are. V(CrashConsistentPerDisk) says that each disk
      is crash-consistent, and that they are of moments a few seconds apart (C(same_moment) is
      V(false)).
  returned: success
  type: dict
  sample:
    kind: snapshot
    restore_point: null
    consistency: CrashConsistentPerDisk
    requested_consistency: null
    same_moment: false
disks:
  description:
    - The disks, the OS disk first, then by LUN.
    - M(vmguard.azure.backup_info) says what else is in it.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The disk's name.
      type: str
    role:
      description: V(os), or V(lun0) and so on.
      type: str
    lun:
      description: Where it is attached, V(null) for the OS disk.
      type: int
    size_bytes:
      description: Its size.
      type: int
    level:
      description: How much was read; V(full), V(incremental) or V(differential).
      type: str
    requested_level:
      description: What was asked for.
      type: str
    fallback:
      description: Why it was read in full although that was not asked for, V(null) otherwise.
      type: str
    base_backup:
      description: Id of the backup that changes were read since, V(null) for V(full).
      type: str
    full_backup:
      description: Id of the last backup in which the disk was read in full.
      type: str
    source_disk_id:
      description: The disk's id.
      type: str
    unique_id:
      description: The disk's unique id, which another disk of the same name does not have.
      type: str
    snapshot_id:
      description: Id of the snapshot or disk restore point that was read. It may be gone.
      type: str
    seconds:
      description: How long reading it took.
      type: float
    bytes:
      description: How much of it was read and stored.
      type: dict
  sample:
    - name: web01-os
      role: os
      lun: null
      size_bytes: 68719476736
      level: incremental
      requested_level: auto
      fallback: null
      base_backup: 20260831t100000z-7c44d01e
      full_backup: 20260825t100000z-0a9b3f55
      source_disk_id: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/disks/web01-os
      unique_id: 9ce39145-7617-4cc3-9b1c-1de191223533
      snapshot_id: >-
        /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/snapshots/web01-os-20260901t100000z-1f0c93ab
      seconds: 31.7
      bytes:
        allocated: 12884901888
        changed: 209715200
        cleared: 1048576
        read: 226492416
        audited: 16777216
        new: 104857600
        stored: 52428800
      sku: Premium_LRS
      size_gb: 64
      location: westeurope
      zones: []
      os_type: Linux
      hyper_v_generation: V2
      caching: ReadWrite
      write_accelerator: false
      sector_size: 512
      encryption: {type: EncryptionAtRestWithPlatformKey}
      security_profile: {}
      tags: {tier: web}
stored_bytes:
  description: How many bytes this run added to the repository as data of disks.
  returned: success
  type: int
  sample: 54525952
deleted_snapshots:
  description: Ids of the snapshots and restore points that were deleted because no later backup needs them.
  returned: success
  type: list
  elements: str
  sample:
    - /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/snapshots/web01-os-20260831t100000z-7c44d01e
ready_to_use:
  description: Whether it can be restored from.
  returned: success
  type: bool
  sample: true
conditions:
  description: Where it stands. V(Progressing), V(Ready) and V(Failure); exactly one has the status V(True).
  returned: success
  type: list
  elements: dict
  sample:
    - type: Ready
      status: "True"
      reason: Committed
      message: It can be restored from.
      last_transition_time: "2026-09-01T10:00:42+00:00"
indications:
  description:
    - How it was taken. V(Online) if the machine was running, V(GuestAgent) or V(NoGuestAgent), and
      what was achieved.
  returned: success
  type: list
  elements: str
  sample: [Online, NoGuestAgent, CrashConsistentPerDisk]
included_disks:
  description: The disks that can be restored, the OS disk first, then by LUN.
  returned: success
  type: list
  elements: dict
  sample:
    - id: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/disks/web01-os
      name: web01-os
      lun: null
      role: os
      size_gb: 64
      sku: Premium_LRS
      caching: ReadWrite
      write_accelerator: false
excluded_disks:
  description: The disks of the VM that are not in the backup.
  returned: success
  type: list
  elements: dict
  sample:
    - id: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/disks/web01-scratch
      name: web01-scratch
      reason: ExcludedByRequest
      message: It was left out on request.
failure_deadline:
  description: Always V(null). A backup is made as a whole or not at all.
  returned: success
  type: str
  sample: null
"""

from typing import Any

from ..module_utils._backup import result
from ..module_utils._backup.engine import Backup
from ..module_utils._backup.request import LEVELS, RESTORE_POINT, SNAPSHOT, BackupRequest
from ..module_utils._duration import parse_duration
from ..module_utils._module import Task, run_module
from ..module_utils._repository.admin import foretold
from ..module_utils._repository.repository import Repository
from ..module_utils._spec import REPOSITORY_SPEC

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "resource_group": {"type": "str", "required": True},
    "vm": {"type": "str", "required": True},
    "level": {"type": "str", "choices": list(LEVELS), "default": "auto"},
    "source": {"type": "str", "choices": [SNAPSHOT, RESTORE_POINT], "default": SNAPSHOT},
    "exclude_disks": {"type": "list", "elements": "str", "default": []},
    "full_every": {"type": "str", "default": "30d"},
    "max_age": {"type": "str"},
    "keep_base_snapshots": {
        "type": "str",
        "choices": ["needed", "all", "none"],
        "default": "needed",
    },
    "snapshot_resource_group": {"type": "str"},
    "tags": {"type": "dict", "default": {}},
    "collection": {"type": "str"},
    "consistency_mode": {"type": "str", "choices": ["application", "crash"]},
    "require_consistency": {"type": "str", "choices": ["application", "filesystem", "crash"]},
    "bandwidth_limit": {"type": "float"},
    "parallel_transfers": {"type": "int", "default": 8},
    "parallel_disks": {"type": "int", "default": 4},
    "private_link": {"type": "bool", "default": False},
    "wait_timeout": {"type": "int", "default": 1800},
    **REPOSITORY_SPEC,
}
_MIB = 1 << 20


def request_of(params: dict[str, Any]) -> BackupRequest:
    """The options as the engine takes them."""
    limit = params["bandwidth_limit"]
    request = BackupRequest(
        group=params["resource_group"],
        vm=params["vm"],
        level=params["level"],
        source=params["source"],
        exclude_disks=params["exclude_disks"],
        full_every=parse_duration(params["full_every"], "full_every"),
        max_age=parse_duration(params["max_age"], "max_age"),
        keep=params["keep_base_snapshots"],
        snapshot_group=params["snapshot_resource_group"],
        collection=params["collection"],
        consistency_mode=params["consistency_mode"],
        require_consistency=params["require_consistency"],
        bandwidth=None if limit is None else limit * _MIB,
        workers=params["parallel_transfers"],
        disks_at_once=params["parallel_disks"],
        private_link=params["private_link"],
        tags={str(name): str(value) for name, value in params["tags"].items()},
    )
    request.check()
    return request


def open_repository(task: Task) -> Repository:
    """The repository; in check mode, an empty one where an earlier task would have created it."""
    empty = foretold(task.store) if task.check_mode else None
    if empty is None:
        return task.repository()
    task.warn(
        f"There is no repository in {task.store.description} yet; it was taken for granted that"
        " backup_repository creates it."
    )
    return empty


def act(task: Task) -> dict[str, Any]:
    request = request_of(task.params)
    repository = open_repository(task)
    outcome = Backup(task.arm, repository, request, task.clock, task.write).run()
    for warning in result.warnings_of(outcome, request):
        task.warn(warning)
    shaped = result.of(outcome, repository, request, task.arm.subscription_id)
    task.diff(result.summary(outcome.before), result.summary(shaped))
    return shaped


def main() -> None:
    run_module(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
