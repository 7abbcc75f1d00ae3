# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chunks of a disk have to be read, which are zeros now, and which were looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .._disk.page_ranges import Changed


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
    """Which chunks were looked at: a bit each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.total = 0
        self._bits = bytearray(-(-count // 8))

    def add(self, first: int, last: int) -> None:
        self.total += last - first
        while first < last and first % 8:
            self._bits[first >> 3] |= 1 << (first & 7)
            first += 1
        while last > first and last % 8:
            last -= 1
            self._bits[last >> 3] |= 1 << (last & 7)
        if last > first:
            self._bits[first >> 3 : last >> 3] = b"\xff" * ((last - first) >> 3)

    def __contains__(self, chunk: int) -> bool:
        return 0 <= chunk < self.count and bool(self._bits[chunk >> 3] >> (chunk & 7) & 1)
