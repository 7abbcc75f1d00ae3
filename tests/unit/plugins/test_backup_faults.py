"""A request of a backup fails, each in its turn: nothing is lost, nothing is left, the next run succeeds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup.engine import Backup
from ansible_collections.vmguard.azure.plugins.module_utils._backup.request import BackupRequest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import StorageFull, VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._image.verifier import Verifier
from ansible_collections.vmguard.azure.plugins.module_utils._repository import manifest, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from backup_bench import Place
from restore_bench import Bench, open_bench
from storage_backends import FaultyStore

FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("status", {"status": 409, "code": "OperationNotAllowed"}),
    ("status", {"status": 503, "code": "ServerBusy", "times": 60}),
    ("fail_operation", {}),
    ("reset", {"times": 60}),
    ("lost_answer", {"times": 2}),
]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Place:
    opened = Place(bench, bench.machine([]), tmp_path)
    opened.create()
    opened.scatter("os", 20)
    return opened


def tried(place: Place, **options: Any) -> bool:
    try:
        place.backup(**options)
    except VmguardError as error:
        told = str(error)
    else:
        return True
    assert "sig=" not in told
    return False


def nothing_lost(place: Place, at_least: int) -> None:
    repository = place.open()
    found = manifest.listed(repository)
    assert len(found) >= at_least
    assert Verifier(repository, 100, random.Random(1)).run(found).sound


def nothing_left(place: Place) -> None:
    repository = place.open()
    assert place.active_sas() == 0
    assert list(repository.store.list(names.LEASES)) == []
    assert list(repository.store.list(names.LEDGERS)) == []
    committed = {
        image.source.rpartition("/")[2]
        for _name, backup in manifest.read_all(repository, manifest.listed(repository))
        for image in backup.disks
    }
    assert place.snapshots() <= committed


@pytest.mark.parametrize(("kind", "more"), FAULTS, ids=str)
def test_each_request_of_an_incremental_fails_in_its_turn(
    place: Place, kind: str, more: dict[str, Any]
) -> None:
    """Requests to Resource Manager that write, and all to the disks' bytes."""
    place.backup()
    for pattern in (r"(PUT|POST|DELETE) /subscriptions", r"GET /md-"):
        for number in range(1, 40, 2):
            place.scatter("os", 2)
            place.bench.control.fault(pattern, kind, nth=number, **more)
            tried(place)
            if not place.bench.hits():
                break
            nothing_lost(place, 1)
            assert tried(place)
            nothing_left(place)
        assert number > 3


class Faulty:
    """Backups of one place into a store of which one call fails."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def run(self, number: int, **fault: Any) -> tuple[bool, bool]:
        """Whether the fault was met, and whether the backup succeeded."""
        place = self.place
        folder = FolderStore(str(place.folder / "repository"))
        store = FaultyStore(folder, number, **fault)
        request = BackupRequest(group=place.machine.group, vm=place.machine.name)
        try:
            repository = Repository.open(store, None)
            Backup(
                place.bench.arm(),
                repository,
                request,
                place.bench.clock,
                lambda act, _p=None: act(),
            ).run()
        except VmguardError:
            return True, False
        return len(store.calls) >= number, True


@pytest.mark.parametrize("lost_answer", [False, True])
def test_each_write_to_the_repository_fails_in_its_turn(place: Place, lost_answer: bool) -> None:
    place.backup()
    faulty = Faulty(place)
    for number in range(1, 30):
        place.scatter("os", 2)
        error = StorageFull("The disk is full.")
        met, _succeeded = faulty.run(number, error=error, methods=("put",), lost_answer=lost_answer)
        if not met:
            break
        nothing_lost(place, 1)
        assert tried(place)
        nothing_left(place)
    assert number > 4


def test_a_full_repository_loses_nothing(place: Place) -> None:
    place.backup()
    place.scatter("os", 50)
    error = StorageFull("There is no space left in the folder.")
    met, succeeded = Faulty(place).run(4, error=error, methods=("put",), lasting=True)
    assert met and not succeeded
    nothing_lost(place, 1)
    assert place.active_sas() == 0
    assert tried(place)
    nothing_left(place)
