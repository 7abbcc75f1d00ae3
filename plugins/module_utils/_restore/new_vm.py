# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore to a new virtual machine, or to disks alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .._arm.client import ArmClient
from .._compute.disks import find_disk
from .._compute.ids import ResourceId, resource_id, same_id, same_location
from .._compute.restore_point_collections import get_collection, source_id
from .._compute.storage_profile import access_properties, attached_disks, disk_id
from .._compute.virtual_machines import deallocate, delete_vm, find_vm, get_vm, power_state, put_vm
from .._errors import InputError, NotFound, OperationTimeout, VmguardError
from . import machine, plan
from .backup_source import elsewhere, original_disk, source_of
from .disks import create_disks, persist, remove_disks, settle_names
from .network import plan_network
from .plan import Point, TargetDisk
from .request import UNDO_SECONDS, Outcome, Request, RestoreFailed

GROUP_API_VERSION = "2021-04-01"
Write = Callable[[Callable[[], Any]], Any]

_VM_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?")


def check_vm_name(name: str, os_type: str | None) -> str:
    """A name that Azure accepts for a virtual machine (64 characters, 15 for Windows).

    Raises:
        InputError: for any other name.
    """
    limit = 15 if os_type == "Windows" else 64
    if not _VM_NAME.fullmatch(name) or len(name) > limit or name.isdigit():
        raise InputError(
            f"{name!r} is not a name that Azure accepts for a virtual machine: 1 to {limit} letters,"
            " digits, '_', '.' and '-', beginning with a letter or digit, not ending with '.' or '-'"
            " and not made of digits alone."
        )
    return name


def read_source_vm(arm: ArmClient, point: Point, request: Request) -> dict[str, Any] | None:
    """The machine that the point was taken of, while it exists."""
    if point.backup:
        return _backed_up_vm(arm, point)
    group, name = request.group, request.vm
    if not (group and name):
        source = _collection_source(arm, point)
        if source is None or source.type.lower() != "virtualmachines":
            return None
        group, name = source.group, source.name
    found = find_vm(arm, group, name)
    return found if found and _is_source(found, point) else None


def _backed_up_vm(arm: ArmClient, point: Point) -> dict[str, Any] | None:
    """The machine of a backup: as it is while it exists, else as it was described then."""
    source = source_of(point)
    if source is None or elsewhere(point, arm.subscription_id):
        return point.vm
    found = find_vm(arm, source.group, source.name)
    return found if found and _is_source(found, point) else point.vm


def _collection_source(arm: ArmClient, point: Point) -> ResourceId | None:
    """What the point's collection belongs to; a copy's collection leads to that of its source."""
    parsed = ResourceId.parse(point.id)
    for _hop in range(2):
        raw = get_collection(arm, parsed.group, parsed.name)
        if raw is None:
            return None
        parsed = ResourceId.parse(source_id(raw))
        if parsed.type.lower() == "virtualmachines":
            return parsed
    return None


def _is_source(vm: dict[str, Any], point: Point) -> bool:
    return vm["properties"].get("vmId", "").lower() == point.metadata.get("vmId", "").lower()


def choose_disks(
    point: Point, request: Request
) -> tuple[list[plan.SourceDisk], list[dict[str, Any]]]:
    """The disks to restore, and those left out with the reason."""
    chosen, left_out = plan.select(point.disks, request.exclude_disks)
    excluded = point.excluded + [
        {"id": disk.source_id, "name": disk.name, "reason": "ExcludedByRequest"}
        for disk in left_out
    ]
    if not chosen:
        raise InputError("No disk is left to restore: exclude_disks names all of them.")
    return chosen, excluded


def plan_disks(
    arm: ArmClient,
    point: Point,
    request: Request,
    chosen: list[plan.SourceDisk],
    *,
    group: str,
    vm: str,
    source_vm: str,
    zones: list[str] | None,
    mark: str,
    replaces: dict[int | None, str] | None = None,
) -> list[TargetDisk]:
    """The target disks with their names and bodies."""
    pattern = request.disk_name_pattern or plan.DEFAULT_PATTERNS[request.target]
    tags = {**request.tags, **plan.identity_tags(point, mark)}
    disks = []
    sizes = plan.wanted_sizes(point.disks, request.disk_sizes)
    for source in chosen:
        name = plan.disk_name(pattern, source, vm=vm, source_vm=source_vm, point=point)
        own = dict(tags)
        replaced = (replaces or {}).get(source.lun, "")
        if replaced and len(replaced) <= plan.TAG_VALUE_LIMIT:
            own[plan.REPLACES_TAG] = replaced
        original = _original(arm, point, source)
        body = plan.disk_body(
            source,
            point,
            tags=own,
            original=original,
            zones=zones,
            sku=request.disk_sku,
            encryption_set_id=request.disk_encryption_set_id,
            size_gb=sizes.get(source.lun),
        )
        disk = plan.target_disk(arm.subscription_id, group, name, source, body)
        if source.image:
            disk.fill = point.fill
            disk.finish = access_properties((original or {}).get("properties") or {})
            if sizes.get(source.lun, source.size_gb) > source.size_gb:
                disk.finish["diskSizeGB"] = sizes[source.lun]
        disks.append(disk)
    plan.check_distinct(disks)
    return disks


def _original(arm: ArmClient, point: Point, source: plan.SourceDisk) -> dict[str, Any] | None:
    if point.backup:
        return original_disk(point, source, arm.subscription_id)
    return find_disk(arm, source.source_id) if source.source_id else None


def restore_disks(arm: ArmClient, point: Point, request: Request, write: Write) -> Outcome:
    """Make disks of a restore point, attached to nothing."""
    source_vm = read_source_vm(arm, point, request)
    source_name = source_vm["name"] if source_vm else request.vm or "vm"
    group = request.new_group or request.group or point.group
    need_group(arm, group)
    chosen, excluded = choose_disks(point, request)
    mark = plan.identity(point.id, "disks", f"{group}/{request.disk_name_pattern or ''}")
    zones = [request.zone] if request.zone else None
    disks = plan_disks(
        arm,
        point,
        request,
        chosen,
        group=group,
        vm=source_name,
        source_vm=source_name,
        zones=zones,
        mark=mark,
    )
    settle_names(arm, disks, mark, adopt=True)
    outcome = Outcome(point, "disks", disks, excluded, ready=True)
    missing = [disk for disk in disks if not disk.exists]
    outcome.before = {"disks": [disk.id for disk in disks if disk.exists]}
    outcome.after = {"disks": [disk.id for disk in disks]}
    if missing:
        write(lambda: _create_or_undo(arm, disks))
    outcome.message = f"{len(disks)} disks hold the content of {point.name}."
    return outcome


def _create_or_undo(arm: ArmClient, disks: list[TargetDisk]) -> None:
    created: list[TargetDisk] = []
    try:
        create_disks(arm, disks, created)
    except OperationTimeout:
        raise
    except VmguardError as error:
        raise undo_disks(arm, error, created) from error


def undo_disks(arm: ArmClient, error: VmguardError, created: list[TargetDisk]) -> RestoreFailed:
    """Delete what a failed restore made; the error that says so."""
    arm.deadline.ensure(UNDO_SECONDS)
    _gone, left = remove_disks(arm, [disk.id for disk in created])
    if left:
        names = ", ".join(disk.rsplit("/", 1)[1] for disk in left)
        return RestoreFailed.after(
            error,
            f"These disks of the failed restore could not be deleted: {names}.",
            hint="Delete them, then run the task again.",
        )
    return RestoreFailed.after(
        error, "What this restore had made was deleted again; nothing is left of it."
    )


def restore_new_vm(arm: ArmClient, point: Point, request: Request, write: Write) -> Outcome:
    """Make a new virtual machine of a restore point."""
    source_vm = read_source_vm(arm, point, request)
    source_name = source_vm["name"] if source_vm else request.vm or "vm"
    group = request.new_group or request.group or point.group
    chosen, excluded = choose_disks(point, request)
    if chosen[0].lun is not None:
        raise InputError(
            "A virtual machine needs its OS disk, and the restore point has none to restore."
        )
    name = check_vm_name(request.new_name or "", chosen[0].os_type)
    vm_id = resource_id(arm.subscription_id, group, "virtualMachines", name)
    mark = plan.identity(point.id, "new_vm", vm_id)
    need_group(arm, group)
    there = find_vm(arm, group, name, instance_view=True)
    if there is not None:
        return _restored_before(arm, there, mark, point, chosen, excluded, request)
    zones = _zones(request, source_vm, point)
    network = plan_network(arm, request, source_vm, point, name)
    disks = plan_disks(
        arm,
        point,
        request,
        chosen,
        group=group,
        vm=name,
        source_vm=source_name,
        zones=zones,
        mark=mark,
    )
    notes = settle_names(arm, disks, mark, adopt=False)
    tags = {
        **((source_vm or {}).get("tags") or {}),
        **request.tags,
        **plan.identity_tags(point, mark),
    }
    body = machine.new_body(
        point,
        disks,
        source_vm=source_vm,
        size=request.size,
        network=network,
        tags=tags,
        zones=zones,
    )
    outcome = Outcome(point, "new_vm", disks, excluded, vm_id=vm_id, warnings=notes)
    outcome.after = {"vm": body, "disks": [disk.id for disk in disks]}
    outcome.power_state = "running" if request.start else "deallocated"
    write(lambda: _make(arm, ResourceId.parse(vm_id), body, disks, request))
    outcome.ready = True
    outcome.message = f"{name} was made of {point.name}."
    return outcome


def _restored_before(
    arm: ArmClient,
    vm: dict[str, Any],
    mark: str,
    point: Point,
    chosen: list[plan.SourceDisk],
    excluded: list[dict[str, Any]],
    request: Request,
) -> Outcome:
    """The outcome of the same restore done earlier; anything else of that name is not touched."""
    if not plan.tagged(vm, mark):
        raise InputError(
            f"The virtual machine {vm['name']} exists in resource group {ResourceId.parse(vm['id']).group}"
            " and was not made by this restore; restoring over it is refused.",
            code="VmExists",
            resource=vm["id"],
            hint="Give another new_name, or use target: in_place to roll a machine back.",
        )
    parsed = ResourceId.parse(vm["id"])
    if request.wait and vm["properties"].get("provisioningState") in ("Creating", "Updating"):
        vm = arm.wait_until(
            lambda: get_vm(arm, parsed.group, parsed.name, instance_view=True),
            lambda seen: seen["properties"]["provisioningState"] not in ("Creating", "Updating"),
            operation="create virtual machine",
            resource=vm["id"],
        )
    if vm["properties"].get("provisioningState") == "Failed":
        raise InputError(
            f"The virtual machine {vm['name']} of this restore is in the state Failed;"
            " delete it and run the task again.",
            code="VmFailed",
            resource=vm["id"],
        )
    entries = attached_disks(vm)
    disks = []
    for source in chosen:
        entry = entries.get(source.lun)
        if entry is not None:
            disks.append(machine.restored_disk(source, entry, request.disk_sku))
    outcome = Outcome(point, "new_vm", disks, excluded, vm_id=vm["id"], reason="AlreadyRestored")
    outcome.ready = vm["properties"].get("provisioningState") == "Succeeded"
    outcome.power_state = power_state(vm)
    outcome.message = f"{vm['name']} was made of {point.name} by an earlier run."
    return outcome


def _zones(request: Request, source_vm: dict[str, Any] | None, point: Point) -> list[str] | None:
    if request.zone:
        return [request.zone]
    if source_vm and same_location(source_vm["location"], point.location):
        return source_vm.get("zones")
    return None


def need_group(arm: ArmClient, group: str) -> None:
    """Check that a resource group exists.

    Raises:
        NotFound: it does not.
    """
    described = f"/subscriptions/{arm.subscription_id}/resourceGroups/{group}"
    try:
        arm.get(described, GROUP_API_VERSION)
    except NotFound as error:
        raise NotFound(
            f"There is no resource group {group} in the subscription {arm.subscription_id}.",
            code=error.code,
            resource=described,
            hint="Create it first, or name another one.",
        ) from error


def _make(
    arm: ArmClient, vm: ResourceId, body: dict[str, Any], disks: list[TargetDisk], request: Request
) -> None:
    created: list[TargetDisk] = []
    try:
        create_disks(arm, disks, created)
        put_vm(arm, vm.group, vm.name, body, wait=request.wait or not request.start)
        if not request.start:
            deallocate(arm, vm.group, vm.name, wait=request.wait)
    except OperationTimeout:
        raise  # Azure goes on; the next run finds the disks and the machine by their tags.
    except VmguardError as error:
        raise _undo_vm(arm, error, vm, created) from error


def _undo_vm(
    arm: ArmClient, error: VmguardError, vm: ResourceId, created: list[TargetDisk]
) -> RestoreFailed:
    arm.deadline.ensure(UNDO_SECONDS)

    def delete() -> None:
        found = find_vm(arm, vm.group, vm.name)
        made_here = {disk.id.lower() for disk in created}
        if found and any(
            same_id(disk_id(one), made)
            for one in attached_disks(found).values()
            for made in made_here
        ):
            delete_vm(arm, vm.group, vm.name)

    try:
        persist(delete)
    except VmguardError:
        return RestoreFailed.after(
            error,
            f"The unfinished machine {vm.name} could not be deleted; it is not a restored machine.",
            hint=f"Delete {vm.name} and its disks, then run the task again.",
        )
    return undo_disks(arm, error, created)
