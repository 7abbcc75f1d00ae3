"""Scenarios of new kinds of disks, uploads, extensions, user data, and of reads of what is there."""

from __future__ import annotations

from typing import Any

from changes import linux_vm
from entries import DISK, GROUP, MONITOR, POLL, VM, Entry, created

_DISKS = "2022-07-02"
_SNAPSHOTS = "2022-03-02"
_UPLOAD_BYTES = (32 << 30) + 512
_EXTENSION = f"{VM}/extensions/extension-1"
_VIEW = "?$expand=instanceView"


def _put(path: str, location: str, sku: str, zones: list[str] | None = None, **more: Any) -> Entry:
    """A PUT of a disk or snapshot with these properties."""
    version = _SNAPSHOTS if "snapshots/" in path else _DISKS
    body = {"location": location, "tags": {}, "sku": {"name": sku}, "properties": more}
    if zones:
        body["zones"] = zones
    return ("PUT", f"{path}?api-version={version}", body)


def _get(path: str) -> Entry:
    version = _SNAPSHOTS if "snapshots/" in path else _DISKS
    return ("GET", f"{path}?api-version={version}")


def _copied(group: int, disk: str) -> dict[str, Any]:
    return created("Copy", f"{GROUP.replace('group-1', f'group-{group}')}/disks/{disk}")


def _grant(disk: str, **more: Any) -> Entry:
    body = {"access": "Write", "durationInSeconds": 86400, **more}
    return ("POST", f"disks/{disk}/beginGetAccess?api-version={_DISKS}", body)


def _upload(disk: str, option: str, **more: Any) -> Entry:
    creation = {"createOption": option, "uploadSizeBytes": _UPLOAD_BYTES}
    known = {"osType": "Windows", "hyperVGeneration": "V2"}
    return _put(
        f"disks/{disk}", "southcentralus", "Standard_LRS", **known, creationData=creation, **more
    )


def _with_user_data(data: str) -> Entry:
    method, path, body = linux_vm("disk-1")
    body["properties"]["userData"] = data
    return (method, path, body)


_RATE = {"diskIOPSReadWrite": 510, "diskMBpsReadWrite": 10}
_V1 = {"hyperVGeneration": "V1"}
_EXTENSION_BODY = {
    "location": "westus",
    "properties": {"publisher": "A", "type": "B", "typeHandlerVersion": "1.0"},
}

# The api-version of each scenario and its steps, in the order of their numbers.
LIFECYCLES: dict[str, tuple[str, list[Entry]]] = {
    "disk_ultra_zrs_zones_sectors": (
        _DISKS,
        [
            _put(
                DISK,
                "eastus2",
                "UltraSSD_LRS",
                ["2"],
                **_V1,
                **created("Empty", diskSizeGB=4),
                diskIOPSReadWrite=500,
                diskMBpsReadWrite=8,
            ),
            _get(DISK),
            _put(
                DISK,
                "eastus2",
                "UltraSSD_LRS",
                ["2"],
                **_V1,
                **_RATE,
                diskIOPSReadOnly=100,
                diskMBpsReadOnly=13,
                maxShares=1,
                encryption={"type": "EncryptionAtRestWithPlatformKey"},
                networkAccessPolicy="AllowAll",
                publicNetworkAccess="Enabled",
                diskSizeGB=4,
                creationData={"createOption": "Empty", "logicalSectorSize": 4096},
            ),
            _get(DISK),
            _put(
                "group-2:snapshots/snapshot-1",
                "eastus2euap",
                "Standard_LRS",
                **_V1,
                **_copied(2, "disk-2"),
                incremental=True,
            ),
            POLL,
            _get("group-2:snapshots/snapshot-1"),
            _put(
                "group-3:disks/disk-1",
                "westus",
                "UltraSSD_LRS",
                **_V1,
                diskSizeGB=10,
                creationData={"createOption": "Empty", "logicalSectorSize": 4096},
            ),
            _get("group-3:disks/disk-1"),
            _put(
                "group-4:snapshots/snapshot-2",
                "eastus2",
                "Standard_ZRS",
                **_V1,
                **_copied(4, "disk-1"),
            ),
            POLL,
            _get("group-4:snapshots/snapshot-2"),
            _put(
                "group-5:disks/disk-3",
                "eastus2",
                "Premium_LRS",
                ["2"],
                **_V1,
                **created("Empty", diskSizeGB=1),
            ),
            _get("group-5:disks/disk-3"),
        ],
    ),
    "disk_upload_grant_write": (
        _DISKS,
        [
            _upload(
                "disk-1", "UploadPreparedSecure", securityProfile={"securityType": "TrustedLaunch"}
            ),
            POLL,
            _get(DISK),
            _grant("disk-1", getSecureVMGuestStateSAS=True),
            POLL,
            MONITOR,
            _upload("disk-2", "Upload"),
            _get("disks/disk-2"),
            _grant("disk-2"),
            POLL,
            MONITOR,
        ],
    ),
    "reads_2024_2025": (
        "2024-03-02",
        [
            ("GET", "subscription:virtualMachines?api-version=2024-11-01"),
            ("GET", DISK),
            ("GET", "disks/disk-2"),
            ("GET", "disks/disk-3"),
            ("GET", "disks/disk-4?api-version=2020-09-30"),
            ("GET", "subscription:snapshots?api-version=2020-09-30"),
            ("DELETE", "group-2:snapshots/snapshot-1"),
            ("GET", "group-2:snapshots/snapshot-1?api-version=2020-09-30"),
        ],
    ),
    "vm_attach_os_disk_at_creation": (
        "2022-11-01",
        [
            _get(DISK),
            _get("snapshots/snapshot-1"),
            _put("snapshots/snapshot-2", "westus", "Standard_LRS", **_V1, **_copied(1, "disk-1")),
            _get("snapshots/snapshot-2"),
            _put(
                "disks/disk-2",
                "westus",
                "Premium_LRS",
                **_V1,
                **created("Copy", f"{GROUP}/snapshots/snapshot-2"),
            ),
            _get("disks/disk-2"),
            _get("disks/disk-3"),
            ("PUT", f"{GROUP.replace('Compute', 'Resources')}/deployments/one", {}),
            ("GET", f"{GROUP.replace('Compute', 'Resources')}/deployments/one/operationStatuses/1"),
            ("GET", f"{GROUP.replace('Compute', 'Resources')}/deployments/one"),
            ("GET", f"{VM}{_VIEW}"),
        ],
    ),
    "vm_extension_lifecycle": (
        "2022-11-01",
        [
            ("GET", f"{VM}{_VIEW}"),
            ("PUT", _EXTENSION, _EXTENSION_BODY),
            ("GET", _EXTENSION),
            ("GET", f"{VM}{_VIEW}"),
            ("GET", _EXTENSION),
            ("GET", f"{_EXTENSION}{_VIEW}"),
            ("DELETE", _EXTENSION),
            POLL,
            POLL,
            ("GET", f"{VM}{_VIEW}"),
            ("PUT", f"{VM}/extensions/extension-2", _EXTENSION_BODY),
            POLL,
            POLL,
            ("GET", f"{VM}/extensions/extension-2"),
            ("GET", "group-2:virtualMachines/vm-2"),
            ("GET", "group-3:virtualMachines/vm-3/extensions"),
        ],
    ),
    "vm_run_command": (
        "2022-11-01",
        [("POST", f"{VM}/runCommand", {"commandId": "RunShellScript"}), POLL, MONITOR],
    ),
    "vm_user_data": (
        "2022-11-01",
        [
            ("GET", f"{VM}?$expand=userData"),
            ("GET", f"{VM}?$expand=instanceView%2CuserData"),
            ("GET", VM),
            _with_user_data("bmV3"),
            ("GET", VM),
            ("GET", f"{VM}?$expand=userData"),
            _with_user_data(""),
            ("GET", VM),
            ("GET", f"{VM}?$expand=userData"),
        ],
    ),
}
