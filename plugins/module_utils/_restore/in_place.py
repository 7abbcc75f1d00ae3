# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a virtual machine in place: its disks are swapped for those of a restore point.

The disks of the point are made first, while the machine still runs. Then it is stopped, a safety
restore point is taken, the disks are swapped, and it is started if it ran. Whatever fails on the
way, the original disks go back and the machine is started again if it ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .._arm.client import ArmClient
from .._compute.disks import find_disk
from .._compute.ids import SAFETY_PREFIX, ResourceId, restore_point_id, same_id, same_location
from .._compute.restore_point_collections import get_collection, need_collection, source_id
from .._compute.restore_point_request import default_collection
from .._compute.storage_profile import attached_disks, by_place, disk_id, role
from .._compute.virtual_machines import deallocate, get_vm, power_state, put_vm, start
from .._errors import AzureError, InputError, OperationTimeout, VmguardError
from . import machine, plan
from .disks import create_disks, persist, remove_disks, settle_names
from .new_vm import Write, choose_disks, plan_disks
from .plan import Point, TargetDisk
from .request import UNDO_SECONDS, Outcome, Request, RestoreFailed

MOST_UPDATES = 3

# By LUN; the OS disk under None.
Attachments = dict[Any, dict[str, Any]]


@dataclass
class Swap:
    """All that a swap and its undoing need to know."""

    vm_id: str
    original: Attachments
    wanted: Attachments
    disks: list[TargetDisk]
    ran: bool
    created: list[TargetDisk]

    @property
    def group(self) -> str:
        return ResourceId.parse(self.vm_id).group

    @property
    def name(self) -> str:
        return ResourceId.parse(self.vm_id).name


def restore_in_place(
    arm: ArmClient, point: Point, request: Request, write: Write, now: datetime
) -> Outcome:
    """Bring a machine back to a restore point.

    Raises:
        InputError: it cannot be done as asked; nothing was changed.
        RestoreFailed: it failed and was undone; the message says what state the machine is in.
    """
    vm = _read_vm(arm, point, request)
    chosen, excluded = choose_disks(point, request)
    mark = plan.identity(point.id, "in_place", vm["id"])
    attached = attached_disks(vm)
    outcome = Outcome(point, "in_place", excluded=excluded, vm_id=vm["id"])
    outcome.power_state = power_state(vm)
    current = {lun: find_disk(arm, disk_id(entry)) for lun, entry in attached.items()}
    if not request.force and all(plan.tagged(current.get(disk.lun), mark) for disk in chosen):
        return _restored_before(outcome, chosen, attached)
    ran = outcome.power_state not in ("deallocated", "stopped")
    if ran and not request.allow_stop:
        raise InputError(
            f"The virtual machine {vm['name']} is {outcome.power_state or 'running'}, and a restore in"
            " place has to stop it; say allow_stop: true, or stop it first.",
            code="StopNotAllowed",
            resource=vm["id"],
        )
    original = _originals(attached, current, mark)
    disks = plan_disks(
        arm,
        point,
        request,
        chosen,
        group=request.new_group or ResourceId.parse(vm["id"]).group,
        vm=vm["name"],
        source_vm=vm["name"],
        zones=vm.get("zones"),
        mark=mark,
        replaces={lun: disk_id(entry) for lun, entry in original.items()},
    )
    outcome.disks = disks
    outcome.warnings = settle_names(arm, disks, mark, adopt=False)
    swap = Swap(vm["id"], original, _wanted(attached, disks), disks, ran, [])
    _describe(outcome, swap, request, now)
    if outcome.safety_restore_point and not point.backup:
        _check_safety(arm, outcome.safety_restore_point, vm)
    write(lambda: _restore(arm, swap, request, outcome))
    outcome.ready = True
    outcome.message = f"{vm['name']} is back at {point.name}."
    return outcome


def _read_vm(arm: ArmClient, point: Point, request: Request) -> dict[str, Any]:
    if not (request.group and request.vm):
        raise InputError("A restore in place needs vm and resource_group.")
    vm = get_vm(arm, request.group, request.vm, instance_view=True)
    if vm["properties"].get("vmId", "").lower() != point.metadata.get("vmId", "").lower():
        raise InputError(
            f"The {point.noun} {point.name} was taken of another virtual machine than today's"
            f" {request.vm}; use target: new_vm.",
            code="OtherVm",
            resource=vm["id"],
        )
    if not same_location(vm["location"], point.location):
        raise InputError(
            f"The {point.noun} {point.name} is in {point.location} and {request.vm} in"
            f" {vm['location']}; in place needs one of the machine's own region.",
            code="WrongRegion",
            resource=vm["id"],
        )
    return vm


def _restored_before(
    outcome: Outcome, chosen: list[plan.SourceDisk], attached: Attachments
) -> Outcome:
    outcome.disks = [machine.restored_disk(source, attached[source.lun]) for source in chosen]
    outcome.ready, outcome.reason = True, "AlreadyRestored"
    outcome.message = (
        "The machine's disks are those of this restore; force: true restores once more."
    )
    return outcome


def _originals(attached: Attachments, current: dict[int | None, Any], mark: str) -> Attachments:
    """The disks to go back to: today's, or the replaced ones where an interrupted run had swapped."""
    original = {}
    for lun, entry in attached.items():
        replaced = ((current.get(lun) or {}).get("tags") or {}).get(plan.REPLACES_TAG)
        if replaced and plan.tagged(current[lun], mark):
            name = replaced.rsplit("/", 1)[1]
            original[lun] = {**entry, "name": name, "managedDisk": {"id": replaced}}
        else:
            original[lun] = entry
    return original


def _wanted(attached: Attachments, disks: list[TargetDisk]) -> Attachments:
    """Today's attachments with the restored disks in their places."""
    wanted = dict(attached)
    for disk in disks:
        entry = machine.attachment(disk)
        wanted[disk.source.lun] = (
            entry if disk.source.lun is None else {"lun": disk.source.lun, **entry}
        )
    return wanted


def _describe(outcome: Outcome, swap: Swap, request: Request, now: datetime) -> None:
    replaced = [
        disk_id(swap.original[disk.source.lun])
        for disk in swap.disks
        if disk.source.lun in swap.original
    ]
    if request.old_disks == "delete":
        outcome.deleted_disks = replaced
    else:
        outcome.kept_disks = replaced
    if request.safety_restore_point:
        vm = ResourceId.parse(swap.vm_id)
        home = vm if outcome.point.backup else ResourceId.parse(outcome.point.id)
        outcome.safety_restore_point = restore_point_id(
            home.subscription,
            home.group,
            default_collection(vm.name) if outcome.point.backup else home.name,
            f"{SAFETY_PREFIX}{now.strftime('%Y%m%dT%H%M%S')}",
        )
    outcome.power_state = "running" if swap.ran else "deallocated"
    outcome.before = {"disks": _listing(swap.original)}
    outcome.after = {"disks": _listing(swap.wanted)}


def _listing(disks: Attachments) -> dict[str, str]:
    return {role(lun): disk_id(disks[lun]) for lun in sorted(disks, key=by_place)}


def _restore(arm: ArmClient, swap: Swap, request: Request, outcome: Outcome) -> None:
    try:
        create_disks(arm, swap.disks, swap.created)
        stop(arm, swap)
        if outcome.safety_restore_point:
            _take_safety_point(arm, outcome.safety_restore_point, swap.vm_id)
        attach(arm, swap, swap.wanted)
        if swap.ran:
            start_again(arm, swap, wait=request.wait)
    except VmguardError as error:
        raise undo(arm, swap, error) from error
    if request.old_disks == "delete":
        _delete_old(arm, outcome)


def _read(arm: ArmClient, swap: Swap) -> dict[str, Any]:
    return get_vm(arm, swap.group, swap.name, instance_view=True)


def stop(arm: ArmClient, swap: Swap) -> None:
    """Deallocate the machine unless it is: the disk behind an OS disk changes only then."""
    if power_state(_read(arm, swap)) != "deallocated":
        deallocate(arm, swap.group, swap.name)


def start_again(arm: ArmClient, swap: Swap, *, wait: bool = True) -> None:
    if power_state(_read(arm, swap)) != "running":
        start(arm, swap.group, swap.name, wait=wait)


def attach(arm: ArmClient, swap: Swap, wanted: Attachments) -> None:
    """Bring the machine to these attachments, from whatever it has now."""
    for _update in range(MOST_UPDATES):
        steps = machine.with_disks(_read(arm, swap), wanted)
        if not steps:
            return
        put_vm(arm, swap.group, swap.name, steps[0])
    if machine.with_disks(_read(arm, swap), wanted):
        raise AzureError(
            f"Azure accepted the new disks of {swap.name}, but the machine does not have them.",
            code="DisksNotAttached",
            operation="update virtual machine",
            resource=swap.vm_id,
        )


def _take_safety_point(arm: ArmClient, point_id: str, vm_id: str) -> None:
    """A restore point of the stopped machine, so that a restore can itself be undone."""
    parsed = ResourceId.parse(point_id)
    if get_collection(arm, parsed.group, parsed.name) is None:
        location = get_vm(arm, ResourceId.parse(vm_id).group, ResourceId.parse(vm_id).name)[
            "location"
        ]
        body = {"location": location, "properties": {"source": {"id": vm_id}}}
        home = point_id.rpartition("/restorePoints/")[0]
        operation = "restore_point_collections.create_or_update"
        arm.put(operation, home, parsed.group, parsed.name, body=body)
    name = parsed.child_names[0]
    arm.run("restore_points.begin_create", point_id, parsed.group, parsed.name, name, body={})


def _check_safety(arm: ArmClient, point_id: str, vm: dict[str, Any]) -> None:
    parsed = ResourceId.parse(point_id)
    home = need_collection(arm, parsed.group, parsed.name)
    if not same_id(source_id(home), vm["id"]):
        raise InputError(
            f"The collection {parsed.name} is not one of {vm['name']} itself, so no safety restore point"
            " can be taken in it; say safety_restore_point: false to do without.",
            resource=home["id"],
        )


def undo(arm: ArmClient, swap: Swap, error: VmguardError) -> RestoreFailed:
    """Put the original disks back, start the machine if it ran, delete the new disks."""
    arm.deadline.ensure(UNDO_SECONDS)
    try:
        persist(lambda: _put_back(arm, swap))
    except VmguardError as second:
        disks = ", ".join(f"{role} = {disk}" for role, disk in _listing(swap.original).items())
        return RestoreFailed.after(
            error,
            f"Putting the original disks back failed as well: {second.message}",
            hint=f"Attach the original disks of {swap.name} yourself ({disks}); none of them was deleted.",
        )
    state = "it runs again" if swap.ran else "it is stopped and can be started"
    try:
        if swap.ran:
            persist(lambda: start_again(arm, swap))
    except VmguardError:
        state = "it is stopped and can be started, but starting it failed"
    _gone, left = remove_disks(arm, [disk.id for disk in swap.created])
    undone = f"{swap.name} is on its original disks; {state}."
    if left:
        names = ", ".join(disk.rsplit("/", 1)[1] for disk in left)
        undone += f" These new disks could not be deleted: {names}."
    # What was undone cannot be picked up again, whatever the hint of a timeout says.
    late = isinstance(error, OperationTimeout)
    hint = "Run the task again with a longer wait_timeout; it starts over." if late else None
    failure = RestoreFailed.after(error, undone, hint=hint)
    failure.result = {
        "vm": {
            "id": swap.vm_id,
            "name": swap.name,
            "power_state": "running" if swap.ran else "stopped",
        }
    }
    return failure


def _put_back(arm: ArmClient, swap: Swap) -> None:
    vm = arm.wait_until(
        lambda: _read(arm, swap),
        lambda seen: seen["properties"]["provisioningState"] not in ("Creating", "Updating"),
        operation="update virtual machine",
        resource=swap.vm_id,
    )
    if machine.with_disks(vm, swap.original):
        stop(arm, swap)
        attach(arm, swap, swap.original)


def _delete_old(arm: ArmClient, outcome: Outcome) -> None:
    gone, left = remove_disks(arm, outcome.deleted_disks)
    outcome.deleted_disks, outcome.kept_disks = gone, left
    for disk in left:
        outcome.warnings.append(
            f"The machine is restored, but its old disk {disk.rsplit('/', 1)[1]} could not be deleted."
        )
