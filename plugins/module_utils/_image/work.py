# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chunks of a disk have to be read, which are zeros now, and which were looked at."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .._disk.page_ranges import Changed

# Runs of chunks that were looked at: eight bytes each, twice while they are joined.
MOST_TOUCHED = 1 << 20


class Run(NamedTuple):
    """Chunks from ``first`` up to ``last``, without it; ``zero`` ones need not be read."""

    first: int
    last: int
    zero: bool


def chunk_runs(changes: Iterable[Changed], chunk_size: int, disk_size: int) -> Iterator[Run]:
    """Runs of chunks in ascending order, each chunk once.

    A chunk is zeros only where one cleared range covers all of it.

    Args:
        changes: ascending and disjoint. Bytes.
    """
    held: Run | None = None
    for change in changes:
        for run in _runs_of(change, chunk_size, disk_size):
            if held is None:
                held = run
            elif run.zero == held.zero and run.first <= held.last:
                held = Run(held.first, max(held.last, run.last), held.zero)
            else:
                yield held
                held = run
    if held is not None:
        yield held


def _runs_of(change: Changed, chunk_size: int, disk_size: int) -> Iterator[Run]:
    first, last = change.start // chunk_size, -(-change.end // chunk_size)
    if not change.cleared:
        yield Run(first, last, False)
        return
    whole_first = -(-change.start // chunk_size)
    whole_last = last if change.end >= disk_size else change.end // chunk_size
    if whole_first >= whole_last:
        yield Run(first, last, False)
        return
    if first < whole_first:
        yield Run(first, whole_first, False)
    yield Run(whole_first, whole_last, True)
    if whole_last < last:
        yield Run(whole_last, last, False)


def pages_of(runs: Iterable[Run], fanout: int) -> Iterator[tuple[int, list[Run]]]:
    """The runs under each index page, cut at its bounds: ``(number of the page, runs)``."""
    page, held = -1, []
    for run in runs:
        first = run.first
        while first < run.last:
            last = min(run.last, (first // fanout + 1) * fanout)
            if first // fanout != page:
                if held:
                    yield page, held
                page, held = first // fanout, []
            held.append(Run(first, last, run.zero))
            first = last
    if held:
        yield page, held


def batches(runs: Iterable[Run], most: int) -> Iterator[list[Run]]:
    """Runs to read, cut so that a batch has at most ``most`` chunks."""
    batch: list[Run] = []
    room = most
    for run in runs:
        first = run.first
        while first < run.last:
            last = min(run.last, first + room)
            batch.append(Run(first, last, run.zero))
            room -= last - first
            first = last
            if not room:
                yield batch
                batch, room = [], most
    if batch:
        yield batch


class Touched:
    """Which chunks were looked at, as runs in ascending order. At most 16 MiB of memory.

    Beyond ``most`` runs, every two, then every four and so on are kept as one: then chunks pass for
    looked at that were not, all over the disk alike, and never the other way round.
    """

    def __init__(self, most: int = MOST_TOUCHED) -> None:
        self.total = 0
        self._most = most
        self._firsts, self._lasts = array("I"), array("I")
        # Runs that are kept as one, and how many of them the last one holds so far.
        self._together, self._in_last = 1, 0

    def add(self, first: int, last: int) -> None:
        """Chunks from ``first`` up to ``last``, without it; each call behind the one before."""
        self.total += last - first
        if self._lasts and first <= self._lasts[-1]:
            self._lasts[-1] = max(last, self._lasts[-1])
        elif self._lasts and self._in_last < self._together:
            self._lasts[-1] = last
            self._in_last += 1
        else:
            self._firsts.append(first)
            self._lasts.append(last)
            self._in_last = 1
            if len(self._firsts) > self._most:
                self._halve()

    def _halve(self) -> None:
        odd = len(self._firsts) % 2
        end = self._lasts[-1:] if odd else array("I")
        self._firsts = self._firsts[::2]
        self._lasts = self._lasts[1::2] + end
        if not odd:
            self._in_last += self._together
        self._together *= 2

    def __contains__(self, chunk: int) -> bool:
        at = bisect_right(self._firsts, chunk) - 1 if chunk >= 0 else -1
        return at >= 0 and chunk < self._lasts[at]

    def gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """What of the chunks from ``first`` up to ``last`` was not looked at: runs, ascending."""
        at = max(bisect_right(self._firsts, first) - 1, 0)
        while at < len(self._firsts) and self._firsts[at] < last:
            if first < self._firsts[at]:
                yield first, self._firsts[at]
            first = max(first, self._lasts[at])
            at += 1
        if first < last:
            yield first, last
