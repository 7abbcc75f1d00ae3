"""Members of a request whose values are listed, for each kind of resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ArmError, invalid_parameter

Choices = Mapping[str, tuple[str, ...]]

_OS = ("Windows", "Linux")
_CACHING = ("None", "ReadOnly", "ReadWrite")
_DELETE = ("Delete", "Detach")
_SKUS = (
    "Standard_LRS", "Premium_LRS", "StandardSSD_LRS", "UltraSSD_LRS", "Premium_ZRS",
    "StandardSSD_ZRS", "PremiumV2_LRS",
)  # fmt: skip
DISK_SKUS = _SKUS
SNAPSHOT_SKUS = ("Standard_LRS", "Premium_LRS", "Standard_ZRS")

DISK: Choices = {
    "properties.osType": _OS,
    "properties.hyperVGeneration": ("V1", "V2"),
    "properties.networkAccessPolicy": ("AllowAll", "AllowPrivate", "DenyAll"),
    "properties.publicNetworkAccess": ("Enabled", "Disabled"),
    "properties.dataAccessAuthMode": ("AzureActiveDirectory", "None"),
    "properties.encryption.type": (
        "EncryptionAtRestWithPlatformKey", "EncryptionAtRestWithCustomerKey",
        "EncryptionAtRestWithPlatformAndCustomerKeys",
    ),
    "properties.securityProfile.securityType": (
        "TrustedLaunch", "ConfidentialVM_VMGuestStateOnlyEncryptedWithPlatformKey",
        "ConfidentialVM_DiskEncryptedWithPlatformKey",
        "ConfidentialVM_DiskEncryptedWithCustomerKey", "ConfidentialVM_NonPersistedTPM", "Standard",
    ),
    "properties.supportedCapabilities.architecture": ("x64", "Arm64"),
    "properties.supportedCapabilities.supportedSecurityOption": (
        "TrustedLaunchSupported", "TrustedLaunchAndConfidentialVMSupported",
    ),
}  # fmt: skip
_OS_DISK = "properties.storageProfile.osDisk"
_DATA_DISKS = "properties.storageProfile.dataDisks[]"
MACHINE: Choices = {
    "properties.priority": ("Regular", "Low", "Spot"),
    "properties.evictionPolicy": ("Deallocate", "Delete"),
    "properties.storageProfile.diskControllerType": ("SCSI", "NVMe"),
    "properties.networkProfile.networkApiVersion": ("2020-11-01", "2022-11-01"),
    f"{_OS_DISK}.osType": _OS,
    f"{_OS_DISK}.caching": _CACHING,
    f"{_OS_DISK}.deleteOption": _DELETE,
    f"{_OS_DISK}.managedDisk.storageAccountType": _SKUS,
    f"{_DATA_DISKS}.caching": _CACHING,
    f"{_DATA_DISKS}.deleteOption": _DELETE,
    f"{_DATA_DISKS}.detachOption": ("ForceDetach",),
    f"{_DATA_DISKS}.managedDisk.storageAccountType": _SKUS,
}


def check_choices(kind: str, body: Any, choices: Choices) -> None:
    """Refuse a value that an enumeration does not have; in any casing, as the service reads it.

    Args:
        kind: what the body is of, for the target of the error.
        choices: the values by dotted path; ``[]`` stands for every item of a list.

    Raises:
        ArmError: 400, as recorded (errors_gateway_and_compute).
    """
    for path, allowed in choices.items():
        for place, value in _values(body, path.split("."), ""):
            if value is None or str(value).lower() in [item.lower() for item in allowed]:
                continue
            name = place.rsplit(".", 1)[-1]
            raise ArmError(
                400, "BadRequest",
                f'Error converting value "{value}" to type'
                " 'System.Nullable`1[Microsoft.WindowsAzure.ComputeResourceProvider.API"
                f".{name[0].upper()}{name[1:]}]'. Path '{place}', line 1, position 1.",
                target=f"{kind}.{place}",
            )  # fmt: skip


def check_sku(sku: Any, allowed: tuple[str, ...]) -> None:
    """Refuse a SKU that there is not.

    Raises:
        ArmError: 400, in the words of ansible-collections/azure#792.
    """
    if str(sku).lower() not in [item.lower() for item in allowed]:
        raise invalid_parameter(f"SKU {sku} is not available.", "sku")


def _values(value: Any, path: list[str], place: str) -> Iterator[tuple[str, Any]]:
    """Place and value of each member at a path, where it is there."""
    if not path:
        yield place, value
        return
    name = path[0].removesuffix("[]")
    if not isinstance(value, dict) or name not in value:
        return
    inner = f"{place}.{name}" if place else name
    if not path[0].endswith("[]"):
        yield from _values(value[name], path[1:], inner)
    elif isinstance(value[name], list):
        for number, item in enumerate(value[name]):
            yield from _values(item, path[1:], f"{inner}[{number}]")
