"""The snapshots of a backup: their tags and settings, their size, and those that fill for hours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup.capture import (
    ANY_SIZE,
    size_of,
)
from ansible_collections.vmguard.azure.plugins.module_utils._backup.request import BackupRequest
from ansible_collections.vmguard.azure.plugins.module_utils._backup.transfer import _check_size
from ansible_collections.vmguard.azure.plugins.module_utils._compute.snapshots import list_snapshots
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    AzureError,
    InputError,
    OperationTimeout,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names
from backup_bench import Place, open_place
from restore_bench import COLLECTION, Bench, open_bench

from local_azure.arm.resources import Resource
from local_azure.compute.snapshots import Snapshots

DAY = 24 * 3600
TAGS = {"cost-center": "4711", "owner": "shop"}
SKUS = ["PremiumV2_LRS", "UltraSSD_LRS"]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path, [{"lun": 0}]) as made:
        made.create()
        yield made
    assert bench.crashes() == []


def snapshots(place: Place) -> list[dict[str, Any]]:
    return list_snapshots(place.bench.look, place.machine.group)


def ledgers(place: Place) -> list[str]:
    return [one.name for one in place.open().store.list(names.LEDGERS)]


# -- tags and settings


def test_snapshots_carry_the_users_tags_beside_ours_and_azures_redundancy(place: Place) -> None:
    place.backup(tags=TAGS)
    found = snapshots(place)
    assert len(found) == 2
    for one in found:
        assert one["tags"].items() > TAGS.items()
        assert set(one["tags"]) - set(TAGS) == {
            "vmguard-repository", "vmguard-vm", "vmguard-backup",
        }  # fmt: skip
        assert one["sku"]["name"] == "Standard_ZRS"
    # They are found again by ours, whatever else they carry.
    assert len(place.backup(level="full", tags={}).deleted) == 2


def test_the_collection_that_a_backup_makes_carries_them_as_well(place: Place) -> None:
    place.backup(source="restore_point", tags=TAGS)
    where = (place.machine.group, COLLECTION)
    found = place.bench.look.read("restore_point_collections.get", COLLECTION, *where)
    assert found["tags"] == TAGS


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"vmguard-backup": "x"}, "vmguard's"),
        ({"VMGuard-x": "x"}, "vmguard's"),
        ({"a<b": "x"}, "does not allow"),
        ({"": "x"}, "does not allow"),
        ({"a": "x" * 257}, "does not allow"),
        ({"a" * 513: "x"}, "does not allow"),
        ({"a": "1", "A": "2"}, "twice"),
        ({f"t{number}": "" for number in range(48)}, "it can have 47"),
    ],
)
def test_tags_that_azure_refuses_are_named(tags: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        BackupRequest("g", "vm", tags=tags).check()
    BackupRequest("g", "vm", tags={f"t{number}": "" for number in range(47)}).check()


Change = Callable[[Resource], None]


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    """An Azure Policy with the effect modify, on snapshots."""

    def put(change: Change) -> None:
        finish = Snapshots._finish

        def modified(self: Snapshots, new: Resource, *rest: Any) -> None:
            finish(self, new, *rest)
            change(new)

        monkeypatch.setattr(Snapshots, "_finish", modified)

    return put


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (
            {"publicNetworkAccess": "Disabled"},
            "SnapshotNotReadable",
            "Public network access to snap",
        ),
        ({"networkAccessPolicy": "DenyAll"}, "SnapshotNotReadable", "DenyAll"),
        ({"tags": {"policy": "was here"}}, "SnapshotTagsChanged", "does not have the tags"),
    ],
)
def test_a_snapshot_is_looked_at_again_before_access_is_granted(
    place: Place, policy: Any, change: dict[str, Any], code: str, said: str
) -> None:
    def act(one: Resource) -> None:
        if "tags" in change:
            one.body["tags"] = change["tags"]
        else:
            one.properties.update(change)

    policy(act)
    with pytest.raises(InputError, match=said) as caught:
        place.backup()
    assert caught.value.code == code and "Policy" in (caught.value.hint or "")
    grants = [one for one in place.bench.control.writes() if "beginGetAccess" in one["target"]]
    assert not any(place.machine.group in one["target"] for one in grants)
    assert snapshots(place) == [] and ledgers(place) == []


def test_further_tags_of_a_policy_change_nothing(place: Place, policy: Any) -> None:
    policy(lambda one: one.body["tags"].update({"created-by": "policy"}))
    assert place.backup().warnings == []


def test_a_policy_that_demands_a_token_is_met(place: Place, policy: Any) -> None:
    policy(lambda one: one.properties.update({"dataAccessAuthMode": "AzureActiveDirectory"}))
    content = place.export()
    place.check(place.backup(), content)


# -- an image that is not the disk


def test_an_image_of_another_size_than_azure_says_is_refused(place: Place, policy: Any) -> None:
    policy(lambda one: one.properties.update({"diskSizeBytes": (1 << 30) + 512}))
    with pytest.raises(
        AzureError, match=r"as a disk of 1073741824 bytes, and says itself that"
    ) as e:
        place.backup()
    assert e.value.code == "WrongImageSize"
    assert snapshots(place) == [] and place.active_sas() == 0


def test_a_restore_point_tells_sizes_in_gib() -> None:
    gib = 1 << 30
    told = size_of({"diskSizeGB": 4})
    assert told == (3 * gib + 1, 4 * gib) and size_of({}) == ANY_SIZE
    _check_size("the disk", 4 * gib, told)
    _check_size("the disk", 3 * gib + 512, told)
    for size in (3 * gib, 4 * gib + 512):
        with pytest.raises(AzureError, match="says itself that it has 4 GiB"):
            _check_size("the disk", size, told)


# -- snapshots that fill for hours


@pytest.fixture(params=SKUS)
def slow(bench: Bench, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A machine with a disk of 512-byte sectors whose snapshots fill for five hours."""
    with open_place(bench, tmp_path, [{"lun": 0, "sku": request.param}]) as made:
        made.create()
        disk = bench.local.app.state.resources.need(bench.attached(made.machine)[0][0])
        disk.properties["creationData"]["logicalSectorSize"] = 512
        hours = {"snapshot_hydration": 5 * 3600, "restore_point_hydration": 5 * 3600}
        bench.control.configure(durations=hours)
        yield made
        bench.control.configure(durations=dict.fromkeys(hours, 0))
    assert bench.crashes() == []


def times_out(place: Place, **options: Any) -> OperationTimeout:
    with pytest.raises(OperationTimeout) as caught:
        place.backup(**options)
    return caught.value


@pytest.mark.parametrize(
    ("slow", "source"),
    [("PremiumV2_LRS", "snapshot"), ("UltraSSD_LRS", "restore_point")],
    indirect=["slow"],
)
def test_the_next_run_goes_on_with_what_was_not_filled_in_time(slow: Place, source: str) -> None:
    content = slow.export()
    error = times_out(slow, source=source)
    assert "goes on with that" in (error.hint or "")
    kept = slow.snapshots() | slow.restore_points()
    assert len(kept) == (2 if source == "snapshot" else 1)
    slow.scatter(0, 20)
    # Not yet, and then it is.
    times_out(slow, source=source)
    assert slow.snapshots() | slow.restore_points() == kept
    slow.bench.clock.sleep(5 * 3600)
    puts = len([one for one in slow.bench.control.writes() if one["method"] == "PUT"])
    outcome = slow.backup(source=source)
    assert len([one for one in slow.bench.control.writes() if one["method"] == "PUT"]) == puts
    assert outcome.backup is not None
    # It is the machine as it was when the first run began.
    slow.check(outcome, content)
    begun = names.moment(outcome.backup.id)
    assert begun is not None and outcome.backup.started == begun.isoformat(timespec="seconds")
    assert any(outcome.backup.id in text and "goes on" in text for text in outcome.warnings)
    assert slow.snapshots() | slow.restore_points() == kept and ledgers(slow) == []
    # The next one begins anew, and is an incremental one to it.
    content = slow.export()
    times_out(slow, source=source)
    slow.bench.clock.sleep(5 * 3600)
    outcome = slow.backup(source=source, level="incremental")
    slow.check(outcome, content)
    assert [disk.level for disk in outcome.backup.disks] == ["incremental", "incremental"]
    assert slow.active_sas() == 0


def changed_disks(_place: Place) -> dict[str, Any]:
    return {"exclude_disks": ["os"]}


def two_days(place: Place) -> dict[str, Any]:
    place.bench.clock.sleep(2 * DAY + 1)
    return {}


def a_snapshot_is_gone(place: Place) -> dict[str, Any]:
    name = sorted(place.snapshots())[0]
    place.bench.look.run("snapshots.begin_delete", name, place.machine.group, name)
    return {}


def other_source(_place: Place) -> dict[str, Any]:
    return {"source": "restore_point"}


@pytest.mark.parametrize(
    "change",
    [changed_disks, two_days, a_snapshot_is_gone, other_source],
    ids=lambda it: it.__name__,
)
@pytest.mark.parametrize("slow", SKUS[:1], indirect=True)
def test_what_does_not_fit_any_more_is_deleted_and_made_anew(
    slow: Place, change: Callable[[Place], dict[str, Any]]
) -> None:
    times_out(slow)
    before = slow.snapshots()
    options = change(slow)
    slow.bench.control.configure(durations={"snapshot_hydration": 0, "restore_point_hydration": 0})
    content = slow.export()
    if "exclude_disks" in options:
        del content["os"]
    outcome = slow.backup(**options)
    slow.check(outcome, content)
    assert not before & slow.snapshots() and ledgers(slow) == []


@pytest.mark.parametrize("slow", SKUS[:1], indirect=True)
def test_a_ledger_that_somebody_forged_is_not_gone_on_with(slow: Place) -> None:
    times_out(slow)
    before = slow.snapshots()
    for one in snapshots(slow):
        slow.bench.local.app.state.resources.need(one["id"]).body["tags"] = {}
    slow.bench.control.configure(durations={"snapshot_hydration": 0})
    content = slow.export()
    outcome = slow.backup()
    slow.check(outcome, content)
    assert before < slow.snapshots() and any("it was left" in text for text in outcome.warnings)


def test_a_disk_that_fills_at_once_is_not_kept(place: Place) -> None:
    place.bench.control.configure(durations={"snapshot_write": 5 * 3600})
    times_out(place)
    place.bench.control.configure(durations={"snapshot_write": 0})
    place.bench.clock.sleep(5 * 3600)
    content = place.export()
    place.check(place.backup(), content)
    assert len(place.snapshots()) == 2 and ledgers(place) == []
