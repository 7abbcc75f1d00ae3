# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the restore point to restore from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..._arm.client import ArmClient
from ..._compute.ids import SAFETY_PREFIX, ResourceId, resource_id, restore_point_id
from ..._compute.restore_point_collections import collections_of_vm, need_collection
from ..._compute.restore_points import collection_points, get_point, parse_point_id, shape_point
from ..._compute.status import parse_time
from ..._compute.storage_profile import disk_entries, disk_restore_point_id
from ..._compute.virtual_machines import get_vm
from ..._errors import InputError, NotFound
from ..plan import Point, Raw, SourceDisk

LATEST = "latest"


@dataclass(frozen=True)
class PointWanted:
    """What the user asked for: a point by id, by name in a collection, the latest, or the one at a time."""

    group: str | None
    vm: str | None
    collection: str | None
    collection_group: str | None
    restore_point: str | None
    at: str | None


def find_point(arm: ArmClient, wanted: PointWanted) -> Point:
    """The restore point, ready to restore from.

    Raises:
        InputError: it cannot be told which one, or it is not ready.
        NotFound: there is none.
    """
    if wanted.restore_point and "/" in wanted.restore_point:
        parsed = parse_point_id(wanted.restore_point)
        return _named(arm, parsed.group, parsed.name, parsed.child_names[0])
    places = _places(arm, wanted)
    if wanted.restore_point and wanted.restore_point.lower() != LATEST:
        group, collection = _one_place(places, wanted)
        return _named(arm, group, collection, wanted.restore_point)
    return _chosen(arm, places, wanted)


def _places(arm: ArmClient, wanted: PointWanted) -> list[tuple[str, str]]:
    """Resource group and name of the collections to look in."""
    group = wanted.collection_group or wanted.group
    if wanted.collection:
        if "/" in wanted.collection:
            parsed = ResourceId.parse(wanted.collection)
            return [(parsed.group, parsed.name)]
        if not group:
            raise InputError("resource_group is needed to find the collection by its name.")
        return [(group, wanted.collection)]
    if not (wanted.vm and wanted.group):
        raise InputError(
            "Say what to restore: restore_point (an id), or collection, or vm and resource_group."
        )
    vm_id = resource_id(arm.subscription_id, wanted.group, "virtualMachines", wanted.vm)
    homes = [ResourceId.parse(raw["id"]) for raw in collections_of_vm(arm, vm_id)]
    found = [(home.group, home.name) for home in homes]
    if not found:
        get_vm(arm, wanted.group, wanted.vm)  # Where it does not exist either, that is the reason.
        raise NotFound(
            f"The virtual machine {wanted.vm} in {wanted.group} has no restore point collection.",
            resource=vm_id,
            hint="Name the collection, or take a restore point first.",
        )
    return found


def _one_place(places: list[tuple[str, str]], wanted: PointWanted) -> tuple[str, str]:
    if len(places) == 1:
        return places[0]
    names = ", ".join(f"{group}/{name}" for group, name in places)
    raise InputError(
        f"{wanted.vm} has several restore point collections ({names}); say with collection which one"
        f" holds {wanted.restore_point}."
    )


def _named(arm: ArmClient, group: str, collection: str, name: str) -> Point:
    home = need_collection(arm, group, collection)
    described = restore_point_id(arm.subscription_id, group, collection, name)
    raw = get_point(arm, group, collection, name, expand=True)
    if raw is None:
        raise NotFound(
            f"There is no restore point {name!r} in collection {collection}.",
            resource=described,
            hint="restore_point_info shows what there is.",
        )
    if reason := why_not_ready(raw):
        raise InputError(
            f"The restore point {name} in collection {collection} cannot be restored from: {reason}",
            code="RestorePointNotReady",
            resource=described,
        )
    return make_point(raw, home["location"])


def _chosen(arm: ArmClient, places: list[tuple[str, str]], wanted: PointWanted) -> Point:
    limit = parse_time(wanted.at) if wanted.at else None
    candidates = [
        (point_time(raw), raw, home["location"])
        for home in (need_collection(arm, group, name, expand=True) for group, name in places)
        for raw in collection_points(arm, home)
        if not raw["name"].startswith(SAFETY_PREFIX)
    ]
    ready = [
        (moment, raw, location)
        for moment, raw, location in candidates
        if (limit is None or moment <= limit) and why_not_ready(raw) is None
    ]
    if ready:
        _moment, raw, location = max(ready, key=lambda candidate: candidate[0])
        return make_point(raw, location)
    looked = ", ".join(f"{group}/{name}" for group, name in places)
    when = f" taken at {wanted.at} or before" if wanted.at else ""
    raise NotFound(
        f"There is no restore point{when} that is ready, among {len(candidates)} in {looked}.",
        hint="restore_point_info shows what there is.",
    )


def point_time(raw: Raw) -> datetime:
    return parse_time(raw["properties"]["timeCreated"])


def why_not_ready(raw: Raw) -> str | None:
    """The reason why a restore point cannot be restored from, None when it can."""
    shaped = shape_point(raw)
    if shaped["ready_to_use"]:
        return None
    holding = next(one for one in shaped["conditions"] if one["status"] == "True")
    return f"{holding['reason']}: {holding['message']}"


def make_point(raw: Raw, location: str) -> Point:
    properties = raw["properties"]
    metadata = properties["sourceMetadata"]
    return Point(
        id=raw["id"],
        location=location,
        metadata=metadata,
        time=properties["timeCreated"],
        consistency=properties.get("consistencyMode"),
        disks=source_disks(metadata),
        excluded=[
            {
                "id": item["id"],
                "name": item["id"].rsplit("/", 1)[1],
                "reason": "ExcludedFromRestorePoint",
            }
            for item in properties.get("excludeDisks") or []
        ],
    )


def source_disks(metadata: Raw) -> list[SourceDisk]:
    """The disks of a restore point: the OS disk first, then by LUN."""
    return [
        _source_disk(entry, entry.get("lun"))
        for entry in disk_entries(metadata)
        if disk_restore_point_id(entry)
    ]


def _source_disk(disk: Raw, lun: int | None) -> SourceDisk:
    kept = disk["diskRestorePoint"]
    encryption = kept.get("encryption") or {}
    managed = disk.get("managedDisk") or {}
    return SourceDisk(
        name=disk["name"],
        lun=lun,
        disk_restore_point_id=kept["id"],
        source_id=managed.get("id", ""),
        size_gb=disk.get("diskSizeGB") or 0,
        sku=managed.get("storageAccountType") or "Standard_LRS",
        caching=disk.get("caching") or "None",
        write_accelerator=bool(disk.get("writeAcceleratorEnabled")),
        encryption_set_id=(encryption.get("diskEncryptionSet") or {}).get("id"),
        os_type=disk.get("osType"),
        encryption_type=encryption.get("type"),
    )
