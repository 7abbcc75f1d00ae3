"""What a machine may become: its security type, its size, its power state, the size of its disks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compute_world import COMPUTE, Answer
from vm_world import VmWorld, attached, vm_path

VM = vm_path("vm1")
TRUSTED = {"securityType": "TrustedLaunch", "uefiSettings": {"vTpmEnabled": True}}
STANDARD = {"securityType": "Standard"}
STANDARD_SINCE = "2025-11-01"
UPLOAD_SIZE = (32 << 20) + 512


@pytest.fixture
def world(tmp_path: Path) -> VmWorld:
    return VmWorld(tmp_path)


def patch(world: VmWorld, api: str = "2024-11-01", **properties: Any) -> Answer:
    return world.call("PATCH", VM, {"properties": properties}, api)


def os_disk(world: VmWorld) -> dict[str, Any]:
    return world.get(f"{COMPUTE}/disks/vm1_OsDisk_1")["properties"]


def put_on(world: VmWorld, disk: Any, security: Any = None, **entry: Any) -> Answer:
    """A new machine with a disk as its OS disk."""
    storage = {"osDisk": attached(disk, osType="Linux", **entry)}
    body = world.request("vm1", storageProfile=storage, osProfile=None)
    if security:
        body["properties"]["securityProfile"] = security
    return world.put_vm("vm1", body)


# -- security type


def test_trusted_launch_is_switched_on_with_its_disk(world: VmWorld) -> None:
    world.direct()
    world.done("POST", f"{VM}/deallocate")
    assert patch(world, securityProfile=TRUSTED).status == 200

    assert world.get(VM)["properties"]["securityProfile"] == TRUSTED
    assert os_disk(world)["securityProfile"] == {"securityType": "TrustedLaunch"}


def test_trusted_launch_is_not_switched_off_nor_on_for_generation_1(world: VmWorld) -> None:
    world.direct(security_type="TrustedLaunch")
    world.direct("old", hyper_v_generation="V1")
    for name, profile in (("vm1", STANDARD), ("old", TRUSTED)):
        world.done("POST", f"{vm_path(name)}/deallocate")
        body = {"properties": {"securityProfile": {"uefiSettings": None, **profile}}}
        answer = world.call("PATCH", vm_path(name), body, STANDARD_SINCE)
        assert answer.error == "PropertyChangeNotAllowed"


def test_a_trusted_disk_fits_a_trusted_machine(world: VmWorld) -> None:
    disk = world.disk("os", os_type="Linux", security_profile={"securityType": "TrustedLaunch"})
    assert put_on(world, disk, TRUSTED).status == 201


@pytest.mark.parametrize("security", [None, TRUSTED])
def test_a_disk_that_supports_it_fits_both(world: VmWorld, security: Any) -> None:
    held = {"architecture": "x64", "supportedSecurityOption": "TrustedLaunchSupported"}
    disk = world.disk("os", os_type="Linux", extra={"supportedCapabilities": held})
    assert put_on(world, disk, security).status == 201


def test_a_trusted_machine_takes_a_trusted_disk_in_exchange(world: VmWorld) -> None:
    world.direct(security_type="TrustedLaunch")
    world.done("POST", f"{VM}/deallocate")
    new = world.disk("new", os_type="Linux", security_profile={"securityType": "TrustedLaunch"})
    entry = {"osDisk": {"managedDisk": {"id": new.id}}}

    assert patch(world, storageProfile=entry).status == 200
    assert world.get(new.id)["managedBy"] == VM


def test_a_trusted_machine_from_an_image_has_a_trusted_disk(world: VmWorld) -> None:
    assert world.put_vm("vm1", world.request("vm1", securityProfile=TRUSTED)).status == 201
    entry = world.get(VM)["properties"]["storageProfile"]["osDisk"]
    disk = world.get(entry["managedDisk"]["id"])
    assert disk["properties"]["securityProfile"] == {"securityType": "TrustedLaunch"}


def test_standard_is_shown_from_its_version_on(world: VmWorld) -> None:
    body = world.request("vm1", securityProfile=STANDARD)
    assert world.call("PUT", VM, body, STANDARD_SINCE).status == 201

    shown = [
        world.call("GET", VM, api=api).body["properties"]["securityProfile"]
        for api in ("2025-04-01", STANDARD_SINCE)
    ]
    assert shown == [{}, STANDARD]


# -- sizes


@pytest.mark.parametrize("kind", ["osDisk", "dataDisks"])
def test_a_disk_grows_when_it_is_attached(world: VmWorld, kind: str) -> None:
    world.direct()
    disk = world.disk("more", os_type="Linux" if kind == "osDisk" else None)
    if kind == "osDisk":
        world.done("DELETE", VM)
        assert put_on(world, disk, diskSizeGB=3).status == 201
        world.get(VM)
    else:
        entries = [attached(disk, lun=9, diskSizeGB=3)]
        assert patch(world, storageProfile={"dataDisks": entries}).status == 200
    storage = world.get(VM)["properties"]["storageProfile"]
    entry = storage["osDisk"] if kind == "osDisk" else storage["dataDisks"][0]

    assert entry["diskSizeGB"] == 3
    assert world.get(disk.id)["properties"]["diskSizeGB"] == 3
    assert world.image(disk.id).size == 3 << 30


def test_a_data_disk_grows_while_its_machine_runs(world: VmWorld) -> None:
    world.direct()
    target = f"{COMPUTE}/disks/vm1_DataDisk_0"
    world.done("PATCH", target, {"properties": {"diskSizeGB": 2}})
    assert world.get(target)["properties"]["diskSizeGB"] == 2


def test_a_deallocated_machine_lets_its_disks_change(world: VmWorld) -> None:
    world.direct()
    world.done("POST", f"{VM}/deallocate")
    change = {"sku": {"name": "StandardSSD_LRS"}, "properties": {"diskSizeGB": 2}}
    world.done("PATCH", f"{COMPUTE}/disks/vm1_OsDisk_1", change)
    assert os_disk(world)["diskSizeGB"] == 2


def test_cores_are_counted_for_each_region(world: VmWorld) -> None:
    world.config.limits.cores = 10
    world.direct("far", location="eastus")
    world.direct("near")  # eight cores
    world.done("POST", f"{vm_path('near')}/deallocate")
    assert world.put_vm("vm1", world.request("vm1")).status == 201  # two

    assert "Current Usage: 10, Additional Required: 6" in patch_size(world, 8).message
    assert patch_size(world, 2).status == 200
    assert world.put_vm("vm2", world.request("vm2")).error == "OperationNotAllowed"


def patch_size(world: VmWorld, cores: int) -> Answer:
    return patch(world, hardwareProfile={"vmSize": f"Standard_D{cores}s_v5"})


# -- power


def test_low_and_spot_are_one(world: VmWorld) -> None:
    body = world.request("vm1", priority="Low", billingProfile={"maxPrice": 0.5})
    assert world.put_vm("vm1", body).status == 201
    world.get(VM)
    assert patch(world, priority="Spot").status == 200
    refusal = patch(world, billingProfile={"maxPrice": 1}).body["error"]
    assert refusal["details"][0]["target"] == "vm1"
    assert "when the VM 'vm1' is currently allocated" in refusal["details"][0]["message"]
    world.done("POST", f"{VM}/deallocate")
    assert patch(world, billingProfile={"maxPrice": 1}).status == 200


def test_a_placement_changes_while_the_machine_is_off(world: VmWorld) -> None:
    world.direct()
    world.done("POST", f"{VM}/powerOff")
    near = {"id": f"{COMPUTE}/proximityPlacementGroups/near"}
    assert patch(world, proximityPlacementGroup=near).status == 200


@pytest.mark.parametrize(
    ("first", "state"), [("powerOff", "stopped"), ("deallocate", "deallocated")]
)
def test_a_machine_that_is_off_stays_off_when_moved(world: VmWorld, first: str, state: str) -> None:
    world.direct()
    world.done("POST", f"{VM}/{first}")
    world.done("POST", f"{VM}/redeploy")
    assert world.power_state("vm1") == f"PowerState/{state}"


def test_a_generalized_machine_only_goes(world: VmWorld) -> None:
    world.direct()
    world.done("POST", f"{VM}/powerOff")
    assert world.call("POST", f"{VM}/generalize").status == 200
    for action in ("start", "restart", "redeploy"):
        assert "is generalized" in world.call("POST", f"{VM}/{action}").message
    assert world.power_state("vm1") == "PowerState/stopped"
    world.done("POST", f"{VM}/deallocate")
    world.done("DELETE", VM)


# -- uploads


@pytest.mark.parametrize(("told", "kept"), [({}, 4096), ({"logicalSectorSize": 512}, 512)])
def test_the_sectors_of_an_upload(world: VmWorld, told: dict[str, int], kept: int) -> None:
    creation = {"createOption": "Upload", "uploadSizeBytes": UPLOAD_SIZE, **told}
    body = {"location": "westus", "sku": {"name": "PremiumV2_LRS"},
            "properties": {"creationData": creation}}  # fmt: skip
    target = f"{COMPUTE}/disks/up"
    world.done("PUT", target, body)
    assert world.get(target)["properties"]["creationData"]["logicalSectorSize"] == kept
    ask = {"access": "Write", "durationInSeconds": 600, "fileFormat": "VHDX"}
    world.done("POST", f"{target}/beginGetAccess", ask)
    error = world.poll(world.call("POST", f"{target}/endGetAccess"))["error"]

    assert error["code"] == "InvalidVhd"
    assert ("logical sectors of 4096 bytes" in error["message"]) == (kept == 4096)
