"""Snapshots: made, read, listed and deleted in local Azure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import disks, snapshots
from ansible_collections.vmguard.azure.plugins.module_utils._compute.disk_access import (
    grant,
    revoke,
)
from ansible_collections.vmguard.azure.plugins.module_utils._compute.passing import passing
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    Conflict,
    InputError,
    NotFound,
    OperationFailed,
)
from page_blob_world import World, open_bench, world_in
from restore_bench import Bench

DISK = {
    "id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d",
    "location": "westeurope",
    "properties": {},
}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def world(bench: Bench) -> Iterator[World]:
    with world_in(bench) as made:
        yield made


def test_body() -> None:
    assert snapshots.snapshot_body(DISK, {"a": "b"}) == {
        "location": "westeurope",
        "tags": {"a": "b"},
        "properties": {
            "creationData": {"createOption": "Copy", "sourceResourceId": DISK["id"]},
            "incremental": True,
        },
    }
    full = snapshots.snapshot_body(DISK, incremental=False)
    assert full["properties"]["incremental"] is False and "tags" not in full


def test_body_is_as_well_guarded_as_the_disk() -> None:
    guards = {
        "networkAccessPolicy": "AllowPrivate",
        "publicNetworkAccess": "Disabled",
        "diskAccessId": "/subscriptions/s/x",
        "dataAccessAuthMode": "AzureActiveDirectory",
    }
    key = {"type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": "/subscriptions/s/e"}
    place = {"name": "edge", "type": "EdgeZone"}
    disk = {
        **DISK,
        "extendedLocation": place,
        "properties": {**guards, "encryption": key, "diskSizeGB": 4, "tier": "P4"},
    }
    body = snapshots.snapshot_body(disk)
    more = {k: v for k, v in body["properties"].items() if k not in ("creationData", "incremental")}
    assert more == {**guards, "encryption": key} and body["extendedLocation"] == place
    plain = {**DISK, "properties": {"encryption": {"type": "EncryptionAtRestWithPlatformKey"}}}
    assert "encryption" not in snapshots.snapshot_body(plain)["properties"]


def test_made_read_listed_deleted(world: World) -> None:
    machine = world.machine()
    disk = disks.get_disk(world.arm, world.disk_id(machine))
    identity = f"{world.snapshot(machine)}-more"
    assert snapshots.find_snapshot(world.arm, identity) is None
    with pytest.raises(NotFound):
        snapshots.get_snapshot(world.arm, identity)
    body = snapshots.snapshot_body(disk, {"vmguard": "1"})
    made = snapshots.put_snapshot(world.arm, identity, body)
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert made["properties"]["creationData"]["sourceUniqueId"] == disk["properties"]["uniqueId"]
    assert snapshots.get_snapshot(world.arm, identity)["tags"] == {"vmguard": "1"}
    in_group = snapshots.list_snapshots(world.arm, machine.group)
    everywhere = snapshots.list_snapshots(world.arm)
    assert len(in_group) == 2
    assert {one["id"].lower() for one in in_group} <= {one["id"].lower() for one in everywhere}
    for _turn in range(2):
        snapshots.delete_snapshot(world.arm, identity)
    assert snapshots.find_snapshot(world.arm, identity) is None


def test_the_snapshot_keeps_the_disks_network_settings(world: World) -> None:
    machine = world.machine()
    policy = {"networkAccessPolicy": "DenyAll", "publicNetworkAccess": "Disabled"}
    world.control.call("PATCH", "disks", {"id": world.disk_id(machine), "properties": policy})
    made = snapshots.get_snapshot(world.arm, world.snapshot(machine))
    assert made["properties"].items() >= policy.items()


def test_without_waiting(world: World) -> None:
    machine = world.machine()
    identity = f"{world.snapshot(machine)}-later"
    body = snapshots.snapshot_body(disks.get_disk(world.arm, world.disk_id(machine)))
    world.control.configure(durations={"snapshot_write": 100})
    first = snapshots.put_snapshot(world.arm, identity, body, wait=False)
    assert first["properties"]["provisioningState"] == "Updating"
    world.control.configure(durations={"snapshot_write": 0})
    world.clock.sleep(101)
    found = snapshots.get_snapshot(world.arm, identity)
    assert found["properties"]["provisioningState"] == "Succeeded"


def test_one_that_fails(world: World) -> None:
    machine = world.machine()
    identity = f"{world.snapshot(machine)}-failing"
    body = snapshots.snapshot_body(disks.get_disk(world.arm, world.disk_id(machine)))
    world.control.fault("PUT .*snapshots/", kind="fail_operation", code="Broken", message="No.")
    with pytest.raises(OperationFailed, match=r"No\.") as caught:
        snapshots.put_snapshot(world.arm, identity, body)
    assert caught.value.code == "Broken"


PASSING: list[dict[str, Any]] = [
    {"status": 409, "code": "Conflict", "message": "Another operation is in progress."},
    {
        "status": 409,
        "code": "ConflictingConcurrentWriteNotAllowed",
        "message": "The operation was interrupted by a conflicting concurrent write on the same"
        " entity. Please retry later.",
    },
    {"kind": "fail_operation", "code": "ConflictingConcurrentWriteNotAllowed", "message": "Later."},
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda it: f"{it.get('kind', '')}{it['code']}")
def test_what_passes_by_itself_is_waited_out(world: World, fault: dict[str, Any]) -> None:
    machine = world.machine()
    identity = f"{world.snapshot(machine)}-patient"
    body = snapshots.snapshot_body(disks.get_disk(world.arm, world.disk_id(machine)))
    world.control.fault("PUT .*snapshots/", **fault, times=3)
    made = snapshots.put_snapshot(world.arm, identity, body)
    assert world.bench.hits() == 3
    assert made["properties"]["provisioningState"] == "Succeeded"
    world.control.clear_faults()
    world.control.fault("POST .*/beginGetAccess", **fault, times=3)
    assert grant(world.arm, identity, 600).startswith("https://")
    assert world.bench.hits() == 3
    revoke(world.arm, identity)


def test_what_does_not_pass_within_the_deadline_is_an_error(world: World) -> None:
    machine = world.machine()
    identity = f"{world.snapshot(machine)}-impatient"
    body = snapshots.snapshot_body(disks.get_disk(world.arm, world.disk_id(machine)))
    world.control.fault("PUT .*snapshots/", status=409, code="Conflict", times=0)
    began = world.clock.monotonic()
    with pytest.raises(Conflict):
        snapshots.put_snapshot(world.bench.arm(timeout=60), identity, body)
    assert 30 <= world.clock.monotonic() - began <= 60


def test_what_stays_is_an_error_at_once(world: World) -> None:
    snapshot = world.snapshot(world.machine())
    world.control.fault("beginGetAccess", status=409, code="OperationNotAllowed", times=0)
    with pytest.raises(Conflict):
        grant(world.arm, snapshot, 600)
    assert world.bench.hits() == 1
    used = Conflict(
        "Access not permitted because disk d is currently attached to running VM v.",
        code="Conflict",
        status=409,
    )
    assert not passing(used)


def test_one_that_is_being_read_is_not_deleted(world: World) -> None:
    identity = world.snapshot(world.machine())
    grant(world.arm, identity, 600)
    with pytest.raises(Conflict, match="active shared access signature"):
        snapshots.delete_snapshot(world.arm, identity)
    revoke(world.arm, identity)
    snapshots.delete_snapshot(world.arm, identity)


@pytest.mark.parametrize(
    "identity",
    [
        "x",
        DISK["id"],
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/snapshots/x",
    ],
)
def test_ids_of_something_else(world: World, identity: str) -> None:
    with pytest.raises(InputError):
        snapshots.find_snapshot(world.arm, identity)
