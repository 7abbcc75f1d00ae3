"""Microsoft.Compute/snapshots."""

from __future__ import annotations

from typing import Any

from ..arm.resources import Resource
from ..arm.router import Call
from .access import read_only
from .content import SNAPSHOT_TYPE, Content, check_complete
from .disk_model import DISK_TYPE, encryption_of, is_v2
from .disk_provider import DiskProvider
from .enumerations import SNAPSHOT_SKUS
from .progress import hydrates, percent, start_copy, start_hydration
from .snapshot_content import check_family_access, snapshot_content
from .tracked import SNAPSHOT_RATE, properties_of

_KEPT = (
    "networkAccessPolicy", "publicNetworkAccess", "diskAccessId", "dataAccessAuthMode",
    "osType", "hyperVGeneration", "securityProfile", "supportsHibernation", "purchasePlan",
    "supportedCapabilities",
)  # fmt: skip


# Of the regions that there are here, those with availability zones.
ZONAL = frozenset(
    ("westeurope", "northeurope", "germanywestcentral", "swedencentral", "eastus", "eastus2",
     "centralus", "westus2")
)  # fmt: skip


class Snapshots(DiskProvider):
    """Snapshots of disks, and copies of snapshots."""

    type, kind, noun = SNAPSHOT_TYPE, "snapshots", "snapshot"
    skus = SNAPSHOT_SKUS
    echoed = ("tags", "sku")
    create_rate = access_rate = SNAPSHOT_RATE

    def _write_seconds(self) -> float:
        return self._state.config.durations.snapshot_write

    def _shown(self, one: Resource) -> dict[str, Any]:
        """The body with the progress of a copy, which operations do not show."""
        return self._with_progress(one, one.answer())

    def _output(self, one: Resource) -> dict[str, Any]:
        """That of a snapshot that hydrates they do show, as recorded."""
        body = one.answer()
        return self._with_progress(one, body) if hydrates(one) else body

    def _with_progress(self, one: Resource, body: dict[str, Any]) -> dict[str, Any]:
        done = percent(self._state, one)
        if done is not None:
            family = body["properties"].pop("incrementalSnapshotFamilyId", None)
            body["properties"]["completionPercent"] = done
            if family is not None:
                body["properties"]["incrementalSnapshotFamilyId"] = family
        return body

    def _default_sku(self, new: Resource, body: dict[str, Any]) -> str:
        """Incremental ones are zone-redundant where there are zones (disks-incremental-snapshots)."""
        zonal = new.body["location"] in ZONAL and properties_of(body).get("incremental") is True
        return "Standard_ZRS" if zonal else super()._default_sku(new, body)

    def _content(self, call: Call, body: dict[str, Any], location: str) -> Content:
        return snapshot_content(
            self._state, properties_of(body), location, call["subscription"], SNAPSHOT_RATE
        )

    def _began(self, one: Resource, content: Content) -> None:
        durations = self._state.config.durations
        if content.creation_data.get("createOption") == "CopyStart":
            start_copy(self._state, one, durations.snapshot_replication)
        elif self._of_v2_disk(content):
            instant = content.creation_data.get("instantAccessDurationMinutes") is not None
            start_hydration(self._state, one, durations.snapshot_hydration, instant=instant)

    def _of_v2_disk(self, content: Content) -> bool:
        found = self._state.resources.get(content.creation_data.get("sourceResourceId") or "")
        return found is not None and found.type == DISK_TYPE and is_v2(found.body["sku"]["name"])

    def _properties(
        self, one: Resource, body: dict[str, Any], content: Content, sku: str
    ) -> dict[str, Any]:
        """The properties in the service's order."""
        del sku
        image = content.ready(None)
        asked = properties_of(body)
        chosen = {key: asked[key] for key in _KEPT if asked.get(key) is not None}
        kept = {**content.inherited, **chosen}
        ordered: dict[str, Any] = {
            "osType": kept.pop("osType", None),
            "hyperVGeneration": kept.pop("hyperVGeneration", None),
            "creationData": content.creation_data,
            "diskSizeGB": content.size_gb,
            "encryption": encryption_of(asked.get("encryption") or kept.pop("encryption", None)),
            "incremental": bool(asked.get("incremental")),
            "networkAccessPolicy": kept.pop("networkAccessPolicy", "AllowAll"),
            "publicNetworkAccess": kept.pop("publicNetworkAccess", "Enabled"),
            "timeCreated": one.hidden["created"],
            "provisioningState": "Succeeded",
            "diskState": "Unattached",
            "diskSizeBytes": image.size,
            "uniqueId": kept.pop("uniqueId"),
            "incrementalSnapshotFamilyId": kept.pop("family", None),
        }
        return {key: value for key, value in {**ordered, **kept}.items() if value is not None}

    def _check_access(self, one: Resource, access: str) -> None:
        read_only(one, access)
        check_complete(self._state, one)
        check_family_access(self._state, one)
