# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finish a restore in place that was killed after its swap, or undo it; and end one that is done."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace

from ..._arm.client import ArmClient
from ..._clock import SystemClock
from ..._compute.disks import find_disk, update_disk
from ..._errors import VmguardError
from ..._repository.lease import Holder
from ..journal import SWAPPED, UNDOING, UNTOUCHED, Journal
from ..lock import Lock, OnMachine
from ..plan import RUN_TAG, ended_tag, made_by_run, tags_of
from ..request import RestoreFailed
from ..safety import await_safety_point
from ..steps import insist, start_if_room
from ..undo import reason, remove_replaced, tag_replaced, undo_in_place


@dataclass(frozen=True)
class Settled:
    """What became of a killed run: ids of disks.

    Args:
        gone: the disks that it had replaced, and that were deleted.
        left: those that are kept.
        kept: new disks of it that were attached to the machine, and are detached and kept.
        no_room: a sentence where the machine could not be started.
        why: why disks that were to be deleted are kept; empty where there are none.
    """

    gone: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    no_room: str = ""
    why: str = ""

    def sentence(self) -> str:
        """Empty where nothing is to be told."""

        def names(ids: list[str]) -> str:
            return ", ".join(one.rsplit("/", 1)[1] for one in ids) or "none"

        if self.kept:
            return (
                "An earlier restore that was killed was undone first. These disks of it had been attached"
                f" to the machine, which may have written to them: they are kept: {names(self.kept)}."
            )
        if self.gone or self.left or self.no_room:
            return (
                "An earlier restore that was killed after its swap was finished first. Of the disks that"
                f" it had replaced these were deleted: {names(self.gone)}; these are kept:"
                f" {names(self.left)}. {self.why} {self.no_room}".rstrip()
            )
        return ""


def settle(arm: ArmClient, dead: Journal, clock: SystemClock, old_disks: str) -> Settled:
    """Finish what a killed run swapped, or undo it.

    Args:
        old_disks: what is asked for now; replaced disks are only deleted where both runs say so.

    Raises:
        RestoreHeld: another run came first.
        RestoreFailed: it can be neither finished nor undone yet.
    """
    lock = Lock(OnMachine(arm, dead.vm), replace(dead, holder=Holder.here(dead.run)), clock)
    lock.claim(expected=dead.run)
    if dead.phase == SWAPPED:
        no_room = start_if_room(arm, dead.vm, lock.check_in) if dead.ran else None
        old = [one.old for one in dead.places if one.old and find_disk(arm, one.old)]
        deletes = dead.old_disks == old_disks == "delete"
        why = needed_by_safety(arm, dead, wait=False) if deletes else None
        deletes = deletes and not why
        gone, left = remove_replaced(arm, dead, lock.check_in) if deletes else ([], old)
        if dead.old_disks == "delete" and left:
            with contextlib.suppress(VmguardError):
                tag_replaced(arm, dead, away=True)
        insist(arm, lambda: end_run(arm, lock))
        return Settled(gone, left, no_room=no_room or "", why=why or reason(left).strip())
    if dead.phase not in UNTOUCHED:
        lock.enter(UNDOING)
    undone = undo_in_place(arm, lock.journal, lock.check_in, keep_used=True)
    if not undone.whole:
        lock.release()
        raise RestoreFailed(
            f"An earlier restore of {dead.vm.rsplit('/', 1)[1]} was killed and cannot be undone now."
            f" {undone.sentence}",
            resource=dead.vm,
            hint=undone.hint or "Run the task again.",
        )
    lock.commit()
    return Settled(kept=undone.kept)


def needed_by_safety(arm: ArmClient, journal: Journal, *, wait: bool) -> str | None:
    """Why the replaced disks may not be deleted yet; None where the safety restore point is whole."""
    try:
        if journal.safety:
            await_safety_point(arm, journal.safety, wait=wait)
    except VmguardError as error:
        return (
            "The replaced disks are kept, because the safety restore point may still need them:"
            f" {error.message}"
        )
    return None


def remove_record(arm: ArmClient, over: Journal, clock: SystemClock) -> None:
    """Remove the record of a run that has ended: it was killed before that, or somebody wrote it back."""
    lock = Lock(OnMachine(arm, over.vm), replace(over, holder=Holder.here(over.run)), clock)
    lock.claim(expected=over.run)
    lock.commit()


def end_run(arm: ArmClient, lock: Lock) -> None:
    """Remove the record, and before that write to its first disk that the run has ended.

    So a record that somebody writes back later, with the tags of a machine that were read before, is
    known to be over.
    """
    first = lock.journal.places[0].new
    found = find_disk(arm, first)
    if found is not None and made_by_run(found, lock.journal.run):
        update_disk(arm, first, {"tags": {**tags_of(found), RUN_TAG: ended_tag(lock.journal.run)}})
    lock.commit()
