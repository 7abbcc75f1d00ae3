# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every target needs to know before it plans: the source machine, the disks, the resource group."""

from __future__ import annotations

import re

from .._arm.client import ArmClient
from .._compute.disks import find_disk
from .._compute.ids import ResourceId, resource_id
from .._compute.restore_point_collections import get_collection, source_id
from .._compute.virtual_machines import find_vm
from .._errors import InputError, NotFound
from . import plan
from .plan import DiskPlan, Point, Raw, SourceDisk
from .request import Request
from .source.backup import elsewhere, original_disk, source_of

# Run, content and replacement tags, and a record of up to 64 disks.
_TAGS_OF_A_RUN = 16
GROUP_API_VERSION = "2021-04-01"

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
    found = find_vm(arm, group, name)
    return found if found and _is_source(found, point) else None


def _backed_up_vm(arm: ArmClient, point: Point) -> Raw | None:
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


def plan_disks(
    arm: ArmClient,
    point: Point,
    request: Request,
    chosen: list[SourceDisk],
    *,
    group: str,
    vm: str,
    source_vm: str,
    zones: list[str] | None,
    restore_id: str,
    notes: list[str] | None = None,
) -> list[DiskPlan]:
    """The target disks with their names and requests.

    Args:
        notes: grows by a sentence for each disk that cannot have all tags of the one it replaces.

    Raises:
        InputError: a name, a pattern or a size that cannot be.
    """
    notes = [] if notes is None else notes
    pattern = request.disk_name_pattern or plan.DEFAULT_PATTERNS[request.target]
    tags = {**request.tags, **plan.identity_tags(point, restore_id)}
    sizes = plan.wanted_sizes(point.disks, request.disk_sizes)
    disks = []
    for source in chosen:
        name = plan.disk_name(pattern, source, vm=vm, source_vm=source_vm, point=point)
        disks.append(
            plan.plan_disk(
                source,
                point,
                resource_id(arm.subscription_id, group, "disks", name),
                tags=tags,
                original=_with_room(_original(arm, point, source), len(tags), notes),
                zones=zones,
                sku=request.disk_sku,
                encryption_set_id=request.disk_encryption_set_id,
                size_gb=sizes.get(source.lun),
            )
        )
    plan.check_distinct(disks)
    return disks


def _with_room(original: Raw | None, more: int, notes: list[str]) -> Raw | None:
    """The disk with as many of its tags as fit beside those of the restore and its record."""
    tags = plan.foreign_tags(original)
    room = max(0, plan.TAG_LIMIT - _TAGS_OF_A_RUN - more)
    if original is None or len(tags) <= room:
        return original
    left_out = sorted(tags)[room:]
    notes.append(
        f"The disk {original['name']} has {len(tags)} tags; its restored copy does not get"
        f" {', '.join(left_out)}, because Azure allows {plan.TAG_LIMIT} and the restore needs some."
    )
    return {**original, "tags": {name: tags[name] for name in sorted(tags)[:room]}}


def _original(arm: ArmClient, point: Point, source: SourceDisk) -> Raw | None:
    if point.backup:
        return original_disk(point, source, arm.subscription_id)
    return find_disk(arm, source.source_id) if source.source_id else None


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
