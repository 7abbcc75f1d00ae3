# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a disk beside its content: how it was made, and how fast it is.

A restore point keeps some of it in the disk restore point, a backup all of it in its manifest; the
rest is known while the disk itself exists.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .._arm.client import ArmClient
from .._compute.disk_restore_points import find_disk_restore_point
from .._compute.disks import find_disk
from .._compute.ids import same_location
from .._compute.protectability import is_v2, uses_disk_encryption
from .._compute.storage_profile import access_properties
from .plan import Point, Raw, SourceDisk
from .source.backup import original_disk

_SECTOR = 512
_ALLOW_PRIVATE, _DENY_ALL = "AllowPrivate", "DenyAll"
# What binds a disk to its region or subscription.
_BOUND = ("diskAccessId", "encryption")


@dataclass(frozen=True)
class Facts:
    """What is known of one disk.

    Args:
        original: the disk as it is, or as a backup describes it; None where nobody knows it any more.
        kept: ``properties`` of its disk restore point; empty for a backup.
        stated_sector: bytes of its logical sectors, as the backup says.
        here: whether the original is, or was, in the region that is restored in.
    """

    original: Raw | None = field(default=None, repr=False)
    kept: Raw = field(default_factory=dict, repr=False)
    stated_sector: int | None = None
    here: bool = True

    @property
    def properties(self) -> Raw:
        return (self.original or {}).get("properties") or {}

    @property
    def sku(self) -> str | None:
        return ((self.original or {}).get("sku") or {}).get("name")

    @property
    def sector_size(self) -> int | None:
        """Bytes of its logical sectors; None where nothing says it."""
        made = self.properties.get("creationData") or {}
        stated = self.stated_sector or self.kept.get("logicalSectorSize")
        return stated or made.get("logicalSectorSize")

    @property
    def capabilities(self) -> Raw:
        """Of an OS disk: architecture, disk controllers, accelerated networking."""
        return self._told("supportedCapabilities") or {}

    @property
    def purchase_plan(self) -> Raw:
        """The marketplace plan that an OS disk was bought with, empty for none."""
        return self._told("purchasePlan") or {}

    @property
    def hibernates(self) -> bool:
        return bool(self._told("supportsHibernation"))

    @property
    def security_type(self) -> str | None:
        """``TrustedLaunch``, a kind of confidential disk, or None."""
        return (self._told("securityProfile") or {}).get("securityType")

    @property
    def disk_encryption(self) -> bool:
        """Whether Azure Disk Encryption encrypts it, inside the guest."""
        return uses_disk_encryption(self.original)

    @property
    def encryption(self) -> Raw:
        return self.properties.get("encryption") or {}

    @property
    def access(self) -> Raw:
        """Who may read it from outside: as its disk has it now, else as it was."""
        return access_properties(self.properties if self.original else self.kept)

    @property
    def zones(self) -> list[str] | None:
        return (self.original or {}).get("zones") if self.here else None

    @property
    def extended_location(self) -> Raw | None:
        return (self.original or {}).get("extendedLocation") if self.here else None

    def _told(self, name: str) -> Raw | None:
        """What the point has of it goes before what the disk has now."""
        return self.kept.get(name) or self.properties.get(name)


def sector_size_of(source: SourceDisk, facts: Facts) -> int | None:
    """Bytes of a disk's logical sectors; None for a v2 disk of which nothing says it."""
    return facts.sector_size or (None if is_v2(source.sku) else _SECTOR)


def read_facts(
    arm: ArmClient,
    point: Point,
    source: SourceDisk,
    notes: list[str],
    *,
    in_its_place: Raw | None = None,
) -> Facts:
    """What is known of a disk of a restore point or backup.

    Args:
        in_its_place: the disk that is at its place of its machine now; it stands for one that is gone.
        notes: grows by what cannot be the same in another region.
    """
    if point.backup:
        original = original_disk(point, source, arm.subscription_id)
        here = original is None or same_location(str(original.get("location")), point.location)
        stated = (source.image.facts if source.image else {}).get("sector_size")
        return Facts(_closed(original, notes), stated_sector=stated, here=here)
    original = (find_disk(arm, source.source_id) if source.source_id else None) or in_its_place
    held = find_disk_restore_point(arm, source.disk_restore_point_id) or {}
    here = original is None or same_location(original["location"], point.location)
    kept = held.get("properties") or {}
    if original is not None and not here:
        original = _closed(_unbound(original), notes)
    if original is None and kept.get("networkAccessPolicy") == _ALLOW_PRIVATE:
        # The disk access may be of another region, and gone as well.
        kept = _closed({"name": source.name, "properties": _without(kept)}, notes)["properties"]
    return Facts(original, kept, here=here)


def _without(properties: Raw) -> Raw:
    return {name: value for name, value in properties.items() if name not in _BOUND}


def _unbound(original: Raw) -> Raw:
    return {**original, "properties": _without(original["properties"])}


def _closed(original: Raw | None, notes: list[str]) -> Raw | None:
    """A disk that only a private link reads, and whose disk access is left behind, is read by nobody."""
    told = (original or {}).get("properties") or {}
    if original is None or told.get("networkAccessPolicy") != _ALLOW_PRIVATE:
        return original
    if told.get("diskAccessId"):
        return original
    notes.append(
        f"The network access policy of the restored copy of {original['name']} is DenyAll, where it was"
        " AllowPrivate: its disk access is not one of the region and subscription that it is restored in."
    )
    return {**original, "properties": {**told, "networkAccessPolicy": _DENY_ALL}}
