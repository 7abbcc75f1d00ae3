# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on several disks at once, of which the first failure ends the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from typing import Any

from .._clock import SystemClock

# Seconds after which a long sleep looks whether it is to end.
_SLICE = 0.5


class Stopped(Exception):
    """This work was ended, because other work failed or the task was interrupted."""


class Together:
    """Runs calls side by side.

    Args:
        threads: how many at once.
        check: what else may end the work (a lost lease): raises when it has to.
    """

    def __init__(self, threads: int, check: Callable[[], None] = lambda: None) -> None:
        self._threads = max(1, threads)
        self._check = check
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._active = 0
        self._failure: BaseException | None = None

    def check(self) -> None:
        """To be called often by the work.

        Raises:
            Stopped: the work is to end.
        """
        if self._stop.is_set():
            raise Stopped
        self._check()

    def stop(self) -> None:
        """End the work at its next check. Thread-safe."""
        with self._changed:
            self._stop.set()

    def run(self, calls: Iterable[Callable[[], Any]]) -> list[Any]:
        """The results in the order of the calls.

        Raises:
            What the first call that failed raised; the others have ended then, too.
        """
        pool = ThreadPoolExecutor(self._threads, thread_name_prefix="disk")
        try:
            jobs = [pool.submit(self._one, call) for call in calls]
            wait(jobs)
        except BaseException:
            # Ctrl-C or SIGTERM, in the thread that waits.
            self.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            # The pool does not know a thread in whose start an interrupt came.
            with self._changed:
                self._changed.wait_for(lambda: self._active == 0)
        if self._failure is not None:
            raise self._failure
        return [job.result() for job in jobs]

    def _one(self, call: Callable[[], Any]) -> Any:
        with self._changed:
            if self._stop.is_set():
                raise Stopped
            self._active += 1
        try:
            self._check()
            return call()
        except BaseException as error:
            with self._changed:
                if self._failure is None:
                    self._failure = error
            self.stop()
            raise
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()


class Interruptible(SystemClock):
    """A clock whose sleep ends soon when the work has to.

    Args:
        check: raises when the work has to end.
    """

    def __init__(self, clock: SystemClock, check: Callable[[], None]) -> None:
        self._clock = clock
        self._check = check

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        while seconds > 0:
            self._check()
            self._clock.sleep(min(seconds, _SLICE))
            seconds -= _SLICE
