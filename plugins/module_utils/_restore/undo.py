# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take back what a run did: this one that failed, or an earlier one that was killed.

Only what bears the run's own tag is deleted. What is said afterwards was read afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from .._arm.client import ArmClient
from .._arm.waiting import Pauses
from .._compute.disks import delete_disk, find_disk, update_disk
from .._compute.ids import ResourceId, same_id
from .._compute.passing import passing
from .._compute.storage_profile import attached_disks, by_place, disk_id, role
from .._compute.virtual_machines import (
    deallocate,
    delete_vm,
    find_vm,
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
from .disks import remove_disk, was_used
from .journal import UNTOUCHED, Journal, Place
from .lock import RecordGone, RestoreTakenOver
from .machine import MachineChanged, original_entry, swap_update
from .plan import REPLACED_TAG, RUN_TAG, Raw, made_by_run, tags_of
from .safety import delete_safety_point

# To undo takes time too, also where the task's own is over.
UNDO_SECONDS = 1800.0
# What is only in the way of tidiness: a disk or a safety point that cannot be deleted.
TIDY_SECONDS = 180.0
_MOST_UPDATES = 4
_MOST_ATTEMPTS = 30
_PAUSE = 2.0
_LONGEST = 5  # times the pause
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
_CHANGING = ("Creating", "Updating", "Deleting")
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
        lambda seen: seen["properties"].get("provisioningState") not in _CHANGING,
        operation="update virtual machine",
        resource=vm_id,
    )


def insist(arm: ArmClient, act: Callable[[], _Result]) -> _Result:
    """Do it again while somebody else changes the machine, or Azure is asked for too much.

    Raises:
        VmguardError: as ``act``.
    """
    for attempt in range(1, _MOST_ATTEMPTS + 1):
        try:
            return act()
        except AzureError as error:
            pause = max(error.retry_after or 0.0, _PAUSE * min(attempt, _LONGEST))
            if not passing(error) or attempt == _MOST_ATTEMPTS or pause >= arm.deadline.remaining:
                raise
            arm.deadline.pause(pause)
    raise AssertionError


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


class Left(str):  # noqa: SLOT000 - it has an attribute of its own
    """The id of something that could not be deleted, and why as a sentence."""

    why = ""

    @classmethod
    def behind(cls, one: str, error: VmguardError) -> Left:
        left = cls(one)
        left.why = error.message
        return left


def reason(left: Iterable[str]) -> str:
    """Why the first of these could not be deleted, as a sentence after a space; else nothing."""
    return next((f" {one.why}" for one in left if isinstance(one, Left)), "")


@dataclass
class Undone:
    """What undoing came to.

    Args:
        sentence: what is so now, as it was read.
        whole: whether nothing of the run is left to be undone.
        left: the ids of what could not be deleted.
        kept: the ids of new disks that are detached and kept, because they may have been used.
    """

    sentence: str
    whole: bool
    hint: str | None = None
    left: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    power_state: str | None = None


def undo_in_place(
    arm: ArmClient, journal: Journal, check: Check, *, keep_used: bool = False
) -> Undone:
    """Put the original disks back, start the machine if it ran, delete the new disks and the safety point.

    Args:
        check: as for ``stop_vm``.
        keep_used: keep new disks that were attached: the run was killed, and somebody may have used the
            machine with them since.

    Raises:
        RestoreTakenOver: of ``check``.
    """
    name = journal.vm.rsplit("/", 1)[1]
    touched = journal.phase not in UNTOUCHED
    try:
        if touched:
            patiently(arm, lambda: _put_back(arm, journal, check))
    except RestoreTakenOver:
        raise
    except VmguardError as error:
        return _not_put_back(arm, journal, error)
    started = ""
    if touched and journal.ran:
        try:
            patiently(arm, lambda: start_vm(arm, journal.vm, check))
        except RestoreTakenOver:
            raise
        except VmguardError as error:
            started = f", but starting it failed: {error.message.rstrip('.')}"
    left = remove_made(arm, journal, used_too=touched and not keep_used)
    kept = [one for one in journal.made if find_disk(arm, one)] if keep_used else []
    if journal.safety:
        left += _remove_safety(arm, journal)
    if journal.old_disks == "delete":
        with contextlib.suppress(VmguardError):
            tag_replaced(arm, journal, away=True)
    power = power_state(settled_vm(arm, journal.vm))
    state = "it runs" if power == "running" else f"it is stopped and can be started{started}"
    sentence = f"{name} is on its original disks; {state}."
    if not touched:
        sentence = f"{name} was neither stopped nor given other disks; {state}."
    kept = [one for one in kept if one not in left]
    if kept:
        sentence += (
            f" These disks of the restore had been attached to it and are kept: {_names(kept)}."
        )
    if left:
        sentence += f" These could not be deleted: {_names(left)}.{reason(left)}"
    whole = not left and not started
    return Undone(sentence, whole=whole, left=left, kept=kept, power_state=power)


def _put_back(arm: ArmClient, journal: Journal, check: Check) -> None:
    entries = {place.lun: original_entry(place) for place in journal.places if place.old}
    vm = settled_vm(arm, journal.vm)
    if swap_update(vm, journal.places, entries, back=True):
        stop_vm(arm, journal.vm, check)
        swap(arm, journal, entries, check, back=True)


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


def _not_put_back(arm: ArmClient, journal: Journal, error: VmguardError) -> Undone:
    """What is so where the original disks could not all be put back."""
    so = describe_vm(arm, journal.vm)
    return Undone(
        f"Putting the original disks back failed as well: {error.message} {so}",
        whole=False,
        hint="Run the task again: it goes on from the record of this run. Or attach the original disks"
        f" yourself: {_originals(arm, journal)}.",
    )


def _originals(arm: ArmClient, journal: Journal) -> str:
    """The original disks by their places, and which of them are there."""
    told = []
    for place in journal.places:
        try:
            there = not place.old or find_disk(arm, place.old) is not None
        except VmguardError:
            there = True
        told.append(f"{role(place.lun)} = {place.old or 'none'}{'' if there else ' (is gone)'}")
    return ", ".join(told)


def undo_new(arm: ArmClient, journal: Journal, *, used_too: bool = True) -> Undone:
    """Delete the machine and the disks that a run made.

    Args:
        used_too: also disks that were attached to something: that was this run's own machine.
    """
    if journal.vm:
        try:
            patiently(arm, lambda: _delete_made_vm(arm, journal))
        except VmguardError as error:
            name = journal.vm.rsplit("/", 1)[1]
            return Undone(
                f"The unfinished machine {name} could not be deleted ({error.message}); it is not a"
                " restored machine.",
                whole=False,
                hint=f"Delete {name} and its disks, then run the task again.",
                left=[journal.vm],
            )
    left = remove_made(arm, journal, used_too=used_too)
    if left:
        return Undone(
            f"These disks of the failed restore could not be deleted: {_names(left)}.{reason(left)}",
            whole=False,
            hint="Delete them, then run the task again.",
            left=left,
        )
    return Undone(
        "What this restore had made was deleted again; nothing is left of it.", whole=True
    )


def _delete_made_vm(arm: ArmClient, journal: Journal) -> None:
    parsed = ResourceId.parse(journal.vm)
    found = find_vm(arm, parsed.group, parsed.name)
    if found is not None and _made_by(found, journal):
        if found["properties"].get("provisioningState") in _CHANGING:
            settled_vm(arm, journal.vm)
        delete_vm(arm, parsed.group, parsed.name)


def remove_made(arm: ArmClient, journal: Journal, *, used_too: bool = False) -> list[str]:
    """Delete the disks that the run made, the one that bears its record last; what is left of them.

    Args:
        used_too: also disks that were attached to something; else those stay, and are nobody's.
    """
    left: list[str] = []
    for one in [*journal.made[1:], *journal.made[:1]]:
        if left and one in journal.made[:1] and journal.target != "in_place":
            left.append(one)  # the record stays while anything else does
            continue
        try:
            patiently(arm, partial(_remove_made_disk, arm, journal, one, used_too), TIDY_SECONDS)
        except VmguardError as error:
            left.append(Left.behind(one, error))
    return left


def _remove_made_disk(arm: ArmClient, journal: Journal, one: str, used_too: bool) -> None:
    found = find_disk(arm, one)
    if found is not None and _made_by(found, journal) and (used_too or not was_used(found)):
        remove_disk(arm, one)


def _made_by(resource: Raw, journal: Journal) -> bool:
    """Whether a resource is of the run, and of its process where the journal names one."""
    process = tags_of(resource).get(RUN_TAG, "").rpartition("@")[2]
    return made_by_run(resource, journal.run) and journal.process in ("", process)


def loose_disks(arm: ArmClient, journal: Journal) -> str:
    """The names of the disks of a run that are attached to nothing, as far as they can be read."""
    found = []
    for one in journal.made:
        with contextlib.suppress(VmguardError):
            disk = find_disk(arm, one)
            if disk is not None and made_by_run(disk, journal.run) and not disk.get("managedBy"):
                found.append(one)
    return _names(found)


def remove_replaced(arm: ArmClient, journal: Journal, check: Check) -> tuple[list[str], list[str]]:
    """Delete the disks that a run replaced: those that are gone, and those that are kept all the same.

    Only a disk that says itself that this run replaces it is deleted: a record in tags is believed by
    whoever can write tags of a machine, which is not whoever can delete disks. And only while the
    machine has the new disk in its place.

    Args:
        check: as for ``stop_vm``; asked before each one.

    Raises:
        RestoreTakenOver: of ``check``.
    """
    gone, left = [], []
    for place in [one for one in journal.places if one.old]:
        try:
            act = partial(_remove_replaced_disk, arm, journal, place, check)
            patiently(arm, act, TIDY_SECONDS)
            gone.append(place.old)
        except RestoreTakenOver:
            raise
        except VmguardError as error:
            left.append(Left.behind(place.old, error))
    return gone, left


def _remove_replaced_disk(arm: ArmClient, journal: Journal, place: Place, check: Check) -> None:
    found = find_disk(arm, place.old)
    if found is None:
        return
    if tags_of(found).get(REPLACED_TAG) != journal.run:
        raise InputError(f"The disk {place.old} does not say that run {journal.run} replaces it.")
    parsed = ResourceId.parse(journal.vm)
    vm = get_vm(arm, parsed.group, parsed.name)
    check(vm)
    if not same_id(disk_id(attached_disks(vm).get(place.lun)), place.new):
        raise MachineChanged(f"{role(place.lun)} of {vm['name']} does not have {place.new}.")
    delete_disk(arm, place.old)


def tag_replaced(arm: ArmClient, journal: Journal, *, away: bool = False) -> None:
    """Write the run on the disks that it replaces and is to delete; or take that back."""
    for one in [place.old for place in journal.places if place.old]:
        found = find_disk(arm, one)
        tags = tags_of(found)
        wanted = {name: value for name, value in tags.items() if name != REPLACED_TAG}
        if not away:
            wanted[REPLACED_TAG] = journal.run
        if found is not None and tags != wanted:
            insist(arm, partial(update_disk, arm, one, {"tags": wanted}))


def _remove_safety(arm: ArmClient, journal: Journal) -> list[str]:
    try:
        patiently(arm, partial(delete_safety_point, arm, journal.safety, journal.vm), TIDY_SECONDS)
    except VmguardError as error:
        return [Left.behind(journal.safety, error)]
    return []


def _names(ids: Iterable[str]) -> str:
    return ", ".join(one.rsplit("/", 1)[1] for one in ids)
