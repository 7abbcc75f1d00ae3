"""What the service refuses before it begins: names, tags, ids, combinations that cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compute_world import COMPUTE, Answer
from https_world import DISKS, Client, client
from vm_world import VmWorld, attached

DISK = f"{COMPUTE}/disks/d1"
SNAPSHOT = f"{COMPUTE}/snapshots/s1"
DAY = 24 * 3600


@pytest.fixture
def world(tmp_path: Path) -> VmWorld:
    return VmWorld(tmp_path)


@pytest.fixture(scope="module")
def azure() -> Iterator[Client]:
    with client() as made:
        made.make_group()
        yield made


def disk_body(**properties: Any) -> dict[str, Any]:
    made = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1, **properties}
    return {"location": "westus", "properties": made}


def refused(answer: Answer, status: int, code: str) -> str:
    assert (answer.status, answer.error) == (status, code), answer
    return answer.message


# -- Resource Manager


def put_with(azure: Client, **body: Any) -> Any:
    path = "resourceGroups/group/providers/Microsoft.Compute/disks/tagged"
    given = {**disk_body(), "location": "westeurope", **body}
    return azure.call("PUT", path, given, DISKS)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({f"tag{number}": "" for number in range(51)}, "51 were given"),
        ({"a": "x" * 257}, "257 characters"),
        ({"a" * 513: ""}, "longer than 512"),
        ({"a/b": ""}, "tag name 'a/b'"),
        ({"a": 1}, "object of strings"),
    ],
)
def test_tags_that_cannot_be(azure: Client, tags: dict[str, Any], words: str) -> None:
    for answer in (
        put_with(azure, tags=tags),
        azure.call("PATCH", "resourceGroups/group", {"tags": tags}),
    ):
        assert answer.status == 400
        assert words in answer.body["error"]["message"]
        assert answer.headers["x-ms-failure-cause"] == "gateway"
    assert azure.get_disk("tagged").status == 404
    assert "tags" not in azure.call("GET", "resourceGroups/group").body


def test_as_many_tags_as_there_can_be(azure: Client) -> None:
    tags = {f"tag{number}": "x" * 256 for number in range(50)}
    assert put_with(azure, tags=tags).status == 202
    assert azure.get_disk("tagged").body["tags"] == tags


@pytest.mark.parametrize(
    ("properties", "path"),
    [
        ({"a": {"id": "vm13245"}}, "properties.a.id"),
        ({"a": [{}, {"b": {"id": ""}}]}, "properties.a[1].b.id"),
    ],
)
def test_ids_that_are_none(azure: Client, properties: dict[str, Any], path: str) -> None:
    answer = put_with(azure, properties=properties)

    assert (answer.status, answer.code) == (400, "LinkedInvalidPropertyId")
    assert f"at path '{path}' is invalid. Expect fully qualified" in answer.body["error"]["message"]


# -- names and values


def bodies_of(world: VmWorld) -> dict[str, Any]:
    source = {"source": {"id": world.direct().id}}
    collection = {"location": "westus", "properties": source}
    return {"disks": disk_body(), "snapshots": disk_body(), "restorePointCollections": collection}


@pytest.mark.parametrize("name", ["a" * 81, "a%20b", "a(b)", "%C3%A4"])
@pytest.mark.parametrize("kind", ["disks", "snapshots", "restorePointCollections"])
def test_names_that_cannot_be(world: VmWorld, kind: str, name: str) -> None:
    answer = world.call("PUT", f"{COMPUTE}/{kind}/{name}", bodies_of(world)[kind])
    assert "1 to 80 characters" in refused(answer, 400, "InvalidParameter")


def test_names_of_restore_points(world: VmWorld) -> None:
    collection = world.collection("c1", world.direct().id)
    points = f"{collection}/restorePoints"
    answer = world.call("PUT", f"{points}/{'a' * 81}", {})
    assert "1 to 80 characters" in refused(answer, 400, "InvalidParameter")
    world.done("PUT", f"{points}/{'a' * 80}", {})


@pytest.mark.parametrize("name", ["networkAccessPolicy", "publicNetworkAccess"])
def test_values_outside_an_enumeration(world: VmWorld, name: str) -> None:
    answer = world.call("PUT", DISK, disk_body(**{name: "Perhaps"}))

    message = refused(answer, 400, "BadRequest")
    assert message.startswith('Error converting value "Perhaps" to type \'System.Nullable`1[')
    assert f"Path 'properties.{name}'" in message
    assert answer.body["error"]["target"] == f"disk.properties.{name}"
    world.done("PUT", DISK, disk_body())
    refused(world.call("PATCH", DISK, {"properties": {name: "Perhaps"}}), 400, "BadRequest")


# -- disks


def test_a_zone_redundant_disk_is_in_no_zone(world: VmWorld) -> None:
    body = {**disk_body(), "sku": {"name": "Premium_ZRS"}, "zones": ["1"]}
    message = refused(world.call("PUT", DISK, body), 409, "OperationNotAllowed")

    assert message == "A disk with sku 'Premium_ZRS' cannot be created in an availability zone."
    assert world.call("PUT", DISK, {**body, "zones": None}).status == 202


@pytest.mark.parametrize("option", ["Copy", "Empty", "Upload"])
def test_trusted_launch_comes_with_the_source(world: VmWorld, option: str) -> None:
    creation = {"createOption": option, "sourceResourceId": world.disk("source").id,
                "uploadSizeBytes": (32 << 20) + 512}  # fmt: skip
    body = disk_body(creationData=creation, securityProfile={"securityType": "TrustedLaunch"})
    world.config.refusals.trusted_launch_of_a_copy = True
    message = refused(world.call("PUT", DISK, body), 400, "BadRequest")

    assert message == (
        f"Security Type 'TrustedLaunch' is not supported for CreateOption '{option}'. Supported"
        " create options are FromImage, Import, ImportSecure, UploadPreparedSecure."
    )
    creation["createOption"] = "UploadPreparedSecure"
    assert world.call("PUT", DISK, body).status == 202


def test_a_disk_access_goes_with_private_access_only(world: VmWorld) -> None:
    access = {"diskAccessId": f"{COMPUTE}/diskAccesses/a"}
    private = disk_body(networkAccessPolicy="AllowPrivate", **access)
    refused(world.call("PUT", DISK, disk_body(**access)), 409, "ConflictingUserInput")
    world.done("PUT", DISK, private)

    for policy in ("AllowAll", "DenyAll"):
        public = disk_body(networkAccessPolicy=policy, **access)
        for method in ("PUT", "PATCH"):
            message = refused(world.call(method, DISK, public), 409, "ConflictingUserInput")
            assert message == (
                "Disk Access is only supported for disks with NetworkAccessPolicy AllowPrivate"
            )
    assert world.get(DISK)["properties"]["diskAccessId"] == access["diskAccessId"]
    world.done("PATCH", DISK, {"properties": {"networkAccessPolicy": "AllowAll"}})
    assert "diskAccessId" not in world.get(DISK)["properties"]


def test_access_for_60_days(world: VmWorld) -> None:
    source = world.disk("source")
    creation = {"createOption": "Copy", "sourceResourceId": source.id}
    world.done("PUT", SNAPSHOT, {"location": "westus", "properties": {"creationData": creation}})

    for target in (source.id, SNAPSHOT):
        for days, status in ((60, 202), (61, 400)):
            ask = {"access": "Read", "durationInSeconds": days * DAY}
            assert world.call("POST", f"{target}/beginGetAccess", ask).status == status


# -- virtual machines


def put_vm(world: VmWorld, disk: Any, size: str = "Standard_D2s_v5", **more: Any) -> Answer:
    entry = attached(disk, osType="Linux")
    body = world.request("vm1", storageProfile={"osDisk": entry}, osProfile=None)
    body["properties"]["hardwareProfile"] = {"vmSize": size}
    return world.put_vm("vm1", {**body, **more})


@pytest.mark.parametrize(
    ("size", "held"),
    [
        ("Standard_D2s_v6", None),
        ("Standard_D2s_v7", {"diskControllerTypes": "SCSI"}),
        ("Standard_D2ps_v5", {"architecture": "x64"}),
        ("Standard_D2s_v5", {"architecture": "Arm64"}),
    ],
)
def test_a_size_that_cannot_boot_from_the_disk(world: VmWorld, size: str, held: Any) -> None:
    disk = world.disk("os", os_type="Linux", extra={"supportedCapabilities": held})
    answer = put_vm(world, disk, size)

    assert f"The VM size '{size}' cannot boot" in refused(answer, 400, "InvalidParameter")
    assert world.disk_state(disk.id) == "Unattached"


@pytest.mark.parametrize("size", ["Standard_D2s_v6", "Standard_D2ps_v5"])
def test_a_copy_boots_where_its_source_does(world: VmWorld, size: str) -> None:
    world.direct("old", luns=(), size=size)
    creation = {"createOption": "Copy", "sourceResourceId": f"{COMPUTE}/disks/old_OsDisk_1"}
    world.done("PUT", SNAPSHOT, {"location": "westus", "properties": {"creationData": creation}})
    creation = {"createOption": "Copy", "sourceResourceId": SNAPSHOT}
    world.done("PUT", DISK, {"location": "westus", "properties": {"creationData": creation}})

    assert put_vm(world, world.state.resources.need(DISK), size).status == 201


def test_a_marketplace_disk_needs_its_plan(world: VmWorld) -> None:
    plan = {"name": "a", "publisher": "b", "product": "c"}
    disk = world.disk("os", os_type="Linux", extra={"purchasePlan": plan})
    message = refused(put_vm(world, disk), 400, "VMMarketplaceInvalidInput")

    assert "requires Plan information in the request" in message
    assert put_vm(world, disk, plan=plan).status == 201


def test_a_missing_parameter_is_the_target(world: VmWorld) -> None:
    answer = world.call("PUT", DISK, {"location": "westus", "properties": {}})

    assert refused(answer, 400, "InvalidParameter") == (
        "Required parameter 'disk.creationData' is missing (null)."
    )
    assert answer.body["error"]["target"] == "disk.creationData"
