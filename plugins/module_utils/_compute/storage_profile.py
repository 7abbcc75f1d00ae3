# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks in a storage profile: that of a virtual machine, or of a restore point's source metadata.

``described`` is what holds ``storageProfile``: a machine's ``properties``, or ``sourceMetadata``.
Disks are known by their place: the LUN, None for the OS disk.
"""

from __future__ import annotations

from typing import Any, Optional

Raw = dict[str, Any]
Lun = Optional[int]

# Who may read a disk or snapshot from outside.
ACCESS_PROPERTIES = (
    "networkAccessPolicy",
    "publicNetworkAccess",
    "diskAccessId",
    "dataAccessAuthMode",
)


def os_disk(described: Raw | None) -> Raw:
    """The entry of the OS disk, empty where there is none."""
    return ((described or {}).get("storageProfile") or {}).get("osDisk") or {}


def disk_entries(described: Raw | None) -> list[Raw]:
    """The entries of all disks: the OS disk's first, then the data disks' by LUN."""
    profile = (described or {}).get("storageProfile") or {}
    first = profile.get("osDisk")
    data = sorted(profile.get("dataDisks") or [], key=lambda entry: entry.get("lun", 0))
    return [*([first] if first else []), *data]


def attached_disks(vm: Raw) -> dict[Lun, Raw]:
    """The entries of a machine's disks by LUN, the OS disk's under None."""
    return {entry.get("lun"): entry for entry in disk_entries(vm.get("properties"))}


def disk_id(entry: Raw | None) -> str:
    """The id of the managed disk of an entry, empty for an unmanaged one."""
    return ((entry or {}).get("managedDisk") or {}).get("id") or ""


def disk_restore_point_id(entry: Raw) -> str:
    """The id of the disk restore point of an entry, empty where there is none (yet)."""
    return (entry.get("diskRestorePoint") or {}).get("id") or ""


def role(lun: Lun) -> str:
    """What a place is called: ``os``, or ``lun0`` and so on."""
    return "os" if lun is None else f"lun{lun}"


def by_place(lun: Lun) -> int:
    """A key to sort places by: the OS disk first, then by LUN."""
    return -1 if lun is None else lun


def access_properties(properties: Raw) -> Raw:
    """Who may read a disk from outside, of its properties."""
    return {name: properties[name] for name in ACCESS_PROPERTIES if properties.get(name)}
