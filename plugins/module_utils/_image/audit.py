# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what Azure calls unchanged: reads a sample of it again and compares it with the repository."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from .._repository.repository import Repository
from .._repository.tree import FANOUT, TOGETHER, Entries, Tree
from .._repository.workers import in_groups
from .work import Touched

# Chunks: an image whose unchanged content is no more than this is checked as a whole.
WHOLE = 1024
# Of larger ones, one chunk is read again for so many that were read as changed; with these bounds.
SHARE = 4
LEAST, MOST = 128, 1 << 18
# Chunks of what Azure calls unallocated that a full reads nevertheless.
HOLES = 128
_BATCH = 2 << 20
_ALMOST_ONE = 1 - 2**-53

Runs = Iterable[tuple[int, int]]


class Sample:
    """Chunks drawn evenly from runs of which nobody knows how many follow.

    Reservoir sampling by skips (Li's algorithm L): what is passed over costs nothing, so that a run
    of a billion chunks is as cheap as one of ten.
    """

    def __init__(self, size: int, source: random.Random) -> None:
        self._size = size
        self._random = source
        self._seen = 0
        self._next = 0
        self._weight = 1.0
        self.chunks = array("I")

    def offer(self, first: int, last: int) -> None:
        """The chunks from ``first`` up to ``last``, without it."""
        behind = self._seen + last - first
        while self._next < behind:
            chunk = first + self._next - self._seen
            if len(self.chunks) < self._size:
                self.chunks.append(chunk)
            else:
                self.chunks[self._random.randrange(self._size)] = chunk
            self._next += 1 if len(self.chunks) < self._size else self._skip()
        self._seen = behind

    def _skip(self) -> int:
        self._weight *= math.exp(math.log(self._number()) / self._size)
        if self._weight <= 0:
            return 1 << 62
        share = math.log1p(-min(self._weight, _ALMOST_ONE))
        return int(math.log(self._number()) / share) + 1

    def _number(self) -> float:
        """Between 0, without it, and 1."""
        return 1 - self._random.random()


def choose(allocated: Runs, touched: Touched, chunk_size: int, source: random.Random) -> list[int]:
    """The chunks to read again, ascending: allocated, and not among those that were read.

    All of them where they are few; else a quarter of what was read, half of it beside what changed,
    where a range that was left out is likeliest, as far as there are such. The first and the last
    one are always among them: file systems keep their own state there.

    Args:
        allocated: ranges of the disk that hold data, in order. Bytes.
    """
    share = min(max(LEAST, touched.total // SHARE), MOST)
    left = (
        gap for run in _chunk_runs(allocated, chunk_size) for gap in touched.gaps(*run)
    )  # fmt: skip
    return _drawn(left, touched, share, WHOLE, source)


def choose_unallocated(touched: Touched, count: int, source: random.Random) -> list[int]:
    """Some of the chunks that a full left out, ascending: they should be zeros.

    Args:
        touched: what was read; everything that Azure calls allocated.
        count: chunks of the disk.
    """
    return _drawn(touched.gaps(0, count), touched, HOLES, HOLES, source)


def _drawn(runs: Runs, touched: Touched, share: int, few: int, source: random.Random) -> list[int]:
    """So many chunks of the runs, half of them beside what was touched; all, where they are few."""
    whole: list[int] = []
    near, far = Sample(share, source), Sample(share, source)
    ends: set[int] = set()
    total = last = 0
    for first, last in runs:
        total += last - first
        if total <= few:
            whole += range(first, last)
        if not ends:
            ends.add(first)
        low, high = first, last
        if first - 1 in touched:
            near.offer(first, first + 1)
            low += 1
        if last in touched and low < high:
            near.offer(last - 1, last)
            high -= 1
        far.offer(low, high)
    if total <= few:
        return whole
    beside = max(share // 2, share - len(far.chunks))
    chosen = _some(near.chunks, beside, source)
    chosen.extend(_some(far.chunks, share - len(chosen), source))
    ends.add(last - 1)
    chosen.extend(one for one in ends if one not in chosen)
    return sorted(chosen)


def _some(chunks: array[int], count: int, source: random.Random) -> array[int]:
    """The first so many after a shuffle, which is done in place: there may be many."""
    if len(chunks) > count:
        for at in range(count):
            other = source.randrange(at, len(chunks))
            chunks[at], chunks[other] = chunks[other], chunks[at]
        del chunks[count:]
    return chunks


def _chunk_runs(ranges: Runs, chunk_size: int) -> Iterator[tuple[int, int]]:
    """The chunks that hold a part of ranges: runs, ascending, each chunk once."""
    behind = 0
    for start, end in ranges:
        first, last = max(start // chunk_size, behind), -(-end // chunk_size)
        if first < last:
            behind = last
            yield first, last


class Piece(NamedTuple):
    """Chunks side by side that are read again, from ``first`` up to ``last``, and their index page."""

    first: int
    last: int
    entries: Entries


def pieces(tree: Tree, chunks: list[int], chunk_size: int) -> Iterator[Piece]:
    """What to read again, in order.

    Raises:
        DamagedObject, StorageError: the index cannot be read.
    """
    leaves = groupby(chunks, key=lambda chunk: chunk // FANOUT)
    for group in in_groups(((leaf, list(members)) for leaf, members in leaves), TOGETHER):
        by_leaf = dict(group)
        for leaf, entries in tree.pages(by_leaf):
            for first, last in _together(by_leaf[leaf], max(1, _BATCH // chunk_size)):
                yield Piece(first, last, entries)


def holes(chunks: list[int], chunk_size: int) -> Iterator[Piece]:
    """What to read of what should be zeros, in order."""
    if chunks:
        for first, last in _together(chunks, max(1, _BATCH // chunk_size)):
            yield Piece(first, last, {})


def first_difference(repository: Repository, piece: Piece, data: bytes) -> int | None:
    """The first chunk of a piece that is not what the image has; None when all are."""
    size = repository.chunk_size
    zeros = bytes(size)
    for chunk in range(piece.first, piece.last):
        at = (chunk - piece.first) * size
        content = data[at : at + size]
        held = piece.entries.get(chunk % FANOUT)
        if held is None:
            same = content == zeros[: len(content)]
        else:
            same = repository.codec.name(content) == held.name
        if not same:
            return chunk
    return None


def _together(chunks: list[int], most: int) -> Iterator[tuple[int, int]]:
    """Chunks side by side, as ``(first, last)`` without the last."""
    first = last = chunks[0]
    for chunk in chunks:
        if chunk == last and chunk - first < most:
            last = chunk + 1
            continue
        if last > first:
            yield first, last
        first, last = chunk, chunk + 1
    yield first, last
