# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a disk impossible to protect, or its blocks impossible to read: pure functions.

The rules for restore points are those of Microsoft's support matrix for them
(learn.microsoft.com/azure/virtual-machines/concepts-restore-points). What it does not forbid
outright is not forbidden here: Azure has the last word.
"""

from __future__ import annotations

from typing import Any

Raw = dict[str, Any]
Finding = dict[str, str]

APPLICATION = "application"
CRASH = "crash"
CONFIDENTIAL = "ConfidentialVM"
_V2_SKUS = {
    "ultrassd": ("UltraDiskInCrashMode", "an Ultra disk"),
    "premiumv2": ("PremiumV2DiskInCrashMode", "a Premium SSD v2 disk"),
}


def disk_findings(
    disk: Raw | None, vm_disk: Raw, vm: Raw, *, consistency_mode: str | None = None
) -> list[Finding]:
    """What makes it impossible to take this disk into a restore point.

    Args:
        disk: the disk resource; None where there is none, or it could not be found.
        vm_disk: its entry in the VM's ``storageProfile`` (``osDisk``, or one of ``dataDisks``).
        vm: the VM.
        consistency_mode: ``application`` or ``crash``; None for what holds in both.

    Returns:
        ``reason`` (a CamelCase word for programs) and ``message`` (a sentence with the remedy) of
        each; an empty list where nothing is in the way.
    """
    name = vm_disk.get("name") or "(without a name)"
    findings = [
        *_unmanaged(vm_disk, name),
        *_ephemeral(vm_disk, name),
        *_shared(disk, name),
        *_confidential(vm, name),
    ]
    if consistency_mode == CRASH:
        findings += _crash_mode(disk, vm_disk, name)
    return findings


def export_findings(disk: Raw | None, vm_disk: Raw) -> list[Finding]:
    """What blocks reading the disk's blocks through a shared access signature (image backups).

    Its snapshots take over these settings. A private link serves only callers in its network, so
    ``AllowPrivate`` is a finding although it may work from where the task runs (disk import/export
    documents of Azure: disks-enable-private-links). An Entra token beside the signature
    (``dataAccessAuthMode``) is sent where it is asked for.

    Args, Returns: as for ``disk_findings``.
    """
    told = (disk or {}).get("properties", {})
    name = vm_disk.get("name") or (disk or {}).get("name") or "(without a name)"
    return [
        *_sectors(disk, vm_disk, name),
        *_disk_encryption(disk, vm_disk, name),
        *access_findings(told, f"disk {name}"),
    ]


def access_findings(told: Raw, what: str) -> list[Finding]:
    """What in its settings blocks reading a disk or a snapshot.

    Args:
        told: its properties.
        what: what it is called in sentences: ``disk web01-os``.
    """
    findings = _network_policy(told, what)
    if told.get("publicNetworkAccess") == "Disabled":
        findings.append(
            _finding(
                "PublicNetworkAccessDisabled",
                f"Public network access to {what} is disabled: set publicNetworkAccess to"
                " Enabled, or read it from a network with a private link to it.",
            )
        )
    return findings


def sku_of(disk: Raw | None, vm_disk: Raw) -> str | None:
    """The disk's SKU; the VM's word for it where there is no disk resource."""
    told = ((disk or {}).get("sku") or {}).get("name")
    return told or (vm_disk.get("managedDisk") or {}).get("storageAccountType")


def sector_size(disk: Raw | None, vm_disk: Raw) -> int:
    """Bytes of the disk's logical sectors: 512; 4096 is the default of Ultra and Premium SSD v2."""
    stated = ((disk or {}).get("properties", {}).get("creationData") or {}).get("logicalSectorSize")
    return stated or (4096 if is_v2(sku_of(disk, vm_disk)) else 512)


def is_v2(sku: str | None) -> bool:
    """Whether it is Ultra or Premium SSD v2."""
    return _family(sku) in _V2_SKUS


def is_confidential(described: Raw | None) -> bool:
    """Whether a machine's properties, or what a restore point says of them, are a confidential VM's."""
    security = (described or {}).get("securityProfile") or {}
    return security.get("securityType") == CONFIDENTIAL


def uses_disk_encryption(disk: Raw | None) -> bool:
    """Whether Azure Disk Encryption encrypts a disk inside the guest.

    Since 2018 its settings are the disk's own (azure-cli#7059).
    """
    told = ((disk or {}).get("properties") or {}).get("encryptionSettingsCollection") or {}
    return bool(told.get("enabled"))


def _family(sku: str | None) -> str:
    return (sku or "").split("_", maxsplit=1)[0].lower()


def _finding(reason: str, message: str) -> Finding:
    return {"reason": reason, "message": message}


def _sectors(disk: Raw | None, vm_disk: Raw, name: str) -> list[Finding]:
    size = sector_size(disk, vm_disk)
    if size == 512:
        return []
    return [
        _finding(
            "SectorSizeNotSupported",
            f"Disk {name} has sectors of {size} bytes, and Azure exports such disks as VHDX, which"
            " cannot be read: exclude it and protect it with restore points, or move its data to a"
            " disk with sectors of 512 bytes (logicalSectorSize).",
        )
    ]


def _unmanaged(vm_disk: Raw, name: str) -> list[Finding]:
    if vm_disk.get("managedDisk") or not vm_disk.get("vhd"):
        return []
    return [
        _finding(
            "UnmanagedDisk",
            f"Disk {name} is unmanaged (a blob in a storage account), and restore points hold"
            " managed disks only: convert the VM's disks to managed ones ('az vm convert').",
        )
    ]


def _ephemeral(vm_disk: Raw, name: str) -> list[Finding]:
    if not (vm_disk.get("diffDiskSettings") or {}).get("option"):
        return []
    return [
        _finding(
            "EphemeralOSDisk",
            f"OS disk {name} is ephemeral (it lives on the host and is lost with it): exclude it,"
            " or create the VM again with a persistent OS disk.",
        )
    ]


def _shared(disk: Raw | None, name: str) -> list[Finding]:
    shares = (disk or {}).get("properties", {}).get("maxShares") or 1
    if shares <= 1:
        return []
    return [
        _finding(
            "SharedDisk",
            f"Disk {name} is shared (maxShares is {shares}), and restore points cannot hold shared"
            " disks: exclude it, or set maxShares to 1 while no VM uses it.",
        )
    ]


def _confidential(vm: Raw, name: str) -> list[Finding]:
    if not is_confidential(vm.get("properties")):
        return []
    return [
        _finding(
            "ConfidentialVM",
            f"Disk {name} belongs to a confidential VM, of which Azure has no restore points, and whose"
            " disks do not start without its guest state: protect its data from inside the guest.",
        )
    ]


def _disk_encryption(disk: Raw | None, vm_disk: Raw, name: str) -> list[Finding]:
    by_vm = (vm_disk.get("encryptionSettings") or {}).get("enabled")
    if not (by_vm or uses_disk_encryption(disk)):
        return []
    return [
        _finding(
            "AzureDiskEncryption",
            f"Azure Disk Encryption encrypts disk {name} inside the guest: an image of it is ciphertext,"
            " its keys stay in the key vault, and a restore to a machine is refused. Use restore points"
            " and restore them as disks, or encrypt at host in place of it.",
        )
    ]


def _crash_mode(disk: Raw | None, vm_disk: Raw, name: str) -> list[Finding]:
    findings = []
    if vm_disk.get("writeAcceleratorEnabled"):
        findings.append(
            _finding(
                "WriteAcceleratorInCrashMode",
                f"Disk {name} has the write accelerator, which crash-consistent restore points do"
                " not support: exclude it, disable its write accelerator, or use the mode"
                " application.",
            )
        )
    if known := _V2_SKUS.get(_family(sku_of(disk, vm_disk))):
        reason, kind = known
        findings.append(
            _finding(
                reason,
                f"Disk {name} is {kind}, which crash-consistent restore points do not support:"
                " exclude it, or use the mode application.",
            )
        )
    return findings


def _network_policy(told: Raw, what: str) -> list[Finding]:
    policy = told.get("networkAccessPolicy")
    if policy == "DenyAll":
        return [
            _finding(
                "NetworkAccessDenied",
                f"The network access policy of {what} is DenyAll, so that nobody can read its"
                " blocks: set networkAccessPolicy to AllowAll, or to AllowPrivate with a disk"
                " access.",
            )
        ]
    if policy == "AllowPrivate":
        access = (told.get("diskAccessId") or "").rsplit("/", 1)[-1]
        through = f" of disk access {access}" if access else ""
        return [
            _finding(
                "NetworkAccessPrivate",
                f"The blocks of {what} can be read only through the private"
                f" endpoints{through}: run the task in a network that has one, or set"
                " networkAccessPolicy to AllowAll.",
            )
        ]
    return []
