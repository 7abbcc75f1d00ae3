# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines: read them, start and stop them, write and delete them.

Everything here speaks the service's own JSON; ``vm_shape`` makes results of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._arm.client import ArmClient
from .._errors import NotFound, VmguardError
from .ids import resource_id

Raw = dict[str, Any]

VM_TYPE = "virtualMachines"
_NAMES_SHOWN = 20
_POWER = "PowerState/"
_NO_GROUP = "ResourceGroupNotFound"


def vm_id(arm: ArmClient, group: str, name: str) -> str:
    """The id of a VM in the client's subscription."""
    return resource_id(arm.subscription_id, group, VM_TYPE, name)


def get_vm(
    arm: ArmClient, group: str, name: str, instance_view: bool = False, *, user_data: bool = False
) -> Raw:
    """One VM; with ``instance_view`` also its power state and its agent's, and its user data if asked.

    Raises:
        NotFound: there is no such VM (the message names those that there are), or no such group.
    """
    try:
        return _read(arm, group, name, instance_view=instance_view, user_data=user_data)
    except NotFound as error:
        raise _no_vm(arm, group, name, error) from error


def find_vm(
    arm: ArmClient, group: str, name: str, instance_view: bool = False, *, user_data: bool = False
) -> Raw | None:
    """Like ``get_vm``, but None where there is no such VM, or no such group."""
    try:
        return _read(arm, group, name, instance_view=instance_view, user_data=user_data)
    except NotFound:
        return None


def list_vms(arm: ArmClient, group: str | None = None) -> list[Raw]:
    """All VMs of a resource group, or of the subscription; without instance views.

    The list of a subscription has resource groups in upper case in its ids.

    Raises:
        NotFound: there is no such group.
    """
    if group is None:
        return arm.list("virtual_machines.list_all", f"/subscriptions/{arm.subscription_id}")
    where = f"/subscriptions/{arm.subscription_id}/resourceGroups/{group}"
    try:
        return arm.list("virtual_machines.list", where, group)
    except NotFound as error:
        raise no_group(arm, group, error) from error


def power_state(vm: Raw) -> str | None:
    """``running``, ``deallocated``, ``stopped``, ``starting``...; None without an instance view.

    ``stopped`` is a VM that is off and still has (and is billed for) its host.
    """
    statuses = (vm.get("properties", {}).get("instanceView") or {}).get("statuses") or []
    for status in statuses:
        if (code := status.get("code") or "").startswith(_POWER):
            return code.removeprefix(_POWER).lower()
    return None


def start(arm: ArmClient, group: str, name: str, wait: bool = True) -> None:
    """Start it; nothing happens where it runs.

    Raises:
        OperationFailed: Azure could not (no capacity, a disk that is in use).
        OperationTimeout: it is not up yet, and the deadline has passed.
    """
    arm.run("virtual_machines.begin_start", vm_id(arm, group, name), group, name, wait=wait)


def power_off(arm: ArmClient, group: str, name: str, wait: bool = True) -> None:
    """Shut its guest down and turn it off; it keeps its host. Raises: as ``start``."""
    arm.run("virtual_machines.begin_power_off", vm_id(arm, group, name), group, name, wait=wait)


def deallocate(arm: ArmClient, group: str, name: str, wait: bool = True) -> None:
    """Turn it off and give its host back; its disks can be swapped then. Raises: as ``start``."""
    arm.run("virtual_machines.begin_deallocate", vm_id(arm, group, name), group, name, wait=wait)


def create_vm(arm: ArmClient, group: str, name: str, body: Raw, wait: bool = True) -> Raw:
    """Create it where there is none; of two at once, one is refused.

    Returns:
        The VM as Azure has it then; without ``wait`` its first answer.

    Raises:
        Conflict: with the status 412, where there is one.
    """
    return arm.run(
        "virtual_machines.begin_create_or_update",
        vm_id(arm, group, name),
        group,
        name,
        body=body,
        wait=wait,
        headers={"If-None-Match": "*"},
    )


def update_vm(arm: ArmClient, group: str, name: str, body: Raw, etag: str | None = None) -> Raw:
    """Change what ``body`` names (a VirtualMachineUpdate) and nothing else.

    Args:
        etag: refuse it where the machine is another by now; None where the service shows none.

    Returns:
        The VM as Azure has it then.

    Raises:
        Conflict: with the status 412, where the entity tag is another.
    """
    options = {"headers": {"If-Match": etag}} if etag else {}
    return arm.run(
        "virtual_machines.begin_update", vm_id(arm, group, name), group, name, body=body, **options
    )


def delete_vm(arm: ArmClient, group: str, name: str, wait: bool = True) -> None:
    """Delete it, whether it is still there or not; its disks go as their ``deleteOption`` says."""
    try:
        arm.run("virtual_machines.begin_delete", vm_id(arm, group, name), group, name, wait=wait)
    except NotFound:
        return


def names_in(vms: Iterable[Raw]) -> str:
    """The names of VMs as the end of a sentence about one that is missing."""
    names = sorted({vm["name"] for vm in vms}, key=str.lower)
    if not names:
        return "There are none there."
    more = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN])
    return f"There are: {shown}{f' and {more} more' if more > 0 else ''}."


def no_group(arm: ArmClient, group: str, error: NotFound) -> NotFound:
    """The error of a resource group that does not exist."""
    return NotFound(
        f"There is no resource group {group!r} in subscription {arm.subscription_id}.",
        code=error.code,
        operation=error.operation,
        resource=f"/subscriptions/{arm.subscription_id}/resourceGroups/{group}",
        request_id=error.request_id,
        hint="Check the name, and that the login may read the group.",
        status=error.status,
    )


def _read(arm: ArmClient, group: str, name: str, *, instance_view: bool, user_data: bool) -> Raw:
    # User data comes only when it is asked for, alone or beside the instance view (recorded).
    wanted = [name for name, asked in
              (("instanceView", instance_view), ("userData", user_data)) if asked]  # fmt: skip
    options = {"expand": ",".join(wanted)} if wanted else {}
    return arm.read("virtual_machines.get", vm_id(arm, group, name), group, name, **options)


def _no_vm(arm: ArmClient, group: str, name: str, error: NotFound) -> VmguardError:
    """The error of a VM that does not exist: which there are costs one more request."""
    if error.code == _NO_GROUP:
        return no_group(arm, group, error)
    try:
        there = list_vms(arm, group)
    except NotFound as missing_group:
        return missing_group
    except VmguardError:
        hint = "Check the name and the resource group."
    else:
        hint = names_in(there)
    return NotFound(
        f"There is no virtual machine {name!r} in resource group {group!r}.",
        code=error.code,
        operation=error.operation,
        resource=error.resource,
        request_id=error.request_id,
        hint=hint,
        status=error.status,
    )
