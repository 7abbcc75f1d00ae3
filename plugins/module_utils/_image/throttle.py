# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A limit on bytes per second over all threads."""

from __future__ import annotations

import threading
from typing import Protocol


class Clock(Protocol):
    """What is asked of a clock here."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class Throttle:
    """Lets bytes pass at a rate.

    Args:
        rate: bytes per second; None for no limit.
    """

    def __init__(self, rate: float | None, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, size: int) -> None:
        """Wait until so many bytes may pass."""
        if self._rate is None:
            return
        with self._lock:
            now = self._clock.monotonic()
            begin = max(now, self._free_at)
            self._free_at = begin + size / self._rate
        if begin > now:
            self._clock.sleep(begin - now)
