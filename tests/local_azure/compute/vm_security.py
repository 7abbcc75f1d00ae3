"""The security type of a virtual machine: what it may be told, and which OS disks fit it."""

from __future__ import annotations

from typing import Any

from ..arm.resources import Resource, same_id
from ..errors import ArmError, conflict, invalid_parameter
from ..state import State
from .tracked import member
from .vm_storage import StoragePlan

# From this version of the API on, Standard may be said, and is shown.
STANDARD_SINCE = "2025-11-01"
_TYPES = ("standard", "trustedlaunch", "confidentialvm")
_PLAIN = ("", "standard")


def check_profile(asked: dict[str, Any], api_version: str) -> None:
    """Refuse a security profile that no machine can have.

    Args:
        asked: the ``securityProfile`` of a request, {} without one.

    Raises:
        ArmError: 400.
    """
    kind = asked.get("securityType")
    # azure-cli#31234, azure-cli#33280; the subscription has no UseStandardSecurityType feature
    early = str(kind).lower() == "standard" and api_version < STANDARD_SINCE
    if kind is not None and (early or str(kind).lower() not in _TYPES):
        raise invalid_parameter(
            "The value of parameter securityProfile.securityType is invalid.",
            "securityProfile.securityType",
        )
    if asked.get("uefiSettings") and security_type(asked) in _PLAIN:  # azure-cli#30728, #28396
        when = f"'{kind}'" if kind else "not set"
        raise ArmError(
            400, "BadRequest",
            f"Use of UEFI settings is not supported when security type is {when}.",
        )  # fmt: skip


def check_disk(wanted: dict[str, Any], plan: StoragePlan) -> None:
    """Refuse an OS disk to be attached whose security type is another than the machine's.

    Args:
        wanted: the ``securityProfile`` that the machine has, or is to have.

    Raises:
        ArmError: 400, in the words of azure-cli#28457 (code: azure-sdk-for-python#30479).
    """
    disk = _os_disk(plan)
    if any(item is disk for item in plan.attached) and not _fits(disk, security_type(wanted)):
        raise ArmError(
            400, "BadRequest",
            "Security type of VM is not compatible with the security type of attached OS Disk.",
        )  # fmt: skip


def check_change(
    vm: Resource, properties: dict[str, Any], plan: StoragePlan, api_version: str
) -> None:
    """Refuse a change of the security type that an existing machine cannot make.

    Trusted Launch can be switched on while a machine of generation 2 is deallocated, and its disk
    is changed with it; what stands in the way is documented, the words are not recorded.

    Raises:
        ArmError: 400 or 409.
    """
    held = vm.properties.get("securityProfile") or {}
    asked = member(properties, "securityProfile")
    check_profile({**held, **asked} if asked else {}, api_version)
    kind = security_type(asked) if "securityType" in asked else security_type(held)
    if kind == security_type(held) or (kind in _PLAIN and security_type(held) in _PLAIN):
        check_disk(held, plan)
        return
    if kind != "trustedlaunch" or vm.hidden.get("generation", "V2") != "V2":
        raise conflict(
            "PropertyChangeNotAllowed",
            "Changing property 'securityProfile.securityType' is not allowed.",
        )
    if vm.hidden["power"] != "deallocated":
        raise conflict(
            "OperationNotAllowed",
            f"The security type of VM '{vm.name}' cannot be changed while the VM is allocated."
            " Please deallocate the VM and retry the operation.",
        )


def take_over(state: State, vm: Resource) -> None:
    """Give the OS disk the security type that its machine was switched to."""
    kind = (vm.properties.get("securityProfile") or {}).get("securityType")
    disk = state.resources.get(vm.properties["storageProfile"]["osDisk"]["managedDisk"]["id"])
    if disk is not None and str(kind).lower() == "trustedlaunch":
        disk.properties.setdefault("securityProfile", {"securityType": kind})


def security_type(profile: dict[str, Any]) -> str:
    """The security type in a profile, in lower case; empty where none is told."""
    return str(profile.get("securityType") or "").lower()


def shown(profile: dict[str, Any], api_version: str) -> dict[str, Any]:
    """A machine's profile for a request of some api-version: older ones do not know Standard."""
    if security_type(profile) == "standard" and api_version < STANDARD_SINCE:
        return {key: value for key, value in profile.items() if key != "securityType"}
    return profile


def _os_disk(plan: StoragePlan) -> Resource | None:
    identity = plan.profile["osDisk"]["managedDisk"].get("id")
    return next((disk for disk in plan.attached if same_id(disk.id, identity or "")), None)


def _fits(disk: Resource | None, wanted: str) -> bool:
    if disk is None:
        return True
    held = security_type(disk.properties.get("securityProfile") or {})
    if held.startswith("confidentialvm"):
        return wanted == "confidentialvm"
    if held not in _PLAIN:
        return wanted == held
    option = (disk.properties.get("supportedCapabilities") or {}).get("supportedSecurityOption")
    return wanted in _PLAIN or wanted in str(option or "").lower()
