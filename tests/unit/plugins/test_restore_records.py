"""Records of restores that are old, forged, copied or lost: what is in use is never deleted for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import virtual_machines
from ansible_collections.vmguard.azure.plugins.module_utils._compute.disks import update_disk
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError, VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import Holder
from ansible_collections.vmguard.azure.plugins.module_utils._restore import journal, plan
from ansible_collections.vmguard.azure.plugins.module_utils._restore.journal import Journal, Place
from ansible_collections.vmguard.azure.plugins.module_utils._restore.lock import RestoreTakenOver
from ansible_collections.vmguard.azure.plugins.module_utils._restore.options import check
from restore_bench import Bench, Machine, open_bench
from restore_worlds import KillingTransport, World, kill
from test_restore_together import Meanwhile, attempt

# Threads that poll an operation end with the process, in the middle of a request.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
# The writes of a restore in place of three disks: record, disks, protecting, safety point, swapping,
# deallocate, two updates, swapped, start.
SECOND_UPDATE = 10
# The request for a new machine, behind three disks and a renewal of the record.
MACHINE_MADE = 5


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def world(bench: Bench, tmp_path: Path) -> World:
    return World(bench, "point", tmp_path / "w")


def tags(world: World, found: dict[str, Any] | None = None) -> dict[str, str]:
    return dict((found or world.bench.get(world.machine)).get("tags") or {})


def write_tags(world: World, wanted: dict[str, str], machine: Machine | None = None) -> None:
    one = machine or world.machine
    virtual_machines.update_vm(world.bench.look, one.group, one.name, {"tags": wanted})


def dead(world: World, **more: Any) -> Journal:
    """A record of a run on another host, whose time is over."""
    facts: dict[str, Any] = {
        "run": "20260901t100000z-1f0c93ab", "restore_id": "ab" * 16, "target": "in_place",
        "holder": Holder("20260901t100000z-1f0c93ab", "elsewhere", 1, "boot/1"),
        "since": "2026-09-01T10:00:00+00:00", "until": world.bench.clock.now(),
        "vm": world.machine.id, "old_disks": "delete",
    }  # fmt: skip
    return Journal(**{**facts, **more})


def spare_disk(world: World, group: str, name: str) -> str:
    disk = world.bench.named("disks", group, name)
    body = {
        "location": "westeurope", "sku": {"name": "Standard_LRS"},
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1},
    }  # fmt: skip
    world.bench.look.run("disks.begin_create_or_update", disk, group, name, body=body)
    return disk


@pytest.mark.parametrize("target", ["new_vm", "in_place", "disks"])
def test_who_was_taken_over_undoes_nothing(world: World, target: str) -> None:
    """The first run stalls for longer than its record is good for, then fails; the second one is done."""
    bench = world.bench

    def take_over() -> Any:
        bench.clock.sleep(20000)
        done = attempt(lambda: world.restore(target))
        bench.control.fault("^(PUT|PATCH|POST) .*", kind="status", status=400, code="Bad")
        return done

    pause = Meanwhile(3 if target == "disks" else 4, take_over)
    failed = attempt(lambda: world.restore(target, kill=pause))
    bench.control.clear_faults()
    assert pause.done and isinstance(failed, RestoreTakenOver), failed
    world.restored(pause.result, target)


def test_a_machine_that_exists_is_not_undone_for_another_restore(world: World) -> None:
    """Killed behind the request that makes the machine, which then is used for a month."""
    bench, group = world.bench, world.machine.group
    assert kill(world, "new_vm", MACHINE_MADE, "after")
    bench.clock.sleep(30 * 86400)
    before = bench.disks(group)
    assert bench.vms(group) == {"vm1", "vm2"}
    outcome = world.restore("disks", disk_name_pattern="vm2_{role}")
    assert bench.vms(group) == {"vm1", "vm2"} and before <= bench.disks(group)
    assert {disk.name for disk in outcome.disks} == {"vm2_os-2", "vm2_lun0-2", "vm2_lun3-2"}


def test_a_machine_that_is_not_waited_for_keeps_no_record(world: World) -> None:
    world.restore("new_vm", wait=False)
    assert world.journals() == []


def test_disks_that_were_used_are_not_taken_over(world: World) -> None:
    """The machine of a killed run was used, and deleted without its disks."""
    bench, group = world.bench, world.machine.group
    assert kill(world, "new_vm", MACHINE_MADE, "after")
    for lun in world.machine.luns:
        bench.control.guest_write(bench.get(world.machine, "vm2")["id"], lun, 8192, b"work")
    virtual_machines.delete_vm(bench.look, group, "vm2")
    used = bench.disks(group) - world.disks
    outcome = world.restore("new_vm")
    assert world.digests("vm2") == world.then
    assert used <= bench.disks(group) and not used & {disk.id.lower() for disk in outcome.disks}


@pytest.mark.parametrize("point", ["p1", "p2"])
def test_a_machine_that_was_started_by_hand_keeps_what_it_wrote(world: World, point: str) -> None:
    """Killed after the swap was complete and before the start: somebody starts it, and it works."""
    bench = world.bench
    world.take("p2")
    assert kill(world, "in_place", SECOND_UPDATE, "after")
    assert bench.power(world.machine) == "deallocated"
    virtual_machines.start(bench.look, world.machine.group, world.machine.name)
    bench.write(world.machine, "a day of work")
    worked, used = world.digests(), bench.attached(world.machine)
    outcome = world.restore("in_place", point=point)
    assert {disk for disk, _caching in used.values()} <= bench.disks(world.machine.group)
    if point == "p1":
        assert world.digests() == worked and "an earlier run began it" in outcome.message
    else:
        assert {disk for disk, _c in used.values()} == {one.lower() for one in outcome.kept_disks}
        safety = outcome.safety_restore_point or ""
        disks = world.restore("disks", point=safety).disks
        kept = {one.source.lun: bench.control.digest(id=one.id) for one in disks}
        assert kept == {None if lun == "os" else lun: one for lun, one in worked.items()}
    assert world.journals() == []


def test_a_machine_started_amid_the_swap_loses_no_disk(world: World) -> None:
    """What was swapped in and started is detached and kept; the restore is made anew."""
    bench = world.bench
    assert kill(world, "in_place", SECOND_UPDATE, "before")
    virtual_machines.start(bench.look, world.machine.group, world.machine.name)
    swapped = {disk for disk, _caching in bench.attached(world.machine).values()}
    disks = bench.disks(world.machine.group)
    outcome = world.restore("in_place")
    assert world.digests() == world.then
    assert swapped <= bench.disks(world.machine.group) | world.disks
    kept = swapped - {disk for disk, _caching in world.original.values()}
    assert kept and kept <= {one.lower() for one in outcome.kept_disks}
    assert any("had been attached to the machine" in one for one in outcome.warnings)
    assert disks - bench.disks(world.machine.group) <= disks - swapped
    assert world.journals() == []


def test_a_machine_that_a_killed_run_stopped_runs_again_when_the_next_one_fails(
    world: World,
) -> None:
    bench = world.bench
    assert "deallocate" in (kill(world, "in_place", SECOND_UPDATE - 2, "after") or "")
    assert bench.power(world.machine) == "deallocated"
    bench.control.fault(
        "^PUT .*/restorePoints/", kind="status", status=409, code="OperationNotAllowed"
    )
    failed = attempt(lambda: world.restore("in_place"))
    assert isinstance(failed, VmguardError), failed
    assert "vm1 is on its original disks; it runs" in failed.message, failed.message
    bench.control.clear_faults()
    world.as_it_was()


def test_a_record_that_is_removed_meanwhile_is_told_with_what_is_so(world: World) -> None:
    bench = world.bench
    plain = tags(world)
    pause = Meanwhile(1, lambda: write_tags(world, plain), match="deallocate")
    with pytest.raises(
        RestoreTakenOver, match=r"is gone.*Attached to vm1 now: os = .*; it is"
    ) as told:
        world.restore("in_place", kill=pause)
    assert told.value.hint and bench.attached(world.machine) == world.original
    again = world.restore("in_place")
    assert again.ready and world.digests() == world.then


def test_a_record_that_is_written_back_is_over(world: World) -> None:
    """Tags that were read while a restore worked come back after it, as templates do it."""
    bench = world.bench
    saved: dict[str, str] = {}
    pause = Meanwhile(1, lambda: saved.update(tags(world)), match="deallocate")
    world.restore("in_place", kill=pause)
    assert journal.JOURNAL_TAG in saved
    write_tags(world, saved)
    bench.write(world.machine, "a day of work")
    worked = world.digests()
    assert world.restore("in_place").reason == "AlreadyRestored" and world.digests() == worked
    bench.clock.sleep(10)
    outcome = world.restore("in_place", force=True)
    assert len(outcome.kept_disks) == 3 and world.digests() == world.then
    assert world.journals() == []


def test_a_forged_record_deletes_nothing_else(bench: Bench, world: World) -> None:
    other = bench.machine()
    victim = spare_disk(world, other.group, "victim")
    world.take("p2")
    point = bench.look.read(
        "restore_points.get", "", world.machine.group, "vm1-restore-points", "p2"
    )
    first = world.original[None][0]
    places = (Place(None, victim, first),)
    forged = dead(world, phase=journal.SWAPPED, places=places, made=(first,), safety=point["id"])
    run_tag = {**tags(world, bench.disk(world.machine, first.rsplit("/", 1)[1]))}
    update_disk(bench.look, first, {"tags": {**run_tag, plan.RUN_TAG: f"{forged.run}@"}})
    for phase in (journal.SWAPPED, journal.FILLING):
        write_tags(world, journal.write_tags(tags(world), replace(forged, phase=phase)))
        attempt(lambda: world.restore("in_place", old_disks="delete", force=True))
        write_tags(world, journal.strip_tags(tags(world)))
    assert victim.lower() in bench.disks(other.group)
    assert bench.look.read(
        "restore_points.get", "", world.machine.group, "vm1-restore-points", "p2"
    )


def test_old_disks_are_deleted_only_where_both_runs_say_so(world: World) -> None:
    bench = world.bench
    world.take("p2")
    assert kill(world, "in_place", 16, "before", old_disks="delete")
    originals = {disk for disk, _caching in world.original.values()}
    assert originals <= bench.disks(world.machine.group)
    outcome = world.restore("in_place", point="p2")
    assert originals <= bench.disks(world.machine.group)
    assert any("these are kept: vm1_OsDisk_1" in one for one in outcome.warnings), outcome.warnings


def test_a_copied_record_is_nobodys(bench: Bench, world: World) -> None:
    """The tags of a machine whose restore was killed are copied to another machine."""
    other = bench.machine()
    bench.protect(other)
    assert kill(world, "in_place", SECOND_UPDATE, "before")
    write_tags(world, tags(world), other)
    halfway = bench.attached(world.machine)
    outcome = bench.restore(other, "in_place", allow_stop=True)
    assert outcome.ready and bench.attached(world.machine) == halfway
    assert journal.JOURNAL_TAG not in tags(world, bench.get(other))
    world.restored(world.restore("in_place"), "in_place")


@pytest.mark.parametrize("target", ["new_vm", "disks"])
def test_a_foreign_disk_that_appears_leaves_nothing_of_ours(world: World, target: str) -> None:
    bench, group = world.bench, world.machine.group
    pattern = {"disk_name_pattern": "x_{role}"}
    # Before the first disk's request; the second's name is taken then.
    pause = Meanwhile(1, lambda: spare_disk(world, group, "x_lun3"), match="PUT https")
    with pytest.raises(VmguardError, match="x_lun3 exists") as refused:
        world.restore(target, kill=pause, **pattern)
    assert refused.value.code == "DiskExists"
    assert bench.disks(group) - world.disks == {pause.result.lower()}
    assert world.journals() == []


def test_names_of_80_characters_stay_apart(world: World) -> None:
    pattern = {"disk_name_pattern": "d" * 75 + "-{role}"}
    first = world.restore("disks", **pattern)
    second = world.take("p2")
    again = world.restore("disks", point=second, **pattern)
    ids = {disk.id for disk in [*first.disks, *again.disks]}
    assert len(ids) == 6 and all(len(disk.name) <= 80 for disk in again.disks)


def test_tags_of_our_own_are_refused() -> None:
    params = dict.fromkeys(("restore_point", "collection", "collection_resource_group", "backup",
                            "repository", "directory", "location", "bandwidth_limit"))  # fmt: skip
    given = {"source": "restore_point", "target": "disks", "parallel_transfers": 8}
    with pytest.raises(InputError, match="tags: 'vmguard-restore-journal' is a name that"):
        check({**params, **given, "tags": {"vmguard-restore-journal": "x"}})


def test_a_disk_with_many_tags_is_restored_without_some(world: World) -> None:
    many = {f"tag{number:02}": "x" for number in range(48)}
    update_disk(world.bench.look, world.original[0][0], {"tags": many})
    outcome = world.restore("disks")
    [warning] = outcome.warnings
    assert "vm1_DataDisk_0 has 48 tags; its restored copy does not get" in warning
    assert outcome.ready and world.journals() == []


__all__ = ["KillingTransport"]
