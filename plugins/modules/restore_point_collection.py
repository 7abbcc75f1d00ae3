#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_point_collection
short_description: Manage a collection of restore points of an Azure VM
version_added: 0.1.0
description:
  - Creates, tags and deletes the collections that hold the restore points of a virtual machine, or
    copies of restore points in another region.
  - Of a collection that exists only the tags can be changed. The module fails if another option
    differs, and says which.
author:
  - vmguard contributors (@vmguard)
options:
  resource_group:
    description: Resource group of the collection.
    type: str
    required: true
  name:
    description:
      - Name of the collection.
      - 1 to 80 letters, digits, V(_), V(.) and V(-), beginning with a letter or digit and ending
        with a letter, digit or V(_).
    type: str
    required: true
  source_vm:
    description:
      - The VM whose restore points go into the collection; its id, or its name if it is in
        O(resource_group).
      - Either this or O(source_collection) is needed to create a collection.
    type: str
  source_collection:
    description:
      - Id of a collection of a VM, in another region, whose restore points are to be copied into
        this one.
      - Azure does not copy copies. It cannot be a collection of copies itself.
    type: str
  location:
    description:
      - The region of the collection, which is where its restore points are.
      - By default the region of O(source_vm). If it is another region, restore points are created
        directly there.
      - Needed to create a collection with O(source_collection).
    type: str
  tags:
    description: Tags of the collection. If not set, they stay as they are.
    type: dict
  append_tags:
    description: Whether to keep tags that are not in O(tags).
    type: bool
    default: true
  state:
    description: Whether the collection exists.
    type: str
    choices: [present, absent]
    default: present
  force:
    description:
      - Delete a collection that still holds restore points, and all of these with it.
      - They cannot be brought back.
    type: bool
    default: false
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.wait
  - vmguard.azure.attributes
  - vmguard.azure.attributes.action_group
seealso:
  - module: vmguard.azure.restore_point_collection_info
  - module: vmguard.azure.restore_point
"""

EXAMPLES = r"""
- name: Have a place for the restore points of a VM
  vmguard.azure.restore_point_collection:
    resource_group: shop
    name: web01-restore-points
    source_vm: web01
    tags:
      tier: web

- name: Have a place for copies of them in another region
  vmguard.azure.restore_point_collection:
    resource_group: shop-dr
    name: web01-copies
    source_collection: "{{ collection.restore_point_collection.id }}"
    location: northeurope

- name: Remove a collection with all its restore points
  vmguard.azure.restore_point_collection:
    resource_group: shop
    name: web01-restore-points
    state: absent
    force: true
"""

RETURN = r"""
restore_point_collection:
  description: The collection. V(null) if it is absent.
  returned: success
  type: dict
  contains:
    id:
      description: Id of the collection.
      type: str
      sample: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/restorePointCollections/web01-restore-points
    name:
      description: Name of the collection.
      type: str
      sample: web01-restore-points
    resource_group:
      description: Resource group of the collection.
      type: str
      sample: shop
    location:
      description: The region where the restore points are.
      type: str
      sample: westeurope
    tags:
      description: Tags of the collection.
      type: dict
      sample: {tier: web}
    source_vm:
      description: Id of the VM that it belongs to, V(null) for a collection of copies.
      type: str
      sample: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/virtualMachines/web01
    source_collection:
      description: Id of the collection whose restore points are copied, V(null) for that of a VM.
      type: str
      sample: null
    source_location:
      description: The region of the source.
      type: str
      sample: westeurope
    collection_id:
      description: Azure's unique id of the collection. V(null) in check mode for one that is new.
      type: str
      sample: 67edd128-8a7b-4f21-b8fd-400e121ebb9a
    provisioning_state:
      description: Azure's own word.
      type: str
      sample: Succeeded
    restore_points:
      description: Always V(null) here, see M(vmguard.azure.restore_point_collection_info).
      type: list
      elements: dict
      sample: null
"""

from typing import Any

from ..module_utils._compute import restore_point_collections as collections
from ..module_utils._module import Task, run_module

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "resource_group": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "source_vm": {"type": "str"},
    "source_collection": {"type": "str"},
    "location": {"type": "str"},
    "tags": {"type": "dict"},
    "append_tags": {"type": "bool", "default": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "force": {"type": "bool", "default": False},
}


def wanted_collection(task: Task) -> collections.WantedCollection:
    """The options as the engine takes them."""
    params, tags = task.params, task.params["tags"]
    vm, collection = params["source_vm"], params["source_collection"]
    group = params["resource_group"]
    return collections.WantedCollection(
        group=group,
        name=params["name"],
        location=params["location"],
        source_vm=vm and collections.vm_id_of(task.arm, group, vm),
        source_collection=collection and collections.collection_id_of(collection),
        tags=None if tags is None else {key: str(value) for key, value in tags.items()},
        append_tags=params["append_tags"],
    )


def present(task: Task) -> dict[str, Any]:
    before, after = collections.present(task.arm, wanted_collection(task), task.write)
    shaped = collections.shape_collection(after)
    task.diff(before and collections.shape_collection(before), shaped)
    return {"restore_point_collection": {**shaped, "restore_points": None}}


def absent(task: Task) -> dict[str, Any]:
    params = task.params
    before = collections.absent(
        task.arm,
        params["resource_group"],
        params["name"],
        task.write,
        force=params["force"],
        wait=params["wait"],
    )
    task.diff(before and collections.shape_collection(before), None)
    return {"restore_point_collection": None}


def act(task: Task) -> dict[str, Any]:
    return present(task) if task.params["state"] == "present" else absent(task)


def main() -> None:
    run_module(
        act,
        ARGUMENT_SPEC,
        waits=True,
        mutually_exclusive=[("source_vm", "source_collection")],
    )


if __name__ == "__main__":
    main()
