"""What stands in the way of a restore point: unsupported disks, limits, another one under way."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ..arm.resources import Resource
from ..errors import ArmError, conflict, invalid_parameter
from ..state import State
from .disk_model import is_v2
from .restore_point_model import (
    APPLICATION,
    CRASH,
    RESTORE_POINT_TYPE,
    Model,
    disks_of,
    managed_id,
)
from .tracked import too_many_requests

CLIENT_ERROR = "VMRestorePointClientError"
_HOUR = timedelta(hours=1)


def check_disks(state: State, vm: Resource, model: Model) -> None:
    """Refuse disks that cannot be in a restore point.

    Raises:
        ArmError: in the documented words where there are any.
    """
    present = {managed_id(entry).lower() for entry in disks_of(vm)}
    for item in model.excluded:
        if item["id"].lower() not in present:
            raise invalid_parameter(
                f"The disk '{item['id']}' in excludeDisks is not attached to the VM."
            )
    kept = [entry for entry in disks_of(vm) if managed_id(entry).lower() not in model.excluded_ids]
    if not kept:
        raise invalid_parameter("All disks of the VM are excluded by excludeDisks.")
    for entry in kept:
        _check_disk(state, entry, model.mode)


def _check_disk(state: State, entry: dict[str, Any], mode: str | None) -> None:
    if entry.get("diffDiskSettings"):
        raise _unsupported("an Ephemeral OS disk")
    if not managed_id(entry):
        raise _unsupported("unmanaged disks")
    disk = state.resources.get(managed_id(entry))
    if disk is None or disk.hidden.get("image") is None:
        raise conflict(
            "OperationNotAllowed",
            "Operation 'Create Restore Point' is not allowed as disk(s) have not been allocated"
            " successfully. Please exclude these disk(s) using excludeDisks property and retry.",
        )
    if disk.properties.get("maxShares", 1) > 1:
        raise conflict(
            CLIENT_ERROR,
            "Creation of Restore Point of a Virtual Machine with Shared disks is not supported."
            " You may exclude this disk from the restore point via excludeDisks property.",
        )
    if mode == CRASH and is_v2(disk.body["sku"]["name"]):
        raise _unsupported_in_crash_mode("Ultra or Premium SSD v2 disks")
    if mode == CRASH and entry.get("writeAcceleratorEnabled"):
        raise _unsupported_in_crash_mode("Write Accelerated disks")


def _unsupported(what: str) -> ArmError:
    return conflict(
        "OperationNotAllowed",
        f"Creation of Restore Point of a Virtual Machine with {what} is not supported.",
    )


def _unsupported_in_crash_mode(what: str) -> ArmError:
    return conflict(
        "OperationNotAllowed",
        f"Creation of Restore Point of a Virtual Machine with {what} is not supported in"
        f" {CRASH} mode. You may exclude these disks from the restore point via excludeDisks"
        " property.",
    )


def check_limits(state: State, vm: Resource, mode: str | None) -> int:
    """Refuse a restore point too many, or at once with another; else count it.

    Returns:
        How many more the VM may have within the hour in this mode.
    """
    points = [
        point
        for point in state.resources.of_type(RESTORE_POINT_TYPE)
        if point.hidden.get("vm_id") == vm.properties.get("vmId")
        and "sourceRestorePoint" not in point.properties
    ]
    if any(point.properties["provisioningState"] == "Creating" for point in points):
        raise conflict(
            CLIENT_ERROR,
            "RestorePoint creation failed since a concurrent 'Create RestorePoint' operation was"
            " triggered on the VM.",
        )
    limit = state.config.limits.restore_points_per_vm
    if len(points) >= limit:
        raise conflict(
            "OperationNotAllowed",
            "The number of restore points across restore point collections and resource groups"
            f" for a VM cannot exceed {limit}. To create a new restore point, please delete"
            " existing restore points.",
        )
    kind = CRASH if mode == CRASH else APPLICATION
    times = vm.hidden.setdefault("restore_point_times", {}).setdefault(kind, [])
    return _count(state, times, state.config.limits.restore_points_per_hour)


def count_copy(state: State, collection: Resource) -> int:
    """Refuse a copy too many within the hour, else count it; the number that remains."""
    times = collection.hidden.setdefault("copy_times", [])
    return _count(state, times, state.config.limits.restore_point_copies_per_hour)


def _count(state: State, times: list[datetime], limit: int) -> int:
    now = state.clock.now()
    times[:] = [moment for moment in times if now - moment < _HOUR]
    if len(times) >= limit:
        raise too_many_requests(state)
    times.append(now)
    return limit - len(times)


def check_agent(vm: Resource, mode: str | None) -> None:
    """Fail where the guest has to take part and does not answer."""
    if mode == CRASH or vm.hidden.get("power", "running") != "running":
        return
    if vm.hidden.get("agent") is False:
        raise conflict(
            "VMAgentStatusCommunicationError",
            "VM has not reported status for VM agent or extensions.",
        )


def disk_set(vm: Resource) -> list[str]:
    """What must not change on a VM while its restore point is made."""
    return sorted(managed_id(entry).lower() for entry in disks_of(vm))


def changed_meanwhile() -> ArmError:
    return conflict(
        "OperationNotAllowed",
        "Changes were made to the Virtual Machine while the operation 'Create Restore Point' was"
        " in progress. Operation Create Restore Point cannot be completed at this time. Please"
        " try again later.",
    )
