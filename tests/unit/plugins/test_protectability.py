"""What makes a disk impossible to protect, and what blocks reading it."""

from __future__ import annotations

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute.protectability import (
    disk_findings,
    export_findings,
    is_v2,
    sku_of,
)
from hypothesis import given
from hypothesis import strategies as st

MANAGED = {"name": "data0", "lun": 0, "managedDisk": {"id": "/x"}}
MODES = [None, "application", "crash"]


def disk(sku="Premium_LRS", **properties) -> dict:
    return {"name": "data0", "sku": {"name": sku}, "properties": properties}


def reasons(findings) -> list[str]:
    return [finding["reason"] for finding in findings]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sku", ["Premium_LRS", "Standard_LRS", "StandardSSD_ZRS", None])
def test_an_ordinary_disk_has_no_findings(mode, sku) -> None:
    resource = disk(sku, maxShares=1, networkAccessPolicy="AllowAll")
    assert disk_findings(resource, MANAGED, {}, consistency_mode=mode) == []
    assert disk_findings(None, MANAGED, {}, consistency_mode=mode) == []
    assert export_findings(resource, MANAGED) == export_findings(None, MANAGED) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("resource", "entry", "reason"),
    [
        (None, {"name": "old", "vhd": {"uri": "https://a/b.vhd"}}, "UnmanagedDisk"),
        (
            disk(),
            {**MANAGED, "diffDiskSettings": {"option": "Local", "placement": "CacheDisk"}},
            "EphemeralOSDisk",
        ),
        (disk(maxShares=2), MANAGED, "SharedDisk"),
    ],
)
def test_what_no_restore_point_can_hold(resource, entry, reason, mode) -> None:
    findings = disk_findings(resource, entry, {}, consistency_mode=mode)
    assert reasons(findings) == [reason]


@pytest.mark.parametrize(
    ("resource", "entry", "vm", "reason"),
    [
        (disk("UltraSSD_LRS"), MANAGED, {}, "UltraDiskInCrashMode"),
        (disk("PremiumV2_LRS"), MANAGED, {}, "PremiumV2DiskInCrashMode"),
        (
            None,
            {**MANAGED, "managedDisk": {"storageAccountType": "UltraSSD_LRS"}},
            {},
            "UltraDiskInCrashMode",
        ),
        (disk(), {**MANAGED, "writeAcceleratorEnabled": True}, {}, "WriteAcceleratorInCrashMode"),
    ],
)
def test_what_only_crash_mode_cannot_hold(resource, entry, vm, reason) -> None:
    assert reasons(disk_findings(resource, entry, vm, consistency_mode="crash")) == [reason]
    for mode in (None, "application"):
        assert disk_findings(resource, entry, vm, consistency_mode=mode) == []


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"networkAccessPolicy": "DenyAll"}, "NetworkAccessDenied"),
        ({"networkAccessPolicy": "AllowPrivate"}, "NetworkAccessPrivate"),
        ({"publicNetworkAccess": "Disabled"}, "PublicNetworkAccessDisabled"),
    ],
)
def test_what_blocks_an_export(properties, reason) -> None:
    assert reasons(export_findings(disk(**properties), MANAGED)) == [reason]
    assert disk_findings(disk(**properties), MANAGED, {}) == []


def test_the_disk_access_is_named() -> None:
    properties = {"networkAccessPolicy": "AllowPrivate", "diskAccessId": "/subscriptions/s/links"}
    (found,) = export_findings(disk(**properties), MANAGED)
    assert "disk access links" in found["message"]


def test_the_disk_resource_knows_its_sku_better_than_the_vm() -> None:
    entry = {"managedDisk": {"storageAccountType": "Standard_LRS"}}
    assert sku_of(disk("Premium_LRS"), entry) == "Premium_LRS"
    assert sku_of(None, entry) == "Standard_LRS"
    assert sku_of(None, {}) is None


@pytest.mark.parametrize(
    ("sku", "expected"),
    [("UltraSSD_LRS", True), ("PremiumV2_LRS", True), ("Premium_LRS", False), (None, False)],
)
def test_ultra_and_premium_v2_are_told_apart(sku, expected) -> None:
    assert is_v2(sku) is expected


@given(
    sku=st.sampled_from(["Premium_LRS", "UltraSSD_LRS", "PremiumV2_LRS"]),
    shares=st.sampled_from([None, 0, 1, 2]),
    policy=st.sampled_from([None, "AllowAll", "AllowPrivate", "DenyAll"]),
    public=st.sampled_from([None, "Enabled", "Disabled"]),
    accelerated=st.booleans(),
    ephemeral=st.booleans(),
)
def test_findings_are_whole_and_crash_mode_only_adds(
    sku, shares, policy, public, accelerated, ephemeral
) -> None:
    resource = disk(sku, maxShares=shares, networkAccessPolicy=policy, publicNetworkAccess=public)
    entry = {**MANAGED, "writeAcceleratorEnabled": accelerated}
    if ephemeral:
        entry["diffDiskSettings"] = {"option": "Local"}
    always = disk_findings(resource, entry, {})
    crash = disk_findings(resource, entry, {}, consistency_mode="crash")
    assert crash[: len(always)] == always
    for finding in crash + export_findings(resource, entry):
        assert finding.keys() == {"reason", "message"}
        assert finding["reason"].isalnum() and finding["reason"][0].isupper()
        assert "data0" in finding["message"] and finding["message"].endswith(".")
    names = reasons(crash)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("mode", MODES)
def test_a_confidential_machine_has_no_restore_points(mode) -> None:
    vm = {"properties": {"securityProfile": {"securityType": "ConfidentialVM"}}}
    assert reasons(disk_findings(disk(), MANAGED, vm, consistency_mode=mode)) == ["ConfidentialVM"]
    trusted = {"properties": {"securityProfile": {"securityType": "TrustedLaunch"}}}
    assert disk_findings(disk(), MANAGED, trusted, consistency_mode=mode) == []


@pytest.mark.parametrize(
    ("resource", "entry"),
    [
        (disk(encryptionSettingsCollection={"enabled": True}), MANAGED),  # since 2018
        (disk(), {**MANAGED, "encryptionSettings": {"enabled": True}}),
        (None, {**MANAGED, "encryptionSettings": {"enabled": True}}),
    ],
)
def test_an_image_of_ciphertext_is_named(resource, entry) -> None:
    (found,) = export_findings(resource, entry)
    assert found["reason"] == "AzureDiskEncryption" and "data0" in found["message"]


def test_azure_disk_encryption_that_was_switched_off_is_no_finding() -> None:
    off = disk(encryptionSettingsCollection={"enabled": False})
    assert export_findings(off, {**MANAGED, "encryptionSettings": {"enabled": False}}) == []
