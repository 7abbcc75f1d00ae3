"""Restores against local Azure: disks, bytes, what is carried over, what is found again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import virtual_machines
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    InputError,
    NotFound,
    OperationTimeout,
    VmguardError,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore import plan
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import RestoreFailed
from restore_bench import COLLECTION, NAME, POINT, Bench, Machine, open_bench

CACHING = ("None", "ReadOnly", "ReadWrite", "None", "ReadOnly", "None", "ReadWrite", "None")
EXCLUDED = 5
KEPT: list[int | str] = ["os", *(lun for lun in range(8) if lun != EXCLUDED)]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def slow(bench: Bench) -> Iterator[Bench]:
    """A bench whose durations are put back."""
    before = bench.control.call("GET", "config")["durations"]
    yield bench
    bench.control.configure(durations=before)


def protected(bench: Bench, **more: Any) -> Machine:
    """A machine with a restore point, that has written since."""
    machine = bench.machine(**more)
    bench.protect(machine)
    bench.write(machine, "later")
    return machine


@pytest.fixture(scope="module")
def eight(bench: Bench) -> tuple[Machine, dict[int | str, str]]:
    """Eight data disks, one of them excluded; and the bytes of the restore point."""
    disks = [{"lun": lun, "caching": caching} for lun, caching in enumerate(CACHING)]
    machine = bench.machine(disks, tags={"tier": "db"})
    excluded, _caching = bench.attached(machine)[EXCLUDED]
    bench.protect(machine, exclude=[excluded])
    digests = bench.digests(machine.id, KEPT)
    assert len(set(digests.values())) == len(KEPT)
    bench.write(machine, "later")
    assert not set(digests.values()) & set(bench.digests(machine.id, KEPT).values())
    return machine, digests


Eight = tuple[Machine, dict[int | str, str]]


def cachings(bench: Bench, machine: Machine, name: str | None = None) -> dict[int | None, str]:
    return {lun: caching for lun, (_disk, caching) in bench.attached(machine, name).items()}


def assert_excluded_is_named(outcome: Any) -> None:
    [excluded] = outcome.excluded
    assert excluded["name"].lower() == f"{NAME}_datadisk_{EXCLUDED}"
    assert excluded["reason"] == "ExcludedFromRestorePoint"
    assert [disk.source.lun for disk in outcome.disks] == [None, 0, 1, 2, 3, 4, 6, 7]


def test_eight_disks_as_a_new_machine(bench: Bench, eight: Eight) -> None:
    machine, digests = eight
    writes: list[int] = []
    outcome = bench.restore(machine, "new_vm", new_name="vm2", writes=writes)
    assert outcome.ready and outcome.power_state == "running" and writes
    assert_excluded_is_named(outcome)
    expected = cachings(bench, machine)
    del expected[EXCLUDED]
    assert cachings(bench, machine, "vm2") == expected
    assert bench.digests(outcome.vm_id or "", KEPT) == digests
    assert bench.get(machine, "vm2")["tags"].items() >= {"tier": "db"}.items()
    writes.clear()
    again = bench.restore(machine, "new_vm", new_name="vm2", writes=writes)
    assert writes == [] and again.reason == "AlreadyRestored"
    assert [disk.result() for disk in again.disks] == [disk.result() for disk in outcome.disks]


def test_eight_disks_as_disks(bench: Bench, eight: Eight) -> None:
    machine, digests = eight
    writes: list[int] = []
    outcome = bench.restore(machine, "disks", writes=writes)
    assert_excluded_is_named(outcome)
    made = {disk.source.lun: bench.control.digest(id=disk.id) for disk in outcome.disks}
    assert made == {None if lun == "os" else lun: digest for lun, digest in digests.items()}
    assert len(writes) == 1 and outcome.reason == "Restored"
    again = bench.restore(machine, "disks", writes=writes)
    assert len(writes) == 1 and again.reason == "AlreadyRestored"
    assert [disk.result() for disk in again.disks] == [disk.result() for disk in outcome.disks]


def test_eight_disks_in_place(bench: Bench, eight: Eight) -> None:
    machine, digests = eight
    before = bench.attached(machine)
    excluded = bench.control.digest(vm=machine.id, lun=EXCLUDED)
    writes: list[int] = []
    outcome = bench.restore(machine, "in_place", allow_stop=True, writes=writes)
    assert outcome.ready and outcome.power_state == bench.power(machine) == "running"
    assert_excluded_is_named(outcome)
    assert cachings(bench, machine) == {lun: caching for lun, (_disk, caching) in before.items()}
    assert bench.digests(machine.id, KEPT) == digests
    # The disk that the point does not hold stays as it is.
    assert bench.attached(machine)[EXCLUDED] == before[EXCLUDED]
    assert bench.control.digest(vm=machine.id, lun=EXCLUDED) == excluded
    assert {disk.lower() for disk in outcome.kept_disks} <= bench.disks(machine.group)
    assert len(outcome.kept_disks) == 8 and outcome.deleted_disks == []
    safety = bench.look.read("restore_points.get", "", machine.group, COLLECTION,
                             (outcome.safety_restore_point or "").rsplit("/", 1)[1])  # fmt: skip
    assert safety["properties"]["provisioningState"] == "Succeeded"
    writes.clear()
    assert bench.restore(machine, "in_place", writes=writes).reason == "AlreadyRestored"
    assert writes == []


def test_in_place_again_is_forced(bench: Bench) -> None:
    machine = protected(bench)
    good = bench.digests(machine.id, machine.luns)
    first = bench.restore(machine, "in_place", allow_stop=True, old_disks="delete")
    restored = bench.digests(machine.id, machine.luns)
    assert not set(good.values()) & set(restored.values())
    assert len(first.deleted_disks) == 3 and first.kept_disks == []
    bench.write(machine, "damaged again")
    outcome = bench.restore(machine, "in_place", allow_stop=True, force=True)
    assert outcome.reason == "Restored"
    assert bench.digests(machine.id, machine.luns) == restored
    # Disks that were in use are left alone, and the new ones are named otherwise.
    assert len(outcome.warnings) == 3
    assert not {disk.name for disk in outcome.disks} & {disk.name for disk in first.disks}
    assert {disk.id.lower() for disk in first.disks} <= bench.disks(machine.group)


def test_what_only_azure_keeps_is_carried_over(bench: Bench) -> None:
    machine = protected(
        bench, data=[{"lun": 0, "write_accelerator": True, "sku": "Premium_LRS"}, {"lun": 1}],
        hyper_v_generation="V2", security_type="TrustedLaunch", zones=["2"],
        tags={"tier": "app"}, size="Standard_M64ms",
    )  # fmt: skip
    bench.restore(machine, "new_vm", new_name="vm2", tags={"run": "1"})
    made = bench.get(machine, "vm2")
    assert made["zones"] == ["2"] and made["tags"].items() >= {"tier": "app", "run": "1"}.items()
    assert made["properties"]["hardwareProfile"]["vmSize"] == "Standard_M64ms"
    assert made["properties"]["securityProfile"]["securityType"] == "TrustedLaunch"
    first, second = made["properties"]["storageProfile"]["dataDisks"]
    assert first["writeAcceleratorEnabled"] and not second.get("writeAcceleratorEnabled")
    assert first["managedDisk"]["storageAccountType"] == "Premium_LRS"
    os_disk = bench.disk(machine, "vm2_os")
    assert os_disk["properties"]["hyperVGeneration"] == "V2" and os_disk["zones"] == ["2"]
    assert os_disk["properties"]["securityProfile"]["securityType"] == "TrustedLaunch"
    assert os_disk["tags"]["run"] == "1"


def test_a_machine_that_is_not_to_run(bench: Bench) -> None:
    machine = protected(bench)
    outcome = bench.restore(machine, "new_vm", new_name="vm2", start=False)
    assert outcome.power_state == "deallocated"
    assert virtual_machines.power_state(bench.get(machine, "vm2")) == "deallocated"


def test_after_the_source_machine_is_deleted(bench: Bench) -> None:
    machine = protected(bench)
    digests_later = bench.digests(machine.id, machine.luns)
    [nic] = bench.get(machine)["properties"]["networkProfile"]["networkInterfaces"]
    found = bench.look.get(nic["id"], "2022-11-01")
    subnet = found["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]
    bench.delete_vm(machine)
    writes: list[int] = []
    with pytest.raises(InputError, match="needs a network: give subnet_id"):
        bench.restore(machine, "new_vm", new_name="vm2", writes=writes)
    assert writes == []
    outcome = bench.restore(machine, "new_vm", new_name="vm2", subnet_id=subnet)
    assert bench.digests(outcome.vm_id or "", machine.luns).keys() == digests_later.keys()
    assert not set(bench.digests(outcome.vm_id or "", machine.luns).values()) & set(
        digests_later.values()
    )
    # Its own name is free again.
    assert bench.restore(machine, "new_vm", new_name=NAME, subnet_id=subnet).ready


def test_an_existing_machine_is_not_restored_over(bench: Bench) -> None:
    machine = protected(bench)
    before, writes = bench.attached(machine), list[int]()
    with pytest.raises(InputError, match="restoring over it is refused") as refused:
        bench.restore(machine, "new_vm", new_name=NAME, writes=writes)
    assert refused.value.code == "VmExists" and writes == []
    # Neither is one that another restore made.
    bench.protect(machine, "p2")
    bench.restore(machine, "new_vm", new_name="vm2")
    with pytest.raises(InputError, match="restoring over it is refused"):
        bench.restore(machine, "new_vm", new_name="vm2", point="p2")
    assert bench.attached(machine) == before


def test_a_machine_made_anew_under_its_name_is_refused_in_place(bench: Bench) -> None:
    machine = protected(bench)
    bench.delete_vm(machine)
    for disk in bench.disks(machine.group):
        bench.look.run("disks.begin_delete", disk, machine.group, disk.rsplit("/", 1)[1])
    bench.machine(group=machine.group)
    before = bench.attached(machine)
    with pytest.raises(InputError, match="taken of another virtual machine") as refused:
        bench.restore(machine, "in_place", allow_stop=True)
    assert refused.value.code == "OtherVm" and bench.attached(machine) == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "in_place"}, "is running, and a restore in place has to stop it"),
        ({"target": "new_vm", "new_name": "bad name"}, "not a name that Azure accepts"),
        (
            {"target": "new_vm", "new_name": "vm2", "new_group": "nothing"},
            "There is no resource group nothing",
        ),
        ({"target": "disks", "new_group": "nothing"}, "There is no resource group nothing"),
        (
            {"target": "new_vm", "new_name": "vm2", "exclude_disks": ["os"]},
            "needs its OS disk",
        ),
        ({"target": "disks", "exclude_disks": ["os", "0", "3"]}, "exclude_disks names all of them"),
        ({"target": "disks", "disk_name_pattern": "one"}, "the same name one"),
        ({"target": "new_vm", "new_name": "vm2", "subnet_id": "x"}, "is not a resource id"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    bench: Bench, options: dict[str, Any], sentence: str
) -> None:
    machine, writes = protected(bench), list[int]()
    disks = bench.disks(machine.group)
    with pytest.raises(VmguardError, match=sentence):
        bench.restore(machine, **options, writes=writes)
    assert writes == [] and bench.disks(machine.group) == disks
    assert bench.power(machine) == "running" and bench.vms(machine.group) == {NAME}


def test_a_disk_of_something_else_is_in_the_way(bench: Bench) -> None:
    machine = protected(bench)
    properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}
    body = {"location": "westeurope", "properties": properties}
    where = ("disks.begin_create_or_update", "", machine.group, "vm2_lun3")
    bench.look.run(*where, body=body)
    with pytest.raises(InputError, match=r"disk vm2_lun3 exists .* not of this restore") as refused:
        bench.restore(machine, "new_vm", new_name="vm2")
    assert refused.value.code == "DiskExists" and bench.vms(machine.group) == {NAME}


def leave_unfinished(bench: Bench, machine: Machine, target: str, **options: Any) -> set[str]:
    """A run that ends after its disks, as when it is killed; the ids of those disks."""
    before = bench.disks(machine.group)
    # Neither the machine's update nor the undoing gets through.
    bench.control.fault("^(PUT|DELETE|POST) .*/(virtualMachines|disks)/", kind="status",
                        status=409, nth=4, times=500)  # fmt: skip
    with pytest.raises(VmguardError):
        bench.restore(machine, target, **options)
    bench.control.clear_faults()
    left = bench.disks(machine.group) - before
    assert len(left) == 3
    return left


@pytest.mark.parametrize(
    ("target", "options"),
    [("new_vm", {"new_name": "vm2"}), ("in_place", {"allow_stop": True})],
)
def test_disks_of_an_interrupted_run_are_taken_over(
    bench: Bench, target: str, options: dict[str, Any]
) -> None:
    machine = protected(bench)
    left = leave_unfinished(bench, machine, target, **options)
    outcome = bench.restore(machine, target, **options)
    assert {disk.id.lower() for disk in outcome.disks} == left
    assert outcome.ready and outcome.warnings == []
    name = "vm2" if target == "new_vm" else NAME
    assert {disk for disk, _caching in bench.attached(machine, name).values()} == left


def test_disks_that_were_attached_are_not_taken_over(bench: Bench) -> None:
    machine = protected(bench)
    first = bench.restore(machine, "new_vm", new_name="vm2")
    restored = bench.digests(first.vm_id or "", machine.luns)
    for lun in machine.luns:
        bench.control.guest_write(first.vm_id or "", lun, 8192, b"written after the restore")
    virtual_machines.delete_vm(bench.look, machine.group, "vm2")
    for disk in first.disks:
        # Local Azure does not tell by itself when a disk's owner changed.
        changed = {"LastOwnershipUpdateTime": "2026-09-01T10:00:00+00:00"}
        bench.control.call("PATCH", "disks", {"id": disk.id, "properties": changed})
    outcome = bench.restore(machine, "new_vm", new_name="vm2")
    assert not {disk.id for disk in outcome.disks} & {disk.id for disk in first.disks}
    assert [disk.name for disk in outcome.disks] == ["vm2_os-2", "vm2_lun0-2", "vm2_lun3-2"]
    assert len(outcome.warnings) == 3
    assert bench.digests(outcome.vm_id or "", machine.luns) == restored


@pytest.mark.parametrize(("target", "options"), [("new_vm", {"new_name": "vm2"}), ("disks", {})])
def test_a_timeout_at_the_disks_leaves_them_for_the_next_run(
    slow: Bench, target: str, options: dict[str, Any]
) -> None:
    machine = protected(slow)
    before = slow.disks(machine.group)
    slow.control.configure(durations={"disk_write": 100})
    with pytest.raises(OperationTimeout, match="goes on in Azure"):
        slow.restore(machine, target, timeout=30, **options)
    left = slow.disks(machine.group) - before
    outcome = slow.restore(machine, target, timeout=3000, **options)
    assert left and left <= {disk.id.lower() for disk in outcome.disks}
    assert outcome.ready and outcome.warnings == []


@pytest.mark.parametrize("duration", ["disk_write", "restore_point_create", "vm_write"])
def test_a_timeout_in_place_puts_everything_back(slow: Bench, duration: str) -> None:
    machine = protected(slow)
    before = slow.attached(machine)
    slow.control.configure(durations={duration: 100})
    sentence = "vm1 is on its original disks; it runs|vm1 was neither stopped nor|nothing of vm1 was changed"
    with pytest.raises(RestoreFailed, match=sentence) as failed:
        slow.restore(machine, "in_place", allow_stop=True, timeout=60)
    assert failed.value.code == "OperationTimeout"
    assert "longer wait_timeout" in (failed.value.hint or "")
    assert "picks this operation up" not in (failed.value.hint or "")
    assert slow.attached(machine) == before and slow.power(machine) == "running"
    assert slow.disks(machine.group) == {disk for disk, _caching in before.values()}


def test_a_timeout_at_the_machine_is_picked_up(slow: Bench) -> None:
    machine = protected(slow)
    slow.control.configure(durations={"vm_write": 300})
    with pytest.raises(OperationTimeout, match="goes on in Azure"):
        slow.restore(machine, "new_vm", new_name="vm2", timeout=60)
    assert slow.vms(machine.group) == {NAME, "vm2"}
    writes: list[int] = []
    outcome = slow.restore(machine, "new_vm", new_name="vm2", timeout=3000, writes=writes)
    # What is left to do is to remove the record of the run.
    assert outcome.ready and outcome.reason == "Restored" and writes == [1]
    assert slow.get(machine, "vm2")["properties"]["provisioningState"] == "Succeeded"


def test_a_new_machine_that_is_not_waited_for(slow: Bench) -> None:
    machine = protected(slow)
    slow.control.configure(durations={"vm_write": 300})
    slow.restore(machine, "new_vm", new_name="vm2", wait=False)
    outcome = slow.restore(machine, "new_vm", new_name="vm2", wait=False)
    assert not outcome.ready and outcome.reason == "AlreadyRestored"
    assert outcome.result(slow.clock.now())["conditions"][0]["status"] == "True"
    assert slow.restore(machine, "new_vm", new_name="vm2").ready


def test_the_safety_point_brings_back_what_was_swapped_out(bench: Bench) -> None:
    machine = protected(bench)
    later = bench.digests(machine.id, machine.luns)
    # Disks are named by the second of their restore point.
    bench.clock.sleep(5)
    outcome = bench.restore(machine, "in_place", allow_stop=True)
    safety = outcome.safety_restore_point or ""
    assert bench.restore(machine, "disks", point="latest").point.name == POINT
    bench.restore(machine, "in_place", point=safety, allow_stop=True, safety_restore_point=False)
    assert bench.digests(machine.id, machine.luns) == later


def test_one_left_out_in_place_stays_attached(bench: Bench) -> None:
    machine = protected(bench)
    before = bench.attached(machine)
    outcome = bench.restore(machine, "in_place", allow_stop=True, exclude_disks=["0"])
    after = bench.attached(machine)
    assert after[0] == before[0] and after[3] != before[3] and after[None] != before[None]
    assert [one["reason"] for one in outcome.excluded] == ["ExcludedByRequest"]


def test_tags_tell_where_restored_things_come_from(bench: Bench) -> None:
    machine = protected(bench)
    outcome = bench.restore(machine, "new_vm", new_name="vm2")
    made = [bench.get(machine, "vm2"), *(bench.disk(machine, disk.name) for disk in outcome.disks)]
    assert {one["tags"][plan.SOURCE_TAG] for one in made} == {outcome.point.id}
    assert len({one["tags"][plan.IDENTITY_TAG] for one in made}) == 1


def test_a_machine_that_does_not_exist(bench: Bench) -> None:
    machine = Machine("rg1", bench.control.vm_id("rg1", "nothing"), name="nothing")
    point = bench.protect(bench.machine())
    with pytest.raises(NotFound, match="no virtual machine 'nothing'"):
        bench.restore(machine, "in_place", point=point)
