"""Scenarios of disks and virtual machines that exist and are changed."""

from __future__ import annotations

from typing import Any

from entries import (
    DISK,
    GROUP,
    MONITOR,
    NETWORK,
    POLL,
    SUBSCRIPTION,
    VM,
    Entry,
    created,
)

_EMPTY = {"createOption": "Empty", "diskSizeGB": 1}
_IDENTITY = (
    f"{SUBSCRIPTION}/resourceGroups/group-1/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/identity-"
)


def linux_vm(
    os_disk: str, *data: dict[str, Any], number: int = 1, tags: dict[str, str] | None = None
) -> Entry:
    """A PUT of a machine with an OS disk that exists, and with these data disks."""
    nic = _in_group(NETWORK["networkInterfaces"][0]["id"], number).replace("nic-1", f"nic-{number}")
    body = {
        "location": "westus",
        "tags": tags or {},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_DS1_v2"},
            "storageProfile": {
                "osDisk": {
                    "osType": "Linux", "name": os_disk, "createOption": "FromImage",
                    "managedDisk": {"id": _in_group(f"{GROUP}/disks/{os_disk}", number)},
                },
                "dataDisks": list(data),
            },
            "networkProfile": {"networkInterfaces": [{"id": nic}]},
        },
    }  # fmt: skip
    return ("PUT", f"group-{number}:virtualMachines/vm-{number}", body)


def _disk_again(
    number: int, disk: str, size: int, location: str = "westus", **changed: Any
) -> Entry:
    """A PUT of a disk with what a GET shows of it, but for what is changed."""
    properties = {
        "hyperVGeneration": "V1", "creationData": {"createOption": "Empty"}, "diskSizeGB": size,
        "diskIOPSReadWrite": 120, "diskMBpsReadWrite": 25,
        "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
        "networkAccessPolicy": "AllowAll", "tier": "P1", "publicNetworkAccess": "Enabled",
    }  # fmt: skip
    sku = {"name": changed.pop("sku", "Premium_LRS")}
    tags = changed.pop("tags", {})
    body = {"location": location, "tags": tags, "sku": sku, "properties": {**properties, **changed}}
    return ("PUT", f"group-{number}:disks/{disk}", body)


def _in_group(path: str, number: int) -> str:
    return path.replace("group-1", f"group-{number}")


def _data_disk(
    lun: int, disk: str | None = None, *, number: int = 1, **more: Any
) -> dict[str, Any]:
    """An entry of a data disk, with its id where it exists."""
    entry = {"lun": lun, **more}
    if disk:
        entry["managedDisk"] = {"id": _in_group(f"{GROUP}/disks/{disk}", number)}
    return entry


def _identify(kind: str, **users: Any) -> Entry:
    """A PATCH of the machine's identity."""
    asked: dict[str, Any] = {"type": kind}
    if users:
        named = {f"{_IDENTITY}{name.removeprefix('id')}": value for name, value in users.items()}
        asked["userAssignedIdentities"] = named
    return ("PATCH", VM, {"identity": asked})


# The api-version of each scenario and its steps, in the order of their numbers.
CHANGES: dict[str, tuple[str, list[Entry]]] = {
    "disk_update_by_put": (
        "2022-07-02",
        [
            ("GET", DISK),
            _disk_again(1, "disk-1", 10, sku="Standard_LRS", tags={"a": "1"}),
            ("GET", DISK),
            _disk_again(2, "disk-2", 5, supportedCapabilities={"acceleratedNetwork": False}),
            ("GET", "group-2:disks/disk-2"),
            _disk_again(3, "disk-3", 20, supportedCapabilities={"architecture": "Arm64"}),
            _disk_again(4, "disk-2", 5, publicNetworkAccess="Disabled"),
            ("GET", "group-4:disks/disk-2"),
            _disk_again(
                5,
                "disk-4",
                10,
                "centraluseuap",
                networkAccessPolicy="AllowPrivate",
                diskAccessId=f"{GROUP}/diskAccesses/access-1",
            ),
            ("GET", "group-5:disks/disk-4"),
            (
                "PUT",
                "group-6:disks/disk-5",
                {
                    "location": "eastus2euap",
                    "tags": {},
                    "sku": {"name": "Premium_LRS"},
                    "properties": created(
                        "Empty",
                        diskSizeGB=10,
                        hyperVGeneration="V1",
                        dataAccessAuthMode="AzureActiveDirectory",
                    ),
                },
            ),
            ("GET", "group-6:disks/disk-5"),
        ],
    ),
    "vm_data_disk_attach_detach": (
        "2022-11-01",
        [
            ("GET", VM),
            linux_vm("disk-1", _data_disk(0, name="disk-2", **_EMPTY, caching="ReadOnly")),
            POLL,
            ("GET", VM),
            linux_vm(
                "disk-1",
                _data_disk(0, "disk-2", createOption="Empty"),
                _data_disk(2, name="disk-3", **_EMPTY),
            ),
            linux_vm("disk-1", _data_disk(2, "disk-3", createOption="Empty")),
            ("GET", VM),
            linux_vm(
                "disk-1",
                _data_disk(2, "disk-3", createOption="Empty"),
                _data_disk(0, "disk-2", createOption="Attach"),
            ),
            linux_vm("disk-1"),
            linux_vm("disk-1", _data_disk(0, "disk-2", createOption="Attach")),
            ("GET", VM),
            linux_vm(
                "disk-4",
                _data_disk(
                    2,
                    "disk-3",
                    number=2,
                    createOption="Empty",
                    toBeDetached=True,
                    detachOption="ForceDetach",
                ),
                number=2,
            ),
            POLL,
            ("GET", "group-2:virtualMachines/vm-2"),
        ],
    ),
    "vm_identity_patch": (
        "2022-11-01",
        [
            ("GET", VM),
            _identify("SystemAssigned, UserAssigned", id1={}),
            POLL,
            ("GET", VM),
            _identify("SystemAssigned, UserAssigned", id2=None),
            ("GET", VM),
            _identify("SystemAssigned"),
            ("GET", VM),
            _identify("None"),
            ("GET", VM),
        ],
    ),
    "vm_os_disk_swap": (
        "2022-11-01",
        [
            (
                "PUT",
                f"{DISK}?api-version=2022-07-02",
                {
                    "location": "westus",
                    "tags": {},
                    "sku": {"name": "Premium_LRS"},
                    "properties": created("Copy", f"{GROUP}/disks/disk-2", hyperVGeneration="V2"),
                },
            ),
            POLL,
            ("GET", f"{DISK}?api-version=2022-07-02"),
            ("POST", f"{VM}/powerOff?skipShutdown=false"),
            MONITOR,
            ("GET", VM),
            linux_vm("disk-1"),
            POLL,
            ("GET", VM),
        ],
    ),
    "vm_put_tags_only": (
        "2022-11-01",
        [("GET", VM), linux_vm("disk-1", tags={"owner": "me"}), ("GET", VM)],
    ),
}
