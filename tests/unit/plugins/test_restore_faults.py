"""A fault at any write of a restore: it is finished, or everything is as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._arm.throttling import RETRIES
from ansible_collections.vmguard.azure.plugins.module_utils._compute import virtual_machines
from ansible_collections.vmguard.azure.plugins.module_utils._errors import VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import RestoreFailed
from restore_bench import Attached, Bench, Machine, open_bench

WRITES = "^(PUT|POST|PATCH|DELETE) /subscriptions"
VM_WRITES = "^PUT .*/virtualMachines/"
# With so many in a row, a request fails for good.
FOR_GOOD = RETRIES + 1
FAULTS: dict[str, dict[str, Any]] = {
    "refused": {"kind": "status", "status": 409, "code": "Conflict"},
    "error once": {"kind": "status", "status": 500},
    "unavailable for good": {"kind": "status", "status": 503, "times": FOR_GOOD},
    "failed operation": {"kind": "fail_operation", "code": "InternalExecutionError"},
    "lost answer": {"kind": "lost_answer"},
    "reset": {"kind": "reset"},
    "truncated": {"kind": "truncate"},
}
every_fault = pytest.mark.parametrize("name", FAULTS)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


def protected(bench: Bench, **more: Any) -> Machine:
    """A machine with a restore point, that has written since."""
    machine = bench.machine(**more)
    bench.protect(machine)
    if more.get("running", True):
        bench.write(machine, "later")
    return machine


def restore_with_fault(
    bench: Bench, machine: Machine, fault: dict[str, Any], target: str, **options: Any
) -> tuple[VmguardError | None, bool]:
    """What the restore failed with, if it did; and whether the fault struck at all."""
    bench.control.fault(**{"pattern": WRITES, **fault})
    failed = None
    try:
        bench.restore(machine, target, **options)
    except VmguardError as error:
        failed = error
    return failed, bench.hits() > 0


def for_every_write(run: Callable[[int], tuple[VmguardError | None, bool]]) -> list[str]:
    """Run with the fault at the first write, the second, until there are none left.

    Returns:
        What each run in which the fault struck came to.
    """
    outcomes = []
    for nth in range(1, 60):
        failed, struck = run(nth)
        if not struck:
            assert failed is None
            return outcomes
        outcomes.append(str(failed) if failed else "restored")
    raise AssertionError("The fault never stopped striking.")


def start_and_see(bench: Bench, machine: Machine) -> None:
    arm = bench.look
    if bench.power(machine) == "running":
        virtual_machines.deallocate(arm, machine.group, machine.name)
    virtual_machines.start(arm, machine.group, machine.name)
    assert bench.power(machine) == "running"


def assert_as_it_was(
    bench: Bench, machine: Machine, failed: VmguardError, original: Attached, power: str
) -> None:
    assert isinstance(failed, RestoreFailed)
    assert f"{machine.name} is on its original disks" in failed.message
    assert bench.attached(machine) == original
    assert bench.power(machine) == power
    assert bench.disks(machine.group) == {disk for disk, _caching in original.values()}
    start_and_see(bench, machine)


def assert_restored(bench: Bench, machine: Machine, original: Attached, power: str) -> None:
    now = bench.attached(machine)
    assert {lun: caching for lun, (_disk, caching) in now.items()} == {
        lun: caching for lun, (_disk, caching) in original.items()
    }
    assert not set(now.values()) & set(original.values())
    assert bench.power(machine) == power


@every_fault
def test_in_place_is_whole_or_undone(bench: Bench, name: str) -> None:
    def run(nth: int) -> tuple[VmguardError | None, bool]:
        machine = protected(bench)
        original = bench.attached(machine)
        fault = {**FAULTS[name], "nth": nth}
        options = {"allow_stop": True, "old_disks": "keep"}
        failed, struck = restore_with_fault(bench, machine, fault, "in_place", **options)
        if failed:
            assert_as_it_was(bench, machine, failed, original, "running")
        else:
            assert_restored(bench, machine, original, "running")
        return failed, struck

    outcomes = for_every_write(run)
    # Three disks, the stop, the safety point, two updates of the machine, the start.
    assert len(outcomes) >= 8
    assert bench.crashes() == []
    if name in ("refused", "failed operation"):
        assert "restored" not in outcomes
    if name == "error once":
        assert set(outcomes) == {"restored"}


@every_fault
def test_a_new_machine_is_whole_or_nothing_is_left(bench: Bench, name: str) -> None:
    def run(nth: int) -> tuple[VmguardError | None, bool]:
        machine = protected(bench)
        disks, nics = bench.disks(machine.group), bench.nics(machine.group)
        fault = {**FAULTS[name], "nth": nth}
        failed, struck = restore_with_fault(bench, machine, fault, "new_vm", new_name="vm2")
        if failed:
            assert isinstance(failed, RestoreFailed)
            assert "nothing is left of it" in failed.message
            assert bench.vms(machine.group) == {"vm1"}
            assert bench.disks(machine.group) == disks
            assert bench.nics(machine.group) == nics
        else:
            assert bench.vms(machine.group) == {"vm1", "vm2"}
            assert len(bench.disks(machine.group)) == 2 * len(disks)
        return failed, struck

    outcomes = for_every_write(run)
    # Three disks and the machine.
    assert len(outcomes) >= 4
    assert bench.crashes() == []
    if name in ("refused", "failed operation"):
        assert "restored" not in outcomes


@pytest.mark.parametrize("name", ["refused", "failed operation", "lost answer"])
def test_a_stopped_machine_stays_stopped(bench: Bench, name: str) -> None:
    def run(nth: int) -> tuple[VmguardError | None, bool]:
        machine = protected(bench, running=False)
        original, power = bench.attached(machine), bench.power(machine)
        assert power == "deallocated"
        fault = {**FAULTS[name], "nth": nth}
        failed, struck = restore_with_fault(bench, machine, fault, "in_place")
        if failed:
            assert "it is stopped and can be started" in failed.message
            assert_as_it_was(bench, machine, failed, original, power)
        else:
            assert_restored(bench, machine, original, power)
        return failed, struck

    assert len(for_every_write(run)) >= 6


@pytest.mark.parametrize("nth", [1, 2])
def test_an_undo_that_fails_too_names_the_original_disks(bench: Bench, nth: int) -> None:
    machine = protected(bench)
    original = bench.attached(machine)
    # The first of the machine's updates always gets through where the second fails.
    fault = {"pattern": VM_WRITES, "kind": "status", "status": 409, "nth": nth, "times": 500}
    failed, _struck = restore_with_fault(bench, machine, fault, "in_place", allow_stop=True)
    assert isinstance(failed, RestoreFailed)
    if nth == 1:
        # Nothing was swapped, so there is nothing to put back.
        assert_as_it_was(bench, machine, failed, original, "running")
        return
    assert "Putting the original disks back failed as well" in failed.message
    told = (failed.hint or "").lower()
    assert all(disk in told for disk, _caching in original.values())
    assert {disk for disk, _caching in original.values()} <= bench.disks(machine.group)


def test_after_an_undo_that_failed_the_next_run_restores(bench: Bench) -> None:
    machine = protected(bench)
    original = bench.attached(machine)
    fault = {"pattern": VM_WRITES, "kind": "status", "status": 409, "nth": 2, "times": 500}
    failed, _struck = restore_with_fault(bench, machine, fault, "in_place", allow_stop=True)
    assert failed
    outcome = bench.restore(machine, "in_place", allow_stop=True)
    assert outcome.ready
    assert bench.attached(machine).keys() == original.keys()
    assert not set(bench.attached(machine).values()) & set(original.values())


@pytest.mark.parametrize("name", ["refused", "reset"])
def test_a_start_that_fails_in_the_undo_is_told(bench: Bench, name: str) -> None:
    machine = protected(bench)
    original = bench.attached(machine)
    fault = {**FAULTS[name], "pattern": "^POST .*/start", "times": 500}
    failed, _struck = restore_with_fault(bench, machine, fault, "in_place", allow_stop=True)
    assert isinstance(failed, RestoreFailed)
    assert "vm1 is on its original disks" in failed.message
    assert "but starting it failed" in failed.message
    assert bench.attached(machine) == original
    assert bench.disks(machine.group) == {disk for disk, _caching in original.values()}
    start_and_see(bench, machine)


def test_new_disks_that_cannot_be_deleted_are_named(bench: Bench) -> None:
    machine = protected(bench)
    original = bench.attached(machine)
    bench.control.fault("^DELETE .*/disks/", kind="status", status=409, times=500)
    fault = {"pattern": "^POST .*/deallocate", "kind": "status", "status": 409}
    failed, _struck = restore_with_fault(bench, machine, fault, "in_place", allow_stop=True)
    assert failed
    left = bench.disks(machine.group) - {disk for disk, _caching in original.values()}
    assert len(left) == 3
    assert "These new disks could not be deleted" in failed.message
    assert all(disk.rsplit("/", 1)[1] in failed.message.lower() for disk in left)


def test_old_disks_that_cannot_be_deleted_are_kept_and_told(bench: Bench) -> None:
    machine = protected(bench)
    original = bench.attached(machine)
    bench.control.fault("^DELETE .*/disks/vm1_OsDisk", kind="status", status=409, times=500)
    outcome = bench.restore(machine, "in_place", allow_stop=True, old_disks="delete")
    assert_restored(bench, machine, original, "running")
    assert [kept.lower() for kept in outcome.kept_disks] == [original[None][0]]
    assert len(outcome.deleted_disks) == 2
    assert any("could not be deleted" in warning for warning in outcome.warnings)
    gone = {original[lun][0] for lun in (0, 3)}
    assert not gone & bench.disks(machine.group)
