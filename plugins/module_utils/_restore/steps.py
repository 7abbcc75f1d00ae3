# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore does to a machine, step by step, each from whatever is there.

Before each change the caller looks whether it is still the one that works on the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .._arm.client import ArmClient
from .._arm.waiting import Pauses
from .._compute.ids import ResourceId
from .._compute.passing import wait_out
from .._compute.storage_profile import attached_disks, by_place, disk_id, role
from .._compute.virtual_machines import (
    deallocate,
    get_vm,
    power_state,
    start,
    update_vm,
)
from .._errors import (
    AuthError,
    AzureError,
    Conflict,
    InputError,
    NotFound,
    VmguardError,
)
from .journal import Journal
from .lock import RecordGone, RestoreTakenOver
from .machine import MachineChanged, swap_update
from .plan import Raw

# To undo takes time too, also where the task's own is over.
UNDO_SECONDS = 1800.0
# What is only in the way of tidiness: a disk or a safety point that cannot be deleted.
TIDY_SECONDS = 180.0
_MOST_UPDATES = 4
_MOST_ATTEMPTS = 34
# Refusals that waiting does not change.
_FINAL = (
    "ScopeLocked",
    "RequestDisallowedByPolicy",
    "AuthorizationFailed",
    "LinkedAuthorizationFailed",
)
# Azure's codes for a machine for which there is no room, or no quota, at the moment
# (learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/allocation-failure).
_NO_ROOM = (
    "AllocationFailed",
    "OverconstrainedAllocationRequest",
    "OverconstrainedZonalAllocationRequest",
    "SkuNotAvailable",
    "QuotaExceeded",
)
CHANGING = ("Creating", "Updating", "Deleting")
_OFF = ("deallocated",)

_Result = TypeVar("_Result")
Check = Callable[[Raw], None]


def patiently(arm: ArmClient, act: Callable[[], _Result], seconds: float = UNDO_SECONDS) -> _Result:
    """Do what must not be given up while Azure may yet do it.

    Args:
        seconds: for how long it is tried again.

    Raises:
        VmguardError: it is refused for a reason that stays, or the time is over.
    """
    arm.deadline.ensure(seconds)
    end = arm.deadline.remaining - seconds
    pauses = Pauses()
    while True:
        try:
            return act()
        except (RestoreTakenOver, MachineChanged, InputError, AuthError, NotFound):
            raise
        except VmguardError as error:
            refused = isinstance(error, AzureError) and not isinstance(error, Conflict)
            final = error.code in _FINAL or (
                refused and getattr(error, "status", None) in (400, 403)
            )
            pause = max(getattr(error, "retry_after", None) or 0.0, pauses.next())
            if final or arm.deadline.remaining - pause <= end:
                raise
            arm.deadline.pause(pause)


def close_record(arm: ArmClient, commit: Callable[[], None]) -> str | None:
    """Remove the record of a run that is done; a sentence where that is not possible.

    Raises:
        RestoreTakenOver: another run has the record by now.
    """
    try:
        patiently(arm, commit, TIDY_SECONDS)
    except RecordGone:
        return None
    except RestoreTakenOver:
        raise
    except VmguardError as error:
        return (
            f"The record of the run could not be removed ({error.message}); the next run does that."
        )
    return None


def settled_vm(arm: ArmClient, vm_id: str) -> dict:
    """The machine when no operation on it is under way any more, with its power state."""
    parsed = ResourceId.parse(vm_id)
    return arm.wait_until(
        lambda: get_vm(arm, parsed.group, parsed.name, instance_view=True),
        lambda seen: seen["properties"].get("provisioningState") not in CHANGING,
        operation="update virtual machine",
        resource=vm_id,
    )


def insist(arm: ArmClient, act: Callable[[], _Result]) -> _Result:
    """Do it again while somebody else changes the machine, or Azure is asked for too much.

    Raises:
        VmguardError: as ``act``.
    """
    return wait_out(arm, act, _MOST_ATTEMPTS)


def stop_vm(arm: ArmClient, vm_id: str, check: Check) -> None:
    """Deallocate the machine unless it is: the disk behind an OS disk changes only then.

    Args:
        check: raises where the machine, as it was read, is another run's by now.
    """
    parsed = ResourceId.parse(vm_id)

    def act() -> None:
        vm = settled_vm(arm, vm_id)
        check(vm)
        if power_state(vm) not in _OFF:
            deallocate(arm, parsed.group, parsed.name)

    insist(arm, act)


def start_vm(arm: ArmClient, vm_id: str, check: Check, *, wait: bool = True) -> None:
    """Start the machine unless it runs. Args: as ``stop_vm``."""
    parsed = ResourceId.parse(vm_id)

    def act() -> None:
        vm = settled_vm(arm, vm_id)
        check(vm)
        if power_state(vm) != "running":
            start(arm, parsed.group, parsed.name, wait=wait)

    insist(arm, act)


def start_if_room(arm: ArmClient, vm_id: str, check: Check, *, wait: bool = True) -> str | None:
    """Start a machine whose disks are restored; a sentence where Azure has no room for it now.

    Its disks are what was asked for: the old machine could not be started either.

    Args: as ``start_vm``.
    """
    try:
        start_vm(arm, vm_id, check, wait=wait)
    except AzureError as error:
        if not any(code in (error.code or "") for code in _NO_ROOM):
            raise
        return (
            f"{vm_id.rsplit('/', 1)[1]} is restored and could not be started: {error.message} Start it"
            " later, or in another size."
        )
    return None


def swap(
    arm: ArmClient, journal: Journal, entries: dict, check: Check, *, back: bool = False
) -> None:
    """Bring the machine's places to their new disks, or back, from whatever they hold now.

    Args:
        check: as for ``stop_vm``; of the same read whose entity tag the update is bound to.

    Raises:
        RestoreTakenOver: of ``check``.
        MachineChanged: somebody else changed one of these places.
        AzureError: Azure takes the updates, and the machine does not have the disks.
    """
    parsed = ResourceId.parse(journal.vm)

    def update() -> bool:
        vm = settled_vm(arm, journal.vm)
        check(vm)
        body = swap_update(vm, journal.places, entries, back=back)
        if body is None:
            return True
        update_vm(arm, parsed.group, parsed.name, body, etag=vm.get("etag"))
        return False

    for _update in range(_MOST_UPDATES):
        if insist(arm, update):
            return
    if swap_update(settled_vm(arm, journal.vm), journal.places, entries, back=back):
        raise AzureError(
            f"Azure accepted the disks of {parsed.name}, but the machine does not have them.",
            code="DisksNotAttached",
            operation="update virtual machine",
            resource=journal.vm,
        )


def describe_vm(arm: ArmClient, vm_id: str) -> str:
    """What is attached to a machine now, and whether it runs, as a sentence."""
    parsed = ResourceId.parse(vm_id)
    name = parsed.name
    try:
        vm = get_vm(arm, parsed.group, name, instance_view=True)
    except VmguardError as unread:
        return f"What is attached to {name} now could not be read: {unread.message}"
    attached = attached_disks(vm)
    now = ", ".join(
        f"{role(lun)} = {disk_id(attached[lun]).rsplit('/', 1)[-1]}"
        for lun in sorted(attached, key=by_place)
    )
    return f"Attached to {name} now: {now}; it is {power_state(vm) or 'in an unknown state'}."
