"""Damaged packs in quarantine: what a verification puts there is stored anew, and what that makes whole."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_ranges import Changed
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    InputError,
    StorageUnavailable,
)
from ansible_collections.vmguard.azure.plugins.module_utils._image.verifier import Report
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names, quarantine
from ansible_collections.vmguard.azure.plugins.module_utils._repository.chunk_index import (
    ChunkIndex,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import (
    DamagedObject,
    DamageFound,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._repository.tree import Tree
from ansible_collections.vmguard.azure.plugins.module_utils._storage.read_only import ReadOnlyStore
from ansible_collections.vmguard.azure.plugins.modules import backup_verify
from backup_bench import Place, open_place
from image_world import (
    CHUNK,
    PASSPHRASE,
    Bytes,
    World,
    folder_of,
    make_repository,
    random_disk,
    restore,
    sizes,
    verify,
)
from restore_bench import open_bench
from storage_backends import FaultyStore

PACK = 256 << 10
NONE: dict[str, list[str]] = {}


class Task:
    """What the module asks of its task."""

    def __init__(self, repository: Repository, check_mode: bool = False, **params: Any) -> None:
        if check_mode:
            store = ReadOnlyStore(repository.store)
            repository = Repository(store, repository.settings, repository.codec)
        self._repository = repository
        self._check_mode = check_mode
        self.changed = False
        self.shown: Any = None
        self.params = {
            "vm": None, "resource_group": None, "backup": None, "read_data": "all",
            "quarantine": True, "fail_on_damage": False, **params,
        }  # fmt: skip

    def repository(self) -> Repository:
        return self._repository

    def write(self, act: Callable[[], Any], predicted: Any = None) -> Any:
        self.changed = True
        return predicted if self._check_mode else act()

    def diff(self, before: Any, after: Any) -> None:
        self.shown = (before, after)


def run(task: Task) -> dict[str, Any]:
    return backup_verify.verify(task)  # type: ignore[arg-type]


@pytest.fixture(params=[None, PASSPHRASE], ids=["clear", "encrypted"])
def repository(request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository", request.param)


def spoil_largest(repository: Repository) -> str:
    """One bit of a pack that holds chunks; index pages are in smaller ones."""
    packs = sizes(repository.store, names.PACKS)
    name = max(packs, key=lambda one: packs[one])
    path = folder_of(repository) / name
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    return name


def damaged(report: Report) -> set[str]:
    return {one["id"] for one in report.backups}


def put(repository: Repository) -> Report:
    found = verify(repository)
    quarantine.add(repository, found.damaged_packs, found.damaged_disks)
    return found


def test_the_next_full_stores_anew_what_is_damaged_and_heals_what_was(
    repository: Repository,
) -> None:
    world = World(repository, pack_size=PACK)
    content = random_disk(40 * CHUNK, 5)
    first = world.back_up(content)
    pack = spoil_largest(repository)
    # Without a quarantine it is trusted: the next full is as damaged as the first.
    second = world.back_up(content)
    assert world.stats.new == 0
    found = put(repository)
    assert damaged(found) == {first.id, second.id}
    assert found.damaged_disks == {first.id: ["os"], second.id: ["os"]}
    assert not found.sound and found.recovered == []
    third = world.back_up(content)
    assert 0 < world.stats.new <= sizes(repository.store)[pack]
    after = verify(repository)
    assert after.sound and after.backups == []
    assert [one["id"] for one in after.recovered] == [first.id, second.id]
    assert after.objects.keys() == after.quarantined == {pack}
    for backup in (first, second, third):
        assert restore(repository, backup.disks[0]) == bytes(content)
    # Once more: nothing is stored, and nothing refers to the damaged pack.
    world.back_up(content)
    assert world.stats.new == 0


def test_what_the_disk_does_not_have_any_more_stays_lost(repository: Repository) -> None:
    world = World(repository, pack_size=PACK)
    content = random_disk(12 * CHUNK, 6, zeros=0)
    first = world.back_up(content)
    spoil_largest(repository)
    put(repository)
    other = random_disk(12 * CHUNK, 7, zeros=0)
    second = world.back_up(other)
    after = verify(repository)
    assert damaged(after) == {first.id}
    assert after.recovered == []
    assert restore(repository, second.disks[0]) == bytes(other)
    with pytest.raises(DamagedObject):
        restore(repository, first.disks[0])


def test_an_incremental_stores_anew_what_it_reads(repository: Repository) -> None:
    world = World(repository, pack_size=64 * PACK)
    content = random_disk(8 * CHUNK, 8, zeros=0)
    first = world.back_up(content)
    spoil_largest(repository)
    put(repository)
    # Azure calls all of it changed, and the guest has written the same bytes.
    world.back_up(content, [Changed(0, len(content), False)], first)
    assert world.stats.new == len(content)


def test_a_missing_pack_is_put_there_too_and_then_all_is_sound(repository: Repository) -> None:
    world = World(repository, pack_size=PACK)
    content = random_disk(20 * CHUNK, 9)
    first = world.back_up(content)
    packs = sizes(repository.store, names.PACKS)
    repository.store.delete(max(packs, key=lambda one: packs[one]))
    put(repository)
    world.back_up(content)
    after = verify(repository)
    assert after.sound
    assert [one["id"] for one in after.recovered] == [first.id]
    assert restore(repository, first.disks[0]) == bytes(content)


def test_a_damaged_index_page_is_taken_from_another_backup(repository: Repository) -> None:
    world = World(repository, pack_size=64 * PACK)
    content = random_disk(20 * CHUNK, 10)
    first = world.back_up(content)
    second = world.back_up(content)
    refs = [next(Tree(repository, one.disks[0].roots).leaves())[1] for one in (first, second)]
    ref = refs[0]
    assert ref.name == refs[1].name and ref.pack != refs[1].pack
    path = folder_of(repository) / names.pack(ref.pack)
    data = bytearray(path.read_bytes())
    data[ref.offset + ref.length // 2] ^= 1
    path.write_bytes(data)
    for percent in (0, 100):
        found = verify(repository, percent)
        assert found.backups == []
        assert [one["id"] for one in found.recovered] == [first.id]
        assert list(found.objects) == [names.pack(ref.pack)]
    assert restore(repository, first.disks[0]) == bytes(content)


# -- the objects


def test_two_verifications_at_once_write_one_object(repository: Repository) -> None:
    packs = [bytes([number]) * 16 for number in range(5)]
    backups = {"20260901t010000z-00000000": ["os", "lun3"]}
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(quarantine.add, repository, packs, backups) for _turn in range(4)]
        written = {name for job in jobs for name in job.result()}
    assert set(sizes(repository.store, names.QUARANTINE)) == written
    assert len(written) == 1
    found = quarantine.load(repository)
    assert found.packs == set(packs)
    assert found.names_disk("20260901t010000z-00000000", "lun3")
    assert not found.names_disk("20260901t010000z-00000000", "lun4")
    assert not found.names_disk("20260902t010000z-00000000", "os")
    assert quarantine.add(repository, packs, backups) == []
    (more,) = quarantine.add(repository, [*packs, b"x" * 16], backups)
    assert quarantine.read(repository, more) == ({b"x" * 16}, {})


@pytest.mark.parametrize("lost_answer", [False, True])
def test_one_that_was_killed_is_done_again(repository: Repository, lost_answer: bool) -> None:
    store = FaultyStore(repository.store, 1, methods=("put",), lost_answer=lost_answer)
    killed = Repository(store, repository.settings, repository.codec)
    with pytest.raises(StorageUnavailable):
        quarantine.add(killed, [b"x" * 16], NONE)
    quarantine.add(repository, [b"x" * 16], NONE)
    assert quarantine.load(repository).packs == {b"x" * 16}
    assert len(sizes(repository.store, names.QUARANTINE)) == 1


def test_many_packs_are_named_by_several_objects(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "_PACKS_EACH", 3)
    packs = [bytes([number]) * 16 for number in range(7)]
    assert len(quarantine.add(repository, packs, {"a": ["os"]})) == 3
    assert quarantine.load(repository).packs == set(packs)
    assert quarantine.load(repository).backups == {"a": {"os"}}


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"packs": []}, {"backups": {}}, {"packs": 5, "backups": {}},
        {"packs": [5], "backups": {}}, {"packs": ["xx"], "backups": {}},
        {"packs": ["ab"], "backups": {}}, {"packs": [], "backups": []},
        {"packs": [], "backups": {"a": 5}}, {"packs": [], "backups": {"a": [5]}},
    ],
)  # fmt: skip
def test_what_is_no_quarantine_is_damage_and_stops_nothing(
    repository: Repository, body: Any
) -> None:
    name = f"{names.QUARANTINE}{'0' * 32}"
    repository.write(name, body)
    with pytest.raises(DamagedObject):
        quarantine.read(repository, name)
    index = ChunkIndex(repository, "20260901t010000z-00000000")
    assert index.find([bytes(32)]) == {}
    assert len(index.warnings) == 1 and name in index.warnings[0]
    assert list(verify(repository).objects) == [name]


def test_an_object_that_is_no_json_is_damage(repository: Repository) -> None:
    name = f"{names.QUARANTINE}{'0' * 32}"
    repository.store.put(name, b"not ours")
    assert len(quarantine.load(repository).warnings) == 1


# -- the module


def test_the_module_foretells_does_and_repeats_it(repository: Repository) -> None:
    world = World(repository, pack_size=PACK)
    first = world.back_up(random_disk(20 * CHUNK, 11))
    pack = spoil_largest(repository)
    before = sizes(repository.store)
    foretold = Task(repository, check_mode=True)
    told = run(foretold)
    assert foretold.changed and sizes(repository.store) == before
    assert told["quarantined_packs"] == 1
    assert foretold.shown[1] == {
        "packs": [pack.rpartition("/")[2]],
        "backups": {first.id: ["os"]},
    }
    done = Task(repository)
    assert run(done) == told and done.changed
    assert len(sizes(repository.store, names.QUARANTINE)) == 1
    again = Task(repository)
    told = run(again)
    assert not again.changed and again.shown is None
    assert told["quarantined_packs"] == 0
    assert [one["quarantined"] for one in told["damaged_objects"]] == [True]
    assert not told["sound"]


def test_it_is_written_before_the_failure_is_told(repository: Repository) -> None:
    world = World(repository, pack_size=PACK)
    world.back_up(random_disk(20 * CHUNK, 12))
    spoil_largest(repository)
    task = Task(repository, fail_on_damage=True)
    with pytest.raises(DamageFound) as error:
        run(task)
    assert error.value.result["quarantined_packs"] == 1
    assert len(quarantine.load(repository).packs) == 1


def test_without_the_option_or_without_damage_nothing_is_written(repository: Repository) -> None:
    world = World(repository, pack_size=PACK)
    world.back_up(random_disk(20 * CHUNK, 13))
    sound = Task(repository)
    assert run(sound)["sound"] and not sound.changed
    spoil_largest(repository)
    silent = Task(repository, quarantine=False)
    assert not run(silent)["sound"] and not silent.changed
    assert sizes(repository.store, names.QUARANTINE) == {}


def test_it_takes_data_that_is_read(repository: Repository) -> None:
    with pytest.raises(InputError, match="no data would be read"):
        run(Task(repository, read_data="none"))


# -- a backup


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_bench() as bench, open_place(bench, tmp_path, []) as made:
        made.create()
        yield made


def test_a_disk_that_was_found_damaged_is_read_in_full(place: Place) -> None:
    for offset in range(0, 32 * CHUNK, CHUNK):
        data = random.Random(offset).randbytes(CHUNK)
        place.bench.control.guest_write(place.machine.id, "os", offset, data)
    content = place.export()
    first = place.backup()
    spoil_largest(place.open())
    put(place.open())
    foretold = place.backup(lambda _act, predicted=None: predicted, level="incremental")
    (decision,) = foretold.planned.values()
    assert decision.level == "full" and "found the disk damaged" in (decision.fallback or "")
    second = place.backup(level="incremental")
    assert second.backup is not None and first.backup is not None
    assert second.backup.disks[0].level == "full"
    assert any("found the disk damaged" in text for text in second.warnings)
    assert verify(place.open()).sound
    place.check(first, content)
    place.check(second, content)
    third = place.backup(level="incremental")
    assert third.backup is not None and third.backup.disks[0].level == "incremental"
    assert third.warnings == []


def test_a_source_is_read_once_for_what_is_damaged(repository: Repository) -> None:
    world = World(repository, pack_size=PACK)
    content = random_disk(20 * CHUNK, 14, zeros=0)
    world.back_up(content)
    spoil_largest(repository)
    put(repository)
    disk = Bytes(content)
    world.read(disk, len(content))
    assert sum(end - start for start, end in disk.reads) == len(content)
