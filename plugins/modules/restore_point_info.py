#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_point_info
short_description: List restore points of Azure VMs
version_added: 0.1.0
description:
  - Finds restore points by id, by collection, or by VM, with the disks in them and, for copies, how
    far they are.
author:
  - vmguard contributors (@vmguard)
options:
  id:
    description:
      - Id of a restore point.
      - One that does not exist is no failure, the list is empty then.
    type: str
  resource_group:
    description: Resource group of the collection, and of the VM if O(vm) is a name.
    type: str
  collection:
    description: Name of a collection. It needs O(resource_group), and has to exist.
    type: str
  name:
    description:
      - Name of a restore point in O(collection).
      - One that does not exist is no failure, the list is empty then.
    type: str
  vm:
    description:
      - A VM, by id, or by name with O(resource_group).
      - The restore points of all collections of the subscription that belong to this VM are
        returned, whether or not the VM still exists.
    type: str
  include_copies:
    description: With O(vm), also the copies in other regions.
    type: bool
    default: false
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.query
  - vmguard.azure.attributes.info
  - vmguard.azure.attributes.action_group
seealso:
  - module: vmguard.azure.restore_point
  - module: vmguard.azure.restore_point_collection_info
"""

EXAMPLES = r"""
- name: List the restore points of a VM
  vmguard.azure.restore_point_info:
    resource_group: shop
    vm: web01

- name: Find the newest one that can be restored from
  vmguard.azure.restore_point_info:
    resource_group: shop
    collection: web01-restore-points
    query: "restore_points[?ready_to_use].name | [0]"
  register: newest
"""

RETURN = r"""
restore_points:
  description: The restore points, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the restore point.
      type: str
      sample: >-
        /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/restorePointCollections/web01-restore-points/restorePoints/web01-20260901T100000Z
    name:
      description: Name of the restore point.
      type: str
      sample: web01-20260901T100000Z
    resource_group:
      description: Resource group of its collection.
      type: str
      sample: shop
    collection:
      description: Name of its collection.
      type: str
      sample: web01-restore-points
    provisioning_state:
      description: Azure's own word; V(Creating), V(Succeeded), V(Failed) or V(Deleting).
      type: str
      sample: Succeeded
    time_created:
      description: The moment that the disks are of, in UTC. A copy has the time of its source.
      type: str
      sample: "2026-09-01T10:00:00+00:00"
    consistency_mode:
      description:
        - What was achieved; V(ApplicationConsistent), V(FileSystemConsistent) or V(CrashConsistent).
        - V(null) until the restore point is made.
      type: str
      sample: FileSystemConsistent
    source_restore_point:
      description: Id of the restore point that this one is a copy of, V(null) for one that is none.
      type: str
      sample: null
    source_vm:
      description: What the restore point knows of its VM.
      type: dict
      contains:
        vm_id:
          description: The VM's unique id, which another VM of the same name does not have.
          type: str
        location:
          description: The VM's region.
          type: str
        size:
          description: The VM's size.
          type: str
        os_type:
          description: V(Linux) or V(Windows), V(null) if the OS disk was excluded.
          type: str
        computer_name:
          description: The guest's name for itself, V(null) if Azure was not told.
          type: str
        hyper_v_generation:
          description: V(V1) or V(V2).
          type: str
        security_type:
          description: V(TrustedLaunch) or V(ConfidentialVM), V(null) for a VM that is neither.
          type: str
      sample:
        vm_id: 2e18d9e9-c5bf-4114-bd5c-0100270c062f
        location: westeurope
        size: Standard_D2s_v5
        os_type: Linux
        computer_name: web01
        hyper_v_generation: V2
        security_type: null
    included_disks:
      description: The disks that can be restored, the OS disk first, then by LUN.
      type: list
      elements: dict
      contains:
        name:
          description: The disk's name.
          type: str
        lun:
          description: Where it is attached, V(null) for the OS disk.
          type: int
        role:
          description: V(os), or V(lun0) and so on.
          type: str
        id:
          description: The disk's id.
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
        encryption_type:
          description: How its disk restore point is encrypted, V(null) until it is made.
          type: str
        encryption_set:
          description: Id of the disk encryption set of its disk restore point, if there is one.
          type: str
        disk_restore_point:
          description: Id of its disk restore point, V(null) until it is made.
          type: str
        replication_state:
          description: V(replicating), V(succeeded) or V(failed); V(null) if it is not copied.
          type: str
        replication_percent:
          description: How much is copied, V(null) if it is not copied.
          type: int
      sample:
        - name: web01-os
          lun: null
          role: os
          id: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/disks/web01-os
          size_gb: 64
          sku: Premium_LRS
          caching: ReadWrite
          write_accelerator: false
          encryption_type: EncryptionAtRestWithPlatformKey
          encryption_set: null
          disk_restore_point: >-
            /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/restorePointCollections/web01-restore-points/restorePoints/web01-20260901T100000Z/diskRestorePoints/web01-os_9ce39145-7617-4cc3-9b1c-1de191223533
          replication_state: null
          replication_percent: null
    excluded_disks:
      description: The disks of the VM that are not in the restore point. A copy does not know them.
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
          description: Why, as a word for programs. V(ExcludedOnRequest) is also what Azure remembers of others.
          type: str
        message:
          description: Why, as a sentence.
          type: str
      sample:
        - id: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/disks/web01-scratch
          name: web01-scratch
          reason: ExcludedOnRequest
          message: It was left out when the restore point was made.
    replication:
      description: How far the copying of the disks is, V(null) if nothing is copied.
      type: dict
      contains:
        state:
          description: V(replicating), V(succeeded) or V(failed).
          type: str
        percent:
          description: That of the disk that is furthest behind.
          type: int
      sample:
        state: replicating
        percent: 40
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
          description: Since when, as far as Azure tells.
          type: str
      sample:
        - type: Progressing
          status: "False"
          reason: Succeeded
          message: ""
          last_transition_time: "2026-09-01T10:00:00+00:00"
        - type: Ready
          status: "True"
          reason: Succeeded
          message: It can be restored from.
          last_transition_time: "2026-09-01T10:00:00+00:00"
        - type: Failure
          status: "False"
          reason: Succeeded
          message: ""
          last_transition_time: "2026-09-01T10:00:00+00:00"
    indications:
      description:
        - How it was taken. V(Online) and V(GuestAgent) if the guest took part, V(NoGuestAgent) if not,
          and what was achieved.
      type: list
      elements: str
      sample: [Online, GuestAgent, FileSystemConsistent]
    failure_deadline:
      description: When it has to be ready, V(null) if no deadline was set.
      type: str
      sample: "2026-09-01T10:30:00+00:00"
query_result:
  description: What O(query) yields.
  returned: when O(query) is set
  type: raw
  sample: web01-20260901T100000Z
"""

from typing import Any

from ..module_utils._compute import restore_point_collections as collections
from ..module_utils._compute import restore_points as points
from ..module_utils._errors import InputError
from ..module_utils._module import Task, run_module
from ..module_utils._query import apply_query
from ..module_utils._spec import QUERY_SPEC

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "id": {"type": "str"},
    "resource_group": {"type": "str"},
    "collection": {"type": "str"},
    "name": {"type": "str"},
    "vm": {"type": "str"},
    "include_copies": {"type": "bool", "default": False},
    **QUERY_SPEC,
}


def find(task: Task) -> list[dict[str, Any]]:
    """The restore points as Azure answers them."""
    params = task.params
    if params["id"]:
        parsed = points.parse_point_id(params["id"])
        return one(task, parsed.group, parsed.name, parsed.child_names[0])
    group = params["resource_group"]
    if params["vm"]:
        if not group and "/" not in params["vm"]:
            raise InputError("vm: a name needs resource_group beside it.")
        vm_id = collections.vm_id_of(task.arm, group, params["vm"])
        copies = params["include_copies"]
        return collections.points_of_vm(task.arm, vm_id, include_copies=copies)
    if params["name"]:
        return one(task, group, params["collection"], params["name"])
    raw = collections.need_collection(task.arm, group, params["collection"], expand=True)
    return points.collection_points(task.arm, raw)


def one(task: Task, group: str, collection: str, name: str) -> list[dict[str, Any]]:
    found = points.get_point(task.arm, group, collection, name, expand=True)
    return [] if found is None else [found]


def describe(task: Task) -> dict[str, Any]:
    shaped = points.newest_first(points.shape_point(raw) for raw in find(task))
    return apply_query(task.params["query"], {"restore_points": shaped})


def main() -> None:
    run_module(
        describe,
        ARGUMENT_SPEC,
        mutually_exclusive=[("id", "collection", "vm")],
        required_one_of=[("id", "collection", "vm")],
        required_by={"collection": ["resource_group"], "name": ["collection"]},
    )


if __name__ == "__main__":
    main()
