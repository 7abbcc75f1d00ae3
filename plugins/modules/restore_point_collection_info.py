#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_point_collection_info
short_description: List collections of restore points
version_added: 0.1.0
description:
  - Finds a collection by its name, or lists those of a resource group or of the subscription.
author:
  - vmguard contributors (@vmguard)
options:
  resource_group:
    description: The resource group to look in. Without it, the whole subscription.
    type: str
  name:
    description:
      - Name of the collection. It needs O(resource_group).
      - A collection that does not exist is no failure, the list is empty then.
    type: str
  include_restore_points:
    description:
      - Whether to return the restore points of each collection.
      - This costs a request for each collection, and one for each copy in it.
    type: bool
    default: false
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.query
  - vmguard.azure.attributes.info
  - vmguard.azure.attributes.action_group
seealso:
  - module: vmguard.azure.restore_point_collection
  - module: vmguard.azure.restore_point_info
"""

EXAMPLES = r"""
- name: Look at one collection and its restore points
  vmguard.azure.restore_point_collection_info:
    resource_group: shop
    name: web01-restore-points
    include_restore_points: true

- name: Find collections of copies in the subscription
  vmguard.azure.restore_point_collection_info:
    query: "restore_point_collections[?source_collection].{name: name, location: location}"
"""

RETURN = r"""
restore_point_collections:
  description: The collections, by name.
  returned: success
  type: list
  elements: dict
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
      description:
        - The restore points, the newest first, as in M(vmguard.azure.restore_point_info).
        - V(null) without O(include_restore_points).
      type: list
      elements: dict
      sample: null
query_result:
  description: What O(query) yields.
  returned: when O(query) is set
  type: raw
  sample: [{name: web01-copies, location: northeurope}]
"""

from typing import Any

from ..module_utils._compute import restore_point_collections as collections
from ..module_utils._module import Task, run_module
from ..module_utils._query import apply_query
from ..module_utils._spec import QUERY_SPEC

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "resource_group": {"type": "str"},
    "name": {"type": "str"},
    "include_restore_points": {"type": "bool", "default": False},
    **QUERY_SPEC,
}


def find(task: Task) -> list[dict[str, Any]]:
    """The collections as Azure answers them."""
    group, name = task.params["resource_group"], task.params["name"]
    if name is None:
        return collections.list_collections(task.arm, group)
    expand = task.params["include_restore_points"]
    found = collections.get_collection(task.arm, group, name, expand=expand)
    return [] if found is None else [found]


def describe(task: Task) -> dict[str, Any]:
    raws = sorted(find(task), key=lambda raw: (raw["name"].lower(), raw["id"].lower()))
    if task.params["include_restore_points"]:
        shaped = [collections.full_shape(task.arm, raw) for raw in raws]
    else:
        shaped = [collections.shape_collection(raw) for raw in raws]
    return apply_query(task.params["query"], {"restore_point_collections": shaped})


def main() -> None:
    run_module(describe, ARGUMENT_SPEC, required_by={"name": ["resource_group"]})


if __name__ == "__main__":
    main()
