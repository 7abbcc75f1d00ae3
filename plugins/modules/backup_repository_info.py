#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_repository_info
short_description: Describe a repository of image backups
version_added: 0.1.0
description:
  - Says what a repository of image backups holds, of which virtual machines, how large it is, and who
    is working on it.
  - With a repository in a folder, or a key or signature of its storage account, it needs no login to
    Azure.
author:
  - vmguard contributors (@vmguard)
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.repository
  - vmguard.azure.query
  - vmguard.azure.attributes.info
  - vmguard.azure.attributes.action_group
seealso:
  - module: vmguard.azure.backup_repository
  - module: vmguard.azure.backup_info
  - module: vmguard.azure.backup_verify
"""

EXAMPLES = r"""
- name: See how large a repository is
  vmguard.azure.backup_repository_info:
    repository:
      type: folder
      path: /srv/backups/shop
    query: totals.bytes

- name: Find the machines that were not backed up since yesterday
  vmguard.azure.backup_repository_info:
    repository:
      type: azure_blob
      account_url: https://contosobackups.blob.core.windows.net
      container: vm-backups
      passphrase: "{{ vault_backup_passphrase }}"
    query: "vms[?last < '{{ yesterday }}'].name"
"""

RETURN = r"""
repository:
  description: The repository.
  returned: success
  type: dict
  contains:
    id:
      description: Its unique id.
      type: str
      sample: 5f0c3a94c2f24b1f8f3c5b7a6d1e9b20
    location:
      description: Where it is.
      type: str
      sample: container vm-backups (prefix shop/) of storage account contosobackups
    created:
      description: When it was created, in UTC.
      type: str
      sample: "2026-09-01T10:00:00+00:00"
    encrypted:
      description: Whether it has a passphrase.
      type: bool
      sample: true
    chunk_size:
      description: The size of its chunks.
      type: str
      sample: 64KiB
    chunk_size_bytes:
      description: The same in bytes.
      type: int
      sample: 65536
    format_version:
      description: The version of its format.
      type: int
      sample: 1
totals:
  description: How much there is. What lies in the same place and is not the repository's does not count.
  returned: success
  type: dict
  contains:
    objects:
      description: How many files or blobs.
      type: int
    bytes:
      description: How many bytes these have.
      type: int
    packs:
      description: How many of the objects hold data of disks.
      type: int
    pack_bytes:
      description: How many bytes these have.
      type: int
    chunk_index_bytes:
      description: How many bytes the index of the data has.
      type: int
    backups:
      description: How many backups, with those that cannot be read.
      type: int
    vms:
      description: How many virtual machines these are of.
      type: int
  sample:
    objects: 214
    bytes: 3221225472
    packs: 190
    pack_bytes: 3219128320
    chunk_index_bytes: 1048576
    backups: 14
    vms: 2
vms:
  description: The virtual machines, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The VM's name.
      type: str
    id:
      description: Its id.
      type: str
    resource_group:
      description: Its resource group.
      type: str
    backups:
      description: How many backups of it can be read.
      type: int
    first:
      description: When the oldest of them was begun, in UTC.
      type: str
    last:
      description: When the newest of them was begun, in UTC.
      type: str
  sample:
    - name: web01
      id: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/virtualMachines/web01
      resource_group: shop
      backups: 7
      first: "2026-09-01T10:00:00+00:00"
      last: "2026-09-07T10:00:00+00:00"
leases:
  description: Who is working on the repository, and the leases of runs that were killed.
  returned: success
  type: list
  elements: dict
  contains:
    subject:
      description: What it is for.
      type: str
    run:
      description: The id of the backup that is being made.
      type: str
    host:
      description: The machine on which the task runs.
      type: str
    since:
      description: When it began, in UTC.
      type: str
    until:
      description: When it ends unless it is renewed, in UTC.
      type: str
    live:
      description: Whether it counts. That of a run that was killed does not.
      type: bool
  sample:
    - subject: the backup of web01
      run: 20260907t100000z-1f0c93ab
      host: controller
      since: "2026-09-07T10:00:00+00:00"
      until: "2026-09-07T10:07:20+00:00"
      live: true
damaged:
  description:
    - The manifests of backups and the leases that cannot be read. They are no failure.
    - M(vmguard.azure.backup_verify) looks at everything.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The name of the object.
      type: str
    problem:
      description: What is wrong, as a sentence.
      type: str
  sample: []
query_result:
  description: What O(query) yields.
  returned: when O(query) is set
  type: raw
  sample: 3221225472
"""

from typing import Any

from ..module_utils._image import report
from ..module_utils._module import Task, run_module
from ..module_utils._query import apply_query
from ..module_utils._repository import admin
from ..module_utils._spec import QUERY_SPEC, REPOSITORY_SPEC

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {**REPOSITORY_SPEC, **QUERY_SPEC}


def describe(task: Task) -> dict[str, Any]:
    repository = task.repository()
    result = {
        "repository": admin.facts(repository.store, repository.settings),
        **report.contents(repository, task.clock.now()),
    }
    return apply_query(task.params["query"], result)


def main() -> None:
    run_module(describe, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
