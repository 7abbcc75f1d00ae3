# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM, its instance view and its disks as a result: pure functions, every key always there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import protectability
from .ids import ResourceId
from .storage_profile import disk_entries
from .storage_profile import os_disk as os_disk_of
from .virtual_machines import power_state

Raw = dict[str, Any]

_RUNNING = ("running", "starting")


def shape_vm(
    vm: Raw, disks: Mapping[str, Raw], consistency_mode: str | None = None
) -> dict[str, Any]:
    """What ``vm_info`` says of a VM.

    Args:
        vm: as Azure tells it; without ``instanceView``, power state and agent are unknown.
        disks: its disk resources, by id in lower case; may lack some.
        consistency_mode: ``application`` or ``crash``, for the findings; None for what holds
            in both.
    """
    told = vm.get("properties", {})
    os_entry = os_disk_of(told)
    os_disk = _shape_disk(os_entry, disks, vm, consistency_mode)
    data_disks = [
        _shape_disk(entry, disks, vm, consistency_mode)
        for entry in disk_entries(told)
        if entry is not os_entry
    ]
    return {
        "id": vm["id"],
        "name": vm["name"],
        "resource_group": ResourceId.parse(vm["id"]).group,
        "vm_id": told.get("vmId"),
        "location": vm.get("location"),
        "zones": vm.get("zones") or [],
        "size": (told.get("hardwareProfile") or {}).get("vmSize"),
        "power_state": power_state(vm),
        "provisioning_state": told.get("provisioningState"),
        "agent": shape_agent(vm),
        "os_type": os_entry.get("osType"),
        "hyper_v_generation": _generation(told, _resource(os_entry, disks)),
        "security_type": (told.get("securityProfile") or {}).get("securityType"),
        "license_type": told.get("licenseType"),
        "identity_type": (vm.get("identity") or {}).get("type"),
        "tags": vm.get("tags") or {},
        "network_interfaces": _interfaces(told),
        "os_disk": os_disk,
        "data_disks": data_disks,
        "protectable": all(disk["protectable"] for disk in [os_disk, *data_disks]),
    }


def shape_agent(vm: Raw) -> dict[str, str | None]:
    """What is known of the VM's agent.

    Returns:
        ``status``: ``not_running`` (the VM is off), ``not_reporting`` (the VM runs, and its agent
        has never told Azure anything), ``not_ready``, ``ready``, or None without an instance view;
        ``version``, None where the agent has not told it.
    """
    view = vm.get("properties", {}).get("instanceView")
    if view is None:
        return {"status": None, "version": None}
    agent = view.get("vmAgent") or {}
    version = agent.get("vmAgentVersion")
    version = None if version in (None, "", "Unknown") else version
    return {"status": _agent_status(power_state(vm), agent, version), "version": version}


def _agent_status(power: str | None, agent: Raw, version: str | None) -> str:
    """Of an agent that never reported Azure says nothing, or that its version is ``Unknown``."""
    if power is not None and power not in _RUNNING:
        return "not_running"
    statuses = agent.get("statuses") or []
    if any(status.get("displayStatus") == "Ready" for status in statuses):
        return "ready"
    return "not_ready" if version else "not_reporting"


def _generation(told: Raw, os_disk: Raw | None) -> str | None:
    seen = (told.get("instanceView") or {}).get("hyperVGeneration")
    return seen or (os_disk or {}).get("properties", {}).get("hyperVGeneration")


def _interfaces(told: Raw) -> list[str]:
    interfaces = (told.get("networkProfile") or {}).get("networkInterfaces") or []
    return [interface["id"] for interface in interfaces if interface.get("id")]


def _resource(entry: Raw, disks: Mapping[str, Raw]) -> Raw | None:
    disk_id = (entry.get("managedDisk") or {}).get("id") or ""
    return disks.get(disk_id.lower())


def _shape_disk(
    entry: Raw, disks: Mapping[str, Raw], vm: Raw, consistency_mode: str | None
) -> dict[str, Any]:
    disk = _resource(entry, disks)
    findings = protectability.disk_findings(disk, entry, vm, consistency_mode=consistency_mode)
    blocked = protectability.export_findings(disk, entry)
    told = (disk or {}).get("properties", {})
    return {
        "lun": entry.get("lun"),
        "name": entry.get("name"),
        "id": (entry.get("managedDisk") or {}).get("id"),
        "size_gb": told.get("diskSizeGB") or entry.get("diskSizeGB"),
        "size_bytes": told.get("diskSizeBytes"),
        "sku": protectability.sku_of(disk, entry),
        "caching": entry.get("caching"),
        "write_accelerator": bool(entry.get("writeAcceleratorEnabled")),
        "encryption": _encryption(told, entry),
        "network_access_policy": told.get("networkAccessPolicy"),
        "public_network_access": told.get("publicNetworkAccess"),
        "data_access_auth_mode": told.get("dataAccessAuthMode"),
        "max_shares": told.get("maxShares") or 1,
        "sector_size": protectability.sector_size(disk, entry),
        "disk_state": told.get("diskState"),
        "protectable": not findings,
        "findings": findings,
        "exportable": not (findings or blocked),
        "export_findings": blocked,
    }


def _encryption(told: Raw, entry: Raw) -> dict[str, str | None]:
    kept = told.get("encryption") or {}
    by_vm = (entry.get("managedDisk") or {}).get("diskEncryptionSet") or {}
    return {
        "type": kept.get("type"),
        "disk_encryption_set_id": kept.get("diskEncryptionSetId") or by_vm.get("id"),
    }
