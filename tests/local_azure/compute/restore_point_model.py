"""What a restore point says of its VM, and how consistent it is."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from ..arm.resources import Resource
from ..arm.router import Call
from ..errors import ArmError, invalid_parameter, missing_parameter
from ..state import State
from .disk_model import CUSTOMER_KEY, PLATFORM_KEY, is_v2
from .tracked import member, properties_of

COLLECTION_TYPE = "Microsoft.Compute/restorePointCollections"
RESTORE_POINT_TYPE = f"{COLLECTION_TYPE}/restorePoints"

CRASH, FILE_SYSTEM, APPLICATION = "CrashConsistent", "FileSystemConsistent", "ApplicationConsistent"
OLDEST_API = "2021-03-01"
_ENCRYPTION_SINCE = "2023-03-01"
_COPIED = ("osProfile", "diagnosticsProfile", "licenseType", "securityProfile")
_ORDER = (
    "sourceMetadata", "provisioningState", "consistencyMode", "sourceRestorePoint", "instanceView",
    "timeCreated", "instantAccessDurationMinutes", "excludeDisks",
)  # fmt: skip


@dataclass
class Model:
    """What a PUT of a restore point asks for."""

    mode: str | None = None
    excluded: list[dict[str, str]] = field(default_factory=list)
    source: str | None = None
    instant_minutes: int | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def key(self) -> tuple[Any, ...]:
        """Equal for two requests that ask for the same."""
        excluded = frozenset(item["id"].lower() for item in self.excluded)
        return self.mode, excluded, (self.source or "").lower(), self.instant_minutes

    @property
    def excluded_ids(self) -> set[str]:
        return {item["id"].lower() for item in self.excluded}


def read_model(body: dict[str, Any]) -> Model:
    """The model in a request.

    Raises:
        ArmError: for values that are none.
    """
    properties = properties_of(body)
    mode = properties.get("consistencyMode")
    if mode not in (None, CRASH, FILE_SYSTEM, APPLICATION):
        raise invalid_parameter(
            f"The value '{mode}' of parameter 'consistencyMode' is invalid. Allowed values are"
            f" {CRASH}, {FILE_SYSTEM}, {APPLICATION}."
        )
    minutes = properties.get("instantAccessDurationMinutes")
    if minutes is not None and not (isinstance(minutes, int) and 60 <= minutes <= 300):
        raise invalid_parameter(
            f"The value '{minutes}' of parameter 'instantAccessDurationMinutes' is out of range."
            " The value must be between '60' and '300', inclusive."
        )
    excluded = properties.get("excludeDisks") or []
    if not all(isinstance(item, dict) and isinstance(item.get("id"), str) for item in excluded):
        raise missing_parameter("excludeDisks.id")
    source = member(properties, "sourceRestorePoint")
    if source and not isinstance(source.get("id"), str):
        raise missing_parameter("sourceRestorePoint.id")
    return Model(
        mode, excluded, source["id"] if source else None, minutes,
        member(properties, "sourceMetadata"),
    )  # fmt: skip


def check_api_version(call: Call) -> None:
    if call.api_version and call.api_version < OLDEST_API:
        raise ArmError(
            400, "BadRequest",
            f"This request can be made with api-version '{OLDEST_API}' or newer.",
        )  # fmt: skip


def disks_of(vm: Resource) -> list[dict[str, Any]]:
    """The VM's disks as its storage profile has them, the OS disk first."""
    profile = vm.properties.get("storageProfile", {})
    os_disk = profile.get("osDisk")
    return [*([os_disk] if os_disk else []), *profile.get("dataDisks", [])]


def managed_id(entry: dict[str, Any]) -> str:
    return entry.get("managedDisk", {}).get("id", "")


def source_metadata(state: State, vm: Resource, excluded: set[str]) -> dict[str, Any]:
    """The VM as it is now, without what was excluded."""
    properties = vm.properties
    profile = properties.get("storageProfile", {})
    storage: dict[str, Any] = {}
    os_disk = profile.get("osDisk")
    if os_disk and managed_id(os_disk).lower() not in excluded:
        storage["osDisk"] = _disk_entry(state, os_disk)
    storage["dataDisks"] = [
        _disk_entry(state, entry)
        for entry in profile.get("dataDisks", [])
        if managed_id(entry).lower() not in excluded
    ]
    metadata: dict[str, Any] = {
        "vmId": properties.get("vmId"),
        "location": vm.location,
        "hardwareProfile": copy.deepcopy(properties.get("hardwareProfile", {})),
        "storageProfile": storage,
    }
    for name in _COPIED:
        if properties.get(name) is not None:
            metadata[name] = copy.deepcopy(properties[name])
    metadata["hyperVGeneration"] = _generation(state, os_disk)
    return metadata


def _generation(state: State, os_disk: dict[str, Any] | None) -> str:
    disk = state.resources.get(managed_id(os_disk)) if os_disk else None
    return disk.properties.get("hyperVGeneration", "V1") if disk else "V1"


def _disk_entry(state: State, entry: dict[str, Any]) -> dict[str, Any]:
    disk = state.resources.get(managed_id(entry))
    sku = entry.get("managedDisk", {}).get("storageAccountType", "Standard_LRS")
    size = entry.get("diskSizeGB")
    if disk is not None:
        sku, size = disk.body["sku"]["name"], disk.properties.get("diskSizeGB", size)
    if "lun" in entry:
        shown: dict[str, Any] = {"lun": entry["lun"]}
    else:
        shown = {"osType": entry.get("osType", "Linux")}
    shown |= {
        "name": entry.get("name") or managed_id(entry).rsplit("/", 1)[-1],
        "diskSizeGB": size,
        "caching": entry.get("caching", "None"),
        "managedDisk": {"storageAccountType": sku, "id": managed_id(entry)},
    }
    if entry.get("writeAcceleratorEnabled"):
        shown["writeAcceleratorEnabled"] = True
    elif is_v2(sku):
        shown["writeAcceleratorEnabled"] = False
    return shown


def achieved_mode(vm: Resource, metadata: dict[str, Any], asked: str | None) -> str:
    """How consistent a finished restore point is, whatever was asked for."""
    if asked == CRASH or vm.hidden.get("power", "running") != "running":
        return CRASH
    if asked == FILE_SYSTEM:
        return FILE_SYSTEM
    return APPLICATION if _windows(vm, metadata) else FILE_SYSTEM


def _windows(vm: Resource, metadata: dict[str, Any]) -> bool:
    entry = metadata["storageProfile"].get("osDisk")
    entry = entry or vm.properties.get("storageProfile", {}).get("osDisk") or {}
    return entry.get("osType") == "Windows"


def restore_point_encryption(held: dict[str, Any]) -> dict[str, Any]:
    """The encryption of a disk restore point, from its disk's."""
    found = held.get("diskEncryptionSetId")
    if not found:
        return {"type": held.get("type", PLATFORM_KEY)}
    parts = found.split("/")
    if len(parts) > 4:
        parts[4] = parts[4].upper()  # as the service writes it, here and nowhere else
    return {"type": held.get("type", CUSTOMER_KEY), "diskEncryptionSet": {"id": "/".join(parts)}}


def asked_encryption(model: Model, entry: dict[str, Any]) -> dict[str, Any] | None:
    """The key that a request names for one disk of a local point; the disk is told by its place."""
    storage = model.metadata.get("storageProfile") or {}
    if "lun" in entry:
        disks = storage.get("dataDisks") or []
        found = next((disk for disk in disks if disk.get("lun") == entry["lun"]), {})
    else:
        found = storage.get("osDisk") or {}
    return copy.deepcopy((found.get("diskRestorePoint") or {}).get("encryption"))


def entries(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """The disks in the metadata of a restore point, the OS disk first."""
    storage = metadata.get("storageProfile", {})
    os_disk = storage.get("osDisk")
    return [*([os_disk] if os_disk else []), *storage.get("dataDisks", [])]


def shown_point(
    point: Resource, api_version: str, view: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The body of a restore point for a request of some api-version."""
    body = point.answer()
    properties = body["properties"]
    if view is not None:
        properties["instanceView"] = view
    if api_version and api_version < _ENCRYPTION_SINCE:
        for entry in entries(properties["sourceMetadata"]):
            if "diskRestorePoint" in entry:
                entry["diskRestorePoint"] = {"id": entry["diskRestorePoint"]["id"]}
    body["properties"] = {key: properties[key] for key in _ORDER if key in properties}
    return body
