"""PATCH and PUT of virtual machines that exist: what is left out stays, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compute_world import COMPUTE, GROUP_ID, Answer
from vm_world import VmWorld, attached, vm_path

VM = vm_path("vm1")
ONE, OTHER = (
    f"{GROUP_ID}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    for name in ("one", "other")
)


@pytest.fixture
def world(tmp_path: Path) -> VmWorld:
    return VmWorld(tmp_path)


def storage(world: VmWorld) -> dict[str, Any]:
    return world.get(VM)["properties"]["storageProfile"]


def patch_storage(world: VmWorld, **profile: Any) -> Answer:
    return world.call("PATCH", VM, {"properties": {"storageProfile": profile}})


def swap(world: VmWorld, disk: Any, **more: Any) -> Answer:
    return patch_storage(world, osDisk={"managedDisk": {"id": disk.id}, "name": disk.name, **more})


# -- what is left out stays


def test_all_disks_are_exchanged_in_two_requests(world: VmWorld) -> None:
    """The LUNs are emptied with the exchange of the OS disk, and filled by a second request."""
    world.direct(running=False, tags={"a": "1"})
    before = world.get(VM)
    new = world.disk("new-os", os_type="Linux")
    data = [world.disk(f"new-{lun}") for lun in (0, 1)]
    os_disk = {"managedDisk": {"id": new.id}, "name": "new-os"}

    first = patch_storage(world, osDisk=os_disk, dataDisks=[])
    assert first.status == 200
    assert patch_storage(
        world, dataDisks=[attached(disk, lun=lun) for lun, disk in enumerate(data)]
    ).status == 200  # fmt: skip

    after = world.get(VM)
    names = [entry["name"] for entry in after["properties"]["storageProfile"]["dataDisks"]]
    assert names == ["new-0", "new-1"]
    assert after["properties"]["storageProfile"]["osDisk"]["name"] == "new-os"
    for name in ("vm1_OsDisk_1", "vm1_DataDisk_0", "vm1_DataDisk_1"):
        assert world.disk_state(f"{COMPUTE}/disks/{name}") == "Unattached"
    for member in ("tags", "location"):
        assert after[member] == before[member]
    for member in ("networkProfile", "osProfile", "vmId", "hardwareProfile", "timeCreated"):
        assert after["properties"][member] == before["properties"][member]


def test_the_answer_has_one_url_and_no_retry_after(world: VmWorld) -> None:
    world.direct(running=False)
    answer = swap(world, world.disk("new-os", os_type="Linux"))

    assert answer.status == 200
    assert "Azure-AsyncOperation" in answer.headers
    assert not {"Location", "Retry-After"} & set(answer.headers)


def test_tags_are_replaced_and_only_tags(world: VmWorld) -> None:
    world.direct(tags={"a": "1", "b": "2"})
    before = world.get(VM)
    assert world.call("PATCH", VM, {"tags": {"b": "3"}}).status == 200

    after = world.get(VM)
    assert after.pop("tags") == {"b": "3"} and before.pop("tags")
    assert after.pop("etag") != before.pop("etag")
    assert after == before


def test_a_put_of_tags_alone_announces_no_operation(world: VmWorld) -> None:
    world.direct()
    answer = world.call("PUT", VM, {**world.get(VM), "tags": {"a": "1"}})

    assert (answer.status, answer.body["properties"]["provisioningState"]) == (200, "Updating")
    assert not {"Azure-AsyncOperation", "Location"} & set(answer.headers)
    assert world.get(VM)["properties"]["provisioningState"] == "Succeeded"


def identity(world: VmWorld, **asked: Any) -> dict[str, Any] | None:
    assert world.call("PATCH", VM, {"identity": asked}).status == 200
    return world.get(VM).get("identity")


def test_identities_are_merged(world: VmWorld) -> None:
    world.direct()
    both = "SystemAssigned, UserAssigned"
    first = identity(world, type=both, userAssignedIdentities={ONE: {}})
    assert first and first["principalId"] and set(first["userAssignedIdentities"]) == {ONE}

    second = identity(world, type=both, userAssignedIdentities={OTHER: {}})
    assert second and set(second["userAssignedIdentities"]) == {ONE, OTHER}
    third = identity(world, type=both, userAssignedIdentities={ONE.upper(): None})
    assert third and set(third["userAssignedIdentities"]) == {OTHER}
    assert world.call("PATCH", VM, {"tags": {"a": "1"}}).status == 200
    assert world.get(VM)["identity"] == third
    last = identity(world, type="SystemAssigned")
    assert last and set(last) == {"type", "principalId", "tenantId"}
    assert identity(world, type="None") is None


def test_a_refused_change_changes_nothing(world: VmWorld) -> None:
    world.direct()
    del world.state.resources.need(VM).properties["osProfile"]
    before = world.get(VM)
    change = {
        "tags": {"a": "1"},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D4s_v5"},
            "osProfile": {"computerName": "other"},
        },
    }
    for method in ("PATCH", "PUT"):
        answer = world.call(method, VM, {"location": "westus", **change})
        assert answer.body["error"]["target"] == "osProfile"
        assert world.get(VM) == before


# -- while the operation runs


def test_a_new_identity_has_no_ids_yet(world: VmWorld) -> None:
    world.config.durations.vm_write = 30
    world.direct()
    asked = {"type": "UserAssigned", "userAssignedIdentities": {ONE: {}}}
    answer = world.call("PATCH", VM, {"identity": asked})

    assert answer.body["identity"] == asked
    world.clock.advance(30)
    assert set(world.get(VM)["identity"]["userAssignedIdentities"][ONE]) == {
        "principalId", "clientId",
    }  # fmt: skip


def test_a_disk_that_leaves_is_shown_until_it_has_left(world: VmWorld) -> None:
    world.config.durations.vm_write = 30
    world.direct()
    kept = storage(world)["dataDisks"][1]
    answer = patch_storage(world, dataDisks=[kept])

    for shown in (answer.body["properties"]["storageProfile"], storage(world)):
        leaving = [(entry["lun"], entry["toBeDetached"]) for entry in shown["dataDisks"]]
        assert leaving == [(0, True), (1, False)]
    left = f"{COMPUTE}/disks/vm1_DataDisk_0"
    assert world.get(left)["managedBy"] == VM
    world.clock.advance(30)
    assert [entry["lun"] for entry in storage(world)["dataDisks"]] == [1]
    assert "managedBy" not in world.get(left)


def test_both_os_disks_belong_to_the_machine_until_they_are_exchanged(world: VmWorld) -> None:
    world.config.durations.vm_write = 30
    world.direct(running=False)
    new, old = world.disk("new-os", os_type="Linux"), f"{COMPUTE}/disks/vm1_OsDisk_1"
    assert swap(world, new).status == 200

    assert storage(world)["osDisk"]["name"] == "new-os"
    assert [world.disk_state(disk) for disk in (new.id, old)] == ["Reserved", "Reserved"]
    for disk in (new.id, old):
        assert world.call("DELETE", disk).error == "OperationNotAllowed"
    world.clock.advance(30)
    assert [world.disk_state(disk) for disk in (new.id, old)] == ["Reserved", "Unattached"]


def test_an_attached_disk_shows_the_type_that_was_asked_for(world: VmWorld) -> None:
    world.direct(luns=())
    disk = world.disk("extra", sku="Premium_LRS")
    for asked, shown in ((None, "Premium_LRS"), ("Standard_LRS", "Standard_LRS")):
        managed = {"id": disk.id, "storageAccountType": asked}
        entry = {"lun": 0, "createOption": "Attach", "managedDisk": managed}
        assert patch_storage(world, dataDisks=[entry]).status == 200
        held = storage(world)["dataDisks"][0]["managedDisk"]
        assert held["storageAccountType"] == shown
        assert patch_storage(world, dataDisks=[]).status == 200
    assert world.get(disk.id)["sku"]["name"] == "Premium_LRS"


def test_a_disk_that_is_forced_off_says_so(world: VmWorld) -> None:
    world.config.durations.vm_write = 30
    world.direct(luns=(0,))
    (entry,) = storage(world)["dataDisks"]
    leaving = {**entry, "toBeDetached": True, "detachOption": "ForceDetach"}
    assert patch_storage(world, dataDisks=[leaving]).status == 200

    assert storage(world)["dataDisks"][0]["detachOption"] == "ForceDetach"
    world.clock.advance(30)
    assert storage(world)["dataDisks"] == []


def test_a_disk_on_its_way_from_one_machine_is_not_attached_to_another(world: VmWorld) -> None:
    world.config.durations.vm_write = 30
    world.direct()
    world.direct("vm2", luns=())
    assert patch_storage(world, dataDisks=[]).status == 200
    disk = world.state.resources.need(f"{COMPUTE}/disks/vm1_DataDisk_0")
    body = {"properties": {"storageProfile": {"dataDisks": [attached(disk, lun=0)]}}}

    assert world.call("PATCH", vm_path("vm2"), body).status == 409
    world.clock.advance(30)
    assert world.call("PATCH", vm_path("vm2"), body).status == 200


# -- the OS disk


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize("action", ["powerOff", "deallocate"])
def test_it_is_exchanged_on_a_stopped_machine(world: VmWorld, method: str, action: str) -> None:
    world.direct()
    world.done("POST", f"{VM}/{action}")
    new = world.disk("new-os", os_type="Linux")
    read = world.get(VM)
    wanted = {**read["properties"]["storageProfile"]["osDisk"], "name": "new-os"}
    wanted["managedDisk"] = {"id": new.id}
    read["properties"]["storageProfile"]["osDisk"] = wanted
    read["properties"]["storageProfile"].pop("imageReference", None)

    assert world.call(method, VM, read).status == 200
    shown = storage(world)["osDisk"]
    assert (shown["name"], shown["createOption"]) == ("new-os", "FromImage")


def test_exchanges_that_are_refused(world: VmWorld) -> None:
    world.direct(running=False)
    large = world.disk("large", os_type="Linux", size_gb=2)
    key = {"diskEncryptionSetId": f"{COMPUTE}/diskEncryptionSets/set"}
    foreign = world.disk("foreign", os_type="Linux", encryption=key)
    new = world.disk("new-os", os_type="Linux")
    before = world.get(VM)

    for disk, words in ((large, "2 GB"), (foreign, "disk encryption set")):
        answer = swap(world, disk)
        assert (answer.status, answer.error) == (409, "OperationNotAllowed")
        assert words in answer.message
        assert world.disk_state(disk.id) == "Unattached"
    for more, name in (({"createOption": "Attach"}, "createOption"), ({"name": "x"}, "name")):
        answer = swap(world, new, **more)
        assert (answer.status, answer.error) == (409, "PropertyChangeNotAllowed")
        assert answer.body["error"]["target"] == f"osDisk.{name}"
    renamed = patch_storage(world, osDisk={"name": "other"})
    assert renamed.body["error"]["target"] == "osDisk.name"
    assert world.get(VM) == before


def test_disk_encryption_rules_an_exchange_out(world: VmWorld) -> None:
    world.direct(running=False)
    old = world.state.resources.need(f"{COMPUTE}/disks/vm1_OsDisk_1")
    old.properties["encryptionSettingsCollection"] = {"enabled": True}

    answer = swap(world, world.disk("new-os", os_type="Linux"))
    assert (answer.status, answer.error) == (
        409, "OSDiskSwapNotSupportedForVMsUsingDiskEncryption",
    )  # fmt: skip
