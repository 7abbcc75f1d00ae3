# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: one writer for a machine's backups, and one for the keys, each known by its heartbeat.

A lease is a row of numbered records, each written once; the highest tells who has it and until
when. So it needs neither rewriting nor deleting, and whoever writes a number first has won it.

Clocks may disagree. A record says until when it holds by its writer's clock; where that cannot be
compared with the reader's, the reader watches, by a clock of its own that never jumps, whether
another record comes. The records are sealed with the repository's keys, which stay the same when
its passphrase changes: whoever opens the repository, with any passphrase, reads them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from .._errors import ObjectExists, ObjectNotFound, StorageDenied, VmguardError
from .._storage import process
from . import names
from .errors import DamagedObject, LeaseHeld, LeaseLost
from .repository import Repository

TIME_TO_LIVE = 120.0
HEARTBEAT = 20.0
# Instead of a machine's key: the lease of whoever changes the repository's keys.
KEYS_SCOPE = "keys"
_LIMIT = 64 << 10
# Seconds by which clocks differ that are set right.
_TOLERANCE = 5.0
# Between two looks at whether a heartbeat has come, in seconds.
_LOOK_AGAIN = 5.0
# A record that the storage has had for so long is no living holder's, whatever the clocks say.
_LONG_PAST = timedelta(hours=12)


class Clock(Protocol):
    """What is asked of a clock here."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. ``place`` tells machines and process namespaces apart."""

    run: str
    host: str
    pid: int
    place: str

    @classmethod
    def here(cls, run: str) -> Holder:
        return cls(run, socket.gethostname(), os.getpid(), process.place())

    @property
    def dead(self) -> bool:
        """Whether it was a process of this machine that is no more. Unknown is False."""
        ours = bool(self.place) and self.place == process.place()
        return ours and not process.is_running(self.pid)


@dataclass(frozen=True)
class State:
    """The newest record of a lease.

    Args:
        since, until: by the clock of the holder.
        stored: when it was written, by the clock of the storage.
    """

    number: int
    scope: str
    holder: Holder
    subject: str
    since: str
    until: datetime
    released: bool
    stored: datetime

    @property
    def free(self) -> bool:
        """Whether it was given back, or its holder is known to be dead."""
        return self.released or self.holder.dead

    def live(self, now: datetime) -> bool:
        """Whether it holds, if the holder's clock and the one that says ``now`` agree."""
        return not self.free and now < self.until

    def doubtful(self, now: datetime, time_to_live: float) -> bool:
        """Whether the clocks cannot tell if the holder works: only its heartbeat can.

        It is so when the time is over, for the holder's clock may be behind; and when more time is
        left than a record can have, for then the holder's clock is ahead.
        """
        if self.free:
            return False
        if now < self.until:
            return self.until - now > timedelta(seconds=time_to_live + _TOLERANCE)
        return now - max(self.until, self.stored) < _LONG_PAST


def scopes(repository: Repository) -> list[str]:
    """The scopes of which there are leases."""
    found = {one.name.split("/")[1] for one in repository.store.list(names.LEASES)}
    return sorted(found)


def read_state(repository: Repository, scope: str) -> State | None:
    """The newest record of a scope's lease, None where there is none.

    Raises:
        DamagedObject: it cannot be read.
    """
    for _attempt in range(5):
        listed = list(repository.store.list(_prefix(scope)))
        if not listed:
            return None
        latest = max(listed, key=lambda one: one.name)
        try:
            return _parse(latest.name, scope, repository.read(latest.name, _LIMIT), latest.modified)
        except ObjectNotFound:
            continue  # a heartbeat came in between
    return None


def held(
    repository: Repository,
    states: Iterable[State],
    clock: Clock,
    time_to_live: float = TIME_TO_LIVE,
) -> list[State]:
    """Those of the leases whose holders are at work, each as it is now.

    Where the clocks cannot tell, this watches for a heartbeat, for at most ``time_to_live`` seconds.
    """
    now = clock.now()
    working, doubtful = [], {}
    for state in states:
        if state.doubtful(now, time_to_live):
            doubtful[state.scope] = state
        elif state.live(now):
            working.append(state)
    end = clock.monotonic() + time_to_live
    while doubtful and (left := end - clock.monotonic()) > 0:
        clock.sleep(min(_LOOK_AGAIN, left))
        for scope, seen in list(doubtful.items()):
            latest = read_state(repository, scope)
            if latest is None or latest.free:
                del doubtful[scope]
            elif latest.number != seen.number or latest.holder != seen.holder:
                del doubtful[scope]
                working.append(latest)
    return working


def _prefix(scope: str) -> str:
    return f"{names.LEASES}{scope}/"


def _parse(name: str, scope: str, body: Any, stored: datetime) -> State:
    try:
        holder = Holder(str(body["run"]), str(body["host"]), int(body["pid"]), str(body["place"]))
        until = datetime.fromisoformat(body["until"])
        if until.tzinfo is None:
            raise DamagedObject(name, "its time has no zone")
        return State(
            number=int(name.rpartition("/")[2]),
            scope=scope,
            holder=holder,
            subject=str(body["subject"]),
            since=str(body["since"]),
            until=until.astimezone(timezone.utc),
            released=bool(body["released"]),
            stored=stored,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamagedObject(name, "it is no lease") from error


class Lease:
    """A lease that is held, kept by a thread. A context manager; leaving it releases.

    Args:
        scope: what it is for: a machine's key, or KEYS_SCOPE.
        subject: the same for people.
        run: the id of the run that takes it.
        time_to_live: seconds after its last record.
        heartbeat: seconds between two records.
    """

    def __init__(
        self,
        repository: Repository,
        scope: str,
        subject: str,
        run: str,
        clock: Clock,
        *,
        time_to_live: float = TIME_TO_LIVE,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self._repository = repository
        self._scope = scope
        self._subject = subject
        self._holder = Holder.here(run)
        self._clock = clock
        self._ttl = time_to_live
        self._heartbeat = heartbeat
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._number = 0
        self._until = 0.0
        self._since = ""
        self._taken = False
        self.broken: Holder | None = None

    def __enter__(self) -> Lease:
        self.acquire()
        return self

    def __exit__(self, *exc: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lease, from nobody, or from a holder that is dead.

        Where only the heartbeat can tell whether a holder works, this takes as long as its time to
        live.

        Raises:
            LeaseHeld: somebody else has it.
            DamagedObject: its newest record cannot be read.
        """
        seen = {one.name for one in self._repository.store.list(_prefix(self._scope))}
        state = self._newest()
        if state and not state.released:
            for working in held(self._repository, [state], self._clock, self._ttl):
                raise self._held(working)
            before, state = state, self._newest()
            if state and not state.free and state.number != before.number:
                raise self._held(state)
            self.broken = state.holder if state and not state.released else None
        self._since = _text(self._clock.now())
        self._number = state.number if state else 0
        try:
            self._write(released=False)
        except ObjectExists as error:
            self._taken = True
            raise self._held(read_state(self._repository, self._scope)) from error
        except VmguardError:
            self._take_back()
            raise
        self._yield_to_others(seen)
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def _newest(self) -> State | None:
        try:
            return read_state(self._repository, self._scope)
        except DamagedObject as error:
            error.hint = f"If nothing works on {self._subject}, delete this object."
            raise

    def _take_back(self) -> None:
        """Delete our record if it was written, although the storage said that it was not."""
        with contextlib.suppress(VmguardError):
            state = read_state(self._repository, self._scope)
            if state and state.holder == self._holder:
                self._repository.store.delete(f"{_prefix(self._scope)}{state.number:012d}")

    def _yield_to_others(self, seen: set[str]) -> None:
        """Give way to anybody who took the lease at the same moment under another number.

        What was not there before is new, whatever its times say. It may be that both give way,
        never that both stay.
        """
        mine = f"{_prefix(self._scope)}{self._number:012d}"
        for one in list(self._repository.store.list(_prefix(self._scope))):
            if one.name in seen or one.name == mine:
                continue
            try:
                body = self._repository.read(one.name, _LIMIT)
                other = _parse(one.name, self._scope, body, one.modified)
            except ObjectNotFound:
                continue
            if not other.free:
                self._withdraw(mine)
                raise self._held(other)

    def _withdraw(self, mine: str) -> None:
        """Take back our record, and touch no other: lower numbers may be the other's."""
        try:
            self._repository.store.delete(mine)
        except VmguardError:
            self.release()
        self._taken = True

    def check(self) -> None:
        """Raises LeaseLost when the lease is not ours any more."""
        if self._lost():
            raise LeaseLost(
                f"The lease on {self._subject} was lost, so the work was stopped and nothing of it is"
                " committed.",
                hint="Run the task again; what was stored already is found.",
            )

    def _lost(self) -> bool:
        return self._taken or self._clock.monotonic() >= self._until

    def release(self) -> None:
        """Stop the heartbeat and let others in."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        # What is over is not ours: its numbers may be another's by now, who began anew.
        if self._lost():
            return
        mine = self._number
        try:
            self._write(released=True)
        except ObjectExists:
            return  # somebody took it over, and has the next number
        except VmguardError:
            pass
        # No record at all frees it as well, where the last one could not be written.
        with contextlib.suppress(VmguardError):
            self._clear(mine + 1)

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat) and self.renew():
            pass

    def renew(self) -> bool:
        """One heartbeat. False when the lease is not ours any more."""
        if self._lost():
            return False
        try:
            self._write(released=False)
            self._clear(self._number - 1)
        except ObjectExists:
            self._taken = True
            return False
        except VmguardError:
            pass  # until the time is over: check() tells
        return True

    def _write(self, *, released: bool) -> None:
        begun = self._clock.monotonic()
        now = self._clock.now()
        body = {
            "run": self._holder.run,
            "host": self._holder.host,
            "pid": self._holder.pid,
            "place": self._holder.place,
            "subject": self._subject,
            "since": self._since,
            "until": (now + timedelta(seconds=self._ttl)).isoformat(),
            "released": released,
        }
        self._repository.write(f"{_prefix(self._scope)}{self._number + 1:012d}", body)
        self._number += 1
        self._until = begun + self._ttl

    def _clear(self, last: int) -> None:
        """Delete the older records, where that is allowed."""
        try:
            for one in list(self._repository.store.list(_prefix(self._scope))):
                if int(one.name.rpartition("/")[2]) <= last:
                    self._repository.store.delete(one.name)
        except (StorageDenied, ValueError):
            return

    def _held(self, state: State | None) -> LeaseHeld:
        now = self._clock.now()
        gives_way = now + timedelta(seconds=self._ttl)
        who = "another run"
        if state:
            holder = state.holder
            who = f"run {holder.run} on {holder.host} (process {holder.pid}) since {state.since}"
            # By this machine's clock; that of the holder may be hours ahead.
            gives_way = min(gives_way, state.until) if state.until > now else gives_way
        return LeaseHeld(
            f"{self._subject} is being worked on by {who}.",
            resource=self._subject,
            hint="Wait until it is finished. If it was killed, it gives way at"
            f" {_text(gives_way)}, or when its heartbeat was not seen for {self._ttl:.0f} s.",
        )


def _text(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")
