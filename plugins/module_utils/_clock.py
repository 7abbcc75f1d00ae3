# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time, passed in wherever it matters, so that tests own it."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from ._errors import WaitInterrupted


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Deadline:
    """A moment after which waiting ends.

    Args:
        seconds: from now.
    """

    def __init__(self, clock: SystemClock, seconds: float) -> None:
        self._clock = clock
        self._end = clock.monotonic() + seconds
        self._interrupted = False
        self.seconds = seconds

    @property
    def remaining(self) -> float:
        """Seconds that are left; never negative."""
        return max(0.0, self._end - self._clock.monotonic())

    @property
    def now(self) -> float:
        """Seconds of its clock, whose differences tell how long something took."""
        return self._clock.monotonic()

    @property
    def passed(self) -> bool:
        return self._clock.monotonic() >= self._end

    def ensure(self, seconds: float) -> None:
        """Move the deadline back so that at least this much time is left: to undo takes time too."""
        self._end = max(self._end, self._clock.monotonic() + seconds)

    def interrupt(self) -> None:
        """End what waits in other threads, at its next pause, until ``resume``."""
        self._interrupted = True

    def resume(self) -> None:
        self._interrupted = False

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the deadline.

        Raises:
            WaitInterrupted: the work that waits is no longer wanted.
        """
        if self._interrupted:
            raise WaitInterrupted("The wait was ended, because the work beside it failed.")
        self._clock.sleep(min(seconds, self.remaining))
