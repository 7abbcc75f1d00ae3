"""A fault at any write of a restore: it is finished, or everything is as it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._arm.throttling import RETRIES
from ansible_collections.vmguard.azure.plugins.module_utils._compute import virtual_machines
from ansible_collections.vmguard.azure.plugins.module_utils._errors import VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import RestoreFailed
from restore_bench import Attached, Bench, Machine, open_bench
from restore_worlds import World

from support.sweep import each_kind, sweep

WRITES = "^(PUT|POST|PATCH|DELETE) /subscriptions"
VM_WRITES = "^PATCH .*/virtualMachines/"
UNDONE = r"vm1 (is on its original disks|was neither stopped nor given other disks); it runs\."
STOPPED = UNDONE.replace("runs", "is stopped and can be started")
# With so many in a row, a request fails in the end.
EVERY_RETRY = RETRIES + 1
FAULTS: dict[str, dict[str, Any]] = {
    "refused": {"kind": "status", "status": 409, "code": "OperationNotAllowed"},
    "unavailable": {"kind": "status", "status": 503, "times": EVERY_RETRY},
    "failed operation": {"kind": "fail_operation", "code": "InternalExecutionError"},
    "error once": {"kind": "status", "status": 500},
    "conflict once": {"kind": "status", "status": 409, "code": "Conflict"},
    "concurrent write once": {
        "kind": "status",
        "status": 409,
        "code": "ConflictingConcurrentWriteNotAllowed",
    },
    "throttled once": {"kind": "status", "status": 429, "code": "SubscriptionRequestsThrottled"},
    "lost answer": {"kind": "lost_answer"},
    "reset": {"kind": "reset"},
    "truncated": {"kind": "truncate"},
}


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
) -> VmguardError | None:
    """What the restore failed with, if it did."""
    bench.control.fault(**{"pattern": WRITES, **fault})
    try:
        bench.restore(machine, target, **options)
    except VmguardError as error:
        return error
    return None


def start_and_see(bench: Bench, machine: Machine) -> None:
    arm = bench.look
    if bench.power(machine) == "running":
        virtual_machines.deallocate(arm, machine.group, machine.name)
    virtual_machines.start(arm, machine.group, machine.name)
    assert bench.power(machine) == "running"


def attempt(world: World, target: str, **options: Any) -> VmguardError | None:
    try:
        outcome = world.restore(target, **options)
    except VmguardError as error:
        return error
    world.restored(outcome, target)
    return None


@pytest.mark.parametrize("source", ["point", "backup"])
@pytest.mark.parametrize("kinds", each_kind(FAULTS))
def test_in_place_is_whole_or_undone(
    bench: Bench, tmp_path: Path, kinds: tuple[str, ...], source: str
) -> None:
    def run(number: int, kind: str) -> str | None:
        world = World(bench, source, tmp_path / f"{number}-{kind}")
        bench.control.fault(**{"pattern": WRITES, **FAULTS[kind], "nth": number})
        failed = attempt(world, "in_place")
        if bench.hits() == 0:
            assert failed is None
            return None
        if failed is None:
            return f"{kind}: restored"
        assert isinstance(failed, RestoreFailed)
        assert re.search(UNDONE + "|nothing of vm1 was changed", failed.message)
        world.as_it_was()
        return f"{kind}: undone"

    # The record, three disks, the safety point, the stop, two updates of the machine, the start.
    every = 3 if source == "backup" else 1
    outcomes = sweep(kinds, run, least=11, every=every)
    told = {one.kind: one.outcome for one in outcomes}
    assert every > 1 or set(told) == set(kinds)


@pytest.mark.parametrize("target", ["new_vm", "disks"])
@pytest.mark.parametrize("source", ["point", "backup"])
@pytest.mark.parametrize("kinds", each_kind(FAULTS))
def test_what_is_new_is_whole_or_nothing_is_left(
    bench: Bench, tmp_path: Path, kinds: tuple[str, ...], source: str, target: str
) -> None:
    def run(number: int, kind: str) -> str | None:
        world = World(bench, source, tmp_path / f"{number}-{kind}")
        nics = bench.nics(world.machine.group)
        bench.control.fault(**{"pattern": WRITES, **FAULTS[kind], "nth": number})
        failed = attempt(world, target)
        if bench.hits() == 0:
            assert failed is None
            return None
        if failed is None:
            return f"{kind}: restored"
        assert isinstance(failed, RestoreFailed)
        assert "nothing is left of it" in failed.message
        assert bench.vms(world.machine.group) == {"vm1"}
        assert bench.nics(world.machine.group) == nics
        world.as_it_was()
        return f"{kind}: undone"

    sweep(kinds, run, least=4, every=3 if source == "backup" else 1)


@pytest.mark.parametrize("kinds", each_kind(("refused", "failed operation", "lost answer")))
def test_a_stopped_machine_stays_stopped(
    bench: Bench, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    def run(number: int, kind: str) -> str | None:
        world = World(bench, "point", tmp_path / f"{number}-{kind}", running=False)
        assert world.power == "deallocated"
        bench.control.fault(**{"pattern": WRITES, **FAULTS[kind], "nth": number})
        failed = attempt(world, "in_place", allow_stop=False)
        if bench.hits() == 0:
            return None
        if failed is None:
            return f"{kind}: restored"
        assert re.search(STOPPED + "|nothing of vm1 was changed", failed.message)
        world.as_it_was()
        return f"{kind}: undone"

    sweep(kinds, run, least=9)


@pytest.mark.parametrize("first", [3, 4, 5, 6])
def test_an_undo_that_fails_too_says_what_is_so(bench: Bench, first: int) -> None:
    """From one of the machine's updates on none gets through: the fourth and fifth change its disks."""
    machine = protected(bench)
    original = bench.attached(machine)
    fault = {"pattern": VM_WRITES, "kind": "status", "status": 409, "nth": first, "times": 0}
    failed = restore_with_fault(bench, machine, fault, "in_place", allow_stop=True)
    bench.control.clear_faults()
    assert isinstance(failed, RestoreFailed)
    if first < 5:
        # Nothing was swapped, so there is nothing to put back; only the record could not be removed.
        assert re.search(UNDONE, failed.message)
        assert "The record of the run could not be removed" in failed.message
        assert bench.attached(machine) == original
    else:
        assert "Putting the original disks back failed as well" in failed.message
        now = bench.attached(machine)
        assert now != original
        for lun, (disk, _caching) in now.items():
            assert f"{'os' if lun is None else f'lun{lun}'} = {disk.rsplit('/', 1)[1]}" in (
                failed.message.lower()
            )
        told = (failed.hint or "").lower()
        assert all(disk in told for disk, _caching in original.values())
    assert {disk for disk, _caching in original.values()} <= bench.disks(machine.group)
    # The next run knows from the record what the machine had.
    outcome = bench.restore(machine, "in_place", allow_stop=True)
    assert outcome.ready and bench.power(machine) == "running"
    assert {one.lower() for one in outcome.kept_disks} == {disk for disk, _c in original.values()}
    assert bench.attached(machine).keys() == original.keys()
    assert len(bench.disks(machine.group)) == 6


def test_undoing_waits_for_an_operation_of_somebody_else(bench: Bench) -> None:
    machine = protected(bench)
    original = bench.attached(machine)
    fault = {"pattern": VM_WRITES, "kind": "status", "status": 409, "code": "Conflict"}
    bench.control.fault("^POST .*/start", kind="status", status=409, code="OperationNotAllowed")
    failed = restore_with_fault(
        bench, machine, {**fault, "nth": 7, "times": 8}, "in_place", allow_stop=True
    )
    assert failed and "vm1 is on its original disks; it runs" in failed.message
    assert bench.attached(machine) == original and bench.hits() == 9


@pytest.mark.parametrize("name", ["refused", "reset"])
def test_a_start_that_fails_in_the_undo_is_told(bench: Bench, name: str) -> None:
    machine = protected(bench)
    original = bench.attached(machine)
    fault = {**FAULTS[name], "pattern": "^POST .*/start", "times": 0}
    failed = restore_with_fault(bench, machine, fault, "in_place", allow_stop=True)
    bench.control.clear_faults()
    assert isinstance(failed, RestoreFailed)
    assert "vm1 is on its original disks" in failed.message
    assert "but starting it failed" in failed.message
    assert bench.attached(machine) == original
    assert bench.disks(machine.group) == {disk for disk, _caching in original.values()}
    start_and_see(bench, machine)


def test_new_disks_that_cannot_be_deleted_are_named(bench: Bench) -> None:
    machine = protected(bench)
    original = bench.attached(machine)
    bench.control.fault("^DELETE .*/disks/", kind="status", status=409, times=0)
    fault = {"pattern": "^POST .*/deallocate", "kind": "status", "status": 409}
    failed = restore_with_fault(bench, machine, fault, "in_place", allow_stop=True)
    bench.control.clear_faults()
    assert failed
    left = bench.disks(machine.group) - {disk for disk, _caching in original.values()}
    assert len(left) == 3
    assert "These could not be deleted" in failed.message
    assert all(disk.rsplit("/", 1)[1] in failed.message.lower() for disk in left)
    # The next run deletes or uses them.
    outcome = bench.restore(machine, "in_place", allow_stop=True)
    assert outcome.ready and len(bench.disks(machine.group)) == 6


def test_old_disks_that_cannot_be_deleted_are_kept_and_told(bench: Bench) -> None:
    machine = protected(bench)
    original: Attached = bench.attached(machine)
    bench.control.fault("^DELETE .*/disks/vm1_OsDisk", kind="status", status=409, times=0)
    outcome = bench.restore(machine, "in_place", allow_stop=True, old_disks="delete")
    now = bench.attached(machine)
    assert not set(now.values()) & set(original.values()) and bench.power(machine) == "running"
    assert [kept.lower() for kept in outcome.kept_disks] == [original[None][0]]
    assert len(outcome.deleted_disks) == 2
    assert any("could not be deleted" in warning for warning in outcome.warnings)
    gone = {original[lun][0] for lun in (0, 3)}
    assert not gone & bench.disks(machine.group)


@pytest.mark.parametrize("kind", ["conflict once", "concurrent write once", "throttled once"])
@pytest.mark.parametrize(
    "request_to", ["^POST .*/deallocate", "^POST .*/start", "^PATCH .*/virtualMachines/"]
)
def test_what_passes_is_waited_for(bench: Bench, kind: str, request_to: str) -> None:
    """A machine that somebody else changes, or too many requests: no reason to give up hours of work."""
    for number in range(1, 8 if "PATCH" in request_to else 2):
        machine = protected(bench)
        original = bench.attached(machine)
        fault = {**FAULTS[kind], "pattern": request_to, "nth": number}
        assert restore_with_fault(bench, machine, fault, "in_place", allow_stop=True) is None
        assert bench.hits() == 1
        assert not set(bench.attached(machine).values()) & set(original.values())
        assert bench.power(machine) == "running"


def test_a_machine_that_could_not_be_made_is_not_called_restored(bench: Bench) -> None:
    """The answer to its creation is lost, and the creation fails."""
    machine = protected(bench)
    disks = bench.disks(machine.group)
    bench.control.fault("^PUT .*/virtualMachines/", kind="fail_operation", code="AllocationFailed")
    bench.control.fault("^PUT .*/virtualMachines/", kind="lost_answer")
    with pytest.raises(RestoreFailed, match="nothing is left of it"):
        bench.restore(machine, "new_vm", new_name="vm2")
    assert bench.vms(machine.group) == {"vm1"} and bench.disks(machine.group) == disks
