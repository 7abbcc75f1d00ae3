"""What a killed backup left is cleared away by the next one, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup.ledger import (
    MADE,
    OPENED,
    Ledger,
)
from ansible_collections.vmguard.azure.plugins.module_utils._backup.ownership import Claim, Owner
from ansible_collections.vmguard.azure.plugins.module_utils._compute.disk_access import grant
from ansible_collections.vmguard.azure.plugins.module_utils._compute.snapshots import (
    put_snapshot,
    snapshot_body,
)
from ansible_collections.vmguard.azure.plugins.module_utils._compute.storage_profile import (
    disk_entries,
    disk_restore_point_id,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError
from ansible_collections.vmguard.azure.plugins.module_utils._repository import manifest, names
from backup_bench import Place, open_place
from restore_bench import Bench, open_bench

COLLECTION = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/restorePointCollections/c"
)
OTHER_RUN = "20260101t000000z-00000001"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path, data=[]) as opened:
        opened.create()
        yield opened


def beside(place: Place, machine: Any = None, passphrase: str | None = None) -> Place:
    """Another repository, of the same machine or of another one."""
    folder = place.folder / "beside"
    folder.mkdir()
    other = Place(place.bench, machine or place.machine, folder)
    other.create(passphrase)
    return other


def owner_of(place: Place) -> Owner:
    vm_id = place.bench.get(place.machine)["properties"]["vmId"]
    return Owner(place.bench.look, place.open(), place.machine.id, vm_id)


def ledgers(place: Place) -> list[str]:
    return [one.name for one in place.open().store.list(names.LEDGERS)]


def forge(place: Place, run: str, kind: str, *resources: str) -> str:
    """The name of a ledger, as anybody can write it to a repository in the clear."""
    repository = place.open()
    name = f"{names.LEDGERS}{manifest.vm_key(repository, place.machine.id)}/{run}.1"
    repository.write(name, {"kind": kind, "resources": list(resources)})
    return name


def snapshot(place: Place, name: str, tags: dict[str, str] | None = None) -> str:
    """A snapshot of the machine's OS disk; its id."""
    disk = place.bench.disk(
        place.machine, place.bench.attached(place.machine)[None][0].split("/")[-1]
    )
    made = place.bench.named("snapshots", place.machine.group, name)
    return put_snapshot(place.bench.look, made, snapshot_body(disk, tags))["id"]


def point_ids(place: Place) -> list[str]:
    found = [
        place.bench.named("restorePointCollections", place.machine.group, "vm1-restore-points")
    ]
    return [f"{found[0]}/restorePoints/{name}" for name in sorted(place.restore_points())]


def disks_of_point(place: Place, name: str) -> list[str]:
    group, collection = place.machine.group, "vm1-restore-points"
    raw = place.bench.look.read("restore_points.get", name, group, collection, name)
    entries = disk_entries(raw["properties"]["sourceMetadata"])
    return [disk_restore_point_id(one) for one in entries]


# -- forged


def test_a_forged_ledger_touches_nothing_of_another_machine(place: Place) -> None:
    """Its restore points and snapshots, whichever repository or person they are of."""
    bench = place.bench
    other = beside(place, bench.machine([]), "correct horse battery staple")
    backup = other.backup(source="restore_point").backup
    assert backup is not None
    bench.protect(other.machine, "vmguard-before-upgrade")
    foreign = snapshot(other, "of-somebody")
    grant(bench.look, foreign, 3600)
    before = other.restore_points() | {"vmguard-before-upgrade"}
    collection = bench.named("restorePointCollections", other.machine.group, "vm1-restore-points")
    forged = [
        forge(place, backup.id, MADE, *point_ids(other)),
        forge(place, "before-upgrade", MADE, f"{collection}/restorePoints/vmguard-before-upgrade"),
        forge(place, OTHER_RUN, OPENED, foreign, *[disk.source for disk in backup.disks]),
    ]
    outcome = place.backup()
    assert outcome.made
    assert other.restore_points() == before
    assert place.active_sas() == 1
    assert set(ledgers(place)) == set(forged)
    told = "\n".join(outcome.warnings)
    assert all(name in told for name in forged)
    assert foreign in told and "Azure does not confirm" in told
    assert other.backup(source="restore_point", level="incremental").warnings == []
    bench.look.run("snapshots.begin_revoke_access", foreign, other.machine.group, "of-somebody")


def test_a_forged_ledger_touches_nothing_of_the_machines_other_repository(place: Place) -> None:
    other = beside(place)
    for source in ("restore_point", "snapshot"):
        backup = other.backup(source=source, keep="all").backup
        assert backup is not None
        resources = [disk.source for disk in backup.disks]
        if source == "restore_point":
            resources = point_ids(other)
        forge(place, backup.id, MADE, *resources)
    points, snapshots = other.restore_points(), other.snapshots()
    place.backup(keep="all")
    assert other.restore_points() == points
    assert snapshots <= other.snapshots()
    assert len(ledgers(place)) == 2


def test_a_restore_point_that_a_person_made_of_the_machine_stays(place: Place) -> None:
    bench, collection = place.bench, "vm1-restore-points"
    for name in (f"vmguard-{OTHER_RUN}", f"vmguard-{OTHER_RUN}-0123456789abcdef"):
        bench.protect(place.machine, name)
    forge(place, OTHER_RUN, MADE, *point_ids(place))
    before = place.restore_points()
    place.backup(source="restore_point")
    assert before <= place.restore_points()
    assert collection in point_ids(place)[0]


def test_a_ledger_of_a_run_that_is_committed_deletes_nothing(place: Place) -> None:
    backup = place.backup(keep="all").backup
    assert backup is not None
    kept = place.snapshots()
    forge(place, backup.id, MADE, *[disk.source for disk in backup.disks])
    assert place.backup(keep="all").warnings == []
    assert kept <= place.snapshots() and ledgers(place) == []


@pytest.mark.parametrize(
    "content",
    [
        [],
        "text",
        {"kind": MADE},
        {"kind": "else", "resources": []},
        {"kind": MADE, "resources": [5]},
    ],
    ids=str,
)
def test_a_ledger_that_is_none_is_told_and_kept(place: Place, content: Any) -> None:
    repository = place.open()
    name = f"{names.LEDGERS}{manifest.vm_key(repository, place.machine.id)}/{OTHER_RUN}.1"
    repository.write(name, content)
    (warning,) = place.backup().warnings
    assert name in warning and f"vmguard-backup={OTHER_RUN}" in warning
    assert ledgers(place) == [name]


def test_a_damaged_ledger_is_told_and_kept(place: Place) -> None:
    name = forge(place, OTHER_RUN, MADE)
    (place.repository / name).write_bytes(b"not what was written")
    (warning,) = place.backup().warnings
    assert name in warning and "is damaged" in warning
    assert ledgers(place) == [name]


@pytest.mark.parametrize(
    "resource",
    [
        "nonsense",
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/snapshots/x",
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/x",
        f"{COLLECTION}/restorePoints/p",
    ],
)
def test_what_cannot_be_of_a_backup_is_told(place: Place, resource: str) -> None:
    name = forge(place, OTHER_RUN, OPENED, resource)
    (warning,) = place.backup().warnings
    assert name in warning and resource in warning
    with pytest.raises(InputError):
        owner_of(place).judge(resource)


def test_a_base_that_no_backup_made_is_neither_read_nor_revoked(place: Place) -> None:
    """Whoever writes to a repository in the clear can forge a manifest as well."""
    place.backup()
    foreign = snapshot(place, "of-somebody")
    grant(place.bench.look, foreign, 3600)
    repository = place.open()
    forged = manifest.read(repository, manifest.listed(repository)[-1])
    forged.id = names.new_backup_id(place.bench.clock.now(), b"\0\0", after=forged.id)
    forged.disks[0].source = foreign
    manifest.write(repository, forged)
    outcome = place.backup(level="incremental")
    assert outcome.backup is not None and outcome.backup.disks[0].level == "full"
    assert "Azure does not confirm that a backup made" in outcome.warnings[0]
    assert place.active_sas() == 1
    for worse in ("nonsense", "/subscriptions/x/resourceGroups/g/providers/a/b/c"):
        forged.id = names.new_backup_id(place.bench.clock.now(), b"\0\0", after=outcome.backup.id)
        forged.disks[0].source = worse
        manifest.write(repository, forged)
        outcome = place.backup(level="incremental")
        assert outcome.backup is not None and outcome.backup.disks[0].level == "full"
        assert len(outcome.warnings) == 1 and len(outcome.deleted) == 1
    name = foreign.rpartition("/")[2]
    place.bench.look.run("snapshots.begin_revoke_access", foreign, place.machine.group, name)


# -- killed


@pytest.mark.parametrize("more", [{}, {"cost-center": "4711"}], ids=["plain", "tagged-by-policy"])
def test_the_snapshots_of_a_killed_run_are_revoked_and_deleted(
    place: Place, more: dict[str, str]
) -> None:
    owner = owner_of(place)
    resource = place.bench.named("snapshots", place.machine.group, "left")
    absent = place.bench.named("snapshots", place.machine.group, "not-made-yet")
    Ledger(place.open(), owner.key, OTHER_RUN).note(MADE, [resource, absent])
    snapshot(place, "left", {**owner.tags(OTHER_RUN), **more})
    grant(place.bench.look, resource, 3600)
    # With keep=all, nothing but the ledger can lead to it.
    assert place.backup(keep="all").warnings == []
    assert "left" not in place.snapshots()
    assert place.active_sas() == 0 and ledgers(place) == []


def test_the_restore_point_of_a_killed_run_is_revoked_and_deleted(place: Place) -> None:
    owner = owner_of(place)
    name = owner.point_name(OTHER_RUN)
    place.bench.protect(place.machine, name)
    Ledger(place.open(), owner.key, OTHER_RUN).note(MADE, point_ids(place))
    grant(place.bench.look, disks_of_point(place, name)[0], 3600)
    assert place.backup(source="snapshot", keep="all").warnings == []
    assert place.restore_points() == set()
    assert place.active_sas() == 0 and ledgers(place) == []


def test_the_access_to_a_base_of_a_killed_run_is_ended(place: Place) -> None:
    for source in ("snapshot", "restore_point"):
        backup = place.backup(source=source, keep="all").backup
        assert backup is not None
        base = backup.disks[0].source
        grant(place.bench.look, base, 3600)
        forge(place, OTHER_RUN, OPENED, base)
        assert place.active_sas() == 1
        assert place.backup(source=source, level="full", keep="all").warnings == []
        assert place.active_sas() == 0 and ledgers(place) == []


def test_what_is_made_after_the_kill_is_deleted_all_the_same(place: Place) -> None:
    """Azure carries out a request that it had accepted, whatever becomes of its sender."""
    owner = owner_of(place)
    place.backup()
    run = names.new_backup_id(place.bench.clock.now(), b"\0\0")
    Ledger(place.open(), owner.key, run).note(MADE, [])
    place.backup()
    assert ledgers(place) == []
    snapshot(place, "late", owner.tags(run))
    place.bench.protect(place.machine, owner.point_name(run), [])
    outcome = place.backup()
    assert "late" not in place.snapshots() and place.restore_points() == set()
    assert len(outcome.deleted) == 3


def test_a_claim_is_judged_by_what_azure_shows(place: Place) -> None:
    owner = owner_of(place)
    tags = owner.tags(OTHER_RUN)
    ours = snapshot(place, "ours", {**tags, "more": "x"})
    less = snapshot(place, "less", {key: tags[key] for key in list(tags)[1:]})
    gone = place.bench.named("snapshots", place.machine.group, "gone")
    assert owner.judge(ours) is owner.judge(ours, OTHER_RUN) is Claim.CONFIRMED
    assert owner.judge(ours, OTHER_RUN[:-1] + "2") is Claim.FOREIGN
    assert owner.judge(less) is Claim.FOREIGN
    assert owner.judge(gone) is Claim.ABSENT
    made_again = Owner(place.bench.look, place.open(), place.machine.id, "another life")
    place.bench.protect(place.machine, owner.point_name(OTHER_RUN))
    (point,) = point_ids(place)
    assert owner.judge(point, OTHER_RUN) is Claim.CONFIRMED
    assert made_again.judge(point, OTHER_RUN) is Claim.FOREIGN
