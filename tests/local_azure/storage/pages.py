"""Byte ranges rounded to pages of 512 bytes, as page blobs report them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

PAGE = 512


def floor_page(offset: int) -> int:
    """The start of the page that ``offset`` lies in."""
    return offset - offset % PAGE


def ceil_page(offset: int) -> int:
    """The end of the last page that begins before ``offset``."""
    return -(-offset // PAGE) * PAGE


def merged(ranges: Iterable[tuple[int, int, bool]]) -> Iterator[tuple[int, int, bool]]:
    """Join touching or overlapping ranges of one kind. The input is in order of start."""
    held: tuple[int, int, bool] | None = None
    for start, end, kind in ranges:
        if held and held[2] == kind and start <= held[1]:
            held = (held[0], max(end, held[1]), kind)
            continue
        if held:
            yield held
        held = (start, end, kind)
    if held:
        yield held


def allocated_pages(extents: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The pages with at least one byte in ``extents``, merged."""
    rounded = ((floor_page(start), ceil_page(end), False) for start, end in extents)
    for start, end, _cleared in merged(rounded):
        yield start, end


def changed_pages(
    changes: Iterable[tuple[int, int, bool]], has_bytes: Callable[[int, int], bool]
) -> Iterator[tuple[int, int, bool]]:
    """The pages that ``changes`` (start, end, cleared) touch, merged by kind.

    ``has_bytes(start, end)`` says whether the present image holds bytes there: a page of which
    only a part was cleared still has content, and calling it cleared would lose that content.
    """

    def pages() -> Iterator[tuple[int, int, bool]]:
        for start, end, cleared in changes:
            low, high = floor_page(start), ceil_page(end)
            if not cleared:
                yield low, high, False
                continue
            inner_low, inner_high = ceil_page(start), floor_page(end)
            if inner_low > inner_high:  # inside one page, touching neither edge
                yield low, high, not has_bytes(low, high)
                continue
            if low < inner_low:
                yield low, inner_low, not has_bytes(low, inner_low)
            if inner_low < inner_high:
                yield inner_low, inner_high, True
            if inner_high < high:
                yield inner_high, high, not has_bytes(inner_high, high)

    return merged(pages())
