# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of virtual machines: a new one from a restore point, an existing one with other disks."""

from __future__ import annotations

import copy
from typing import Any

from .._compute.ids import ResourceId, same_id
from .._compute.storage_profile import attached_disks, disk_id
from .plan import Point, SourceDisk, TargetDisk

NETWORK_API_VERSION = "2022-11-01"
_READ_ONLY = ("provisioningState", "vmId", "timeCreated", "instanceView")
# Kept from the source while it exists: a restore point does not hold them.
_FROM_SOURCE = (
    "licenseType",
    "securityProfile",
    "additionalCapabilities",
    "diagnosticsProfile",
    "userData",
)


def new_body(
    point: Point,
    disks: list[TargetDisk],
    *,
    source_vm: dict[str, Any] | None,
    size: str | None,
    network: dict[str, Any],
    tags: dict[str, str],
    zones: list[str] | None,
) -> dict[str, Any]:
    """The request for a virtual machine that is what the restore point holds."""
    metadata = point.metadata
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": size or metadata["hardwareProfile"]["vmSize"]},
        "storageProfile": storage_profile(disks),
        "networkProfile": network,
    }
    for name in _FROM_SOURCE:
        kept = metadata.get(name) or (source_vm or {}).get("properties", {}).get(name)
        if kept:
            properties[name] = kept
    body: dict[str, Any] = {"location": point.location, "tags": tags, "properties": properties}
    if zones:
        body["zones"] = zones
    if (source_vm or {}).get("plan"):
        body["plan"] = source_vm["plan"]
    return body


def storage_profile(disks: list[TargetDisk]) -> dict[str, Any]:
    """All disks attached as the restore point had them: LUN, caching, write accelerator."""
    profile: dict[str, Any] = {"dataDisks": []}
    for disk in disks:
        entry = attachment(disk)
        if disk.source.lun is None:
            profile["osDisk"] = {"osType": disk.source.os_type, **entry}
        else:
            profile["dataDisks"].append({"lun": disk.source.lun, **entry})
    return profile


def attachment(disk: TargetDisk) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": disk.name,
        "createOption": "Attach",
        "caching": disk.source.caching,
        "managedDisk": {"id": disk.id},
        "deleteOption": "Detach",
    }
    if disk.source.write_accelerator:
        entry["writeAcceleratorEnabled"] = True
    return entry


def interfaces(ids: list[str]) -> dict[str, Any]:
    """A network profile of existing interfaces; the first is the primary one."""
    return {
        "networkInterfaces": [
            {"id": one, "properties": {"primary": number == 0}} for number, one in enumerate(ids)
        ]
    }


def interface_in(subnet_id: str, vm: str) -> dict[str, Any]:
    """A network profile that lets Azure make one interface in a subnet, with the machine's life."""
    address = {"name": "ipconfig1", "properties": {"primary": True, "subnet": {"id": subnet_id}}}
    interface = {
        "name": f"{vm}-nic",
        "properties": {"primary": True, "deleteOption": "Delete", "ipConfigurations": [address]},
    }
    return {"networkApiVersion": NETWORK_API_VERSION, "networkInterfaceConfigurations": [interface]}


def writable(vm: dict[str, Any]) -> dict[str, Any]:
    """A machine as it was read, without what cannot be sent back."""
    body = copy.deepcopy(
        {key: value for key, value in vm.items() if key not in ("resources", "etag")}
    )
    for name in _READ_ONLY:
        body["properties"].pop(name, None)
    return body


def restored_disk(
    source: SourceDisk, entry: dict[str, Any], disk_sku: str | None = None
) -> TargetDisk:
    """A disk that an earlier run restored, as it is attached now.

    Args:
        disk_sku: what was asked for: a deallocated machine does not show its disks' SKU and size.
    """
    sku = (entry.get("managedDisk") or {}).get("storageAccountType") or disk_sku or source.sku
    body = {
        "sku": {"name": sku},
        "properties": {"diskSizeGB": entry.get("diskSizeGB") or source.size_gb},
    }
    found = disk_id(entry)
    group = ResourceId.parse(found).group
    return TargetDisk(source, group, entry["name"], body, found, exists=True)


def with_disks(
    vm: dict[str, Any], wanted: dict[int | None, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The updates, in order, that bring a machine to the wanted attachments.

    Azure lets an update change the disk behind the OS disk of a deallocated machine, but not the
    one behind a LUN; so where a LUN changes hands it is emptied first and filled second.
    """
    have = attached_disks(vm)
    changing = {
        lun
        for lun in have.keys() | wanted.keys()
        if not same_id(disk_id(have.get(lun, {})), disk_id(wanted.get(lun, {})))
    }
    if not changing:
        return []
    steps = []
    kept = [_sendable(have[lun]) for lun in _luns(have) if lun not in changing]
    if None in changing or any(lun in changing for lun in _luns(have)):
        steps.append(_update(vm, wanted[None], kept))
    arriving = [
        {**_sendable(wanted[lun]), "createOption": "Attach"}
        for lun in _luns(wanted)
        if lun in changing
    ]
    if arriving:
        data = sorted(kept + arriving, key=lambda disk: disk["lun"])
        steps.append(_update(vm, wanted[None], data))
    return steps


def _luns(disks: dict[int | None, dict[str, Any]]) -> list[int]:
    return sorted(lun for lun in disks if lun is not None)


def _update(
    vm: dict[str, Any], os_disk: dict[str, Any], data: list[dict[str, Any]]
) -> dict[str, Any]:
    body = writable(vm)
    storage = body["properties"]["storageProfile"]
    # How the machine got its first OS disk (createOption) cannot be changed; which disk it is, can.
    fixed = {
        key: storage["osDisk"][key]
        for key in ("createOption", "osType")
        if key in storage["osDisk"]
    }
    storage["osDisk"] = {**_sendable(os_disk), **fixed}
    storage["dataDisks"] = data
    return body


def _sendable(entry: dict[str, Any]) -> dict[str, Any]:
    """An attachment that Azure takes back: size and SKU belong to the disk, not to the request."""
    kept = {key: value for key, value in entry.items() if key not in ("diskSizeGB", "toBeDetached")}
    kept["managedDisk"] = {"id": disk_id(entry)}
    return kept
