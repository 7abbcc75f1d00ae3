"""Backups of machines in local Azure: levels, fallbacks, bytes, and what is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup.engine import Outcome
from ansible_collections.vmguard.azure.plugins.module_utils._compute.snapshots import list_snapshots
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError
from ansible_collections.vmguard.azure.plugins.module_utils._repository import manifest, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import LeaseHeld
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import Lease
from backup_bench import MIB, Place, open_place
from restore_bench import Bench, open_bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path) as opened:
        opened.create()
        yield opened


def test_every_backup_of_a_row_restores_byte_for_byte(place: Place) -> None:
    rounds = []
    for level in ("auto", "incremental", "auto", "incremental", "differential"):
        place.scatter(0, 40)
        place.scatter("os", 5)
        content = place.export()
        rounds.append((place.backup(level=level), content))
    levels = [outcome.backup.disks[1].level for outcome, _content in rounds]
    assert levels == ["full", "incremental", "incremental", "incremental", "differential"]
    assert [outcome.warnings for outcome, _content in rounds] == [[]] * 5
    for outcome, content in reversed(rounds):
        place.check(outcome, content)
    assert len(place.snapshots()) == 4  # the full's and the last one's, of two disks
    assert place.active_sas() == 0


def levels(outcome: Outcome) -> list[str]:
    assert outcome.backup is not None
    return [disk.level for disk in outcome.backup.disks]


def test_a_base_snapshot_that_is_gone_makes_a_full(place: Place) -> None:
    place.backup()
    gone = sorted(place.snapshots())[0]
    place.bench.look.run("snapshots.begin_delete", gone, place.machine.group, gone)
    place.scatter(0, 3)
    content = place.export()
    outcome = place.backup(level="incremental")
    assert sorted(levels(outcome)) == ["full", "incremental"]
    assert [f"the base snapshot {gone} is gone" in text for text in outcome.warnings] == [True]
    assert outcome.backup.warnings == outcome.warnings
    place.check(outcome, content)


def test_a_range_that_azure_leaves_out_makes_a_full(place: Place) -> None:
    place.scatter(0, 60)
    place.backup()
    place.bench.control.guest_write(place.machine.id, 0, 8 * MIB, b"left out")
    place.bench.control.guest_write(place.machine.id, 0, 40 * MIB, b"told")
    content = place.export()
    place.bench.control.fault(r"GET .*comp=pagelist", "omit_range", nth=1, times=4)
    outcome = place.backup(level="incremental")
    assert place.bench.hits()
    assert "full" in levels(outcome)
    assert "unchanged since backup" in " ".join(outcome.warnings)
    place.check(outcome, content)
    again = place.backup(level="incremental")
    assert levels(again) == ["incremental", "incremental"]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("status", {"status": 409, "code": "BlobOverwritten"}),
        ("status", {"status": 500, "times": 5}),
        ("truncate", {"times": 5}),
    ],
)
def test_changes_that_cannot_be_listed_make_a_full(place: Place, kind: str, more: dict) -> None:
    place.backup()
    place.scatter(0, 5)
    content = place.export()
    place.bench.control.fault(r"GET .*comp=pagelist", kind, **more)
    outcome = place.backup(level="differential", exclude_disks=["os"])
    assert place.bench.hits()
    assert levels(outcome) == ["full"]
    assert "cannot be told" in outcome.warnings[0]
    place.check(outcome, {"lun0": content["lun0"]})


def test_a_disk_that_was_made_again_is_read_in_full(place: Place) -> None:
    bench, machine = place.bench, place.machine
    place.backup()
    bench.delete_vm(machine)
    again = bench.machine([{"lun": 0}], group=machine.group)
    assert again.id == machine.id
    place.scatter(0, 5)
    content = place.export()
    outcome = place.backup()
    assert levels(outcome) == ["full", "full"]
    assert "made again" in outcome.warnings[0]
    place.check(outcome, content)


def test_a_disk_that_grew_goes_on(place: Place) -> None:
    bench, machine = place.bench, place.machine
    place.backup()
    disk_id = bench.attached(machine)[0][0]
    name = disk_id.rpartition("/")[2]
    body = bench.disk(machine, name)
    properties = {"creationData": body["properties"]["creationData"], "diskSizeGB": 2}
    bench.look.run(
        "disks.begin_create_or_update", name, machine.group, name,
        body={"location": body["location"], "properties": properties},
    )  # fmt: skip
    bench.control.guest_write(machine.id, 0, (1 << 30) + 5 * MIB, b"in the new part")
    content = place.export()
    outcome = place.backup()
    assert levels(outcome) == ["incremental", "incremental"]
    assert outcome.backup.disks[1].size == 2 << 30
    place.check(outcome, content)


def test_thirty_thousand_scattered_ranges(place: Place) -> None:
    image = place.bench.local.app.state.resources.need(place.bench.attached(place.machine)[0][0])
    place.backup()
    for number in range(30_000):
        image.hidden["image"].write(number * 16384, number.to_bytes(4, "big") * 128)
    content = place.export()
    outcome = place.backup(level="incremental")
    assert levels(outcome) == ["incremental", "incremental"]
    assert outcome.backup.disks[1].stats["changed"] == 30_000 * 512
    place.check(outcome, content)


def test_a_restore_point_is_read_at_one_moment(place: Place) -> None:
    rounds = []
    for level in ("full", "incremental", "differential"):
        place.scatter(0, 10)
        content = place.export()
        rounds.append((place.backup(source="restore_point", level=level), content))
    for (outcome, content), level in zip(
        rounds, ("full", "incremental", "differential"), strict=True
    ):
        assert levels(outcome) == [level] * 2
        assert outcome.backup.source["same_moment"]
        assert outcome.backup.source["consistency"] == "FileSystemConsistent"
        place.check(outcome, content)
    changed = place.backup(source="snapshot", level="incremental")
    assert levels(changed) == ["full", "full"]
    assert "restore_point" in changed.warnings[0]
    assert place.active_sas() == 0


def test_max_age_and_full_every(place: Place) -> None:
    first = place.backup(max_age=3600)
    assert not place.backup(max_age=3600).made
    place.bench.clock.sleep(7200)
    second = place.backup(max_age=3600, full_every=86400)
    assert second.made and levels(second) == ["incremental"] * 2
    place.bench.clock.sleep(86400)
    assert levels(place.backup(full_every=86400)) == ["full"] * 2
    assert first.backup.id < second.backup.id


def test_what_is_kept_of_the_snapshots(place: Place) -> None:
    place.backup(keep="none")
    assert place.snapshots() == set()
    assert levels(place.backup(keep="all")) == ["full", "full"]
    place.backup(keep="all")
    assert len(place.snapshots()) == 4
    outcome = place.backup(level="full")
    assert len(place.snapshots()) == 2
    assert len(outcome.deleted) == 4


@pytest.mark.parametrize("source", ["snapshot", "restore_point"])
def test_two_repositories_of_one_machine_leave_each_other_alone(place: Place, source: str) -> None:
    folder = place.folder / "other"
    folder.mkdir()
    other = Place(place.bench, place.machine, folder)
    other.create()
    for turn in range(3):
        for one in (place, other):
            made = one.backup(source=source)
            assert set(levels(made)) == {"incremental" if turn else "full"}
            assert len(made.deleted) == (0 if turn < 2 else 1 if source == "restore_point" else 2)
    assert other.snapshots() == place.snapshots()


def guard(place: Place, **settings: str) -> str:
    """Change settings of the data disk; its name."""
    bench, group = place.bench, place.machine.group
    name = bench.attached(place.machine)[0][0].rpartition("/")[2]
    body = bench.disk(place.machine, name)
    properties = {**body["properties"], **settings}
    bench.look.run(
        "disks.begin_create_or_update", name, group, name,
        body={"location": body["location"], "properties": properties},
    )  # fmt: skip
    return name


def test_disks_that_cannot_be_read_are_named_before_anything_starts(place: Place) -> None:
    name = guard(place, networkAccessPolicy="DenyAll")
    before = len(place.bench.control.writes())
    with pytest.raises(InputError, match=f"(?i){name} is DenyAll"):
        place.backup()
    assert len(place.bench.control.writes()) == before
    outcome = place.backup(exclude_disks=["0"])
    assert outcome.backup.excluded_disks[0]["reason"] == "ExcludedByRequest"


def test_a_private_disk_is_read_if_the_task_says_that_it_can(place: Place) -> None:
    access = place.bench.named("diskAccesses", place.machine.group, "endpoint")
    name = guard(place, networkAccessPolicy="AllowPrivate", diskAccessId=access)
    with pytest.raises(InputError, match=f"(?i){name} can be read only through") as caught:
        place.backup()
    assert "private_link: true" in str(caught.value.hint)
    place.scatter(0, 3)
    content = place.export()
    place.check(place.backup(private_link=True), content)
    found = list_snapshots(place.bench.look, place.machine.group)
    guards = [one["properties"] for one in found if one["name"].lower().startswith(name)]
    # Whoever reads the snapshot is as near to the disk as who reads the disk.
    assert [one["networkAccessPolicy"] for one in guards] == ["AllowPrivate"]
    assert [one["diskAccessId"] for one in guards] == [access]


def test_snapshots_in_a_group_of_their_own_are_used_and_deleted_there(place: Place) -> None:
    vault = place.bench.machine([]).group

    def kept() -> int:
        return len(list_snapshots(place.bench.look, vault))

    assert levels(place.backup(snapshot_group=vault)) == ["full", "full"]
    assert levels(place.backup(snapshot_group=vault)) == ["incremental", "incremental"]
    assert (kept(), place.snapshots()) == (4, set())
    # The next ones are in the machine's group, and their base in the other one.
    assert levels(place.backup()) == ["incremental", "incremental"]
    assert (kept(), len(place.snapshots())) == (2, 2)
    assert levels(place.backup(level="full")) == ["full", "full"]
    assert (kept(), len(place.snapshots())) == (0, 2)


def test_a_second_backup_of_the_machine_is_refused(place: Place) -> None:
    repository = place.open()
    key = manifest.vm_key(repository, place.machine.id)
    with (
        Lease(repository, key, "the backup of vm1", "other", place.bench.clock),
        pytest.raises(LeaseHeld, match="the backup of vm1 is being worked on by run other"),
    ):
        place.backup()
    assert place.backup().made
    assert list(repository.store.list(names.LEASES)) == []
    assert list(repository.store.list(names.LEDGERS)) == []


def test_a_check_run_writes_nothing(place: Place) -> None:
    writes = len(place.bench.control.writes())
    objects = [one.name for one in place.open().store.list()]
    outcome = place.backup(write=lambda _act, predicted=None: predicted)
    assert outcome.backup is None
    assert [decision.level for decision in outcome.planned.values()] == ["full", "full"]
    assert len(place.bench.control.writes()) == writes
    assert [one.name for one in place.open().store.list()] == objects


def test_ids_sort_by_time_whatever_the_clock_says(place: Place) -> None:
    now = place.bench.clock.now()
    ids = [names.new_backup_id(now, bytes([255, 255]))]
    for entropy in (b"\0\0", b"\xff\xff", b"\1\1"):
        ids.append(names.new_backup_id(now - timedelta(hours=1), entropy, after=ids[-1]))
    later = names.new_backup_id(now + timedelta(microseconds=900_000), b"\0\0")
    assert sorted([*ids, later]) == [*ids, later]
    assert all(names.check_backup_id(one) == one for one in ids)
