# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work for many threads whose results are wanted in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    pool: Executor, at_once: int, work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """The results of ``work`` in the order of the items, which are taken as they are needed.

    At most ``at_once`` are under way. What has not begun when the caller stops never does.

    Raises:
        Exception: what ``work`` or ``items`` raise.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for job in waiting:
            job.cancel()


def in_groups(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """Neighbouring items, at most so many together."""
    rest = iter(items)
    while group := list(islice(rest, most)):
        yield group
