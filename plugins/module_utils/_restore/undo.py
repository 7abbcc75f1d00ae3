# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take back what a run did: this one that failed, or an earlier one that was killed.

Only what bears the run's own tag is deleted. What is said afterwards was read afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from .._arm.client import ArmClient
from .._compute.disks import delete_disk, find_disk, update_disk
from .._compute.ids import ResourceId, same_id
from .._compute.storage_profile import attached_disks, disk_id, role
from .._compute.virtual_machines import (
    delete_vm,
    find_vm,
    get_vm,
    power_state,
)
from .._errors import (
    InputError,
    VmguardError,
)
from .disks import remove_disk, was_used
from .journal import UNTOUCHED, Journal, Place
from .lock import RestoreTakenOver
from .machine import MachineChanged, original_entry, swap_update
from .plan import REPLACED_TAG, RUN_TAG, Raw, made_by_run, tags_of
from .safety import delete_safety_point
from .steps import (
    CHANGING,
    TIDY_SECONDS,
    Check,
    describe_vm,
    insist,
    patiently,
    settled_vm,
    start_vm,
    stop_vm,
    swap,
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
    kept = _used(arm, journal) if keep_used else []
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


def undo_new(
    arm: ArmClient, journal: Journal, *, used_too: bool = True, spare: Iterable[str] = ()
) -> Undone:
    """Delete the machine and the disks that a run made.

    Args:
        used_too: also disks that were attached to something: that was this run's own machine.
        spare: ids of disks that stay where they were ever attached.
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
    left = remove_made(arm, journal, used_too=used_too, spare=spare)
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
        if found["properties"].get("provisioningState") in CHANGING:
            settled_vm(arm, journal.vm)
        delete_vm(arm, parsed.group, parsed.name)


def remove_made(
    arm: ArmClient, journal: Journal, *, used_too: bool = False, spare: Iterable[str] = ()
) -> list[str]:
    """Delete the disks that the run made, the one that bears its record last; what is left of them.

    Args:
        used_too: also disks that were attached to something; else those stay, and are nobody's.
    """
    left: list[str] = []
    spared = {one.lower() for one in spare}
    for one in [*journal.made[1:], *journal.made[:1]]:
        too = used_too and one.lower() not in spared
        if left and one in journal.made[:1] and journal.target != "in_place":
            left.append(one)  # the record stays while anything else does
            continue
        try:
            patiently(arm, partial(_remove_made_disk, arm, journal, one, too), TIDY_SECONDS)
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

    def act(one: str) -> None:
        found = find_disk(arm, one)
        tags = tags_of(found)
        wanted = {name: value for name, value in tags.items() if name != REPLACED_TAG}
        if not away:
            wanted[REPLACED_TAG] = journal.run
        if found is not None and tags != wanted:
            update_disk(arm, one, {"tags": wanted}, once=True)

    for one in [place.old for place in journal.places if place.old]:
        insist(arm, partial(act, one))


def _used(arm: ArmClient, journal: Journal) -> list[str]:
    """The disks of a run that are there and were attached to something, as far as they can be read.

    One whose tags somebody replaced counts as well: the record names it.
    """
    found = []
    for one in journal.made:
        with contextlib.suppress(VmguardError):
            disk = find_disk(arm, one)
            if disk is not None and was_used(disk):
                found.append(one)
    return found


def _remove_safety(arm: ArmClient, journal: Journal) -> list[str]:
    try:
        patiently(arm, partial(delete_safety_point, arm, journal.safety, journal.vm), TIDY_SECONDS)
    except VmguardError as error:
        return [Left.behind(journal.safety, error)]
    return []


def _names(ids: Iterable[str]) -> str:
    return ", ".join(one.rsplit("/", 1)[1] for one in ids)
