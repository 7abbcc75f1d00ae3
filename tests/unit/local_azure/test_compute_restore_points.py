"""Restore point collections, restore points, their copies and their disks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compute_world import COMPUTE, SUBSCRIPTION, World

from local_azure.arm.resources import Resource
from local_azure.storage.page_blob import PageBlob

ACCESS = {"access": "Read", "durationInSeconds": 600}
CRASH = {"properties": {"consistencyMode": "CrashConsistent"}}
APPLICATION = {"properties": {"consistencyMode": "ApplicationConsistent"}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def vm(world: World) -> Resource:
    return world.vm("vm", data=2)


@pytest.fixture
def points(world: World, vm: Resource) -> str:
    return f"{world.collection('Coll', vm.id)}/restorePoints"


def make(world: World, target: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = world.call("PUT", target, body or {})
    assert answer.status == 201, answer
    assert world.poll(answer)["status"] == "Succeeded"
    return world.get(target)


def storage(point: dict[str, Any]) -> dict[str, Any]:
    return point["properties"]["sourceMetadata"]["storageProfile"]


def drp(point: dict[str, Any], lun: int = 0) -> str:
    return storage(point)["dataDisks"][lun]["diskRestorePoint"]["id"]


def restore(world: World, source: str, **more: Any) -> str:
    target = f"{COMPUTE}/disks/restored"
    data = {"createOption": "Restore", "sourceResourceId": source}
    world.done("PUT", target, {
        "location": "westus", **more, "properties": {"creationData": data, "diskSizeGB": 2},
    })  # fmt: skip
    return target


def copy_body(source: str) -> dict[str, Any]:
    return {"properties": {"sourceRestorePoint": {"id": source}}}


# -- collections


def test_a_collection(world: World, vm: Resource) -> None:
    target = f"{COMPUTE}/restorePointCollections/Coll"
    body = {"location": "West US", "properties": {"source": {"id": vm.id}}}
    answer = world.call("PUT", target, body)
    assert answer.status == 201
    assert "Azure-AsyncOperation" not in answer.headers
    assert list(answer.body) == ["name", "id", "type", "location", "properties"]
    assert list(answer.body["properties"]) == [
        "source", "restorePointCollectionId", "provisioningState",
    ]  # fmt: skip
    assert answer.body["properties"]["source"] == {"location": "westus", "id": vm.id}
    again = world.call("PUT", target, body | {"tags": {"a": "1"}})
    assert (again.status, again.body["tags"]) == (200, {"a": "1"})
    patched = world.call("PATCH", target, {"tags": {"b": "2"}, "properties": {}})
    assert (patched.status, patched.body["tags"]) == (200, {"b": "2"})
    flagged = world.call("PATCH", target, {"properties": {"instantAccess": False}})
    assert flagged.body["properties"]["instantAccess"] is False
    assert world.call("PUT", target, body | {"location": "eastus"}).error == (
        "InvalidResourceLocation"
    )
    other = {"location": "westus", "properties": {"source": {"id": world.vm("other").id}}}
    assert world.call("PUT", target, other).error == "PropertyChangeNotAllowed"
    everywhere = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute"
    listed = world.get(f"{everywhere}/restorePointCollections")["value"]
    assert "/MYGROUP/" in listed[0]["id"] and "/MyGroup/" in listed[0]["properties"]["source"]["id"]
    assert len(world.get(f"{COMPUTE}/restorePointCollections")["value"]) == 1


@pytest.mark.parametrize("body", [
    {"location": "westus"}, {"location": "westus", "properties": {"source": {}}},
    {"location": "westus", "properties": {"source": {"id": f"{COMPUTE}/disks/vm-os"}}},
])  # fmt: skip
@pytest.mark.usefixtures("vm")
def test_a_collection_without_a_source(world: World, body: dict[str, Any]) -> None:
    answer = world.call("PUT", f"{COMPUTE}/restorePointCollections/Coll", body)
    assert (answer.status, answer.error) == (400, "InvalidParameter")


def test_what_is_missing_has_two_kinds_of_404(world: World, points: str) -> None:
    assert world.call("GET", f"{points}/none").error == "NotFound"
    assert world.call("GET", f"{points}/none/diskRestorePoints/x").error == "NotFound"
    missing = world.call("GET", points.replace("Coll/", "None/") + "/none")
    assert missing.error == "ResourceNotFound"
    assert missing.headers["x-ms-failure-cause"] == "gateway"


def test_a_collection_goes_with_its_points(world: World, points: str) -> None:
    collection = points.removesuffix("/restorePoints")
    point = make(world, f"{points}/p1")
    expanded = world.get(f"{collection}?$expand=restorePoints")
    assert expanded["properties"]["restorePoints"] == [point]
    assert "restorePoints" not in world.get(collection)["properties"]
    world.done("POST", f"{drp(point)}/beginGetAccess", ACCESS)
    assert world.call("DELETE", collection).error == "DiskRestorePointUsedByCustomer"
    assert world.call("DELETE", f"{points}/p1").error == "DiskRestorePointUsedByCustomer"
    world.done("POST", f"{drp(point)}/endGetAccess")
    answer = world.call("DELETE", collection)
    assert (answer.status, answer.body) == (202, None)
    assert {"Azure-AsyncOperation", "Location", "azure-asyncnotification"} <= set(answer.headers)
    assert world.poll(answer)["status"] == "Succeeded"
    assert world.call("GET", collection).status == 404
    assert world.state.resources.get(drp(point)) is None
    assert world.call("DELETE", collection).status == 204


# -- restore points


def test_the_first_answer_and_the_last(world: World, points: str) -> None:
    world.config.durations.restore_point_create = 30
    answer = world.call("PUT", f"{points}/p1", {})
    assert answer.status == 201
    assert "Location" not in answer.headers and "Retry-After" not in answer.headers
    assert answer.headers["azure-asyncnotification"] == "Enabled"
    assert list(answer.body) == ["name", "id", "properties"]
    held = answer.body["properties"]
    assert list(held) == ["sourceMetadata", "provisioningState", "timeCreated"]
    assert held["provisioningState"] == "Creating"
    assert "diskRestorePoint" not in storage(answer.body)["osDisk"]
    assert world.poll(answer)["status"] == "InProgress"
    world.clock.advance(31)
    assert "properties" not in world.poll(answer)
    point = world.get(f"{points}/p1")
    assert list(point["properties"]) == [
        "sourceMetadata", "provisioningState", "consistencyMode", "timeCreated",
    ]  # fmt: skip
    metadata = point["properties"]["sourceMetadata"]
    assert list(metadata) == [
        "vmId", "location", "hardwareProfile", "storageProfile", "osProfile", "securityProfile",
        "hyperVGeneration",
    ]  # fmt: skip
    assert list(storage(point)["osDisk"]) == [
        "osType", "name", "diskSizeGB", "caching", "managedDisk", "diskRestorePoint",
    ]  # fmt: skip
    assert storage(point)["osDisk"]["diskRestorePoint"]["encryption"] == {
        "type": "EncryptionAtRestWithPlatformKey"
    }
    assert [disk["lun"] for disk in storage(point)["dataDisks"]] == [0, 1]
    assert drp(point).rsplit("/", 1)[1].startswith("vm-data0_")
    old = world.call("GET", f"{points}/p1", api="2021-11-01").body
    assert list(storage(old)["osDisk"]["diskRestorePoint"]) == ["id"]


@pytest.mark.parametrize(
    ("system", "power", "asked", "achieved"),
    [
        ("Windows", "running", None, "ApplicationConsistent"),
        ("Linux", "running", None, "FileSystemConsistent"),
        ("Linux", "deallocated", None, "CrashConsistent"),
        ("Windows", "running", "CrashConsistent", "CrashConsistent"),
        ("Linux", "running", "ApplicationConsistent", "FileSystemConsistent"),
    ],
)
def test_consistency(
    world: World, system: str, power: str, asked: str | None, achieved: str
) -> None:
    vm = world.vm("vm", system=system, power=power)
    target = f"{world.collection('Coll', vm.id)}/restorePoints/p1"
    body = {"properties": {"consistencyMode": asked}} if asked else {}
    answer = world.call("PUT", target, body)
    assert answer.body["properties"].get("consistencyMode") == asked
    world.poll(answer)
    assert world.get(target)["properties"]["consistencyMode"] == achieved


def test_a_restore_point_holds_the_bytes_of_its_moment(world: World, points: str) -> None:
    world.config.durations.restore_point_create = 30
    image = world.image(f"{COMPUTE}/disks/vm-data0")
    image.write(4096, b"before")
    answer = world.call("PUT", f"{points}/p1", CRASH)
    image.write(4096, b"after!")
    world.clock.advance(31)
    assert world.poll(answer)["status"] == "Succeeded"
    point = world.get(f"{points}/p1")
    restored = restore(world, drp(point), sku={"name": "Premium_LRS"})
    assert world.image(restored).read(4096, 6) == b"before"
    held = world.get(restored)["properties"]
    assert (held["diskSizeGB"], held["diskState"]) == (2, "Unattached")
    assert "sourceUniqueId" not in held["creationData"]
    world.done("DELETE", f"{points}/p1")
    assert world.image(restored).read(4096, 6) == b"before"


def test_two_points_tell_what_changed(world: World, points: str) -> None:
    image = world.image(f"{COMPUTE}/disks/vm-data0")
    first = make(world, f"{points}/p1")
    image.write(8192, b"new")
    second = make(world, f"{points}/p2")
    changes = world.image(drp(second)).changed_since(world.image(drp(first)))
    assert list(changes) == [(8192, 8704, False)]
    one, two = world.get(drp(first))["properties"], world.get(drp(second))["properties"]
    assert one["familyId"] == two["familyId"]
    assert one["sourceResourceId"] == f"{COMPUTE}/disks/vm-data0"


def test_access_to_a_disk_restore_point(world: World, points: str) -> None:
    image = world.image(f"{COMPUTE}/disks/vm-data1")
    image.write(0, b"kept")
    point = make(world, f"{points}/p1")
    image.write(0, b"lost")
    listed = world.get(f"{points}/p1/diskRestorePoints")["value"]
    assert len(listed) == 3 and world.get(drp(point)) in listed
    begun = world.call("POST", f"{drp(point, 1)}/beginGetAccess", ACCESS)
    url = world.poll(begun)["properties"]["output"]["accessSAS"]
    again = world.done("POST", f"{drp(point, 1)}/beginGetAccess", ACCESS)
    assert again["properties"]["output"]["accessSAS"] == url
    blob: PageBlob = world.state.sas.active()[0].blob
    assert b"".join(blob.read_pieces(0, 4)) == b"kept"
    for wrong in ({"access": "Write"}, {"durationInSeconds": 61 * 24 * 3600}):
        refused = world.call("POST", f"{drp(point)}/beginGetAccess", ACCESS | wrong)
        assert (refused.status, refused.error) == (400, "InvalidParameter")
    world.done("POST", f"{drp(point, 1)}/endGetAccess")
    assert not world.state.sas.active()


def test_excluded_disks(world: World, points: str) -> None:
    excluded = [{"id": f"{COMPUTE}/disks/VM-data0"}]
    body = {"properties": {"excludeDisks": excluded}}
    answer = world.call("PUT", f"{points}/p1", body)
    assert [disk["lun"] for disk in storage(answer.body)["dataDisks"]] == [1]
    assert list(answer.body["properties"])[-1] == "excludeDisks"
    world.poll(answer)
    assert world.get(f"{points}/p1")["properties"]["excludeDisks"] == excluded
    unknown = {"properties": {"excludeDisks": [{"id": f"{COMPUTE}/disks/none"}]}}
    assert world.call("PUT", f"{points}/p2", unknown).error == "InvalidParameter"


def test_put_again(world: World, points: str) -> None:
    world.config.durations.restore_point_create = 30
    first = world.call("PUT", f"{points}/p1", CRASH)
    again = world.call("PUT", f"{points}/p1", CRASH)
    assert again.status == 201
    assert again.headers["x-ms-request-id"] == first.headers["x-ms-request-id"]
    world.clock.advance(31)
    done = world.call("PUT", f"{points}/p1", CRASH)
    assert (done.status, done.body["properties"]["provisioningState"]) == (200, "Succeeded")
    other = world.call("PUT", f"{points}/p1", APPLICATION)
    assert (other.status, other.error) == (409, "OperationNotAllowed")
    assert other.message == "Update of an existing Restore Point is not supported."


# -- refusals


def test_one_at_a_time(world: World, points: str) -> None:
    world.config.durations.restore_point_create = 30
    world.call("PUT", f"{points}/p1", {})
    refused = world.call("PUT", f"{points}/p2", {})
    assert (refused.status, refused.error) == (409, "VMRestorePointClientError")
    assert "concurrent" in refused.message


def test_limits(world: World, points: str) -> None:
    world.config.limits.restore_points_per_hour = 1
    make(world, f"{points}/p1", CRASH)
    refused = world.call("PUT", f"{points}/p2", CRASH)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    make(world, f"{points}/p2", APPLICATION)
    world.clock.advance(3601)
    world.config.limits.restore_points_per_vm = 2
    assert "cannot exceed 2" in world.call("PUT", f"{points}/p3", CRASH).message


def test_disks_that_cannot_be_in_it(world: World, vm: Resource, points: str) -> None:
    disk = world.state.resources.need(f"{COMPUTE}/disks/vm-data0")
    disk.properties["maxShares"] = 2
    assert "Shared disks" in world.call("PUT", f"{points}/p1", {}).message
    del disk.properties["maxShares"]
    disk.body["sku"]["name"] = "UltraSSD_LRS"
    assert "Ultra" in world.call("PUT", f"{points}/p1", CRASH).message
    make(world, f"{points}/app", APPLICATION)
    disk.body["sku"]["name"] = "Premium_LRS"
    entry = vm.properties["storageProfile"]["dataDisks"][1]
    entry["writeAcceleratorEnabled"] = True
    assert "Write Accelerated" in world.call("PUT", f"{points}/p1", CRASH).message
    del entry["writeAcceleratorEnabled"]
    vm.properties["storageProfile"]["osDisk"]["diffDiskSettings"] = {"option": "Local"}
    assert "Ephemeral" in world.call("PUT", f"{points}/p1", CRASH).message
    assert world.call("GET", f"{points}/p1").status == 404


def test_without_an_agent(world: World, vm: Resource, points: str) -> None:
    vm.hidden["agent"] = False
    result = world.poll(world.call("PUT", f"{points}/p1", APPLICATION))
    assert result["status"] == "Failed"
    assert result["error"]["code"] == "VMAgentStatusCommunicationError"
    assert world.get(f"{points}/p1")["properties"]["provisioningState"] == "Failed"
    assert not world.get(f"{points}/p1/diskRestorePoints")["value"]
    make(world, f"{points}/p2", CRASH)
    world.done("DELETE", f"{points}/p1")


def test_a_vm_that_changes_meanwhile(world: World, vm: Resource, points: str) -> None:
    world.config.durations.restore_point_create = 30
    answer = world.call("PUT", f"{points}/p1", {})
    vm.properties["storageProfile"]["dataDisks"].pop()
    world.clock.advance(31)
    result = world.poll(answer)
    assert "Changes were made" in result["error"]["message"]


def test_old_api_versions(world: World, points: str) -> None:
    assert world.call("PUT", f"{points}/p1", {}, api="2020-06-01").error == "BadRequest"


def test_customer_keys_are_kept(world: World, points: str) -> None:
    disk = world.state.resources.need(f"{COMPUTE}/disks/vm-data0")
    key = f"{COMPUTE}/diskEncryptionSets/des"
    disk.properties["encryption"] = {
        "type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": key,
    }  # fmt: skip
    point = make(world, f"{points}/p1")
    assert storage(point)["dataDisks"][0]["diskRestorePoint"]["encryption"] == {
        "type": "EncryptionAtRestWithCustomerKey",
        "diskEncryptionSet": {"id": key.replace("MyGroup", "MYGROUP")},
    }


# -- other regions


def test_a_copy_in_another_region(world: World, points: str) -> None:
    image = world.image(f"{COMPUTE}/disks/vm-data0")
    image.write(0, b"first")
    source = make(world, f"{points}/p1")
    collection = points.removesuffix("/restorePoints")
    same = {"location": "westus", "properties": {"source": {"id": collection}}}
    assert world.call("PUT", f"{COMPUTE}/restorePointCollections/x", same).status == 400
    far = f"{world.collection('Far', collection, 'eastus')}/restorePoints"
    world.config.durations.restore_point_replication = 100
    answer = world.call("PUT", f"{far}/p1", copy_body(source["id"]))
    assert answer.status == 201
    assert "/locations/eastus/operations/" in answer.headers["Azure-AsyncOperation"]
    assert world.poll(answer)["status"] == "Succeeded"
    copy = world.get(f"{far}/p1")
    for name in ("timeCreated", "consistencyMode"):
        assert copy["properties"][name] == source["properties"][name]
    assert copy["properties"]["sourceMetadata"]["location"] == "westus"
    assert list(storage(copy)["dataDisks"][0]["diskRestorePoint"]) == [
        "sourceDiskRestorePoint", "encryption", "id",
    ]  # fmt: skip
    view = world.get(f"{far}/p1?$expand=instanceView")["properties"]["instanceView"]
    assert view["statuses"][0]["code"] == "ReplicationState/replicating"
    assert len(view["diskRestorePoints"]) == 3
    percent = view["diskRestorePoints"][0]["replicationStatus"]["completionPercent"]
    assert isinstance(percent, int) and percent < 100
    assert world.call("POST", f"{drp(copy)}/beginGetAccess", ACCESS).status == 409
    data = {"createOption": "Restore", "sourceResourceId": drp(copy)}
    body = {"location": "eastus", "properties": {"creationData": data}}
    assert "not complete" in world.call("PUT", f"{COMPUTE}/disks/d", body).message
    world.done("DELETE", f"{points}/p1")
    world.clock.advance(101)
    view = world.get(f"{far}/p1?$expand=instanceView")["properties"]["instanceView"]
    assert view["statuses"][0]["code"] == "ReplicationState/succeeded"
    held = world.get(drp(copy))["properties"]
    assert (held["replicationState"], held["completionPercent"]) == ("Succeeded", 100)
    assert held["sourceResourceLocation"] == "westus"
    wrong = body | {"location": "westus"}
    assert world.call("PUT", f"{COMPUTE}/disks/d", wrong).status == 404
    world.done("PUT", f"{COMPUTE}/disks/d", body)
    assert world.image(f"{COMPUTE}/disks/d").read(0, 5) == b"first"


def test_copies_that_are_refused(world: World, points: str) -> None:
    source = make(world, f"{points}/p1")["id"]
    collection = points.removesuffix("/restorePoints")
    far = f"{world.collection('Far', collection, 'eastus')}/restorePoints"
    make(world, f"{far}/p1", copy_body(source))
    assert "already" in world.call("PUT", f"{far}/p2", copy_body(source)).message
    assert world.call("PUT", f"{far}/p3", copy_body(f"{points}/none")).error == "NotFound"
    third = world.collection("Third", far.removesuffix("/restorePoints"), "northeurope")
    refused = world.call("PUT", f"{third}/restorePoints/p", copy_body(f"{far}/p1"))
    assert "cannot be copied" in refused.message
    other = world.collection("Other", world.vm("other").id)
    assert world.call("PUT", f"{other}/restorePoints/p", copy_body(source)).error == (
        "InvalidParameter"
    )
    assert world.call("PUT", f"{far}/p4", {}).error == "InvalidParameter"
    world.config.durations.restore_point_create = 30
    world.call("PUT", f"{points}/p2", {})
    assert "not ready" in world.call("PUT", f"{far}/p5", copy_body(f"{points}/p2")).message
    world.clock.advance(31)
    world.config.limits.restore_point_copies_per_hour = 1
    assert world.call("PUT", f"{far}/p6", copy_body(f"{points}/p2")).status == 429


def test_the_key_of_a_copy(world: World, points: str) -> None:
    source = make(world, f"{points}/p1")
    collection = points.removesuffix("/restorePoints")
    far = world.collection("Far", collection, "eastus")
    key = {
        "type": "EncryptionAtRestWithCustomerKey",
        "diskEncryptionSet": {"id": f"{COMPUTE}/diskEncryptionSets/des"},
    }
    wanted = {"encryption": key, "sourceDiskRestorePoint": {"id": drp(source)}}
    body = copy_body(source["id"])
    body["properties"]["sourceMetadata"] = {
        "storageProfile": {"dataDisks": [{"diskRestorePoint": wanted}]}
    }
    copy = make(world, f"{far}/restorePoints/p1", body)
    kept = [disk["diskRestorePoint"]["encryption"] for disk in storage(copy)["dataDisks"]]
    assert kept == [key, {"type": "EncryptionAtRestWithPlatformKey"}]


def test_straight_in_another_region(world: World, vm: Resource) -> None:
    collection = world.collection("Far", vm.id, "eastus")
    world.config.durations.restore_point_replication = 100
    point = make(world, f"{collection}/restorePoints/p1")
    assert point["properties"]["sourceMetadata"]["location"] == "westus"
    target = f"{collection}/restorePoints/p1?$expand=instanceView"
    assert world.get(target)["properties"]["instanceView"]["statuses"][0]["displayStatus"] == (
        "Replicating"
    )
    world.clock.advance(101)
    world.done("POST", f"{drp(point)}/beginGetAccess", ACCESS)
    assert world.get(drp(point))["properties"]["sourceResourceLocation"] == "westus"


def test_a_local_point_has_no_instance_view(world: World, points: str) -> None:
    make(world, f"{points}/p1")
    assert "instanceView" not in world.get(f"{points}/p1?$expand=instanceView")["properties"]
