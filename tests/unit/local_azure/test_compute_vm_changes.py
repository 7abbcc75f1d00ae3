"""Virtual machines that exist: disks, interfaces, size and tags changed, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compute_world import COMPUTE
from vm_world import VmWorld, attached, vm_path

from local_azure.errors import ArmError

VM = vm_path("vm1")


@pytest.fixture
def world(tmp_path: Path) -> VmWorld:
    return VmWorld(tmp_path)


def _entries(world: VmWorld) -> list[dict[str, Any]]:
    return world.get(VM)["properties"]["storageProfile"]["dataDisks"]


def _patch_data(world: VmWorld, entries: list[dict[str, Any]]) -> Any:
    return world.call("PATCH", VM, {"properties": {"storageProfile": {"dataDisks": entries}}})


def test_data_disks_come_and_go_with_the_list(world: VmWorld) -> None:
    world.direct()
    extra = world.disk("extra")
    kept = _entries(world)[1]
    answer = _patch_data(world, [kept, attached(extra, lun=5, caching="ReadWrite")])

    assert answer.status == 200
    assert answer.body["properties"]["provisioningState"] == "Updating"
    assert world.call("GET", answer.headers["Azure-AsyncOperation"]).body["status"] == "Succeeded"
    assert [(entry["lun"], entry["name"]) for entry in _entries(world)] == [
        (1, "vm1_DataDisk_1"), (5, "extra"),
    ]  # fmt: skip
    assert world.disk_state(extra.id) == "Attached"
    gone = world.get(f"{COMPUTE}/disks/vm1_DataDisk_0")
    assert gone["properties"]["diskState"] == "Unattached"
    assert "managedBy" not in gone


def test_a_disk_marked_for_detaching_is_detached(world: VmWorld) -> None:
    world.direct()
    entries = _entries(world)
    entries[0]["toBeDetached"] = True
    assert _patch_data(world, entries).status == 200

    assert [entry["lun"] for entry in _entries(world)] == [1]


def test_a_lun_does_not_change_hands_in_one_request(world: VmWorld) -> None:
    world.direct()
    answer = _patch_data(world, [attached(world.disk("other"), lun=0)])

    assert (answer.status, answer.error) == (409, "PropertyChangeNotAllowed")
    assert "dataDisk.managedDisk.id" in answer.message
    first = _entries(world)[0]
    moved = _patch_data(world, [{**first, "lun": 9, "createOption": "Attach"}])
    assert moved.error == "AttachDiskWhileBeingDetached"


def test_an_attached_disk_is_reserved_while_the_machine_is_deallocated(world: VmWorld) -> None:
    world.direct(running=False)
    extra = world.disk("extra")
    assert _patch_data(world, [*_entries(world), attached(extra, lun=5)]).status == 200

    assert world.disk_state(extra.id) == "Reserved"


def _swap(disk: Any, **more: Any) -> dict[str, Any]:
    entry = {"managedDisk": {"id": disk.id}, **more}
    return {"properties": {"storageProfile": {"osDisk": entry}}}


def test_the_os_disk_is_swapped_on_a_stopped_machine(world: VmWorld) -> None:
    world.direct(running=False)
    new = world.disk("new-os", os_type="Linux")
    answer = world.call("PATCH", VM, _swap(new, name="new-os"))

    assert answer.status == 200
    os_disk = world.get(VM)["properties"]["storageProfile"]["osDisk"]
    assert (os_disk["name"], os_disk["createOption"]) == ("new-os", "FromImage")
    assert world.disk_state(new.id) == "Reserved"
    assert world.disk_state(f"{COMPUTE}/disks/vm1_OsDisk_1") == "Unattached"
    assert len(_entries(world)) == 2


def test_the_os_disk_stays_when_the_request_is_wrong(world: VmWorld) -> None:
    world.direct()
    new = world.disk("new-os", os_type="Linux")

    running = world.call("PATCH", VM, _swap(new, name="new-os"))
    assert (running.status, running.error) == (409, "OperationNotAllowed")
    world.done("POST", f"{VM}/deallocate")
    assert "osDisk.name" in world.call("PATCH", VM, _swap(new, name="other")).message
    attach = world.call("PATCH", VM, _swap(new, createOption="Attach"))
    assert "osDisk.createOption" in attach.message
    assert world.disk_state(new.id) == "Unattached"


def test_a_failed_change_leaves_the_disks_as_they_were(world: VmWorld) -> None:
    world.direct(running=False)
    before = world.get(VM)["properties"]["storageProfile"]
    new = world.disk("new-os", os_type="Linux")
    world.state.operations.fail_next = ArmError(500, "InternalExecutionError", "Bad luck.")
    assert world.call("PATCH", VM, _swap(new)).status == 200

    after = world.get(VM)["properties"]
    assert after["provisioningState"] == "Failed"
    assert after["storageProfile"] == before
    assert world.disk_state(new.id) == "Unattached"
    world.done("POST", f"{VM}/start")


def test_what_a_get_shows_can_be_put_back(world: VmWorld) -> None:
    world.direct()
    before = world.get(VM)
    answer = world.call("PUT", VM, {**before, "tags": {"x": "y"}})

    assert answer.status == 200
    after = world.get(VM)
    assert after["tags"] == {"x": "y"}
    assert after["properties"] == before["properties"]


def test_a_patch_changes_size_and_tags_and_nothing_else(world: VmWorld) -> None:
    world.direct(tags={"a": "1"})
    change = {"tags": {"b": "2"}, "properties": {"hardwareProfile": {"vmSize": "Standard_D4s_v5"}}}
    assert world.call("PATCH", VM, change).status == 200

    vm = world.get(VM)
    assert vm["tags"] == {"b": "2"}
    assert vm["properties"]["hardwareProfile"]["vmSize"] == "Standard_D4s_v5"
    assert len(vm["properties"]["storageProfile"]["dataDisks"]) == 2


def test_a_patch_that_changes_nothing_announces_no_operation(world: VmWorld) -> None:
    world.direct()
    network = world.get(VM)["properties"]["networkProfile"]
    answer = world.call("PATCH", VM, {"properties": {"networkProfile": network}})

    assert answer.status == 200
    assert "Azure-AsyncOperation" not in answer.headers
    assert world.get(VM)["properties"]["provisioningState"] == "Succeeded"


def test_changes_that_are_refused(world: VmWorld) -> None:
    world.direct()
    zones = world.call("PATCH", VM, {"zones": ["2"]})
    assert zones.error == "PropertyChangeNotAllowed"
    moved = world.call("PUT", VM, {"location": "eastus", "properties": {}})
    assert (moved.status, moved.error) == (409, "InvalidResourceLocation")
    assert world.call("PATCH", vm_path("no"), {}).error == "ResourceNotFound"
    small = {
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B1s"},
            "storageProfile": {
                "dataDisks": [
                    {"lun": lun, "createOption": "Empty", "diskSizeGB": 1} for lun in range(2, 5)
                ]
            },
        }
    }
    assert "of this size is 2" in world.call("PATCH", VM, small).message


def test_a_failed_creation_can_be_repeated(world: VmWorld) -> None:
    body = world.request("vm1")
    world.state.operations.fail_next = ArmError(500, "AllocationFailed", "No room.")
    assert world.poll(world.put_vm("vm1", body))["status"] == "Failed"
    assert world.get(VM)["properties"]["provisioningState"] == "Failed"

    assert world.put_vm("vm1", body).status == 200
    vm = world.get(VM)["properties"]
    assert vm["provisioningState"] == "Succeeded"
    assert vm["storageProfile"]["osDisk"]["managedDisk"]["id"]
    assert world.power_state("vm1") == "PowerState/running"


def test_interfaces_are_exchanged(world: VmWorld) -> None:
    world.direct()
    old = world.get(VM)["properties"]["networkProfile"]["networkInterfaces"][0]["id"]
    new = world.nic("new")
    change = {"properties": {"networkProfile": {"networkInterfaces": [{"id": new}]}}}
    assert world.call("PATCH", VM, change).status == 200

    assert world.get(new)["properties"]["virtualMachine"]["id"] == VM
    assert "virtualMachine" not in world.get(old)["properties"]


def test_disks_go_with_the_machine_where_they_say_so(world: VmWorld) -> None:
    world.direct()
    _patch_data(world, [{**entry, "deleteOption": "Delete"} for entry in _entries(world)])
    answer = world.call("DELETE", f"{VM}?forceDeletion=true")

    assert answer.status == 202
    assert world.poll(answer)["status"] == "Succeeded"
    assert world.call("GET", VM).error == "NotFound"
    world.clock.advance(60)
    assert world.call("GET", VM).error == "ResourceNotFound"
    assert world.call("GET", f"{COMPUTE}/disks/vm1_DataDisk_0").status == 404
    assert world.disk_state(f"{COMPUTE}/disks/vm1_OsDisk_1") == "Unattached"
