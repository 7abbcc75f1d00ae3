"""Streams of ranges against a model: sets of bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice, pairwise

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._disk import ranges
from ansible_collections.vmguard.azure.plugins.module_utils._disk.ranges import Range
from hypothesis import given
from hypothesis import strategies as st

LONGEST = 60
edges = st.lists(st.integers(0, LONGEST), max_size=16).map(sorted)
pair = st.tuples(st.integers(0, LONGEST), st.integers(0, 12)).map(lambda it: (it[0], sum(it)))
overlapping = st.lists(pair, max_size=10).map(sorted)


@st.composite
def disjoint(draw: st.DrawFn) -> list[Range]:
    """Ascending, not overlapping, perhaps touching, perhaps empty."""
    found = draw(edges)
    return [Range(low, high) for low, high in zip(found[::2], found[1::2], strict=False)]


def model(stream: Iterable[tuple[int, int]]) -> set[int]:
    return {at for start, end in stream for at in range(start, end)}


def checked(stream: Iterable[Range]) -> set[int]:
    """The model of a result, which has to be disjoint, ascending and without empty ranges."""
    found = list(stream)
    assert all(one.start < one.end for one in found)
    assert all(one.end <= other.start for one, other in pairwise(found))
    return model(found)


@given(overlapping, st.integers(0, 5))
def test_merge(stream: list[tuple[int, int]], gap: int) -> None:
    found = list(ranges.merge(stream, gap))
    assert checked(found) >= model(stream)
    assert all(other.start - one.end > gap for one, other in pairwise(found))
    extra = checked(found) - model(stream)
    real = [(start, end) for start, end in stream if start < end]
    for one in found:
        assert one.start in {start for start, _end in real}
        assert one.end in {end for _start, end in real}
    assert gap or not extra


@given(disjoint(), disjoint())
def test_subtract_and_intersect(one: list[Range], other: list[Range]) -> None:
    assert checked(ranges.subtract(one, other)) == model(one) - model(other)
    assert checked(ranges.intersect(one, other)) == model(one) & model(other)


@given(disjoint(), st.integers(0, LONGEST), st.integers(0, LONGEST))
def test_clip(stream: list[Range], low: int, high: int) -> None:
    assert checked(ranges.clip(stream, Range(low, high))) == model(stream) & set(range(low, high))


@given(disjoint(), st.integers(1, 20))
def test_split_and_chunks(stream: list[Range], size: int) -> None:
    pieces = list(ranges.split(stream, size))
    assert checked(pieces) == model(stream)
    assert all(one.start // size == (one.end - 1) // size for one in pieces)
    chunks = list(ranges.chunks_of(stream, size))
    assert chunks == sorted({at // size for at in model(stream)})


@given(disjoint())
def test_total_and_length(stream: list[Range]) -> None:
    assert ranges.total(stream) == len(model(stream)) == sum(one.length for one in stream)


def endless() -> Iterator[Range]:
    return (Range(at * 10, at * 10 + 5) for at in count())


@pytest.mark.parametrize(
    "function",
    [
        ranges.ordered,
        ranges.merge,
        lambda stream: ranges.subtract(stream, endless()),
        lambda stream: ranges.intersect(stream, endless()),
        lambda stream: ranges.clip(stream, Range(3, 10**12)),
        lambda stream: ranges.split(stream, 2),
        lambda stream: ranges.chunks_of(stream, 3),
    ],
)
def test_nothing_is_held(function: Callable[[Iterable[Range]], Iterator[object]]) -> None:
    shifted = (Range(one.start + 2, one.end + 2) for one in endless())
    assert len(list(islice(function(shifted), 1000))) == 1000


def test_clip_stops_behind_the_window() -> None:
    assert list(ranges.clip(endless(), Range(3, 21))) == [(3, 5), (10, 15), (20, 21)]


@pytest.mark.parametrize(
    "function",
    [
        ranges.ordered,
        ranges.merge,
        ranges.total,
        lambda stream: ranges.subtract(stream, []),
        lambda stream: ranges.subtract([Range(0, 99)], stream),
        lambda stream: ranges.intersect(stream, [Range(0, 99)]),
        lambda stream: ranges.clip(stream, Range(0, 99)),
        lambda stream: ranges.split(stream, 4),
        lambda stream: ranges.chunks_of(stream, 4),
    ],
)
def test_disorder_is_refused(function: Callable[[list[Range]], Iterable[object]]) -> None:
    with pytest.raises(ValueError, match="out of order"):
        list(function([Range(10, 20), Range(5, 8)]))  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", [[(5, 3)], [(0, 4), (3, 6)], [(-1, 3)]])
def test_what_is_no_disjoint_stream_is_refused(stream: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="out of order"):
        list(ranges.ordered(stream))
