# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks what Azure calls unchanged: reads a sample of it again and compares it with the repository."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from .._repository.repository import Repository
from .._repository.tree import FANOUT, Entries, Tree
from .work import Touched

# Chunks: an image whose unchanged content is no more than this is checked as a whole.
WHOLE = 1024
LEAST = 128
# Of what was read as changed, the part that is read again as unchanged.
SHARE = 8
_PER_RANGE = 64
_BATCH = 2 << 20


class Sample:
    """Chunks drawn evenly from a stream of unknown length (reservoir sampling)."""

    def __init__(self, size: int, source: random.Random) -> None:
        self._size = size
        self._random = source
        self._seen = 0
        self.chunks: list[int] = []

    def offer(self, chunk: int) -> None:
        self._seen += 1
        if len(self.chunks) < self._size:
            self.chunks.append(chunk)
            return
        at = self._random.randrange(self._seen)
        if at < self._size:
            self.chunks[at] = chunk


def choose(
    allocated: Iterable[tuple[int, int]],
    touched: Touched,
    chunk_size: int,
    source: random.Random,
) -> list[int]:
    """The chunks to read again, ascending: allocated, and not among those that were read.

    Half of them are neighbours of what changed, where a range that was left out is likeliest; the
    first and the last allocated chunk are always among them: file systems keep their own state there.

    Args:
        allocated: ranges of the disk that hold data, in order. Bytes.
    """
    share = max(LEAST, touched.total // SHARE)
    whole = Sample(WHOLE + 1, source)
    near, far = Sample(share // 2, source), Sample(share // 2, source)
    last = None
    for chunk in _untouched(allocated, touched, chunk_size, source):
        whole.offer(chunk)
        beside = chunk - 1 in touched or chunk + 1 in touched
        (near if beside else far).offer(chunk)
        last = chunk
    if len(whole.chunks) <= WHOLE:
        return sorted(whole.chunks)
    ends = {min(whole.chunks), last} if last is not None else set()
    return sorted(ends | set(near.chunks) | set(far.chunks))


def _untouched(
    allocated: Iterable[tuple[int, int]],
    touched: Touched,
    chunk_size: int,
    source: random.Random,
) -> Iterator[int]:
    """Chunks of the ranges, ascending and each once; of long ranges some at random."""
    behind = 0
    for start, end in allocated:
        first, last = max(start // chunk_size, behind), -(-end // chunk_size)
        if first >= last:
            continue
        behind = last
        chunks: Iterable[int] = range(first, last)
        if last - first > WHOLE + _PER_RANGE:
            edges = {first, last - 1}
            chunks = sorted(edges | set(source.sample(range(first, last), _PER_RANGE + WHOLE)))
        for chunk in chunks:
            if chunk not in touched:
                yield chunk


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
    by_leaf = {
        leaf: list(members) for leaf, members in groupby(chunks, key=lambda chunk: chunk // FANOUT)
    }
    for leaf, entries in tree.pages(by_leaf):
        for first, last in _together(by_leaf[leaf], max(1, _BATCH // chunk_size)):
            yield Piece(first, last, entries)


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
