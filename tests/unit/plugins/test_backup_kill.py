"""kill -9 at each write of a backup: nothing earlier is lost, and the next run clears up.

A write to Azure is held when it is done and not yet answered; one to the repository before and after it
is done. VMGUARD_FAULTS=all stops at every write of every kind of backup, otherwise once at each kind.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup.engine import Outcome
from ansible_collections.vmguard.azure.plugins.module_utils._image.verifier import Verifier
from ansible_collections.vmguard.azure.plugins.module_utils._repository import manifest, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.manifest import Manifest
from backup_bench import Content, Place, same_content
from killing import HELD, holding, is_write, kill, stage, start
from restore_bench import Bench

from local_azure.config import Config
from local_azure.http_types import Request
from local_azure.launcher import LocalAzure

ALL = os.environ.get("VMGUARD_FAULTS") == "all"
SCENARIOS: dict[str, dict[str, Any]] = {
    "snapshots": {},
    "restore point": {"source": "restore_point"},
    "full": {"level": "full"},
    "one disk": {"exclude_disks": ["0"]},
}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with LocalAzure(Config()) as local, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(local.ca_file))
        yield Bench(local)


class History:
    """A machine whose backups are killed, and what each that was committed has to hold."""

    def __init__(self, place: Place, options: dict[str, Any]) -> None:
        self.place = place
        self.options = options
        self.known: dict[str, Content] = {}

    def ids(self) -> set[str]:
        listed = manifest.listed(self.place.open())
        return {name.rpartition("/")[2] for name in listed}

    def run(self, **options: Any) -> Outcome:
        """A backup that is left alone."""
        content = self.place.export()
        outcome = self.place.backup(**{**self.options, **options})
        assert outcome.backup is not None
        self.known[outcome.backup.id] = content
        return outcome

    def was_killed(self, content: Content) -> bool:
        """Whether it was after its commit."""
        (late,) = [*(self.ids() - set(self.known)), None][:1]
        if late:
            self.known[late] = content
        return bool(late)

    def check_next(self) -> None:
        """The next backup succeeds, and leaves nothing but what the one after it needs."""
        place = self.place
        outcome = self.run()
        repository = place.open()
        assert outcome.warnings == []
        assert [one.name for one in repository.store.list(names.LEASES)] == []
        assert [one.name for one in repository.store.list(names.LEDGERS)] == []
        assert place.active_sas() == 0
        found = manifest.listed(repository)
        assert Verifier(repository, 100, random.Random(1)).run(found).sound
        assert self.ids() == set(self.known)
        needed = set()
        for image in outcome.backup.disks:
            full = manifest.find(repository, image.full).disk(image.unique_id)
            assert full is not None
            needed |= {image.source.lower(), full.source.lower()}
        # A disk that was left out needs its own.
        more = 2 if self.options.get("exclude_disks") else 0
        snapshots = {one.rpartition("/")[2] for one in needed if "/snapshots/" in one}
        points = {one.split("/")[-3] for one in needed if "/restorepoints/" in one}
        left = {one.lower() for one in place.snapshots()}
        assert snapshots <= left and len(left - snapshots) <= more
        assert {one.lower() for one in place.restore_points()} == points

    def check_all(self) -> None:
        """Every backup that was committed restores byte for byte."""
        repository = self.place.open()
        for name, backup in manifest.read_all(repository, manifest.listed(repository)):
            assert isinstance(backup, Manifest), name
            for image in backup.disks:
                content = self.known[backup.id][image.role]
                assert same_content(self.place.restore(image), content), (backup.id, image.role)


@pytest.fixture
def history(bench: Bench, tmp_path: Path, request: pytest.FixtureRequest) -> History:
    place = Place(bench, bench.machine([{"lun": 0}]), tmp_path)
    place.create()
    place.scatter(0, 40, size=16384)
    opened = History(place, SCENARIOS[request.param])
    # Of all disks, and twice, so that what is killed has a base, and something to delete afterwards.
    for _turn in range(2):
        opened.run(exclude_disks=[])
        place.scatter(0, 5)
    return opened


def stages_of(history: History) -> list[tuple[str, int]]:
    """The writes to Azure of one backup by kind, and the how manieth of its kind each is."""
    with holding(history.place.bench.local, 0) as holder:
        history.run()
    counted = [(one, holder.seen[:at].count(one) + 1) for at, one in enumerate(holder.seen)]
    return sorted(one for one in counted if ALL or one[1] == 1)


@pytest.mark.parametrize(
    "history", SCENARIOS if ALL else ["snapshots", "restore point"], indirect=True
)
def test_killed_at_a_write_to_azure(history: History) -> None:
    place = history.place
    stages = stages_of(history)
    assert {"POST", "PUT", "DELETE"} == {kind.split()[0] for kind, _number in stages}
    for kind, number in stages:
        place.scatter(0, 5)
        content = place.export()

        def counts(request: Request, kind: str = kind) -> bool:
            return is_write(request) and stage(request) == kind

        with holding(place.bench.local, number, counts) as holder:
            child = start(place, **history.options)
            assert holder.wait(child), (kind, number)
            kill(child)
        history.was_killed(content)
        history.check_next()
    history.check_all()


def held_at(history: History, hold: str) -> str | None:
    """Kill a backup at a call of its repository; the object's name, None when it came to no such call."""
    child = start(history.place, hold=hold, **history.options)
    assert child.stdout is not None
    said = child.stdout.readline()
    if not said.startswith(f"{HELD} "):
        child.communicate()
        return None
    kill(child)
    return said.split()[1]


WRITES = [
    ("put", "leases/"), ("put", "ledgers/"), ("put", "packs/"), ("put", "chunk-index/"),
    ("put", "manifests/"), ("delete", "ledgers/"), ("delete", "leases/"),
]  # fmt: skip
# Before a write is after the one before it; only of the commit both are looked at always.
PLACES = [
    f"{method} {prefix} {number} {when}"
    for method, prefix in WRITES
    for number in ((1, 2, 3) if ALL else (1,))
    for when in ("before", "after")
    if ALL or when == "after" or prefix == "manifests/"
]


@pytest.mark.parametrize("history", SCENARIOS if ALL else ["snapshots"], indirect=True)
def test_killed_at_a_write_to_the_repository(history: History) -> None:
    place = history.place
    reached = set()
    for hold in PLACES:
        method, prefix, _number, when = hold.split()
        place.scatter(0, 5)
        content = place.export()
        name = held_at(history, hold)
        committed = history.was_killed(content)
        if name is None:
            continue  # there are not so many
        reached.add((method, prefix))
        assert name.startswith(prefix)
        if prefix == "manifests/":
            assert committed is (when == "after")
        history.check_next()
    history.check_all()
    assert reached == set(WRITES)


def test_every_stage_is_named(bench: Bench, tmp_path: Path) -> None:
    """The writes that a backup of one disk sends, so that a new one is not overlooked."""
    place = Place(bench, bench.machine([]), tmp_path)
    place.create()
    for options, expected in (
        (
            {},
            [
                "DELETE snapshots", "POST snapshots beginGetAccess", "POST snapshots endGetAccess",
                "PUT snapshots",
            ],
        ),
        (
            {"source": "restore_point"},
            [
                "DELETE restorePointCollections restorePoints",
                "DELETE snapshots",
                "POST restorePointCollections restorePoints diskRestorePoints beginGetAccess",
                "POST restorePointCollections restorePoints diskRestorePoints endGetAccess",
                "PUT restorePointCollections", "PUT restorePointCollections restorePoints",
            ],
        ),
    ):  # fmt: skip
        seen: set[str] = set()
        for _turn in range(3):
            place.scatter("os", 3)
            with holding(place.bench.local, 0, is_write) as holder:
                assert place.backup(**options).made
            seen |= set(holder.seen)
        assert sorted(seen) == sorted(expected)
