# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs a task means, and what is known of them, with few requests.

Named VMs of a resource group: one request each, with the instance view. Anything else: the list,
once, and the instance view of each VM that is selected. Disks: see ``disks.disks_of``.
"""

from __future__ import annotations

from typing import Any

from .._arm.client import ArmClient
from .._errors import NotFound
from .._policy.selection import Selection
from . import virtual_machines
from .disks import disks_of
from .ids import ResourceId
from .vm_shape import shape_vm

Raw = dict[str, Any]


def select_vms(arm: ArmClient, selection: Selection, group: str | None = None) -> list[Raw]:
    """The VMs that are meant, with their instance views, by name and resource group.

    Args:
        group: a resource group; None for the whole subscription, where several VMs may have a name.

    Raises:
        NotFound: a VM that is named, or the group, does not exist.
    """
    if selection.only_names and group is not None:
        found = [virtual_machines.get_vm(arm, group, name, True) for name in selection.names or ()]
    elif selection.only_names and not selection.names:
        found = []
    else:
        found = [vm for vm in _listed(arm, selection, group) if vm is not None]
    return sorted(found, key=lambda vm: (vm["name"].lower(), vm["id"].lower()))


def describe_vms(
    arm: ArmClient, vms: list[Raw], consistency_mode: str | None = None
) -> list[dict[str, Any]]:
    """Results for VMs that were read with their instance views; their disks are read here."""
    disks = disks_of(arm, vms)
    return [shape_vm(vm, disks, consistency_mode) for vm in vms]


def _listed(arm: ArmClient, selection: Selection, group: str | None) -> list[Raw | None]:
    """Those that a list offers; None for one that was deleted after the list."""
    there = virtual_machines.list_vms(arm, group)
    if unknown := selection.unknown(vm["name"] for vm in there):
        raise _unknown(arm, unknown, there, group)
    taken = [vm for vm in there if selection.takes(vm["name"], vm.get("tags"))]
    return [
        virtual_machines.find_vm(arm, ResourceId.parse(vm["id"]).group, vm["name"], True)
        for vm in taken
    ]


def _unknown(arm: ArmClient, names: list[str], there: list[Raw], group: str | None) -> NotFound:
    where = f"subscription {arm.subscription_id}" if group is None else f"resource group {group!r}"
    what = "is no virtual machine" if len(names) == 1 else "are no virtual machines"
    return NotFound(
        f"There {what} {', '.join(map(repr, names))} in {where}.",
        operation="find virtual machines",
        resource=", ".join(names),
        hint=virtual_machines.names_in(there),
        status=404,
    )
