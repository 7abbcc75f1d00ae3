"""Virtual machines: created, changed, started, stopped, deleted, refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compute_world import COMPUTE, SUBSCRIPTION
from vm_world import NETWORK, VmWorld, attached, nic_body, vm_path

from local_azure.errors import ArmError

VM = vm_path("vm1")


@pytest.fixture
def world(tmp_path: Path) -> VmWorld:
    return VmWorld(tmp_path)


def power(world: VmWorld, action: str) -> None:
    assert world.done("POST", f"{VM}/{action}")["status"] == "Succeeded"


# -- create


def test_a_machine_from_an_image_is_created_as_recorded(world: VmWorld) -> None:
    body = world.request("vm1")
    body["properties"]["storageProfile"]["dataDisks"] = [
        {"lun": 0, "createOption": "Empty", "diskSizeGB": 2}
    ]
    answer = world.put_vm("vm1", body)

    assert answer.status == 201
    assert {"Azure-AsyncOperation", "Retry-After"} <= set(answer.headers)
    assert "Location" not in answer.headers
    assert answer.body["properties"]["provisioningState"] == "Creating"
    assert "name" not in answer.body["properties"]["storageProfile"]["dataDisks"][0]
    assert "adminPassword" not in answer.body["properties"]["osProfile"]
    assert world.poll(answer)["status"] == "Succeeded"
    vm = world.get(VM)["properties"]
    os_disk, data = vm["storageProfile"]["osDisk"], vm["storageProfile"]["dataDisks"][0]
    assert vm["provisioningState"] == "Succeeded"
    assert (os_disk["osType"], os_disk["diskSizeGB"], os_disk["deleteOption"]) == (
        "Linux", 30, "Detach",
    )  # fmt: skip
    assert (data["caching"], data["toBeDetached"], data["diskSizeGB"]) == ("None", False, 2)
    assert "_disk2_" in data["name"]
    assert world.disk_state(data["managedDisk"]["id"]) == "Attached"
    assert world.get(os_disk["managedDisk"]["id"])["managedBy"] == VM
    assert world.power_state("vm1") == "PowerState/running"
    nic = world.get(f"{NETWORK}/networkInterfaces/vm1-nic")["properties"]
    assert nic["virtualMachine"]["id"] == VM


def test_a_machine_on_existing_disks_with_a_described_interface(world: VmWorld) -> None:
    os_disk = world.disk("os", os_type="Linux", hyper_v_generation="V1")
    data = world.disk("data")
    described = {
        "name": "eth", "properties": {
            "primary": True, "deleteOption": "Delete",
            "ipConfigurations": [
                {"name": "one", "properties": {"subnet": {"id": world.subnet()}}}
            ],
        },
    }  # fmt: skip
    network = {"networkApiVersion": "2020-11-01", "networkInterfaceConfigurations": [described]}
    body = world.request("vm1", networkProfile=network, osProfile=None, storageProfile={
        "osDisk": attached(os_disk, osType="Linux"),
        "dataDisks": [attached(data, lun=7, caching="ReadOnly")],
    })  # fmt: skip
    body["tags"] = {"a": "b"}

    assert world.poll(world.put_vm("vm1", body))["status"] == "Succeeded"
    vm = world.get(f"{VM}?$expand=instanceView")
    assert vm["tags"] == {"a": "b"}
    assert "osProfile" not in vm["properties"]
    assert vm["properties"]["instanceView"]["hyperVGeneration"] == "V1"
    entry = vm["properties"]["storageProfile"]["dataDisks"][0]
    assert (entry["lun"], entry["name"], entry["caching"]) == (7, "data", "ReadOnly")
    interface = vm["properties"]["networkProfile"]["networkInterfaces"][0]
    assert interface["id"].startswith(f"{NETWORK}/networkInterfaces/eth-")
    assert "networkInterfaceConfigurations" not in vm["properties"]["networkProfile"]

    assert world.done("DELETE", VM)["status"] == "Succeeded"
    assert world.call("GET", interface["id"]).status == 404
    assert world.disk_state(os_disk.id) == "Unattached"
    assert world.call("DELETE", VM).status == 204


def test_what_it_does_not_understand_is_echoed(world: VmWorld) -> None:
    security = {"securityType": "TrustedLaunch", "uefiSettings": {"vTpmEnabled": True}}
    body = world.request("vm1", securityProfile=security, licenseType="None")
    body |= {"zones": ["1"], "identity": {"type": "SystemAssigned"}}
    vm = world.put_vm("vm1", body).body

    assert vm["zones"] == ["1"]
    assert vm["identity"]["principalId"]
    assert vm["properties"]["securityProfile"] == security
    assert vm["properties"]["licenseType"] == "None"


@pytest.mark.parametrize(
    ("change", "status", "code", "part"),
    [
        ({"hardwareProfile": {}}, 400, "InvalidParameter", "hardwareProfile.vmSize"),
        ({"hardwareProfile": {"vmSize": "Huge"}}, 400, "InvalidParameter", "VM size"),
        ({"networkProfile": {}}, 400, "InvalidParameter", "networkProfile"),
        (
            {"networkProfile": {"networkInterfaces": [{"id": f"{NETWORK}/networkInterfaces/nowhere"}]}},
            400, "InvalidResourceReference", "/networkInterfaces/nowhere",
        ),
        (
            {"networkProfile": {"networkInterfaceConfigurations": [{"name": "n"}]}},
            400, "InvalidParameter", "networkApiVersion",
        ),
        ({"osProfile": None}, 400, "InvalidParameter", "osProfile"),
        ({"osProfile": {"computerName": "a" * 65, "adminUsername": "x"}}, 400, "InvalidParameter",
         "64 characters"),
        ({"storageProfile": {}}, 400, "InvalidParameter", "storageProfile.osDisk"),
        ({"storageProfile": {"osDisk": {"createOption": "Odd"}}}, 400, "BadRequest", "Odd"),
        ({"storageProfile": {"osDisk": {"createOption": "FromImage"}}}, 400, "InvalidParameter",
         "imageReference"),
        ({"storageProfile": {"osDisk": {"createOption": "Attach"}}}, 400, "InvalidParameter",
         "managedDisk.id"),
        (
            {"storageProfile": {
                "osDisk": {"createOption": "Attach", "managedDisk": {"id": f"{COMPUTE}/disks/no"}}
            }},
            404, "NotFound", "Resource no is not found",
        ),
    ],
)  # fmt: skip
def test_a_bad_request_creates_nothing(
    world: VmWorld, change: dict[str, Any], status: int, code: str, part: str
) -> None:
    answer = world.put_vm("vm1", world.request("vm1", **change))

    assert (answer.status, answer.error) == (status, code)
    assert part in answer.message
    assert world.call("GET", VM).status == 404


@pytest.mark.parametrize("name", ["-vm", "a" * 65, "vm_ä", "vm.", "v m"])
def test_a_name_that_azure_refuses(world: VmWorld, name: str) -> None:
    with pytest.raises(ArmError, match="validation rule"):
        world.direct(name)


def test_a_windows_computer_name_has_15_characters(world: VmWorld) -> None:
    body = world.request("vm1", osProfile={"computerName": "a" * 16, "adminUsername": "x"})
    body["properties"]["storageProfile"]["imageReference"]["offer"] = "WindowsServer"

    assert "15 characters" in world.put_vm("vm1", body).message


def test_an_attached_os_disk_needs_its_type_and_takes_no_profile(world: VmWorld) -> None:
    disk = world.disk("os")
    body = world.request("vm1", storageProfile={"osDisk": attached(disk)})
    assert "osDisk.osType" in world.put_vm("vm1", body).message

    body["properties"]["storageProfile"]["osDisk"]["osType"] = "Linux"
    assert "'osProfile' is not allowed" in world.put_vm("vm1", body).message
    assert world.disk_state(disk.id) == "Unattached"


def _with_data(world: VmWorld, *entries: dict[str, Any]) -> Any:
    body = world.request("vm2")
    body["properties"]["storageProfile"]["dataDisks"] = list(entries)
    return world.put_vm("vm2", body)


def test_disks_that_cannot_be_attached(world: VmWorld) -> None:
    world.direct("vm1", luns=(0,))
    taken = world.state.resources.need(f"{COMPUTE}/disks/vm1_DataDisk_0")
    elsewhere = world.disk("far", location="eastus")
    zonal = world.disk("zonal", zones=["2"])
    free = world.disk("free")

    answer = _with_data(world, attached(taken, lun=0))
    assert (answer.status, answer.error) == (409, "ConflictingUserInput")
    assert "only one VM at a time" in answer.message
    assert _with_data(world, attached(elsewhere, lun=0)).status == 404
    assert "Disk zone: '2'" in _with_data(world, attached(zonal, lun=0)).message
    assert "same LUN: 3" in _with_data(
        world, attached(free, lun=3), {"lun": 3, "createOption": "Empty", "diskSizeGB": 1}
    ).message  # fmt: skip
    assert "out of range" in _with_data(world, attached(free, lun=64)).message
    assert "dataDisk.lun" in _with_data(world, attached(free)).message
    assert (
        "more than once" in _with_data(world, attached(free, lun=0), attached(free, lun=1)).message
    )
    assert _with_data(world, {"lun": 0, "createOption": "Empty"}).error == "InvalidParameter"
    empty = [{"lun": lun, "createOption": "Empty", "diskSizeGB": 1} for lun in range(5)]
    assert "of this size is 4" in _with_data(world, *empty).message


def test_a_disk_with_a_signature_cannot_be_attached(world: VmWorld) -> None:
    disk = world.disk("free")
    access = {"access": "Read", "durationInSeconds": 60}
    assert world.call("POST", f"{disk.id}/beginGetAccess", access).status == 202

    assert "ActiveSAS" in _with_data(world, attached(disk, lun=0)).message


def test_an_interface_belongs_to_one_machine(world: VmWorld) -> None:
    body = world.request("vm1")
    world.poll(world.put_vm("vm1", body))

    answer = world.put_vm("vm2", body)
    assert (answer.status, answer.error) == (400, "NicInUse")


# -- power


def test_power_states_and_the_states_of_the_disks(world: VmWorld) -> None:
    world.direct()
    data = f"{COMPUTE}/disks/vm1_DataDisk_0"
    assert world.disk_state(data) == "Attached"

    for action, state, disk_state in (
        ("deallocate", "deallocated", "Reserved"),
        ("powerOff", "deallocated", "Reserved"),
        ("start", "running", "Attached"),
        ("restart", "running", "Attached"),
        ("powerOff", "stopped", "Attached"),
    ):
        power(world, action)
        assert world.power_state("vm1") == f"PowerState/{state}"
        assert world.disk_state(data) == disk_state


def test_a_deallocated_machine_shows_neither_sizes_nor_skus(world: VmWorld) -> None:
    world.direct(running=False)
    storage = world.get(VM)["properties"]["storageProfile"]

    for disk in (storage["osDisk"], *storage["dataDisks"]):
        assert "diskSizeGB" not in disk
        assert set(disk["managedDisk"]) == {"id"}


def test_a_power_operation_answers_202_without_a_body(world: VmWorld) -> None:
    world.config.durations.vm_power = 30
    world.direct()
    answer = world.call("POST", f"{VM}/deallocate")

    assert (answer.status, answer.body) == (202, None)
    assert {"Azure-AsyncOperation", "Location", "Retry-After"} <= set(answer.headers)
    assert world.power_state("vm1") == "PowerState/deallocating"
    assert world.get(VM)["properties"]["provisioningState"] == "Updating"
    second = world.call("POST", f"{VM}/start")
    assert (second.status, second.error) == (409, "Conflict")
    world.clock.advance(30)
    assert world.call("GET", answer.headers["Location"]).status == 200
    assert world.power_state("vm1") == "PowerState/deallocated"


def test_restart_needs_a_running_machine(world: VmWorld) -> None:
    world.direct(running=False)
    answer = world.call("POST", f"{VM}/restart")

    assert (answer.status, answer.error) == (409, "OperationNotAllowed")


def test_a_failed_start_leaves_the_power_state(world: VmWorld) -> None:
    world.direct(running=False)
    world.state.operations.fail_next = ArmError(500, "AllocationFailed", "No room.")
    result = world.poll(world.call("POST", f"{VM}/start"))

    assert result["status"] == "Failed"
    assert result["error"]["code"] == "AllocationFailed"
    view = world.get(f"{VM}/instanceView")
    assert view["statuses"][0]["code"] == "ProvisioningState/failed/AllocationFailed"
    assert view["statuses"][1]["code"] == "PowerState/deallocated"
    assert world.get(VM)["properties"]["provisioningState"] == "Failed"
    power(world, "start")
    assert world.get(VM)["properties"]["provisioningState"] == "Succeeded"


@pytest.mark.parametrize(("agent", "running"), [(False, True), (True, False)])
def test_there_is_no_agent_where_none_runs(world: VmWorld, agent: bool, running: bool) -> None:
    world.direct(agent=agent, running=running)
    view = world.get(f"{VM}/instanceView")

    assert ("vmAgent" in view) == running  # it says nothing, and that is shown
    if running:
        assert view["vmAgent"]["vmAgentVersion"] == "Unknown"
        assert view["vmAgent"]["statuses"][0]["displayStatus"] == "Not Ready"


def test_the_agent_of_a_running_machine(world: VmWorld) -> None:
    world.direct()
    view = world.get(f"{VM}/instanceView")

    assert view["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"
    assert [disk["name"] for disk in view["disks"]] == [
        "vm1_OsDisk_1", "vm1_DataDisk_0", "vm1_DataDisk_1",
    ]  # fmt: skip


# -- lists


def test_lists_come_in_pages(world: VmWorld) -> None:
    world.machines.page_size = 2
    for name in ("a", "b", "c"):
        world.direct(name, luns=())
    first = world.get(f"{COMPUTE}/virtualMachines")
    second = world.get(first["nextLink"])

    assert [vm["name"] for vm in first["value"] + second["value"]] == ["a", "b", "c"]
    assert "nextLink" not in second
    everywhere = world.get(
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/virtualMachines"
    )
    assert "/resourceGroups/MYGROUP/" in everywhere["value"][0]["id"]


def test_sizes_are_listed(world: VmWorld) -> None:
    provider = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute"
    sizes = world.get(f"{provider}/locations/westus/vmSizes")["value"]
    skus = world.get(f"{provider}/skus?$filter=location eq 'westus'".replace(" ", "%20"))["value"]

    assert {"Standard_D2s_v5", "Standard_B1s"} <= {size["name"] for size in sizes}
    assert skus[0]["locations"] == ["westus"]


# -- without requests


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"luns": (0, 0)}, "same LUN"),
        ({"size": "Standard_B1s", "luns": (0, 1, 2)}, "at most 2"),
    ],
)
def test_a_machine_that_cannot_be_made_directly(
    world: VmWorld, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        world.direct(**more)


def test_a_second_machine_of_the_same_name_is_refused(world: VmWorld) -> None:
    world.direct()
    with pytest.raises(ValueError, match="already"):
        world.direct()


def test_direct_machines_share_a_network_but_no_address(world: VmWorld) -> None:
    for name in ("a", "b"):
        world.direct(name, luns=())
    addresses = {
        world.get(f"{NETWORK}/networkInterfaces/{name}-nic")["properties"]["ipConfigurations"][0][
            "properties"
        ]["privateIPAddress"]
        for name in ("a", "b")
    }

    assert addresses == {"10.0.0.4", "10.0.0.5"}
    assert nic_body("x")["location"] == "westus"


def test_every_image_has_one_version(world: VmWorld) -> None:
    offer = (
        f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westus/publishers"
        "/MicrosoftWindowsServer/artifacttypes/vmimage/offers/WindowsServer/skus/2022/versions"
    )
    (version,) = world.call("GET", offer).body

    image = world.get(f"{offer}/{version['name']}")
    assert image["properties"]["osDiskImage"]["operatingSystem"] == "Windows"
