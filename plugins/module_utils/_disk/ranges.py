# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Byte ranges: pure functions on streams of them, of which a large disk has millions.

A stream is in ascending order. Where a function says *disjoint*, no two of its ranges overlap;
neighbours may touch. What does not obey raises ``ValueError``: wrong order would lose data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Range(NamedTuple):
    """The bytes from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


def ordered(ranges: Iterable[tuple[int, int]]) -> Iterator[Range]:
    """The same ranges, without empty ones.

    Raises:
        ValueError: one ends before it begins, or begins before its predecessor ends.
    """
    upto = 0
    for start, end in ranges:
        if not upto <= start <= end:
            raise ValueError(f"The range {start}-{end} is out of order after {upto}.")
        if start < end:
            upto = end
            yield Range(start, end)


def merge(ranges: Iterable[tuple[int, int]], gap: int = 0) -> Iterator[Range]:
    """Join ranges that overlap, touch, or are at most ``gap`` bytes apart; empty ones vanish.

    The input is in order of start and may overlap; the result is disjoint.

    Raises:
        ValueError: a range begins before its predecessor begins.
    """
    held: Range | None = None
    for start, end in ranges:
        if held is not None and start < held.start:
            raise ValueError(f"The range {start}-{end} is out of order after {held.start}.")
        if start >= end:
            continue
        if held is not None and start <= held.end + gap:
            held = Range(held.start, max(held.end, end))
            continue
        if held is not None:
            yield held
        held = Range(start, end)
    if held is not None:
        yield held


def subtract(
    ranges: Iterable[tuple[int, int]], minus: Iterable[tuple[int, int]]
) -> Iterator[Range]:
    """What is in the one disjoint stream and not in the other."""
    holes = ordered(minus)
    hole = next(holes, None)
    for start, end in ordered(ranges):
        at = start
        while hole is not None and hole.start < end:
            if hole.start > at:
                yield Range(at, hole.start)
            at = max(at, hole.end)
            if hole.end > end:
                break
            hole = next(holes, None)
        if at < end:
            yield Range(at, end)


def intersect(
    ranges: Iterable[tuple[int, int]], other: Iterable[tuple[int, int]]
) -> Iterator[Range]:
    """What is in both disjoint streams."""
    left, right = ordered(ranges), ordered(other)
    one, two = next(left, None), next(right, None)
    while one is not None and two is not None:
        low, high = max(one.start, two.start), min(one.end, two.end)
        if low < high:
            yield Range(low, high)
        if one.end <= two.end:
            one = next(left, None)
        else:
            two = next(right, None)


def clip(ranges: Iterable[tuple[int, int]], window: tuple[int, int]) -> Iterator[Range]:
    """What of a disjoint stream lies in the window; reading stops behind it."""
    low, high = window
    for start, end in ordered(ranges):
        if max(start, low) >= high:
            return
        if end > low:
            yield Range(max(start, low), min(end, high))


def split(ranges: Iterable[tuple[int, int]], longest: int) -> Iterator[Range]:
    """Cut a disjoint stream so that no piece crosses a multiple of ``longest``."""
    for start, end in ordered(ranges):
        at = start
        while at < end:
            cut = min(end, (at // longest + 1) * longest)
            yield Range(at, cut)
            at = cut


def total(ranges: Iterable[tuple[int, int]]) -> int:
    """Bytes in a disjoint stream."""
    return sum(part.length for part in ordered(ranges))


def chunks_of(ranges: Iterable[tuple[int, int]], chunk_size: int) -> Iterator[int]:
    """The numbers of the chunks that a disjoint stream touches, ascending, each once."""
    following = 0
    for start, end in ordered(ranges):
        first = max(start // chunk_size, following)
        following = max(following, (end - 1) // chunk_size + 1)
        yield from range(first, following)
