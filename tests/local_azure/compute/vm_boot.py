"""Whether a virtual machine can boot from an OS disk that exists."""

from __future__ import annotations

import re
from typing import Any

from ..errors import ArmError, invalid_parameter
from .vm_storage import Machine, StoragePlan

_NVME_ONLY = re.compile(r"_v[67]$", re.IGNORECASE)
_ARM = re.compile(r"Standard_[A-Z]+\d+[a-z]*p[a-z]*_", re.IGNORECASE)


def capabilities(size: str) -> dict[str, str]:
    """The ``supportedCapabilities`` of the OS disk of a marketplace image that boots on a size."""
    kept = {"architecture": "Arm64" if _ARM.match(size) else "x64"}
    return {"diskControllerTypes": "SCSI, NVMe", **kept} if _NVME_ONLY.search(size) else kept


def check_boot(machine: Machine, plan: StoragePlan, marketplace_plan: Any) -> None:
    """Refuse a new machine that cannot boot from the OS disk that it attaches.

    Raises:
        ArmError: 400.
    """
    identity = plan.profile["osDisk"]["managedDisk"].get("id")
    for disk in plan.attached:
        if disk.id != identity:
            continue
        _check_capabilities(machine, disk.properties.get("supportedCapabilities") or {})
        if disk.properties.get("purchasePlan") and not marketplace_plan:
            raise ArmError(
                400, "VMMarketplaceInvalidInput",
                "Creating a virtual machine from Marketplace image or a custom image sourced from a"
                " Marketplace image requires Plan information in the request. VM:"
                f" '{machine.id}'.",
            )  # fmt: skip


def _check_capabilities(machine: Machine, held: dict[str, str]) -> None:
    nvme = "nvme" in str(held.get("diskControllerTypes", "")).lower()
    arm = str(held.get("architecture", "x64")).lower() == "arm64"
    if (_NVME_ONLY.search(machine.size) and not nvme) or bool(_ARM.match(machine.size)) is not arm:
        raise invalid_parameter(
            f"The VM size '{machine.size}' cannot boot with OS image or disk. Please check that disk"
            " controller types supported by the OS image or disk is one of the supported disk"
            " controller types for the VM size, and that their architectures are the same.",
            "vmSize",
        )
