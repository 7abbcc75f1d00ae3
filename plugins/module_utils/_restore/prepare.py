# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every target needs to know before it plans: the source machine, the disks, the resource group."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from .._arm.client import ArmClient
from .._compute.ids import ResourceId, resource_id, same_location
from .._compute.restore_point_collections import get_collection, source_id
from .._compute.storage_profile import Lun
from .._compute.virtual_machines import find_vm
from .._errors import InputError, NotFound
from . import plan
from .disk_request import TRUSTED_LAUNCH, Wishes, plan_disk
from .facts import Facts, read_facts
from .losses import disk_losses, trusted_launch_note
from .plan import DiskPlan, Point, Raw, SourceDisk
from .refusals import Known, refuse_impossible
from .request import Request
from .source.backup import elsewhere, source_of

# Run, content and replacement tags, and a record of up to 64 disks.
_TAGS_OF_A_RUN = 16

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


def read_source_vm(arm: ArmClient, point: Point, request: Request) -> Raw | None:
    """The machine that the point was taken of, while it exists."""
    if point.backup:
        return _backed_up_vm(arm, point)
    group, name = request.group, request.vm
    if not (group and name):
        source = _collection_source(arm, point)
        if source is None or source.type.lower() != "virtualmachines":
            return None
        group, name = source.group, source.name
    found = find_vm(arm, group, name, user_data=True)
    return found if found and _is_source(found, point) else None


def _backed_up_vm(arm: ArmClient, point: Point) -> Raw | None:
    """The machine of a backup: as it is while it exists, else as it was described then."""
    source = source_of(point)
    if source is None or elsewhere(point, arm.subscription_id):
        return point.vm
    found = find_vm(arm, source.group, source.name, user_data=True)
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


def _is_source(vm: Raw, point: Point) -> bool:
    return vm["properties"].get("vmId", "").lower() == point.metadata.get("vmId", "").lower()


def choose_disks(point: Point, request: Request) -> tuple[list[SourceDisk], list[Raw]]:
    """The disks to restore, and those left out with the reason.

    Raises:
        InputError: an entry of exclude_disks matches none, or none is left.
    """
    chosen, left_out = plan.select(point.disks, request.exclude_disks)
    excluded = point.excluded + [
        {"id": disk.source_id, "name": disk.name, "reason": "ExcludedByRequest"}
        for disk in left_out
    ]
    if not chosen:
        raise InputError("No disk is left to restore: exclude_disks names all of them.")
    return chosen, excluded


def zones_here(request: Request, source_vm: Raw | None, point: Point) -> list[str] | None:
    """The zone that is asked for, else that of the source machine where it is of this region."""
    if request.zone:
        return [request.zone]
    if source_vm and same_location(source_vm["location"], point.location):
        return source_vm.get("zones")
    return None


def read_disks(
    arm: ArmClient,
    point: Point,
    chosen: list[SourceDisk],
    notes: list[str],
    current: Mapping[Lun, Raw | None] | None = None,
) -> Known:
    """The disks to restore, with what is known of each beside its content.

    Args:
        current: the disks of the machine that is restored in place, by LUN.
    """
    there = current or {}
    return [
        (one, read_facts(arm, point, one, notes, in_its_place=there.get(one.lun))) for one in chosen
    ]


def plan_disks(
    arm: ArmClient,
    point: Point,
    request: Request,
    known: Known,
    *,
    group: str,
    vm: str,
    source_vm: str,
    zones: list[str] | None,
    security_type: str | None,
    restore_id: str,
    notes: list[str],
) -> list[DiskPlan]:
    """The target disks with their names and requests.

    Args:
        zones: of all of them; without a machine, of those of which nobody knows theirs.
        security_type: of the machine that they are for.
        notes: grows by a sentence for each thing that the disks cannot have.

    Raises:
        InputError: a name, a pattern or a size that cannot be, or a restore that cannot work.
    """
    wishes = Wishes(zones, request.disk_sku, request.disk_encryption_set_id, security_type)
    refuse_impossible(point, known, wishes, request.target, notes)
    notes += disk_losses(point, known, request.disk_sku)
    pattern = request.disk_name_pattern or plan.DEFAULT_PATTERNS[request.target]
    tags = {**request.tags, **plan.identity_tags(point, restore_id)}
    sizes = plan.wanted_sizes(point.disks, request.disk_sizes)
    # A disk that is for no machine stays where it was.
    moved = bool(request.zone) or request.target != "disks"
    disks = []
    for source, facts in known:
        name = plan.disk_name(pattern, source, vm=vm, source_vm=source_vm, point=point)
        disks.append(
            plan_disk(
                source,
                point,
                resource_id(arm.subscription_id, group, "disks", name),
                _with_room(facts, len(tags), notes),
                wishes if moved or facts.original is None else replace(wishes, zones=facts.zones),
                tags=tags,
                size_gb=sizes.get(source.lun),
            )
        )
        if source.image and source.lun is None and security_type == TRUSTED_LAUNCH:
            starts = vm if request.target != "disks" else "A machine of these disks"
            notes.append(trusted_launch_note(point, starts))
    plan.check_distinct(disks)
    return disks


def _with_room(facts: Facts, more: int, notes: list[str]) -> Facts:
    """The disk with as many of its tags as fit beside those of the restore and its record."""
    original = facts.original
    tags = plan.foreign_tags(original)
    room = max(0, plan.TAG_LIMIT - _TAGS_OF_A_RUN - more)
    if original is None or len(tags) <= room:
        return facts
    left_out = sorted(tags)[room:]
    notes.append(
        f"The disk {original['name']} has {len(tags)} tags; its restored copy does not get"
        f" {', '.join(left_out)}, because Azure allows {plan.TAG_LIMIT} and the restore needs some."
    )
    kept = {name: tags[name] for name in sorted(tags)[:room]}
    return replace(facts, original={**original, "tags": kept})


def need_group(arm: ArmClient, group: str) -> None:
    """Check that a resource group exists.

    Raises:
        NotFound: it does not.
    """
    described = f"/subscriptions/{arm.subscription_id}/resourceGroups/{group}"
    try:
        arm.get(described)
    except NotFound as error:
        raise NotFound(
            f"There is no resource group {group} in the subscription {arm.subscription_id}.",
            code=error.code,
            resource=described,
            hint="Create it first, or name another one.",
        ) from error
