"""Microsoft.Compute/disks."""

from __future__ import annotations

from typing import Any

from ..arm.resources import Resource
from ..arm.router import Call
from ..errors import ArmError, conflict, missing_parameter
from ..storage.page_blob import PageBlob
from .content import Content, asked_size, disk_content
from .disk_model import DISK_TYPE, disk_properties
from .disk_provider import DiskProvider
from .tracked import DISK_ACCESS_RATE, DISK_WRITE_RATE, properties_of


class Disks(DiskProvider):
    """Managed disks."""

    type, kind, noun = DISK_TYPE, "disks", "disk"
    echoed = ("tags", "zones", "sku", "extendedLocation")
    create_rate, access_rate = DISK_WRITE_RATE, DISK_ACCESS_RATE

    def _write_seconds(self) -> float:
        return self._state.config.durations.disk_write

    def _content(self, call: Call, body: dict[str, Any], location: str) -> Content:
        del call
        properties = properties_of(body)
        if not properties.get("creationData"):
            raise missing_parameter("disk.creationData")
        return disk_content(self._state, properties, location)

    def _properties(
        self, one: Resource, body: dict[str, Any], content: Content, sku: str
    ) -> dict[str, Any]:
        asked = properties_of(body)
        image = content.ready(asked_size(asked))
        properties = disk_properties(
            image_size=image.size, size_gb=content.size_gb, sku=sku,
            creation_data=content.creation_data, time_created=one.hidden["created"],
            given={**content.inherited, **asked},
        )  # fmt: skip
        if content.upload:
            one.hidden["upload"] = PageBlob(image, upload=True)
            properties["diskState"] = "ReadyToUpload"
        return properties

    def _check_delete(self, one: Resource) -> None:
        if vm := one.body.get("managedBy"):
            raise conflict("OperationNotAllowed", f"Disk {one.name} is attached to VM {vm}.")

    def _check_access(self, one: Resource, access: str) -> None:
        state = one.properties.get("diskState")
        if state == "Attached":
            raise conflict(
                "OperationNotAllowed",
                f"Cannot grant access to disk {one.name}: it is attached to running VM"
                f" {one.body.get('managedBy')}.",
            )
        uploading = state in ("ReadyToUpload", "ActiveUpload")
        if uploading != (access == "Write") or one.hidden.get("image") is None:
            raise ArmError(
                409, "OperationNotAllowed",
                f"{access} access to disk {one.name} is not allowed while its state is"
                f" {state or one.properties['provisioningState']}.",
            )  # fmt: skip
