"""Restore points and snapshots of Premium SSD v2 and Ultra disks are there before their data is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compute_world import COMPUTE, World

ACCESS = {"access": "Read", "durationInSeconds": 600}
INSTANT_API = "2025-04-01"


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.config.durations.restore_point_hydration = 100
    made.config.durations.snapshot_hydration = 100
    return made


def point(world: World, sku: str = "PremiumV2_LRS", **properties: Any) -> str:
    """A restore point of a machine with one data disk of a SKU; its id."""
    vm = world.vm("vm")
    disk = world.state.resources.need(f"{COMPUTE}/disks/vm-data0")
    disk.body["sku"]["name"] = sku
    target = f"{world.collection('c', vm.id)}/restorePoints/p"
    answer = world.call("PUT", target, {"properties": properties}, INSTANT_API)
    assert world.poll(answer)["status"] == "Succeeded"
    return target


def view(world: World, target: str, api: str = INSTANT_API) -> dict[str, Any]:
    answer = world.call("GET", f"{target}?$expand=instanceView", api=api)
    return answer.body["properties"].get("instanceView", {})


def data_disk(world: World, target: str) -> str:
    storage = world.get(target)["properties"]["sourceMetadata"]["storageProfile"]
    return storage["dataDisks"][0]["diskRestorePoint"]["id"]


def restore(world: World, source: str, option: str = "Restore") -> Any:
    creation = {"createOption": option, "sourceResourceId": source}
    body = {"location": "westus", "properties": {"creationData": creation}}
    return world.call("PUT", f"{COMPUTE}/disks/restored", body)


@pytest.mark.parametrize("sku", ["PremiumV2_LRS", "UltraSSD_LRS"])
def test_a_local_point_shows_what_hydrates_and_nothing_else(world: World, sku: str) -> None:
    target = point(world, sku)
    world.clock.advance(40)

    assert world.get(target)["properties"]["provisioningState"] == "Succeeded"
    (disk,) = view(world, target)["diskRestorePoints"]
    assert disk["id"] == data_disk(world, target)
    assert disk["snapshotAccessState"] == "Pending"
    assert disk["replicationStatus"]["status"]["code"] == "ReplicationState/replicating"
    assert disk["replicationStatus"]["completionPercent"] == 40
    assert view(world, target)["statuses"][0]["code"] == "ReplicationState/replicating"
    (disk,) = view(world, target, "2024-11-01")["diskRestorePoints"]
    assert "snapshotAccessState" not in disk
    assert "sourceResourceLocation" not in world.get(disk["id"])["properties"]


def test_nothing_is_made_of_what_hydrates(world: World) -> None:
    source = data_disk(world, point(world))
    for answer in (restore(world, source), world.call("POST", f"{source}/beginGetAccess", ACCESS)):
        assert (answer.status, answer.error) == (409, "OperationNotAllowed")
    world.clock.advance(100)

    assert restore(world, source).status == 202
    assert world.call("POST", f"{source}/beginGetAccess", ACCESS).status == 202


def test_the_end_of_it_is_shown(world: World) -> None:
    target = point(world)
    world.clock.advance(100)

    (disk,) = view(world, target)["diskRestorePoints"]
    assert disk["snapshotAccessState"] == "Available"
    assert disk["replicationStatus"]["status"]["code"] == "ReplicationState/succeeded"
    assert disk["replicationStatus"]["completionPercent"] == 100


def test_instant_access_does_not_wait(world: World) -> None:
    target = point(world, instantAccessDurationMinutes=60)

    (disk,) = view(world, target)["diskRestorePoints"]
    assert disk["snapshotAccessState"] == "InstantAccess"
    assert restore(world, disk["id"]).status == 202
    world.clock.advance(100)
    (disk,) = view(world, target)["diskRestorePoints"]
    assert disk["snapshotAccessState"] == "AvailableWithInstantAccess"


def test_a_copy_waits_for_its_source(world: World) -> None:
    target = point(world)
    home = target.rsplit("/", 2)[0]
    copies = f"{world.collection('far', home, 'eastus')}/restorePoints/p"
    body = {"properties": {"sourceRestorePoint": {"id": target}}}
    assert "is not ready" in world.call("PUT", copies, body).message
    world.clock.advance(100)

    assert world.call("PUT", copies, body).status == 201


def test_other_disks_have_no_progress(world: World) -> None:
    assert view(world, point(world, "Premium_LRS")) == {}


def snapshot(world: World, sku: str) -> tuple[str, dict[str, Any]]:
    """An incremental snapshot of a disk of a SKU: its id, and what its operation says of it."""
    source = world.disk("source", sku=sku)
    creation = {"createOption": "Copy", "sourceResourceId": source.id}
    body = {"location": "westus", "properties": {"creationData": creation, "incremental": True}}
    target = f"{COMPUTE}/snapshots/s"
    return target, world.done("PUT", target, body)["properties"]["output"]["properties"]


def test_a_snapshot_shows_its_progress_at_once(world: World) -> None:
    target, output = snapshot(world, "UltraSSD_LRS")

    assert output["completionPercent"] == 0.0
    assert restore(world, target, "Copy").error == "OperationNotAllowed"
    world.clock.advance(60)
    assert world.get(target)["properties"]["completionPercent"] == 60.0
    world.clock.advance(40)
    assert world.get(target)["properties"]["completionPercent"] == 100.0
    assert restore(world, target, "Copy").status == 202


def test_other_snapshots_have_none(world: World) -> None:
    target, output = snapshot(world, "Premium_LRS")

    assert "completionPercent" not in {**output, **world.get(target)["properties"]}
    assert restore(world, target, "Copy").status == 202


def test_the_key_of_a_local_point(world: World) -> None:
    encryption_set = {"id": f"{COMPUTE}/diskEncryptionSets/set"}
    key = {"type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSet": encryption_set}
    asked = {"lun": 0, "diskRestorePoint": {"encryption": key}}
    target = point(world, sourceMetadata={"storageProfile": {"dataDisks": [asked]}})

    storage = world.get(target)["properties"]["sourceMetadata"]["storageProfile"]
    assert storage["dataDisks"][0]["diskRestorePoint"]["encryption"] == key
    assert storage["osDisk"]["diskRestorePoint"]["encryption"] == {
        "type": "EncryptionAtRestWithPlatformKey"
    }
