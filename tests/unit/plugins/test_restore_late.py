"""Restores whose requests arrive late, and machines that people use after a restore was killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import virtual_machines
from ansible_collections.vmguard.azure.plugins.module_utils._compute.disks import (
    delete_disk,
    find_disk,
    update_disk,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import Holder
from ansible_collections.vmguard.azure.plugins.module_utils._restore import safety
from ansible_collections.vmguard.azure.plugins.module_utils._restore.journal import Journal
from ansible_collections.vmguard.azure.plugins.module_utils._restore.lock import (
    Lock,
    OnDisk,
    RestoreTakenOver,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import Outcome
from restore_bench import Bench, open_bench
from restore_worlds import Killed, KillingTransport, World, kill
from test_restore_together import Meanwhile, attempt, change, detach

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
FIXED = {"disk_name_pattern": "fix-{role}"}
# The writes of a restore in place of three disks: see test_restore_records.
SECOND_UPDATE = 10


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def world(bench: Bench, tmp_path: Path) -> World:
    return World(bench, "point", tmp_path / "world")


def second(world: World) -> str:
    world.bench.clock.sleep(60)
    return world.take("p2")


def unique(world: World, ids: Any = None) -> set[str]:
    """What never comes back: the unique ids of the disks with these ids, or of all in the group."""
    look, group = world.bench.look, world.machine.group
    wanted = None if ids is None else {one.lower() for one in ids}
    return {
        disk["properties"]["uniqueId"]
        for disk in look.list("disks.list_by_resource_group", group, group)
        if wanted is None or disk["id"].lower() in wanted
    }


def attached(world: World) -> set[str]:
    return unique(world, [disk for disk, _caching in world.bench.attached(world.machine).values()])


def holds(world: World, outcome: Any, then: dict[Any, str]) -> None:
    """Everything that an outcome names is there, with the bytes that it says."""
    assert isinstance(outcome, Outcome), outcome
    for disk in outcome.disks:
        lun = "os" if disk.source.lun is None else disk.source.lun
        assert world.bench.control.digest(id=disk.id) == then[lun], disk.id


class KilledWhere(KillingTransport):
    """Killed at the first write whose body or address holds a text."""

    def __init__(self, text: str, when: str) -> None:
        super().__init__(1, when)
        self._text = text

    def send(self, request: Any, **options: Any) -> Any:
        body = getattr(request, "content", None) or request.body or b""
        text = body.decode() if isinstance(body, bytes) else str(body)
        self._nth = self._count + 1 if self._text in f"{request.url} {text}" else 0
        return super().send(request, **options)


def killed_where(world: World, text: str, when: str = "after", **options: Any) -> None:
    transport = KilledWhere(text, when)
    with pytest.raises(Killed):
        world.restore("in_place", kill=transport, **options)
    assert transport.killed


# -- somebody uses the machine after a restore was killed


@pytest.mark.parametrize("point", ["p1", "p2"])
def test_work_since_an_undo_was_killed_is_kept(world: World, point: str) -> None:
    bench = world.bench
    second(world)
    bench.control.fault("POST .*/start", kind="fail_operation", nth=1)
    killed_where(world, " undoing ")
    bench.control.clear_faults()
    bench.clock.sleep(3600)
    virtual_machines.start(bench.look, world.machine.group, world.machine.name)
    bench.write(world.machine, "a week of work")
    work = attached(world)
    outcome = world.restore("in_place", point=point)
    assert work <= unique(world) and outcome.ready
    assert world.journals() == []


@pytest.mark.parametrize("how", ["power off", "deallocate"])
def test_work_since_a_swap_was_killed_is_kept(world: World, how: str) -> None:
    """The machine is off again, by whatever way, when the next restore comes."""
    bench, group, name = world.bench, world.machine.group, world.machine.name
    then = second(world)
    killed_where(world, " swapped ", "before")
    bench.clock.sleep(120)
    virtual_machines.start(bench.look, group, name)
    bench.write(world.machine, "some work")
    work = attached(world)
    if how == "power off":
        bench.clock.sleep(7 * 86400)
        virtual_machines.power_off(bench.look, group, name)
    else:
        bench.clock.sleep(600)
        virtual_machines.deallocate(bench.look, group, name)
        bench.clock.sleep(86400)
    outcome = world.restore("in_place", point=then)
    assert work <= unique(world)
    assert work <= unique(world, outcome.kept_disks)


def test_a_replaced_disk_is_deleted_only_where_its_successor_is_attached(world: World) -> None:
    """Killed after the swap; somebody detaches a new disk, and the next run finishes."""
    bench = world.bench
    then = second(world)
    original = unique(world, [world.original[3][0]])
    killed_where(world, " swapped ", "after", old_disks="delete")
    detach(world, 3)
    outcome = world.restore("in_place", point=then, old_disks="delete", exclude_disks=["3"])
    assert original <= unique(world)
    assert any("are kept: vm1_DataDisk_3" in one for one in outcome.warnings), outcome.warnings
    assert bench.power(world.machine) == "running"


def test_an_original_disk_that_is_gone_keeps_nobody_from_going_on(world: World) -> None:
    bench = world.bench
    then = second(world)
    assert kill(world, "in_place", SECOND_UPDATE - 1, "after")
    delete_disk(bench.look, world.original[3][0])
    failed = attempt(lambda: world.restore("in_place", point=then))
    assert isinstance(failed, VmguardError)
    assert "lun3 = " in (failed.hint or "") and "(is gone)" in (failed.hint or "")
    bench.clock.sleep(60)
    attempt(lambda: world.restore("in_place", point="p1"))
    bench.clock.sleep(60)
    world.restore("in_place", point="p1")
    assert world.digests() == world.then and bench.power(world.machine) == "running"


def test_without_the_point_the_unfinished_restore_is_told(world: World) -> None:
    bench, machine = world.bench, world.machine
    assert kill(world, "in_place", SECOND_UPDATE - 1, "after")
    bench.look.run(
        "restore_points.begin_delete",
        machine.id,
        machine.group,
        f"{machine.name}-restore-points",
        "p1",
    )
    told = attempt(lambda: world.restore("in_place"))
    assert isinstance(told, VmguardError)
    assert "an earlier restore has not ended" in told.message and "deallocated" in told.message


@pytest.mark.parametrize("nth", [3, 5, 9])
def test_of_a_machine_that_is_deleted_meanwhile_the_disks_are_named(world: World, nth: int) -> None:
    bench, group = world.bench, world.machine.group
    pause = Meanwhile(nth, lambda: virtual_machines.delete_vm(bench.look, group, "vm1"))
    told = attempt(lambda: world.restore("in_place", kill=pause))
    assert isinstance(told, VmguardError), told
    for left in bench.disks(group) - world.disks:
        assert left.rsplit("/", 1)[1] in told.message.lower()


def test_tags_that_somebody_replaced_are_no_proof_of_an_end(world: World) -> None:
    """Killed amid the swap, then a policy replaces the tags of the first new disk."""
    bench = world.bench
    then = second(world)
    digests = world.digests()
    assert kill(world, "in_place", SECOND_UPDATE - 1, "after")
    new_os = bench.attached(world.machine)[None][0]
    update_disk(bench.look, new_os, {"tags": {"owner": "policy"}})
    world.restore("in_place", point=then)
    assert world.digests() == digests and bench.power(world.machine) == "running"
    assert world.journals() == []


def test_a_machine_made_to_run_is_not_stopped_by_the_next_run(world: World) -> None:
    bench = world.bench
    assert kill(world, "new_vm", 6, "before")
    bench.clock.sleep(7 * 86400)
    world.restore("new_vm", start=False)
    assert virtual_machines.power_state(bench.get(world.machine, "vm2")) == "running"


# -- requests that arrive late


@pytest.mark.parametrize("target", ["disks", "new_vm"])
def test_a_creation_that_is_throttled_is_not_repeated_blindly(
    bench: Bench, tmp_path: Path, target: str
) -> None:
    """While Azure lets one wait, the same task does everything."""
    world = World(bench, "backup", tmp_path / "world")
    bench.control.fault("^PUT .*/disks/", kind="status", status=429, times=1, retry_after=60)
    looks: list[Any] = []

    class Between(Meanwhile):
        """Acts when the disk is looked at again."""

        def send(self, request: Any, **options: Any) -> Any:
            looks.append(request.method)
            if not self.done and "PUT" in looks and request.method == "GET":
                self.done = True
                self._act_now()
            return super().send(request, **options)

    between = Between(0, lambda: attempt(lambda: world.restore(target)))
    late = attempt(lambda: world.restore(target, kill=between))
    bench.control.clear_faults()
    assert between.done
    holds(world, between.result, world.then)
    if isinstance(late, Outcome):
        holds(world, late, world.then)
    assert world.journals() == [] and bench.local.app.state.sas.active() == []


@pytest.mark.parametrize("nth", [3, 4])
def test_who_was_taken_over_makes_and_deletes_no_disk(
    bench: Bench, tmp_path: Path, nth: int
) -> None:
    """A request for a disk arrives when another restore has long made it."""
    world = World(bench, "backup", tmp_path / "world")
    first = world.first
    bench.clock.sleep(60)
    other = world.take("p2")
    digests = world.digests()

    def take_over() -> Any:
        bench.clock.sleep(20000)
        return attempt(lambda: world.restore("disks", point=other, **FIXED))

    pause = Meanwhile(nth, take_over)
    attempt(lambda: world.restore("disks", kill=pause, point=first, **FIXED))
    assert pause.done
    holds(world, pause.result, digests)


@pytest.mark.parametrize("target", ["disks", "new_vm"])
def test_what_somebody_finished_is_not_undone(world: World, target: str) -> None:
    """One plans to undo a killed run, another one goes on with it and is done before the first write."""
    bench = world.bench
    then = second(world)
    assert kill(world, target, 2, "after", **FIXED)
    bench.clock.sleep(20000)
    pause = Meanwhile(1, lambda: attempt(lambda: world.restore(target, point="p1", **FIXED)))
    late = attempt(lambda: world.restore(target, kill=pause, point=then, **FIXED))
    holds(world, pause.result, world.then)
    if isinstance(late, Outcome):
        assert {one.id for one in late.disks}.isdisjoint(one.id for one in pause.result.disks)


def test_a_record_whose_renewal_came_late_is_given_up(world: World) -> None:
    bench, machine = world.bench, world.machine
    carrier = world.original[0][0]
    now = bench.clock.now()
    journal = Journal(
        run="r1", restore_id="x", target="disks", holder=Holder.here("r1"),
        since=now.isoformat(), until=now, made=(carrier,),
    )  # fmt: skip
    arm = bench.arm()
    lock = Lock(OnDisk(arm, carrier), journal, bench.clock)
    lock.claim()
    arm._transport = Meanwhile(1, lambda: bench.clock.sleep(400))
    slow = bench.arm()
    slow._transport = arm._transport
    late = Lock(OnDisk(slow, carrier), lock.journal, bench.clock)
    with pytest.raises(RestoreTakenOver, match=r"longer .* than its record lasts"):
        late.enter("filling")
    assert machine.name and lock.carrier.journal(find_disk(bench.look, carrier)) is None
    with pytest.raises(RestoreTakenOver):
        late.check_in({"id": carrier, "tags": {}})


def test_a_stop_that_arrives_after_another_restore_is_made_good(world: World) -> None:
    bench = world.bench
    then = second(world)

    def take_over() -> Any:
        bench.clock.sleep(1000)
        return attempt(lambda: world.restore("in_place", point=then))

    pause = Meanwhile(1, take_over, match="/deallocate")
    late = attempt(lambda: world.restore("in_place", kill=pause))
    assert isinstance(pause.result, Outcome), pause.result
    assert isinstance(late, RestoreTakenOver) and "it is running" in late.message, late
    assert bench.power(world.machine) == "running"


@pytest.mark.parametrize("nth", [16, 17])
def test_kept_disks_are_not_deleted_by_who_was_taken_over(world: World, nth: int) -> None:
    """All but the one whose deletion is under way already: Azure takes no condition for that."""
    bench = world.bench

    def take_over() -> Any:
        bench.clock.sleep(1000)
        return attempt(lambda: world.restore("in_place", old_disks="keep"))

    pause = Meanwhile(nth, take_over)
    late = attempt(lambda: world.restore("in_place", kill=pause, old_disks="delete"))
    assert isinstance(pause.result, Outcome), pause.result
    assert isinstance(late, RestoreTakenOver), late
    kept = pause.result.kept_disks
    assert len(kept) == 19 - nth and len(unique(world, kept)) == len(kept) - 1


# -- Azure has no room


@pytest.mark.parametrize("code", ["AllocationFailed", "ZonalAllocationFailed"])
def test_a_restore_whose_machine_finds_no_room_is_a_restore(world: World, code: str) -> None:
    bench = world.bench
    bench.control.fault("POST .*/start", kind="fail_operation", code=code, times=2)
    outcome = world.restore("in_place")
    bench.control.clear_faults()
    assert world.digests() == world.then and outcome.power_state == "deallocated"
    assert any("could not be started" in one for one in outcome.warnings), outcome.warnings
    assert world.journals() == []


def test_what_a_disk_held_before_is_not_written_on_the_next_one(world: World) -> None:
    """The record of a killed run is taken over while somebody undoes that run and makes the disks anew."""
    then = second(world)
    digests = world.digests()
    assert kill(world, "disks", 2, "after", **FIXED)
    world.bench.clock.sleep(20000)
    pause = Meanwhile(1, lambda: attempt(lambda: world.restore("disks", point=then, **FIXED)))
    late = attempt(lambda: world.restore("disks", kill=pause, point="p1", **FIXED))
    holds(world, pause.result, digests)
    if isinstance(late, Outcome):
        holds(world, late, world.then)


@pytest.mark.parametrize("hours", [0.1, 10])
def test_replaced_disks_stay_while_the_safety_point_needs_them(bench: Bench, hours: float) -> None:
    """Azure copies Premium SSD v2 disks into a point after it has succeeded."""
    machine = bench.machine([{"lun": 0, "sku": "PremiumV2_LRS", "caching": "None"}])
    bench.protect(machine)
    old = {disk for disk, _caching in bench.attached(machine).values()}
    bench.control.configure(durations={"restore_point_hydration": hours * 3600})
    try:
        outcome = bench.restore(
            machine, "in_place", allow_stop=True, old_disks="delete", timeout=3600
        )
    finally:
        bench.control.configure(durations={"restore_point_hydration": 0})
    kept = hours > 1
    assert (old <= bench.disks(machine.group)) is kept
    assert bool(outcome.deleted_disks) is not kept
    assert (
        any("safety restore point may still need them" in one for one in outcome.warnings) is kept
    )


def test_replaced_disks_stay_where_the_safety_point_failed_to_copy_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = bench.machine([{"lun": 0, "sku": "PremiumV2_LRS", "caching": "None"}])
    bench.protect(machine)
    old = {disk for disk, _caching in bench.attached(machine).values()}
    failed = {"state": "failed", "percent": 40}
    monkeypatch.setattr(safety, "replication", lambda _view: failed)
    outcome = bench.restore(machine, "in_place", allow_stop=True, old_disks="delete")
    assert old <= bench.disks(machine.group) and outcome.deleted_disks == []
    assert any("did not get all of its disks" in one for one in outcome.warnings)


def test_new_disks_that_were_booted_and_taken_out_again_are_not_the_point(world: World) -> None:
    """Somebody starts the machine on the new disks, dislikes it, and attaches the original ones."""
    bench, group, name = world.bench, world.machine.group, world.machine.name
    killed_where(world, " swapped ", "before")
    bench.clock.sleep(3600)
    virtual_machines.start(bench.look, group, name)
    bench.write(world.machine, "not what was wanted")
    used = attached(world)
    virtual_machines.deallocate(bench.look, group, name)
    change(world, [])
    for lun, (disk, caching) in world.original.items():
        entry = {"managedDisk": {"id": disk}, "caching": caching, "createOption": "Attach"}
        if lun is None:
            profile = {
                "osDisk": {**entry, "createOption": "FromImage", "name": disk.rsplit("/", 1)[1]}
            }
        else:
            profile = {"dataDisks": [*profile.get("dataDisks", []), {**entry, "lun": lun}]}
        virtual_machines.update_vm(
            bench.look, group, name, {"properties": {"storageProfile": profile}}
        )
    world.restore("in_place")
    assert world.digests() == world.then
    assert used <= unique(world) and not used & attached(world)


def test_a_disk_of_a_killed_run_that_was_used_since_survives_the_next_failure(world: World) -> None:
    """It was attached to another machine, and detached again."""
    bench, group = world.bench, world.machine.group
    assert kill(world, "disks", 3, "after", **FIXED)

    made = bench.named("disks", group, "fix-lun0")
    vm = bench.get(world.machine)
    spare = {"lun": 9, "createOption": "Attach", "managedDisk": {"id": made}}
    data = vm["properties"]["storageProfile"]["dataDisks"]
    change(world, [*data, spare])
    change(world, data)
    used = unique(world, [made])
    bench.control.fault("^PUT .*/disks/", kind="status", status=400, code="Bad", times=0)
    failed = attempt(lambda: world.restore("disks", **FIXED))
    bench.control.clear_faults()
    assert isinstance(failed, VmguardError)
    assert used <= unique(world)
