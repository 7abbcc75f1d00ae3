# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may restore: of two runs on one machine, or on the same new disks, one works.

The record of a run (``journal``) is its lock. On a machine it is taken with If-Match, so that of
two one wins. Disks have no entity tag: there a run writes its record, reads it back, waits and
reads again, and gives way to any other that it finds.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from .._arm.client import ArmClient
from .._clock import SystemClock
from .._compute.disks import find_disk, update_disk
from .._compute.ids import ResourceId, same_id
from .._compute.passing import may_repeat, passing
from .._compute.virtual_machines import find_vm, update_vm
from .._errors import AzureError, ConnectionFailed, VmguardError
from . import journal as records
from .journal import Journal
from .plan import Raw, foreign_tags, tags_of

# Seconds that a run waits, once it has written its record where Azure cannot tell who came first, for
# another that read before; who needs longer than that to write has to look again.
SETTLE = 5.0
_PAUSE = 2.0
_ATTEMPTS = 30
_LONGEST = 5  # times the pause


class RestoreHeld(VmguardError):
    """Another restore works on the same machine or disks."""

    default_code = "RestoreUnderWay"


class RestoreTakenOver(VmguardError):
    """Another run holds the machine or disks now, because this one seemed to be dead."""

    default_code = "RestoreTakenOver"


class RecordGone(RestoreTakenOver):
    """The record is there no more, and no other one."""


class PlanOutdated(VmguardError):
    """What was planned for is not so any more, and nothing was changed yet: plan again."""

    default_code = "PlanOutdated"


class Changed(VmguardError):
    """The resource was changed between reading and writing it."""

    default_code = "Changed"


def held(journal: Journal, resource: str) -> RestoreHeld:
    """The error for who comes second."""
    return RestoreHeld(
        f"Another restore works on {resource.rsplit('/', 1)[1]}: {journal.who()}.",
        resource=resource,
        hint="Wait until it is finished; if it was killed, run the task again after that time, and it"
        " finishes or undoes what that run left.",
    )


class Carrier(ABC):
    """The resource whose tags hold the record.

    Attributes:
        id: of the resource.
    """

    def __init__(self, arm: ArmClient, resource_id: str) -> None:
        self._arm = arm
        self.id = resource_id

    @abstractmethod
    def read(self) -> Raw | None:
        """The resource, None where it does not exist."""

    @abstractmethod
    def write(
        self,
        seen: Raw,
        tags: dict[str, str],
        answered: Callable[[Any], None] = lambda _headers: None,
    ) -> None:
        """Give it these tags.

        Args:
            seen: the resource as it was read.
            answered: called as soon as Azure has the request, where that cannot be bound to ``seen``.

        Raises:
            Changed: it was changed since, where Azure can tell.
        """

    @abstractmethod
    def _bears(self, journal: Journal) -> bool:
        """Whether a record is this resource's own: tags are copied."""

    def journal(self, seen: Raw | None) -> Journal | None:
        """The record that the resource bears, as it was read.

        Raises:
            JournalUnreadable: it cannot be read.
        """
        journal = records.read_tags(self.id, tags_of(seen))
        return journal if journal is not None and self._bears(journal) else None


class OnMachine(Carrier):
    """The tags of a virtual machine, written only where nobody else wrote in between."""

    def read(self) -> Raw | None:
        parsed = ResourceId.parse(self.id)
        return find_vm(self._arm, parsed.group, parsed.name)

    def write(
        self,
        seen: Raw,
        tags: dict[str, str],
        answered: Callable[[Any], None] = lambda _headers: None,  # noqa: ARG002 - bound to the entity tag
    ) -> None:
        parsed = ResourceId.parse(self.id)
        try:
            update_vm(self._arm, parsed.group, parsed.name, {"tags": tags}, etag=seen.get("etag"))
        except AzureError as error:
            # A machine takes one change at a time; the other one is soon over.
            if not passing(error):
                raise
            raise Changed(
                f"{parsed.name} is being changed by somebody else: {error.message}",
                resource=self.id,
            ) from error

    def _bears(self, journal: Journal) -> bool:
        return same_id(journal.vm, self.id)


class OnDisk(Carrier):
    """The tags of the first disk that a restore makes."""

    def _bears(self, journal: Journal) -> bool:
        return bool(journal.made) and same_id(journal.made[0], self.id)

    def read(self) -> Raw | None:
        return find_disk(self._arm, self.id)

    def write(
        self,
        seen: Raw,  # noqa: ARG002 - a disk has no entity tag
        tags: dict[str, str],
        answered: Callable[[Any], None] = lambda _headers: None,
    ) -> None:
        try:
            update_disk(self._arm, self.id, {"tags": tags}, once=True, answered=answered)
        except (AzureError, ConnectionFailed) as error:
            if not may_repeat(error):
                raise
            name = self.id.rsplit("/", 1)[1]
            raise Changed(
                f"The record of the restore could not be written to {name}: {error.message}",
                resource=self.id,
            ) from error


def same_disk(one: Raw, other: Raw) -> bool:
    """Whether a disk is the same one, and not a later one of its name."""
    has, had = one.get("properties") or {}, other.get("properties") or {}
    return has.get("uniqueId") == had.get("uniqueId")


class Lock:
    """A record that is held, renewed while disks are filled, and removed as the commit.

    Args:
        journal: as it is to be written.

    Attributes:
        guard: held by whoever writes tags of the carrier.
    """

    def __init__(self, carrier: Carrier, journal: Journal, clock: SystemClock) -> None:
        self.carrier = carrier
        self.journal = journal
        self._clock = clock
        self.guard = threading.RLock()
        self._removing = False
        self._late: VmguardError | None = None
        self._took = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def claim(self, expected: str | None = None) -> None:
        """Write the record on a resource that exists.

        Args:
            expected: the run whose record is taken over; None for none.

        Raises:
            RestoreHeld: another one came first.
            PlanOutdated: another one may have come first and be done; the record is removed again.
            VmguardError: it cannot be written.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            seen = self._need()
            there = self.carrier.journal(seen)
            if there and self._is_mine(there):
                break
            if (there.run if there else None) != expected or (there and self._alive(there)):
                raise held(there, self.carrier.id) if there else self._gone()
            try:
                self._put(seen, self.journal.renewed(self._clock.now()))
                break
            except Changed:
                if attempt == _ATTEMPTS:
                    raise
                self._clock.sleep(_PAUSE * min(attempt, _LONGEST))
        if self._took > SETTLE:
            # Another run may have taken over and be done: its tags are overwritten now.
            self._withdraw(seen)
            raise PlanOutdated(
                f"Azure took {self._took:.0f} s to write the record of this restore.",
                resource=self.carrier.id,
                hint="Run the task again.",
            )
        self.settle()

    def settle(self) -> None:
        """Make sure that the record that is there is ours, after the time in which another could write.

        Raises:
            RestoreHeld: it is another one's.
        """
        seen = self._need()
        for look in range(1 if self._atomic(seen) else 2):
            if look:
                self._clock.sleep(SETTLE)
                seen = self._need()
            there = self.carrier.journal(seen)
            if there is None or not self._is_mine(there):
                raise held(there, self.carrier.id) if there else self._gone()

    def check(self) -> None:
        """Raises RestoreTakenOver where the record is another one's by now, or gone."""
        self.check_in(self._need())

    def check_in(self, seen: Raw) -> None:
        """The same for the carrier as it was just read: what follows can be bound to its entity tag."""
        there = self.carrier.journal(seen)
        if there is None or not self._is_mine(there):
            raise self._taken_over(there)
        if self._late is not None:
            raise self._late

    def enter(self, phase: str, **changes: Any) -> None:
        """Begin the next phase, and say so.

        Raises:
            RestoreTakenOver: the record is another one's by now.
        """
        self._rewrite(lambda: self.journal.renewed(self._clock.now(), phase, **changes))

    def commit(self) -> None:
        """Remove the record: the restore is done, or everything of it is undone.

        Raises:
            RestoreTakenOver: it is another one's by now.
        """
        self.stop_renewing()
        self._rewrite(lambda: None)

    def release(self) -> None:
        """Let the next run take over at once: this one ends, and Azure goes on."""
        self.stop_renewing()
        with contextlib.suppress(VmguardError):
            now = self._clock.now()
            self._rewrite(lambda: self.journal.renewed(now, until=now), attempts=1)

    def abandon(self, *, keep: bool) -> None:
        """Take the record back, as far as possible, where taking it failed half-way.

        Args:
            keep: another run's record is under it: leave it, and let the next run take over.
        """
        if keep:
            self.release()
            return
        with contextlib.suppress(VmguardError):
            self._rewrite(lambda: None)

    def renew_in_background(self, *, at_once: bool = False) -> None:
        """Renew the record every minute until ``stop_renewing``.

        Args:
            at_once: for the first time now.
        """
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._beat, args=(at_once,), name="restore", daemon=True
        )
        self._thread.start()

    def stop_renewing(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _beat(self, at_once: bool) -> None:
        while at_once or not self._stop.wait(records.RENEWED_EVERY):
            at_once = False
            # A record that cannot be renewed gives way when its time is over; ``check`` tells.
            with contextlib.suppress(VmguardError):
                self._rewrite(lambda: self.journal.renewed(self._clock.now()), attempts=1)

    def _rewrite(self, make: Callable[[], Journal | None], attempts: int = _ATTEMPTS) -> None:
        with self.guard:
            for attempt in range(1, attempts + 1):
                seen = self._need()
                there = self.carrier.journal(seen)
                wanted = make()
                if wanted is None and there is None and self._removing:
                    return  # The answer to the removal was lost.
                if there is None or not self._is_mine(there):
                    raise self._taken_over(there)
                if self._late is not None:
                    raise self._late
                try:
                    self._put(seen, wanted)
                except Changed:
                    if attempt == attempts:
                        raise
                    self._clock.sleep(_PAUSE * min(attempt, _LONGEST))
                else:
                    return

    def _put(self, seen: Raw, journal: Journal | None) -> None:
        tags = tags_of(seen)
        if journal is None:
            self._removing = True
            self._write(seen, records.strip_tags(tags))
            return
        try:
            written = records.write_tags(tags, journal)
        except VmguardError as error:
            error.resource = self.carrier.id
            raise
        self._write(seen, written)
        self.journal = journal

    def _write(self, seen: Raw, tags: dict[str, str]) -> None:
        """Write tags; where the record's time was over before the answer came, it is no longer ours.

        A disk has no entity tag: the record of a run that took over meanwhile would be overwritten. One
        that takes over at the same moment notices (``settle``).

        Raises:
            Changed: as ``Carrier.write``.
            RestoreTakenOver: it took that long.
        """
        lasts, began = self.carrier.journal(seen), self._clock.now()
        answers = []
        try:
            self.carrier.write(seen, tags, lambda _headers: answers.append(self._clock.now()))
        finally:
            mine = lasts is not None and self._is_mine(lasts)
            now = answers[0] if answers else self._clock.now()
            atomic = self._atomic(seen)
            self._took = 0.0 if atomic else (now - began).total_seconds()
            if mine and now >= lasts.until and self._took > SETTLE:
                self._late = RestoreTakenOver(
                    "Azure took longer to answer this restore than its record lasts"
                    f" ({lasts.until.isoformat(timespec='seconds')}): another one may have taken over"
                    " meanwhile, so this one was stopped and changed nothing more.",
                    resource=self.carrier.id,
                    hint="Run the task again: it goes on from what is there.",
                )
        if self._late is not None:
            self._withdraw(seen)
            raise self._late

    def _withdraw(self, before: Raw) -> None:
        """Take the record away that came late: what it lies on may be another run's finished disk.

        A disk that was made since ``before`` was read also loses the tags that say what it holds: they are
        those of the disk before it.
        """
        with contextlib.suppress(VmguardError):
            seen = self._need()
            there = self.carrier.journal(seen)
            if there is None or not self._is_mine(there):
                return
            left = records.strip_tags(tags_of(seen))
            if not same_disk(seen, before):
                left = foreign_tags(seen)
            self.carrier.write(seen, left)

    def _atomic(self, seen: Raw) -> bool:
        return isinstance(self.carrier, OnMachine) and bool(seen.get("etag"))

    def _need(self) -> Raw:
        seen = self.carrier.read()
        if seen is None:
            raise self._gone()
        return seen

    def _is_mine(self, there: Journal) -> bool:
        return there.run == self.journal.run and there.holder == self.journal.holder

    def _alive(self, there: Journal) -> bool:
        return there.alive(self._clock.now())

    def _gone(self) -> VmguardError:
        name = self.carrier.id.rsplit("/", 1)[1]
        return RecordGone(
            f"The record of this restore on {name} is gone: somebody removed it, or {name} itself.",
            resource=self.carrier.id,
        )

    def _taken_over(self, there: Journal | None) -> VmguardError:
        if there is None:
            return self._gone()
        return RestoreTakenOver(
            f"This restore was taken over by {there.who()}; it was stopped and changed nothing more.",
            resource=self.carrier.id,
        )
