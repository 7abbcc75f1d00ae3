"""Which chunks are read again although Azure calls them unchanged or unallocated, and what is found."""

from __future__ import annotations

import random
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup.together import (
    Stopped,
    Together,
)
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_ranges import Changed
from ansible_collections.vmguard.azure.plugins.module_utils._errors import StorageUnavailable
from ansible_collections.vmguard.azure.plugins.module_utils._image import audit
from ansible_collections.vmguard.azure.plugins.module_utils._image.audit import Sample
from ansible_collections.vmguard.azure.plugins.module_utils._image.reader import Stats
from ansible_collections.vmguard.azure.plugins.module_utils._image.work import Touched
from backup_bench import Place, open_place
from hypothesis import given
from hypothesis import strategies as st
from image_world import CHUNK, MIB, Bytes, World, make_repository, random_disk
from restore_bench import open_bench

TIB = 1 << 40


def touched_by(chunks: list[int]) -> Touched:
    made = Touched()
    for chunk in sorted(chunks):
        made.add(chunk, chunk + 1)
    return made


def beside(chunks: list[int], touched: Touched) -> int:
    return sum(1 for one in chunks if one - 1 in touched or one + 1 in touched)


# -- drawing


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8),
    st.integers(1, 40),
    st.integers(0, 1 << 30),
)
def test_a_sample_is_of_what_was_offered(
    lengths: list[tuple[int, int]], size: int, seed: int
) -> None:
    sample = Sample(size, random.Random(seed))
    offered: list[int] = []
    at = 0
    for gap, length in lengths:
        sample.offer(at + gap, at + gap + length)
        offered += range(at + gap, at + gap + length)
        at += gap + length
    assert len(set(sample.chunks)) == len(sample.chunks) == min(size, len(offered))
    assert set(sample.chunks) <= set(offered)


def test_each_chunk_is_as_likely_as_any_other() -> None:
    source = random.Random(1)
    counts: Counter[int] = Counter()
    for _turn in range(4000):
        sample = Sample(5, source)
        for first, last in ((0, 1), (1, 30), (30, 31), (31, 50)):
            sample.offer(first, last)
        counts.update(sample.chunks)
    # 400 of each are expected; the spread is 19.
    assert set(counts) == set(range(50))
    assert min(counts.values()) > 320 and max(counts.values()) < 480


def test_a_quarter_of_what_was_read_is_read_again_however_long_the_ranges_are() -> None:
    source = random.Random(2)
    count = TIB // CHUNK
    changed = touched_by(source.sample(range(0, count, 3), 100_000))
    long = [(0, TIB)]
    short = [(start, start + 64 * MIB) for start in range(0, TIB, 64 * MIB)]
    for ranges in (long, short):
        chosen = audit.choose(ranges, changed, CHUNK, source)
        assert 25_000 <= len(chosen) <= 25_002
        assert 12_500 <= beside(chosen, changed) <= 12_600
        assert chosen == sorted(set(chosen))
        assert not any(one in changed for one in chosen)
        assert {chosen[0], chosen[-1]} == {0 if 0 not in changed else chosen[0], count - 1}
        # What is not beside a change is drawn from all of the disk.
        quarters = Counter(one * 4 // count for one in chosen)
        assert min(quarters.values()) > 6000


@pytest.mark.parametrize("left", [1, 1024])
def test_where_little_is_unchanged_all_of_it_is_read_again(left: int) -> None:
    source = random.Random(3)
    count = 200_000
    unchanged = set(source.sample(range(count), left))
    changed = touched_by([one for one in range(count) if one not in unchanged])
    chosen = audit.choose([(0, count * CHUNK)], changed, CHUNK, source)
    assert chosen == sorted(unchanged)


def test_where_nothing_changed_some_is_read_again() -> None:
    chosen = audit.choose([(0, TIB)], Touched(), CHUNK, random.Random(4))
    assert audit.LEAST <= len(chosen) <= audit.LEAST + 2


def test_ranges_that_share_a_chunk_count_it_once() -> None:
    half = CHUNK // 2
    ranges = [(0, half), (half, CHUNK), (CHUNK + 512, 3 * CHUNK - 512)]
    assert audit.choose(ranges, touched_by([1]), CHUNK, random.Random(5)) == [0, 2]
    assert audit.choose([], touched_by([1]), CHUNK, random.Random(5)) == []


def test_of_what_is_unallocated_the_borders_and_some_more_are_read() -> None:
    read = touched_by([0, *range(100, 200), 900_000])
    chosen = audit.choose_unallocated(read, 1_000_000, random.Random(6))
    assert {1, 99, 200, 899_999, 900_001, 999_999} <= set(chosen)
    assert len(chosen) <= audit.HOLES + 2
    assert audit.choose_unallocated(read, 202, random.Random(6)) == [*range(1, 100), 200, 201]


# -- memory


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=80), st.integers(2, 12))
def test_beyond_its_bound_more_passes_for_touched_never_less(
    steps: list[tuple[int, int]], most: int
) -> None:
    touched, exact = Touched(most), set()
    at = 0
    for gap, length in steps:
        at += gap
        touched.add(at, at + length)
        exact |= set(range(at, at + length))
        at += length
    assert touched.total == len(exact)
    assert len(touched._firsts) <= most
    seen = {one for one in range(at + 10) if one in touched}
    assert exact <= seen
    assert -1 not in touched and at not in touched
    assert len(steps) > most or exact == seen
    left = {one for run in touched.gaps(3, at + 5) for one in range(*run)}
    assert left == set(range(3, at + 5)) - seen


def test_memory_does_not_follow_the_disk() -> None:
    tracemalloc.start()
    try:
        touched = Touched(1 << 14)
        for chunk in range(0, 1 << 29, 1 << 12):
            touched.add(chunk, chunk + 1)
        chosen = audit.choose([(0, 32 * TIB)], touched, CHUNK, random.Random(7))
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
    assert len(chosen) >= touched.total // 4
    assert beside(chosen, touched) > 4000
    # Wherever a range is left out, something is read again that is not far from it.
    assert min(Counter(one >> 27 for one in chosen).values()) > 4000


# -- stopping


def test_a_reader_whose_check_fails_sends_no_further_request(tmp_path: Path) -> None:
    content = random_disk(16 * MIB, 1, zeros=0)
    together = Together(1)

    class Watched(Bytes):
        def read(self, start: int, end: int) -> bytes:
            data = super().read(start, end)
            together.stop()
            return data

    disk = Watched(content)
    world = World(make_repository(tmp_path / "repository"), workers=1)
    world.check = together.check
    with pytest.raises(Stopped):
        world.read(disk, len(content))
    assert len(disk.reads) == 1


def test_what_fails_on_one_disk_ends_the_reads_of_another(tmp_path: Path) -> None:
    content = random_disk(32 * MIB, 2, zeros=0)
    failed = threading.Event()

    class Slow(Bytes):
        def read(self, start: int, end: int) -> bytes:
            # The results are taken in order: what follows the first piece waits with it.
            assert start or failed.wait(60)
            return super().read(start, end)

    class Failing(Bytes):
        def read(self, start: int, end: int) -> bytes:
            raise StorageUnavailable(f"The snapshot is gone at {start}-{end}.")

    slow, together, ended = Slow(content), Together(2), []
    world = World(make_repository(tmp_path / "repository"), workers=2)
    world.check = together.check
    with world.reading() as read:

        def first() -> None:
            try:
                read(slow, len(content))
            except Stopped as error:
                ended.append(error)
                raise

        def second() -> None:
            try:
                read(Failing(content), len(content))
            finally:
                together.stop()
                failed.set()

        with pytest.raises(StorageUnavailable):
            together.run([first, second])
    assert len(ended) == 1
    assert len(slow.reads) < 16


# -- a backup


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_bench() as bench, open_place(bench, tmp_path, []) as made:
        made.create()
        yield made


def test_what_azure_calls_unallocated_and_is_not_makes_the_whole_disk_read(place: Place) -> None:
    content = place.export()
    place.bench.control.fault(r"GET .*comp=pagelist", "omit_range", nth=1, times=1)
    outcome = place.backup(level="full")
    assert place.bench.hits()
    assert any("unallocated, and they are not zeros" in text for text in outcome.warnings)
    place.check(outcome, content)


def test_holes_cost_a_full_little(place: Place) -> None:
    outcome = place.backup(level="full")
    assert outcome.warnings == []
    assert outcome.backup is not None
    for disk in outcome.backup.disks:
        assert 0 < disk.stats["audited"] <= (audit.HOLES + 2) * CHUNK


def test_a_changed_chunk_beside_what_was_told_is_found_in_a_long_range(tmp_path: Path) -> None:
    world = World(make_repository(tmp_path / "repository"), pack_size=16 * MIB)
    content = random_disk(128 * MIB, 3, zeros=0)
    full = world.back_up(content)
    for chunk in (700, 701):
        content[chunk * CHUNK] ^= 1
    told = [Changed(700 * CHUNK, 701 * CHUNK, False)]
    with world.reading() as read:
        touched = read(Bytes(content), len(content), told, full.disks[0])
        chosen = audit.choose([(0, len(content))], touched, CHUNK, random.Random(1))
        assert {699, 701} <= set(chosen)
        found = read.reader.first_difference(
            Bytes(content), len(content), read.tree(full.disks[0]), chosen, Stats()
        )
    assert found == 701
