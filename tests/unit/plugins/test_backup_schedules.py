"""Backups by schedule: when one is enough, when a full is due, and which snapshots the next one needs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup.engine import Outcome
from ansible_collections.vmguard.azure.plugins.module_utils._backup.recent import recent
from ansible_collections.vmguard.azure.plugins.module_utils._backup.request import BackupRequest
from ansible_collections.vmguard.azure.plugins.module_utils._compute.virtual_machines import (
    deallocate,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError
from ansible_collections.vmguard.azure.plugins.module_utils._repository import manifest
from ansible_collections.vmguard.azure.plugins.module_utils._repository.manifest import Manifest
from backup_bench import Place, open_place
from image_world import disk_image, make_manifest
from restore_bench import Bench, open_bench

HOUR, DAY = 3600, 86400


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path) as opened:
        opened.create()
        yield opened


def committed(outcome: Outcome) -> Manifest:
    assert outcome.backup is not None
    return outcome.backup


def levels(outcome: Outcome) -> list[str]:
    return [disk.level for disk in committed(outcome).disks]


def manifest_of(place: Place, outcome: Outcome) -> Path:
    key = manifest.vm_key(place.open(), place.machine.id)
    return place.repository / "manifests" / key / committed(outcome).id


# -- max_age


@pytest.mark.parametrize(
    ("there", "asked", "enough"),
    [
        ({}, {}, True),
        ({}, {"level": "incremental"}, True),
        ({}, {"level": "full"}, True),
        ({"level": "incremental"}, {"level": "full"}, False),
        ({"level": "incremental"}, {"level": "differential"}, False),
        ({"level": "differential"}, {"level": "differential"}, True),
        ({"level": "differential"}, {"level": "incremental"}, True),
        ({}, {"source": "restore_point"}, False),
        ({"source": "restore_point"}, {}, False),
        ({"source": "restore_point"}, {"source": "restore_point"}, True),
        (
            {"source": "restore_point"},
            {"source": "restore_point", "require_consistency": "filesystem"},
            True,
        ),
        (
            {"source": "restore_point", "consistency_mode": "crash"},
            {"source": "restore_point", "require_consistency": "filesystem"},
            False,
        ),
        (
            {"source": "restore_point", "consistency_mode": "crash"},
            {"source": "restore_point", "consistency_mode": "crash"},
            True,
        ),
        (
            {"source": "restore_point", "consistency_mode": "crash"},
            {"source": "restore_point", "consistency_mode": "application"},
            False,
        ),
        ({"exclude_disks": ["os"]}, {}, False),
        ({}, {"exclude_disks": ["os"]}, False),
        ({"exclude_disks": ["os"]}, {"exclude_disks": ["os"]}, True),
    ],
    ids=str,
)
def test_a_recent_backup_is_enough_if_it_is_as_requested(
    there: dict[str, Any], asked: dict[str, Any], enough: bool
) -> None:
    backup = as_made(**there)
    request = BackupRequest("g", "web", max_age=HOUR, **asked)
    disks = {"u-os", "u-lun0"} - {f"u-{one}" for one in request.exclude_disks}
    moment = datetime.fromisoformat(backup.started)
    for seconds, young in ((0, True), (HOUR - 1, True), (HOUR, False)):
        found = recent([backup], disks, request, moment + timedelta(seconds=seconds))
        assert (found is backup) is (enough and young)


def as_made(
    level: str = "full",
    source: str = "snapshot",
    consistency_mode: str | None = None,
    exclude_disks: tuple[str, ...] = (),
) -> Manifest:
    """What a backup of a running machine of two disks with these options is."""
    roles = [role for role in ("os", "lun0") if role not in exclude_disks]
    disks = [disk_image(1 << 20, role=role, unique_id=f"u-{role}", level=level) for role in roles]
    backup = make_manifest(1, disks)
    of_point = "CrashConsistent" if consistency_mode == "crash" else "FileSystemConsistent"
    backup.source = {
        "kind": source,
        "consistency": of_point if source == "restore_point" else "CrashConsistentPerDisk",
        "requested_consistency": consistency_mode,
        "same_moment": source == "restore_point",
    }
    return backup


def test_a_recent_backup_is_not_made_again(place: Place) -> None:
    first = place.backup(max_age=HOUR)
    again = place.backup(max_age=HOUR)
    assert (first.made, again.made) == (True, False)
    assert committed(again).id == committed(first).id
    incremental = place.backup(level="incremental")
    assert place.backup(max_age=HOUR, level="incremental").made is False
    assert place.backup(max_age=HOUR, source="restore_point", exclude_disks=["0"]).made
    assert committed(first).id < committed(incremental).id


def test_an_older_one_that_is_as_requested_is_enough_behind_a_newer_one(place: Place) -> None:
    full = place.backup(level="full")
    place.bench.clock.sleep(HOUR)
    place.backup(level="incremental")
    found = place.backup(level="full", max_age=2 * HOUR)
    assert not found.made and committed(found).id == committed(full).id
    assert place.backup(level="full", max_age=HOUR // 2).made


# -- full_every


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no backup")])
def test_a_full_is_due_by_its_time_also_when_its_manifest_is_gone(
    place: Place, damage: Any
) -> None:
    full = place.backup()
    place.backup()
    damage(manifest_of(place, full))
    place.bench.clock.sleep(DAY)
    early = place.backup(full_every=2 * DAY)
    assert levels(early) == ["incremental"] * 2
    place.bench.clock.sleep(DAY)
    due = place.backup(full_every=2 * DAY)
    assert levels(due) == ["full"] * 2
    passed_over = [text for text in early.warnings if "is passed over" in text]
    assert len(passed_over) == manifest_of(place, full).exists()
    assert not any("backed up in full" in text for text in due.warnings)


def test_a_differential_says_that_its_full_is_gone(place: Place) -> None:
    full = place.backup()
    place.backup()
    manifest_of(place, full).unlink()
    place.scatter(0, 3)
    content = place.export()
    outcome = place.backup(level="differential")
    assert levels(outcome) == ["full"] * 2
    expected = f"its last full backup {committed(full).id} is gone or cannot be read"
    assert all(expected in text for text in outcome.warnings) and len(outcome.warnings) == 2
    place.check(outcome, content)


# -- which snapshots stay


@pytest.mark.parametrize("source", ["snapshot", "restore_point"])
def test_a_disk_that_is_left_out_for_a_while_goes_on_with_changes(
    place: Place, source: str
) -> None:
    """The OS disk each day, all of them each week."""
    assert levels(place.backup(source=source)) == ["full", "full"]
    place.scatter(0, 5)
    assert levels(place.backup(source=source)) == ["incremental", "incremental"]
    for _day in range(3):
        place.scatter("os", 3)
        place.scatter(0, 3)
        daily = place.backup(source=source, exclude_disks=["0"])
        assert levels(daily) == ["incremental"] and daily.warnings == []
    content = place.export()
    # Of each disk that of the full and that of the last one, which are four.
    if source == "snapshot":
        assert len(place.snapshots()) == 4
    else:
        assert len(place.restore_points()) == 3
    weekly = place.backup(source=source)
    assert levels(weekly) == ["incremental", "incremental"] and weekly.warnings == []
    place.check(weekly, content)
    left = place.snapshots() if source == "snapshot" else place.restore_points()
    assert len(left) == (4 if source == "snapshot" else 2)
    assert levels(place.backup(source=source, level="differential")) == ["differential"] * 2


def test_snapshots_of_a_disk_that_was_detached_are_deleted(place: Place) -> None:
    bench, machine = place.bench, place.machine
    place.backup()
    vm = bench.get(machine)
    vm["properties"]["storageProfile"]["dataDisks"] = []
    body = {"location": vm["location"], "properties": vm["properties"]}
    body["properties"].pop("instanceView", None)
    bench.look.run(
        "virtual_machines.begin_create_or_update",
        machine.id,
        machine.group,
        machine.name,
        body=body,
    )
    assert levels(place.backup()) == ["incremental"]
    assert len(place.snapshots()) == 2


@pytest.mark.parametrize("collection", [None, "a-collection-of-its-own"])
def test_restore_points_that_nothing_can_use_any_more_are_deleted(
    place: Place, collection: str | None
) -> None:
    group = place.machine.group
    place.backup(source="restore_point", collection=collection)
    place.backup(source="restore_point", collection=collection)
    places = [collection or "vm1-restore-points"]

    def points() -> int:
        raw = place.bench.look.read(
            "restore_point_collections.get", "", group, places[0], expand="restorePoints"
        )
        return len(raw["properties"].get("restorePoints") or [])

    assert points() == 2
    place.bench.protect(place.machine, "of-a-person") if collection is None else None
    outcome = place.backup()
    assert levels(outcome) == ["full", "full"]
    assert points() == (1 if collection is None else 0)
    assert len(outcome.deleted) == 2
    assert place.active_sas() == 0
    # And back: the snapshots are of no use then.
    place.backup(source="restore_point", collection=collection)
    assert place.snapshots() == set()


def test_what_another_run_makes_meanwhile_is_not_deleted(place: Place) -> None:
    """Without its lease, a run deletes nothing: what looks old may be the other's."""
    place.backup()
    repository = place.open()
    key = manifest.vm_key(repository, place.machine.id)
    place.backup()
    taken = []

    def open_store() -> Any:
        repository = type(place).open(place)
        put = repository.store.put

        def then_lose_it(name: str, data: bytes) -> None:
            put(name, data)
            if name.startswith("manifests/"):
                # Its own heartbeat would find this number taken, and its time is over.
                place.bench.clock.sleep(200)
                taken.append(name)

        repository.store.put = then_lose_it  # type: ignore[method-assign]
        return repository

    place.open = open_store  # type: ignore[method-assign]
    outcome = place.backup()
    assert taken and outcome.made and outcome.deleted == []
    assert "The lease on the backup of vm1 was lost" in " ".join(outcome.warnings)
    assert key in taken[0]
    assert len(place.snapshots()) == 6


# -- consistency


def test_disks_of_several_moments_are_no_crash_consistent_machine(place: Place) -> None:
    snapshots = len(place.bench.control.writes())
    with pytest.raises(InputError, match="their snapshots are of different moments") as caught:
        place.backup(require_consistency="crash")
    assert "source: restore_point" in str(caught.value.hint)
    assert len(place.bench.control.writes()) == snapshots
    with pytest.raises(InputError, match="different moments"):
        place.backup(require_consistency="crash", write=lambda _act, predicted=None: predicted)
    source = committed(place.backup()).source
    assert source["consistency"] == "CrashConsistentPerDisk" and not source["same_moment"]
    assert source["indications"] == ["Online", "NoGuestAgent", "CrashConsistentPerDisk"]
    # One that is there is no better than one that would be made.
    with pytest.raises(InputError, match="different moments"):
        place.backup(require_consistency="crash", max_age=HOUR)


def test_one_disk_or_a_machine_that_is_off_is_crash_consistent(place: Place) -> None:
    one = committed(place.backup(require_consistency="crash", exclude_disks=["0"])).source
    assert one["consistency"] == "CrashConsistent" and one["same_moment"]
    deallocate(place.bench.look, place.machine.group, place.machine.name)
    both = committed(place.backup(require_consistency="crash")).source
    assert both["consistency"] == "CrashConsistent" and both["same_moment"]
    assert both["indications"] == ["NoGuestAgent", "CrashConsistent"]
    assert not place.backup(require_consistency="crash", max_age=HOUR).made


def test_a_restore_point_that_is_less_than_required_is_not_kept(place: Place) -> None:
    deallocate(place.bench.look, place.machine.group, place.machine.name)
    with pytest.raises(Exception, match="FileSystemConsistent is required") as caught:
        place.backup(source="restore_point", require_consistency="filesystem")
    assert "kept" not in str(getattr(caught.value, "hint", "")).replace("Nothing is kept", "")
    assert place.restore_points() == set()
