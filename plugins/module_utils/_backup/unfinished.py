# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run whose time was over while Azure still filled its snapshots: the next one goes on with them.

Snapshots and restore points of Premium SSD v2 and Ultra disks are filled in the background, which
takes up to a day for a large disk. To delete them and to begin anew would never come to an end.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from .._compute.ids import ResourceId, same_id
from .._compute.protectability import is_v2, sku_of
from .._compute.restore_points import get_point, state_of
from .._compute.snapshots import find_snapshot
from .._compute.storage_profile import disk_entries, disk_id
from .._errors import NotFound, VmguardError
from .._repository import names
from .capture import point_id, snapshot_ids
from .ledger import MADE, Entry
from .machine import BackupDisk, Machine
from .ownership import Claim, Owner
from .request import RESTORE_POINT, BackupRequest

Raw = dict[str, Any]
# What is older is not what a backup of now should hold.
KEPT_FOR = timedelta(days=2)


def is_filled_slowly(machine: Machine) -> bool:
    """Whether Azure fills snapshots of the machine's disks in the background."""
    return any(is_v2(sku_of(disk.resource, disk.entry)) for disk in machine.disks)


def can_go_on(machine: Machine, request: BackupRequest) -> bool:
    """Whether a later run could go on with what this one makes.

    Of snapshots of several disks nobody knows later whether the machine was at rest when they began.
    """
    at_once = request.source == RESTORE_POINT or len(machine.disks) == 1
    return is_filled_slowly(machine) and (at_once or not request.require_consistency)


def find(
    owner: Owner,
    machine: Machine,
    request: BackupRequest,
    ledgers: dict[str, list[Entry]],
    newest: str,
    now: datetime,
) -> str | None:
    """The id of the run to go on with, None where there is none.

    It made exactly what this one would make, Azure confirms that, and it is of the last two days.

    Args:
        ledgers: those that were not closed.
        newest: the id of the newest backup, "" where there is none.

    Raises:
        AzureError, ConnectionFailed: Azure cannot be asked.
    """
    if not can_go_on(machine, request):
        return None
    for run in sorted(ledgers, reverse=True):
        begun = names.moment(run)
        if begun is None or run <= newest or now - begun > KEPT_FOR:
            continue
        if _is_the_same(owner, machine, request, run, ledgers[run]):
            return run
    return None


def _is_the_same(
    owner: Owner, machine: Machine, request: BackupRequest, run: str, entries: list[Entry]
) -> bool:
    if any(entry.problem for entry in entries):
        return False
    made = {one.lower() for entry in entries if entry.kind == MADE for one in entry.resources}
    if request.source == RESTORE_POINT:
        expected = [point_id(owner.arm, machine, request, owner.point_name(run))]
        return made == {expected[0].lower()} and _is_point(owner, run, machine, expected[0])
    ids = snapshot_ids(owner.arm, machine, request, run)
    if made != {one.lower() for one in ids.values()}:
        return False
    return all(_is_snapshot(owner, run, disk, ids[disk.unique_id]) for disk in machine.disks)


def _is_snapshot(owner: Owner, run: str, disk: BackupDisk, snapshot: str) -> bool:
    """Whether it is the run's snapshot of this very disk, made or being made."""
    found = find_snapshot(owner.arm, snapshot)
    if found is None or owner.run_of_snapshot(found) != run:
        return False
    has = found["properties"]
    source = has.get("creationData") or {}
    return (
        has.get("provisioningState") not in ("Failed", "Deleting")
        and same_id(source.get("sourceResourceId"), disk.id)
        and source.get("sourceUniqueId") in (None, disk.unique_id)
    )


def _is_point(owner: Owner, run: str, machine: Machine, point: str) -> bool:
    """Whether it is the run's restore point, and holds the disks that are to be backed up."""
    try:
        if owner.judge(point, run) is not Claim.CONFIRMED:
            return False
    except NotFound:
        return False
    parsed = ResourceId.parse(point)
    found = get_point(owner.arm, parsed.group, parsed.name, parsed.child_names[0])
    if found is None or state_of(found) not in ("Creating", "Succeeded"):
        return False
    has = found["properties"]
    wanted = {disk.id.lower() for disk in machine.disks}
    left_out = {str(one.get("id")).lower() for one in has.get("excludeDisks") or []}
    if state_of(found) == "Creating":
        return not wanted & left_out
    held = {disk_id(one).lower() for one in disk_entries(has.get("sourceMetadata"))}
    return wanted <= held - left_out


def explain(error: VmguardError, run: str, now: datetime) -> None:
    """Say what becomes of snapshots that are not filled when the time is over."""
    end = ((names.moment(run) or now) + KEPT_FOR).isoformat(timespec="minutes")
    error.hint = (
        f"Azure goes on filling what the backup {run} is made from, and nothing of it was deleted. Run"
        f" the same task again before {end}: it goes on with that. A longer wait_timeout waits longer."
    )
