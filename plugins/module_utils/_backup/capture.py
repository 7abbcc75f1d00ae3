# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read: snapshots of all disks, begun together, or the disks of one restore point."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .._arm.client import ArmClient
from .._clock import SystemClock
from .._compute.disk_access import revoke
from .._compute.ids import ResourceId, resource_id, restore_point_id, same_id
from .._compute.restore_point_creation import ensure_vm_point
from .._compute.restore_point_request import PointRequest, default_collection
from .._compute.restore_point_waiting import Run
from .._compute.restore_points import delete_point, get_point
from .._compute.snapshots import (
    delete_snapshot,
    find_snapshot,
    get_snapshot,
    put_snapshot,
    snapshot_body,
)
from .._compute.storage_profile import disk_entries, disk_id, disk_restore_point_id
from .._errors import AzureError, NotFound, VmguardError
from .machine import BackupDisk, Machine
from .request import RESTORE_POINT, SNAPSHOT, BackupRequest

REPOSITORY_TAG = "vmguard-repository"
MACHINE_TAG = "vmguard-vm"
BACKUP_TAG = "vmguard-backup"
_POINT_PREFIX = "vmguard-"
CRASH = "CrashConsistent"
_NAME_LIMIT = 80
Raw = dict[str, Any]


@dataclass(frozen=True)
class Captured:
    """The state of a machine's disks that is read.

    Args:
        sources: the id of the snapshot or disk restore point of each disk, by its unique id.
        point: the restore point's id, None for snapshots.
        same_moment: whether all disks are of one moment.
    """

    kind: str
    sources: dict[str, str]
    consistency: str | None
    same_moment: bool
    point: str | None = None
    indications: tuple[str, ...] = ()


def snapshot_tags(repository_id: str, key: str, backup_id: str) -> dict[str, str]:
    """How a snapshot is known to belong to a machine's backups in a repository."""
    return {REPOSITORY_TAG: repository_id, MACHINE_TAG: key, BACKUP_TAG: backup_id}


def snapshot_ids(
    arm: ArmClient, machine: Machine, request: BackupRequest, run: str
) -> dict[str, str]:
    """The ids that the snapshots of a backup will have, by the disks' unique ids."""
    group = request.snapshot_group or request.group
    stem = _NAME_LIMIT - len(run) - 1
    return {
        disk.unique_id: resource_id(
            arm.subscription_id, group, "snapshots", f"{_stem(disk, machine, stem)}-{run}"
        )
        for disk in machine.disks
    }


def _stem(disk: BackupDisk, machine: Machine, room: int) -> str:
    names = [other.name.lower() for other in machine.disks]
    if names.count(disk.name.lower()) == 1 and len(disk.name) <= room:
        return disk.name
    return f"{disk.name[: room - len(disk.role) - 1]}-{disk.role}"


def take_snapshots(
    arm: ArmClient, machine: Machine, ids: dict[str, str], tags: dict[str, str]
) -> Captured:
    """Snapshots of all disks, begun together.

    Raises:
        AzureError, OperationTimeout: one of them could not be made.
    """
    arm.compute  # noqa: B018 - built once, before threads share it

    def take(disk: BackupDisk) -> None:
        snapshot = ids[disk.unique_id]
        put_snapshot(arm, snapshot, snapshot_body(disk.resource, tags))
        arm.wait_until(
            lambda: get_snapshot(arm, snapshot),
            _complete,
            operation="complete snapshot",
            resource=snapshot,
        )

    with ThreadPoolExecutor(max(1, len(machine.disks))) as pool:
        for done in [pool.submit(take, disk) for disk in machine.disks]:
            done.result()
    online = ("Online",) if machine.running else ()
    return Captured(
        SNAPSHOT,
        ids,
        CRASH,
        same_moment=len(machine.disks) == 1 or not machine.running,
        indications=(*online, "NoGuestAgent", CRASH),
    )


def _complete(snapshot: Raw) -> bool:
    """Snapshots of Ultra and Premium SSD v2 disks fill in the background."""
    percent = snapshot["properties"].get("completionPercent")
    return percent is None or percent >= 100


def point_name(run: str) -> str:
    """The name of the restore point that a backup takes; it says whose it is, as one has no tags."""
    return f"{_POINT_PREFIX}{run}"


def point_id(arm: ArmClient, machine: Machine, request: BackupRequest, run: str) -> str:
    """The id that the restore point of a backup will have."""
    collection = request.collection or default_collection(machine.name)
    return restore_point_id(arm.subscription_id, request.group, collection, point_name(run))


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
        mode=request.consistency_mode,
        require=request.require_consistency,
    )
    outcome = ensure_vm_point(Run(arm, asked, _now, clock))
    raw = get_point(arm, parsed.group, parsed.name, parsed.child_names[0])
    if raw is None:
        raise NotFound(f"The restore point {parsed.child_names[0]} is gone.", resource=point)
    shaped = outcome.point or {}
    return Captured(
        RESTORE_POINT,
        _sources(machine, raw),
        raw["properties"].get("consistencyMode"),
        same_moment=True,
        point=point,
        indications=tuple(shaped.get("indications") or ()),
    )


def _now(act: Callable[[], Any], _predicted: Any = None) -> Any:
    """The gate of a run that is past its own: a change is made at once."""
    return act()


def _sources(machine: Machine, raw: Raw) -> dict[str, str]:
    entries = disk_entries(raw["properties"]["sourceMetadata"])
    sources = {}
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
        sources[disk.unique_id] = disk_restore_point_id(held)
    return sources


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


def remove(arm: ArmClient, resource: str) -> None:
    """End the access to a snapshot or restore point and delete it, whether it is there or not.

    Raises:
        VmguardError: it could not be.
    """
    parsed = ResourceId.parse(resource)
    if parsed.type.lower() == "snapshots":
        revoke(arm, resource)
        delete_snapshot(arm, resource)
        return
    raw = get_point(arm, parsed.group, parsed.name, parsed.child_names[0])
    if raw is None:
        return
    for disk in disk_restore_points(raw):
        revoke(arm, disk)
    delete_point(arm, parsed.group, parsed.name, parsed.child_names[0])


def disk_restore_points(raw: Raw) -> list[str]:
    """The ids of a restore point's disk restore points."""
    entries = disk_entries(raw["properties"].get("sourceMetadata"))
    return [found for found in map(disk_restore_point_id, entries) if found]


def remove_all(arm: ArmClient, resources: Iterable[str]) -> list[str]:
    """Remove what can be removed; a sentence for each that cannot."""
    failed = []
    for resource in resources:
        try:
            remove(arm, resource)
        except VmguardError as error:
            failed.append(f"{resource.rpartition('/')[2]} could not be deleted: {error.message}")
    return failed
