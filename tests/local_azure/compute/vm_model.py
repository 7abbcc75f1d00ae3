"""What a virtual machine looks like, but for its disks and interfaces."""

from __future__ import annotations

import re
from typing import Any

from ..arm.resources import Resource, same_id
from ..errors import conflict, invalid_parameter, missing_parameter
from .tracked import change_refused

VM_TYPE = "Microsoft.Compute/virtualMachines"

# Echoed as given, in the service's order.
_ECHOED = (
    "additionalCapabilities", "applicationProfile", "availabilitySet", "billingProfile",
    "capacityReservation", "diagnosticsProfile", "evictionPolicy", "extensionsTimeBudget", "host",
    "hostGroup", "licenseType", "platformFaultDomain", "priority", "proximityPlacementGroup",
    "scheduledEventsProfile", "securityProfile", "userData", "virtualMachineScaleSet",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,62}\w)?", re.ASCII)
_NAME_RULE = r"^[^_\W][\w\-._]{0,79}(?<![-.])$"
_BAD_CHARACTERS = "`~!@#$%^&*()=+_[]{}\\|;:.'\",<>/?"
_LINUX_BAD_CHARACTERS = _BAD_CHARACTERS.replace(".", "")
_LINUX_NAME, _WINDOWS_NAME = 64, 15
_KINDS_OF_CHARACTERS = 3  # that a password has at least


def vm_id(subscription: str, group: str, name: str) -> str:
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}"
        f"/providers/Microsoft.Compute/virtualMachines/{name}"
    )


def check_name(name: str) -> None:
    """Refuse a resource name that the service refuses."""
    if not _NAME.fullmatch(name):
        raise invalid_parameter(
            f"The entity name 'vmName' is invalid according to its validation rule: {_NAME_RULE}."
        )


def _check_computer_name(name: str, os_type: str) -> None:
    windows = os_type.lower() == "windows"
    limit = _WINDOWS_NAME if windows else _LINUX_NAME
    bad = _BAD_CHARACTERS if windows else _LINUX_BAD_CHARACTERS
    if (
        name
        and len(name) <= limit
        and not set(name) & set(bad)
        and not (windows and name.isdigit())
    ):
        return
    listed = " ".join(bad)
    if windows:
        raise invalid_parameter(
            f"Windows computer name cannot be more than {limit} characters long, be entirely"
            f" numeric, or contain the following characters: {listed}."
        )
    raise invalid_parameter(
        f"Linux host name cannot exceed {limit} characters in length or contain the following"
        f" characters: {listed}."
    )


def _check_password(password: str, os_type: str) -> None:
    """Refuse a password that is too short or too simple, in the words of Azure/sap-hana#1017."""
    shortest, longest = (8, 123) if os_type.lower() == "windows" else (6, 72)
    kinds = (str.isupper, str.islower, str.isdigit, lambda one: not one.isalnum())
    found = sum(any(kind(one) for one in password) for kind in kinds)
    if not shortest <= len(password) <= longest or found < _KINDS_OF_CHARACTERS:
        raise invalid_parameter(
            f"The supplied password must be between {shortest}-{longest} characters long and must"
            " satisfy at least 3 of password complexity requirements from the following:\r\n1)"
            " Contains an uppercase character\r\n2) Contains a lowercase character\r\n3) Contains a"
            " numeric digit\r\n4) Contains a special character\r\n5) Control characters are not"
            " allowed",
            "adminPassword",
        )


def os_profile(asked: dict[str, Any], vm_name: str, os_type: str) -> dict[str, Any]:
    """The OS profile with the service's defaults and without its secrets."""
    name = asked.get("computerName") or vm_name
    _check_computer_name(name, os_type)
    if not asked.get("adminUsername"):
        raise missing_parameter("osProfile.adminUsername")
    if asked.get("adminPassword") is not None:
        _check_password(str(asked["adminPassword"]), os_type)
    made: dict[str, Any] = {"computerName": name, "adminUsername": asked["adminUsername"]}
    if os_type.lower() == "windows":
        made["windowsConfiguration"] = _windows(asked.get("windowsConfiguration") or {})
    else:
        made["linuxConfiguration"] = _linux(asked.get("linuxConfiguration") or {}, asked)
    return {
        **made, "secrets": asked.get("secrets") or [],
        "allowExtensionOperations": asked.get("allowExtensionOperations", True),
        "requireGuestProvisionSignal": True,
    }  # fmt: skip


def _windows(asked: dict[str, Any]) -> dict[str, Any]:
    patches = {"patchMode": "AutomaticByOS", "assessmentMode": "ImageDefault"}
    return {
        "provisionVMAgent": True, "enableAutomaticUpdates": True, **asked,
        "patchSettings": {**patches, **(asked.get("patchSettings") or {})},
        "enableVMAgentPlatformUpdates": False,
    }  # fmt: skip


def _linux(asked: dict[str, Any], profile: dict[str, Any]) -> dict[str, Any]:
    locked = not profile.get("adminPassword")
    patches = {"patchMode": "ImageDefault", "assessmentMode": "ImageDefault"}
    return {
        "disablePasswordAuthentication": locked, **asked, "provisionVMAgent": True,
        "patchSettings": {**patches, **(asked.get("patchSettings") or {})},
        "enableVMAgentPlatformUpdates": False,
    }  # fmt: skip


def busy() -> Exception:
    """The provider's refusal of a second write while one is under way."""
    return conflict(
        "Conflict",
        "The request failed due to conflict with a concurrent request. To resolve it, please refer"
        " to https://aka.ms/activitylog to get more details on the conflicting requests.",
    )


def echoed(properties: dict[str, Any]) -> dict[str, Any]:
    return {key: properties[key] for key in _ECHOED if properties.get(key) is not None}


def vm_body(
    *,
    identity: str,
    location: str,
    request: dict[str, Any],
    vm_guid: str,
    size: str,
    storage: dict[str, Any],
    profile: dict[str, Any] | None,
    network: dict[str, Any],
    state: str,
    created: str,
) -> dict[str, Any]:
    """The body of a new virtual machine, members in the service's order."""
    body: dict[str, Any] = {
        "name": identity.rsplit("/", 1)[1], "id": identity, "type": VM_TYPE, "location": location,
    }  # fmt: skip
    for key in ("tags", "zones", "plan", "extendedLocation"):
        if request.get(key) is not None:
            body[key] = request[key]
    if request.get("identity"):
        body["identity"] = identity_body(request["identity"])
    properties: dict[str, Any] = {
        "vmId": vm_guid, "hardwareProfile": {"vmSize": size}, "storageProfile": storage,
    }  # fmt: skip
    if profile is not None:
        properties["osProfile"] = profile
    properties["networkProfile"] = network
    properties |= echoed(request.get("properties") or {})
    properties |= {"provisioningState": state, "timeCreated": created}
    body["properties"] = properties
    return body


def merged_identity(held: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """The identity asked for, with the user-assigned ones that a PATCH does not name.

    One that it names with null goes; its id is compared in any casing. A type without
    user-assigned identities ends all of them.
    """
    kind = str(asked.get("type") or held.get("type") or "None")
    users = dict(held.get("userAssignedIdentities") or {})
    for name, wanted in (asked.get("userAssignedIdentities") or {}).items():
        same = next((one for one in users if same_id(one, name)), name)
        if wanted is None:
            users.pop(same, None)
        else:
            users.setdefault(same, {})
    merged: dict[str, Any] = {"type": kind}
    if users and "userassigned" in kind.replace(" ", "").lower():
        merged["userAssignedIdentities"] = users
    return merged


def identity_body(
    asked: dict[str, Any], *, pending: bool = False, known: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A managed identity as the service shows it, its ids made up but steady.

    ``pending``: user-assigned ones that are not ``known`` have no ids yet.
    """
    made: dict[str, Any] = {"type": str(asked.get("type") or "None")}
    if "systemassigned" in made["type"].replace(" ", "").lower():
        made["principalId"] = "00000000-0000-4000-8000-0000000000a1"
        made["tenantId"] = "00000000-0000-4000-8000-0000000000a2"
    users = asked.get("userAssignedIdentities")
    if users:
        guid = "00000000-0000-4000-8000-0000000000a3"
        made["userAssignedIdentities"] = {
            name: {}
            if pending and name not in (known or {})
            else {"principalId": guid, "clientId": guid}
            for name, kept in users.items()
            if kept is not None
        }
    return made


def change_properties(vm: Resource, properties: dict[str, Any]) -> None:
    """Take over what may change in the properties, but for disks and interfaces."""
    if properties.get("osProfile") and "osProfile" not in vm.properties:
        raise change_refused("osProfile")
    size = (properties.get("hardwareProfile") or {}).get("vmSize")
    if size:
        vm.properties["hardwareProfile"] = {"vmSize": size}
    tail = {key: vm.properties.pop(key) for key in ("provisioningState", "timeCreated")}
    vm.properties.update(echoed(properties))
    vm.properties.update(tail)


def answer(vm: Resource, *, user_data: bool = False) -> dict[str, Any]:
    """What a GET shows; its user data only where it is asked for.

    While a machine is deallocated the service leaves out the sizes and SKUs of its disks.
    """
    body = vm.answer()
    data = body["properties"].pop("userData", None)
    if user_data and data:
        body["properties"]["userData"] = data
    if vm.hidden.get("power") == "deallocated":
        storage = body["properties"]["storageProfile"]
        for disk in (storage["osDisk"], *storage["dataDisks"]):
            disk.pop("diskSizeGB", None)
            disk["managedDisk"].pop("storageAccountType", None)
    return body
