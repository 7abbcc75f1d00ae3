# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore will do, worked out before anything is written. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .._compute.ids import ResourceId, check_name, resource_id, same_id
from .._compute.storage_profile import access_properties, disk_entries, disk_restore_point_id, role
from .._errors import InputError
from .._repository.manifest import DiskImage, Manifest

IDENTITY_TAG = "vmguard-restore"
SOURCE_TAG = "vmguard-restore-point"
REPLACES_TAG = "vmguard-replaces"
TAG_VALUE_LIMIT = 256
VHD_FOOTER = 512
DISK_NAME_LIMIT = 80

# Makes a disk in Azure, with its content.
Fill = Callable[[Any, "TargetDisk"], None]

DEFAULT_PATTERNS = {
    "new_vm": "{vm}_{role}",
    "in_place": "{vm}_{role}_{time}",
    "disks": "{disk}_{time}",
}


@dataclass(frozen=True)
class SourceDisk:
    """A disk as the restore point or backup knows it; ``image`` is set for a backup.

    ``lun`` is None for the OS disk; sizes are in GiB.
    """

    name: str
    lun: int | None
    disk_restore_point_id: str
    source_id: str
    size_gb: int
    sku: str
    caching: str
    write_accelerator: bool
    encryption_set_id: str | None
    os_type: str | None = None
    image: DiskImage | None = field(default=None, repr=False)

    @property
    def role(self) -> str:
        """``os``, or ``lun0`` and so on."""
        return role(self.lun)


@dataclass
class TargetDisk:
    """A disk to be made, and afterwards the one that was.

    Args:
        finish: properties that it gets after its content.
        stale: there is what a run that was killed has left of it, which has to go first.
        fill: makes it of an image; None where Azure makes it of a restore point.
    """

    source: SourceDisk
    group: str
    name: str
    body: dict[str, Any]
    id: str
    exists: bool = False
    finish: dict[str, Any] = field(default_factory=dict)
    stale: bool = False
    fill: Fill | None = field(default=None, repr=False)

    def result(self) -> dict[str, Any]:
        source = self.source
        return {
            "lun": source.lun,
            "role": source.role,
            "source_disk": source.name,
            "source_disk_id": source.source_id,
            "source_disk_restore_point": source.disk_restore_point_id or None,
            "target_disk": self.name,
            "target_disk_id": self.id,
            "caching": source.caching,
            "write_accelerator": source.write_accelerator,
            "size_gb": {**self.body["properties"], **self.finish}.get("diskSizeGB", source.size_gb),
            "sku": self.body["sku"]["name"],
        }


@dataclass(frozen=True)
class Point:
    """A restore point that is ready, with its collection's region; or an image backup.

    Args:
        backup, vm, interfaces: of an image backup: its manifest, and the machine and its network
            interfaces as they were described then.
        fill: makes the disks of an image backup.
    """

    id: str
    location: str
    metadata: dict[str, Any]
    time: str
    consistency: str | None
    disks: list[SourceDisk] = field(default_factory=list)
    excluded: list[dict[str, Any]] = field(default_factory=list)
    backup: Manifest | None = field(default=None, repr=False)
    vm: dict[str, Any] | None = field(default=None, repr=False)
    interfaces: list[dict[str, Any]] = field(default_factory=list, repr=False)
    fill: Fill | None = field(default=None, repr=False)

    @property
    def group(self) -> str:
        """The resource group of the collection, or of the machine that was backed up."""
        return ResourceId.parse(self.backup.vm["id"] if self.backup else self.id).group

    @property
    def noun(self) -> str:
        return "backup" if self.backup else "restore point"

    @property
    def name(self) -> str:
        return self.id.rsplit("/", 1)[1]

    @property
    def stamp(self) -> str:
        """The time as it appears in names: 20260901T101500."""
        return self.time[:19].replace("-", "").replace(":", "")


def source_disks(metadata: dict[str, Any]) -> list[SourceDisk]:
    """The disks of a restore point: the OS disk first, then by LUN."""
    return [
        _source_disk(entry, entry.get("lun"))
        for entry in disk_entries(metadata)
        if disk_restore_point_id(entry)
    ]


def _source_disk(disk: dict[str, Any], lun: int | None) -> SourceDisk:
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
    )


def identity(point_id: str, target: str, target_id: str) -> str:
    """What makes two restores the same: the point, the kind of target, the target. 32 hex digits."""
    text = "\n".join((point_id.lower(), target, target_id.lower()))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def identity_tags(point: Point, mark: str) -> dict[str, str]:
    """The tags by which a restore is found again. Tag values end at 256 characters."""
    named = point.id
    if len(named) > TAG_VALUE_LIMIT:
        named = f"{ResourceId.parse(point.id).name}/{point.name}"
    return {IDENTITY_TAG: mark, SOURCE_TAG: named}


def tagged(resource: dict[str, Any] | None, mark: str) -> bool:
    """Whether a resource was made by the restore with this identity."""
    return ((resource or {}).get("tags") or {}).get(IDENTITY_TAG) == mark


def disk_name(pattern: str, source: SourceDisk, *, vm: str, source_vm: str, point: Point) -> str:
    """A target disk's name from its pattern.

    Raises:
        InputError: for an unknown placeholder or a name that Azure refuses.
    """
    values = {
        "vm": vm,
        "source_vm": source_vm,
        "disk": source.name,
        "role": source.role,
        "point": point.name,
        "time": point.stamp,
    }
    try:
        name = pattern.format(**values)
    except (KeyError, IndexError, ValueError) as error:
        known = ", ".join(f"{{{key}}}" for key in values)
        raise InputError(
            f"disk_name_pattern {pattern!r} cannot be filled in ({error}); it may use {known}."
        ) from error
    if len(name) > DISK_NAME_LIMIT and pattern in DEFAULT_PATTERNS.values():
        mark = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: DISK_NAME_LIMIT - 9]}_{mark}"
    return check_name(name, "disk")


def check_distinct(disks: list[TargetDisk]) -> None:
    """Refuse two target disks of one name.

    Raises:
        InputError: naming both source disks.
    """
    seen: dict[str, TargetDisk] = {}
    for disk in disks:
        other = seen.setdefault(disk.name.lower(), disk)
        if other is not disk:
            raise InputError(
                f"disk_name_pattern gives {other.source.name} and {disk.source.name} the same name"
                f" {disk.name}; put {{role}} or {{disk}} into it."
            )


def disk_body(
    source: SourceDisk,
    point: Point,
    *,
    tags: dict[str, str],
    original: dict[str, Any] | None,
    zones: list[str] | None,
    sku: str | None,
    encryption_set_id: str | None,
    size_gb: int | None = None,
) -> dict[str, Any]:
    """The request that makes a disk of a disk restore point, or one to upload an image into.

    What the disk it replaces was set to (network access, encryption at rest) is kept where that
    disk still exists and nothing else was asked for.
    """
    kept = (original or {}).get("properties") or {}
    properties: dict[str, Any] = {"creationData": _creation(source)}
    if source.size_gb and not source.image:
        properties["diskSizeGB"] = size_gb or source.size_gb
    if source.lun is None:
        properties["osType"] = source.os_type
        properties.update(_os_disk_facts(point.metadata))
    set_id = encryption_set_id or source.encryption_set_id
    if set_id:
        kind = (kept.get("encryption") or {}).get("type")
        if not kind or kind == "EncryptionAtRestWithPlatformKey":
            kind = "EncryptionAtRestWithCustomerKey"
        properties["encryption"] = {"type": kind, "diskEncryptionSetId": set_id}
    if not source.image:
        properties.update(access_properties(kept))
    body: dict[str, Any] = {
        "location": point.location,
        "sku": {"name": sku or source.sku},
        "tags": {**((original or {}).get("tags") or {}), **tags},
        "properties": properties,
    }
    if zones:
        body["zones"] = zones
    return body


def _creation(source: SourceDisk) -> dict[str, Any]:
    if source.image:
        return {"createOption": "Upload", "uploadSizeBytes": source.image.size + VHD_FOOTER}
    return {"createOption": "Restore", "sourceResourceId": source.disk_restore_point_id}


def wanted_sizes(disks: list[SourceDisk], sizes: dict[str, Any]) -> dict[int | None, int]:
    """The sizes that were asked for, in GiB by LUN.

    Args:
        sizes: by name, LUN, id or ``os``.

    Raises:
        InputError: for a disk that is not there, or a size that does not hold it.
    """
    found: dict[int | None, int] = {}
    for entry, text in sizes.items():
        named, _rest = select(disks, [entry], option="disk_sizes")[::-1]
        try:
            size = int(text)
        except (TypeError, ValueError):
            raise InputError(f"disk_sizes: {text!r} is no size in GiB for {entry}.") from None
        for disk in named:
            if size < disk.size_gb:
                raise InputError(
                    f"disk_sizes: {disk.name} has {disk.size_gb} GiB and does not fit into {size} GiB.",
                    code="DiskTooSmall",
                )
            found[disk.lun] = size
    return found


def _os_disk_facts(metadata: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if metadata.get("hyperVGeneration"):
        facts["hyperVGeneration"] = metadata["hyperVGeneration"]
    security = (metadata.get("securityProfile") or {}).get("securityType")
    if security == "TrustedLaunch":
        facts["securityProfile"] = {"securityType": security}
    return facts


def select(
    disks: list[SourceDisk], exclude: list[str], option: str = "exclude_disks"
) -> tuple[list[SourceDisk], list[SourceDisk]]:
    """Part the disks into those to restore and those to leave out.

    Args:
        exclude: names, LUNs, resource ids, or ``os``.

    Raises:
        InputError: for an entry that matches no disk of the restore point.
    """
    left_out: list[SourceDisk] = []
    for entry in exclude:
        matches = [disk for disk in disks if _matches(disk, str(entry))]
        if not matches:
            there = ", ".join(f"{disk.name} ({disk.role})" for disk in disks)
            raise InputError(
                f"{option} names {entry!r}, which is no disk of the restore point or backup;"
                f" it has {there}."
            )
        left_out += [disk for disk in matches if disk not in left_out]
    return [disk for disk in disks if disk not in left_out], left_out


def _matches(disk: SourceDisk, entry: str) -> bool:
    if entry.lower() == "os":
        return disk.lun is None
    if entry.isdigit() and disk.lun is not None and int(entry) == disk.lun:
        return True
    return entry.lower() == disk.name.lower() or same_id(entry, disk.source_id)


def target_disk(
    subscription: str, group: str, name: str, source: SourceDisk, body: dict[str, Any]
) -> TargetDisk:
    return TargetDisk(source, group, name, body, resource_id(subscription, group, "disks", name))
