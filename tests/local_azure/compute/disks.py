"""Microsoft.Compute/disks."""

from __future__ import annotations

from typing import Any

from ..arm.resources import Resource
from ..arm.router import Call
from ..errors import ArmError, conflict, missing_parameter
from ..storage.page_blob import PageBlob
from .content import LARGEST_OTHERS_GB, Content, asked_size, disk_content, size_refused
from .disk_model import DISK_TYPE, disk_properties, is_v2
from .disk_provider import DEFAULT_SKU, DiskProvider
from .enumerations import DISK_SKUS
from .tracked import DISK_ACCESS_RATE, DISK_WRITE_RATE, member, properties_of

_TRUSTED_LAUNCH = ("FromImage", "Import", "ImportSecure", "UploadPreparedSecure")
_UPLOADING = ("ReadyToUpload", "ActiveUpload")


class Disks(DiskProvider):
    """Managed disks."""

    type, kind, noun = DISK_TYPE, "disks", "disk"
    skus = DISK_SKUS
    echoed = ("tags", "sku", "extendedLocation")
    create_rate, access_rate = DISK_WRITE_RATE, DISK_ACCESS_RATE

    def _write_seconds(self) -> float:
        return self._state.config.durations.disk_write

    def _content(self, call: Call, body: dict[str, Any], location: str) -> Content:
        del call
        properties = properties_of(body)
        if not properties.get("creationData"):
            raise missing_parameter("disk.creationData")
        if self._state.config.refusals.trusted_launch_of_a_copy:
            _check_security(properties)
        sku = member(body, "sku").get("name") or DEFAULT_SKU
        if body.get("zones") and sku.upper().endswith("_ZRS"):
            raise conflict(
                "OperationNotAllowed",
                f"A disk with sku '{sku}' cannot be created in an availability zone.",
            )
        if not is_v2(sku) and (asked_size(properties) or 0) > LARGEST_OTHERS_GB:
            raise size_refused(properties["diskSizeGB"], LARGEST_OTHERS_GB)
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

    def _shown(self, one: Resource) -> dict[str, Any]:
        """A disk that waits for its upload has no size yet."""
        body = super()._shown(one)
        if body["properties"].get("diskState") in _UPLOADING:
            for name in ("diskSizeGB", "diskSizeBytes"):
                body["properties"].pop(name, None)
        return body

    _output = _shown

    def _check_delete(self, one: Resource) -> None:
        if vm := one.body.get("managedBy"):
            raise conflict("OperationNotAllowed", f"Disk {one.name} is attached to VM {vm}.")

    def _check_access(self, one: Resource, access: str) -> None:
        state = one.properties.get("diskState")
        if state == "Attached":
            raise conflict(
                "Conflict",
                f"Access not permitted because disk {one.name} is currently attached to running VM"
                f" {one.body.get('managedBy')}.",
            )
        uploading = state in _UPLOADING
        if uploading != (access == "Write") or one.hidden.get("image") is None:
            raise ArmError(
                409, "OperationNotAllowed",
                f"{access} access to disk {one.name} is not allowed while its state is"
                f" {state or one.properties['provisioningState']}.",
            )  # fmt: skip


def _check_security(properties: dict[str, Any]) -> None:
    """Refuse to be told Trusted Launch for a disk that has it, or not, from its source."""
    security = member(properties, "securityProfile").get("securityType")
    option = member(properties, "creationData").get("createOption")
    if security == "TrustedLaunch" and option not in _TRUSTED_LAUNCH:
        raise ArmError(
            400, "BadRequest",
            f"Security Type '{security}' is not supported for CreateOption '{option}'. Supported"
            f" create options are {', '.join(_TRUSTED_LAUNCH)}.",
        )  # fmt: skip
