# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pace for all requests to a disk.

Azure throttles a disk, not a request: 500 requests and 60 MiB a second for each page blob
(https://learn.microsoft.com/azure/storage/blobs/scalability-targets). Threads that each wait for
themselves keep it busy with refusals, and the unluckiest of them gives up. So the first refusal
halves how many requests are under way and makes all wait; what goes well lets one more in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .._clock import SystemClock

PATIENCE = 1800.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# Seconds after which a thread that waits for its turn looks whether the work is to end.
_SLICE = 0.5


def growing_pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (min(failures, 16) - 1))


class Turn(NamedTuple):
    """One request that was let in, and after how many slowings."""

    epoch: int


class Governor:
    """Lets requests in, fewer at once and later while they are refused as too many. Thread-safe.

    Args:
        patience: seconds for which every request may be refused before it is given up.
    """

    def __init__(self, clock: SystemClock, patience: float = PATIENCE) -> None:
        self._clock = clock
        self._patience = patience
        self._changed = threading.Condition()
        self._active = self._most = 0
        self._limit: int | None = None
        self._well = 0
        # Refusals of requests that began before the last one slowed all down say nothing new.
        self._epoch = self._refusals = 0
        self._open_at = clock.monotonic()
        self._refused_since: float | None = None
        self._sleeping = False

    @contextmanager
    def turn(self, check: Callable[[], None] = lambda: None) -> Iterator[Turn]:
        """Wait until a request may be sent; it is under way inside.

        Args:
            check: called while it waits; raises when the work has to end.
        """
        while (turn := self._let_in()) is None:
            check()
            self._wait()
        try:
            yield turn
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify()

    def went_well(self, turn: Turn) -> None:
        """A request was answered."""
        with self._changed:
            self._refused_since = None
            if turn.epoch != self._epoch:
                return
            self._refusals = 0
            if self._limit is None:
                return
            self._well += 1
            if self._well >= self._limit:
                self._well = 0
                self._limit = self._limit + 1 if self._limit < self._most else None
                self._changed.notify_all()

    def refused(self, turn: Turn, retry_after: float | None) -> bool:
        """A request was refused as one too many: slow down.

        Args:
            retry_after: seconds that Azure asks to wait.

        Returns:
            Whether it makes sense to try again: not where nothing but refusals came for as long as
            the patience lasts.
        """
        with self._changed:
            now = self._clock.monotonic()
            if self._refused_since is None:
                self._refused_since = now
            pause = retry_after or 0.0
            if turn.epoch == self._epoch:
                self._epoch += 1
                self._refusals += 1
                self._well = 0
                self._limit = max(1, (self._limit or self._most) // 2)
                pause = pause or growing_pause(self._refusals)
            until = max(self._open_at, now + pause)
            if until - self._refused_since > self._patience:
                return False
            self._open_at = until
            return True

    def _let_in(self) -> Turn | None:
        with self._changed:
            waits = self._sleeping or self._clock.monotonic() < self._open_at
            if waits or (self._limit is not None and self._active >= self._limit):
                return None
            self._active += 1
            self._most = max(self._most, self._active)
            return Turn(self._epoch)

    def _wait(self) -> None:
        """Until something may have changed. One thread sleeps by the clock for all of them."""
        with self._changed:
            pause = self._open_at - self._clock.monotonic()
            if pause <= 0 or self._sleeping:
                self._changed.wait(_SLICE)
                return
            self._sleeping = True
        try:
            self._clock.sleep(pause)
        finally:
            with self._changed:
                self._sleeping = False
                self._changed.notify_all()
