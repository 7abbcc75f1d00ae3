"""Changes to an existing disk."""

from __future__ import annotations

import copy
from typing import Any

from ..arm.resources import Resource
from ..errors import ArmError, conflict, missing_parameter
from ..state import State
from .access import active_access_error, in_use
from .content import asked_size
from .disk_model import GIB, encryption_of, is_v2, performance, sku_tier
from .tracked import change_refused, member, properties_of, source_not_found

CHANGEABLE = (
    "osType", "networkAccessPolicy", "publicNetworkAccess", "diskAccessId", "encryption",
    "diskIOPSReadWrite", "diskMBpsReadWrite", "diskIOPSReadOnly", "diskMBpsReadOnly", "maxShares",
    "tier", "burstingEnabled", "dataAccessAuthMode", "supportsHibernation", "purchasePlan",
    "supportedCapabilities", "securityProfile",
)  # fmt: skip
_ECHOED = ("osType", "hyperVGeneration", "creationData", "diskSizeGB", "readOnly")
_OF_THE_SKU = ("diskIOPSReadWrite", "diskMBpsReadWrite")
_SOURCE = ("createOption", "sourceResourceId", "sourceUri", "uploadSizeBytes", "storageAccountId")


def check_creation_data(resource: Resource, body: dict[str, Any], noun: str) -> None:
    """Refuse a PUT of an existing disk or snapshot that does not repeat what it was made from.

    Raises:
        ArmError: naming what is missing.
    """
    asked = member(properties_of(body), "creationData")
    if not asked.get("createOption"):
        raise missing_parameter(f"{noun}.creationData")
    needed = {"copy": "sourceResourceId", "copystart": "sourceResourceId",
              "restore": "sourceResourceId", "upload": "uploadSizeBytes",
              "uploadpreparedsecure": "uploadSizeBytes"}  # fmt: skip
    name = needed.get(str(asked["createOption"]).lower())
    held = resource.properties["creationData"]
    if name in held and not asked.get(name):
        raise missing_parameter(f"creationData.{name}")


def check_unchanged(resource: Resource, body: dict[str, Any]) -> None:
    """Refuse a PUT that would give an existing disk or snapshot another origin.

    Raises:
        ArmError: naming the property.
    """
    properties = properties_of(body)
    asked, held = member(properties, "creationData"), resource.properties["creationData"]
    for name in _SOURCE:
        before = held.get(name)
        if before is not None and asked.get(name) is not None and not _same(asked[name], before):
            raise change_refused(f"creationData.{name}")
    for name in ("hyperVGeneration", "incremental"):
        before = resource.properties.get(name)
        if before is not None and properties.get(name) not in (None, before):
            raise change_refused(name)
    zones = body.get("zones")
    if zones is not None and list(zones) != list(resource.body.get("zones") or []):
        raise change_refused("zones")


def _same(one: Any, other: Any) -> bool:
    return str(one).lower() == str(other).lower()


class DiskUpdate:
    """One update of a disk or snapshot: checked when made, done by ``apply``."""

    def __init__(self, state: State, resource: Resource, body: dict[str, Any]) -> None:
        self._state = state
        self._resource = resource
        self._body = copy.deepcopy(body)
        self._properties = properties_of(self._body)
        self._size = asked_size(self._properties)
        held = resource.properties.get("diskSizeGB", 0)
        if self._size is not None and self._size < held:
            raise ArmError(
                409, "ResizeDiskError",
                f"Disk cannot be resized to lower size than the current size ({held} GB).",
            )  # fmt: skip
        if self._size == held:
            self._size = None
        if self._size is not None and resource.hidden.get("image") is None:
            raise change_refused("diskSizeGB")
        held_sku = member(resource.body, "sku").get("name") or ""
        asked_sku = member(self._body, "sku").get("name") or held_sku
        self._keeps_rate = self._size is None and _same(asked_sku, held_sku)
        if self._size is not None and in_use(state, resource):
            raise active_access_error(resource)
        if resource.properties.get("diskState") == "Attached":
            self._check_running(asked_sku, held_sku)

    def _check_running(self, asked_sku: str, held_sku: str) -> None:
        """Refuse another size of the OS disk, and another SKU, while the machine runs.

        Data disks may grow then. The words of the first are those of kubernetes#96706, the second
        is documented (convert-disk-storage), its words are assumed.
        """
        name, vm = self._resource.name, self._resource.body.get("managedBy")
        where = f"while it is attached to running VM {vm}."
        why = "of an Azure Virtual Machine requires the virtual machine to be deallocated. Please"
        if self._size is not None and self._resource.properties.get("osType"):
            raise conflict(
                "OperationNotAllowed",
                f"Cannot resize disk {name} {where} Resizing a disk {why} stop your VM and retry"
                " the operation.",
            )
        if not _same(asked_sku, held_sku):
            raise conflict(
                "OperationNotAllowed",
                f"Cannot change the SKU of disk {name} {where} Changing the SKU of a disk {why}"
                " stop your VM and retry the operation.",
            )

    def echo(self) -> dict[str, Any]:
        """The body of the first answer: the resource in brief, changed as asked."""
        body = self._resource.answer()
        held = body["properties"]
        brief = {key: held[key] for key in _ECHOED if key in held}
        brief.get("creationData", {}).pop("sourceUniqueId", None)
        for key in ("tags", "sku"):
            if self._body.get(key) is not None:
                body[key] = self._body[key]
        asked = {
            key: value
            for key, value in self._properties.items()
            if (key in CHANGEABLE and not self._is_rate(key)) or key == "diskSizeGB"
        }
        body.pop("zones", None)
        body["properties"] = {**brief, **asked, "provisioningState": "Updating"}
        return body

    def _is_rate(self, key: str) -> bool:
        """Whether the size decides, so that a first answer does not repeat what was asked."""
        return key in _OF_THE_SKU and not is_v2(self._resource.body["sku"]["name"])

    def apply(self) -> None:
        resource = self._resource
        if self._state.resources.get(resource.id) is not resource:
            raise source_not_found(resource.id)
        body, held = resource.body, resource.properties
        if self._body.get("tags") is not None:
            resource.body = _after_location({**body, "tags": self._body["tags"]})
        if self._size is not None:
            image = resource.hidden["image"]
            if not image.frozen:
                image.resize(self._size * GIB)
                held["diskSizeBytes"] = image.size
            held["diskSizeGB"] = self._size
        if sku := member(self._body, "sku").get("name"):
            resource.body["sku"] = {"name": sku, "tier": sku_tier(sku)}
        self._rate()
        for key in CHANGEABLE:
            if self._properties.get(key) is not None and not self._is_given(key):
                value = self._properties[key]
                held[key] = encryption_of(value) if key == "encryption" else value
        if held.get("networkAccessPolicy") != "AllowPrivate":
            held.pop("diskAccessId", None)

    def _is_given(self, key: str) -> bool:
        """Whether size and SKU decide, whatever a PUT repeats of the values of before."""
        sku = self._resource.body["sku"]["name"]
        if is_v2(sku):
            return False
        if key == "tier":
            return sku_tier(sku) != "Premium" or not self._keeps_rate
        return key in _OF_THE_SKU

    def _rate(self) -> None:
        """IOPS, MB/s and tier follow size and SKU; Ultra and Premium SSD v2 keep what they have."""
        held, sku = self._resource.properties, self._resource.body["sku"]["name"]
        if "diskIOPSReadWrite" not in held or self._keeps_rate:
            return
        if is_v2(sku) and "tier" not in held:
            return
        held.pop("tier", None)
        held.update(performance(sku, held["diskSizeGB"]))


def _after_location(body: dict[str, Any]) -> dict[str, Any]:
    """The same members with ``tags`` where the service writes them."""
    ordered: dict[str, Any] = {}
    for key, value in body.items():
        if key != "tags":
            ordered[key] = value
        if key == "location":
            ordered["tags"] = body["tags"]
    return ordered
