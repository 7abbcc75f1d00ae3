# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read: snapshots of all disks, begun together, or the disks of one restore point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._arm.client import ArmClient
from .._clock import SystemClock
from .._compute.disk_access import takes_token
from .._compute.ids import COLLECTION_TYPE, ResourceId, resource_id, same_id
from .._compute.protectability import access_findings
from .._compute.restore_point_creation import ensure_vm_point
from .._compute.restore_point_request import PointRequest, default_collection
from .._compute.restore_point_waiting import PointFailed, Run
from .._compute.restore_points import get_point
from .._compute.snapshots import find_snapshot, get_snapshot, put_snapshot, snapshot_body
from .._compute.status import CRASH
from .._compute.storage_profile import disk_entries, disk_id, disk_restore_point_id
from .._errors import AzureError, InputError, NotFound
from .machine import PRIVATE, BackupDisk, Machine, at_rest
from .ownership import Owner
from .request import RESTORE_POINT, SNAPSHOT, BackupRequest
from .together import Together

# What snapshots of several disks of a running machine are: each disk is crash-consistent, and
# together they are of several moments, a state that no crash leaves.
CRASH_PER_DISK = "CrashConsistentPerDisk"
GIB = 1 << 30
_NAME_LIMIT = 80
Raw = dict[str, Any]
Sizes = tuple[int, int]
ANY_SIZE: Sizes = (1, 1 << 62)


@dataclass(frozen=True)
class Captured:
    """The state of a machine's disks that is read.

    Args:
        sources: the id of the snapshot or disk restore point of each disk, by its unique id.
        point: the restore point's id, None for snapshots.
        sizes: how many bytes each of them has by Azure's word, at least and at most.
        with_token: the unique ids of the disks that are read with an Entra token.
        consistency: of all disks together (Azure's word, or ``CRASH_PER_DISK``).
        same_moment: whether all disks are of one moment.
    """

    kind: str
    sources: dict[str, str]
    sizes: dict[str, Sizes]
    consistency: str | None
    same_moment: bool
    with_token: frozenset[str] = frozenset()
    point: str | None = None
    indications: tuple[str, ...] = ()


def snapshot_ids(
    arm: ArmClient, machine: Machine, request: BackupRequest, run: str
) -> dict[str, str]:
    """The ids that the snapshots of a backup will have, by the disks' unique ids; all distinct."""
    group = request.snapshot_group or request.group
    stems = _stems(machine.disks, _NAME_LIMIT - len(run) - 1)
    return {
        unique_id: resource_id(arm.subscription_id, group, "snapshots", f"{stem}-{run}")
        for unique_id, stem in stems.items()
    }


def _stems(disks: list[BackupDisk], room: int) -> dict[str, str]:
    """The disks' names where these are distinct and fit, otherwise all of them with their places."""
    names = {disk.name.lower() for disk in disks}
    if len(names) == len(disks) and all(len(name) <= room for name in names):
        return {disk.unique_id: disk.name for disk in disks}
    # What follows the last dash is the place, and no two disks have one place.
    return {
        disk.unique_id: f"{disk.name[: room - len(disk.role) - 1]}-{disk.role}" for disk in disks
    }


def take_snapshots(
    arm: ArmClient,
    machine: Machine,
    ids: dict[str, str],
    owner: Owner,
    run: str,
    request: BackupRequest,
    *,
    going_on: bool = False,
) -> Captured:
    """Snapshots of all disks, begun together. When one fails, the others are not waited for.

    Args:
        ids: those that they get, by the disks' unique ids.
        going_on: they were begun by an earlier run, and are only waited for.

    Raises:
        AzureError, OperationTimeout: one of them could not be made.
        InputError: one cannot be read as it was made.
    """
    arm.compute  # noqa: B018 - built once, before threads share it
    together = Together(len(machine.disks))
    tags = {**request.tags, **owner.tags(run)}

    def take(disk: BackupDisk) -> Raw:
        snapshot = ids[disk.unique_id]

        def look() -> Raw:
            together.check()
            return get_snapshot(arm, snapshot)

        if not going_on:
            put_snapshot(arm, snapshot, snapshot_body(disk.resource, tags))
        found = arm.wait_until(look, _settled, operation="complete snapshot", resource=snapshot)
        _check(found, owner, run, request)
        return found

    made = together.run([partial(take, disk) for disk in machine.disks])
    taken = {disk.unique_id: raw for disk, raw in zip(machine.disks, made, strict=True)}
    # When the machine was started or stopped since an earlier run began them is not known.
    resting = machine.at_rest and not going_on and at_rest(arm, machine.id)
    same_moment = len(machine.disks) == 1 or resting
    consistency = CRASH if same_moment else CRASH_PER_DISK
    online = ("Online",) if machine.running else ()
    return Captured(
        SNAPSHOT,
        ids,
        {one: size_of(raw["properties"]) for one, raw in taken.items()},
        consistency,
        same_moment=same_moment,
        with_token=frozenset(one for one, raw in taken.items() if takes_token(raw)),
        indications=(*online, "NoGuestAgent", consistency),
    )


def _settled(snapshot: Raw) -> bool:
    """Snapshots of Ultra and Premium SSD v2 disks fill in the background."""
    has = snapshot["properties"]
    if has.get("copyCompletionError") or has.get("provisioningState") == "Failed":
        return True
    percent = has.get("completionPercent")
    made = has.get("provisioningState") in (None, "Succeeded")
    return made and (percent is None or percent >= 100)


def _check(snapshot: Raw, owner: Owner, run: str, request: BackupRequest) -> None:
    """Refuse a snapshot that is not what was asked for: a policy of Azure may have changed it.

    Raises:
        InputError, AzureError: it failed, cannot be read, or would not be found again.
    """
    name, told = snapshot["name"], snapshot["properties"]
    failed = told.get("copyCompletionError") or {}
    if failed or told.get("provisioningState") == "Failed":
        raise AzureError(
            f"Azure could not complete the snapshot {name}:"
            f" {failed.get('errorMessage') or 'it gives no reason'}",
            code=failed.get("errorCode") or "SnapshotFailed",
            operation="complete snapshot",
            resource=snapshot["id"],
        )
    findings = access_findings(told, f"snapshot {name}")
    if request.private_link:
        findings = [one for one in findings if one["reason"] not in PRIVATE]
    if findings:
        raise InputError(
            f"The snapshot {name} cannot be read, although its disk can:"
            f" {' '.join(one['message'] for one in findings)}",
            code="SnapshotNotReadable",
            resource=snapshot["id"],
            hint="An Azure Policy may set this on every snapshot: ask for an exemption of the resource"
            " group, or read restore points (source: restore_point).",
        )
    if owner.run_of_snapshot(snapshot) != run:
        raise InputError(
            f"The snapshot {name} does not have the tags that it was made with, so that no later run"
            " could tell that it belongs to the backup.",
            code="SnapshotTagsChanged",
            resource=snapshot["id"],
            hint="Something removes or changes tags whose names begin with vmguard-, such as an Azure"
            " Policy.",
        )


def size_of(properties: Raw) -> Sizes:
    """The bytes that a disk or snapshot has at least and at most, by Azure's word."""
    if told := properties.get("diskSizeBytes"):
        return int(told), int(told)
    gib = properties.get("diskSizeGB")
    return ((int(gib) - 1) * GIB + 1, int(gib) * GIB) if gib else ANY_SIZE


def point_id(arm: ArmClient, machine: Machine, request: BackupRequest, name: str) -> str:
    """The id that the restore point of a backup will have."""
    return f"{collection_id(arm, machine, request)}/restorePoints/{name}"


def collection_id(arm: ArmClient, machine: Machine, request: BackupRequest) -> str:
    """The id of the collection that restore points of the machine are made in."""
    name = request.collection or default_collection(machine.name)
    return resource_id(arm.subscription_id, request.group, COLLECTION_TYPE, name)


def take_point(
    arm: ArmClient, machine: Machine, request: BackupRequest, point: str, clock: SystemClock
) -> Captured:
    """A restore point of the machine; its disk restore points are what is read.

    Raises:
        AzureError, InputError, OperationTimeout: it could not be made, or is not as required.
    """
    parsed = ResourceId.parse(point)
    asked = PointRequest(
        group=parsed.group,
        collection=parsed.name,
        name=parsed.child_names[0],
        vm=machine.id,
        create_collection=True,
        exclude_disks=[one["id"] for one in machine.excluded],
        tags=request.tags or None,
        mode=request.consistency_mode,
        require=request.require_consistency,
    )
    try:
        outcome = ensure_vm_point(Run(arm, asked, _now, clock))
    except PointFailed as error:
        # A backup that failed deletes what it made.
        error.hint = "Check the VM's agent, its extensions and that it runs. Nothing is kept of it."
        error.result = {}
        raise
    raw = get_point(arm, parsed.group, parsed.name, parsed.child_names[0])
    if raw is None:
        raise NotFound(f"The restore point {parsed.child_names[0]} is gone.", resource=point)
    shaped = outcome.point or {}
    held = _entries(machine, raw)
    return Captured(
        RESTORE_POINT,
        {one: disk_restore_point_id(entry) for one, entry in held.items()},
        {one: size_of(entry) for one, entry in held.items()},
        raw["properties"].get("consistencyMode"),
        same_moment=True,
        # A disk restore point does not say it.
        with_token=frozenset(
            disk.unique_id for disk in machine.disks if takes_token(disk.resource)
        ),
        point=point,
        indications=tuple(shaped.get("indications") or ()),
    )


def _now(act: Callable[[], Any], _predicted: Any = None) -> Any:
    """The gate of a run that is past its own: a change is made at once."""
    return act()


def _entries(machine: Machine, raw: Raw) -> dict[str, Raw]:
    """What a restore point says of each disk, by the disks' unique ids."""
    entries = disk_entries(raw["properties"]["sourceMetadata"])
    found = {}
    for disk in machine.disks:
        held = next(
            (one for one in entries if same_id(disk_id(one), disk.id)),
            None,
        )
        if held is None or not disk_restore_point_id(held):
            raise AzureError(
                f"The restore point {raw['name']} does not hold the disk {disk.name}.",
                code="DiskNotInRestorePoint",
                resource=raw["id"],
            )
        found[disk.unique_id] = held
    return found


def exists(arm: ArmClient, source: str) -> bool:
    """Whether a snapshot or disk restore point is there and finished."""
    parsed = ResourceId.parse(source)
    if parsed.type.lower() == "snapshots":
        found = find_snapshot(arm, source)
    else:
        found = arm.find(
            "disk_restore_point.get", source, parsed.group, parsed.name, *parsed.child_names
        )
    return found is not None and found["properties"].get("provisioningState") in (
        None,
        "Succeeded",
    )
