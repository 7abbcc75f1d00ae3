#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List image backups
version_added: 0.1.0
description:
  - Lists the image backups in a repository, with the disks in them and what it took to make them.
  - It reads the repository alone. With one in a folder, or a key or signature of its storage account, it
    needs no login to Azure, and the virtual machines need not exist any more.
  - A backup whose description cannot be read is no failure, but named, with a warning.
author:
  - vmguard contributors (@vmguard)
options:
  vm:
    description:
      - List the backups of this VM only, by its name or id.
      - One that has no backups is no failure, the list is empty then.
    type: str
  resource_group:
    description: List the backups of VMs of this resource group only.
    type: str
  backup:
    description: Describe this backup, by its id. It has to exist.
    type: str
  after:
    description:
      - List backups that were begun at this time or later.
      - An ISO 8601 time, in UTC if it names no other offset, as in V(2026-09-01T10:00:00Z).
    type: str
  before:
    description:
      - List backups that were begun earlier than this time.
      - An ISO 8601 time, in UTC if it names no other offset.
    type: str
  configuration:
    description:
      - Return also the configuration of the VM, its disks and its network interfaces, as Azure
        described them then.
    type: bool
    default: false
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.repository
  - vmguard.azure.query
  - vmguard.azure.attributes.info
  - vmguard.azure.attributes.action_group
seealso:
  - module: vmguard.azure.disk_snapshot_backup
  - module: vmguard.azure.backup_verify
  - module: vmguard.azure.vm_restore
"""

EXAMPLES = r"""
- name: List the backups of a VM
  vmguard.azure.backup_info:
    repository: &shop
      type: folder
      path: /srv/backups/shop
    vm: web01

- name: Find the last one before something went wrong
  vmguard.azure.backup_info:
    repository: *shop
    vm: web01
    before: "2026-09-01T10:00:00Z"
    query: backups[0].id
  register: last_good

- name: Read what the VM was like
  vmguard.azure.backup_info:
    repository: *shop
    backup: "{{ last_good.query_result }}"
    configuration: true
"""

RETURN = r"""
backups:
  description: The backups, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the backup.
      type: str
      sample: 20260901t100000z-1f0c93ab
    vm:
      description: The virtual machine, as it was then.
      type: dict
      contains:
        id:
          description: Its id.
          type: str
        name:
          description: Its name.
          type: str
        resource_group:
          description: Its resource group.
          type: str
        subscription_id:
          description: Its subscription.
          type: str
        location:
          description: Its region.
          type: str
        vm_id:
          description: Its unique id, which another VM of the same name does not have.
          type: str
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
      type: str
      sample: incremental
    started:
      description: When it was begun, in UTC.
      type: str
      sample: "2026-09-01T10:00:00+00:00"
    finished:
      description: When it was finished, in UTC.
      type: str
      sample: "2026-09-01T10:00:42+00:00"
    seconds:
      description: How long it took.
      type: float
      sample: 42.0
    source:
      description: What the disks were read from.
      type: dict
      contains:
        kind:
          description: V(snapshot) or V(restore_point).
          type: str
        restore_point:
          description: Id of the restore point, V(null) for snapshots.
          type: str
        consistency:
          description:
            - What all disks together are; V(ApplicationConsistent), V(FileSystemConsistent),
              V(CrashConsistent), or V(CrashConsistentPerDisk) where each disk is crash-consistent and
              they are of different moments.
          type: str
        requested_consistency:
          description: What was asked for, V(null) if nothing was.
          type: str
        same_moment:
          description: Whether all disks are of one moment, and not of moments a few seconds apart.
          type: bool
      sample:
        kind: snapshot
        restore_point: null
        consistency: CrashConsistentPerDisk
        requested_consistency: null
        same_moment: false
    disks:
      description: The disks, the OS disk first, then by LUN.
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
          contains:
            allocated:
              description: Bytes of the disk that were ever written, as far as Azure tells.
              type: int
            changed:
              description: Bytes that Azure calls changed.
              type: int
            cleared:
              description: Bytes that Azure calls cleared.
              type: int
            read:
              description: Bytes that were read.
              type: int
            audited:
              description: Bytes that were read to prove that what Azure calls unchanged is unchanged.
              type: int
            new:
              description: Bytes that were not in the repository yet.
              type: int
            stored:
              description: Bytes that these have there, compressed.
              type: int
        sku:
          description: Its SKU.
          type: str
        size_gb:
          description: Its size in GiB.
          type: int
        location:
          description: Its region.
          type: str
        zones:
          description: Its zones.
          type: list
          elements: str
        os_type:
          description: V(Linux) or V(Windows), V(null) for a data disk.
          type: str
        hyper_v_generation:
          description: V(V1) or V(V2), V(null) for a data disk.
          type: str
        caching:
          description: Its host caching.
          type: str
        write_accelerator:
          description: Whether its write accelerator is on.
          type: bool
        sector_size:
          description: Bytes of its logical sectors, V(null) for a backup that does not tell.
          type: int
        encryption:
          description: How Azure encrypts it.
          type: dict
        security_profile:
          description: Its security profile.
          type: dict
        tags:
          description: Its tags.
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
    warnings:
      description: What was to be said when it was made.
      type: list
      elements: str
      sample: []
    ready_to_use:
      description: Whether it can be restored from.
      type: bool
      sample: true
    conditions:
      description: Where it stands; exactly one of the three has the status V(True).
      type: list
      elements: dict
      contains:
        type:
          description: V(Progressing), V(Ready) or V(Failure).
          type: str
        status:
          description: V(True) or V(False), as text.
          type: str
        reason:
          description: A word for programs.
          type: str
        message:
          description: A sentence for people.
          type: str
        last_transition_time:
          description: Since when.
          type: str
      sample:
        - type: Progressing
          status: "False"
          reason: Committed
          message: ""
          last_transition_time: "2026-09-01T10:00:42+00:00"
        - type: Ready
          status: "True"
          reason: Committed
          message: It can be restored from.
          last_transition_time: "2026-09-01T10:00:42+00:00"
        - type: Failure
          status: "False"
          reason: Committed
          message: ""
          last_transition_time: "2026-09-01T10:00:42+00:00"
    indications:
      description:
        - How it was taken. V(Online) if the machine was running, V(GuestAgent) or V(NoGuestAgent), and
          what was achieved.
      type: list
      elements: str
      sample: [Online, NoGuestAgent, CrashConsistent]
    included_disks:
      description: The disks that can be restored, the OS disk first, then by LUN.
      type: list
      elements: dict
      contains:
        id:
          description: The disk's id.
          type: str
        name:
          description: The disk's name.
          type: str
        lun:
          description: Where it is attached, V(null) for the OS disk.
          type: int
        role:
          description: V(os), or V(lun0) and so on.
          type: str
        size_gb:
          description: Its size in GiB.
          type: int
        sku:
          description: Its SKU.
          type: str
        caching:
          description: Its host caching.
          type: str
        write_accelerator:
          description: Whether its write accelerator is on.
          type: bool
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
      type: list
      elements: dict
      contains:
        id:
          description: The disk's id.
          type: str
        name:
          description: The disk's name.
          type: str
        reason:
          description: Why, as a word for programs.
          type: str
        message:
          description: Why, as a sentence.
          type: str
      sample:
        - id: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/disks/web01-scratch
          name: web01-scratch
          reason: ExcludedByRequest
          message: It was left out on request.
    failure_deadline:
      description: Always V(null). A backup is made as a whole or not at all.
      type: str
      sample: null
    configuration:
      description:
        - The VM (C(virtual_machine)), its disks (C(disks)) and its network interfaces
          (C(network_interfaces)), as Azure described them then.
      returned: when O(configuration=true)
      type: dict
      sample:
        virtual_machine: {name: web01, location: westeurope}
        disks: []
        network_interfaces: []
damaged:
  description: The backups whose descriptions cannot be read.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the backup.
      type: str
    problem:
      description: What is wrong, as a sentence.
      type: str
  sample: []
query_result:
  description: What O(query) yields.
  returned: when O(query) is set
  type: raw
  sample: 20260901t100000z-1f0c93ab
"""

from typing import Any

from ..module_utils._backup import result
from ..module_utils._compute.status import parse_time
from ..module_utils._image import report
from ..module_utils._module import Task, run_module
from ..module_utils._query import apply_query
from ..module_utils._spec import QUERY_SPEC, REPOSITORY_SPEC

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "vm": {"type": "str"},
    "resource_group": {"type": "str"},
    "backup": {"type": "str"},
    "after": {"type": "str"},
    "before": {"type": "str"},
    "configuration": {"type": "bool", "default": False},
    **REPOSITORY_SPEC,
    **QUERY_SPEC,
}


def describe(task: Task) -> dict[str, Any]:
    params, after, before = task.params, task.params["after"], task.params["before"]
    found = report.find(
        task.repository(),
        vm=params["vm"],
        group=params["resource_group"],
        backup=params["backup"],
        after=after and parse_time(after),
        before=before and parse_time(before),
    )
    for one in found.damaged:
        task.warn(f"The backup {one['id']} cannot be read: {one['problem']}")
    backups = [result.describe(one, params["configuration"]) for one in reversed(found.backups)]
    return apply_query(params["query"], {"backups": backups, "damaged": found.damaged})


def main() -> None:
    others = [("backup", one) for one in ("vm", "resource_group", "after", "before")]
    run_module(describe, ARGUMENT_SPEC, mutually_exclusive=others)


if __name__ == "__main__":
    main()
