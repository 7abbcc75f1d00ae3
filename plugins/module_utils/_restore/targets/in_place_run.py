# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a restore in place.

The record of the run is written to the machine first. The new disks are made while the machine runs,
and a safety restore point is taken; then it is stopped, the disks are swapped, and it is started if it
ran. Whatever fails on the way, the original disks go back and the machine is started again if it ran.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from ..._arm.client import ArmClient
from ..._clock import SystemClock
from ..._compute.disks import find_disk
from ..._compute.ids import ResourceId, same_id
from ..._compute.storage_profile import Lun, attached_disks, disk_id, role
from ..._compute.virtual_machines import get_vm
from ..._errors import OperationTimeout, VmguardError
from ..disks import Standing, State
from ..fit import need_fitting
from ..journal import JOURNAL_TAG, PROTECTING, SWAPPED, SWAPPING, UNDOING, UNTOUCHED, Journal
from ..lock import Lock, OnMachine, PlanOutdated, RecordGone, RestoreHeld, RestoreTakenOver
from ..machine import MachineChanged, restored_entry
from ..maker import Maker
from ..plan import (
    Point,
    Raw,
    tags_of,
)
from ..read_back import read_back
from ..request import Outcome, Request, RestoreFailed
from ..safety import (
    delete_safety_point,
    safety_taken,
    take_safety_point,
)
from ..steps import (
    close_record,
    describe_vm,
    settled_vm,
    start_if_room,
    start_vm,
    stop_vm,
    swap,
)
from ..undo import Undone, loose_disks, reason, remove_replaced, tag_replaced, undo_in_place
from .settle import end_run, needed_by_safety


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
        self._stopped = False
        self._not_started: str | None = None
        self._inherits = False

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
        self._inherits = dead is not None
        if dead is None:
            self._check_plan()
        try:
            self._swap_in(dead, half_swapped=half_swapped)
        except RestoreTakenOver as error:
            raise self._explain(error) from None
        except BaseException as error:
            try:
                failure = self._undo(error)
            except RestoreTakenOver as taken_over:
                raise self._explain(taken_over) from error
            raise failure from error
        finally:
            self._lock.stop_renewing()
        try:
            self._finish(outcome)
        except RestoreTakenOver as error:
            raise self._explain(error) from None
        return outcome

    def _explain(self, error: RestoreTakenOver) -> RestoreTakenOver:
        """Tell what is so now, and what of this run's is left; start what this run's stop has stopped."""
        vm_id = self._journal.vm
        if isinstance(error, RecordGone) and self._stopped and self._journal.ran:
            with contextlib.suppress(VmguardError):
                self._start_whole()
        error.message += f" {describe_vm(self._arm, vm_id)}"
        if left := loose_disks(self._arm, self._journal):
            error.message += f" These disks that it made are attached to nothing: {left}."
        error.hint = "Look at the machine, then run the task again."
        return error

    def _start_whole(self) -> None:
        """Start the machine unless some of its disks are the original ones and some this run's."""
        vm = settled_vm(self._arm, self._journal.vm)
        attached = attached_disks(vm)
        there = {place.lun: disk_id(attached.get(place.lun)) for place in self._journal.places}
        kinds = {
            "old" if same_id(there[place.lun], place.old)
            else "new" if same_id(there[place.lun], place.new) else "other"
            for place in self._journal.places
        }  # fmt: skip
        empty = any(not one for one in there.values())
        if len(kinds) == 1 and not empty and JOURNAL_TAG not in tags_of(vm):
            start_vm(self._arm, vm["id"], lambda _seen: None)

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
        need_fitting(arm, vm, journal.places)
        if not half_swapped:
            # A machine that a killed run had stopped is to run again, whatever fails from here on.
            self._lock.enter(PROTECTING if journal.phase in UNTOUCHED else SWAPPING)
            self._take_safety_point(vm, dead)
        if self._request.old_disks == "delete":
            tag_replaced(arm, journal)
        self._lock.enter(SWAPPING)
        self._stopped = True
        stop_vm(arm, journal.vm, self._lock.check_in)
        self._check_unchanged()
        swap(arm, journal, entries, self._lock.check_in)
        self._lock.enter(SWAPPED)
        if journal.ran:
            self._not_started = start_if_room(
                arm, journal.vm, self._lock.check_in, wait=self._request.wait
            )

    def _take_safety_point(self, vm: Raw, dead: Journal | None) -> None:
        """Take it of the machine as it is now; that of a killed run is older, and goes first."""
        if dead is not None and dead.safety:
            delete_safety_point(self._arm, dead.safety, self._journal.vm)
        if self._journal.safety:
            take_safety_point(self._arm, self._journal.safety, vm)

    def _make_disks(self) -> dict[Lun, Raw]:
        maker = Maker(
            self._arm,
            self._journal.run,
            self._journal.process,
            self._lock.check,
            fill=self._point.fill,
        )
        maker.confirm(self._standings, maker.make_all(self._standings))
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
        # The disks of a killed run are this one's as well, once it has taken the record over.
        journal = replace(self._journal, process="") if self._inherits else self._journal
        undone = undo_in_place(self._arm, journal, self._lock.check_in)
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
                booted = self._journal.booted or self._journal.phase == SWAPPED
                self._lock.enter(UNDOING, booted=booted)
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

    def _remove_replaced(self, outcome: Outcome) -> None:
        # The record lasts for minutes, and Azure may need hours.
        self._lock.renew_in_background()
        try:
            why = needed_by_safety(self._arm, self._journal, wait=self._request.wait)
        finally:
            self._lock.stop_renewing()
        if why:
            outcome.deleted_disks = []
            outcome.kept_disks = [place.old for place in self._journal.places if place.old]
            outcome.warnings.append(why)
            return
        outcome.deleted_disks, outcome.kept_disks = remove_replaced(
            self._arm, self._journal, self._lock.check_in
        )
        for disk in outcome.kept_disks:
            outcome.warnings.append(
                f"The machine is restored, but its old disk {disk.rsplit('/', 1)[1]} could not be"
                f" deleted.{reason([disk])}"
            )
        outcome.kept_disks = [str(disk) for disk in outcome.kept_disks]

    def _finish(self, outcome: Outcome) -> None:
        """Delete the replaced disks if asked to, remove the record, and read everything back."""
        journal = self._journal
        self._need_swapped()
        if self._not_started:
            outcome.warnings.append(self._not_started)
        if self._request.old_disks == "delete":
            self._remove_replaced(outcome)
        if left := close_record(self._arm, lambda: end_run(self._arm, self._lock)):
            outcome.warnings.append(f"The machine is restored. {left}")
        if self._request.wait:
            settled_vm(self._arm, journal.vm)
        outcome.safety_restore_point = journal.safety or None
        read_back(self._arm, outcome, [one.plan.source for one in self._standings])
