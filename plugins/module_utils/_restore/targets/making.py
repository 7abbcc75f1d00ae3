# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that makes new disks, and perhaps a machine of them: what both targets share.

The first disk bears the record of the run from the request that makes it until all is done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from ..._arm.client import ArmClient
from ..._clock import SystemClock
from ..._compute.ids import ResourceId, same_id
from ..._compute.virtual_machines import find_vm
from ..._errors import AzureError, OperationTimeout, VmguardError
from ..._repository.lease import Holder
from ..disks import Reconciler, Standing, State, remove_disk
from ..journal import ALIVE_STEPS, ALIVE_UNRENEWED, FILLING, Journal
from ..lock import Carrier, Lock, OnDisk, PlanOutdated, RestoreHeld, RestoreTakenOver, held
from ..maker import Maker, Overtaken
from ..plan import DiskPlan, Point, Raw, made_by_restore, made_by_run
from ..request import RestoreFailed
from ..steps import TIDY_SECONDS, close_record, patiently
from ..undo import remove_made, undo_new


@dataclass(frozen=True)
class Making:
    """What there is to start from.

    Args:
        standings: the disks.
        dead: the record of a killed run of the same restore that this one goes on with.
        others: the records of killed runs of other restores, which are undone first.
    """

    standings: list[Standing]
    dead: Journal | None = None
    others: list[Journal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look(
    arm: ArmClient,
    plans: list[DiskPlan],
    restore_id: str,
    run: str,
    clock: SystemClock,
    *,
    earlier: bool,
) -> Making:
    """Find what there is of the planned disks, and whether other runs work on them.

    Args:
        earlier: as for ``Reconciler``.

    Raises:
        RestoreHeld: another restore works on disks of these names.
        InputError: a disk is in the way.
    """
    first = Reconciler(arm, restore_id, run, earlier=earlier)
    standings = first.look(plans)
    for one in first.open:
        if one.alive(clock.now()):
            raise held(one, one.made[0])
    # A machine that exists may be in use: what made it is over, whatever its record says.
    unfinished = [one for one in first.open if not _has_machine(arm, one)]
    if not unfinished:
        return Making(standings, notes=first.notes)
    same = [one for one in unfinished if one.restore_id == restore_id and one.target != "in_place"]
    dead = same[0] if len(same) == 1 else None
    if dead is not None:
        others = [one for one in unfinished if one is not dead]
        again = _looked(arm, plans, restore_id, dead.run, others, earlier=earlier)
        if same_id(again.standings[0].plan.id, dead.made[0]):
            return replace(again, dead=dead)
    return _looked(arm, plans, restore_id, run, unfinished, earlier=earlier)


def _has_machine(arm: ArmClient, journal: Journal) -> bool:
    parsed = ResourceId.parse(journal.vm) if journal.vm else None
    return parsed is not None and find_vm(arm, parsed.group, parsed.name) is not None


def _looked(
    arm: ArmClient,
    plans: list[DiskPlan],
    restore_id: str,
    run: str,
    others: list[Journal],
    *,
    earlier: bool,
) -> Making:
    gone = [disk for one in others for disk in one.made]
    reconciler = Reconciler(arm, restore_id, run, earlier=earlier, gone=gone)
    return Making(reconciler.look(plans), others=others, notes=reconciler.notes)


def journal_of(
    making: Making,
    *,
    run: str,
    restore_id: str,
    target: str,
    vm: str,
    clock: SystemClock,
    start: bool = False,
) -> Journal:
    """The record of the run that makes this.

    Args:
        start: whether the machine is to run in the end.
    """
    process, run = run, making.dead.run if making.dead else run
    now = clock.now()
    made = [one.plan.id for one in making.standings]
    if making.dead:
        # What the killed run made beyond that is still to be found by who undoes this one.
        made += [one for one in making.dead.made if one not in made]
    return Journal(
        run=run,
        process=process,
        restore_id=restore_id,
        target=target,
        holder=Holder.here(run),
        since=now.isoformat(timespec="seconds"),
        until=now,
        ran=start,
        made=tuple(made),
        vm=vm,
    )


def undo_dead(arm: ArmClient, dead: Journal, clock: SystemClock) -> None:
    """Delete what a killed run of another restore left.

    Raises:
        RestoreHeld: another run came first.
        RestoreFailed: it could not be deleted.
    """
    lock = Lock(OnDisk(arm, dead.made[0]), replace(dead, holder=Holder.here(dead.run)), clock)
    _take_over(lock, dead)
    undone = undo_new(arm, replace(dead, vm=""), used_too=False)
    if undone.whole:
        lock.abandon(keep=False)  # a disk that was used since stays
    else:
        raise RestoreFailed(
            f"An earlier restore was killed, and what it left cannot be deleted. {undone.sentence}",
            resource=dead.made[0],
            hint=undone.hint,
        )


def _take_over(lock: Lock, dead: Journal) -> bool:
    """Take the record of a killed run; False where its disk takes no tags, and it is that run's still.

    Raises:
        RestoreHeld: another run came first.
        PlanOutdated: the record is not there any more: somebody finished or undid that run.
    """
    try:
        lock.claim(expected=dead.run)
    except (RestoreHeld, PlanOutdated):
        raise
    except RestoreTakenOver as error:
        raise PlanOutdated(error.message, resource=error.resource, hint=error.hint) from error
    except VmguardError as error:
        # A disk that is being uploaded to may not take tags; what is so on it counts.
        if not _bears(lock.carrier, dead):
            raise PlanOutdated(error.message, resource=lock.carrier.id) from error
        return False
    return True


def _bears(carrier: Carrier, journal: Journal) -> bool:
    """Whether the record that lies there is this one, of the same run and process."""
    there = carrier.journal(carrier.read())
    return there is not None and (there.run, there.holder) == (journal.run, journal.holder)


class MakingRun:
    """One run.

    Args:
        finish: what is done with the disks, once all are whole; before the record is removed.
    """

    def __init__(
        self,
        arm: ArmClient,
        point: Point,
        clock: SystemClock,
        making: Making,
        journal: Journal,
        finish: Callable[[], None],
    ) -> None:
        self._arm, self._clock, self._making, self._finish = arm, clock, making, finish
        self.warnings: list[str] = []
        self._taken = self._took_over = False
        self.lock = Lock(OnDisk(arm, journal.made[0]), journal, clock)
        self._maker = Maker(
            arm,
            journal.run,
            journal.process,
            self.lock.check,
            fill=point.fill,
            carrier=journal.made[0],
            journal=self._first_record,
            guard=self.lock.guard,
        )

    def _first_record(self) -> Journal:
        """The record in the request that makes the first disk, until it is renewed for the first time."""
        now = self._clock.now()
        if self._making.standings[0].plan.source.image is None:
            return self.lock.journal.renewed(now)
        return self.lock.journal.renewed(now, until=now + timedelta(seconds=ALIVE_UNRENEWED))

    def go(self) -> list[Raw]:
        """Do it; the disks as Azure has them.

        Raises:
            RestoreHeld: another run came first; it was left alone.
            OperationTimeout: Azure goes on; the next run picks it up.
            RestoreFailed: it failed; the message says what is left.
        """
        for one in self._making.others:
            undo_dead(self._arm, one, self._clock)
        try:
            first = self._take()
            self._taken = True
            self.lock.renew_in_background(at_once=first.plan.source.image is not None)
            standings = [first, *self._making.standings[1:]]
            disks = self._maker.make_all(standings)
            self.lock.stop_renewing()
            # What follows may keep Azure from changing the disk that bears the record.
            until = self._clock.now() + timedelta(seconds=ALIVE_STEPS)
            self.lock.enter(FILLING, until=until)
            self._finish()
            disks = self._maker.confirm(standings, disks)
        except (RestoreHeld, RestoreTakenOver, PlanOutdated):
            raise
        except OperationTimeout:
            self.lock.release()
            raise
        except Overtaken as error:
            self._give_way(error)
            raise PlanOutdated(error.message, resource=error.resource, hint=error.hint) from error
        except BaseException as error:
            self.lock.stop_renewing()
            if self._taken or self._took_over:
                self._need_own(error)
                # By then what the killed run made is this one's to delete, or to leave with its record.
                self._taken = True
            undone = undo_new(self._arm, self._ours(), spare=self._not_used_here())
            self._close_record(whole=undone.whole)
            raise RestoreFailed.after(error, undone.sentence, hint=undone.hint) from error
        finally:
            self.lock.stop_renewing()
        if left := close_record(self._arm, self.lock.commit):
            self.warnings.append(f"The restore is done. {left}")
        return disks

    def _close_record(self, *, whole: bool) -> None:
        """After undoing: a disk of an earlier run that bore the record is still there."""
        if not whole:
            self.lock.release()
            return
        with contextlib.suppress(VmguardError):
            self.lock.commit()

    def _need_own(self, cause: BaseException) -> None:
        """Undo nothing where another run has taken over: what bears this run's tags is its by now.

        Raises:
            RestoreTakenOver: another run has, or had and is done.
            RestoreFailed: that cannot be told.
        """

        def look() -> None:
            seen = self.lock.carrier.read()
            if seen is not None:
                self.lock.check_in(seen)

        try:
            patiently(self._arm, look, TIDY_SECONDS)
        except RestoreTakenOver as error:
            if self._is_still_of_the_dead():
                raise RestoreFailed.after(
                    cause, "What an earlier run had left is as it was."
                ) from error
            raise
        except VmguardError as error:
            raise RestoreFailed.after(
                cause,
                f"What this restore had made was left as it is, because its record cannot be read:"
                f" {error.message}",
                hint="Run the task again: it goes on from the record.",
            ) from error

    def _is_still_of_the_dead(self) -> bool:
        """Whether the record is that of the killed run that this one was to go on with, and never did."""
        dead = self._making.dead
        return dead is not None and _bears(self.lock.carrier, dead)

    def _give_way(self, error: Overtaken) -> None:
        """Somebody else made a disk of ours.

        A run of the same restore was done before our first request arrived, which then changed the tags
        of the first disk: that one is the other run's, and stays. In the way of anything else, all of
        ours goes.
        """
        self.lock.stop_renewing()
        journal = replace(self._ours(), vm="")
        if made_by_restore(error.seen, journal.restore_id):
            remove_made(self._arm, replace(journal, made=journal.made[1:]))
        else:
            undo_new(self._arm, journal, spare=self._not_used_here())
        self.lock.abandon(keep=False)

    def _ours(self) -> Journal:
        """What this run may delete: what it made itself, and what the killed run made whose record it has."""
        journal = self.lock.journal
        inherits = self._taken and self._making.dead is not None
        return replace(journal, process="") if inherits else journal

    def _not_used_here(self) -> list[str]:
        """What the killed run made, and this one does not use: somebody may have used it since."""
        mine = {one.plan.id.lower() for one in self._making.standings}
        return [one for one in self.lock.journal.made if one.lower() not in mine]

    def _take(self) -> Standing:
        """Make sure of being the only one: make the first disk with the record, or write it there."""
        first, dead = self._making.standings[0], self._making.dead
        if first.state in (State.READY, State.BEING_MADE):
            if first.state is State.BEING_MADE:
                self._maker.wait(first.plan)
            self.lock.claim(dead.run if dead else None)
            return first
        if dead is not None and first.state is not State.ABSENT:
            self._took_over = True
            if not _take_over(self.lock, dead):
                remove_disk(self._arm, first.plan.id)
                first = replace(first, state=State.ABSENT, seen=None)
        try:
            begun = self._maker.begin(first, first.state)
        except (AzureError, Overtaken) as error:
            seen = self.lock.carrier.read()
            if seen is None or made_by_run(seen, self.lock.journal.run):
                raise
            if there := self.lock.carrier.journal(seen):
                raise held(there, self.lock.carrier.id) from None
            raise PlanOutdated(error.message, resource=error.resource, hint=error.hint) from error
        self.lock.settle()
        return begun
