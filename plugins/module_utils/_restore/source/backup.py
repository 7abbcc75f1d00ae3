# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the image backup to restore from, and what it knows of its machine."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ..._compute.ids import ResourceId, same_location
from ..._compute.status import parse_time
from ..._compute.storage_profile import by_place
from ..._errors import InputError, VmguardError
from ..._repository import catalog, manifest
from ..._repository.errors import BackupNotFound, DamagedObject
from ..._repository.manifest import DiskImage, Manifest
from ..._repository.repository import Repository
from ..plan import Fill, Point, SourceDisk

LATEST = "latest"
GIB = 1 << 30
Raw = dict[str, Any]


@dataclass(frozen=True)
class BackupWanted:
    """What the user asked for: a backup by id, the latest of a machine, or the one at a time.

    Args:
        fill: makes a disk of an image; None where no disk in Azure is made.
        location: the region to restore in, None for that of the machine.
        subscription: the one to restore in.
    """

    repository: Repository
    group: str | None
    vm: str | None
    backup: str | None
    at: str | None
    fill: Fill | None = None
    location: str | None = None
    subscription: str | None = None


def find_backup(wanted: BackupWanted) -> Point:
    """The backup, as a point to restore from.

    Raises:
        BackupNotFound, InputError: there is none, or it cannot be told which one.
        DamagedObject: it cannot be read.
    """
    return make_point(choose_backup(wanted), wanted)


def choose_backup(wanted: BackupWanted) -> Manifest:
    """The manifest of the backup that is wanted. Raises: as ``find_backup``."""
    if wanted.backup and wanted.backup.lower() != LATEST:
        found = manifest.find(wanted.repository, wanted.backup)
        if wanted.vm and found.vm["name"].lower() != wanted.vm.lower():
            raise InputError(
                f"The backup {found.id} is one of {found.vm['name']}, not of {wanted.vm}.",
                code="OtherVm",
            )
        return found
    if not wanted.vm:
        raise InputError("Say what to restore: backup (an id), or vm.")
    limit = parse_time(wanted.at) if wanted.at else None
    for name in reversed(catalog.of_vm(wanted.repository, wanted.vm, wanted.group)):
        try:
            found = manifest.read(wanted.repository, name)
        except DamagedObject:
            # A backup that began later, as its id says, is not the one that is looked for.
            if limit is None or not _is_later(name, limit):
                raise
            continue
        if limit is None or parse_time(found.started) <= limit:
            return found
    when = f" of {wanted.at} or before" if wanted.at else ""
    raise BackupNotFound(
        f"There is no backup{when} of {wanted.vm} in {wanted.repository.store.description}.",
        resource=wanted.vm,
        hint="backup_info lists the backups of a repository.",
    )


def _is_later(name: str, limit: datetime) -> bool:
    """Whether a manifest's id says that the backup began after this moment."""
    stamp = f"{limit.astimezone(timezone.utc):%Y%m%dt%H%M%Sz}"
    return name.rpartition("/")[2][: len(stamp)] > stamp


def make_point(backup: Manifest, wanted: BackupWanted) -> Point:
    """A backup as a point, like a restore point is one."""
    try:
        vm = backup.configuration["virtual_machine"]
        metadata = dict(vm["properties"])
        disks = [_source_disk(image, backup, wanted) for image in backup.disks]
        location = str(vm["location"])
        excluded = [dict(one) for one in backup.excluded_disks]
        interfaces = list(backup.configuration.get("network_interfaces") or [])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VmguardError(
            f"The configuration in the backup {backup.id} is not that of a virtual machine.",
            code="InvalidConfiguration",
        ) from error
    os_facts = next((image.facts for image in backup.disks if image.lun is None), {})
    if os_facts.get("hyper_v_generation"):
        metadata["hyperVGeneration"] = os_facts["hyper_v_generation"]
    return Point(
        id=f"{wanted.repository.id}/{backup.id}",
        location=wanted.location or location,
        metadata=metadata,
        time=backup.started,
        consistency=backup.source.get("consistency"),
        disks=sorted(disks, key=lambda disk: by_place(disk.lun)),
        excluded=excluded,
        backup=backup,
        vm=vm,
        interfaces=interfaces,
        fill=wanted.fill,
    )


def _source_disk(image: DiskImage, backup: Manifest, wanted: BackupWanted) -> SourceDisk:
    facts = image.facts
    encryption = facts.get("encryption") or {}
    set_id = encryption.get("diskEncryptionSetId")
    here = wanted.location is None or same_location(
        wanted.location, str(backup.vm.get("location") or "")
    )
    here = here and wanted.subscription == backup.vm.get("subscription_id")
    return SourceDisk(
        name=image.name,
        lun=image.lun,
        disk_restore_point_id="",
        source_id=image.source_id,
        size_gb=-(-image.size // GIB),
        sku=str(facts.get("sku") or "Standard_LRS"),
        caching=str(facts.get("caching") or "None"),
        write_accelerator=bool(facts.get("write_accelerator")),
        # A disk encryption set serves the disks of its own subscription and region.
        encryption_set_id=str(set_id) if set_id and here else None,
        os_type=facts.get("os_type"),
        encryption_type=encryption.get("type"),
        image=image,
    )


def source_of(point: Point) -> ResourceId | None:
    """The machine that a backup is of; None for a restore point."""
    return ResourceId.parse(point.backup.vm["id"]) if point.backup else None


def elsewhere(point: Point, subscription: str) -> bool:
    """Whether a backup's machine was in another subscription."""
    source = source_of(point)
    return source is not None and source.subscription.lower() != subscription.lower()


def original_disk(point: Point, source: SourceDisk, subscription: str) -> Raw | None:
    """The disk as it was described when it was backed up; what binds it to another region is left out."""
    if point.backup is None:
        return None
    found = next(
        (
            disk
            for disk in point.backup.configuration.get("disks") or []
            if str(disk.get("id", "")).lower() == source.source_id.lower()
        ),
        None,
    )
    if found is None:
        return None
    properties = dict(found.get("properties") or {})
    moved = not same_location(str(found.get("location") or ""), point.location)
    if moved or elsewhere(point, subscription):
        properties.pop("diskAccessId", None)
        properties.pop("encryption", None)
    return {**found, "properties": properties}
