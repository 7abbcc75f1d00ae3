"""Request bodies of another form than their resource has: refused in one place, nothing changed."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compute_world import COMPUTE, GROUP_ID, Answer
from vm_world import NETWORK, SUBNET, VmWorld, attached, vm_path

from local_azure.arm import body_models
from local_azure.arm.body_models import shape, shape_of

VM = vm_path("vm1")
DISK, SNAPSHOT = f"{COMPUTE}/disks/free", f"{COMPUTE}/snapshots/s1"
COLLECTION = f"{COMPUTE}/restorePointCollections/c1"
IDENTITY = f"{GROUP_ID}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/me"
COMPLETE = getattr(shape("Disk"), "is_complete", False)
needs_annotations = pytest.mark.skipif(
    not COMPLETE, reason="the models of the installed azure-mgmt-compute are not complete"
)


@pytest.fixture
def world(tmp_path: Path) -> VmWorld:
    return made(tmp_path)


def made(folder: Path) -> VmWorld:
    world = VmWorld(folder)
    world.direct("vm1")
    world.disk("free")
    world.collection("c1", VM)
    world.nic("nic")
    return world


def everything(world: VmWorld) -> dict[str, Any]:
    """All that a request could have changed."""
    held = world.state.resources._by_id.items()
    kept = {key: (copy.deepcopy(item.body), _hidden(item.hidden)) for key, item in held}
    return {"resources": kept, "operations": world.state.operations.in_progress()}


def _hidden(hidden: dict[str, Any]) -> dict[str, Any]:
    return {key: copy.deepcopy(value) for key, value in hidden.items() if key != "image"}


def refused(world: VmWorld, method: str, target: str, body: Any) -> Answer:
    before = everything(world)
    answer = world.call(method, target, body)
    assert answer.status == 400, answer
    assert everything(world) == before
    return answer


def vm_change(**properties: Any) -> dict[str, Any]:
    return {"properties": properties}


def disk_body(**properties: Any) -> dict[str, Any]:
    given = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1, **properties}
    return {"location": "westus", "properties": given}


# -- the refusals as they are quoted


@pytest.mark.parametrize(
    "body",
    [
        {"identity": {"type": "UserAssigned", "userAssignedIdentities": ["/x"]}},
        {"identity": "x"},
        {"identity": {"type": 5}},
    ],
)
def test_an_identity_of_a_wrong_type_leaves_the_machine_alone(world: VmWorld, body: Any) -> None:
    answer = refused(world, "PATCH", VM, body)

    assert answer.error == "InvalidRequestContent"
    assert answer.message.startswith("The request content was invalid and could not be deserial")
    assert answer.headers["x-ms-failure-cause"] == "gateway"
    assert world.get(VM)["properties"]["provisioningState"] == "Succeeded"
    assert len(world.get(f"{COMPUTE}/virtualMachines")["value"]) == 1


def test_a_value_that_an_enumeration_does_not_have(world: VmWorld) -> None:
    disks = [{"lun": 4, "createOption": "Attach", "caching": "Unrecognized"}]
    answer = refused(world, "PATCH", VM, vm_change(storageProfile={"dataDisks": disks}))

    assert answer.error == "BadRequest"
    assert answer.body["error"]["target"] == "vm.properties.storageProfile.dataDisks[0].caching"
    assert answer.message == (
        'Error converting value "Unrecognized" to type \'System.Nullable`1[Microsoft.WindowsAzure'
        ".ComputeResourceProvider.API.CachingTypes]'. Path"
        " 'properties.storageProfile.dataDisks[0].caching', line 1, position 95."
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("osType", "BeOS"), ("hyperVGeneration", "V9"), ("networkAccessPolicy", "Perhaps")],
)
def test_enumerations_of_a_disk(world: VmWorld, name: str, value: str) -> None:
    for method in ("PUT", "PATCH"):
        answer = refused(world, method, DISK, disk_body(**{name: value}))
        assert answer.body["error"]["target"] == f"disk.properties.{name}"
    new = {"supportedCapabilities": {"architecture": "Bogus"}}
    refused(world, "PUT", f"{COMPUTE}/disks/new", disk_body(**new))


def test_enumerations_are_read_in_any_casing_and_sizes_are_open(world: VmWorld) -> None:
    world.done("PUT", f"{COMPUTE}/disks/new", disk_body(osType="LINUX"))
    answer = world.call("PATCH", VM, vm_change(hardwareProfile={"vmSize": "Standard_D8s_v6"}))
    assert answer.status != 400 or answer.error != "BadRequest"
    kind = {
        "identity": {
            "type": "SystemAssigned,UserAssigned",
            "userAssignedIdentities": {IDENTITY: {}},
        }
    }
    assert world.call("PATCH", vm_path(_other(world)), kind).status == 200


def _other(world: VmWorld) -> str:
    return world.direct("vm2").name


@needs_annotations
def test_a_member_that_the_model_does_not_have(world: VmWorld) -> None:
    disks = [{"lun": 4, "createOption": "Empty", "detachNow": True}]
    answer = refused(world, "PATCH", VM, vm_change(storageProfile={"dataDisks": disks}))

    assert (answer.error, answer.body["error"]["target"]) == (
        "BadRequest", "vm.properties.storageProfile.dataDisks[0].detachNow",
    )  # fmt: skip
    assert answer.message.startswith(
        "Could not find member 'detachNow' on object of type 'DataDisk'. Path"
    )


@needs_annotations
def test_a_member_beside_the_properties(world: VmWorld) -> None:
    body = {**disk_body(), "AccountType": "Premium_LRS"}
    answer = refused(world, "PUT", DISK, body)

    assert answer.error == "InvalidRequestContent"
    assert answer.message.startswith(
        "The request content was invalid and could not be deserialized: 'Could not find member"
        " 'AccountType' on object of type 'ResourceDefinition'. Path 'AccountType', line 1"
    )


def test_what_the_service_shows_can_be_sent_back(world: VmWorld) -> None:
    for target in (VM, DISK, COLLECTION):
        assert world.call("PUT", target, world.get(target)).status in (200, 202)


@pytest.mark.parametrize(
    ("sku", "code", "words"),
    [
        ({}, "InvalidRequestContent", "Required property 'name' not found in 'sku'."),
        ({"name": "Nonsense_LRS"}, "InvalidParameter", "SKU Nonsense_LRS is not supported"),
        ({"name": "StandardSSD_LRS"}, "InvalidParameter",
         "SKU StandardSSD_LRS is not supported for resource type Snapshot in this region. Supp"),
    ],
)  # fmt: skip
def test_skus_of_a_snapshot(world: VmWorld, sku: Any, code: str, words: str) -> None:
    creation = {"createOption": "Copy", "sourceResourceId": DISK}
    body = {"location": "westus", "sku": sku, "properties": {"creationData": creation}}
    answer = refused(world, "PUT", SNAPSHOT, body)
    assert answer.error == code
    assert words in answer.message


def test_a_list_where_an_object_belongs_and_the_reverse(world: VmWorld) -> None:
    answer = refused(world, "PATCH", VM, vm_change(storageProfile={"dataDisks": {"lun": 0}}))
    assert answer.message.startswith(
        'Cannot deserialize the current JSON object (e.g. {"name":"value"}) into type'
        " 'System.Collections.Generic.List`1' because the type requires a JSON array (e.g. [1,2,3])"
    )
    answer = refused(world, "PATCH", VM, vm_change(hardwareProfile=[]))
    assert "because the type requires a JSON object" in answer.message


def test_members_that_must_be_there(world: VmWorld) -> None:
    entry = attached(world.disk("other"))
    storage = {"osDisk": {"caching": "None"}, "dataDisks": [{**entry, "lun": 5}]}
    answer = refused(world, "PUT", vm_path("new"), world.request("new", storageProfile=storage))
    assert answer.message == "Required parameter 'osDisk.createOption' is missing (null)."
    for disks in ([entry], [None]):
        answer = refused(world, "PATCH", VM, vm_change(storageProfile={"dataDisks": disks}))
        assert answer.error == "InvalidParameter"
    answer = refused(world, "POST", f"{DISK}/beginGetAccess", {"access": "Read"})
    assert answer.body["error"]["target"] == "grantAccessData.durationInSeconds"


def test_the_place_is_that_of_the_member(world: VmWorld) -> None:
    text = '{\r\n "location": "westus",\r\n "properties": {\r\n  "diskSizeGB": "big"}}'
    request = copy.copy(text).encode()
    answer = world.call("PUT", f"{COMPUTE}/disks/new", request)
    assert "Path 'properties.diskSizeGB', line 4, position 14." in answer.message


# -- the network provider and resource groups


@pytest.mark.parametrize(
    ("target", "properties"),
    [
        ("virtualNetworks/net", {"addressSpace": 5}),
        ("virtualNetworks/net", {"addressSpace": {"addressPrefixes": "10.0.0.0/8"}}),
        ("virtualNetworks/net", {"subnets": [5]}),
        ("virtualNetworks/net/subnets/default", {"addressPrefix": 5}),
        ("networkInterfaces/nic", {"ipConfigurations": 5}),
        ("networkInterfaces/nic", {"ipConfigurations": [{"properties": {"subnet": "x"}}]}),
        ("networkSecurityGroups/new", {"securityRules": {}}),
        ("publicIPAddresses/new", {"idleTimeoutInMinutes": "4"}),
    ],
)
def test_the_network_provider_cannot_parse(world: VmWorld, target: str, properties: Any) -> None:
    body = {"location": "westus", "properties": properties}
    answer = refused(world, "PUT", f"{NETWORK}/{target}", body)

    assert (answer.error, answer.message) == ("InvalidRequestFormat", "Cannot parse the request.")
    assert answer.body["error"]["details"][0]["code"] == "InvalidJson"


@pytest.mark.parametrize("body", [{"location": 5}, {"location": "westus", "properties": "x"}])
def test_a_resource_group_of_another_form(world: VmWorld, body: Any) -> None:
    assert refused(world, "PUT", GROUP_ID, body).error in ("BadRequest", "InvalidRequestContent")


# -- whatever is wrong, it is no fault of the server


def _places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = body.items() if isinstance(body, dict) else enumerate(body)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, key))


def _with(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(body)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def _requests(world: VmWorld) -> Iterator[tuple[str, str, Any]]:
    creation = {"createOption": "Copy", "sourceResourceId": DISK, "logicalSectorSize": 512}
    disk = {
        "location": "westus", "tags": {"a": "b"}, "sku": {"name": "Premium_LRS"}, "zones": ["1"],
        "properties": {
            "creationData": creation, "diskSizeGB": 4, "osType": "Linux", "diskAccessId": None,
            "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
            "securityProfile": {"securityType": "TrustedLaunch"},
            "supportedCapabilities": {"architecture": "x64"},
            "purchasePlan": {"name": "n", "publisher": "p", "product": "q"},
        },
    }  # fmt: skip
    yield "PUT", f"{COMPUTE}/disks/new", disk
    yield "PATCH", DISK, {**disk, "properties": {"diskSizeGB": 4, "networkAccessPolicy": "DenyAll"}}
    yield "PUT", SNAPSHOT, {**disk, "sku": {"name": "Standard_LRS"}, "properties": {
        "creationData": creation, "incremental": True, "encryption": None}}  # fmt: skip
    yield "PUT", f"{COMPUTE}/restorePointCollections/new", {
        "location": "westus", "tags": {"a": "b"}, "properties": {"source": {"id": VM}}}  # fmt: skip
    yield "PATCH", COLLECTION, {"tags": {}, "properties": {"source": {"id": VM}}}
    yield "PUT", f"{COLLECTION}/restorePoints/p1", {"properties": {
        "consistencyMode": "CrashConsistent", "excludeDisks": [{"id": DISK}],
        "sourceRestorePoint": None}}  # fmt: skip
    yield "POST", f"{DISK}/beginGetAccess", {"access": "Read", "durationInSeconds": 60}
    yield from _machines(world)
    space = {"addressSpace": {"addressPrefixes": ["10.2.0.0/16"]}, "subnets": [
        {"name": "one", "properties": {"addressPrefix": "10.2.0.0/24"}}]}  # fmt: skip
    yield "PUT", f"{NETWORK}/virtualNetworks/new", {"location": "westus", "properties": space}
    configuration = {"name": "one", "properties": {"subnet": {"id": SUBNET}, "primary": True}}
    yield "PUT", f"{NETWORK}/networkInterfaces/new", {
        "location": "westus", "properties": {"ipConfigurations": [configuration],
                                             "networkSecurityGroup": None}}  # fmt: skip
    yield "PUT", f"{GROUP_ID}2", {"location": "westus", "tags": {"a": "b"}}


def _machines(world: VmWorld) -> Iterator[tuple[str, str, Any]]:
    more = {
        "securityProfile": {"uefiSettings": {"secureBootEnabled": True}},
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
        "additionalCapabilities": {"ultraSSDEnabled": False}, "userData": "YQ==",
    }  # fmt: skip
    new = world.request("new", **more)
    new["identity"] = {"type": "UserAssigned", "userAssignedIdentities": {IDENTITY: {}}}
    new["plan"] = {"name": "n", "publisher": "p", "product": "q"}
    yield "PUT", vm_path("new"), new
    entry = {**attached(world.disk("another"), caching="None"), "lun": 9}
    held = world.get(VM)["properties"]["storageProfile"]
    storage = {"osDisk": held["osDisk"], "dataDisks": [*held["dataDisks"], entry]}
    yield "PATCH", VM, {
        "identity": new["identity"], "tags": {"a": "b"}, "zones": None, "plan": None,
        "properties": {"hardwareProfile": {"vmSize": "Standard_D8s_v5"}, "licenseType": None,
                       "storageProfile": storage, **more},
    }  # fmt: skip


WRONG = (5, "x", [], {}, None, True, [5], {"a": 5}, -1.5)


@pytest.mark.parametrize("number", range(12))
def test_nothing_that_is_sent_is_a_fault_of_the_server(tmp_path: Path, number: int) -> None:
    """A world of its own after each request that was taken; ``call`` lets exceptions pass."""
    world = made(tmp_path / "0")
    _method, _target, body = list(_requests(world))[number]
    refusals = 0
    for count, path in enumerate(_places(body)):
        for value in WRONG:
            method, target, body = list(_requests(world))[number]
            before = everything(world)
            answer = world.call(method, target, _with(body, path, value))
            assert answer.status < 500
            if answer.status >= 400:
                assert everything(world) == before, (path, value)
                refusals += 1
            else:
                world = made(tmp_path / f"{count}-{WRONG.index(value)}")
    assert refusals


def test_there_are_no_more_requests_than_tested(world: VmWorld) -> None:
    assert len(list(_requests(world))) == 12


# -- models


def test_without_the_package_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", fail)
    assert shape.__wrapped__("Disk") is None


class _OldUpdate:
    _validation = {"lun": {"required": True}, "shown": {"readonly": True}}
    _attribute_map = {
        "lun": {"key": "lun", "type": "int"},
        "tags": {"key": "tags", "type": "{str}"},
        "size": {"key": "properties.diskSizeGB", "type": "int"},
        "disks": {"key": "properties.disks", "type": "[Other]"},
        "shown": {"key": "properties.shown", "type": "iso-8601"},
        "any": {"key": "any", "type": "object"},
    }


def test_models_of_older_packages() -> None:
    """Their flattened members are objects again; what they do not know is not refused."""
    found = body_models._old_shape(_OldUpdate)

    assert not found.is_complete
    assert found.members["lun"].required
    assert found.members["tags"].kind.is_map
    assert found.members["any"].kind == body_models.Kind()
    inner = shape_of(found.members["properties"].kind)
    assert inner is not None
    assert inner.members["diskSizeGB"].kind.plain is int
    assert inner.members["shown"].read_only
    assert inner.members["disks"].kind.items == body_models.Kind(model="Other")


def test_the_sku_of_a_disk(world: VmWorld) -> None:
    for method in ("PUT", "PATCH"):
        answer = refused(world, method, DISK, {**disk_body(), "sku": {"name": "Nonsense_LRS"}})
        assert answer.message == "SKU Nonsense_LRS is not available."
