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
from backup_bench import CHUNK, Content, Place, same_content
from restore_bench import Bench, open_bench
from storage_backends import FaultyStore

from support.sweep import each_kind, sweep

LASTING = 60
# Requests by what they are, and the ways in which such a request fails. An "error once" and a "reset
# once" are what every client has to get over.
REQUESTS: dict[str, str] = {
    "writes": r"^(PUT|POST|DELETE) /subscriptions",
    "reads": r"^GET /subscriptions",
    "disks": r"^(GET|HEAD) /md-",
}
EVERYWHERE: dict[str, dict[str, Any]] = {
    "unavailable": {"kind": "status", "status": 503, "code": "ServerBusy", "times": LASTING},
    "error once": {"kind": "status", "status": 500},
    "reset": {"kind": "reset", "times": LASTING},
}
FAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "writes": {
        "refused": {"kind": "status", "status": 409, "code": "OperationNotAllowed"},
        "failed operation": {"kind": "fail_operation"},
        "lost answer": {"kind": "lost_answer", "times": 2},
        **EVERYWHERE,
    },
    "reads": {
        "refused": {"kind": "status", "status": 403, "code": "AuthorizationFailed"},
        "truncated": {"kind": "truncate"},
        **EVERYWHERE,
    },
    "disks": {
        "refused": {"kind": "status", "status": 403, "code": "AuthenticationFailed"},
        "truncated": {"kind": "truncate", "times": LASTING},
        "reset once": {"kind": "reset"},
        **EVERYWHERE,
    },
}
CASES = [(group, kinds) for group in REQUESTS for kinds in each_kind(FAULTS[group])]
# How many of each kind of request an incremental makes at least.
LEAST = {"writes": 6, "reads": 20, "disks": 8}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Place:
    opened = Place(bench, bench.machine([]), tmp_path)
    opened.create()
    write(opened, 10)
    return opened


def write(place: Place, count: int = 2) -> None:
    """A guest that writes to the same few chunks, so that every run makes about as many requests."""
    place.scatter("os", count, end=24 * CHUNK)


class Kept:
    """What a place has to hold: every backup that a run said it made, and what was there then."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.backups: list[tuple[str, Content]] = []

    def try_backup(self, **options: Any) -> bool:
        """Whether it succeeded; a failure is one of the engine's own, and tells no signature."""
        content = self.place.export()
        told = ""
        try:
            outcome = self.place.backup(**options)
        except VmguardError as error:
            told = f"{error} {error.hint}"
        else:
            assert outcome.backup is not None
            self.backups.append((outcome.backup.id, content))
        assert "sig=" not in told
        return not told

    def assert_nothing_lost(self, last: int | None = None) -> None:
        """All of them are listed, and verify; ``last``: verify only so many.

        The last ones hold all that was not written over, so what any of them lost shows in them
        now, or in the others at the end: nothing that is written over is ever stored again.
        """
        repository = self.place.open()
        found = manifest.listed(repository)
        assert {one for one, _content in self.backups} <= {
            name.rpartition("/")[2] for name in found
        }
        chosen = found[-last:] if last else found
        assert Verifier(repository, 100, random.Random(1)).run(chosen).sound

    def assert_restores(self) -> None:
        """The last backup, as bytes."""
        wanted, content = self.backups[-1]
        repository = self.place.open()
        (backup,) = [
            backup
            for _name, backup in manifest.read_all(repository, manifest.listed(repository))
            if isinstance(backup, manifest.Manifest) and backup.id == wanted
        ]
        for image in backup.disks:
            assert same_content(self.place.restore(image), content[image.role])


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


@pytest.mark.parametrize(
    ("group", "kinds"), CASES, ids=lambda one: "+".join([one] if isinstance(one, str) else one)
)
def test_each_request_of_an_incremental_fails_in_its_turn(
    place: Place, group: str, kinds: tuple[str, ...]
) -> None:
    """Writes to Resource Manager, reads from it, and all requests to the disks' bytes."""
    kept = Kept(place)
    assert kept.try_backup()

    def run(number: int, kind: str) -> str | None:
        write(place)
        place.bench.control.fault(REQUESTS[group], nth=number, **FAULTS[group][kind])
        succeeded = kept.try_backup()
        if not place.bench.hits():
            assert succeeded
            return None
        if kind.endswith("once"):
            assert succeeded
        kept.assert_nothing_lost(last=3)
        assert kept.try_backup()
        nothing_left(place)
        return "succeeded" if succeeded else "failed"

    sweep(kinds, run, least=LEAST[group])
    kept.assert_nothing_lost()
    kept.assert_restores()


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


STORE_FAULTS = ("full", "lost answer")


@pytest.mark.parametrize("kinds", each_kind(STORE_FAULTS), ids="+".join)
@pytest.mark.parametrize("method", ["put", "delete"])
def test_each_write_to_the_repository_fails_in_its_turn(
    place: Place, method: str, kinds: tuple[str, ...]
) -> None:
    kept = Kept(place)
    assert kept.try_backup()
    faulty = Faulty(place)

    def run(number: int, kind: str) -> str | None:
        write(place)
        error = StorageFull("The disk is full.")
        lost = kind == "lost answer"
        met, succeeded = faulty.run(number, error=error, methods=(method,), lost_answer=lost)
        if not met:
            assert succeeded
            return None
        kept.assert_nothing_lost(last=3)
        assert kept.try_backup()
        nothing_left(place)
        return "succeeded" if succeeded else "failed"

    sweep(kinds, run, least=5 if method == "put" else 2)
    kept.assert_nothing_lost()
    kept.assert_restores()


def test_a_full_repository_loses_nothing(place: Place) -> None:
    kept = Kept(place)
    assert kept.try_backup()
    place.scatter("os", 50)
    error = StorageFull("There is no space left in the folder.")
    met, succeeded = Faulty(place).run(4, error=error, methods=("put",), lasting=True)
    assert met and not succeeded
    kept.assert_nothing_lost()
    assert place.active_sas() == 0
    assert kept.try_backup()
    nothing_left(place)
    kept.assert_restores()
