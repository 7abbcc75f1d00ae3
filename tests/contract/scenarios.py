"""Scenarios of the project's own: every step of the table of expected shapes, with our requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from player import DISK_RESTORE_POINT, Step
from shapes import Shape

# A request is (method, path, body or nothing); the other two ask for the operation started last.
POLL = ("poll",)
MONITOR = ("monitor",)
Entry = tuple[Any, ...]

_SUBSCRIPTION = "/subscriptions/@"
_GROUP = f"{_SUBSCRIPTION}/resourceGroups/group-1/providers/Microsoft.Compute"
_COLLECTION = "restorePointCollections/collection-1"
_POINT = f"{_COLLECTION}/restorePoints/point-1"
_VM = "virtualMachines/vm-1"
_EXTENSION = f"{_VM}/extensions/extension-1"
_DISK = "disks/disk-1"
_SNAPSHOT = "snapshots/snapshot-1"


def _id(path: str) -> dict[str, str]:
    return {"id": f"{_GROUP}/{path}"}


def _collection(location: str, source: str, **more: Any) -> dict[str, Any]:
    return {"location": location, "properties": {"source": _id(source)}, **more}


def _created(option: str, source: str | None = None, **more: Any) -> dict[str, Any]:
    """The properties of a disk or a snapshot."""
    creation = {"createOption": option}
    if source:
        creation["sourceResourceId"] = source
    return {"creationData": creation, **more}


def _access(path: str) -> Entry:
    return ("POST", f"{path}/beginGetAccess", {"access": "Read", "durationInSeconds": 600})


def _power(action: str) -> list[Entry]:
    return [("POST", f"{_VM}/{action}"), POLL, MONITOR]


def _copy_of_point(target: str) -> Entry:
    body = {"properties": {"sourceRestorePoint": _id(_POINT)}}
    return ("PUT", f"restorePointCollections/{target}/restorePoints/point-2", body)


_NETWORK = {
    "networkInterfaces": [
        {
            "id": f"{_GROUP}/networkInterfaces/nic-1".replace("Compute", "Network"),
            "properties": {"primary": True},
        }
    ]
}
_WINDOWS_VM = {
    "location": "eastus",
    "properties": {
        "hardwareProfile": {"vmSize": "Standard_D2_v2"},
        "storageProfile": {
            "imageReference": {
                "publisher": "MicrosoftWindowsServer", "offer": "WindowsServer",
                "sku": "any", "version": "latest",
            },
            "osDisk": {
                "name": "os-1", "createOption": "FromImage", "caching": "ReadWrite",
                "managedDisk": {"storageAccountType": "Standard_LRS"},
            },
            "dataDisks": [
                {"lun": lun, "createOption": "Empty", "diskSizeGB": 8} for lun in (0, 1)
            ],
        },
        "osProfile": {
            "computerName": "one", "adminUsername": "me", "adminPassword": "Not-a-secret-1",
            "windowsConfiguration": {"enableAutomaticUpdates": True},
        },
        "networkProfile": _NETWORK,
    },
}  # fmt: skip
_EXTENSION_BODY = {
    "location": "eastus",
    "properties": {"publisher": "A", "type": "B", "typeHandlerVersion": "1.0"},
}
_SAME_VM = {"properties": {"networkProfile": _NETWORK}}
_EXPAND_POINTS = "?$expand=restorePoints"

_EMPTY = {"createOption": "Empty", "diskSizeGB": 1}
_IDENTITY = (
    f"{_SUBSCRIPTION}/resourceGroups/group-1/providers/Microsoft.ManagedIdentity"
    "/userAssignedIdentities/identity-"
)


def _linux_vm(
    os_disk: str, *data: dict[str, Any], number: int = 1, tags: dict[str, str] | None = None
) -> Entry:
    """A PUT of a machine with an OS disk that exists, and with these data disks."""
    nic = _in_group(_NETWORK["networkInterfaces"][0]["id"], number).replace(
        "nic-1", f"nic-{number}"
    )
    body = {
        "location": "westus",
        "tags": tags or {},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_DS1_v2"},
            "storageProfile": {
                "osDisk": {
                    "osType": "Linux", "name": os_disk, "createOption": "FromImage",
                    "managedDisk": {"id": _in_group(f"{_GROUP}/disks/{os_disk}", number)},
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
        entry["managedDisk"] = {"id": _in_group(f"{_GROUP}/disks/{disk}", number)}
    return entry


def _identify(kind: str, **users: Any) -> Entry:
    """A PATCH of the machine's identity."""
    asked: dict[str, Any] = {"type": kind}
    if users:
        named = {f"{_IDENTITY}{name.removeprefix('id')}": value for name, value in users.items()}
        asked["userAssignedIdentities"] = named
    return ("PATCH", _VM, {"identity": asked})


# The api-version of each scenario and its steps, in the order of their numbers.
SCENARIOS: dict[str, tuple[str, list[Entry]]] = {
    "disk_from_disk_restore_point": (
        "2023-04-02",
        [
            ("GET", f"{_POINT}?api-version=2024-11-01"),
            (
                "PUT",
                _DISK,
                {
                    "location": "westus",
                    "sku": {"name": "Premium_LRS"},
                    "tags": {},
                    "properties": _created("Restore", DISK_RESTORE_POINT, diskSizeGB=3),
                },
            ),
            POLL,
            POLL,
            ("GET", _DISK),
        ],
    ),
    "disk_update_by_put": (
        "2022-07-02",
        [
            ("GET", _DISK),
            _disk_again(1, "disk-1", 10, sku="Standard_LRS", tags={"a": "1"}),
            ("GET", _DISK),
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
                diskAccessId=f"{_GROUP}/diskAccesses/access-1",
            ),
            ("GET", "group-5:disks/disk-4"),
            (
                "PUT",
                "group-6:disks/disk-5",
                {
                    "location": "eastus2euap",
                    "tags": {},
                    "sku": {"name": "Premium_LRS"},
                    "properties": _created(
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
    "restore_point_collection_delete": ("2022-11-01", [("DELETE", _COLLECTION), POLL]),
    "restore_point_create": (
        "2023-09-01",
        [
            ("PUT", _COLLECTION, _collection("eastus2euap", _VM)),
            ("PUT", _POINT, {"properties": {"consistencyMode": "CrashConsistent"}}),
            POLL,
            POLL,
            ("GET", _POINT),
            ("GET", f"{_COLLECTION}{_EXPAND_POINTS}"),
            ("DELETE", _POINT),
            POLL,
            POLL,
        ],
    ),
    "restore_point_cross_region_copy": (
        "2023-07-01",
        [
            ("PUT", _COLLECTION, _collection("westus", _VM)),
            ("PUT", "restorePointCollections/collection-2", _collection("eastus", _COLLECTION)),
            ("PUT", _POINT, {}),
            POLL,
            POLL,
            ("GET", _POINT),
            _copy_of_point("collection-2"),
            POLL,
            POLL,
            ("GET", "restorePointCollections/collection-2/restorePoints/point-2"),
        ],
    ),
    "restore_point_exclude_disks_instance_view_404": (
        "2021-11-01",
        [
            ("PUT", _COLLECTION, _collection("centraluseuap", _VM, tags={"a": "1"})),
            (
                "PUT",
                "restorePointCollections/collection-2",
                _collection("centraluseuap", _VM, tags={"a": "1"}),
            ),
            (
                "PUT",
                "restorePointCollections/collection-3",
                _collection("eastus2euap", _COLLECTION, tags={"a": "1"}),
            ),
            ("PATCH", _COLLECTION, {"tags": {"b": "2"}}),
            ("GET", "restorePointCollections"),
            ("GET", "subscription:restorePointCollections"),
            ("PUT", _POINT, {"properties": {"excludeDisks": [_id(_DISK)]}}),
            POLL,
            POLL,
            ("GET", _POINT),
            ("GET", _COLLECTION),
            ("GET", f"{_COLLECTION}{_EXPAND_POINTS}"),
            _copy_of_point("collection-3"),
            POLL,
            ("GET", "restorePointCollections/collection-3/restorePoints/point-2"),
            (
                "GET",
                "restorePointCollections/collection-3/restorePoints/point-2?$expand=instanceView",
            ),
            ("DELETE", _POINT),
            POLL,
            MONITOR,
            ("DELETE", "restorePointCollections/collection-3/restorePoints/point-2"),
            POLL,
            ("GET", _POINT),
            ("DELETE", _COLLECTION),
            POLL,
            ("GET", _COLLECTION),
        ],
    ),
    "sdk_disks_and_grant_access": (
        "2019-03-01",
        [
            ("PUT", _DISK, {"location": "eastus", "properties": _created("Empty", diskSizeGB=4)}),
            POLL,
            ("GET", _DISK),
            ("GET", _DISK),
            ("PATCH", _DISK, {"properties": {"diskSizeGB": 4}}),
            POLL,
            POLL,
            ("GET", _DISK),
            _access(_DISK),
            POLL,
            MONITOR,
            ("POST", f"{_DISK}/endGetAccess"),
            POLL,
            MONITOR,
            ("DELETE", _DISK),
            POLL,
            POLL,
        ],
    ),
    "sdk_snapshots": (
        "2022-07-02",
        [
            ("PUT", _DISK, {"location": "eastus", "properties": _created("Empty", diskSizeGB=4)}),
            POLL,
            POLL,
            ("GET", _DISK),
            (
                "PUT",
                _SNAPSHOT,
                {
                    "location": "eastus",
                    "properties": {
                        "creationData": {"createOption": "Copy", "sourceUri": f"{_GROUP}/{_DISK}"}
                    },
                },
            ),
            POLL,
            POLL,
            ("GET", _SNAPSHOT),
            POLL,
            POLL,
            ("GET", _SNAPSHOT),
            POLL,
            POLL,
            ("PATCH", _SNAPSHOT, {}),
            POLL,
            ("GET", _SNAPSHOT),
            _access(_SNAPSHOT),
            POLL,
            MONITOR,
            ("POST", f"{_SNAPSHOT}/endGetAccess"),
            POLL,
            MONITOR,
            POLL,
            POLL,
            ("DELETE", _SNAPSHOT),
            POLL,
            POLL,
        ],
    ),
    "sdk_virtual_machine_and_extension": (
        "2022-11-01",
        [
            ("PUT", _VM, _WINDOWS_VM),
            POLL,
            POLL,
            ("GET", _VM),
            ("PUT", _EXTENSION, _EXTENSION_BODY),
            POLL,
            POLL,
            ("GET", _EXTENSION),
            ("GET", f"{_VM}/instanceView"),
            ("GET", _EXTENSION),
            ("GET", "subscription:locations/eastus/runCommands/RunPowerShellScript"),
            ("GET", f"{_VM}/extensions"),
            ("GET", _VM),
            ("POST", f"{_VM}/runCommand", {"commandId": "RunPowerShellScript"}),
            POLL,
            MONITOR,
            *_power("restart"),
            *_power("powerOff?skipShutdown=false"),
            *_power("start"),
            ("PATCH", _EXTENSION, {"properties": {"autoUpgradeMinorVersion": True}}),
            POLL,
            POLL,
            ("GET", _EXTENSION),
            ("DELETE", _EXTENSION),
            POLL,
            POLL,
            *_power("powerOff?skipShutdown=false"),
            *_power("reapply"),
            *_power("redeploy"),
            ("PATCH", _VM, _SAME_VM),
            ("GET", _VM),
            ("POST", f"{_VM}/generalize"),
            *_power("deallocate"),
            ("DELETE", _VM),
            POLL,
            POLL,
        ],
    ),
    "snapshot_copy_start": (
        "2023-04-02",
        [
            ("GET", _SNAPSHOT),
            (
                "PUT",
                "group-2:snapshots/snapshot-2",
                {
                    "location": "eastus",
                    "sku": {"name": "Standard_LRS"},
                    "tags": {},
                    "properties": _created("CopyStart", f"{_GROUP}/{_SNAPSHOT}", incremental=True),
                },
            ),
            POLL,
            POLL,
            ("GET", "group-2:snapshots/snapshot-2"),
            ("GET", "group-2:snapshots/snapshot-2?api-version=2022-03-02"),
        ],
    ),
    "snapshot_errors_404": (
        "2023-10-02",
        [
            ("GET", _SNAPSHOT),
            (
                "PUT",
                "snapshots/snapshot-2",
                {"location": "eastus", "properties": _created("Copy", f"{_GROUP}/{_DISK}")},
            ),
        ],
    ),
    "snapshot_grant_revoke_access": (
        "2022-03-02",
        [
            POLL,
            ("GET", _SNAPSHOT),
            _access(_SNAPSHOT),
            POLL,
            MONITOR,
            ("GET", _SNAPSHOT),
            ("PATCH", _SNAPSHOT, {"tags": {"a": "1"}}),
            POLL,
            ("GET", _SNAPSHOT),
            ("POST", f"{_SNAPSHOT}/endGetAccess"),
            POLL,
            MONITOR,
            ("GET", _SNAPSHOT),
        ],
    ),
    "swagger_examples_disk_restore_point": (
        "2023-04-02",
        [
            ("GET", DISK_RESTORE_POINT),
            _access(DISK_RESTORE_POINT),
            MONITOR,
        ],
    ),
    "vm_data_disk_attach_detach": (
        "2022-11-01",
        [
            ("GET", _VM),
            _linux_vm("disk-1", _data_disk(0, name="disk-2", **_EMPTY, caching="ReadOnly")),
            POLL,
            ("GET", _VM),
            _linux_vm(
                "disk-1",
                _data_disk(0, "disk-2", createOption="Empty"),
                _data_disk(2, name="disk-3", **_EMPTY),
            ),
            _linux_vm("disk-1", _data_disk(2, "disk-3", createOption="Empty")),
            ("GET", _VM),
            _linux_vm(
                "disk-1",
                _data_disk(2, "disk-3", createOption="Empty"),
                _data_disk(0, "disk-2", createOption="Attach"),
            ),
            _linux_vm("disk-1"),
            _linux_vm("disk-1", _data_disk(0, "disk-2", createOption="Attach")),
            ("GET", _VM),
            _linux_vm(
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
            ("GET", _VM),
            _identify("SystemAssigned, UserAssigned", id1={}),
            POLL,
            ("GET", _VM),
            _identify("SystemAssigned, UserAssigned", id2=None),
            ("GET", _VM),
            _identify("SystemAssigned"),
            ("GET", _VM),
            _identify("None"),
            ("GET", _VM),
        ],
    ),
    "vm_os_disk_swap": (
        "2022-11-01",
        [
            (
                "PUT",
                f"{_DISK}?api-version=2022-07-02",
                {
                    "location": "westus",
                    "tags": {},
                    "sku": {"name": "Premium_LRS"},
                    "properties": _created("Copy", f"{_GROUP}/disks/disk-2", hyperVGeneration="V2"),
                },
            ),
            POLL,
            ("GET", f"{_DISK}?api-version=2022-07-02"),
            ("POST", f"{_VM}/powerOff?skipShutdown=false"),
            MONITOR,
            ("GET", _VM),
            _linux_vm("disk-1"),
            POLL,
            ("GET", _VM),
        ],
    ),
    "vm_put_tags_only": (
        "2022-11-01",
        [("GET", _VM), _linux_vm("disk-1", tags={"owner": "me"}), ("GET", _VM)],
    ),
}


def _absolute(path: str, version: str) -> str:
    scope, colon, rest = path.partition(":")
    if path.startswith("@"):
        full = path
    elif colon and scope == "subscription":
        full = f"{_SUBSCRIPTION}/providers/Microsoft.Compute/{rest}"
    elif colon:
        full = f"{_GROUP.replace('group-1', scope)}/{rest}"
    else:
        full = f"{_GROUP}/{path}"
    if "api-version=" in full:
        return full
    return f"{full}{'&' if '?' in full else '?'}api-version={version}"


def steps(scenario: str, expected: Mapping[int, Shape], subscription: str) -> list[Step]:
    """The steps of a scenario; ``expected`` are their shapes by number.

    Raises:
        ValueError: when the table and the scenario do not have the same steps.
    """
    version, entries = SCENARIOS[scenario]
    if sorted(expected) != list(range(len(entries))):
        raise ValueError(f"{scenario} has {len(entries)} steps, the table {len(expected)}.")
    text = "/subscriptions/"
    found = []
    for number, entry in enumerate(entries):
        if entry in (POLL, MONITOR):
            found.append(Step(number, expected[number], entry[0]))
            continue
        method, path = (
            entry[0],
            _absolute(entry[1], version).replace(f"{text}@", text + subscription),
        )
        body = None
        if len(entry) > 2:
            body = json.loads(json.dumps(entry[2]).replace(f"{text}@", text + subscription))
        found.append(Step(number, expected[number], "request", method, path, body))
    return found
