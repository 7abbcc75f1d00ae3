# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The safety restore point: the machine as it was before a restore in place, to undo even that."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from .._arm.client import ArmClient
from .._compute.disks import disks_of
from .._compute.ids import SAFETY_PREFIX, ResourceId, restore_point_id, same_id
from .._compute.passing import wait_out
from .._compute.protectability import disk_findings
from .._compute.restore_point_collections import get_collection, source_id
from .._compute.restore_point_request import default_collection
from .._compute.restore_point_waiting import is_complete
from .._compute.restore_points import delete_point, get_point
from .._compute.status import replication
from .._compute.storage_profile import disk_entries, disk_id
from .._errors import AzureError, InputError, NotFound
from .plan import Point, Raw

_DO_WITHOUT = "say safety_restore_point: false to do without."


def safety_id(point: Point, vm: Raw, now: datetime, run: str) -> str:
    """The id that the safety restore point will have.

    It lies in the collection of the restore point that is restored; where a backup is, in the
    machine's collection with the default name.
    """
    home = ResourceId.parse(vm["id"] if point.backup else point.id)
    collection = default_collection(vm["name"]) if point.backup else home.name
    name = f"{SAFETY_PREFIX}{now:%Y%m%dT%H%M%S}-{run[-8:]}"
    return restore_point_id(home.subscription, home.group, collection, name)


def check_safety(arm: ArmClient, point_id: str, vm: Raw) -> None:
    """Refuse what can be known to fail, before anything is changed.

    Raises:
        InputError: the collection is one of another machine, or a disk can be in no restore point.
    """
    parsed = ResourceId.parse(point_id)
    home = get_collection(arm, parsed.group, parsed.name)
    if home is not None and not same_id(source_id(home), vm["id"]):
        raise InputError(
            f"The collection {parsed.name} is not one of {vm['name']} itself, so no safety restore"
            f" point can be taken in it; {_DO_WITHOUT}",
            code="OtherVm",
            resource=home["id"],
        )
    resources = disks_of(arm, [vm])
    found = [
        finding["message"]
        for entry in disk_entries(vm["properties"])
        for finding in disk_findings(resources.get(disk_id(entry).lower()), entry, vm)
    ]
    if found:
        raise InputError(
            f"No safety restore point of {vm['name']} can be taken: {' '.join(found)} To restore all the"
            f" same, {_DO_WITHOUT}",
            code="NoSafetyRestorePoint",
            resource=vm["id"],
        )


def take_safety_point(arm: ArmClient, point_id: str, vm: Raw) -> None:
    """Take it, in a collection of this very machine, which is made where there is none.

    Raises:
        InputError: the collection is one of another machine.
        VmguardError: it cannot be taken.
    """
    parsed = ResourceId.parse(point_id)
    home = get_collection(arm, parsed.group, parsed.name)
    if home is None:
        body = {"location": vm["location"], "properties": {"source": {"id": vm["id"]}}}
        path = point_id.rpartition("/restorePoints/")[0]
        operation = "restore_point_collections.create_or_update"
        arm.put(operation, path, parsed.group, parsed.name, body=body)
    else:
        check_safety(arm, point_id, vm)
    name = parsed.child_names[0]
    begin = partial(
        arm.run, "restore_points.begin_create", point_id, parsed.group, parsed.name, name, body={}
    )
    wait_out(arm, begin)


def safety_taken(arm: ArmClient, point_id: str) -> bool:
    """Whether a safety restore point is there and whole."""
    parsed = ResourceId.parse(point_id)
    raw = get_point(arm, parsed.group, parsed.name, parsed.child_names[0])
    return raw is not None and raw["properties"].get("provisioningState") == "Succeeded"


def await_safety_point(arm: ArmClient, point_id: str, *, wait: bool = True) -> None:
    """Make sure that a safety restore point needs its source no more: Premium SSD v2 and Ultra disks are
    copied into it in the background after it has succeeded.

    Args:
        wait: for the end of that; else it is looked at once.

    Raises:
        OperationTimeout: it takes longer than the deadline allows.
        NotFound: it is not there.
        AzureError: it is not whole.
    """
    parsed = ResourceId.parse(point_id)
    name = parsed.child_names[0]

    def look() -> Raw:
        found = get_point(arm, parsed.group, parsed.name, name, expand=True)
        if found is None:
            raise NotFound(f"The safety restore point {name} is gone.")
        return found

    found = look()
    if wait and not is_complete(found):
        found = arm.wait_until(
            look, is_complete, operation="hydrate restore point", resource=point_id
        )
    progress = replication(found["properties"].get("instanceView"))
    failed = found["properties"].get("provisioningState") != "Succeeded" or (
        progress is not None and progress["state"] == "failed"
    )
    if failed or not is_complete(found):
        what = "did not get all of its disks" if failed else "is still being filled"
        raise AzureError(
            f"The safety restore point {name} {what}.",
            code="SafetyPointNotWhole",
            resource=point_id,
        )


def delete_safety_point(arm: ArmClient, point_id: str, vm_id: str) -> None:
    """Delete it, whether it is there or not; but nothing that is no safety point of this machine."""
    parsed = ResourceId.parse(point_id)
    home = get_collection(arm, parsed.group, parsed.name)
    named = parsed.child_names[0].startswith(SAFETY_PREFIX)
    if named and home is not None and same_id(source_id(home), vm_id):
        delete_point(arm, parsed.group, parsed.name, parsed.child_names[0])
