"""Disks that exist: what a second write does, what shows while one runs, and who owns them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from compute_world import COMPUTE, Answer
from vm_world import VmWorld, attached, vm_path

from local_azure.errors import ArmError
from local_azure.storage.vhd import build

DISK = f"{COMPUTE}/disks/d1"
ACCESS = {"access": "Read", "durationInSeconds": 600}
MIB = 1 << 20


@pytest.fixture
def world(tmp_path: Path) -> VmWorld:
    return VmWorld(tmp_path)


def body(option: str = "Empty", **more: Any) -> dict[str, Any]:
    creation = {"createOption": option, **more.pop("creation", {})}
    size = {"diskSizeGB": 1} if option == "Empty" else {}
    return {"location": "westus", "properties": {"creationData": creation, **size, **more}}


def put(world: VmWorld, wanted: dict[str, Any]) -> Answer:
    return world.call("PUT", DISK, wanted)


def properties(world: VmWorld, disk: str = DISK) -> dict[str, Any]:
    return world.get(disk)["properties"]


# -- a second write


def test_a_put_of_what_there_is_changes_it(world: VmWorld) -> None:
    world.done("PUT", DISK, body())
    unique = properties(world)["uniqueId"]
    wanted = body(diskSizeGB=2, networkAccessPolicy="DenyAll")
    world.done("PUT", DISK, {**wanted, "tags": {"a": "1"}, "sku": {"name": "Premium_LRS"}})

    after = world.get(DISK)
    assert after["tags"] == {"a": "1"}
    assert after["sku"] == {"name": "Premium_LRS", "tier": "Premium"}
    assert after["properties"]["diskSizeGB"] == 2
    assert after["properties"]["networkAccessPolicy"] == "DenyAll"
    assert after["properties"]["uniqueId"] == unique


def test_size_and_sku_decide_whatever_is_repeated_of_before(world: VmWorld) -> None:
    world.done("PUT", DISK, {**body(), "sku": {"name": "Premium_LRS"}})
    before = properties(world)
    assert (before["tier"], before["diskIOPSReadWrite"]) == ("P1", 120)
    repeated = {**before, "diskSizeGB": 10}
    world.done("PUT", DISK, {**body(**repeated), "sku": {"name": "Standard_LRS"}})
    standard = properties(world)
    assert "tier" not in standard
    assert (standard["diskIOPSReadWrite"], standard["diskMBpsReadWrite"]) == (500, 60)
    world.done("PUT", DISK, {**body(**repeated), "sku": {"name": "Premium_LRS"}})
    assert properties(world)["tier"] == "P3"
    world.done("PUT", DISK, body(**{**properties(world), "tier": "P10"}))
    assert properties(world)["tier"] == "P10"


@pytest.mark.parametrize("asked", [{}, {"creationData": {}}, {"creationData": None}])
def test_a_put_of_a_disk_repeats_what_it_was_made_from(world: VmWorld, asked: Any) -> None:
    world.config.refusals.put_without_creation_data = True
    world.done("PUT", DISK, body())
    answer = put(world, {"location": "westus", "tags": {"a": "1"}, "properties": asked})

    assert (answer.status, answer.error) == (400, "InvalidParameter")
    assert answer.message == "Required parameter 'disk.creationData' is missing (null)."
    assert answer.body["error"]["target"] == "disk.creationData"
    assert "tags" not in world.get(DISK)


def test_and_the_source_it_was_made_from(world: VmWorld) -> None:
    world.config.refusals.put_without_creation_data = True
    source = {"sourceResourceId": world.disk("source").id}
    world.done("PUT", DISK, body("Copy", creation=source))

    assert put(world, body("Copy")).body["error"]["target"] == "creationData.sourceResourceId"
    assert put(world, body("Copy", creation=source)).status == 202


def test_patch_changes_tags_size_and_access(world: VmWorld) -> None:
    world.done("PUT", DISK, {**body(), "tags": {"a": "1"}})
    world.done("PATCH", DISK, {"tags": {"b": "2"}})
    world.done("PATCH", DISK, {"properties": {"networkAccessPolicy": "DenyAll"}})
    world.done("PATCH", DISK, {"properties": {"diskSizeGB": 3}})

    assert world.get(DISK)["tags"] == {"b": "2"}
    held = properties(world)
    assert (held["diskSizeGB"], held["networkAccessPolicy"]) == (3, "DenyAll")


def test_a_disk_that_is_being_made_is_not_made_again(world: VmWorld) -> None:
    world.config.durations.disk_write = 30
    begun = put(world, body())
    assert begun.status == 202

    second = put(world, body())
    assert (second.status, second.error) == (409, "Conflict")
    world.clock.advance(30)
    assert world.poll(begun)["status"] == "Succeeded"


@pytest.mark.parametrize(("method", "change"), [("PATCH", {"tags": {"a": "1"}}), ("PUT", body())])
def test_a_change_that_runs_shows_and_keeps_others_out(
    world: VmWorld, method: str, change: dict[str, Any]
) -> None:
    world.done("PUT", DISK, body())
    world.config.durations.disk_write = 30
    begun = world.call(method, DISK, change)

    assert properties(world)["provisioningState"] == "Updating"
    for other in ("PATCH", "PUT"):
        refused = world.call(other, DISK, body())
        assert (refused.status, refused.error) == (409, "Conflict")
    world.clock.advance(30)
    output = world.poll(begun)["properties"]["output"]
    assert output["properties"]["provisioningState"] == "Succeeded"
    assert properties(world)["provisioningState"] == "Succeeded"


def test_a_change_that_fails_leaves_the_disk_as_it_was(world: VmWorld) -> None:
    world.done("PUT", DISK, body())
    before = world.get(DISK)
    world.state.operations.fail_next = ArmError(500, "InternalExecutionError", "Bad luck.")
    begun = world.call("PATCH", DISK, {"tags": {"a": "1"}})

    assert world.poll(begun)["status"] == "Failed"
    assert world.get(DISK) == before


@pytest.mark.parametrize("kind", ["disks", "snapshots"])
def test_a_deletion_shows_while_it_runs_and_after(world: VmWorld, kind: str) -> None:
    target = f"{COMPUTE}/{kind}/one"
    creation = {"sourceResourceId": world.disk("source").id}
    world.done("PUT", target, body("Copy", creation=creation))
    world.config.durations.delete = 30
    begun = world.call("DELETE", target)

    assert properties(world, target)["provisioningState"] == "Deleting"
    assert world.call("PUT", target, body("Copy", creation=creation)).error == "Conflict"
    world.clock.advance(30)
    assert world.poll(begun)["status"] == "Succeeded"
    at_once = world.call("GET", target)
    assert (at_once.status, at_once.error) == (404, "NotFound")
    assert at_once.message == f"{kind[:-1].capitalize()} one is not found."
    assert "x-ms-failure-cause" not in at_once.headers
    world.clock.advance(60)
    later = world.call("GET", target)
    assert (later.status, later.error) == (404, "ResourceNotFound")
    assert world.call("DELETE", target).status == 204


# -- states


def test_the_states_of_an_upload(world: VmWorld) -> None:
    size = 32 * MIB
    creation = {"uploadSizeBytes": size + 512}
    made = world.done("PUT", DISK, body("Upload", creation=creation))
    waiting = made["properties"]["output"]["properties"]
    assert waiting["diskState"] == properties(world)["diskState"] == "ReadyToUpload"
    for shown in (waiting, properties(world)):
        assert not {"diskSizeGB", "diskSizeBytes"} & set(shown)
        assert "diskIOPSReadWrite" in shown

    write = {**ACCESS, "access": "Write"}
    world.done("POST", f"{DISK}/beginGetAccess", write)
    assert properties(world)["diskState"] == "ActiveUpload"
    blob = world.state.resources.need(DISK).hidden["upload"]
    blob.write(size, build(size, UUID(int=1)), world.clock.now())
    world.done("POST", f"{DISK}/endGetAccess")
    done = properties(world)
    assert (done["diskState"], done["diskSizeGB"]) == ("Unattached", 1)
    assert "LastOwnershipUpdateTime" not in done


def test_who_owns_a_disk_and_since_when(world: VmWorld) -> None:
    world.direct(luns=())
    disk = world.disk("d1")
    assert not {"managedBy"} & set(world.get(DISK))
    assert "LastOwnershipUpdateTime" not in properties(world)
    entry = {"properties": {"storageProfile": {"dataDisks": [attached(disk, lun=0)]}}}
    assert world.call("PATCH", vm_path("vm1"), entry).status == 200

    held = world.get(DISK)
    assert (held["managedBy"], held["properties"]["diskState"]) == (vm_path("vm1"), "Attached")
    since = held["properties"]["LastOwnershipUpdateTime"]
    world.clock.advance(60)
    world.done("POST", f"{vm_path('vm1')}/deallocate")
    assert properties(world)["diskState"] == "Reserved"
    assert properties(world)["LastOwnershipUpdateTime"] == since
    entry["properties"]["storageProfile"]["dataDisks"] = []
    assert world.call("PATCH", vm_path("vm1"), entry).status == 200
    free = world.get(DISK)
    assert "managedBy" not in free
    assert free["properties"]["diskState"] == "Unattached"
    assert free["properties"]["LastOwnershipUpdateTime"] > since


def test_a_disk_of_a_running_machine_gives_no_access(world: VmWorld) -> None:
    world.direct(luns=(0,))
    disk = f"{COMPUTE}/disks/vm1_DataDisk_0"
    answer = world.call("POST", f"{disk}/beginGetAccess", ACCESS)

    assert (answer.status, answer.error) == (409, "Conflict")
    assert answer.message == (
        "Access not permitted because disk vm1_DataDisk_0 is currently attached to running VM"
        f" {vm_path('vm1')}."
    )
    world.done("POST", f"{vm_path('vm1')}/deallocate")
    world.done("POST", f"{disk}/beginGetAccess", ACCESS)
    assert properties(world, disk)["diskState"] == "ActiveSAS"
    world.done("POST", f"{disk}/endGetAccess")
    assert properties(world, disk)["diskState"] == "Reserved"
