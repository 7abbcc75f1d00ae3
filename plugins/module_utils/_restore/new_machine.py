# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The request for a new virtual machine that is what a restore point or backup holds. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._compute.ids import same_location
from .facts import Facts
from .fit import security_type
from .machine import storage_profile
from .plan import DiskPlan, Point, Raw

# Of an interface that is described with its machine: the one version that every API version of
# Microsoft.Compute names (NetworkApiVersion; 2022-11-01 came with azure-rest-api-specs#32600).
INTERFACE_API_VERSION = "2020-11-01"
_PLAN = ("name", "publisher", "product", "promotionCode")


@dataclass(frozen=True)
class Source:
    """What a new machine is made from, beside its disks.

    Args:
        vm: the source machine, as it is or as a backup describes it; None where it is gone.
        os_facts: what is known of its OS disk.
    """

    point: Point
    vm: Raw | None = field(default=None, repr=False)
    os_facts: Facts = field(default_factory=Facts)

    @property
    def here(self) -> bool:
        """Whether the source machine is, or was, in the region that is restored in."""
        known = (self.vm or {}).get("location") or self.point.metadata.get("location")
        return same_location(known or self.point.location, self.point.location)

    def told(self, name: str) -> Raw | None:
        """A property of the machine: as the point has it, else as the source machine has."""
        return self.point.metadata.get(name) or (self.vm or {}).get("properties", {}).get(name)

    @property
    def hibernates(self) -> bool:
        """Whether its OS disk lets it."""
        return self.os_facts.hibernates

    @property
    def controller(self) -> str | None:
        """``SCSI`` or ``NVMe``; None where nothing says it."""
        described = (self.point.metadata, (self.vm or {}).get("properties", {}))
        told = ((one.get("storageProfile") or {}).get("diskControllerType") for one in described)
        return next((one for one in told if one), None)

    @property
    def size(self) -> str:
        """``vmSize`` of the machine."""
        return self.point.metadata["hardwareProfile"]["vmSize"]


def new_body(
    source: Source,
    disks: list[DiskPlan],
    *,
    size: str | None,
    network: Raw,
    tags: dict[str, str],
    zones: list[str] | None,
    plan: Raw | None = None,
) -> Raw:
    """The request for a virtual machine that is what the restore point holds.

    Args:
        size, plan: in place of what the source has.
    """
    storage = storage_profile(disks)
    controller = source.controller
    # Another size may not have the controller of the old one; Azure then chooses.
    if controller and size in (None, source.size):
        storage["diskControllerType"] = controller
    properties: Raw = {
        "hardwareProfile": {"vmSize": size or source.size},
        "storageProfile": storage,
        "networkProfile": network,
    }
    kept = {
        "licenseType": source.told("licenseType"),
        "securityProfile": _security(source),
        "additionalCapabilities": _capabilities(source, disks),
        "diagnosticsProfile": diagnostics(source),
        "userData": source.told("userData"),
    }
    properties.update({name: value for name, value in kept.items() if value})
    body: Raw = {"location": source.point.location, "tags": tags, "properties": properties}
    if zones:
        body["zones"] = zones
    if bought := plan or marketplace_plan(source):
        body["plan"] = bought
    if source.here and (source.vm or {}).get("extendedLocation"):
        body["extendedLocation"] = (source.vm or {})["extendedLocation"]
    return body


def marketplace_plan(source: Source) -> Raw | None:
    """The plan of the offer that the OS disk came from, as the request for a machine has it."""
    known = (source.vm or {}).get("plan") or source.os_facts.purchase_plan
    return {name: known[name] for name in _PLAN if known.get(name)} or None


def _security(source: Source) -> Raw:
    """Without what Azure refuses: UEFI settings of a plain machine, an identity that it does not have.

    Sources: azure-cli#31234 (the type Standard is refused before 2025-11-01), azure-cli#30728.
    """
    told = dict(source.told("securityProfile") or {})
    told.pop("encryptionIdentity", None)
    if security_type({"securityProfile": told}) is None:
        told.pop("securityType", None)
        told.pop("uefiSettings", None)
    return told


def _capabilities(source: Source, disks: list[DiskPlan]) -> Raw:
    told = dict(source.told("additionalCapabilities") or {})
    if not source.hibernates:
        told.pop("hibernationEnabled", None)
    if any(disk.sku.lower().startswith("ultrassd") for disk in disks):
        told["ultraSSDEnabled"] = True
    return told


def diagnostics(source: Source) -> Raw | None:
    """Boot diagnostics; a storage account of another region is left out, for Azure's own."""
    told = source.told("diagnosticsProfile")
    boot = (told or {}).get("bootDiagnostics") or {}
    if boot.get("storageUri") and not source.here:
        return {"bootDiagnostics": {"enabled": bool(boot.get("enabled"))}}
    return told


def interfaces(ids: list[str]) -> Raw:
    """A network profile of existing interfaces; the first is the primary one."""
    return {
        "networkInterfaces": [
            {"id": one, "properties": {"primary": number == 0}} for number, one in enumerate(ids)
        ]
    }


def interface_in(subnet_id: str, vm: str, kept: Raw | None = None) -> Raw:
    """A network profile that lets Azure make one interface in a subnet, with the machine's life.

    Args:
        kept: more properties of the interface.
    """
    address = {"name": "ipconfig1", "properties": {"primary": True, "subnet": {"id": subnet_id}}}
    interface = {
        "name": f"{vm}-nic",
        "properties": {
            "primary": True,
            "deleteOption": "Delete",
            **(kept or {}),
            "ipConfigurations": [address],
        },
    }
    return {
        "networkApiVersion": INTERFACE_API_VERSION,
        "networkInterfaceConfigurations": [interface],
    }
