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
    if not is_filled_slowly(machine):
        return None
    if request.require_consistency and request.source != RESTORE_POINT and len(machine.disks) > 1:
        # Whether the machine was at rest then is not known any more.
        return None
    for run in sorted(ledgers, reverse=True):
        begun = names.moment(run)
        if begun is None or run <= newest or now - begun > KEPT_FOR:
            continue
        if _can_go_on(owner, machine, request, run, ledgers[run]):
            return run
    return None


def _can_go_on(
    owner: Owner, machine: Machine, request: BackupRequest, run: str, entries: list[Entry]
) -> bool:
    if any(entry.problem for entry in entries):
        return False
    made = {one.lower() for entry in entries if entry.kind == MADE for one in entry.resources}
    if request.source == RESTORE_POINT:
        expected = [point_id(owner.arm, machine, request, owner.point_name(run))]
        return made == {expected[0].lower()} and _is_point(owner, run, expected[0])
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


def _is_point(owner: Owner, run: str, point: str) -> bool:
    try:
        if owner.judge(point, run) is not Claim.CONFIRMED:
            return False
    except NotFound:
        return False
    parsed = ResourceId.parse(point)
    found = get_point(owner.arm, parsed.group, parsed.name, parsed.child_names[0])
    return found is not None and state_of(found) in ("Creating", "Succeeded")


def explain(error: VmguardError, run: str) -> None:
    """Say what becomes of snapshots that are not filled when the time is over."""
    error.hint = (
        f"Azure goes on filling what the backup {run} is made from, and nothing of it was deleted. Run"
        " the same task again within two days: it goes on with that. A longer wait_timeout waits longer."
    )
