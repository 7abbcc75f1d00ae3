# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore point is asked to be: disks, names, bodies. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from .._errors import InputError
from . import status
from .ids import SAFETY_PREFIX, same_id
from .protectability import disk_findings
from .restore_points import EXCLUDED, parse_point_id
from .storage_profile import disk_entries, disk_id, disk_restore_point_id, os_disk, role

Raw = dict[str, Any]
NAME_LIMIT = 80
_STAMP = "%Y%m%dT%H%M%SZ"
_STAMP_LENGTH = len("-YYYYmmddTHHMMSSZ")
_ROOM_FOR_COUNTER = len("-999")
_NO_MODE: dict[str, Any] = {}


@dataclass
class PointRequest:
    """The options of a restore point; ``vm`` and the sources are ids, durations are seconds.

    Args:
        tags: of the collection, where it is made; a restore point has none.
    """

    group: str
    collection: str | None = None
    name: str | None = None
    vm: str | None = None
    source: str | None = None
    location: str | None = None
    create_collection: bool = False
    exclude_disks: list[str] = field(default_factory=list)
    skip_unsupported: bool = False
    mode: str | None = None
    require: str | None = None
    max_age: int | None = None
    failure_deadline: int | None = None
    wait: bool = True
    wait_for_copy: bool = True
    tags: dict[str, str] | None = None


@dataclass
class DiskChoice:
    """Which disks of a virtual machine go into a point.

    Args:
        included: lower-cased ids.
        excluded: ids as Azure writes them, in the order of the disks.
        reasons: why, by lower-cased id.
    """

    included: set[str]
    excluded: list[str]
    reasons: dict[str, dict[str, str]]


def choose_disks(vm: Raw, disks: Mapping[str, Raw], request: PointRequest) -> DiskChoice:
    """The disks that go into a point, and those that do not, with the reason.

    Args:
        disks: the disk resources, by lower-cased id.

    Raises:
        InputError: a disk to exclude does not exist; a disk cannot be protected; none is left.
    """
    asked = excluded_on_request(vm, request.exclude_disks)
    choice = DiskChoice(set(), [], {})
    blocked: list[str] = []
    for entry in disk_entries(vm["properties"]):
        managed = disk_id(entry)
        findings = disk_findings(
            disks.get(managed.lower()), entry, vm, consistency_mode=request.mode
        )
        if managed.lower() in asked:
            _leave_out(choice, managed, EXCLUDED)
        elif not findings:
            choice.included.add(managed.lower())
        elif request.skip_unsupported and managed:
            _leave_out(choice, managed, findings[0])
        else:
            blocked += [finding["message"] for finding in findings]
    _refuse(vm, choice, blocked)
    return choice


def _leave_out(choice: DiskChoice, disk_id: str, why: Mapping[str, str]) -> None:
    choice.excluded.append(disk_id)
    choice.reasons[disk_id.lower()] = dict(why)


def _refuse(vm: Raw, choice: DiskChoice, blocked: list[str]) -> None:
    if blocked:
        raise InputError(
            f"A restore point of {vm['name']} cannot be made: {' '.join(blocked)}",
            code="UnsupportedDisks",
            resource=vm["id"],
            hint="skip_unsupported_disks: true leaves out the disks that Azure can leave out.",
        )
    if not choice.included:
        raise InputError(
            f"No disk of {vm['name']} would be left in the restore point.",
            code="AllDisksExcluded",
            resource=vm["id"],
        )


def excluded_on_request(vm: Raw, wanted: Iterable[str]) -> set[str]:
    """Lower-cased ids of the disks that are named by name, LUN, id or ``os``.

    Raises:
        InputError: one of them does not exist; the message lists what does.
    """
    found: set[str] = set()
    unknown: list[str] = []
    for text in wanted:
        matches = [
            entry for entry in disk_entries(vm["properties"]) if _is_meant(entry, str(text).strip())
        ]
        found |= {disk_id(entry).lower() for entry in matches}
        if not matches:
            unknown.append(str(text))
    if unknown:
        there = ", ".join(
            f"{role(entry.get('lun'))} {entry.get('name')}"
            for entry in disk_entries(vm["properties"])
        )
        raise InputError(
            f"exclude_disks: {vm['name']} has no disk {', '.join(map(repr, unknown))}; it has {there}.",
            code="UnknownDisk",
            resource=vm["id"],
        )
    return found


def _is_meant(entry: Raw, text: str) -> bool:
    if "/" in text:
        return same_id(disk_id(entry), text)
    if text.lower() == (entry.get("name") or "").lower():
        return True
    lun = entry.get("lun")
    if lun is None:
        return text.lower() == "os"
    return text.isdigit() and int(text) == lun


def generated_name(vm_name: str, now: datetime, taken: Iterable[str]) -> str:
    """``<vm>-20260901T100000Z``, and a number where that is taken."""
    used = {name.lower() for name in taken}
    stem = vm_name[: NAME_LIMIT - _STAMP_LENGTH - _ROOM_FOR_COUNTER]
    name = base = f"{stem}-{now.astimezone(timezone.utc).strftime(_STAMP)}"
    number = 2
    while name.lower() in used:
        name = f"{base}-{number}"
        number += 1
    return name


def default_collection(vm_name: str) -> str:
    """The name of the collection that is made for a virtual machine."""
    suffix = "-restore-points"
    return re.sub(r"[^A-Za-z0-9_.-]", "-", vm_name)[: NAME_LIMIT - len(suffix)] + suffix


def vm_body(request: PointRequest, choice: DiskChoice) -> Raw:
    """The body of a point of a virtual machine.

    Azure accepts CrashConsistent as a wish only, application consistency is what it tries without
    one (description of consistencyMode in the REST API).
    """
    properties: Raw = {}
    if request.mode == "crash":
        properties["consistencyMode"] = status.CRASH
    if choice.excluded:
        properties["excludeDisks"] = [{"id": disk_id} for disk_id in choice.excluded]
    return {"properties": properties} if properties else {}


def copy_body(source_id: str) -> Raw:
    """The body of a copy."""
    return {"properties": {"sourceRestorePoint": {"id": source_id}}}


def predicted_vm_point(
    point_id: str, vm: Raw, disks: Mapping[str, Raw], body: Raw, now: datetime
) -> Raw:
    """The service's answer to come, as far as the virtual machine tells: for check mode."""
    told = vm["properties"]
    excluded = {item["id"].lower() for item in body.get("properties", {}).get("excludeDisks", [])}
    kept = [
        _predicted_disk(entry, disks.get(disk_id(entry).lower()))
        for entry in disk_entries(vm["properties"])
        if disk_id(entry).lower() not in excluded
    ]
    storage: Raw = {"dataDisks": [entry for entry in kept if "lun" in entry]}
    if len(kept) > len(storage["dataDisks"]):
        storage["osDisk"] = kept[0]
    metadata = {
        "vmId": told.get("vmId"),
        "location": vm["location"],
        **{
            name: told[name]
            for name in ("hardwareProfile", "osProfile", "securityProfile")
            if told.get(name)
        },
        "storageProfile": storage,
        "hyperVGeneration": _generation(vm, disks),
    }
    return {
        "id": point_id,
        "name": parse_point_id(point_id).child_names[0],
        "properties": {
            "sourceMetadata": metadata,
            "provisioningState": "Succeeded",
            "timeCreated": status.iso_time(now),
            **body.get("properties", _NO_MODE),
            "consistencyMode": _likely_mode(vm, body),
        },
    }


def _generation(vm: Raw, disks: Mapping[str, Raw]) -> str:
    """The VM's generation, which is that of its OS disk."""
    disk = disks.get(disk_id(disk_entries(vm["properties"])[0]).lower()) or {}
    return disk.get("properties", {}).get("hyperVGeneration") or "V1"


def _predicted_disk(entry: Raw, disk: Raw | None) -> Raw:
    """A disk as the point will have it: what the VM leaves open is the disk's own."""
    managed = dict(entry.get("managedDisk") or {})
    size = entry.get("diskSizeGB")
    if disk is not None:
        managed["storageAccountType"] = disk["sku"]["name"]
        size = disk["properties"].get("diskSizeGB", size)
    return {**entry, "diskSizeGB": size, "managedDisk": managed}


def _likely_mode(vm: Raw, body: Raw) -> str:
    """What Azure aims at: application consistency of Windows, file system consistency of Linux, crash
    consistency of a machine that does not run.
    """
    asked = body.get("properties", {}).get("consistencyMode")
    statuses = (vm["properties"].get("instanceView") or {}).get("statuses") or []
    power = [item["code"] for item in statuses if item.get("code", "").startswith("PowerState/")]
    if asked or (power and power[0] != "PowerState/running"):
        return asked or status.CRASH
    return (
        status.APPLICATION
        if os_disk(vm["properties"]).get("osType") == "Windows"
        else status.FILE_SYSTEM
    )


def predicted_copy(point_id: str, source: Raw) -> Raw:
    """The service's answer to the copy of a point, for check mode: as if it were complete."""
    kept = ("sourceMetadata", "consistencyMode", "timeCreated")
    properties = {name: source["properties"][name] for name in kept if name in source["properties"]}
    return {
        "id": point_id,
        "name": parse_point_id(point_id).child_names[0],
        "properties": {
            **properties,
            "provisioningState": "Succeeded",
            "sourceRestorePoint": {"id": source["id"]},
            "instanceView": {"diskRestorePoints": _done(source)},
        },
    }


def _done(source: Raw) -> list[Raw]:
    status_done = {"status": {"code": "ReplicationState/succeeded"}, "completionPercent": 100}
    return [
        {"id": disk_restore_point_id(entry), "replicationStatus": status_done}
        for entry in disk_entries(source["properties"]["sourceMetadata"])
        if disk_restore_point_id(entry)
    ]


def recent_enough(
    points: Iterable[dict[str, Any]], request: PointRequest, choice: DiskChoice, now: datetime
) -> dict[str, Any] | None:
    """The newest shaped point that makes another one needless, None where there is none.

    It is younger than ``max_age``, holds the same disks, is consistent enough, is ready or being
    made, and was not taken before a restore in place: such a one holds what was to be undone.
    """
    if request.max_age is None:
        return None
    oldest = now - timedelta(seconds=request.max_age)
    fitting = [
        point for point in points
        if point["time_created"]
        and not point["name"].startswith(SAFETY_PREFIX)
        and status.parse_time(point["time_created"]) >= oldest
        and {(disk["id"] or "").lower() for disk in point["included_disks"]} == choice.included
        and _usable(point, request.require)
    ]  # fmt: skip
    return max(
        fitting, key=lambda point: (point["ready_to_use"], point["time_created"]), default=None
    )


def _usable(point: dict[str, Any], required: str | None) -> bool:
    if point["ready_to_use"]:
        return status.achieves(point["consistency_mode"], required)
    return point["provisioning_state"] == "Creating"
