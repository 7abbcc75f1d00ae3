#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_point
short_description: Take, copy and delete restore points of Azure VMs
version_added: 0.1.0
description:
  - Takes a restore point of a virtual machine, which is its configuration and all its disks at one
    moment.
  - Copies a restore point to another region.
  - Deletes a restore point.
  - A restore point cannot be changed. If the one named in O(name) exists, it stays as it is, and if
    it is still being made, the module waits for it.
  - Disks that Azure cannot put into a restore point are named before anything is created.
author:
  - vmguard contributors (@vmguard)
attributes:
  idempotent:
    support: partial
    details:
      - With O(name), O(max_age) or O(source_restore_point), a second run changes nothing.
      - With none of these each run takes another restore point.
options:
  resource_group:
    description: Resource group of the collection, and of the VM if O(vm) is a name.
    type: str
    required: true
  collection:
    description:
      - Name of the collection of restore points.
      - By default V(<vm>-restore-points), where O(vm) is set.
    type: str
  vm:
    description:
      - The VM, by id or name. It has to be the one that the collection belongs to.
      - It may be left out if O(collection) exists.
    type: str
  create_collection:
    description:
      - Whether to create the collection if it does not exist.
      - It needs O(vm), or O(source_restore_point) and O(location).
    type: bool
    default: false
  location:
    description:
      - The region of a collection that is created, by default the VM's.
      - A collection that exists has to be in it.
    type: str
  name:
    description:
      - Name of the restore point.
      - By default the VM's name and the time, as in V(web01-20260901T100000Z), and for a copy the
        name of its source.
    type: str
  exclude_disks:
    description:
      - Disks to leave out, each by its name, its LUN, its id, or V(os) for the OS disk.
      - A disk that the VM does not have is a failure that lists those that it has.
    type: list
    elements: str
    default: []
  skip_unsupported_disks:
    description:
      - Leave out disks that Azure cannot put into a restore point (shared and ephemeral ones, and
        in O(consistency_mode=crash) some more), with a warning and with the reason in
        RV(restore_point.excluded_disks).
      - Without it such a disk is a failure, before anything is created.
    type: bool
    default: false
  consistency_mode:
    description:
      - V(application) lets the guest prepare, which yields application consistency on Windows and
        file system consistency on Linux. A VM that does not run yields crash consistency.
      - V(crash) does not involve the guest.
      - By default Azure decides, which is V(application).
    type: str
    choices: [application, crash]
  require_consistency:
    description:
      - Fail if less than this was achieved. The restore point is kept, and named in the result.
      - A restore point that achieved less does not satisfy O(max_age).
    type: str
    choices: [application, filesystem, crash]
  max_age:
    description:
      - A restore point in the collection that is younger than this, holds the same disks, and is
        ready, is enough; none is created then. One that is still being made is waited for.
      - Seconds, or a number with V(s), V(m), V(h), V(d) or V(w), as in V(4h).
    type: str
  failure_deadline:
    description:
      - How long after its creation began a restore point that is not ready counts as failed,
        whatever O(wait_timeout) is.
      - Seconds, or a number with V(s), V(m), V(h), V(d) or V(w), as in V(30m).
      - For a copy it counts from the run that starts it or finds it, as Azure does not tell when a
        copy began.
    type: str
  source_restore_point:
    description:
      - Id of a restore point to copy into O(collection).
      - The collection has to be in another region, with the collection of the source restore point
        as its source.
      - Azure does not copy copies. The source has to be ready.
    type: str
  wait_for_copy:
    description:
      - Whether to wait, with O(wait=true), until all disks are copied. A copy is of no use before.
    type: bool
    default: true
  state:
    description:
      - Whether the restore point exists.
      - V(absent) needs O(name), and O(collection) or O(vm).
    type: str
    choices: [present, absent]
    default: present
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.wait
  - vmguard.azure.attributes
  - vmguard.azure.attributes.action_group
seealso:
  - module: vmguard.azure.restore_point_info
  - module: vmguard.azure.restore_point_collection
  - module: vmguard.azure.vm_restore
"""

EXAMPLES = r"""
- name: Protect a VM before an upgrade
  vmguard.azure.restore_point:
    resource_group: shop
    vm: web01
    create_collection: true
    name: before-upgrade-7
  register: protected

- name: Have a restore point that is no older than four hours, without the scratch disk
  vmguard.azure.restore_point:
    resource_group: shop
    vm: web01
    max_age: 4h
    exclude_disks: [5]
    require_consistency: filesystem

- name: Copy it to another region
  vmguard.azure.restore_point:
    resource_group: shop-dr
    collection: web01-copies
    create_collection: true
    location: northeurope
    source_restore_point: "{{ protected.restore_point.id }}"

- name: Delete it
  vmguard.azure.restore_point:
    resource_group: shop
    vm: web01
    name: before-upgrade-7
    state: absent
"""

RETURN = r"""
restore_point:
  description:
    - The restore point. V(null) if it is absent.
    - Also returned by a failure of a restore point that exists.
  returned: success
  type: dict
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
requested_consistency:
  description: What was asked for in O(consistency_mode); V(null) if Azure was to decide.
  returned: success
  type: str
  sample: application
required_consistency:
  description: What O(require_consistency) was.
  returned: success
  type: str
  sample: filesystem
"""

from typing import Any

from ..module_utils._compute.restore_point_collections import vm_id_of
from ..module_utils._compute.restore_point_copies import ensure_copy
from ..module_utils._compute.restore_point_creation import ensure_absent, ensure_vm_point
from ..module_utils._compute.restore_point_request import PointRequest
from ..module_utils._compute.restore_point_waiting import Run
from ..module_utils._duration import parse_duration
from ..module_utils._module import Task, run_module

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "resource_group": {"type": "str", "required": True},
    "collection": {"type": "str"},
    "vm": {"type": "str"},
    "create_collection": {"type": "bool", "default": False},
    "location": {"type": "str"},
    "name": {"type": "str"},
    "exclude_disks": {"type": "list", "elements": "str", "default": []},
    "skip_unsupported_disks": {"type": "bool", "default": False},
    "consistency_mode": {"type": "str", "choices": ["application", "crash"]},
    "require_consistency": {"type": "str", "choices": ["application", "filesystem", "crash"]},
    "max_age": {"type": "str"},
    "failure_deadline": {"type": "str"},
    "source_restore_point": {"type": "str"},
    "wait_for_copy": {"type": "bool", "default": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
_OF_A_VM_ONLY = ("vm", "consistency_mode", "max_age")


def request_of(task: Task) -> PointRequest:
    """The options as the engine takes them."""
    params = task.params
    group, vm = params["resource_group"], params["vm"]
    return PointRequest(
        group=group,
        collection=params["collection"],
        name=params["name"],
        vm=vm and vm_id_of(task.arm, group, vm),
        source=params["source_restore_point"],
        location=params["location"],
        create_collection=params["create_collection"],
        exclude_disks=params["exclude_disks"],
        skip_unsupported=params["skip_unsupported_disks"],
        mode=params["consistency_mode"],
        require=params["require_consistency"],
        max_age=parse_duration(params["max_age"], "max_age"),
        failure_deadline=parse_duration(params["failure_deadline"], "failure_deadline"),
        wait=params["wait"] and not task.check_mode,
        wait_for_copy=params["wait_for_copy"],
    )


def act(task: Task) -> dict[str, Any]:
    request = request_of(task)
    run = Run(task.arm, request, task.write, task.clock)
    if task.params["state"] == "absent":
        outcome = ensure_absent(run)
    elif request.source:
        outcome = ensure_copy(run)
    else:
        outcome = ensure_vm_point(run)
    for warning in outcome.warnings:
        task.warn(warning)
    task.diff(outcome.before, outcome.point)
    return {
        "restore_point": outcome.point,
        "requested_consistency": request.mode,
        "required_consistency": request.require,
    }


def main() -> None:
    run_module(
        act,
        ARGUMENT_SPEC,
        waits=True,
        mutually_exclusive=[("source_restore_point", option) for option in _OF_A_VM_ONLY],
        required_one_of=[("collection", "vm")],
        required_if=[("state", "absent", ["name"])],
    )


if __name__ == "__main__":
    main()
