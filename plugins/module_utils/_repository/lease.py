# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: one writer for a machine's backups, known to be alive by its heartbeat.

A lease is a row of numbered objects, each written once; the highest tells who has it and until
when. So it needs neither rewriting nor deleting, and whoever writes a number first has won it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

from .._errors import ObjectExists, ObjectNotFound, StorageDenied, VmguardError
from . import names
from .errors import DamagedObject, LeaseHeld, LeaseLost
from .repository import Repository

TIME_TO_LIVE = 120.0
HEARTBEAT = 20.0
_LIMIT = 64 << 10


class Clock(Protocol):
    """What is asked of a clock here."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...


@dataclass(frozen=True)
class Holder:
    """Who holds a lease. ``place`` tells machines and process namespaces apart."""

    run: str
    host: str
    pid: int
    place: str

    @classmethod
    def here(cls, run: str) -> Holder:
        return cls(run, socket.gethostname(), os.getpid(), _place())

    @property
    def dead(self) -> bool:
        """Whether it was a process of this machine that is no more. Unknown is False."""
        if not self.place or self.place != _place():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return False


def _place() -> str:
    """The boot of this machine and its process namespace; empty where they cannot be told."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


@dataclass(frozen=True)
class State:
    """The latest word on a lease."""

    number: int
    scope: str
    holder: Holder
    subject: str
    since: str
    until: datetime
    released: bool

    def live(self, now: datetime) -> bool:
        return not self.released and now < self.until and not self.holder.dead


def scopes(repository: Repository) -> list[str]:
    """The scopes of which there are leases."""
    found = {one.name.split("/")[1] for one in repository.store.list(names.LEASES)}
    return sorted(found)


def read_state(repository: Repository, scope: str) -> State | None:
    """The latest word on a scope's lease, None where there is none.

    Raises:
        DamagedObject: it cannot be read.
    """
    for _attempt in range(5):
        listed = [one.name for one in repository.store.list(_prefix(scope))]
        if not listed:
            return None
        latest = max(listed)
        try:
            return _parse(latest, scope, repository.read(latest, _LIMIT))
        except ObjectNotFound:
            continue  # a heartbeat came in between
    return None


def _prefix(scope: str) -> str:
    return f"{names.LEASES}{scope}/"


def _parse(name: str, scope: str, body: Any) -> State:
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
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamagedObject(name, "it is no lease") from error


class Lease:
    """A lease that is held, kept by a thread. A context manager; leaving it releases.

    Args:
        scope: what it is for, as 32 hex digits.
        subject: the same for people.
        run: the id of the run that takes it.
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
        """Take the lease, from nobody, or from a holder that is dead or whose time is over.

        Raises:
            LeaseHeld: somebody else has it.
        """
        now = self._clock.now()
        seen = {one.name for one in self._repository.store.list(_prefix(self._scope))}
        try:
            state = read_state(self._repository, self._scope)
        except DamagedObject as error:
            error.hint = f"If nothing works on {self._subject}, delete this object."
            raise
        if state and state.live(now):
            raise self._held(state)
        if state and not state.released:
            self.broken = state.holder
        self._since = now.astimezone(timezone.utc).isoformat(timespec="seconds")
        self._number = state.number if state else 0
        try:
            self._write(released=False)
        except ObjectExists as error:
            self._taken = True
            raise self._held(read_state(self._repository, self._scope)) from error
        except VmguardError:
            self._take_back()
            raise
        self._yield_to_others(seen, now)
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def _take_back(self) -> None:
        """Delete our word if it was written, although the storage said that it was not."""
        with contextlib.suppress(VmguardError):
            state = read_state(self._repository, self._scope)
            if state and state.holder == self._holder:
                self._repository.store.delete(f"{_prefix(self._scope)}{state.number:012d}")

    def _yield_to_others(self, seen: set[str], now: datetime) -> None:
        """Give way to anybody who took the lease at the same moment under another number.

        It may be that both give way, never that both stay.
        """
        mine = f"{_prefix(self._scope)}{self._number:012d}"
        for one in list(self._repository.store.list(_prefix(self._scope))):
            if one.name in seen or one.name == mine:
                continue
            try:
                other = _parse(one.name, self._scope, self._repository.read(one.name, _LIMIT))
            except ObjectNotFound:
                continue
            if other.live(now):
                self._withdraw(mine)
                raise self._held(other)

    def _withdraw(self, mine: str) -> None:
        """Take back our word, and touch no other: lower numbers may be the other's."""
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
            return  # somebody took it over, and has the next word
        except VmguardError:
            pass
        # No word at all frees it as well, where the last one could not be written.
        with contextlib.suppress(VmguardError):
            self._clear(mine + 1)

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat):
            if self._lost():
                return
            try:
                self._write(released=False)
                self._clear(self._number - 1)
            except ObjectExists:
                self._taken = True
                return
            except VmguardError:
                continue  # until the time is over: check() tells

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
        """Delete the older words, where that is allowed."""
        try:
            for one in list(self._repository.store.list(_prefix(self._scope))):
                if int(one.name.rpartition("/")[2]) <= last:
                    self._repository.store.delete(one.name)
        except (StorageDenied, ValueError):
            return

    def _held(self, state: State | None) -> LeaseHeld:
        if state is None:
            who = "another run"
        else:
            holder = state.holder
            until = state.until.astimezone(timezone.utc).isoformat(timespec="seconds")
            who = (
                f"run {holder.run} on {holder.host} (process {holder.pid}), until {until} at least"
            )
        return LeaseHeld(
            f"{self._subject} is being worked on by {who}.",
            resource=self._subject,
            hint="Wait until it is finished; a run that was killed gives way"
            f" after {self._ttl:.0f} s.",
        )
