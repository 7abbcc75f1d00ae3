# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clears away what runs that were killed have left, and the snapshots that no later backup needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._arm.client import ArmClient
from .._compute.disk_access import revoke
from .._compute.ids import ResourceId, same_id
from .._compute.restore_points import get_point, list_points
from .._compute.snapshots import find_snapshot, list_snapshots
from .._errors import InputError, NotFound, VmguardError
from .._repository.manifest import DiskImage
from .._repository.repository import Repository
from . import ledger
from .capture import (
    BACKUP_TAG,
    MACHINE_TAG,
    REPOSITORY_TAG,
    disk_restore_points,
    point_name,
    remove_all,
    snapshot_tags,
)
from .history import History

Raw = dict[str, Any]


def clear_after_killed(
    arm: ArmClient, repository: Repository, key: str, committed: set[str]
) -> list[str]:
    """Revoke and delete what the ledgers of dead runs name. The caller holds the machine's lease.

    Args:
        committed: the ids of the backups there are; their snapshots stay.

    Returns:
        A sentence for each thing that could not be cleared away; its ledger stays open.
    """
    problems = []
    for run, entries in ledger.left_open(repository, key).items():
        failed = []
        for _name, body in entries:
            resources = [str(one) for one in body.get("resources") or []]
            if body.get("kind") == "made" and run not in committed:
                failed += remove_all(
                    arm, [one for one in resources if _made_by(arm, repository, key, run, one)]
                )
            else:
                failed += revoke_all(arm, resources)
        if not failed:
            ledger.Ledger(repository, key, run, [name for name, _body in entries if name]).close()
        problems += failed
    return problems


def _made_by(arm: ArmClient, repository: Repository, key: str, run: str, resource: str) -> bool:
    """Whether Azure confirms that a run made what its ledger says.

    Whoever can write to a repository in the clear can forge a ledger, and must not have anything
    else deleted by it.
    """
    try:
        parsed = ResourceId.parse(resource)
        if parsed.type.lower() != "snapshots":
            return parsed.child_names == (point_name(run),)
        found = find_snapshot(arm, resource)
    except InputError:
        return False
    return found is not None and (found.get("tags") or {}) == snapshot_tags(repository.id, key, run)


def revoke_all(arm: ArmClient, resources: Iterable[str]) -> list[str]:
    """End the access to snapshots and restore points; a sentence for each where that failed."""
    failed = []
    for resource in resources:
        try:
            for one in _readable(arm, resource):
                revoke(arm, one)
        except VmguardError as error:
            failed.append(f"Access to {resource} could not be revoked: {error.message}")
    return failed


def _readable(arm: ArmClient, resource: str) -> list[str]:
    """What of a resource access is given to: itself, or a restore point's disk restore points."""
    parsed = ResourceId.parse(resource)
    if parsed.type.lower() == "snapshots" or len(parsed.child_names) != 1:
        return [resource]
    raw = get_point(arm, parsed.group, parsed.name, parsed.child_names[0])
    return disk_restore_points(raw) if raw else []


def needed_sources(history: History, disks: Iterable[DiskImage], current: str) -> set[str]:
    """The sources that the next incremental and differential of these disks are computed against.

    Args:
        current: the id of the backup that the disks are of.
    """
    found = {disk.source.lower() for disk in disks}
    for disk in disks:
        if disk.full != current and (full := history.image(disk.full, disk.unique_id)):
            found.add(full.source.lower())
    return found


def superfluous(
    arm: ArmClient, repository: Repository, key: str, keep: set[str], groups: Iterable[str]
) -> list[str]:
    """The snapshots of a machine's backups in this repository that are not to be kept.

    Args:
        keep: ids in lower case.
        groups: the resource groups to look in.
    """
    found = []
    for group in sorted({group.lower(): group for group in groups}.values()):
        try:
            listed = list_snapshots(arm, group)
        except NotFound:
            continue
        for snapshot in listed:
            tags = snapshot.get("tags") or {}
            ours = tags.get(REPOSITORY_TAG) == repository.id and tags.get(MACHINE_TAG) == key
            if ours and BACKUP_TAG in tags and snapshot["id"].lower() not in keep:
                found.append(snapshot["id"])
    return found


def superfluous_points(
    arm: ArmClient, point: str, keep: set[str], committed: set[str]
) -> list[str]:
    """The restore points of these backups in a point's collection that are not to be kept."""
    parsed = ResourceId.parse(point)
    ours = {point_name(run) for run in committed}
    return [
        raw["id"]
        for raw in list_points(arm, parsed.group, parsed.name)
        if raw["name"] in ours
        and not same_id(raw["id"], point)
        and not any(disk.lower() in keep for disk in disk_restore_points(raw))
    ]
