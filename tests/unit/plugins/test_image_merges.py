"""Runs that merge the segments of the chunk index at the same time, or while another reads them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._repository import (
    chunk_index,
    segments,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.chunk_index import (
    ChunkIndex,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from image_world import folder_of, make_repository
from test_image_index import Model, Run, fresh, segment_names, some, spoil


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


def test_runs_side_by_side_that_merge_the_same_make_one_segment_of_it(
    repository: Repository,
) -> None:
    model: Model = {}
    source = random.Random(10)
    for number in range(23):
        run = Run(repository, number)
        model |= run.store(some(source, 3))
        run.finish()
    assert len(segment_names(repository)) == 23
    together = [Run(repository, 100 + number) for number in range(4)]
    for run in together:
        run.index.find([bytes(32)])
    for run in together:
        model |= run.store(some(source, 3))
        run.finish()
    assert sum(map(len, fresh_segments(repository))) <= len(model) + 3 * 69
    for number in range(200, 224):
        run = Run(repository, number)
        model |= run.store(some(source, 1))
        run.finish()
    assert fresh(repository).find(model) == model
    assert sum(map(len, fresh_segments(repository))) == len(model)


def test_the_same_merge_by_two_runs_at_once_converges(repository: Repository) -> None:
    model: Model = {}
    source = random.Random(11)
    for number in range(23):
        run = Run(repository, number)
        model |= run.store(some(source, 3))
        run.packs.flush()
        run.index.write()
        run.packs.close()
    last = Run(repository, 23)
    model |= last.store(some(source, 3))
    last.packs.flush()
    last.index.write()
    last.packs.close()
    one, other = fresh(repository), ChunkIndex(repository, "20260903t000000z-00000000")
    for index in (one, other):
        index.find([bytes(32)])
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(index.merge) for index in (one, other)]:
            done.result()
    assert len(segment_names(repository)) == 1
    assert fresh(repository).find(model) == model


def test_a_merge_that_is_there_but_damaged_deletes_nothing(repository: Repository) -> None:
    for number in range(24):
        run = Run(repository, number)
        run.store(some(random.Random(number), 2))
        run.packs.flush()
        run.index.write()
        run.packs.close()
    before = segment_names(repository)
    first, second = fresh(repository), fresh(repository)
    second.find([bytes(32)])
    first.find([bytes(32)])
    kept = {name: (folder_of(repository) / name).read_bytes() for name in before}
    first.merge()
    (merged,) = segment_names(repository)
    spoil(folder_of(repository) / merged, "flipped")
    for name, data in kept.items():
        (folder_of(repository) / name).write_bytes(data)
    second.merge()
    assert sorted(segment_names(repository)) == sorted([*before, merged])


def test_a_segment_that_another_run_merges_while_it_is_read_is_no_warning(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Model = {}
    for number in range(24):
        run = Run(repository, number)
        model |= run.store(some(random.Random(number), 2))
        run.packs.flush()
        run.index.write()
        run.packs.close()
    other = fresh(repository)
    other.find([bytes(32)])
    index = fresh(repository)
    read = index._read
    reads: list[str] = []

    def merged_meanwhile(name: str) -> segments.Segment:
        reads.append(name)
        if len(reads) == 5:
            other.merge()
        return read(name)

    monkeypatch.setattr(index, "_read", merged_meanwhile)
    # No pack is looked at one by one: every one is in a segment.
    monkeypatch.setattr(chunk_index, "find_directory", None)
    assert index.find(model) == model
    assert index.warnings == []
    assert sum(map(len, index._segments)) == len(model)


def fresh_segments(repository: Repository) -> list[segments.Segment]:
    index = fresh(repository)
    index.find([bytes(32)])
    return index._segments
