# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore will do, worked out before anything is written. Pure functions, frozen results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .._compute.ids import ResourceId, check_name, same_id
from .._compute.storage_profile import role
from .._errors import InputError
from .._repository.manifest import DiskImage, Manifest

Raw = dict[str, Any]

# The tags of what a restore makes.
IDENTITY_TAG = "vmguard-restore"
SOURCE_TAG = "vmguard-restore-point"
RUN_TAG = "vmguard-restore-run"
# On a disk while its content is not whole.
CONTENT_TAG = "vmguard-restore-content"
FILLING = "filling"
# On a disk that is to be deleted once another one has taken its place: the run that does so.
REPLACED_TAG = "vmguard-restore-replaced-by"
TAG_VALUE_LIMIT = 256
TAG_LIMIT = 50
VHD_FOOTER = 512
DISK_NAME_LIMIT = 80

# Writes an image into the disk of this id; the last argument raises when it is to stop.
Fill = Callable[[Any, str, DiskImage, Callable[[], None]], None]

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
    encryption_type: str | None = None
    image: DiskImage | None = field(default=None, repr=False)

    @property
    def role(self) -> str:
        """``os``, or ``lun0`` and so on."""
        return role(self.lun)


@dataclass(frozen=True)
class DiskPlan:
    """A disk to be made.

    Args:
        body: the request that makes it, without the tags of the run.
        properties: what it has to have in the end: ``diskSizeGB`` (GiB), and who may read it.
    """

    source: SourceDisk
    id: str
    body: Raw = field(repr=False)
    properties: Raw = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return self.id.rsplit("/", 1)[1]

    @property
    def group(self) -> str:
        return ResourceId.parse(self.id).group

    @property
    def sku(self) -> str:
        return self.body["sku"]["name"]

    @property
    def encryption_set_id(self) -> str | None:
        return (self.body["properties"].get("encryption") or {}).get("diskEncryptionSetId")

    def of_size(self, size_gb: int) -> DiskPlan:
        """The same disk with another size, in GiB."""
        properties = {**self.properties, "diskSizeGB": size_gb}
        body = {**self.body, "properties": dict(self.body["properties"])}
        if "diskSizeGB" in body["properties"]:
            body["properties"]["diskSizeGB"] = size_gb
        return replace(self, body=body, properties=properties)

    def numbered(self, number: int) -> DiskPlan:
        """The same disk under its name with a number: ``web_os-2``."""
        suffix = f"-{number}"
        name = f"{self.name[: DISK_NAME_LIMIT - len(suffix)]}{suffix}"
        return replace(self, id=f"{self.id.rsplit('/', 1)[0]}/{name}")

    def predicted(self) -> Raw:
        """What Azure will tell of it, as far as results show it."""
        properties = {
            "diskSizeGB": self.source.size_gb,
            "networkAccessPolicy": "AllowAll",
            "publicNetworkAccess": "Enabled",
            **self.properties,
        }
        return {"id": self.id, "sku": dict(self.body["sku"]), "properties": properties}


@dataclass(frozen=True)
class RestoredDisk:
    """A disk that was restored, as Azure has it; in check mode as it would be.

    Args:
        entry: how it is attached; empty where it is attached to nothing.
    """

    source: SourceDisk
    id: str
    seen: Raw = field(repr=False)
    entry: Raw = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return self.id.rsplit("/", 1)[1]

    def result(self) -> Raw:
        """The disk in a module's result."""
        source, properties = self.source, self.seen.get("properties") or {}
        caching = self.entry.get("caching") or source.caching
        accelerated = self.entry.get("writeAcceleratorEnabled", source.write_accelerator)
        return {
            "lun": source.lun,
            "role": source.role,
            "source_disk": source.name,
            "source_disk_id": source.source_id,
            "source_disk_restore_point": source.disk_restore_point_id or None,
            "target_disk": self.name,
            "target_disk_id": self.id,
            "caching": caching,
            "write_accelerator": bool(accelerated) if self.entry else source.write_accelerator,
            "size_gb": properties.get("diskSizeGB"),
            "sku": (self.seen.get("sku") or {}).get("name"),
            "network_access_policy": properties.get("networkAccessPolicy"),
            "public_network_access": properties.get("publicNetworkAccess"),
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
    metadata: Raw
    time: str
    consistency: str | None
    disks: list[SourceDisk] = field(default_factory=list)
    excluded: list[Raw] = field(default_factory=list)
    backup: Manifest | None = field(default=None, repr=False)
    vm: Raw | None = field(default=None, repr=False)
    interfaces: list[Raw] = field(default_factory=list, repr=False)
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


def identity(point_id: str, target: str, target_id: str) -> str:
    """What makes two restores the same: the point, the kind of target, the target. 32 hex digits."""
    text = "\n".join((point_id.lower(), target, target_id.lower()))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def identity_tags(point: Point, restore_id: str) -> dict[str, str]:
    """The tags by which a restore is found again. Tag values end at 256 characters."""
    named = point.id
    if len(named) > TAG_VALUE_LIMIT:
        named = f"{ResourceId.parse(point.id).name}/{point.name}"
    return {IDENTITY_TAG: restore_id, SOURCE_TAG: named}


def tags_of(resource: Raw | None) -> dict[str, str]:
    return (resource or {}).get("tags") or {}


def made_by_restore(resource: Raw | None, restore_id: str) -> bool:
    """Whether a resource was made by the restore with this id, in whichever run."""
    return tags_of(resource).get(IDENTITY_TAG) == restore_id


def run_tag(run: str, carrier: str, process: str) -> str:
    """What tells who makes a resource: the run, the disk that bears its record, and the process.

    Args:
        carrier: the name of that disk, empty where a machine bears the record.
        process: tells the process that began the run from one that goes on with it.
    """
    return f"{run}@{carrier}@{process}"


def ended_tag(run: str) -> str:
    """What a disk bears in place of ``run_tag`` when a restore in place has ended."""
    return f"@@ended-{run}"


def made_by_run(resource: Raw | None, run: str) -> bool:
    """Whether a resource was made by this run, in whichever process."""
    return tags_of(resource).get(RUN_TAG, "").split("@")[0] == run


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
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: DISK_NAME_LIMIT - 9]}_{digest}"
    return check_name(name, "disk")


def check_distinct(disks: list[DiskPlan]) -> None:
    """Refuse two target disks of one name.

    Raises:
        InputError: naming both source disks.
    """
    seen: dict[str, DiskPlan] = {}
    for disk in disks:
        other = seen.setdefault(disk.name.lower(), disk)
        if other is not disk:
            raise InputError(
                f"disk_name_pattern gives {other.source.name} and {disk.source.name} the same name"
                f" {disk.name}; put {{role}} or {{disk}} into it."
            )


def foreign_tags(original: Raw | None) -> dict[str, str]:
    """The tags of a disk or machine without those of restores."""
    return {
        name: value
        for name, value in tags_of(original).items()
        if not name.startswith(IDENTITY_TAG)
    }


def wanted_sizes(disks: list[SourceDisk], sizes: Raw) -> dict[int | None, int]:
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
