# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a restore in place.

The record of the run is written to the machine first. The new disks are made while the machine runs,
and a safety restore point is taken; then it is stopped, the disks are swapped, and it is started if it
ran. Whatever fails on the way, the original disks go back and the machine is started again if it ran.
"""

from __future__ import annotations

from dataclasses import replace

from ..._arm.client import ArmClient
from ..._clock import SystemClock
from ..._compute.disks import find_disk, get_disk, update_disk
from ..._compute.ids import ResourceId, same_id
from ..._compute.storage_profile import Lun, attached_disks, disk_id, role
from ..._compute.virtual_machines import get_vm, power_state
from ..._errors import OperationTimeout, VmguardError
from ..._repository.lease import Holder
from ..disks import Maker, Standing, State
from ..journal import PROTECTING, SWAPPED, SWAPPING, UNDOING, UNTOUCHED, Journal
from ..lock import Lock, OnMachine, PlanOutdated, RestoreHeld, RestoreTakenOver
from ..machine import MachineChanged, restored_entry
from ..plan import RUN_TAG, Point, Raw, RestoredDisk, SourceDisk, made_by_run, tags_of
from ..request import Outcome, Request, RestoreFailed
from ..safety import delete_safety_point, safety_taken, take_safety_point
from ..undo import (
    Undone,
    close_record,
    describe_vm,
    insist,
    reason,
    remove_replaced,
    settled_vm,
    start_vm,
    stop_vm,
    swap,
    tag_replaced,
    undo_in_place,
)


def settle(
    arm: ArmClient, dead: Journal, clock: SystemClock, old_disks: str
) -> tuple[list[str], list[str]]:
    """Finish what a killed run swapped, or undo it.

    Args:
        old_disks: what is asked for now; replaced disks are only deleted where both runs say so.

    Returns:
        The replaced disks that were deleted, and those that could not be.

    Raises:
        RestoreHeld: another run came first.
        RestoreFailed: it can be neither finished nor undone yet.
    """
    lock = Lock(OnMachine(arm, dead.vm), replace(dead, holder=Holder.here(dead.run)), clock)
    lock.claim(expected=dead.run)
    if dead.phase == SWAPPED:
        if dead.ran:
            start_vm(arm, dead.vm, lock.check_in)
        old = [place.old for place in dead.places if place.old]
        deletes = dead.old_disks == old_disks == "delete"
        gone, left = remove_replaced(arm, dead) if deletes else ([], old)
        insist(arm, lambda: end_run(arm, lock))
        return gone, left
    if dead.phase not in UNTOUCHED:
        lock.enter(UNDOING)
    undone = undo_in_place(arm, lock.journal, lock.check_in)
    if not undone.whole:
        lock.release()
        raise RestoreFailed(
            f"An earlier restore of {dead.vm.rsplit('/', 1)[1]} was killed and cannot be undone now."
            f" {undone.sentence}",
            resource=dead.vm,
            hint=undone.hint or "Run the task again.",
        )
    lock.commit()
    return [], []


def remove_record(arm: ArmClient, over: Journal, clock: SystemClock) -> None:
    """Remove the record of a run that has ended: it was killed before that, or somebody wrote it back."""
    lock = Lock(OnMachine(arm, over.vm), replace(over, holder=Holder.here(over.run)), clock)
    lock.claim(expected=over.run)
    lock.commit()


def end_run(arm: ArmClient, lock: Lock) -> None:
    """Remove the record, and before that the run from its first disk.

    So a record that somebody writes back later, with the tags of a machine that were read before, is
    known to be over.
    """
    first = lock.journal.places[0].new
    found = find_disk(arm, first)
    if found is not None and made_by_run(found, lock.journal.run):
        tags = {name: value for name, value in tags_of(found).items() if name != RUN_TAG}
        update_disk(arm, first, {"tags": tags})
    lock.commit()


def read_back(
    arm: ArmClient, outcome: Outcome, sources: dict[Lun, SourceDisk], vm: Raw | None = None
) -> None:
    """Put into the outcome what Azure has now.

    Args:
        vm: as it was just read, with its power state.
    """
    if vm is None:
        parsed = ResourceId.parse(outcome.vm_id or "")
        vm = get_vm(arm, parsed.group, parsed.name, instance_view=True)
    attached = attached_disks(vm)
    outcome.disks = [
        RestoredDisk(
            source, disk_id(attached[lun]), get_disk(arm, disk_id(attached[lun])), attached[lun]
        )
        for lun, source in sources.items()
        if lun in attached
    ]
    outcome.power_state = power_state(vm)


class InPlaceRun:
    """One run.

    Args:
        journal: what it will do.
        standings: its disks, in the order of the journal's places.
    """

    def __init__(
        self,
        arm: ArmClient,
        point: Point,
        request: Request,
        clock: SystemClock,
        journal: Journal,
        standings: list[Standing],
    ) -> None:
        self._arm = arm
        self._point = point
        self._request = request
        self._standings = standings
        self._lock = Lock(OnMachine(arm, journal.vm), journal, clock)

    @property
    def _journal(self) -> Journal:
        return self._lock.journal

    def go(self, outcome: Outcome, dead: Journal | None, over: Journal | None) -> Outcome:
        """Do it.

        Args:
            over: a record of a run that has ended, which somebody wrote back.
            outcome: as it was predicted; it is corrected by what is read back.
            dead: the record of the killed run that this one goes on with.

        Raises:
            RestoreHeld: another run came first; nothing was changed.
            RestoreFailed: it failed; the message says what is so now.
        """
        half_swapped = self._keep_what_was_taken(dead)
        try:
            there = dead or over
            self._lock.claim(there.run if there else None)
        except RestoreHeld:
            raise
        except BaseException as error:
            self._lock.abandon(keep=dead is not None)
            name = self._journal.vm.rsplit("/", 1)[1]
            hint = "Run the task again with a longer wait_timeout; it starts over."
            raise RestoreFailed.after(
                error,
                f"The restore had not begun; nothing of {name} was changed.",
                hint=hint if isinstance(error, OperationTimeout) else None,
            ) from error
        if dead is None:
            self._check_plan()
        try:
            self._swap_in(dead, half_swapped=half_swapped)
        except RestoreTakenOver as error:
            error.message += f" {describe_vm(self._arm, self._journal.vm)}"
            error.hint = "Look at the machine, then run the task again."
            raise
        except BaseException as error:
            raise self._undo(error) from error
        finally:
            self._lock.stop_renewing()
        self._finish(outcome)
        return outcome

    def _need_swapped(self) -> None:
        """Raises MachineChanged where the machine does not have the new disks, whatever was said."""
        vm = settled_vm(self._arm, self._journal.vm)
        self._lock.check_in(vm)
        attached = attached_disks(vm)
        for place in self._journal.places:
            if not same_id(disk_id(attached.get(place.lun)), place.new):
                raise MachineChanged(
                    f"The disks were swapped, and somebody changed them since:"
                    f" {role(place.lun)} of {vm['name']} does not have"
                    f" {place.new.rsplit('/', 1)[1]}. {describe_vm(self._arm, vm['id'])}",
                    resource=vm["id"],
                )

    def _check_plan(self) -> None:
        """Whether the machine and the disks are as planned, now that nobody else restores it.

        Raises:
            PlanOutdated: they are not; the record is removed again.
        """
        try:
            self._check_unchanged()
            self._check_free()
        except MachineChanged as error:
            self._lock.abandon(keep=False)
            raise PlanOutdated(error.message, resource=error.resource, hint=error.hint) from error

    def _check_free(self) -> None:
        for one in self._standings:
            if one.state is State.ABSENT and find_disk(self._arm, one.plan.id) is not None:
                raise MachineChanged(f"A disk {one.plan.name} was made meanwhile.")

    def _keep_what_was_taken(self, dead: Journal | None) -> bool:
        """Where a killed run has swapped a disk already, its safety point is the one that counts."""
        if dead is None or not self._swapped_any(self._vm()):
            return False
        taken = bool(dead.safety) and safety_taken(self._arm, dead.safety)
        self._lock.journal = replace(self._journal, safety=dead.safety if taken else "")
        return True

    def _swap_in(self, dead: Journal | None, *, half_swapped: bool) -> None:
        journal, arm = self._journal, self._arm
        self._lock.renew_in_background()
        entries = self._make_disks()
        self._lock.stop_renewing()
        vm = self._check_unchanged()
        if not half_swapped:
            # A machine that a killed run had stopped is to run again, whatever fails from here on.
            self._lock.enter(PROTECTING if journal.phase in UNTOUCHED else SWAPPING)
            self._take_safety_point(vm, dead)
        if self._request.old_disks == "delete":
            tag_replaced(arm, journal)
        self._lock.enter(SWAPPING)
        stop_vm(arm, journal.vm, self._lock.check_in)
        self._check_unchanged()
        swap(arm, journal, entries, self._lock.check_in)
        self._lock.enter(SWAPPED)
        if journal.ran:
            start_vm(arm, journal.vm, self._lock.check_in, wait=self._request.wait)

    def _take_safety_point(self, vm: Raw, dead: Journal | None) -> None:
        """Take it of the machine as it is now; that of a killed run is older, and goes first."""
        if dead is not None and dead.safety:
            delete_safety_point(self._arm, dead.safety, self._journal.vm)
        if self._journal.safety:
            take_safety_point(self._arm, self._journal.safety, vm)

    def _make_disks(self) -> dict[Lun, Raw]:
        maker = Maker(self._arm, self._journal.run, fill=self._point.fill)
        maker.make_all(self._standings)
        places = {place.lun: place for place in self._journal.places}
        plans = [one.plan for one in self._standings]
        return {
            plan.source.lun: restored_entry(plan, places[plan.source.lun].entry) for plan in plans
        }

    def _vm(self) -> Raw:
        parsed = ResourceId.parse(self._journal.vm)
        return get_vm(self._arm, parsed.group, parsed.name, instance_view=True)

    def _swapped_any(self, vm: Raw) -> bool:
        attached = attached_disks(vm)
        return any(
            not same_id(disk_id(attached.get(place.lun)), place.old)
            for place in self._journal.places
        )

    def _check_unchanged(self) -> Raw:
        """The machine, if the places to be swapped are as they were when the restore was planned.

        Raises:
            MachineChanged: a disk was attached, detached or moved there, or has grown.
        """
        vm = self._vm()
        attached = attached_disks(vm)
        for place in self._journal.places:
            there = disk_id(attached.get(place.lun))
            if same_id(there, place.new) or (not there and self._journal.phase == SWAPPING):
                continue
            where, expected = f"{role(place.lun)} of {vm['name']}", place.old.rsplit("/", 1)[-1]
            if not same_id(there, place.old):
                raise MachineChanged(
                    f"{where} had {expected or 'no disk'} when the restore began, and has"
                    f" {there.rsplit('/', 1)[-1] or 'none'} now.",
                    resource=vm["id"],
                    hint="Run the task again: it starts from what the machine has then.",
                )
            size = ((find_disk(self._arm, there) if there else None) or {}).get("properties", {})
            if place.old_size and size.get("diskSizeGB", place.old_size) != place.old_size:
                raise MachineChanged(
                    f"{expected} at {where} had {place.old_size} GiB when the restore began, and has"
                    f" {size['diskSizeGB']} now.",
                    resource=vm["id"],
                    hint="Run the task again: it starts from what the machine has then.",
                )
        return vm

    def _undo(self, error: BaseException) -> RestoreFailed:
        self._lock.stop_renewing()
        self._say_undoing()
        undone = undo_in_place(self._arm, self._journal, self._lock.check_in)
        undone = self._close_record(undone)
        # What was undone cannot be picked up again, whatever the hint of a timeout says.
        late = isinstance(error, OperationTimeout)
        hint = "Run the task again with a longer wait_timeout; it starts over." if late else None
        failure = RestoreFailed.after(error, undone.sentence, hint=undone.hint or hint)
        name = self._journal.vm.rsplit("/", 1)[1]
        failure.result = {
            "vm": {"id": self._journal.vm, "name": name, "power_state": undone.power_state}
        }
        return failure

    def _say_undoing(self) -> None:
        """Whether the record can be changed or not, the machine comes first; but only if it is ours.

        Raises:
            RestoreTakenOver: it is another run's by now.
        """
        try:
            if self._journal.phase in UNTOUCHED:
                self._lock.check()
            else:
                self._lock.enter(UNDOING)
        except RestoreTakenOver:
            raise
        except VmguardError:
            return

    def _close_record(self, undone: Undone) -> Undone:
        if not undone.whole:
            self._lock.release()
            return undone
        if left := close_record(self._arm, self._lock.commit):
            undone.sentence += f" {left}"
        return undone

    def _finish(self, outcome: Outcome) -> None:
        """Delete the replaced disks if asked to, remove the record, and read everything back."""
        journal = self._journal
        self._need_swapped()
        if self._request.old_disks == "delete":
            outcome.deleted_disks, outcome.kept_disks = remove_replaced(self._arm, journal)
            for disk in outcome.kept_disks:
                outcome.warnings.append(
                    f"The machine is restored, but its old disk {disk.rsplit('/', 1)[1]} could not be"
                    f" deleted.{reason([disk])}"
                )
            outcome.kept_disks = [str(disk) for disk in outcome.kept_disks]
        if left := close_record(self._arm, lambda: end_run(self._arm, self._lock)):
            outcome.warnings.append(f"The machine is restored. {left}")
        if self._request.wait:
            settled_vm(self._arm, journal.vm)
        outcome.safety_restore_point = journal.safety or None
        read_back(
            self._arm, outcome, {one.plan.source.lun: one.plan.source for one in self._standings}
        )
