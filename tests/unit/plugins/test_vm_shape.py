"""A virtual machine and its disks as a result."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute.vm_shape import (
    shape_agent,
    shape_vm,
)

GROUP = "/subscriptions/s/resourceGroups/shop/providers"
KEYS = f"{GROUP}/Microsoft.Compute/diskEncryptionSets/keys"


def disk_id(name: str) -> str:
    return f"{GROUP}/Microsoft.Compute/disks/{name}"


def resource(name: str, sku: str = "Premium_LRS", **properties: Any) -> dict[str, Any]:
    return {
        "id": disk_id(name),
        "name": name,
        "sku": {"name": sku},
        "properties": {"diskSizeGB": 8, "diskSizeBytes": 8 << 30, **properties},
    }


def view(power: str | None, agent: dict[str, Any] | None = None) -> dict[str, Any]:
    statuses = [{"code": "ProvisioningState/succeeded"}]
    if power:
        statuses.append({"code": f"PowerState/{power}"})
    return {"statuses": statuses} | ({"vmAgent": agent} if agent is not None else {})


def agent(version: str, shown: str) -> dict[str, Any]:
    return {"vmAgentVersion": version, "statuses": [{"displayStatus": shown}]}


def full_vm() -> dict[str, Any]:
    storage = {
        "osDisk": {
            "osType": "Linux",
            "name": "os",
            "caching": "ReadWrite",
            "managedDisk": {"id": disk_id("os"), "storageAccountType": "Premium_LRS"},
        },
        "dataDisks": [
            {"lun": 7, "name": "seven", "caching": "None", "managedDisk": {"id": disk_id("SEVEN")}},
            {"lun": 0, "name": "zero", "diskSizeGB": 4, "managedDisk": {"id": disk_id("zero")}},
        ],
    }
    nic = f"{GROUP}/Microsoft.Network/networkInterfaces/web"
    return {
        "id": f"{GROUP}/Microsoft.Compute/virtualMachines/web",
        "name": "web",
        "location": "westeurope",
        "zones": ["1"],
        "tags": {"backup": "daily"},
        "identity": {"type": "SystemAssigned"},
        "properties": {
            "vmId": "guid",
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": storage,
            "networkProfile": {"networkInterfaces": [{"id": nic}]},
            "securityProfile": {"securityType": "TrustedLaunch"},
            "licenseType": "RHEL_BYOS",
            "provisioningState": "Succeeded",
            "instanceView": {**view("running", agent("2.1", "Ready")), "hyperVGeneration": "V2"},
        },
    }


def shaped(vm: dict[str, Any], *disks: dict[str, Any], **options: Any) -> dict[str, Any]:
    return shape_vm(vm, {disk["id"].lower(): disk for disk in disks}, **options)


def test_what_is_said_of_a_vm() -> None:
    result = shaped(full_vm(), resource("os"), resource("seven"), resource("zero"))
    disks = result.pop("os_disk"), *result.pop("data_disks")
    assert result == {
        "id": full_vm()["id"],
        "name": "web",
        "resource_group": "shop",
        "vm_id": "guid",
        "location": "westeurope",
        "zones": ["1"],
        "size": "Standard_D2s_v5",
        "power_state": "running",
        "provisioning_state": "Succeeded",
        "agent": {"status": "ready", "version": "2.1"},
        "os_type": "Linux",
        "hyper_v_generation": "V2",
        "security_type": "TrustedLaunch",
        "license_type": "RHEL_BYOS",
        "identity_type": "SystemAssigned",
        "tags": {"backup": "daily"},
        "network_interfaces": [f"{GROUP}/Microsoft.Network/networkInterfaces/web"],
        "protectable": True,
    }
    assert [disk["lun"] for disk in disks] == [None, 0, 7]
    assert [disk["name"] for disk in disks] == ["os", "zero", "seven"]
    assert all(disk["size_bytes"] == 8 << 30 for disk in disks), "found whatever an id's casing"


def test_what_is_said_of_a_disk() -> None:
    properties = {
        "encryption": {"type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": KEYS},
        "networkAccessPolicy": "DenyAll",
        "publicNetworkAccess": "Enabled",
        "dataAccessAuthMode": "None",
        "maxShares": 3,
        "diskState": "Attached",
        "creationData": {"logicalSectorSize": 4096},
    }
    disk = shaped(full_vm(), resource("zero", **properties))["data_disks"][0]
    assert [found["reason"] for found in disk.pop("findings")] == ["SharedDisk"]
    assert [found["reason"] for found in disk.pop("export_findings")] == [
        "SectorSizeNotSupported",
        "NetworkAccessDenied",
    ]
    assert disk == {
        "lun": 0,
        "name": "zero",
        "id": disk_id("zero"),
        "size_gb": 8,
        "size_bytes": 8 << 30,
        "sku": "Premium_LRS",
        "caching": None,
        "write_accelerator": False,
        "encryption": {"type": "EncryptionAtRestWithCustomerKey", "disk_encryption_set_id": KEYS},
        "network_access_policy": "DenyAll",
        "public_network_access": "Enabled",
        "data_access_auth_mode": "None",
        "max_shares": 3,
        "sector_size": 4096,
        "disk_state": "Attached",
        "protectable": False,
        "exportable": False,
    }


def test_without_disk_resources_the_vm_says_what_it_knows() -> None:
    result = shaped(full_vm())
    assert result["os_disk"]["sku"] == "Premium_LRS"
    assert result["data_disks"][0]["size_gb"] == 4
    assert result["data_disks"][0]["encryption"]["type"] is None
    assert result["protectable"]


def test_a_key_is_there_whatever_azure_leaves_out() -> None:
    bare = {"id": full_vm()["id"], "name": "web", "properties": {}}
    whole, empty = shaped(full_vm()), shaped(bare)
    assert whole.keys() == empty.keys()
    assert whole["os_disk"].keys() == empty["os_disk"].keys()
    assert empty["zones"] == empty["data_disks"] == empty["network_interfaces"] == []
    assert empty["tags"] == {}
    assert empty["power_state"] is None
    assert empty["agent"] == {"status": None, "version": None}


def test_one_disk_that_cannot_be_protected_is_one_too_many() -> None:
    result = shaped(full_vm(), resource("seven", maxShares=2))
    assert [disk["protectable"] for disk in result["data_disks"]] == [True, False]
    assert not result["protectable"]


def test_the_mode_decides_the_findings() -> None:
    ultra = resource("zero", "UltraSSD_LRS")
    assert shaped(full_vm(), ultra)["protectable"]
    assert not shaped(full_vm(), ultra, consistency_mode="crash")["protectable"]
    assert shaped(full_vm(), ultra)["data_disks"][0]["sector_size"] == 4096


def test_an_unmanaged_disk_has_no_id() -> None:
    vm = full_vm()
    vm["properties"]["storageProfile"]["osDisk"] = {"name": "os", "vhd": {"uri": "https://a/b"}}
    os_disk = shaped(vm)["os_disk"]
    assert os_disk["id"] is None
    assert [found["reason"] for found in os_disk["findings"]] == ["UnmanagedDisk"]


def test_the_generation_is_the_os_disks_where_the_view_says_none() -> None:
    vm = full_vm()
    del vm["properties"]["instanceView"]
    assert shaped(vm, resource("os", hyperVGeneration="V1"))["hyper_v_generation"] == "V1"


@pytest.mark.parametrize(
    ("seen", "status", "version"),
    [
        (view("running", agent("2.1", "Ready")), "ready", "2.1"),
        (view("running", agent("2.1", "Not Ready")), "not_ready", "2.1"),
        (view("running", agent("Unknown", "Not Ready")), "not_reporting", None),
        (view("running", {}), "not_reporting", None),
        (view("running"), "not_reporting", None),
        (view("starting"), "not_reporting", None),
        (view("deallocated"), "not_running", None),
        (view("stopped"), "not_running", None),
        (view("deallocated", agent("2.1", "Ready")), "not_running", "2.1"),
        (view(None, agent("2.1", "Ready")), "ready", "2.1"),
        (None, None, None),
    ],
)
def test_the_agent(seen, status, version) -> None:
    properties = {} if seen is None else {"instanceView": seen}
    assert shape_agent({"properties": properties}) == {"status": status, "version": version}
