"""What a managed disk looks like, and what happens to one that belongs to a VM."""

from __future__ import annotations

from typing import Any

from ..arm.resources import Resource, new_guid
from ..clock import wire_time
from ..state import State
from ..storage.image import Image

DISK_TYPE = "Microsoft.Compute/disks"
GIB = 1 << 30
PLATFORM_KEY = "EncryptionAtRestWithPlatformKey"
CUSTOMER_KEY = "EncryptionAtRestWithCustomerKey"

# Largest size in GiB, name of the tier, IOPS, MB/s.
_PREMIUM_TIERS = (
    (4, "P1", 120, 25), (8, "P2", 120, 25), (16, "P3", 120, 25), (32, "P4", 120, 25),
    (64, "P6", 240, 50), (128, "P10", 500, 100), (256, "P15", 1100, 125),
    (512, "P20", 2300, 150), (1024, "P30", 5000, 200), (2048, "P40", 7500, 250),
    (4096, "P50", 7500, 250), (8192, "P60", 16000, 500), (16384, "P70", 18000, 750),
    (32768, "P80", 20000, 900),
)  # fmt: skip
# What Ultra disks show beside the rest, as recorded; assumed to be theirs alone.
_READERS = {"readOnly": False, "diskIOPSReadOnly": 100, "diskMBpsReadOnly": 13}
_NEW = ("Empty", "Upload", "Import")
_SKU_TIERS = {"premium": "Premium", "premiumv2": "Premium", "ultrassd": "Ultra"}


def disk_id(subscription: str, group: str, name: str) -> str:
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}"
        f"/providers/Microsoft.Compute/disks/{name}"
    )


def sku_tier(sku: str) -> str:
    """The ``tier`` that the service adds to a SKU."""
    return _SKU_TIERS.get(sku.split("_", maxsplit=1)[0].lower(), "Standard")


def is_v2(sku: str) -> bool:
    """Whether a SKU is Ultra or Premium SSD v2, which have no size tiers."""
    return sku.split("_", maxsplit=1)[0].lower() in ("ultrassd", "premiumv2")


def sector_size(resource: Resource) -> int:
    """Bytes of a logical sector of a disk, snapshot or disk restore point."""
    told = resource.properties
    stated = (told.get("creationData") or {}).get("logicalSectorSize")
    return stated or told.get("logicalSectorSize") or 512


def with_sector_size(creation_data: dict[str, Any], sku: str) -> dict[str, Any]:
    """What is kept of ``creationData``: new Ultra and Premium SSD v2 disks have 4,096 bytes by default."""
    if is_v2(sku) and creation_data.get("createOption") in _NEW:
        return {"logicalSectorSize": 4096, **creation_data}
    return creation_data


def performance(sku: str, size_gb: int) -> dict[str, Any]:
    """IOPS, MB/s and, for Premium SSD, the tier of a disk."""
    if sku_tier(sku) == "Ultra":
        return {"diskIOPSReadWrite": max(100, size_gb), "diskMBpsReadWrite": 13}
    if is_v2(sku):
        return {"diskIOPSReadWrite": 3000, "diskMBpsReadWrite": 125}
    if sku_tier(sku) != "Premium":
        return {"diskIOPSReadWrite": 500, "diskMBpsReadWrite": 60}
    row = next((row for row in _PREMIUM_TIERS if size_gb <= row[0]), _PREMIUM_TIERS[-1])
    return {"diskIOPSReadWrite": row[2], "diskMBpsReadWrite": row[3], "tier": row[1]}


def encryption_of(asked: dict[str, Any] | None) -> dict[str, Any]:
    """The encryption that is kept: the one asked for, its type filled in."""
    asked = dict(asked or {})
    default = CUSTOMER_KEY if asked.get("diskEncryptionSetId") else PLATFORM_KEY
    return {"type": asked.pop("type", None) or default, **asked}


def disk_properties(
    *,
    image_size: int,
    size_gb: int,
    sku: str,
    creation_data: dict[str, Any],
    time_created: str,
    given: dict[str, Any],
) -> dict[str, Any]:
    """The ``properties`` of a finished disk, in the service's order; ``given`` wins."""
    rate = performance(sku, size_gb)
    tier = rate.pop("tier", None)
    computed: dict[str, Any] = {
        "osType": None,
        "hyperVGeneration": None,
        "creationData": with_sector_size(creation_data, sku),
        "diskSizeGB": size_gb,
        **rate,
        **(_READERS if sku_tier(sku) == "Ultra" else {}),
        "encryption": encryption_of(given.get("encryption")),
        "maxShares": 1 if sku_tier(sku) == "Ultra" else None,
        "networkAccessPolicy": "AllowAll",
        "publicNetworkAccess": "Enabled",
        "timeCreated": time_created,
        "provisioningState": "Succeeded",
        "diskState": "Unattached",
        "diskSizeBytes": image_size,
        "uniqueId": new_guid(),
        "tier": tier,
    }
    fixed = {"creationData", "diskSizeGB", "encryption", "diskSizeBytes", "provisioningState"}
    chosen = {key: value for key, value in given.items() if value is not None and key not in fixed}
    return {key: value for key, value in (computed | chosen).items() if value is not None}


def new_disk(
    state: State,
    *,
    subscription: str,
    group: str,
    name: str,
    location: str,
    image: Image,
    sku: str = "Standard_LRS",
    size_gb: int,
    os_type: str | None = None,
    hyper_v_generation: str | None = None,
    zones: list[str] | None = None,
    tags: dict[str, str] | None = None,
    creation_data: dict[str, Any],
    security_profile: dict[str, Any] | None = None,
    encryption: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> Resource:
    """Register a finished, unattached disk that holds ``image``, grown to ``size_gb``.

    ``extra`` are more properties of the disk, for example ``maxShares``.
    """
    if image.size < size_gb * GIB:
        image.resize(size_gb * GIB)
    given = {
        **(extra or {}),
        "osType": os_type,
        "hyperVGeneration": hyper_v_generation,
        "securityProfile": security_profile,
        "encryption": encryption,
    }
    identity = disk_id(subscription, group, name)
    body: dict[str, Any] = {
        "name": name, "id": identity, "type": DISK_TYPE, "location": location, "tags": tags,
        "zones": zones, "sku": {"name": sku, "tier": sku_tier(sku)},
        "properties": disk_properties(
            image_size=image.size, size_gb=size_gb, sku=sku, creation_data=creation_data,
            time_created=wire_time(state.clock.now()), given=given,
        ),
    }  # fmt: skip
    body = {key: value for key, value in body.items() if value is not None}
    return state.resources.put(Resource(identity, DISK_TYPE, body, {"image": image}))


def attach(state: State, disk: Resource, vm_id: str, *, reserved: bool) -> None:
    """Give a disk to a VM; ``reserved`` says that the VM is deallocated."""
    body = {"managedBy": vm_id, **disk.body}
    body["managedBy"] = vm_id
    disk.body = body
    _change_owner(state, disk)
    set_reserved(disk, reserved)


def detach(state: State, disk: Resource) -> None:
    disk.body.pop("managedBy", None)
    _change_owner(state, disk)
    disk.properties["diskState"] = "Unattached"


def _change_owner(state: State, disk: Resource) -> None:
    """A disk that was never attached has no such time; the odd spelling is the service's.

    That a disk shows the time when it was let go is assumed: only attached ones were seen.
    """
    disk.properties["LastOwnershipUpdateTime"] = wire_time(state.clock.now())


def set_reserved(disk: Resource, reserved: bool) -> None:
    """Follow the power state of the VM that the disk belongs to."""
    disk.properties["diskState"] = "Reserved" if reserved else "Attached"


def delete_disk(state: State, disk: Resource) -> None:
    """Remove a disk or snapshot with its content; whatever signature it has leads nowhere from now on."""
    state.sas.revoke(disk.id)
    state.resources.remove(disk.id)
    image = disk.hidden.pop("image", None)
    if image is not None:
        state.store.delete(image)
