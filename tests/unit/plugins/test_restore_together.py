"""Two restores at once: one works, the other says who and since when; and what guests do meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute.disks import update_disk
from ansible_collections.vmguard.azure.plugins.module_utils._compute.virtual_machines import (
    update_vm,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._restore import journal
from ansible_collections.vmguard.azure.plugins.module_utils._restore.lock import (
    RestoreHeld,
    RestoreTakenOver,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import (
    Outcome,
    RestoreFailed,
)
from azure.core.pipeline.transport import RequestsTransport
from restore_bench import Bench, open_bench
from restore_worlds import WRITES, World

from support.sweep import all_of_them, sweep

KINDS = ("same", "other")
Result = Outcome | VmguardError


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


class Meanwhile(RequestsTransport):
    """Does something before the n-th write to Azure is sent.

    Args:
        beside: other threads of the run go on meanwhile.
    """

    def __init__(
        self, nth: int, act: Callable[[], Any], match: str = "", *, beside: bool = False
    ) -> None:
        super().__init__()
        self._nth, self._act, self._match = nth, act, match
        self._beside = beside
        self._guard = threading.RLock()
        self._count = 0
        self.result: Any = None
        self.done = False

    def send(self, request: Any, **options: Any) -> Any:
        with self._guard:
            counts = request.method in WRITES and self._match in f"{request.method} {request.url}"
            self._count += counts
            now = counts and self._count == self._nth and not self.done
            self.done |= now
            if now and not self._beside:
                self._act_now()
        if now and self._beside:
            self._act_now()
        return super().send(request, **options)

    def _act_now(self) -> None:
        worker = threading.Thread(target=self._run)
        worker.start()
        worker.join()

    def _run(self) -> None:
        self.result = self._act()


def attempt(act: Callable[[], Outcome]) -> Result:
    try:
        return act()
    except VmguardError as error:
        return error


def assert_one_works(first: Result, second: Result) -> None:
    """One is restored. The other was held off, or came so late that it found the work done."""
    results = [first, second]
    done = [one for one in results if isinstance(one, Outcome)]
    refused = [one for one in results if isinstance(one, VmguardError)]
    assert done, results
    for one in refused:
        if one.code == "DiskExists":
            # Its request for a disk came when the other one had long filled that disk.
            assert "is not of this restore" in one.message
            continue
        assert isinstance(one, RestoreHeld), one
        assert "Another restore works on" in one.message and "which began at" in one.message
    if len(done) == 2:
        assert "AlreadyRestored" in {one.reason for one in done}


@pytest.mark.parametrize("target", ["in_place", "new_vm", "disks"])
@pytest.mark.parametrize("source", ["point", "backup"])
def test_the_same_restore_twice_at_once(
    bench: Bench, tmp_path: Path, source: str, target: str
) -> None:
    if source == "backup" and not all_of_them():
        pytest.skip("in make faults: restore points show the same, and take less time")

    def run(number: int, _kind: str) -> str | None:
        world = World(bench, source, tmp_path / str(number))
        pause = Meanwhile(number, lambda: attempt(lambda: world.restore(target)))
        first = attempt(lambda: world.restore(target, kill=pause))
        if not pause.done:
            return None
        assert_one_works(first, pause.result)
        found = first if isinstance(first, Outcome) else pause.result
        world.restored(found, target)
        return f"{target}: one of two worked"

    sweep(("same",), run, least=4)


def test_two_restores_of_other_points_in_place(bench: Bench, tmp_path: Path) -> None:
    def run(number: int, _kind: str) -> str | None:
        world = World(bench, "point", tmp_path / str(number))
        second = world.take("p2")
        then = world.digests()
        bench.write(world.machine, "still later")
        pause = Meanwhile(number, lambda: attempt(lambda: world.restore("in_place", point=second)))
        first = attempt(lambda: world.restore("in_place", kill=pause))
        if not pause.done:
            return None
        if number == 1:
            # The other one came first, and was done before this one began: they work one after the other.
            assert isinstance(first, Outcome) and isinstance(pause.result, Outcome)
        else:
            assert isinstance(first, Outcome) and isinstance(pause.result, RestoreHeld)
        assert world.digests() == world.then != then
        assert bench.power(world.machine) == "running"
        attached = {disk for disk, _caching in bench.attached(world.machine).values()}
        assert attached == {disk.id.lower() for disk in first.disks}
        world.clean()
        return "one of two restores worked"

    sweep(("other",), run, least=11, every=2)


def test_two_new_machines_of_one_name(bench: Bench, tmp_path: Path) -> None:
    def run(number: int, _kind: str) -> str | None:
        world = World(bench, "point", tmp_path / str(number))
        second = world.take("p2")
        pause = Meanwhile(number, lambda: attempt(lambda: world.restore("new_vm", point=second)))
        first = attempt(lambda: world.restore("new_vm", kill=pause))
        if not pause.done:
            return None
        results = [first, pause.result]
        done = [one for one in results if isinstance(one, Outcome)]
        assert len(done) == 1, results
        [refused] = [one for one in results if isinstance(one, VmguardError)]
        assert isinstance(refused, RestoreHeld) or refused.code in ("VmExists", "DiskExists")
        made = {disk.id.lower() for disk in done[0].disks}
        assert bench.disks(world.machine.group) == world.disks | made
        attached = bench.attached(world.machine, "vm2")
        assert {disk for disk, _caching in attached.values()} == made
        world.clean()
        return "one of two new machines was made"

    sweep(("other",), run, least=5)


def attach(world: World, name: str, lun: int) -> str:
    """What an administrator does meanwhile: a new disk on the machine; its id."""
    bench, machine = world.bench, world.machine
    disk = bench.named("disks", machine.group, name)
    body = {
        "location": "westeurope", "sku": {"name": "Standard_LRS"},
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1},
    }  # fmt: skip
    bench.look.run("disks.begin_create_or_update", disk, machine.group, name, body=body)
    vm = bench.get(machine)
    data = vm["properties"]["storageProfile"]["dataDisks"]
    kept = [
        {k: v for k, v in one.items() if k not in ("diskSizeGB", "toBeDetached")} for one in data
    ]
    added = {"lun": lun, "name": name, "createOption": "Attach", "managedDisk": {"id": disk}}
    change(world, [*kept, added])
    return disk.lower()


def change(world: World, data: list[dict[str, Any]]) -> None:
    body = {"properties": {"storageProfile": {"dataDisks": data}}}
    update_vm(world.bench.look, world.machine.group, world.machine.name, body)


def detach(world: World, lun: int) -> dict[str, Any]:
    vm = world.bench.get(world.machine)
    data = vm["properties"]["storageProfile"]["dataDisks"]
    change(world, [one for one in data if one["lun"] != lun])
    return next(one for one in data if one["lun"] == lun)


def move(world: World, lun: int, to: int) -> None:
    gone = detach(world, lun)
    entry = {"lun": to, "name": gone["name"], "createOption": "Attach"}
    vm = world.bench.get(world.machine)
    data = vm["properties"]["storageProfile"]["dataDisks"]
    change(world, [*data, {**entry, "managedDisk": {"id": gone["managedDisk"]["id"]}}])


def grow(world: World, lun: int) -> None:
    disk = world.bench.attached(world.machine)[lun][0]
    world.bench.deallocate(world.machine)
    update_disk(world.bench.look, disk, {"properties": {"diskSizeGB": 4}})


def test_a_disk_attached_meanwhile_stays(bench: Bench, tmp_path: Path) -> None:
    def run(number: int, _kind: str) -> str | None:
        world = World(bench, "point", tmp_path / str(number))
        pause = Meanwhile(number, lambda: attach(world, "guest", 9))
        outcome = world.restore("in_place", kill=pause)
        if not pause.done:
            return None
        attached = bench.attached(world.machine)
        assert attached[9][0] == pause.result
        restored = {disk for lun, (disk, _caching) in attached.items() if lun != 9}
        assert restored == {disk.id.lower() for disk in outcome.disks}
        world.clean()
        return "an attached disk stayed"

    sweep(("attach",), run, least=11, every=2)


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda world: attach(world, "guest", 5), "lun5 of vm1 had no disk .* and has guest now"),
        (
            lambda world: bool(detach(world, 3)),
            "lun3 of vm1 had vm1_DataDisk_3 .* and has none now",
        ),
        (lambda world: move(world, 3, 7), "lun3 of vm1 had vm1_DataDisk_3 .* and has none now"),
        (lambda world: grow(world, 3), "vm1_DataDisk_3 at lun3 of vm1 had 1 GiB .* and has 4 now"),
    ],
    ids=["attached", "detached", "moved", "grown"],
)
def test_a_change_of_a_disk_that_is_swapped_is_refused(
    bench: Bench, tmp_path: Path, act: Callable[[World], Any], sentence: str
) -> None:
    """LUN 5 is empty now and in the restore point; the change comes while the disks are made."""
    world = World(bench, "point", tmp_path / "w")
    if "guest" in sentence:
        attach(world, "extra", 5)
        world.take("p3")
        detach(world, 5)
        point = "p3"
    else:
        point = "p1"
    pause = Meanwhile(1, lambda: act(world), match="PUT https")
    before = world.bench.disks(world.machine.group)
    with pytest.raises(RestoreFailed, match=sentence) as failed:
        world.restore("in_place", kill=pause, point=point)
    assert pause.done and "vm1 was neither stopped nor given other disks" in failed.value.message
    after = world.bench.disks(world.machine.group)
    assert after - before <= {pause.result} and before <= after
    world.clean()


def test_a_disk_that_was_moved_before_is_refused(bench: Bench, tmp_path: Path) -> None:
    world = World(bench, "point", tmp_path / "w")
    move(world, 3, 7)
    writes: list[int] = []
    sentence = (
        r"vm1_DataDisk_3 was at lun3 and is at lun7 of vm1 now.*exclude_disks: \[vm1_DataDisk_3\]"
    )
    with pytest.raises(VmguardError, match=sentence) as refused:
        world.restore("in_place", writes=writes)
    assert refused.value.code == "DiskMoved" and writes == []
    assert world.restore("in_place", exclude_disks=["3"]).ready
    assert world.bench.attached(world.machine)[7][0] == world.original[3][0]


def test_a_run_renews_its_record_while_it_fills_disks(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes long: the record is later than its first time would allow."""
    monkeypatch.setattr(journal, "RENEWED_EVERY", 0.01)
    world = World(bench, "point", tmp_path / "w")
    seen: list[Any] = []

    def wait_for_renewal() -> None:
        for _look in range(1000):
            tags = bench.get(world.machine)["tags"]
            record = journal.read_tags(world.machine.id, tags)
            assert record is not None
            seen.append(record.until)
            if len(set(seen)) > 2:
                return
            bench.clock.sleep(1)

    pause = Meanwhile(1, wait_for_renewal, match="PUT https", beside=True)
    assert world.restore("in_place", kill=pause).ready
    assert len(set(seen)) > 2
    world.clean()


@pytest.mark.parametrize("number", [5, 6, 8, 9, 10, 11])
def test_a_run_that_was_taken_over_changes_nothing_more(
    bench: Bench, tmp_path: Path, number: int
) -> None:
    """Its time was over, and another one began: it neither goes on nor undoes the other's work."""
    world = World(bench, "point", tmp_path / "w")
    second = world.take("p2")
    then = world.digests()

    def take_over() -> Result:
        bench.clock.sleep(1000)
        return attempt(lambda: world.restore("in_place", point=second))

    pause = Meanwhile(number, take_over)
    with pytest.raises(RestoreTakenOver, match=r"was stopped and changed nothing more|is gone"):
        world.restore("in_place", kill=pause)
    assert isinstance(pause.result, Outcome) and world.digests() == then
    attached = {disk for disk, _caching in bench.attached(world.machine).values()}
    assert attached == {disk.id.lower() for disk in pause.result.disks}
    world.clean()


@pytest.mark.parametrize("number", [1, 3, 6, 8, 10])
def test_any_error_is_undone(bench: Bench, tmp_path: Path, number: int) -> None:
    """Also one that is a mistake of ours."""
    world = World(bench, "point", tmp_path / "w")

    class Broken(Meanwhile):
        def send(self, request: Any, **options: Any) -> Any:
            with self._guard:
                self._count += request.method in WRITES
                if self._count == self._nth and not self.done:
                    self.done = True
                    raise KeyError("a mistake")
            return RequestsTransport.send(self, request, **options)

    broken = Broken(number, lambda: None)
    with pytest.raises(RestoreFailed, match="KeyError: 'a mistake'") as failed:
        world.restore("in_place", kill=broken)
    assert failed.value.code == "InternalError" and broken.done
    world.as_it_was()


def test_the_tag_of_unfinished_content_does_not_come_back(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewal of the record writes the same tags of the first disk, all the time."""
    monkeypatch.setattr(journal, "RENEWED_EVERY", 0.001)
    world = World(bench, "backup", tmp_path / "w")
    world.restored(world.restore("disks"), "disks")
    writes: list[int] = []
    assert world.restore("disks", writes=writes).reason == "AlreadyRestored" and writes == []


def grown_os_disk(world: World) -> None:
    world.bench.deallocate(world.machine)
    update_disk(world.bench.look, world.original[None][0], {"properties": {"diskSizeGB": 3}})


def test_an_os_disk_gets_the_size_of_the_one_it_replaces(bench: Bench, tmp_path: Path) -> None:
    world = World(bench, "backup", tmp_path / "w")
    grown_os_disk(world)
    outcome = world.restore("in_place")
    assert outcome.disks[0].result()["size_gb"] == 3
    assert any("gets 3 GiB in place of 1" in warning for warning in outcome.warnings)


def test_an_os_disk_of_another_size_is_refused_before_anything_is_made(
    bench: Bench, tmp_path: Path
) -> None:
    world = World(bench, "point", tmp_path / "w")
    writes: list[int] = []
    with pytest.raises(VmguardError, match="swaps only OS disks of one size") as refused:
        world.restore("in_place", disk_sizes={"os": 9}, writes=writes)
    assert refused.value.code == "OSDiskSwapNotSupported" and writes == []
