"""Machines of many kinds, there and back against a local Azure that refuses what Azure refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import virtual_machines
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError, VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._restore.engine import restore
from ansible_collections.vmguard.azure.plugins.module_utils._restore.options import request_of
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import (
    Request,
    RestoreFailed,
    Telling,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.source.backup import (
    BackupWanted,
    find_backup,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.source.restore_point import (
    PointWanted,
)
from restore_bench import NETWORK_API, Bench, Machine, open_bench
from restore_worlds import NEW, World

SOURCES = ("point", "backup")
TARGETS = ("new_vm", "in_place", "disks")
ONE: list[dict[str, Any]] = [{"lun": 0}]
Change = Callable[[Bench, Machine], None]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        opened.control.configure(refusals={"trusted_launch_of_a_copy": True})
        yield opened


def world(bench: Bench, source: str, folder: Path, **more: Any) -> World:
    return World(bench, source, folder / "world", **{"data": ONE, **more})


def disk_at(bench: Bench, machine: Machine, lun: int | None) -> Any:
    """A disk of a machine, as local Azure keeps it."""
    identity, _caching = bench.attached(machine)[lun]
    return bench.local.app.state.resources.get(identity)


def vm_of(bench: Bench, machine: Machine) -> Any:
    return bench.local.app.state.resources.get(machine.id)


def properties(lun: int | None, **values: Any) -> Change:
    """Gives the disk at a place these properties."""

    def change(bench: Bench, machine: Machine) -> None:
        disk_at(bench, machine, lun).properties.update(values)

    return change


def made(world: World, outcome: Any, role: str = "os") -> dict[str, Any]:
    """A restored disk as Azure shows it."""
    [found] = [disk for disk in outcome.disks if disk.source.role == role]
    return world.bench.disk(world.machine, found.name)


def delete_machine(world: World, *, disks: bool = False) -> str:
    """Delete the machine, with its disks if told so; its subnet."""
    bench, machine = world.bench, world.machine
    [nic] = bench.get(machine)["properties"]["networkProfile"]["networkInterfaces"]
    found = bench.look.get(nic["id"], NETWORK_API)
    bench.delete_vm(machine)
    for disk in bench.disks(machine.group) if disks else ():
        bench.look.run("disks.begin_delete", disk, machine.group, disk.rsplit("/", 1)[1])
    return found["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]


# -- all kinds of things at once

RICH: list[dict[str, Any]] = [
    {"lun": 0, "sku": "PremiumV2_LRS"}, {"lun": 1, "sku": "Premium_ZRS"}, {"lun": 2},
]  # fmt: skip


def enrich(bench: Bench, machine: Machine) -> None:
    """A disk with chosen IOPS, one in all zones, one of a higher tier; NVMe disks."""
    vm_of(bench, machine).properties["storageProfile"]["diskControllerType"] = "NVMe"
    fast, everywhere, tiered = (disk_at(bench, machine, lun) for lun in (0, 1, 2))
    fast.properties.update(diskIOPSReadWrite=7000, diskMBpsReadWrite=400)
    fast.properties["creationData"]["logicalSectorSize"] = 512
    del everywhere.body["zones"]
    tiered.properties.update(tier="P20", burstingEnabled=True)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_machine_of_today_comes_back(
    bench: Bench, tmp_path: Path, source: str, target: str
) -> None:
    old = world(
        bench, source, tmp_path, data=RICH, change=enrich, zones=["2"],
        security_type="TrustedLaunch", size="Standard_D2s_v6",
    )  # fmt: skip
    outcome = old.restore(target)
    old.restored(outcome, target)
    boot = made(old, outcome)
    fast, everywhere, tiered = (made(old, outcome, f"lun{lun}") for lun in (0, 1, 2))
    capable = boot["properties"]["supportedCapabilities"]
    assert (capable["diskControllerTypes"], capable["architecture"]) == ("SCSI, NVMe", "x64")
    assert [one.get("zones") for one in (boot, fast, everywhere, tiered)] == [
        ["2"], ["2"], None, ["2"],
    ]  # fmt: skip
    told = fast["properties"]
    assert told["creationData"].get("logicalSectorSize", 512) == 512
    assert (told["diskIOPSReadWrite"], told["diskMBpsReadWrite"]) == (7000, 400)
    assert tiered["properties"]["burstingEnabled"] and tiered["properties"]["tier"] == "P20"
    assert boot["properties"]["tier"] == "P1"
    if source == "point":
        assert boot["properties"]["securityProfile"] == {"securityType": "TrustedLaunch"}
        assert outcome.warnings == []
    else:
        assert fast["properties"]["creationData"]["logicalSectorSize"] == 512
        assert capable["supportedSecurityOption"] == "TrustedLaunchSupported"
        [warning] = outcome.warnings
        assert "a new vTPM" in warning and "recovery key" in warning
    if target == "new_vm":
        now = bench.get(old.machine, NEW)["properties"]
        assert now["securityProfile"]["securityType"] == "TrustedLaunch"
        assert now["securityProfile"]["uefiSettings"]["vTpmEnabled"] is True
        assert now["storageProfile"]["diskControllerType"] == "NVMe"


# -- Trusted Launch


def lose_security(bench: Bench, machine: Machine) -> None:
    """What a copy in another region loses (azure-cli#28457)."""
    for one in bench.local.app.state.resources.below(
        bench.named("restorePointCollections", machine.group, f"{machine.name}-restore-points")
    ):
        one.properties.pop("securityProfile", None)


@pytest.mark.parametrize("target", ["new_vm", "in_place"])
def test_a_disk_of_another_security_type_is_noticed_before_the_machine_is_touched(
    bench: Bench, tmp_path: Path, target: str
) -> None:
    old = world(bench, "point", tmp_path, security_type="TrustedLaunch")
    lose_security(bench, old.machine)
    with pytest.raises(RestoreFailed, match="a machine and its OS disk have one security type"):
        old.restore(target)
    old.as_it_was()
    assert bench.vms(old.machine.group) == {old.machine.name}


def test_a_plain_machine_gets_no_os_disk_of_trusted_launch(bench: Bench, tmp_path: Path) -> None:
    old = world(bench, "point", tmp_path, security_type="TrustedLaunch")
    del vm_of(bench, old.machine).properties["securityProfile"]
    writes: list[int] = []
    with pytest.raises(InputError, match="would become one of Trusted Launch"):
        old.restore("in_place", writes=writes)
    assert writes == []
    old.as_it_was()


def test_an_image_fits_the_machine_as_it_is_now(bench: Bench, tmp_path: Path) -> None:
    """A machine that was switched to Trusted Launch since its backup."""
    old = world(bench, "backup", tmp_path)
    vm_of(bench, old.machine).properties["securityProfile"] = {"securityType": "TrustedLaunch"}
    outcome = old.restore("in_place")
    told = made(old, outcome)["properties"]["supportedCapabilities"]
    assert told["supportedSecurityOption"] == "TrustedLaunchSupported"


# -- zones


@pytest.mark.parametrize("source", SOURCES)
def test_disks_stay_in_their_zone(bench: Bench, tmp_path: Path, source: str) -> None:
    old = world(bench, source, tmp_path, zones=["2"])
    assert made(old, old.restore("disks"))["zones"] == ["2"]
    other = old.restore("disks", zone="3", disk_name_pattern="other-{role}")
    assert made(old, other)["zones"] == ["3"]
    subnet = delete_machine(old)
    # The machine is gone, its disks still know where it was.
    assert made(old, old.restore("disks", disk_name_pattern="late-{role}"))["zones"] == ["2"]
    outcome = old.restore("new_vm", subnet_id=subnet)
    assert bench.get(old.machine, NEW)["zones"] == ["2"] and outcome.ready


# -- sizes, plans


def test_an_image_of_an_arm64_machine_boots_one(bench: Bench, tmp_path: Path) -> None:
    old = world(bench, "backup", tmp_path, size="Standard_D2ps_v5")
    outcome = old.restore("new_vm")
    old.restored(outcome, "new_vm")
    assert made(old, outcome)["properties"]["supportedCapabilities"] == {"architecture": "Arm64"}
    storage = bench.get(old.machine, NEW)["properties"]["storageProfile"]
    assert "diskControllerType" not in storage


PLAN = {"name": "hourly", "publisher": "contoso", "product": "firewall"}


@pytest.mark.parametrize("source", SOURCES)
def test_a_marketplace_machine_that_is_gone(bench: Bench, tmp_path: Path, source: str) -> None:
    old = world(bench, source, tmp_path, change=properties(None, purchasePlan=PLAN))
    vm_of(bench, old.machine).body["plan"] = PLAN
    subnet = delete_machine(old, disks=True)
    outcome = old.restore("new_vm", subnet_id=subnet)
    assert bench.get(old.machine, NEW)["plan"] == PLAN
    assert made(old, outcome)["properties"]["purchasePlan"] == PLAN
    gone = [text for text in outcome.warnings if "no longer exists" in text or "Gone are" in text]
    assert len(gone) == (2 if source == "point" else 0)


def test_the_plan_is_an_option(bench: Bench, tmp_path: Path) -> None:
    old = world(bench, "point", tmp_path)
    params: dict[str, Any] = dict.fromkeys(
        ("resource_group", "vm", "new_resource_group", "network_interfaces", "tags", "disk_sizes",
         "target", "new_name", "size", "subnet_id", "start", "zone", "disk_name_pattern", "disk_sku",
         "disk_encryption_set_id", "exclude_disks", "allow_stop", "safety_restore_point",
         "old_disks", "force", "wait"),
    )  # fmt: skip
    asked = request_of({**params, "plan": {**PLAN, "promotion_code": "SPRING"}}).plan
    assert asked == {**PLAN, "promotionCode": "SPRING"}
    assert request_of({**params, "plan": None}).plan is None
    assert request_of({**params, "plan": {**PLAN, "promotion_code": None}}).plan == PLAN
    old.restore("new_vm", plan=PLAN)
    assert bench.get(old.machine, NEW)["plan"] == PLAN


# -- performance, sectors, keys


def test_sectors_of_4096_bytes_stay_and_no_other_sku_has_them(bench: Bench, tmp_path: Path) -> None:
    data = [{"lun": 0, "sku": "PremiumV2_LRS"}]
    old = world(bench, "point", tmp_path, data=data, zones=["1"])
    held = bench.disk(old.machine, f"{old.machine.name}_DataDisk_0")["properties"]
    assert held["creationData"]["logicalSectorSize"] == 4096
    outcome = old.restore("disks")
    made_data = made(old, outcome, "lun0")["properties"]["creationData"]
    assert made_data["logicalSectorSize"] == 4096
    for target in TARGETS:
        writes: list[int] = []
        with pytest.raises(InputError, match="sectors of 4096 bytes"):
            old.restore(target, disk_sku="Premium_LRS", disk_name_pattern="x-{role}", writes=writes)
        assert writes == []


@pytest.mark.parametrize("source", SOURCES)
def test_double_encryption_outlives_the_disks(bench: Bench, tmp_path: Path, source: str) -> None:
    kind = "EncryptionAtRestWithPlatformAndCustomerKeys"

    def change(bench: Bench, machine: Machine) -> None:
        keys = bench.named("diskEncryptionSets", machine.group, "keys")
        for lun in (None, 0):
            held = {"type": kind, "diskEncryptionSetId": keys}
            properties(lun, encryption=held)(bench, machine)

    old = world(bench, source, tmp_path, change=change)
    if source == "backup":
        # Elsewhere there are other keys; how many encrypt it stays.
        wanted = BackupWanted(old.place.open(), old.machine.group, old.machine.name, "latest", None,
                              location="northeurope")  # fmt: skip
        point = find_backup(wanted)
        moved = [(disk.encryption_set_id, disk.encryption_type) for disk in point.disks]
        assert moved == [(None, kind), (None, kind)]
    delete_machine(old, disks=True)
    told = made(old, old.restore("disks", group=old.machine.group))["properties"]["encryption"]
    assert told["type"] == kind and told["diskEncryptionSetId"].lower().endswith("/keys")


# -- what cannot be


@pytest.mark.parametrize("source", SOURCES)
def test_azure_disk_encryption_is_refused_before_anything(
    bench: Bench, tmp_path: Path, source: str
) -> None:
    old = world(bench, source, tmp_path)
    disk = disk_at(bench, old.machine, None)
    disk.properties["encryptionSettingsCollection"] = {"enabled": True, "encryptionSettings": []}
    writes: list[int] = []
    expected = {"in_place": "Azure Disk Encryption encrypts vm1_OsDisk_1"}
    if source == "point":  # a backup was made before it was encrypted, and starts a machine
        expected["new_vm"] = "Azure Disk Encryption encrypts vm1_OsDisk_1"
    for target, sentence in expected.items():
        with pytest.raises(InputError, match=sentence):
            old.restore(target, writes=writes)
    assert writes == [] and bench.power(old.machine) == "running"
    old.as_it_was()
    if source == "point":
        outcome = old.restore("disks")
        assert outcome.ready and "hold ciphertext" in outcome.warnings[0]


def test_an_encrypted_or_confidential_machine_is_not_backed_up(
    bench: Bench, tmp_path: Path
) -> None:
    old = world(bench, "backup", tmp_path)
    disk_at(bench, old.machine, 0).properties["encryptionSettingsCollection"] = {"enabled": True}
    with pytest.raises(InputError, match="Azure Disk Encryption encrypts disk vm1_DataDisk_0"):
        old.place.backup(keep="none")
    assert old.place.backup(keep="none", exclude_disks=["0"]).backup is not None
    vm_of(bench, old.machine).properties["securityProfile"] = {"securityType": "ConfidentialVM"}
    with pytest.raises(InputError, match="confidential VM"):
        old.place.backup(keep="none", exclude_disks=["0"])


def test_a_point_of_a_confidential_machine_is_refused(bench: Bench, tmp_path: Path) -> None:
    """As some versions of the service took it."""
    old = world(bench, "point", tmp_path)
    for one in bench.local.app.state.resources.below(
        bench.named("restorePointCollections", old.machine.group, "vm1-restore-points")
    ):
        if "sourceMetadata" in one.properties:
            security = {"securityType": "ConfidentialVM"}
            one.properties["sourceMetadata"]["securityProfile"] = security
    writes: list[int] = []
    for target in TARGETS:
        with pytest.raises(InputError, match="confidential virtual machine"):
            old.restore(target, writes=writes)
    assert writes == []
    old.as_it_was()


# -- what is kept of the machine, and what is told


@pytest.mark.parametrize("source", SOURCES)
def test_user_data_comes_back_and_is_not_shown(bench: Bench, tmp_path: Path, source: str) -> None:
    def change(bench: Bench, machine: Machine) -> None:
        vm_of(bench, machine).properties["userData"] = "c2VjcmV0"

    old = world(bench, source, tmp_path, change=change)
    if source == "backup":  # which holds it: the machine has none any more
        del vm_of(bench, old.machine).properties["userData"]
        vm_of(bench, old.machine).properties["vmId"] = "another"
    outcome = old.restore("new_vm")
    made_vm = virtual_machines.get_vm(bench.look, old.machine.group, NEW, user_data=True)
    assert made_vm["properties"]["userData"] == "c2VjcmV0"
    assert "userData" not in bench.get(old.machine, NEW)["properties"]
    assert "c2VjcmV0" not in str(outcome.after)


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_new_machine_lacks_is_told(bench: Bench, tmp_path: Path, source: str) -> None:
    def change(bench: Bench, machine: Machine) -> None:
        vm = vm_of(bench, machine)
        vm.body["identity"] = {"type": "SystemAssigned"}
        vm.properties["proximityPlacementGroup"] = {"id": "/x/close"}
        [nic] = vm.properties["networkProfile"]["networkInterfaces"]
        state = bench.local.app.state.resources
        told = state.get(nic["id"]).properties
        told |= {"enableAcceleratedNetworking": True, "enableIPForwarding": True}
        told["networkSecurityGroup"] = {"id": f"{vm.id}/nsg"}
        address = told["ipConfigurations"][0]["properties"]
        address["publicIPAddress"] = {"id": "/x/ip"}
        address["privateIPAllocationMethod"] = "Static"

    old = world(bench, source, tmp_path, change=change)
    outcome = old.restore("new_vm")
    [network] = [text for text in outcome.warnings if "network interface of" in text]
    [lost] = [text for text in outcome.warnings if "does not get everything" in text]
    assert "public IP address" in network and "static address 10.0.0." in network
    assert "managed identity (SystemAssigned)" in lost
    assert "proximity placement group close" in lost
    [nic] = bench.get(old.machine, NEW)["properties"]["networkProfile"]["networkInterfaces"]
    told = bench.look.get(nic["id"], NETWORK_API)["properties"]
    assert told["enableAcceleratedNetworking"] and told["enableIPForwarding"]
    assert told["networkSecurityGroup"]["id"].endswith("/nsg")


def test_what_may_not_be_read_and_is_not_needed_is_told(bench: Bench, tmp_path: Path) -> None:
    old = world(bench, "point", tmp_path)
    [nic] = bench.get(old.machine)["properties"]["networkProfile"]["networkInterfaces"]
    found = bench.look.get(nic["id"], NETWORK_API)
    subnet = found["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]
    forbidden: dict[str, Any] = {"kind": "status", "status": 403, "times": 1}
    bench.control.fault("^GET .*/networkInterfaces/", **forbidden)
    with pytest.raises(VmguardError) as refused:
        old.restore("new_vm")
    assert refused.value.status == 403
    bench.control.fault("^GET .*/networkInterfaces/", **forbidden)
    outcome = old.restore("new_vm", subnet_id=subnet)
    assert bench.hits() == 2
    [told] = outcome.warnings
    assert told.startswith("What the network interface of the source machine has")


def test_it_is_told_of_a_restore_that_fails_as_well(bench: Bench, tmp_path: Path) -> None:
    def change(bench: Bench, machine: Machine) -> None:
        vm_of(bench, machine).body["identity"] = {"type": "SystemAssigned"}

    old = world(bench, "point", tmp_path, change=change)
    said: list[str] = []

    def act_later(act: Any, predicted: Any = None) -> Any:
        assert said and predicted is not None
        return act()

    bench.control.fault("^PUT .*/disks/", kind="status", status=400, times=9)
    wanted = PointWanted(old.machine.group, old.machine.name, None, None, "p1", None)
    request = Request("new_vm", old.machine.group, old.machine.name, new_name=NEW)
    gate = Telling(act_later, said.append)
    with pytest.raises(RestoreFailed):
        restore(bench.arm(), wanted, request, gate, bench.clock)
    bench.control.clear_faults()
    [told] = said
    assert "managed identity (SystemAssigned)" in told
    gate.tell([told, "more"])
    assert said == [told, "more"]


def test_a_disk_in_another_region_is_closed_rather_than_opened(
    bench: Bench, tmp_path: Path
) -> None:
    """Its disk access and its keys are of the region that it comes from."""
    keys = bench.named("diskEncryptionSets", "rg", "keys")
    access = {"networkAccessPolicy": "AllowPrivate", "diskAccessId": "/x/diskAccesses/link"}
    held = {"type": "EncryptionAtRestWithCustomerKey", "diskEncryptionSetId": keys}
    old = world(bench, "point", tmp_path, change=properties(0, encryption=held, **access))
    group = old.machine.group
    source = bench.named("restorePointCollections", group, "vm1-restore-points")
    bench.look.put(
        "restore_point_collections.create_or_update", "far", group, "far",
        body={"location": "northeurope", "properties": {"source": {"id": source}}},
    )  # fmt: skip
    copied = {"properties": {"sourceRestorePoint": {"id": f"{source}/restorePoints/p1"}}}
    bench.look.run("restore_points.begin_create", "far", group, "far", "c1", body=copied)
    outcome = old.restore("disks", point="c1", collection="far")
    disk = made(old, outcome, "lun0")
    assert disk["location"] == "northeurope"
    assert disk["properties"]["networkAccessPolicy"] == "DenyAll"
    assert "diskAccessId" not in disk["properties"]
    assert "diskEncryptionSetId" not in disk["properties"]["encryption"]
    [closed] = [text for text in outcome.warnings if "DenyAll" in text]
    assert "vm1_DataDisk_0" in closed
