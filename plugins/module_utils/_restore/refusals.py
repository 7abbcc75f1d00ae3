# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no restore can do, refused before anything is made or stopped."""

from __future__ import annotations

from .._compute.protectability import is_confidential, is_v2, uses_disk_encryption
from .._compute.storage_profile import os_disk
from .._errors import InputError
from .disk_request import Wishes
from .facts import Facts, sector_size_of
from .plan import Point, Raw, SourceDisk

SECTOR = 512
Known = list[tuple[SourceDisk, Facts]]


def refuse_impossible(
    point: Point, known: Known, wishes: Wishes, target: str, notes: list[str]
) -> None:
    """Refuse what Azure would refuse in the middle.

    Args:
        known: the disks to restore, with what is known of each.
        target: ``new_vm``, ``in_place`` or ``disks``.
        notes: grows by what the restored disks are not without more.

    Raises:
        InputError: a confidential machine, a disk under Azure Disk Encryption that a machine is to
            start with, or sectors that the SKU does not have.
    """
    _refuse_confidential(point, known)
    encrypted = [source.name for source, facts in known if facts.disk_encryption]
    if not encrypted and _encrypted_by_machine(point.metadata):
        encrypted = [source.name for source, _facts in known if source.lun is None]
    if encrypted:
        _refuse_encrypted(point, encrypted, target, notes)
    for source, facts in known:
        _refuse_sectors(source, facts, wishes)


def _refuse_confidential(point: Point, known: Known) -> None:
    """Confidential disks have a state that neither restore points nor images hold."""
    found = is_confidential(point.metadata) or any(
        (facts.security_type or "").startswith("ConfidentialVM") for _source, facts in known
    )
    if found:
        raise InputError(
            f"The {point.noun} {point.name} is of a confidential virtual machine, whose guest state it"
            " does not hold; Azure has no restore points of such machines, and their disks do not start"
            " without it. Make the machine anew and bring its data back with the guest's own tools.",
            code="ConfidentialVM",
            resource=point.id,
        )


def _encrypted_by_machine(described: Raw | None) -> bool:
    """Whether the old form of Azure Disk Encryption is on: its settings are the machine's."""
    return bool((os_disk(described).get("encryptionSettings") or {}).get("enabled"))


def _refuse_encrypted(point: Point, names: list[str], target: str, notes: list[str]) -> None:
    listed = ", ".join(names)
    if target == "disks":
        notes.append(
            f"Azure Disk Encryption encrypts {listed} inside the guest: the restored disks hold ciphertext,"
            " and no encryption settings. Set those of the original disks (encryptionSettingsCollection)"
            " before a machine uses them; the keys are in its key vault."
        )
        return
    raise InputError(
        f"Azure Disk Encryption encrypts {listed} of the {point.noun} {point.name}, and a restored disk does"
        " not have the settings with which a machine opens it: restore it with target: disks and set them,"
        " or leave it out with exclude_disks.",
        code="AzureDiskEncryption",
        resource=point.id,
    )


def refuse_encrypted_machine(vm: Raw, current: list[Raw | None]) -> None:
    """Refuse to swap the OS disk of a machine that Azure Disk Encryption encrypts any disk of.

    Source: OSDiskSwapNotSupportedForVMsUsingDiskEncryption (azure-docs PR #56181).

    Args:
        current: its disks.

    Raises:
        InputError: it is one.
    """
    names = [disk["name"] for disk in current if disk and uses_disk_encryption(disk)]
    if not names and _encrypted_by_machine(vm["properties"]):
        names = [os_disk(vm["properties"]).get("name") or "its OS disk"]
    if names:
        raise InputError(
            f"Azure Disk Encryption encrypts {', '.join(names)} of {vm['name']}, and Azure swaps no OS disk"
            " of such a machine: leave it out with exclude_disks: [os], or restore it with target: disks.",
            code="OSDiskSwapNotSupported",
            resource=vm["id"],
        )


def _refuse_sectors(source: SourceDisk, facts: Facts, wishes: Wishes) -> None:
    size = sector_size_of(source, facts)
    sku = wishes.sku or source.sku
    if size is None or size == SECTOR or (is_v2(sku) and not source.image):
        return
    if source.image:
        raise InputError(
            f"The disk {source.name} had sectors of {size} bytes, and an image of the format VHD has"
            f" {SECTOR}: leave it out with exclude_disks, and restore it from a restore point.",
            code="SectorSizeNotSupported",
        )
    raise InputError(
        f"The disk {source.name} has sectors of {size} bytes, which only Ultra Disk and Premium SSD v2 have,"
        f" not {sku}: leave disk_sku out, or the disk with exclude_disks.",
        code="SectorSizeNotSupported",
    )
