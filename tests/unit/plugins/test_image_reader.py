"""Reading disks into a repository: what is stored once, what a failed run leaves, and restoring."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_ranges import Changed
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import (
    DamagedObject,
    LeaseLost,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.manifest import DiskImage
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from hypothesis import given, settings
from hypothesis import strategies as st
from image_world import (
    CHUNK,
    MIB,
    PASSPHRASE,
    Bytes,
    Sparse,
    World,
    directories,
    make_repository,
    random_disk,
    restore,
    sizes,
    verify,
)
from storage_backends import FaultyStore, blob_repository, open_repository

from local_azure.azurite import Azurite

pytest_plugins = ["storage_backends"]

GIB = 1 << 30
PACK = 256 << 10


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


def over(repository: Repository, store: FaultyStore) -> Repository:
    return Repository(store, repository.settings, repository.codec)


def pack_bytes(repository: Repository) -> int:
    return sum(sizes(repository.store, names.PACKS).values())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 40), st.sampled_from([0, 512, CHUNK - 512]))
def test_every_generation_of_a_changing_disk_restores(
    tmp_path_factory: pytest.TempPathFactory, seed: int, chunks: int, odd: int
) -> None:
    source = random.Random(seed)
    made = make_repository(tmp_path_factory.mktemp("changing") / "repository")
    world = World(made, pack_size=PACK)
    size = chunks * CHUNK + odd
    content = random_disk(size, seed)
    history = [(world.back_up(content), bytes(content))]
    for _generation in range(3):
        changes = []
        for start in sorted(source.sample(range(0, size, 512), min(6, size // 512))):
            end = min(start + source.choice([512, 4096, CHUNK, 3 * CHUNK]), size)
            if changes and start < changes[-1].end:
                continue
            cleared = source.random() < 0.4
            content[start:end] = bytes(end - start) if cleared else source.randbytes(end - start)
            changes.append(Changed(start, end, cleared))
        history.append((world.back_up(content, changes, history[-1][0]), bytes(content)))
    for backup, expected in history:
        assert restore(made, backup.disks[0]) == expected
    assert verify(made).sound


def test_a_second_full_of_the_same_disk_stores_nothing(repository: Repository) -> None:
    content = random_disk(4 * MIB, 1)
    world = World(repository, pack_size=PACK)
    first = world.back_up(content)
    before = pack_bytes(repository)
    assert world.stats.new > 0
    second = world.back_up(content)
    assert world.stats.new == 0
    # Pages are found by their base only: a leaf and its node.
    assert pack_bytes(repository) - before < 20_000
    assert restore(repository, second.disks[0]) == restore(repository, first.disks[0]) == content


def test_duplicates_within_a_disk_are_stored_once(repository: Repository) -> None:
    pattern = random.Random(1).randbytes(CHUNK)
    disk = Bytes(pattern * 400)
    world = World(repository, workers=8)
    image = world.read(disk, len(disk.content))
    assert world.stats.new == CHUNK
    held = [ref for one in directories(repository).values() for ref in one.records.values()]
    assert sum(ref.length > CHUNK for ref in held) == 1
    assert restore(repository, image) == disk.content


def test_zeros_are_read_and_not_stored_and_cleared_ones_not_even_read(
    repository: Repository,
) -> None:
    disk = Bytes(bytes(10 * CHUNK))
    world = World(repository)
    changes = [Changed(0, 4 * CHUNK, False), Changed(4 * CHUNK, 10 * CHUNK, True)]
    image = world.read(disk, len(disk.content), changes)
    assert image.roots == {}
    assert sizes(repository.store, names.PACKS) == {}
    assert disk.reads == [(0, 4 * CHUNK)]
    assert (world.stats.read, world.stats.zero) == (4 * CHUNK, 6)
    assert restore(repository, image) == disk.content


def test_the_changes_of_a_disk_are_all_that_is_read(repository: Repository) -> None:
    world = World(repository)
    content = random_disk(8 * MIB, 2, zeros=0)
    full = world.back_up(content)
    content[5 * CHUNK + 512 : 5 * CHUNK + 1024] = bytes(512)
    disk = Bytes(content)
    change = [Changed(5 * CHUNK + 512, 5 * CHUNK + 1024, False)]
    image = world.read(disk, len(content), change, full.disks[0])
    assert disk.reads == [(5 * CHUNK, 6 * CHUNK)]
    assert restore(repository, image) == content


@pytest.mark.parametrize("lost_answer", [False, True])
def test_what_an_interrupted_run_stored_is_not_stored_again(
    tmp_path: Path, lost_answer: bool
) -> None:
    content = random_disk(4 * MIB, 3)
    whole = make_repository(tmp_path / "whole")
    World(whole, pack_size=PACK).back_up(content)
    puts = len(sizes(whole.store)) - 1
    for number in sorted({1, 2, puts // 2, puts - 2, puts - 1, puts}):
        made = make_repository(tmp_path / f"interrupted-{number}")
        error = StorageFull("There is no room.")
        faulty = FaultyStore(
            made.store, number, error=error, methods=("put",), lost_answer=lost_answer
        )
        with pytest.raises(StorageFull):
            World(over(made, faulty), pack_size=PACK).back_up(content)
        assert verify(made).sound
        backup = World(made, pack_size=PACK).back_up(content)
        # One pack twice at most, and what the packs of two runs cost beside their chunks.
        assert pack_bytes(made) <= pack_bytes(whole) + PACK + 2 * CHUNK, number
        assert restore(made, backup.disks[0]) == content
        assert verify(made).sound


def test_every_put_may_fail_and_no_backup_is_half_there(tmp_path: Path) -> None:
    content = random_disk(MIB, 4)
    made = make_repository(tmp_path / "repository", PASSPHRASE)
    faulty = FaultyStore(made.store, methods=("put",))
    first = World(over(made, faulty), pack_size=PACK).back_up(content)
    for number in range(1, len(faulty.calls) + 1):
        content[:CHUNK] = random.Random(number).randbytes(CHUNK)
        failing = FaultyStore(made.store, number, methods=("put",), lasting=True)
        before = sizes(made.store, names.MANIFESTS)
        changes = [Changed(0, len(content), False)]
        with pytest.raises(StorageError):
            World(over(made, failing), pack_size=64 << 10).back_up(content, changes)
        assert sizes(made.store, names.MANIFESTS) == before
    assert verify(made).sound
    assert restore(made, first.disks[0])


def test_a_source_that_fails_stops_the_run(repository: Repository) -> None:
    class Failing(Bytes):
        def read(self, start: int, end: int) -> bytes:
            if start >= 3 * MIB:
                raise StorageUnavailable("The snapshot is gone.")
            return super().read(start, end)

    content = random_disk(8 * MIB, 5)
    with pytest.raises(StorageUnavailable, match="snapshot is gone"):
        World(repository).read(Failing(content), len(content))
    assert threading.active_count() < 10


def test_work_stops_when_the_check_says_so(repository: Repository) -> None:
    size = 64 * GIB
    source = random.Random(6)
    disk = Sparse(size, {start: source.randbytes(CHUNK) for start in range(0, size, 256 * MIB)})
    world = World(repository)
    asked: list[int] = []

    def check() -> None:
        asked.append(len(asked))
        if len(asked) == 10:
            raise LeaseLost("The lease was lost.")

    world.check = check
    with pytest.raises(LeaseLost):
        world.read(disk, size, disk.changes())
    assert world.stats.read < 40 * CHUNK


def test_an_index_page_that_is_damaged_fails_the_incremental(repository: Repository) -> None:
    world = World(repository)
    content = random_disk(MIB, 7)
    full = world.back_up(content)
    (name,) = sizes(repository.store, names.PACKS)
    repository.store.delete(name)
    with pytest.raises(DamagedObject, match="it is missing"):
        world.back_up(content, [Changed(0, CHUNK, False)], full)


def test_a_repository_in_a_storage_account_takes_and_gives_disks(azurite: Azurite) -> None:
    with open_repository(blob_repository(azurite)) as store:
        made = make_repository(store, PASSPHRASE)
        world = World(made, pack_size=MIB, workers=4)
        content = random_disk(6 * MIB + 512, 8)
        full = world.back_up(content)
        content[MIB : 2 * MIB] = bytes(MIB)
        later = world.back_up(content, [Changed(MIB, 2 * MIB, True)], full)
        assert restore(made, later.disks[0], workers=4) == content
        lost = FaultyStore(store, 2, methods=("put",), lost_answer=True)
        content[:CHUNK] = random.Random(9).randbytes(CHUNK)
        with pytest.raises(StorageUnavailable):
            World(over(made, lost), pack_size=MIB).back_up(content)
        again = World(made, pack_size=MIB).back_up(content)
        assert restore(made, again.disks[0]) == content
        assert verify(made).sound


def test_restoring_reads_through_the_index_only(repository: Repository) -> None:
    disk = Sparse(64 * GIB, {17 * GIB: b"x" * CHUNK})
    image: DiskImage = World(repository).read(disk, disk.size, disk.changes())
    written: list[tuple[int, int]] = []

    class Sink:
        def write(self, start: int, data: bytes) -> None:
            written.append((start, len(data)))

    restore(repository, image, sink=Sink())
    assert written == [(17 * GIB, CHUNK)]
