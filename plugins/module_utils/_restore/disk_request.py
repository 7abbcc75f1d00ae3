# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request that makes a restored disk: all that Azure takes of what the disk was. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from .._compute.protectability import is_v2
from .facts import Facts, sector_size_of
from .plan import VHD_FOOTER, DiskPlan, Point, Raw, SourceDisk, foreign_tags

TRUSTED_LAUNCH = "TrustedLaunch"
_PLATFORM_KEY, _CUSTOMER_KEY = "EncryptionAtRestWithPlatformKey", "EncryptionAtRestWithCustomerKey"
# A file in the format VHD has sectors of this size, whatever the disk's SKU has by default.
_VHD_SECTOR = 512
# The performance tier of a Premium SSD that its size gives it: largest size in GiB, number of the tier.
_TIERS = (
    (4, 1), (8, 2), (16, 3), (32, 4), (64, 6), (128, 10), (256, 15), (512, 20), (1024, 30),
    (2048, 40), (4096, 50), (8192, 60), (16384, 70),
)  # fmt: skip
# GiB; smaller disks take no on-demand bursting
# (learn.microsoft.com/azure/virtual-machines/disks-enable-bursting).
_LEAST_FOR_BURSTING = 513
_LARGEST_TIER = 80


@dataclass(frozen=True)
class Wishes:
    """What is asked for of all disks of a restore.

    Args:
        zones: where they are to be; one that lies in all zones names none.
        sku, encryption_set_id: in place of what each disk had.
        security_type: of the machine that they are for.
    """

    zones: list[str] | None = None
    sku: str | None = None
    encryption_set_id: str | None = None
    security_type: str | None = None


def plan_disk(
    source: SourceDisk,
    point: Point,
    disk_id: str,
    facts: Facts,
    wishes: Wishes,
    *,
    tags: dict[str, str],
    size_gb: int | None = None,
) -> DiskPlan:
    """A disk of a disk restore point, or one to write an image into.

    What the disk was set to (network access, encryption at rest, performance, tags) is kept where it
    is known and nothing else was asked for.
    """
    sku = wishes.sku or source.sku
    wanted = facts.access
    size = size_gb or source.size_gb
    if size and (not source.image or size > source.size_gb):
        wanted["diskSizeGB"] = size
    wanted.update(performance(facts, sku, size))
    properties: Raw = {"creationData": _creation(source, facts, sku)}
    if not source.image:
        properties.update(wanted)
    if facts.sku == sku and facts.properties.get("optimizedForFrequentAttach"):
        properties["optimizedForFrequentAttach"] = True
    if source.lun is None:
        properties.update(_os_disk_facts(source, point, facts, wishes))
    if encryption := _encryption(source, facts, wishes.encryption_set_id):
        properties["encryption"] = encryption
    body: Raw = {
        "location": point.location,
        "sku": {"name": sku},
        "tags": {**foreign_tags(facts.original), **tags},
        "properties": properties,
    }
    # A disk that is in all zones is in none (terraform-azurerm-avm-res-compute-virtualmachine#236).
    if wishes.zones and not sku.upper().endswith("_ZRS"):
        body["zones"] = wishes.zones
    if facts.extended_location:
        body["extendedLocation"] = facts.extended_location
    return DiskPlan(source, disk_id, body, wanted)


def _creation(source: SourceDisk, facts: Facts, sku: str) -> Raw:
    made: Raw
    sector: int | None
    if source.image:
        made = {"createOption": "Upload", "uploadSizeBytes": source.image.size + VHD_FOOTER}
        sector = _VHD_SECTOR
    else:
        made = {"createOption": "Restore", "sourceResourceId": source.disk_restore_point_id}
        sector = sector_size_of(source, facts)
    # Only these have a choice, and 4,096 where nothing is said (recorded: Ultra becomes 4,096).
    if sector and is_v2(sku):
        made["logicalSectorSize"] = sector
    held = facts.properties.get("creationData") or {}
    if facts.sku == sku and held.get("performancePlus"):
        made["performancePlus"] = True
    return made


def performance(facts: Facts, sku: str, size_gb: int) -> Raw:
    """What of a disk's performance is a choice, and not a matter of its size and SKU.

    Args:
        size_gb: of the restored disk, in GiB.

    Returns:
        IOPS and MB/s of Ultra and Premium SSD v2; the tier of a Premium SSD above that of its size;
        bursting; how many machines share it. Empty for a disk that is to have another SKU.
    """
    if facts.sku != sku:
        return {}
    told, kept = facts.properties, {}
    # A disk that has grown since has more of it by its size alone, and a smaller one may not have as much.
    today = told.get("diskSizeGB") or size_gb
    if is_v2(sku):
        names = ("diskIOPSReadWrite", "diskMBpsReadWrite")
        kept = {name: told[name] for name in names if told.get(name) and size_gb >= today}
    elif _tier(told.get("tier")) > max(_tier_of_size(size_gb), _tier_of_size(today)):
        kept["tier"] = told["tier"]
    if told.get("burstingEnabled") and size_gb >= min(today, _LEAST_FOR_BURSTING):
        kept["burstingEnabled"] = True
    if (told.get("maxShares") or 1) > 1:
        kept["maxShares"] = told["maxShares"]
    return kept


def _tier(name: str | None) -> int:
    """The number of a Premium SSD's tier (``P30``); 0 for any other."""
    number = (name or "")[1:]
    return int(number) if number.isdecimal() and str(name).startswith("P") else 0


def _tier_of_size(size_gb: int) -> int:
    return next((tier for largest, tier in _TIERS if size_gb <= largest), _LARGEST_TIER)


def _os_disk_facts(source: SourceDisk, point: Point, facts: Facts, wishes: Wishes) -> Raw:
    """What a machine needs to boot from it.

    A disk of a restore point has security type and capabilities of its source, and Azure refuses to
    be told the first (azure-cli#22561). An upload has what it is told; it becomes a disk for Trusted
    Launch by what it supports (azure-cli#31842).
    """
    told: Raw = {"osType": source.os_type}
    if generation := point.metadata.get("hyperVGeneration"):
        told["hyperVGeneration"] = generation
    if source.image is None:
        return told
    capabilities = {
        name: value
        for name, value in facts.capabilities.items()
        if name != "supportedSecurityOption"
    }
    if wishes.security_type == TRUSTED_LAUNCH:
        capabilities["supportedSecurityOption"] = "TrustedLaunchSupported"
    if capabilities:
        told["supportedCapabilities"] = capabilities
    if facts.hibernates:
        told["supportsHibernation"] = True
    if facts.purchase_plan:
        told["purchasePlan"] = dict(facts.purchase_plan)
    return told


def _encryption(source: SourceDisk, facts: Facts, asked: str | None) -> Raw | None:
    set_id = asked or source.encryption_set_id or facts.encryption.get("diskEncryptionSetId")
    if not set_id:
        return None
    known = (source.encryption_type, facts.encryption.get("type"))
    kind = next((one for one in known if one and one != _PLATFORM_KEY), _CUSTOMER_KEY)
    return {"type": kind, "diskEncryptionSetId": set_id}
