# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore does not bring back, by name: sentences for the user, before anything is made."""

from __future__ import annotations

from .._compute.protectability import is_v2
from .new_machine import Source
from .plan import Point, Raw, SourceDisk
from .refusals import Known

# Members of a machine that a restored one does not get, each with what people call it.
_PLACES = {
    "availabilitySet": "the availability set",
    "proximityPlacementGroup": "the proximity placement group",
    "host": "the dedicated host",
    "hostGroup": "the host group",
    "virtualMachineScaleSet": "the scale set",
}
_SETTINGS = {
    "applicationProfile": "its gallery applications",
    "scheduledEventsProfile": "its settings of scheduled events",
    "extensionsTimeBudget": "the time budget of its extensions",
    "billingProfile": "its highest Spot price",
}


def machine_losses(source: Source, name: str, *, zones: list[str] | None) -> list[str]:
    """What a new machine lacks of the one that it is made from.

    Args:
        name: of the new machine.
        zones: that it gets.
    """
    if source.vm is None:
        return [_gone(source.point, name)]
    lost = [*_of_the_machine(source.vm), *_dropped(source)]
    before = source.vm.get("zones") or []
    if before and not zones:
        lost.append(f"its zone {', '.join(before)} (zone sets one)")
    if not lost:
        return []
    told = (
        f"{name} does not get everything that {source.vm['name']} has. Missing is {', '.join(lost)}:"
        " set up what is needed after the restore."
    )
    return [told]


def _gone(point: Point, name: str) -> str:
    return (
        f"The machine that the restore point {point.name} was taken of no longer exists, and a restore point"
        " does not hold a machine's tags, zone, managed identity, placement, priority, extensions and"
        f" network interfaces: {name} has none of those that it had. The options zone, tags, plan and"
        " network_interfaces set some of them."
    )


def _of_the_machine(vm: Raw) -> list[str]:
    told = vm.get("properties") or {}
    lost = [*_identity(vm.get("identity") or {})]
    for member, words in _PLACES.items():
        if held := (told.get(member) or {}).get("id"):
            lost.append(f"{words} {_last(held)}")
    reserved = (told.get("capacityReservation") or {}).get("capacityReservationGroup") or {}
    if reserved.get("id"):
        lost.append(f"the capacity reservation group {_last(reserved['id'])}")
    priority = told.get("priority")
    if priority and priority != "Regular":
        lost.append(f"its priority {priority}, so that it is billed as a regular machine")
    lost += [words for member, words in _SETTINGS.items() if told.get(member)]
    if (told.get("hardwareProfile") or {}).get("vmSizeProperties"):
        lost.append("its number of vCPUs (vmSizeProperties)")
    names = [_last(one.get("id") or one.get("name") or "") for one in vm.get("resources") or []]
    if names:
        lost.append(f"the extensions {', '.join(names)}")
    return lost


def _identity(identity: Raw) -> list[str]:
    kind = identity.get("type")
    if not kind or kind == "None":
        return []
    users = [_last(one) for one in identity.get("userAssignedIdentities") or {}]
    named = f": {', '.join(users)}" if users else ""
    return [f"its managed identity ({kind}{named})"]


def _dropped(source: Source) -> list[str]:
    """What Azure would refuse in the request for the new machine."""
    lost = []
    if (source.told("securityProfile") or {}).get("encryptionIdentity"):
        lost.append("the identity of its encryption at host")
    capable = source.told("additionalCapabilities") or {}
    if capable.get("hibernationEnabled") and not source.hibernates:
        lost.append("hibernation")
    boot = (source.told("diagnosticsProfile") or {}).get("bootDiagnostics") or {}
    if boot.get("storageUri") and not source.here:
        lost.append("the storage account of its boot diagnostics, in whose place is Azure's own")
    return lost


def disk_losses(point: Point, known: Known, sku: str | None) -> list[str]:
    """What restored disks lack because the disks themselves are gone.

    Args:
        sku: that is asked for.
    """
    gone = [source for source, facts in known if facts.original is None]
    if point.backup or not gone:
        return []
    speed = any(is_v2(sku or source.sku) for source in gone)
    more = "IOPS and throughput are Azure's defaults, and " if speed else ""
    told = (
        f"Gone are {_names(gone)}, and a restore point does not hold all of a disk: {more}tags, performance"
        " tier and bursting that they had do not come back."
    )
    return [told]


def trusted_launch_note(point: Point, name: str) -> str:
    """What is not in an image of a machine with Trusted Launch."""
    guest = (point.metadata.get("osProfile") or {}).get("computerName") or "the guest"
    return (
        f"{name} starts with Trusted Launch and a new vTPM, since a backup does not hold the old one: what"
        f" {guest} sealed to that one, like the keys of BitLocker, needs its recovery key at the first"
        " start."
    )


def _names(disks: list[SourceDisk]) -> str:
    return ", ".join(disk.name for disk in disks)


def _last(resource_id: str) -> str:
    return resource_id.rstrip("/").rsplit("/", 1)[-1]
