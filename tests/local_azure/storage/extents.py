"""A sorted map of byte extents, each pointing to the layer that holds its bytes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, TypeVar

Layer = TypeVar("Layer")


class ExtentMap(Generic[Layer]):
    """Non-overlapping extents ``(start, end, layer)``: half-open, in bytes, in order.

    Layers are told apart by identity. Touching extents of one layer are merged.
    Not thread-safe: a map that somebody may still change is read as ``list(map.window(...))``.
    """

    __slots__ = ("_ends", "_layers", "_starts")

    def __init__(self) -> None:
        # Three flat lists: bisect runs at C speed and an insertion is one memmove in each.
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._layers: list[Layer] = []

    def __len__(self) -> int:
        return len(self._starts)

    def copy(self) -> ExtentMap[Layer]:
        """The same extents in a map of its own."""
        twin: ExtentMap[Layer] = ExtentMap()
        twin._starts = self._starts.copy()
        twin._ends = self._ends.copy()
        twin._layers = self._layers.copy()
        return twin

    def layers(self) -> set[Layer]:
        """The layers that at least one extent points to."""
        return set(self._layers)

    def put(self, start: int, end: int, layer: Layer) -> None:
        """Let ``layer`` hold the bytes from ``start`` to ``end``, over whatever was there."""
        if start < end:
            self._splice(start, end, layer)

    def clear(self, start: int, end: int) -> None:
        """Forget the bytes from ``start`` to ``end``."""
        if start < end:
            self._splice(start, end, None)

    def window(self, start: int, end: int) -> Iterator[tuple[int, int, Layer]]:
        """The extents between ``start`` and ``end``, cut to that window."""
        for index in range(bisect_right(self._ends, start), len(self._starts)):
            if self._starts[index] >= end:
                return
            first, last = self._starts[index], self._ends[index]
            yield max(first, start), min(last, end), self._layers[index]

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any byte between ``start`` and ``end`` is held by a layer."""
        index = bisect_right(self._ends, start)
        return index < len(self._starts) and self._starts[index] < end

    def _splice(self, start: int, end: int, layer: Layer | None) -> None:
        """Replace a window by one extent of ``layer``, or by a hole for None."""
        # The slice takes in neighbours that only touch, so that equal layers can be merged.
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        before: list[tuple[int, int, Layer]] = []
        after: list[tuple[int, int, Layer]] = []
        if first < last:
            left_start, left_layer = self._starts[first], self._layers[first]
            right_end, right_layer = self._ends[last - 1], self._layers[last - 1]
            if left_start < start and left_layer is not layer:
                before = [(left_start, start, left_layer)]
            elif left_start < start:
                start = left_start
            if right_end > end and right_layer is not layer:
                after = [(end, right_end, right_layer)]
            elif right_end > end:
                end = right_end
        middle = [] if layer is None else [(start, end, layer)]
        pieces = [*before, *middle, *after]
        self._starts[first:last] = [piece[0] for piece in pieces]
        self._ends[first:last] = [piece[1] for piece in pieces]
        self._layers[first:last] = [piece[2] for piece in pieces]


def differences(
    base: ExtentMap[Layer], now: ExtentMap[Layer], start: int, end: int
) -> Iterator[tuple[int, int, bool]]:
    """Where two maps point to different layers: ``(start, end, cleared)``, in order, unmerged.

    ``cleared`` is true where only ``base`` has bytes.
    """
    old_pieces, new_pieces = base.window(start, end), now.window(start, end)
    old, new = next(old_pieces, None), next(new_pieces, None)
    at = start
    while at < end and (old or new):
        old_layer, old_edge = _at(old, at, end)
        new_layer, new_edge = _at(new, at, end)
        edge = min(old_edge, new_edge)
        if old_layer is not new_layer:
            yield at, edge, new_layer is None
        at = edge
        if old and old[1] <= at:
            old = next(old_pieces, None)
        if new and new[1] <= at:
            new = next(new_pieces, None)


def _at(piece: tuple[int, int, Layer] | None, position: int, end: int) -> tuple[Layer | None, int]:
    """The layer at a position, and where that answer stops being true."""
    if piece is None:
        return None, end
    if position < piece[0]:
        return None, piece[0]
    return piece[2], piece[1]
