# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine to back up: its disks, whether they can be read, and its configuration."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from typing import Any

from .._arm.client import ArmClient
from .._compute.disks import disks_of
from .._compute.ids import ResourceId
from .._compute.protectability import disk_findings, export_findings, sector_size
from .._compute.restore_point_request import excluded_on_request
from .._compute.storage_profile import by_place, disk_entries, disk_id, role
from .._compute.virtual_machines import get_vm, power_state
from .._errors import InputError, VmguardError
from .._secrets import HIDDEN, scrub
from .request import RESTORE_POINT, BackupRequest

Raw = dict[str, Any]
# There is nothing to take a snapshot of, or nothing that would start from it.
_NO_SNAPSHOT = ("UnmanagedDisk", "EphemeralOSDisk", "ConfidentialVM")
_AT_REST = ("stopped", "deallocated")
# With these, its blocks can be read through a private endpoint alone.
PRIVATE = ("NetworkAccessPrivate", "PublicNetworkAccessDisabled")


# The ends of names, without case and signs, under which a text, or all there is, is a secret.
_SECRET_TEXTS = (
    "password", "passphrase", "secret", "token", "accountkey", "accesskey", "apikey", "sharedkey",
    "encryptionkey", "signature", "privatekey", "connectionstring",
)  # fmt: skip
_SECRET_OBJECTS = ("protectedsettings", "customdata")


@dataclass(frozen=True)
class BackupDisk:
    """A disk that is backed up. ``size`` in bytes; ``lun`` is None for the OS disk."""

    id: str
    name: str
    lun: int | None
    unique_id: str
    size: int
    entry: Raw = field(repr=False)
    resource: Raw = field(repr=False)

    @property
    def role(self) -> str:
        return role(self.lun)

    def facts(self) -> Raw:
        """What is needed to make this disk again, and to attach it as it was."""
        told = self.resource.get("properties", {})
        return {
            "sku": (self.resource.get("sku") or {}).get("name"),
            "size_gb": told.get("diskSizeGB"),
            "location": self.resource.get("location"),
            "zones": self.resource.get("zones") or [],
            "os_type": self.entry.get("osType"),
            "hyper_v_generation": told.get("hyperVGeneration"),
            "caching": self.entry.get("caching") or "None",
            "write_accelerator": bool(self.entry.get("writeAcceleratorEnabled")),
            "sector_size": sector_size(self.resource, self.entry),
            "encryption": told.get("encryption") or {},
            "security_profile": told.get("securityProfile") or {},
            "tags": self.resource.get("tags") or {},
        }


@dataclass
class Machine:
    """A virtual machine as it is now.

    Args:
        disks: those that are backed up, the OS disk first, then by LUN.
        excluded: the others, for the manifest.
        resources: the disk resources of all of them, by lower-cased id.
        left_out: the unique ids of the excluded disks.
    """

    raw: Raw
    disks: list[BackupDisk]
    excluded: list[Raw]
    resources: dict[str, Raw] = field(repr=False)
    left_out: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        return self.raw["id"]

    @property
    def name(self) -> str:
        return self.raw["name"]

    @property
    def running(self) -> bool:
        return power_state(self.raw) in ("running", "starting")

    @property
    def at_rest(self) -> bool:
        """Whether no guest can have written to the disks."""
        return power_state(self.raw) in _AT_REST

    @property
    def vm_id(self) -> str | None:
        """Azure's id of the machine's life; one that is made again has another."""
        return self.raw["properties"].get("vmId")

    def identity(self, group: str, subscription: str) -> Raw:
        return {
            "id": self.id,
            "name": self.name,
            "resource_group": group,
            "subscription_id": subscription,
            "location": self.raw.get("location"),
            "vm_id": self.vm_id,
        }


def at_rest(arm: ArmClient, machine_id: str) -> bool:
    """Whether a machine's guest does not run now.

    Raises:
        AzureError, ConnectionFailed: Azure cannot be asked.
    """
    parsed = ResourceId.parse(machine_id)
    return power_state(get_vm(arm, parsed.group, parsed.name, instance_view=True)) in _AT_REST


def read_machine(arm: ArmClient, request: BackupRequest) -> Machine:
    """The machine, with the disks that the backup is of.

    Raises:
        NotFound: there is no such machine.
        InputError: a disk to exclude does not exist, none is left, or some cannot be read.
    """
    vm = get_vm(arm, request.group, request.vm, instance_view=True, user_data=True)
    resources = disks_of(arm, [vm])
    asked = excluded_on_request(vm, request.exclude_disks)
    disks, excluded, blocked = [], [], []
    left_out: set[str] = set()
    for entry in disk_entries(vm["properties"]):
        managed = disk_id(entry)
        if managed and managed.lower() in asked:
            excluded.append(
                {"id": managed, "name": entry.get("name"), "reason": "ExcludedByRequest"}
            )
            if managed.lower() in resources:
                left_out.add(_unique_id(resources[managed.lower()]))
            continue
        resource = resources.get(managed.lower())
        findings = _findings(vm, entry, resource, request)
        if findings:
            blocked += findings
        elif resource is not None:
            disks.append(_disk(entry, resource))
    _refuse(vm, blocked, disks)
    ordered = sorted(disks, key=lambda disk: by_place(disk.lun))
    return Machine(vm, ordered, excluded, resources, left_out)


def _findings(vm: Raw, entry: Raw, resource: Raw | None, request: BackupRequest) -> list[Raw]:
    found = disk_findings(resource, entry, vm, consistency_mode=request.consistency_mode)
    if request.source != RESTORE_POINT:
        found = [one for one in found if one["reason"] in _NO_SNAPSHOT]
    exports = export_findings(resource, entry)
    if request.private_link:
        exports = [one for one in exports if one["reason"] not in PRIVATE]
    if resource is None and not found:
        name = entry.get("name")
        return [{"reason": "DiskNotFound", "message": f"Disk {name} cannot be found or read."}]
    return [*found, *exports]


def _refuse(vm: Raw, blocked: list[Raw], disks: list[BackupDisk]) -> None:
    if blocked:
        hint = "exclude_disks leaves disks out."
        if any(one["reason"] in PRIVATE for one in blocked):
            hint += " Where the private endpoint can be reached, private_link: true reads them."
        messages = " ".join(one["message"] for one in blocked)
        raise InputError(
            f"{vm['name']} cannot be backed up: {messages}",
            code="DisksNotReadable",
            resource=vm["id"],
            hint=hint,
        )
    if not disks:
        raise InputError(
            f"No disk of {vm['name']} would be left to back up.",
            code="AllDisksExcluded",
            resource=vm["id"],
        )


def _disk(entry: Raw, resource: Raw) -> BackupDisk:
    told = resource["properties"]
    return BackupDisk(
        id=resource["id"],
        name=resource["name"],
        lun=entry.get("lun"),
        unique_id=_unique_id(resource),
        size=told.get("diskSizeBytes") or (told.get("diskSizeGB") or 0) << 30,
        entry=entry,
        resource=resource,
    )


def _unique_id(resource: Raw) -> str:
    return resource["properties"].get("uniqueId") or resource["id"].lower()


def configuration(arm: ArmClient, machine: Machine, warnings: list[str]) -> Raw:
    """The machine as Azure describes it, for the manifest: VM, disks, network interfaces.

    It holds no secret: Azure does not tell passwords, and what looks like a signature or a key is
    taken out. Tags are kept as they are: everybody who may read the machine reads them in Azure, and
    a restore writes them back.
    """
    vm = {**machine.raw, "properties": dict(machine.raw["properties"])}
    vm["properties"].pop("instanceView", None)
    profile = machine.raw["properties"].get("networkProfile") or {}
    interfaces = []
    for interface in profile.get("networkInterfaces") or []:
        try:
            interfaces.append(arm.get(interface["id"]))
        except VmguardError as error:
            warnings.append(f"A network interface is not in the configuration: {error.message}")
    found = {
        "virtual_machine": vm,
        "disks": list(machine.resources.values()),
        "network_interfaces": interfaces,
    }
    return without_secrets(found)


def without_secrets(value: Any) -> Any:
    """A copy of what Azure described, of the same shape, without the texts that are secrets."""
    if isinstance(value, dict):
        # A resource's tags: everybody who may see the machine sees them, and a restore needs them.
        kept = {"tags"} if "id" in value else set()
        return {
            key: copy.deepcopy(part) if key in kept else _without_secrets(str(key), part)
            for key, part in value.items()
        }
    if isinstance(value, list):
        return [without_secrets(one) for one in value]
    return scrub(value) if isinstance(value, str) else value


def _without_secrets(key: str, value: Any) -> Any:
    """What stands under a name. An object under ``diskEncryptionKey`` says where a key is, not what."""
    name = re.sub(r"[^a-z]", "", key.lower())
    if name.endswith(_SECRET_OBJECTS) and value:
        return HIDDEN
    if name.endswith(_SECRET_TEXTS):
        if isinstance(value, str):
            return HIDDEN if value else value
        if isinstance(value, list):
            return [_without_secrets(key, one) for one in value]
    return without_secrets(value)
