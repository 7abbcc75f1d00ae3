"""What the modules of image backups do with a repository: create, describe, find, delete."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._clock import SystemClock
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    InputError,
    StorageDenied,
    StorageUnavailable,
)
from ansible_collections.vmguard.azure.plugins.module_utils._image import report
from ansible_collections.vmguard.azure.plugins.module_utils._repository import admin, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import (
    BackupNotFound,
    LeaseHeld,
    WrongPassphrase,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import Lease
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import Store
from ansible_collections.vmguard.azure.plugins.module_utils._storage.read_only import ReadOnlyStore
from ansible_collections.vmguard.azure.plugins.modules.backup_verify import percentage
from image_world import CHUNK, MovedClock, World, random_disk, verify
from storage_backends import AppendOnlyStore, FaultyStore, Wrapper

pytest_plugins = ["storage_backends"]

OLD, NEW = "made up: the old one", "made up: the new one"
SCOPE = "ab" * 16


class Gate:
    """What ``Task.write`` is; counts the writes."""

    def __init__(self, check_mode: bool = False) -> None:
        self.check_mode = check_mode
        self.writes = 0

    def __call__(self, act: Callable[[], Any], predicted: Any = None) -> Any:
        result = predicted if self.check_mode else act()
        self.writes += 1
        return result


def now() -> datetime:
    return datetime.now(timezone.utc)


def present(store: Store, passphrase: str | None = None, **more: Any) -> tuple[admin.Change, int]:
    gate = Gate(more.pop("check_mode", False))
    options = {"new_passphrase": None, "chunk_size": None, "clock": SystemClock(), **more}
    return admin.ensure_present(store, passphrase=passphrase, write=gate, **options), gate.writes


def absent(store: Store, passphrase: str | None = None, **more: Any) -> tuple[admin.Change, int]:
    gate = Gate(more.pop("check_mode", False))
    options = {"force": True, "clock": SystemClock(), **more}
    return admin.ensure_absent(store, passphrase=passphrase, write=gate, **options), gate.writes


@pytest.fixture
def place(tmp_path: Path) -> FolderStore:
    return FolderStore(str(tmp_path / "repository"))


def filled(store: Store, passphrase: str | None = None) -> Repository:
    """A repository with two backups of a machine."""
    present(store, passphrase)
    repository = Repository.open(store, passphrase)
    world = World(repository)
    for seed in (1, 2):
        world.back_up(random_disk(5 * CHUNK, seed))
    return repository


def object_names(store: Store) -> list[str]:
    return [one.name for one in store.list()] if store.exists() else []


# -- creating


@pytest.mark.parametrize("passphrase", [None, OLD], ids=["clear", "encrypted"])
def test_create_is_foretold_done_and_then_nothing_is_to_do(
    store: Store, passphrase: str | None
) -> None:
    foretold, writes = present(ReadOnlyStore(store), passphrase, check_mode=True)
    assert (foretold.before, writes, object_names(store)) == (None, 1, [])
    done, writes = present(store, passphrase)
    assert (done.before, writes) == (None, 1)
    assert foretold.after == {**(done.after or {}), "id": None, "created": None}
    again, writes = present(store, passphrase)
    assert (again.before, again.after, writes) == (done.after, done.after, 0)


def test_what_a_creation_leaves_that_was_killed_is_cleared_by_the_next(place: FolderStore) -> None:
    for number in range(3):
        with pytest.raises(StorageUnavailable):
            present(FaultyStore(place, fail_at=2, methods=("put",)), OLD)
        left = object_names(place)
        assert len(left) == number + 1 and all(map(names.is_key, left))
    assert present(place, OLD)[1] == 1
    (key,) = (name for name in object_names(place) if name != names.CONFIG)
    assert key not in left
    Repository.open(place, OLD)


@pytest.mark.parametrize("passphrase", [None, OLD], ids=["clear", "encrypted"])
def test_the_key_of_a_creation_that_came_too_late_is_cleared(
    place: FolderStore, passphrase: str | None
) -> None:
    with pytest.raises(StorageUnavailable):
        present(FaultyStore(place, fail_at=2, methods=("put",)), NEW)
    (late,) = object_names(place)
    content = place.get(late, 1 << 16)
    present(place, passphrase)
    place.put(late, content)
    if passphrase:
        with pytest.raises(WrongPassphrase):
            present(place, NEW)
        assert late in object_names(place)
    assert present(ReadOnlyStore(place), passphrase, check_mode=True)[1] == 1
    assert late in object_names(place)
    assert present(place, passphrase)[1] == 1
    assert late not in object_names(place)
    assert present(place, passphrase)[1] == 0
    Repository.open(place, passphrase)


@pytest.mark.parametrize("passphrase", [None, OLD], ids=["clear", "encrypted"])
def test_who_is_second_to_create_has_changed_nothing(
    place: FolderStore, passphrase: str | None
) -> None:
    class Overtaken(Wrapper):
        """Somebody else creates a repository just before the settings are written."""

        def put(self, name: str, data: bytes) -> None:
            if name == names.CONFIG:
                other.append(present(place, passphrase)[0])
            super().put(name, data)

    other: list[admin.Change] = []
    place.prepare()
    change, writes = present(Overtaken(place), passphrase)
    assert (change.before, change.after, writes) == (other[0].after, other[0].after, 0)
    assert len(object_names(place)) == (2 if passphrase else 1)
    with pytest.raises(InputError, match="it cannot be changed"):
        present(place, passphrase, chunk_size="1MiB")


# -- the passphrase


def test_the_passphrase_is_changed_once(store: Store) -> None:
    present(store, OLD)
    before = object_names(store)
    change, writes = present(ReadOnlyStore(store), OLD, new_passphrase=NEW, check_mode=True)
    assert (writes, object_names(store)) == (1, before)
    change, writes = present(store, OLD, new_passphrase=NEW)
    assert (change.warnings, writes) == ([], 1)
    for known in (OLD, NEW):
        assert present(store, known, new_passphrase=NEW)[1] == 0
    with pytest.raises(WrongPassphrase):
        present(store, OLD)
    with pytest.raises(WrongPassphrase):
        present(store, OLD, new_passphrase="made up: a third one")


def test_a_change_that_was_interrupted_is_finished(place: FolderStore) -> None:
    present(place, OLD)
    with pytest.raises(StorageUnavailable):
        present(FaultyStore(place, fail_at=1, methods=("delete",)), OLD, new_passphrase=NEW)
    Repository.open(place, OLD)
    Repository.open(place, NEW)
    assert present(place, OLD, new_passphrase=NEW)[1] == 1
    with pytest.raises(WrongPassphrase):
        Repository.open(place, OLD)
    assert present(place, OLD, new_passphrase=NEW)[1] == 0


def test_where_nothing_may_be_deleted_the_old_one_is_named_and_no_keys_pile_up(
    place: FolderStore,
) -> None:
    present(place, OLD)
    kept = AppendOnlyStore(place)
    for _attempt in range(3):
        change, _writes = present(kept, OLD, new_passphrase=NEW)
        assert "The old passphrase still opens the repository" in change.warnings[0]
        assert len(list(place.list(names.KEYS))) == 2


# -- deleting


def test_delete_leaves_what_is_not_ours(store: Store) -> None:
    filled(store, OLD)
    store.put("letters/first", b"Dear reader")
    with pytest.raises(InputError, match=r"holds 2 backup\(s\), which would be lost"):
        absent(store, OLD, force=False)
    with pytest.raises(WrongPassphrase):
        absent(store, NEW)
    before = object_names(store)
    assert absent(ReadOnlyStore(store), OLD, check_mode=True)[1] == 1
    assert object_names(store) == before
    change, writes = absent(store, OLD)
    assert writes == 1
    assert change.after is None and "letters/first" in change.warnings[0]
    assert object_names(store) == ["letters/first"]


def test_delete_nothing_and_create_again(store: Store) -> None:
    assert absent(store) == (admin.Change(None, None), 0)
    filled(store)
    absent(store)
    assert absent(store) == (admin.Change(None, None), 0)
    assert present(store)[1] == 1


@pytest.mark.parametrize("passphrase", [None, OLD], ids=["clear", "encrypted"])
def test_a_deletion_that_is_interrupted_anywhere_can_be_repeated(
    tmp_path: Path, passphrase: str | None
) -> None:
    at, failed = 0, True
    while failed:
        at += 1
        store = FolderStore(str(tmp_path / str(at)))
        repository = filled(store, passphrase)
        with Lease(repository, SCOPE, "a test", "run", MovedClock()):
            pass
        try:
            faulty = FaultyStore(store, fail_at=at, methods=("delete",), lasting=True)
            absent(faulty, passphrase)
            failed = False
        except StorageUnavailable:
            absent(store, passphrase)
        assert object_names(store) == []
    assert at > 5


def test_a_repository_that_is_in_use_is_not_deleted(place: FolderStore) -> None:
    repository = filled(place)
    clock = MovedClock()
    with Lease(repository, SCOPE, "the backup of web", "run", clock):
        with pytest.raises(LeaseHeld, match="is in use: the backup of web"):
            absent(place, clock=clock)
        told = report.contents(repository, clock.now())["leases"]
        assert [(one["subject"], one["run"], one["live"]) for one in told] == [
            ("the backup of web", "run", True)
        ]
    assert report.contents(repository, clock.now())["leases"] == []
    assert verify(repository).sound
    absent(place, clock=clock)


def test_where_nothing_may_be_deleted_all_stays(place: FolderStore) -> None:
    repository = filled(place)
    with pytest.raises(StorageDenied):
        absent(AppendOnlyStore(place))
    assert verify(repository).sound


# -- finding and describing


def test_backups_are_found_by_machine_and_time(store: Store) -> None:
    repository = filled(store)
    found = report.find(repository)
    first, second = found.backups
    vm = first.vm
    assert [one.id for one in found.backups] == sorted(one.id for one in found.backups)
    begun = datetime.fromisoformat(second.started)
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"vm": vm["name"].upper()}, [first.id, second.id]),
        ({"vm": vm["id"]}, [first.id, second.id]),
        ({"vm": "other"}, []),
        ({"group": "other"}, []),
        ({"after": begun}, [second.id]),
        ({"before": begun}, [first.id]),
        ({"after": begun, "before": begun}, []),
        ({"backup": second.id}, [second.id]),
    ]
    for chosen, expected in cases:
        assert [one.id for one in report.find(repository, **chosen).backups] == expected, chosen
    with pytest.raises(BackupNotFound):
        report.find(repository, backup="20010101t000000z-00000000")


def test_a_backup_that_cannot_be_read_is_named(place: FolderStore, tmp_path: Path) -> None:
    repository = filled(place)
    spoilt = report.find(repository).names[0]
    (tmp_path / "repository" / spoilt).write_bytes(b"no manifest")
    backup_id = spoilt.rpartition("/")[2]
    for chosen in ({}, {"vm": "web"}, {"backup": backup_id}):
        found = report.find(repository, **chosen)
        assert [one["id"] for one in found.damaged] == [backup_id]
        assert spoilt in found.names
    assert report.find(repository, vm="other").damaged == []
    told = report.contents(repository, now())
    assert [one["object"] for one in told["damaged"]] == [spoilt]
    assert told["totals"]["backups"] == 2 and told["vms"][0]["backups"] == 1


def test_totals_count_what_is_the_repositorys(store: Store) -> None:
    repository = filled(store)
    store.put("letters/first", b"Dear reader")
    listed = [one for one in store.list() if one.name != "letters/first"]
    told = report.totals(repository)
    assert (told["objects"], told["bytes"]) == (len(listed), sum(one.size for one in listed))
    packs = [one.size for one in listed if one.name.startswith(names.PACKS)]
    assert (told["packs"], told["pack_bytes"]) == (len(packs), sum(packs))


@pytest.mark.parametrize(
    ("text", "percent"),
    [("none", 0), ("All", 100), ("10%", 10), ("10", 10), (" 0.5% ", 0.5), ("0", 0)],
)
def test_read_data_is(text: str, percent: float) -> None:
    assert percentage(text) == percent


@pytest.mark.parametrize("text", ["", "most", "-1", "101%", "nan", "%"])
def test_read_data_is_not(text: str) -> None:
    with pytest.raises(InputError, match="read_data"):
        percentage(text)


def test_check_mode_takes_a_repository_for_granted_only_where_nothing_is(
    place: FolderStore, tmp_path: Path
) -> None:
    empty = admin.foretold(place)
    assert empty is not None and report.find(empty).names == []
    present(place)
    assert admin.foretold(place) is None
    other = FolderStore(str(tmp_path / "other"))
    other.prepare()
    assert admin.foretold(other) is not None
    other.put("letters/first", b"Dear reader")
    assert admin.foretold(other) is None
