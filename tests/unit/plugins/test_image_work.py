"""Which chunks are read and which are zeros: held to a model that looks at every byte."""

from __future__ import annotations

from itertools import pairwise

from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_ranges import Changed
from ansible_collections.vmguard.azure.plugins.module_utils._image.work import (
    Run,
    Touched,
    batches,
    chunk_runs,
    pages_of,
)
from hypothesis import given
from hypothesis import strategies as st

CHUNK = 8


@st.composite
def changed_disks(draw: st.DrawFn) -> tuple[list[Changed], int]:
    """Ascending, disjoint changes that may touch, and the size of the disk."""
    size = draw(st.integers(1, 120))
    cuts = sorted(draw(st.lists(st.integers(0, size), max_size=16, unique=True)))
    changes = []
    for start, end in pairwise(cuts):
        kind = draw(st.sampled_from(["changed", "cleared", "same"]))
        if kind != "same":
            changes.append(Changed(start, end, kind == "cleared"))
    return changes, size


def model(changes: list[Changed], size: int) -> tuple[set[int], set[int]]:
    """The chunks to read, and those that one cleared range covers."""
    touched = {byte // CHUNK for one in changes for byte in range(one.start, one.end)}
    zero = {
        chunk
        for chunk in touched
        for one in changes
        if one.cleared and one.start <= chunk * CHUNK and one.end >= min((chunk + 1) * CHUNK, size)
    }
    return touched - zero, zero


def chunks(runs: list[Run], zero: bool) -> list[int]:
    return [chunk for run in runs for chunk in range(run.first, run.last) if run.zero is zero]


@st.composite
def run_lists(draw: st.DrawFn) -> list[Run]:
    """Ascending, disjoint runs, as ``chunk_runs`` makes them."""
    cuts = sorted(draw(st.lists(st.integers(0, 200), max_size=20, unique=True)))
    kinds = draw(st.lists(st.sampled_from([None, True, False]), min_size=20, max_size=20))
    pairs = pairwise(cuts)
    return [Run(*pair, kind) for pair, kind in zip(pairs, kinds, strict=False) if kind is not None]


@given(changed_disks())
def test_every_chunk_that_changed_is_in_one_run_and_no_other_is(
    disk: tuple[list[Changed], int],
) -> None:
    changes, size = disk
    runs = list(chunk_runs(changes, CHUNK, size))
    read, zero = model(changes, size)
    assert chunks(runs, False) == sorted(read)
    assert chunks(runs, True) == sorted(zero)


@given(changed_disks())
def test_runs_ascend_stay_on_the_disk_and_are_as_long_as_they_can_be(
    disk: tuple[list[Changed], int],
) -> None:
    changes, size = disk
    runs = list(chunk_runs(changes, CHUNK, size))
    assert all(run.first < run.last <= -(-size // CHUNK) for run in runs)
    for one, after in pairwise(runs):
        assert one.last <= after.first
        assert one.last < after.first or one.zero != after.zero


@given(run_lists(), st.integers(1, 40))
def test_pages_hold_the_same_chunks_each_within_its_bounds(runs: list[Run], fanout: int) -> None:
    pages = list(pages_of(runs, fanout))
    numbers = [number for number, _parts in pages]
    assert numbers == sorted(set(numbers))
    for number, parts in pages:
        assert parts
        assert all(run.first // fanout == (run.last - 1) // fanout == number for run in parts)
    for zero in (True, False):
        together = [run for _number, parts in pages for run in parts]
        assert chunks(together, zero) == chunks(runs, zero)


@given(run_lists(), st.integers(1, 40))
def test_batches_hold_the_same_chunks_and_only_the_last_is_not_full(
    runs: list[Run], most: int
) -> None:
    found = list(batches(runs, most))
    lengths = [sum(run.last - run.first for run in batch) for batch in found]
    assert all(length == most for length in lengths[:-1])
    assert all(0 < length <= most for length in lengths)
    for zero in (True, False):
        assert chunks([run for batch in found for run in batch], zero) == chunks(runs, zero)


@given(run_lists())
def test_touched_chunks_are_a_set(runs: list[Run]) -> None:
    touched = Touched()
    for run in runs:
        touched.add(run.first, run.last)
    expected = {chunk for run in runs for chunk in range(run.first, run.last)}
    assert {chunk for chunk in range(-3, 230) if chunk in touched} == expected
    assert touched.total == len(expected)
