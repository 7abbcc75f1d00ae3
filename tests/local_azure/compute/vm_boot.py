"""Whether a virtual machine can boot from an OS disk that exists."""

from __future__ import annotations

from typing import Any

from ..arm.resources import Resource
from ..errors import ArmError, invalid_parameter
from ..state import State
from .sizes import capabilities
from .vm_storage import Machine, StoragePlan


def check_boot(state: State, machine: Machine, plan: StoragePlan) -> None:
    """Refuse a machine that cannot boot from the OS disk that it has, or is to have.

    Raises:
        ArmError: 400.
    """
    disk = _os_disk(state, plan)
    if disk is not None:
        _check_capabilities(machine, disk.properties.get("supportedCapabilities") or {})


def check_plan(state: State, machine: Machine, plan: StoragePlan, marketplace_plan: Any) -> None:
    """Refuse a new machine from a disk of a marketplace image without that image's plan.

    Raises:
        ArmError: 400.
    """
    disk = _os_disk(state, plan)
    if disk is not None and disk.properties.get("purchasePlan") and not marketplace_plan:
        raise ArmError(
            400, "VMMarketplaceInvalidInput",
            "Creating a virtual machine from Marketplace image or a custom image sourced from a"
            f" Marketplace image requires Plan information in the request. VM: '{machine.id}'.",
        )  # fmt: skip


def _os_disk(state: State, plan: StoragePlan) -> Resource | None:
    return state.resources.get(plan.profile["osDisk"]["managedDisk"].get("id", ""))


def _check_capabilities(machine: Machine, held: dict[str, str]) -> None:
    needed = capabilities(machine.size)
    nvme = "nvme" in str(held.get("diskControllerTypes", "")).lower()
    architecture = str(held.get("architecture", "x64")).lower()
    if ("diskControllerTypes" in needed and not nvme) or (
        architecture != needed["architecture"].lower()
    ):
        raise invalid_parameter(
            f"The VM size '{machine.size}' cannot boot with OS image or disk. Please check that disk"
            " controller types supported by the OS image or disk is one of the supported disk"
            f" controller types for the VM size '{machine.size}'. Please query sku api at"
            " https://aka.ms/azure-compute-skus  to determine supported disk controller types for"
            " the VM size.",
            "vmSize",
        )
