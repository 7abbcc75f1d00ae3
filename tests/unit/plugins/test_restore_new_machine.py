"""What a new machine is asked for, what it lacks, and what no restore can do."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError
from ansible_collections.vmguard.azure.plugins.module_utils._restore import fit, losses, refusals
from ansible_collections.vmguard.azure.plugins.module_utils._restore.disk_request import Wishes
from ansible_collections.vmguard.azure.plugins.module_utils._restore.facts import Facts
from ansible_collections.vmguard.azure.plugins.module_utils._restore.new_machine import (
    Source,
    interface_in,
    new_body,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.plan import DiskPlan, Point
from test_restore_disk_request import TRUSTED, image_of, original, planned
from test_restore_plan import GROUP, make_point, raw_disk

SIZE = {"hardwareProfile": {"vmSize": "Standard_D2s_v5"}}
EDGE = {"name": "losangeles", "type": "EdgeZone"}


def machine(location: str = "westeurope", **properties: Any) -> dict[str, Any]:
    return {"name": "vm1", "location": location, "properties": properties}


def body_of(
    point: Point,
    vm: dict[str, Any] | None = None,
    facts: Facts | None = None,
    disks: list[DiskPlan] | None = None,
    **more: Any,
) -> dict[str, Any]:
    options: dict[str, Any] = {"size": None, "network": {}, "tags": {}, "zones": None, **more}
    made = disks if disks is not None else [planned(point.disks[0], point)]
    return new_body(Source(point, vm, facts or Facts()), made, **options)


def properties_of(*args: Any, **more: Any) -> dict[str, Any]:
    return body_of(*args, **more)["properties"]


def test_a_plain_machine_has_no_security_type() -> None:
    """Azure refuses Standard where it is not registered, and UEFI settings with it."""
    told = {"securityType": "Standard", "uefiSettings": {"vTpmEnabled": False}}
    assert "securityProfile" not in properties_of(make_point(**SIZE, securityProfile=told))
    kept = properties_of(make_point(**SIZE, securityProfile={**told, "encryptionAtHost": True}))
    assert kept["securityProfile"] == {"encryptionAtHost": True}


def test_trusted_launch_is_asked_for_with_its_settings() -> None:
    told = {**TRUSTED, "encryptionIdentity": {"userAssignedIdentityResourceId": "x"}}
    made = properties_of(make_point(**SIZE, securityProfile=told))
    # The identity is one that the new machine does not have.
    assert made["securityProfile"] == TRUSTED


def test_hibernation_comes_back_where_the_os_disk_can() -> None:
    vm = machine(additionalCapabilities={"hibernationEnabled": True})
    point = make_point(**SIZE)
    made = properties_of(point, vm, Facts(kept={"supportsHibernation": True}))
    assert made["additionalCapabilities"] == {"hibernationEnabled": True}
    assert "additionalCapabilities" not in properties_of(point, vm)


def test_a_machine_with_ultra_disks_may_have_them() -> None:
    point = make_point(raw_disk("data", 0), **SIZE)
    ultra = planned(point.disks[1], point, sku="UltraSSD_LRS")
    made = properties_of(point, disks=[planned(point.disks[0], point), ultra])
    assert made["additionalCapabilities"] == {"ultraSSDEnabled": True}


@pytest.mark.parametrize(
    ("at_the_point", "now", "size", "made"),
    [
        ("NVMe", "SCSI", None, "NVMe"),
        (None, "NVMe", None, "NVMe"),
        ("NVMe", None, "Standard_D2s_v5", "NVMe"),  # the same size, said
        ("NVMe", "NVMe", "Standard_D2s_v3", None),
        (None, None, None, None),
    ],
)
def test_the_disk_controller_goes_with_the_size(
    at_the_point: str | None, now: str | None, size: str | None, made: str | None
) -> None:
    point = make_point(**SIZE)
    point.metadata["storageProfile"]["diskControllerType"] = at_the_point
    vm = machine(storageProfile={"diskControllerType": now})
    storage = properties_of(point, vm, size=size)["storageProfile"]
    assert storage.get("diskControllerType") == made


PLAN = {"name": "n", "publisher": "p", "product": "o"}


@pytest.mark.parametrize(
    ("asked", "of_the_machine", "of_the_disk", "made"),
    [
        (PLAN, {"name": "x"}, {"name": "y"}, PLAN),
        (None, PLAN, {"name": "y"}, PLAN),
        (None, None, {**PLAN, "promotionCode": None}, PLAN),
        (None, None, None, None),
    ],
)
def test_the_marketplace_plan(asked: Any, of_the_machine: Any, of_the_disk: Any, made: Any) -> None:
    vm = {**machine(), "plan": of_the_machine}
    facts = Facts(kept={"purchasePlan": of_the_disk})
    body = body_of(make_point(**SIZE), vm, facts, plan=asked)
    assert body.get("plan") == made


def test_the_plan_of_a_machine_that_is_gone_is_that_of_its_os_disk() -> None:
    facts = Facts(kept={"purchasePlan": PLAN}, original=original(purchasePlan={"name": "x"}))
    assert body_of(make_point(**SIZE), None, facts)["plan"] == PLAN


def test_boot_diagnostics_in_another_region_are_azures_own() -> None:
    told = {"bootDiagnostics": {"enabled": True, "storageUri": "https://account.blob.x/"}}
    point = make_point(**SIZE, diagnosticsProfile=told)
    assert properties_of(point, machine())["diagnosticsProfile"] == told
    assert properties_of(point, None)["diagnosticsProfile"] == told
    moved = {"bootDiagnostics": {"enabled": True}}
    far = machine("northeurope")
    assert properties_of(point, far)["diagnosticsProfile"] == moved
    assert "boot diagnostics" in losses.machine_losses(Source(point, far), "vm2", zones=None)[0]


def test_an_edge_zone_and_user_data_are_kept() -> None:
    vm = {**machine(userData="aGk="), "extendedLocation": EDGE}
    body = body_of(make_point(**SIZE), vm)
    assert body["extendedLocation"] == EDGE and body["properties"]["userData"] == "aGk="
    assert "extendedLocation" not in body_of(make_point(**SIZE), {**vm, "location": "northeurope"})


def test_an_interface_is_described_in_a_version_that_every_api_names() -> None:
    assert interface_in("subnet", "vm2")["networkApiVersion"] == "2020-11-01"


# -- what is lost

LOSSES = [
    ({"identity": {"type": "SystemAssigned"}}, "its managed identity (SystemAssigned)"),
    (
        {
            "identity": {
                "type": "UserAssigned",
                "userAssignedIdentities": {"/x/one": {}, "/x/two": {}},
            }
        },
        "its managed identity (UserAssigned: one, two)",
    ),
    ({"resources": [{"id": "/vm/extensions/AzureMonitor"}]}, "the extensions AzureMonitor"),
    ({"zones": ["2"]}, "its zone 2 (zone sets one)"),
]
PROPERTY_LOSSES = [
    ({"availabilitySet": {"id": "/x/set1"}}, "the availability set set1"),
    ({"proximityPlacementGroup": {"id": "/x/ppg1"}}, "the proximity placement group ppg1"),
    ({"host": {"id": "/x/host1"}}, "the dedicated host host1"),
    ({"hostGroup": {"id": "/x/group1"}}, "the host group group1"),
    ({"virtualMachineScaleSet": {"id": "/x/flex"}}, "the scale set flex"),
    (
        {"capacityReservation": {"capacityReservationGroup": {"id": "/x/crg"}}},
        "the capacity reservation group crg",
    ),
    ({"priority": "Spot"}, "its priority Spot"),
    ({"billingProfile": {"maxPrice": 0.1}}, "its highest Spot price"),
    ({"applicationProfile": {"galleryApplications": [{}]}}, "its gallery applications"),
    ({"scheduledEventsProfile": {"x": 1}}, "its settings of scheduled events"),
    ({"extensionsTimeBudget": "PT1H"}, "the time budget of its extensions"),
    ({"hardwareProfile": {"vmSizeProperties": {"vCPUsAvailable": 1}}}, "its number of vCPUs"),
    ({"securityProfile": {"encryptionIdentity": {"x": 1}}}, "the identity of its encryption at host"),
    ({"additionalCapabilities": {"hibernationEnabled": True}}, "hibernation"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("vm", "words"),
    [({**machine(), **more}, words) for more, words in LOSSES]
    + [(machine(**more), words) for more, words in PROPERTY_LOSSES],
)
def test_what_a_new_machine_lacks_is_named(vm: dict[str, Any], words: str) -> None:
    [told] = losses.machine_losses(Source(make_point(**SIZE), vm), "vm2", zones=None)
    assert words in told and told.startswith("vm2 does not get everything that vm1 has.")


def test_a_machine_that_lacks_nothing_has_no_warning() -> None:
    vm = {
        **machine(priority="Regular", securityProfile=TRUSTED, availabilitySet=None),
        "identity": {"type": "None"}, "zones": ["1"], "resources": [],
    }  # fmt: skip
    assert losses.machine_losses(Source(make_point(**SIZE), vm), "vm2", zones=["1"]) == []


def test_what_nobody_knows_any_more_is_said() -> None:
    [told] = losses.machine_losses(Source(make_point(**SIZE)), "vm2", zones=None)
    assert "nightly was taken of no longer exists" in told and "managed identity" in told
    point = make_point(raw_disk("data", 0))
    known = [(disk, Facts()) for disk in point.disks]
    assert "Gone are os, data" in losses.disk_losses(point, known, None)[0]
    assert "IOPS and throughput are Azure's" in losses.disk_losses(point, known, "PremiumV2_LRS")[0]
    assert losses.disk_losses(point, [(point.disks[0], Facts(original()))], None) == []


# -- what cannot be


def refuse(target: str, point: Point, facts: Facts, sku: str | None = None) -> list[str]:
    notes: list[str] = []
    known = [(disk, facts) for disk in point.disks]
    refusals.refuse_impossible(point, known, Wishes(sku=sku), target, notes)
    return notes


CONFIDENTIAL = {"securityType": "ConfidentialVM"}
ADE = {"encryptionSettingsCollection": {"enabled": True}}


@pytest.mark.parametrize("target", ["new_vm", "in_place", "disks"])
def test_confidential_machines_are_refused(target: str) -> None:
    with pytest.raises(InputError, match="of a confidential virtual machine") as refused:
        refuse(target, make_point(securityProfile=CONFIDENTIAL), Facts())
    assert refused.value.code == "ConfidentialVM"
    disk = {
        "securityProfile": {
            "securityType": "ConfidentialVM_VMGuestStateOnlyEncryptedWithPlatformKey"
        }
    }
    with pytest.raises(InputError, match="confidential"):
        refuse(target, make_point(), Facts(kept=disk))
    assert refuse(target, make_point(securityProfile=TRUSTED), Facts()) == []


@pytest.mark.parametrize(
    ("point", "facts"),
    [
        (make_point(), Facts(original(**ADE))),
        (make_point(), Facts()),
    ],
)
def test_disks_under_azure_disk_encryption_start_no_machine(point: Point, facts: Facts) -> None:
    if not facts.disk_encryption:  # the old form: the machine's own settings
        point.metadata["storageProfile"]["osDisk"]["encryptionSettings"] = {"enabled": True}
    for target in ("new_vm", "in_place"):
        with pytest.raises(InputError, match="Azure Disk Encryption encrypts os of the") as refused:
            refuse(target, point, facts)
        assert refused.value.code == "AzureDiskEncryption"
    [note] = refuse("disks", point, facts)
    assert "hold ciphertext" in note


def test_the_os_disk_of_an_encrypted_machine_is_not_swapped() -> None:
    vm = {**machine(), "id": f"{GROUP}/virtualMachines/vm1"}
    data = {**original(**ADE), "name": "data"}
    with pytest.raises(InputError, match="encrypts data of vm1, and Azure swaps no OS disk"):
        refusals.refuse_encrypted_machine(vm, [original(), None, data])
    settings = {"osDisk": {"name": "os", "encryptionSettings": {"enabled": True}}}
    with pytest.raises(InputError, match="encrypts os of vm1"):
        refusals.refuse_encrypted_machine({**vm, "properties": {"storageProfile": settings}}, [])
    refusals.refuse_encrypted_machine(vm, [original(), None])


def test_sectors_that_the_sku_does_not_have_are_refused() -> None:
    point = make_point()
    large = Facts(kept={"logicalSectorSize": 4096})
    with pytest.raises(
        InputError, match="os has sectors of 4096 bytes, which only Ultra"
    ) as refused:
        refuse("disks", point, large, "Premium_LRS")
    assert refused.value.code == "SectorSizeNotSupported"
    assert refuse("disks", point, large, "UltraSSD_LRS") == []
    assert refuse("disks", point, Facts(kept={"logicalSectorSize": 512}), "Premium_LRS") == []
    point.disks[0] = image_of(point.disks[0])
    with pytest.raises(InputError, match="os had sectors of 4096 bytes, and an image"):
        refuse("disks", point, Facts(stated_sector=4096), "UltraSSD_LRS")


TRUSTED_DISK = {"securityProfile": {"securityType": "TrustedLaunch"}}


@pytest.mark.parametrize(
    ("machines", "disks", "fits"),
    [
        ({}, {}, True),
        ({"securityProfile": {"securityType": "Standard"}}, {}, True),
        ({"securityProfile": TRUSTED}, TRUSTED_DISK, True),
        (
            {"securityProfile": TRUSTED},
            {"supportedCapabilities": {"supportedSecurityOption": "TrustedLaunchSupported"}},
            True,
        ),
        ({"securityProfile": TRUSTED}, {}, False),
        ({}, TRUSTED_DISK, False),
        (
            {},
            {"supportedCapabilities": {"supportedSecurityOption": "TrustedLaunchSupported"}},
            True,
        ),
    ],
)
def test_a_machine_and_its_os_disk_have_one_security_type(
    machines: dict[str, Any], disks: dict[str, Any], *, fits: bool
) -> None:
    disk = {"id": "x", "name": "os", "properties": disks}
    if fits:
        fit._need_type(disk, machines, "vm1")
        return
    with pytest.raises(InputError, match="a machine and its OS disk have one security type"):
        fit._need_type(disk, machines, "vm1")
