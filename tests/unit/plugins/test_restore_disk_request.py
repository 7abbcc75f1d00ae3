"""The requests that make restored disks: what Azure takes of what a disk was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._repository.manifest import DiskImage
from ansible_collections.vmguard.azure.plugins.module_utils._restore.disk_request import (
    Wishes,
    plan_disk,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.facts import Facts
from ansible_collections.vmguard.azure.plugins.module_utils._restore.plan import (
    CONTENT_TAG,
    IDENTITY_TAG,
    RUN_TAG,
    DiskPlan,
    Point,
    SourceDisk,
)
from test_restore_plan import GROUP, POINT_ID, SET, make_point, raw_disk

TRUSTED = {"securityType": "TrustedLaunch", "uefiSettings": {"vTpmEnabled": True}}
GIB = 1 << 30


def planned(disk: SourceDisk, point: Point, **more: Any) -> DiskPlan:
    facts = Facts(more.pop("original", None), more.pop("kept", {}), more.pop("sector", None))
    tags, size_gb = more.pop("tags", {}), more.pop("size_gb", None)
    where = f"{GROUP}/disks/new"
    return plan_disk(disk, point, where, facts, Wishes(**more), tags=tags, size_gb=size_gb)


def body_of(disk: SourceDisk, point: Point, **more: Any) -> dict[str, Any]:
    return planned(disk, point, **more).body


def original(sku: str = "Premium_LRS", **properties: Any) -> dict[str, Any]:
    return {"name": "old", "location": "westeurope", "sku": {"name": sku}, "properties": properties}


def image_of(disk: SourceDisk) -> SourceDisk:
    """The same disk as a backup knows it."""
    image = DiskImage(
        disk.role, disk.name, disk.lun, 8 * GIB, "life", disk.source_id, "snapshot", "full", "full",
        None, None, "backup", (),
    )  # fmt: skip
    return replace(disk, image=image, disk_restore_point_id="")


def test_a_disk_is_made_of_its_disk_restore_point() -> None:
    point = make_point(raw_disk("data", 3))
    body = body_of(point.disks[1], point, tags={"a": "b"}, zones=["1"])
    assert body["properties"] == {
        "creationData": {
            "createOption": "Restore",
            "sourceResourceId": f"{POINT_ID}/diskRestorePoints/data_1",
        },
        "diskSizeGB": 8,
    }
    assert (body["sku"], body["zones"]) == ({"name": "Premium_LRS"}, ["1"])
    assert (body["tags"], body["location"]) == ({"a": "b"}, "westeurope")


def test_what_was_asked_for_wins_over_the_source() -> None:
    point = make_point(raw_disk("data", 0))
    body = body_of(point.disks[1], point, sku="Standard_LRS", encryption_set_id=SET)
    assert body["sku"] == {"name": "Standard_LRS"}
    assert body["properties"]["encryption"] == {
        "type": "EncryptionAtRestWithCustomerKey",
        "diskEncryptionSetId": SET,
    }


@pytest.mark.parametrize(
    ("had", "gets"),
    [
        ("EncryptionAtRestWithPlatformKey", "EncryptionAtRestWithCustomerKey"),
        ("EncryptionAtRestWithPlatformAndCustomerKeys",) * 2,
    ],
)
def test_encryption_is_kept_where_it_has_customer_keys(had: str, gets: str) -> None:
    point = make_point(raw_disk("data", 0))
    original = {"properties": {"encryption": {"type": had}}}
    body = body_of(point.disks[1], point, original=original, encryption_set_id=SET)
    assert body["properties"]["encryption"]["type"] == gets


def test_what_the_replaced_disk_was_set_to_is_kept() -> None:
    point = make_point(raw_disk("data", 0))
    policy = {"networkAccessPolicy": "DenyAll", "publicNetworkAccess": "Disabled"}
    original = {"tags": {"own": "1", "a": "old"}, "properties": {**policy, "timeCreated": "x"}}
    body = body_of(point.disks[1], point, original=original, tags={"a": "new"})
    assert {key: body["properties"][key] for key in policy} == policy
    assert "timeCreated" not in body["properties"]
    assert body["tags"] == {"own": "1", "a": "new"}


def test_tags_of_an_earlier_restore_are_not_kept() -> None:
    point = make_point(raw_disk("data", 0))
    held = {"own": "1", IDENTITY_TAG: "x", RUN_TAG: "r@d", CONTENT_TAG: "filling"}
    assert body_of(point.disks[1], point, original={"tags": held})["tags"] == {"own": "1"}


def test_a_restored_os_disk_is_not_told_its_security_type() -> None:
    point = make_point(raw_disk("data", 0), hyperVGeneration="V2", securityProfile=TRUSTED)
    body = body_of(point.disks[0], point, security_type="TrustedLaunch",
                   kept={"supportedCapabilities": {"architecture": "x64"}})  # fmt: skip
    made = body["properties"]
    assert (made["osType"], made["hyperVGeneration"]) == ("Linux", "V2")
    # It has all of this from its source, and Azure refuses to be told.
    assert not {"securityProfile", "supportedCapabilities", "purchasePlan"} & made.keys()
    assert "hyperVGeneration" not in body_of(point.disks[1], point)["properties"]


def test_an_uploaded_os_disk_is_told_what_its_original_could_do() -> None:
    point = make_point(raw_disk("data", 0), hyperVGeneration="V2")
    capabilities = {"architecture": "Arm64", "diskControllerTypes": "SCSI, NVMe"}
    bought = {"name": "n", "publisher": "p", "product": "o"}
    told = original(
        supportedCapabilities={**capabilities, "supportedSecurityOption": "TrustedLaunchSupported"},
        purchasePlan=bought, supportsHibernation=True,
    )  # fmt: skip
    made = body_of(image_of(point.disks[0]), point, original=told)["properties"]
    assert made["creationData"] == {"createOption": "Upload", "uploadSizeBytes": 8 * GIB + 512}
    assert made["supportedCapabilities"] == capabilities
    assert made["purchasePlan"] == bought and made["supportsHibernation"] is True
    data = body_of(image_of(point.disks[1]), point, original=told)["properties"]
    assert not {"supportedCapabilities", "purchasePlan", "supportsHibernation"} & data.keys()


def test_an_uploaded_os_disk_supports_trusted_launch_where_its_machine_has_it() -> None:
    point = make_point(securityProfile=TRUSTED)
    disk = image_of(point.disks[0])
    made = body_of(disk, point, security_type="TrustedLaunch")["properties"]
    assert made["supportedCapabilities"] == {"supportedSecurityOption": "TrustedLaunchSupported"}
    assert "securityProfile" not in made
    assert "supportedCapabilities" not in body_of(disk, point)["properties"]


@pytest.mark.parametrize(
    ("sku", "zones"),
    [
        ("Premium_LRS", ["1"]),
        ("Premium_ZRS", None),
        ("StandardSSD_zrs", None),
        ("UltraSSD_LRS", ["1"]),
    ],
)
def test_a_disk_in_all_zones_names_none(sku: str, zones: list[str] | None) -> None:
    point = make_point(raw_disk("data", 0))
    assert body_of(point.disks[1], point, sku=sku, zones=["1"]).get("zones") == zones


def sectors(source_sku: str, sku: str | None = None, **more: Any) -> int | None:
    held = {"id": f"{GROUP}/disks/data", "storageAccountType": source_sku}
    point = make_point(raw_disk("data", 0, managedDisk=held))
    disk = point.disks[1]
    made = body_of(image_of(disk) if more.pop("image", False) else disk, point, sku=sku, **more)
    return made["properties"]["creationData"].get("logicalSectorSize")


def test_sectors_are_those_of_the_content() -> None:
    v2 = original("PremiumV2_LRS", creationData={"logicalSectorSize": 512})
    assert sectors("PremiumV2_LRS", kept={"logicalSectorSize": 4096}, original=v2) == 4096
    assert sectors("PremiumV2_LRS", original=v2) == 512
    assert sectors("PremiumV2_LRS") is None  # nobody knows: the point decides
    assert sectors("Premium_LRS", "UltraSSD_LRS") == 512
    # A VHD has 512, and Azure would make a disk of 4,096 for it.
    assert sectors("PremiumV2_LRS", image=True) == 512
    assert sectors("Premium_LRS", kept={"logicalSectorSize": 512}) is None
    assert sectors("Premium_LRS", image=True) is None


PERFORMANCE = [
    ("PremiumV2_LRS", {"diskIOPSReadWrite": 5000, "diskMBpsReadWrite": 300}, True),
    # Elsewhere they follow size and SKU, and are not a choice.
    ("Premium_LRS", {"diskIOPSReadWrite": 120, "diskMBpsReadWrite": 25}, False),
    ("Premium_LRS", {"tier": "P30"}, True),
    ("Premium_LRS", {"tier": "P2"}, False),  # the tier of 8 GiB
    ("Premium_ZRS", {"tier": "P4", "burstingEnabled": True}, True),
    ("Premium_LRS", {"burstingEnabled": False, "maxShares": 1}, False),
    ("StandardSSD_LRS", {"maxShares": 2}, True),
    ("StandardSSD_LRS", {"tier": "E10"}, False),
]


@pytest.mark.parametrize(("sku", "had", "kept"), PERFORMANCE)
def test_performance_that_was_chosen_is_kept(sku: str, had: dict[str, Any], *, kept: bool) -> None:
    managed = {"id": f"{GROUP}/disks/data", "storageAccountType": sku}
    point = make_point(raw_disk("data", 0, managedDisk=managed))
    facts = original(sku, **had)
    made = planned(point.disks[1], point, original=facts)
    found = {name: made.body["properties"].get(name) for name in had}
    assert found == (had if kept else dict.fromkeys(had))
    # It is looked at in the end, and sent again where Azure made the disk without it.
    assert {name for name in had if name in made.properties} == (set(had) if kept else set())
    upload = planned(image_of(point.disks[1]), point, original=facts)
    assert not had.keys() & upload.body["properties"].keys()
    assert had.items() <= upload.properties.items() if kept else not had.keys() & upload.properties
    other = planned(point.disks[1], point, original=facts, sku="Standard_LRS")
    assert not had.keys() & other.body["properties"].keys()


def test_a_tier_that_the_larger_size_has_is_not_sent() -> None:
    point = make_point(raw_disk("data", 0))
    facts = original(tier="P30")
    assert planned(point.disks[1], point, original=facts, size_gb=512).properties["tier"] == "P30"
    assert "tier" not in planned(point.disks[1], point, original=facts, size_gb=1024).properties
    assert planned(point.disks[1], point, original=original(tier="P80"), size_gb=16384).properties[
        "tier"
    ] == "P80"  # fmt: skip
    assert "tier" not in planned(
        point.disks[1], point, original=original(tier="P80"), size_gb=32767
    ).properties  # fmt: skip


def test_what_a_disk_is_only_made_with_is_kept() -> None:
    point = make_point(raw_disk("data", 0))
    facts = original(creationData={"performancePlus": True}, optimizedForFrequentAttach=True)
    for disk in (point.disks[1], image_of(point.disks[1])):
        made = body_of(disk, point, original=facts)["properties"]
        assert made["creationData"]["performancePlus"] and made["optimizedForFrequentAttach"]
        other = body_of(disk, point, original=facts, sku="Standard_LRS")["properties"]
        assert "performancePlus" not in other["creationData"]
        assert "optimizedForFrequentAttach" not in other


def test_the_points_kind_of_encryption_outlives_the_disk() -> None:
    double = "EncryptionAtRestWithPlatformAndCustomerKeys"
    kept = {"id": "drp", "encryption": {"type": double, "diskEncryptionSet": {"id": SET}}}
    point = make_point(raw_disk("data", 0, diskRestorePoint=kept))
    made = {"type": double, "diskEncryptionSetId": SET}
    assert body_of(point.disks[1], point)["properties"]["encryption"] == made


def test_keys_that_only_the_disk_tells_are_kept() -> None:
    """A restore point has not always its disk's encryption."""
    platform = {"type": "EncryptionAtRestWithPlatformKey"}
    point = make_point(raw_disk("data", 0, diskRestorePoint={"id": "drp", "encryption": platform}))
    held = {"type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": SET}
    facts = original(encryption=held)
    assert body_of(point.disks[1], point, original=facts)["properties"]["encryption"] == held
    assert "encryption" not in body_of(point.disks[1], point, original=original())["properties"]


def test_access_is_that_of_the_point_where_the_disk_is_gone() -> None:
    point = make_point(raw_disk("data", 0))
    closed = {"networkAccessPolicy": "DenyAll", "publicNetworkAccess": "Disabled"}
    made = body_of(point.disks[1], point, kept=closed)["properties"]
    assert closed.items() <= made.items()
    opened = {"networkAccessPolicy": "AllowAll", "publicNetworkAccess": "Enabled"}
    made = body_of(point.disks[1], point, kept=closed, original=original(**opened))["properties"]
    assert opened.items() <= made.items()


def test_a_disk_of_an_edge_zone_stays_there() -> None:
    edge = {"name": "losangeles", "type": "EdgeZone"}
    point = make_point(raw_disk("data", 0))
    facts = {**original(), "extendedLocation": edge}
    assert body_of(point.disks[1], point, original=facts)["extendedLocation"] == edge
    assert "extendedLocation" not in body_of(point.disks[1], point, original=original())


@pytest.mark.parametrize(
    ("sku", "told"),
    [
        ("Premium_LRS", {"tier": "P60", "diskSizeGB": 8192}),
        ("Premium_LRS", {"burstingEnabled": True, "diskSizeGB": 1024}),
        ("PremiumV2_LRS", {"diskIOPSReadWrite": 60000, "diskSizeGB": 1024}),
    ],
)
def test_what_a_disk_has_since_it_has_grown_is_not_sent(sku: str, told: dict[str, Any]) -> None:
    """The size of the point is smaller than today's, and its limits are lower."""
    point = make_point(raw_disk("data", 0))
    found = planned(point.disks[1], point, original=original(sku, **told), size_gb=256)
    assert not {"tier", "burstingEnabled", "diskIOPSReadWrite"} & found.properties.keys()
