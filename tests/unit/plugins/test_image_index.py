"""Which chunks a repository has: held to a dict, through spills, merges, damage and killed runs."""

from __future__ import annotations

import json
import os
import random
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import StorageError
from ansible_collections.vmguard.azure.plugins.module_utils._repository import (
    chunk_index,
    names,
    segments,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.chunk_index import (
    ChunkIndex,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import DamagedObject
from ansible_collections.vmguard.azure.plugins.module_utils._repository.packs import (
    Directory,
    DirectoryCache,
    PackPlace,
    PackWriter,
    Ref,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import Store
from hypothesis import given
from hypothesis import strategies as st
from image_world import directories, folder_of, make_repository, sizes
from storage_backends import AppendOnlyStore

pytest_plugins = ["storage_backends"]

PACK = 20_000
Model = dict[bytes, Ref]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def spilling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_index, "RECENT", 50)


class Run:
    """A run that stores chunks."""

    def __init__(self, repository: Repository, number: int) -> None:
        self.repository = repository
        self.index = ChunkIndex(repository, f"20260901t01{number:04d}z-{number:08x}")
        self.packs = PackWriter(repository, size=PACK, on_stored=self.index.stored)
        self.refs: Model = {}

    def store(self, contents: list[bytes]) -> Model:
        """Store what is not there; where all of it lies."""
        codec = self.repository.codec
        named = {codec.name(one): one for one in contents}
        found = self.index.find(named)
        records = [(name, codec.compress(one)) for name, one in named.items() if name not in found]
        known, fresh = self.index.add(self.packs, records)
        self.refs |= {ref.name: ref for ref in fresh}
        return found | {ref.name: ref for ref in (*known, *fresh)}

    def finish(self) -> None:
        self.packs.flush()
        self.index.write()
        self.index.merge()
        self.packs.close()

    def kill(self) -> None:
        """What is not written yet is lost."""
        self.packs.flush()
        self.packs.close()


def fresh(repository: Repository) -> ChunkIndex:
    return ChunkIndex(repository, "20260902t000000z-00000000")


def some(source: random.Random, count: int = 40) -> list[bytes]:
    return [source.randbytes(500) for _number in range(count)]


def segment_names(repository: Repository) -> list[str]:
    return list(sizes(repository.store, names.SEGMENTS))


@pytest.mark.usefixtures("spilling")
def test_it_is_a_dict_through_runs_that_finish_and_runs_that_are_killed(
    repository: Repository,
) -> None:
    source = random.Random(1)
    model: Model = {}
    everything: list[bytes] = []
    for number in range(8):
        run = Run(repository, number)
        for _batch in range(4):
            again = source.sample(everything, min(20, len(everything)))
            contents = some(source) + again
            places = run.store(contents)
            assert {name: places[name] for name in places if name in model} == {
                name: model[name] for name in places if name in model
            }
            model |= places
            everything += contents
        run.kill() if number % 3 == 2 else run.finish()
    absent = [source.randbytes(32) for _number in range(100)]
    index = fresh(repository)
    assert index.find([*model, *absent]) == model
    assert index.warnings == []
    held = [name for one in directories(repository).values() for name in one.records]
    assert sorted(held) == sorted(model)


@pytest.mark.usefixtures("spilling")
def test_a_run_finds_its_own_chunks_before_and_after_they_spill(repository: Repository) -> None:
    run = Run(repository, 1)
    model: Model = {}
    source = random.Random(2)
    for _batch in range(10):
        model |= run.store(some(source))
        assert run.index.find(model) == model
    assert len(segment_names(repository)) >= 3
    run.finish()
    assert fresh(repository).find(model) == model


def test_what_two_threads_want_to_store_is_stored_once(repository: Repository) -> None:
    run = Run(repository, 1)
    codec = repository.codec
    records = [(codec.name(one), codec.compress(one)) for one in some(random.Random(3))]
    known, new = run.index.add(run.packs, records[:30])
    assert (len(known), len(new)) == (0, 30)
    known, new = run.index.add(run.packs, records[20:])
    assert (len(known), len(new)) == (10, 10)
    run.finish()
    assert sum(len(one.records) for one in directories(repository).values()) == 40


def test_what_two_threads_want_at_the_same_moment_is_stored_once(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(repository, 1)
    add, pause = run.packs.add, threading.Event()

    def slow(records: list[tuple[bytes, bytes]]) -> list[Ref]:
        pause.wait(0.2)
        return add(records)

    monkeypatch.setattr(run.packs, "add", slow)
    codec = repository.codec
    records = [(codec.name(one), codec.compress(one)) for one in some(random.Random(3))]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _number: run.index.add(run.packs, records), range(2)))
    assert sorted(len(refs) for _known, refs in done) == [0, 40]
    assert sorted(len(known) for known, _refs in done) == [0, 40]


@pytest.mark.parametrize("backend", ["folder", "azure_blob"], indirect=True)
def test_many_small_segments_become_one(backend: Callable[[], Store]) -> None:
    made = make_repository(backend())
    model: Model = {}
    source = random.Random(4)
    for number in range(30):
        run = Run(made, number)
        model |= run.store(some(source, 3))
        run.finish()
    left = segment_names(made)
    assert len(left) < 10
    assert any("-merged-" in name for name in left)
    assert fresh(made).find(model) == model


def test_where_nothing_can_be_deleted_a_merge_still_holds_what_it_replaces(
    repository: Repository,
) -> None:
    store = AppendOnlyStore(repository.store)
    append_only = Repository(store, repository.settings, repository.codec)
    model: Model = {}
    source = random.Random(5)
    for number in range(60):
        run = Run(append_only, number)
        model |= run.store(some(source, 2))
        run.finish()
    merged = [name for name in segment_names(repository) if "-merged-" in name]
    assert 1 <= len(merged) <= 4
    index = fresh(append_only)
    assert index.find(model) == model
    assert len(index._segments) < 30
    assert {name.partition("/")[0] for act, name in store.refused} == {"chunk-index"}


@pytest.fixture
def three_runs(repository: Repository) -> Model:
    model: Model = {}
    source = random.Random(6)
    for number in range(3):
        run = Run(repository, number)
        model |= run.store(some(source))
        run.finish()
    return model


def spoil(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes(data[: len(data) // 2] if how == "cut" else data if how == "flipped" else b"")


@pytest.mark.parametrize("how", ["flipped", "cut", "emptied"])
def test_a_damaged_segment_is_a_warning_and_costs_nothing_else(
    repository: Repository, three_runs: Model, how: str
) -> None:
    name = segment_names(repository)[1]
    spoil(folder_of(repository) / name, how)
    index = fresh(repository)
    assert index.find(three_runs) == three_runs
    assert len(index.warnings) == 1
    assert name in index.warnings[0]


def test_a_segment_that_is_too_large_is_a_warning(
    repository: Repository, three_runs: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "SEGMENT_LIMIT", 10)
    index = fresh(repository)
    assert index.find(three_runs) == three_runs
    assert len(index.warnings) == 3


def test_without_any_segment_the_packs_tell(repository: Repository, three_runs: Model) -> None:
    for name in segment_names(repository):
        repository.store.delete(name)
    index = fresh(repository)
    assert index.find(three_runs) == three_runs
    assert index.warnings == []


def test_what_a_killed_run_left_is_looked_for_once(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Run(repository, 1)
    refs = killed.store(some(random.Random(1)))
    killed.kill()
    # Within a day, the run may still be under way and write its own.
    now = datetime.now(timezone.utc)
    for later, segments_there in ((timedelta(hours=23), 0), (timedelta(hours=25), 1)):
        index = ChunkIndex(repository, "20260902t000000z-00000000", now=now + later)
        assert index.find(refs) == refs
        index.write()
        assert len(segment_names(repository)) == segments_there
    monkeypatch.setattr(chunk_index, "find_directory", None)
    assert fresh(repository).find(refs) == refs


def test_a_writer_that_is_closed_refuses_more(repository: Repository) -> None:
    run = Run(repository, 1)
    run.kill()
    for _more_than_are_on_their_way in range(8):
        with pytest.raises(StorageError, match="The backup is over"):
            run.store([os.urandom(PACK)])


@pytest.mark.parametrize("how", ["flipped", "cut", "emptied", "missing"])
def test_a_pack_that_is_gone_or_damaged_holds_nothing(
    repository: Repository, three_runs: Model, how: str
) -> None:
    gone = next(iter(three_runs.values())).pack
    path = folder_of(repository) / names.pack(gone)
    if how == "missing":
        path.unlink()
    elif how == "flipped":
        data = bytearray(path.read_bytes())
        data[-40] ^= 1  # in the seal of its directory
        path.write_bytes(data)
    else:
        spoil(path, how)
    index = fresh(repository)
    expected = {name: ref for name, ref in three_runs.items() if ref.pack != gone}
    assert index.find(three_runs) == expected
    assert any(names.pack(gone) in warning for warning in index.warnings)


def test_beyond_the_bound_the_newest_segments_are_kept(
    repository: Repository, three_runs: Model
) -> None:
    index = ChunkIndex(repository, "20260902t000000z-00000000", most_entries=50)
    found = index.find(three_runs)
    newest = list(three_runs)[-40:]
    assert found == {name: three_runs[name] for name in newest}


def test_other_things_in_the_repository_do_no_harm(
    repository: Repository, three_runs: Model
) -> None:
    for name in ("packs/ab/notes.txt", "packs/0f/" + "0e" * 16, "chunk-index/readme"):
        repository.store.put(name, b"not ours")
    index = fresh(repository)
    assert index.find(three_runs) == three_runs
    assert len(index.warnings) == 1


# -- segments

places = st.builds(
    PackPlace, st.binary(min_size=16, max_size=16), st.integers(0, 1 << 31), st.integers(1, 1 << 20)
)
rows = st.lists(st.tuples(st.integers(0, (1 << 48) - 1), st.sampled_from(range(5))), max_size=50)


@given(rows, st.lists(places, min_size=5, max_size=5, unique=True))
def test_a_segment_finds_what_it_was_built_of(
    found: list[tuple[int, int]], packs: list[PackPlace]
) -> None:
    model = {(print_, packs[number]) for print_, number in found}
    rows = [*model, *list(model)[::2]]
    segment = segments.decode(segments.encode(segments.build(rows, ["chunk-index/a"])), "here")
    assert sorted(segment.rows()) == sorted(model)
    assert segment.replaces == ("chunk-index/a",)
    for print_, _place in model:
        name = print_.to_bytes(6, "big") + bytes(26)
        assert sorted(segment.find(name)) == sorted(
            place for other, place in model if other == print_
        )
    other = os.urandom(32)
    expected = [place for print_, place in model if print_ == segments.fingerprint(other)]
    assert segment.find(other) == expected


def encoded(head: Any, rest: bytes = b"") -> bytes:
    text = json.dumps(head).encode()
    return struct.pack("<8sI", b"VMGSEG1\n", len(text)) + text + rest


HEAD = {"entries": 0, "packs": 0, "replaces": []}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"VMGSEG1\n",
        b"VMGSEG2\n" + encoded(HEAD)[8:],
        encoded(HEAD, b"more"),
        encoded({**HEAD, "entries": 1}),
        encoded({**HEAD, "entries": 1}, bytes(8)),
        encoded({**HEAD, "entries": -1, "packs": 1}, bytes(16)),
        encoded({**HEAD, "entries": 1 << 60}),
        encoded({**HEAD, "entries": float("inf")}),
        encoded({**HEAD, "entries": True}, bytes(8)),
        encoded({**HEAD, "entries": True, "packs": 1}, bytes(32)),
        encoded({**HEAD, "packs": "0"}),
        encoded({**HEAD, "replaces": None}),
        encoded({**HEAD, "replaces": [1]}),
        encoded({**HEAD, "replaces": ["manifests/" + "0" * 32 + "/20260901t010000z-00000000"]}),
        encoded({**HEAD, "replaces": ["chunk-index/../vmguard.json"]}),
        encoded({**HEAD, "replaces": [names.CONFIG]}),
        encoded({**HEAD, "replaces": "chunk-index/a"}),
        encoded([]),
        encoded(None),
        struct.pack("<8sI", b"VMGSEG1\n", 100_000) + b"[" * 100_000,
    ],
)
def test_what_is_no_segment_is_damage(data: bytes) -> None:
    with pytest.raises(DamagedObject):
        segments.decode(data, "chunk-index/one")


def test_a_hostile_segment_does_not_get_a_backup_deleted(
    repository: Repository, three_runs: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk_index, "_MERGE_COUNT", 1)
    victim = "manifests/" + "0" * 32 + "/20260901t010000z-00000000"
    repository.store.put(victim, b"a backup")
    hostile = segments.build([(1, PackPlace(bytes(16), 0, 1))], [victim])
    name = f"{names.SEGMENTS}20260901t020000z-00000000-0001"
    repository.store.put(name, repository.codec.seal(name, segments.encode(hostile)))
    run = Run(repository, 9)
    run.store(some(random.Random(7)))
    run.finish()
    assert repository.store.get(victim, 100) == b"a backup"
    assert any(name in warning for warning in run.index.warnings)
    assert fresh(repository).find(three_runs) == three_runs


def test_the_cache_of_directories_is_bounded_by_what_they_hold() -> None:
    cache = DirectoryCache(100)

    def directory(count: int) -> Directory:
        refs = {bytes([n]): Ref(bytes([n]), b"", 0, 1) for n in range(count)}
        return Directory(refs, "")

    for number in range(10):
        cache.put(bytes([number]), directory(30))
        cache.put(bytes([number]), directory(30))
    assert [number for number in range(10) if cache.get(bytes([number]))[0]] == [7, 8, 9]
    cache.put(b"gone", None)
    assert cache.get(b"gone") == (True, None)
    cache.put(b"large", directory(200))
    assert cache.get(b"large")[0]
    assert not cache.get(bytes([9]))[0]


def test_packs_of_almost_empty_chunks_keep_a_directory_that_can_be_read(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(repository, 1)
    monkeypatch.setattr(run.packs, "_size", 16 << 20)
    model: Model = {}
    for start in range(0, 40_000, 1000):
        contents = [number.to_bytes(4, "big") for number in range(start, start + 1000)]
        model |= run.store(contents)
    run.finish()
    assert len(sizes(repository.store, names.PACKS)) == 3
    assert fresh(repository).find(model) == model
