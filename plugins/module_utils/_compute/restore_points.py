# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore points: the calls, and what results say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._arm.client import ArmClient
from .._errors import InputError, NotFound
from . import status
from .ids import COLLECTION_TYPE, ResourceId, resource_id, restore_point_id, same_id, same_location
from .protectability import is_v2
from .storage_profile import disk_entries, disk_restore_point_id, os_disk, role

Raw = dict[str, Any]
# What excluded disks are reported with, by lower-cased id, where more is known than Azure keeps.
Reasons = Mapping[str, Mapping[str, str]]
EXCLUDED = {
    "reason": "ExcludedOnRequest",
    "message": "It was left out when the restore point was made.",
}


def parse_point_id(text: str) -> ResourceId:
    """The parts of a restore point's id: ``name`` is the collection, the one child the point.

    Raises:
        InputError: it is the id of something else.
    """
    parsed = ResourceId.parse(text)
    if parsed.type.lower() != COLLECTION_TYPE.lower() or len(parsed.child_names) != 1:
        raise InputError(f"{text!r} is not the id of a restore point.")
    return parsed


def get_point(
    arm: ArmClient, group: str, collection: str, name: str, expand: bool = False
) -> Raw | None:
    """The service's own answer; None where there is no such point, collection or resource group.

    Args:
        expand: with the progress of a copy (``instanceView``).
    """
    described = restore_point_id(arm.subscription_id, group, collection, name)
    options = {"expand": "instanceView"} if expand else {}
    return arm.find("restore_points.get", described, group, collection, name, **options)


def list_points(arm: ArmClient, group: str, collection: str) -> list[Raw]:
    """The points of a collection as the service answers them, with the progress of copies.

    Raises:
        NotFound: there is no such collection.
    """
    described = resource_id(arm.subscription_id, group, COLLECTION_TYPE, collection)
    raw = arm.read(
        "restore_point_collections.get", described, group, collection, expand="restorePoints"
    )
    return collection_points(arm, raw)


def collection_points(arm: ArmClient, raw: Raw) -> list[Raw]:
    """The points of a collection that was read; what it cannot show is read here.

    A collection never shows how far a copy is, and a list not even the points.
    """
    parsed = ResourceId.parse(raw["id"])
    points = raw["properties"].get("restorePoints")
    if points is None:
        return list_points(arm, parsed.group, parsed.name)
    looked = [
        get_point(arm, parsed.group, parsed.name, point["name"], expand=True)
        if needs_progress(point, raw["location"])
        else point
        for point in points
    ]
    return [point for point in looked if point is not None]


def needs_progress(point: Raw, location: str | None = None) -> bool:
    """Whether a finished point may still be on its way: copied, or hydrated in the background.

    Args:
        location: the collection's region, where it is known.
    """
    properties = point["properties"]
    metadata = properties.get("sourceMetadata") or {}
    elsewhere = location and not same_location(metadata.get("location") or location, location)
    slow = (
        is_v2((disk.get("managedDisk") or {}).get("storageAccountType")) for disk in _entries(point)
    )
    return bool(properties.get("sourceRestorePoint") or elsewhere or any(slow))


def delete_point(arm: ArmClient, group: str, collection: str, name: str, wait: bool = True) -> None:
    """Delete a point, whether it is still there or not.

    Raises:
        Conflict: a shared access signature of one of its disks is outstanding.
        OperationFailed, OperationTimeout: as Azure answers.
    """
    described = restore_point_id(arm.subscription_id, group, collection, name)
    try:
        arm.run("restore_points.begin_delete", described, group, collection, name, wait=wait)
    except NotFound:
        return


def disk_restore_points(raw: Raw) -> list[str]:
    """The ids of a restore point's disk restore points."""
    return [found for found in map(disk_restore_point_id, _entries(raw)) if found]


def state_of(raw: Raw) -> str:
    """``Creating``, ``Succeeded``, ``Failed`` or ``Deleting``."""
    return raw["properties"].get("provisioningState") or "Creating"


def newest_first(points: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Shaped points in the order of results."""
    return sorted(
        points, key=lambda point: (point["time_created"] or "", point["id"]), reverse=True
    )


def latest_ready(points: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    """The newest of shaped points that can be restored from, None where there is none."""
    ready = (point for point in points if point["ready_to_use"] and point["time_created"])
    return max(ready, key=lambda point: point["time_created"], default=None)


def shape_point(
    raw: Raw, *, reasons: Reasons | None = None, failure_deadline: str | None = None
) -> dict[str, Any]:
    """A point as results show it; every key is always there.

    A copy that was read without its progress is reported as not ready.

    Args:
        reasons: why disks were excluded, by lower-cased id.
        failure_deadline: the time by which it has to be ready.
    """
    parsed = parse_point_id(raw["id"])
    properties = raw["properties"]
    metadata = properties.get("sourceMetadata") or {}
    progress = status.replication(properties.get("instanceView"))
    created = status.show_time(properties.get("timeCreated"))
    found = _conditions(raw, progress, created)
    mode = properties.get("consistencyMode") if state_of(raw) == "Succeeded" else None
    return {
        "id": raw["id"],
        "name": raw["name"],
        "resource_group": parsed.group,
        "collection": parsed.name,
        "provisioning_state": state_of(raw),
        "time_created": created,
        "consistency_mode": mode,
        "source_restore_point": (properties.get("sourceRestorePoint") or {}).get("id"),
        "source_vm": _source_vm(metadata),
        "included_disks": [_disk(entry, progress) for entry in _entries(raw)],
        "excluded_disks": [
            _excluded(item, reasons or {}) for item in properties.get("excludeDisks") or []
        ],
        "replication": progress and {"state": progress["state"], "percent": progress["percent"]},
        "ready_to_use": status.is_ready(found),
        "conditions": found,
        "indications": status.indications(mode),
        "failure_deadline": failure_deadline,
    }


def _conditions(raw: Raw, progress: Raw | None, created: str | None) -> list[dict[str, Any]]:
    state = state_of(raw)
    if state == "Failed":
        return status.conditions(
            status.FAILURE, "CreationFailed", "Azure could not make it.", created
        )
    if state != "Succeeded":
        return status.conditions(status.PROGRESSING, state, f"Azure reports {state}.", created)
    if progress and progress["state"] == "failed":
        return status.conditions(status.FAILURE, "CopyFailed", "Azure could not copy it.", created)
    if progress and progress["state"] != "succeeded":
        return status.conditions(
            status.PROGRESSING, "Replicating", f"{progress['percent']} % are copied.", created
        )
    if raw["properties"].get("sourceRestorePoint") and not progress:
        message = "How far the copy is was not told."
        return status.conditions(status.PROGRESSING, "ReplicationUnknown", message, created)
    return status.conditions(status.READY, "Succeeded", "It can be restored from.", created)


def _source_vm(metadata: Raw) -> dict[str, Any]:
    """What the point knows of its virtual machine."""
    return {
        "vm_id": metadata.get("vmId"),
        "location": (metadata.get("location") or "").replace(" ", "").lower() or None,
        "size": (metadata.get("hardwareProfile") or {}).get("vmSize"),
        "os_type": os_disk(metadata).get("osType"),
        "computer_name": (metadata.get("osProfile") or {}).get("computerName"),
        "hyper_v_generation": metadata.get("hyperVGeneration"),
        "security_type": (metadata.get("securityProfile") or {}).get("securityType"),
    }


def _entries(raw: Raw) -> list[Raw]:
    """The disks in a point, the OS disk first."""
    return disk_entries(raw["properties"].get("sourceMetadata"))


def _disk(entry: Raw, progress: Raw | None) -> dict[str, Any]:
    managed = entry.get("managedDisk") or {}
    held = entry.get("diskRestorePoint") or {}
    encryption = held.get("encryption") or {}
    told = (
        disk for disk in (progress or {}).get("disks", [])
        if same_id(disk["disk_restore_point"], held.get("id"))
    )  # fmt: skip
    replicated = next(told, None)
    return {
        "name": entry.get("name"),
        "lun": entry.get("lun"),
        "role": role(entry.get("lun")),
        "id": managed.get("id"),
        "size_gb": entry.get("diskSizeGB"),
        "sku": managed.get("storageAccountType"),
        "caching": entry.get("caching"),
        "write_accelerator": bool(entry.get("writeAcceleratorEnabled")),
        "encryption_type": encryption.get("type"),
        "encryption_set": (encryption.get("diskEncryptionSet") or {}).get("id"),
        "disk_restore_point": held.get("id"),
        "replication_state": replicated and replicated["state"],
        "replication_percent": replicated and replicated["percent"],
    }


def _excluded(item: Raw, reasons: Reasons) -> dict[str, Any]:
    why = reasons.get(item["id"].lower(), EXCLUDED)
    name = item["id"].rstrip("/").rsplit("/", 1)[-1]
    return {"id": item["id"], "name": name, "reason": why["reason"], "message": why["message"]}
