"""Leases: of all who want one there is one who has it, as long as it lives and no longer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import StorageUnavailable
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import (
    DamagedObject,
    LeaseHeld,
    LeaseLost,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import (
    HEARTBEAT,
    Lease,
    read_state,
    scopes,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage import process
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import Store
from image_world import NOW, MovedClock, make_repository, sizes
from storage_backends import AppendOnlyStore, FaultyStore, Wrapper

pytest_plugins = ["storage_backends"]

SCOPE = "0" * 32
NEVER = 3600.0
Take = Callable[..., Lease]


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def take(clock: MovedClock, repository: Repository) -> Iterator[Take]:
    """A lease that somebody wants; their heartbeats end with the test."""
    made: list[Lease] = []

    def lease(run: str, *, within: Repository | None = None, **more: Any) -> Lease:
        more = {"time_to_live": 120.0, "heartbeat": NEVER, **more}
        at = more.pop("clock", clock)
        made.append(Lease(within or repository, SCOPE, "machine web", run, at, **more))
        return made[-1]

    yield lease
    for one in made:
        one.release()


def wait_until(happened: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _attempt in range(3000):
        if happened():
            return
        pause.wait(0.01)
    raise AssertionError("It did not happen.")


def on_other_store(repository: Repository, store: Store) -> Repository:
    return Repository(store, repository.settings, repository.codec)


def record(repository: Repository, number: int, **fields: Any) -> None:
    """What somebody on another machine writes."""
    body = {
        "run": "other", "host": "elsewhere", "pid": 1, "place": "another boot/1",
        "subject": "machine web", "since": NOW.isoformat(),
        "until": (NOW + timedelta(seconds=120)).isoformat(), "released": False,
    }  # fmt: skip
    repository.write(f"{names.LEASES}{SCOPE}/{number:012d}", {**body, **fields})


def numbers(repository: Repository) -> list[int]:
    return [int(name.rpartition("/")[2]) for name in sizes(repository.store, names.LEASES)]


@pytest.mark.parametrize("_round", range(3))
def test_of_many_who_want_it_one_has_it(
    backend: Callable[[], Store], clock: MovedClock, _round: int
) -> None:
    made = make_repository(backend())
    start = threading.Barrier(8)
    held: list[Lease] = []
    refused: list[str] = []

    def want(number: int) -> None:
        lease = Lease(made, SCOPE, "machine web", f"run-{number}", clock, heartbeat=NEVER)
        start.wait()
        try:
            lease.acquire()
        except LeaseHeld as error:
            refused.append(error.message)
        else:
            held.append(lease)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(want, range(8)))
    assert len(held) == 1
    assert len(refused) == 7
    held[0].check()
    held[0].release()
    assert sizes(made.store, names.LEASES) == {}


def test_who_comes_second_is_told_who_has_it(take: Take, repository: Repository) -> None:
    with take("first"):
        with pytest.raises(LeaseHeld, match="machine web is being worked on by run first on"):
            take("second").acquire()
        assert scopes(repository) == [SCOPE]
    with take("second") as second:
        second.check()
        assert second.broken is None


def test_a_release_leaves_nothing_and_one_that_has_it_not_changes_nothing(
    take: Take, repository: Repository
) -> None:
    first, second = take("first", heartbeat=0.01), take("second")
    first.acquire()
    wait_until(lambda: max(numbers(repository), default=0) > 5)
    with pytest.raises(LeaseHeld):
        second.acquire()
    second.release()
    assert numbers(repository)
    first.check()
    first.release()
    assert numbers(repository) == []


def test_the_heartbeat_keeps_it_and_clears_up_behind(
    take: Take, repository: Repository, clock: MovedClock
) -> None:
    with take("first", heartbeat=0.01) as lease:
        for _step in range(5):
            clock.sleep(100)
            beaten = max(numbers(repository))
            wait_until(lambda beaten=beaten: max(numbers(repository), default=0) > beaten + 1)
            lease.check()
        wait_until(lambda: len(numbers(repository)) <= 2)
    assert numbers(repository) == []


def test_without_a_heartbeat_its_time_ends_it(take: Take, clock: MovedClock) -> None:
    lease = take("first")
    lease.acquire()
    clock.sleep(119)
    lease.check()
    clock.sleep(1)
    with pytest.raises(LeaseLost, match="nothing of it is committed"):
        lease.check()


def test_another_record_under_the_next_number_ends_it(take: Take, repository: Repository) -> None:
    lease = take("first", heartbeat=0.05)
    lease.acquire()
    record(repository, max(numbers(repository)) + 1)
    record(repository, max(numbers(repository)) + 1)

    def lost() -> bool:
        try:
            lease.check()
        except LeaseLost:
            return True
        return False

    wait_until(lost)
    before = numbers(repository)
    lease.release()
    assert numbers(repository) == before


def test_a_release_leaves_the_record_of_who_took_it_over(
    take: Take, repository: Repository
) -> None:
    lease = take("first")
    lease.acquire()
    record(repository, 2)
    lease.release()
    assert numbers(repository) == [1, 2]


def test_a_storage_that_fails_for_a_while_does_not_end_it(
    take: Take, repository: Repository, clock: MovedClock
) -> None:
    faulty = FaultyStore(repository.store, 3, methods=("put",), lasting=True)
    lease = take("first", heartbeat=0.01, within=on_other_store(repository, faulty))
    lease.acquire()
    wait_until(lambda: faulty.failures > 2)
    lease.check()
    faulty.fail_at = 0
    beaten = len(faulty.calls)
    clock.sleep(100)
    wait_until(lambda: len(faulty.calls) > beaten + 2)
    clock.sleep(100)
    lease.check()
    lease.release()
    assert numbers(repository) == []


def test_who_slept_through_its_time_does_not_take_the_lease_back(
    take: Take, repository: Repository, clock: MovedClock
) -> None:
    sleeper = take("sleeper", heartbeat=0.3)
    sleeper.acquire()
    clock.sleep(121)
    with pytest.raises(LeaseLost):
        sleeper.check()
    record(repository, 5, released=True, run="came and went")
    for name in sizes(repository.store, names.LEASES):
        repository.store.delete(name)
    with take("third") as third:
        for _beat in range(5):
            threading.Event().wait(0.1)
            with pytest.raises(LeaseLost):
                sleeper.check()
        sleeper.release()
        state = read_state(repository, SCOPE)
        assert state is not None
        assert (state.holder.run, state.released) == ("third", False)
        third.check()


def test_a_dead_one_elsewhere_gives_way_after_its_time(
    take: Take, repository: Repository, clock: MovedClock
) -> None:
    record(repository, 7)
    clock.sleep(119)
    with pytest.raises(LeaseHeld, match="run other on elsewhere"):
        take("first").acquire()
    clock.sleep(1)
    with take("first") as lease:
        assert lease.broken is not None
        assert lease.broken.host == "elsewhere"


class World:
    """Machines whose clocks disagree, and the time that really goes by, which is all the same to them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.beating: list[Lease] = []

    def clock(self, skew: float) -> SkewedClock:
        return SkewedClock(self, skew)

    def pass_by(self, seconds: float) -> None:
        end = self.seconds + seconds
        while self.seconds < end:
            beat = (self.seconds // HEARTBEAT + 1) * HEARTBEAT
            self.seconds = min(end, beat)
            for lease in self.beating if self.seconds == beat else ():
                lease.renew()


class SkewedClock:
    """The clock of one machine, ``skew`` seconds ahead."""

    def __init__(self, world: World, skew: float) -> None:
        self._world = world
        self._skew = skew

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self._world.seconds + self._skew)

    def monotonic(self) -> float:
        return 5000.0 + self._skew * 7 + self._world.seconds

    def sleep(self, seconds: float) -> None:
        self._world.pass_by(seconds)


SKEWS = [0, 3, 60, 100, 300, 3600, 86400, -60, -100, -300, -3600]


@pytest.mark.parametrize("skew", SKEWS)
@pytest.mark.parametrize("whose", ["holder", "other"])
def test_a_live_holder_keeps_it_whatever_the_clocks_say(
    take: Take, skew: float, whose: str
) -> None:
    world = World()
    clocks = {"holder": world.clock(0), "other": world.clock(0)}
    clocks[whose] = world.clock(skew)
    holder = take("holder", clock=clocks["holder"])
    holder.acquire()
    world.beating.append(holder)
    for _attempt in range(3):
        world.pass_by(111)
        begun = world.seconds
        with pytest.raises(LeaseHeld, match=r"by run holder on .* since 2026-") as caught:
            take("other", clock=clocks["other"]).acquire()
        assert world.seconds - begun <= 120
        holder.check()
        (told,) = re.findall(r"it gives way at (\S+),", str(caught.value.hint))
        here = clocks["other"].now()
        assert here <= datetime.fromisoformat(told) <= here + timedelta(seconds=120)
    world.beating.clear()
    holder.release()
    with take("other", clock=clocks["other"]) as other:
        assert other.broken is None


@pytest.mark.parametrize("skew", SKEWS)
@pytest.mark.parametrize("whose", ["holder", "other"])
def test_a_dead_holder_gives_way_in_time_whatever_the_clocks_say(
    take: Take, repository: Repository, skew: float, whose: str
) -> None:
    world = World()
    clocks = {"holder": world.clock(0), "other": world.clock(0)}
    clocks[whose] = world.clock(skew)
    until = clocks["holder"].now() + timedelta(seconds=120)
    record(repository, 7, until=until.isoformat())
    for attempt in range(4):
        try:
            other = take("other", clock=clocks["other"])
            other.acquire()
            break
        except LeaseHeld as error:
            assert attempt < 3
            (told,) = re.findall(r"it gives way at (\S+),", str(error.hint))
            wait = datetime.fromisoformat(told) - clocks["other"].now()
            world.pass_by(wait.total_seconds())
    assert other.broken is not None and other.broken.host == "elsewhere"
    # What the clocks say counts for as long as a lease lasts, and the watch takes as long again.
    assert world.seconds <= 250


def test_what_is_long_past_is_not_watched(
    take: Take, repository: Repository, tmp_path: Path
) -> None:
    world = World()
    record(repository, 7)
    path = tmp_path / "repository" / names.LEASES / SCOPE / f"{7:012d}"
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    world.pass_by(13 * 3600)
    begun = world.seconds
    with take("first", clock=world.clock(0)) as lease:
        assert lease.broken is not None
    assert world.seconds == begun


def test_a_lease_that_is_given_back_while_it_is_watched_is_free(take: Take) -> None:
    world = World()
    holder = take("holder", clock=world.clock(3600))
    holder.acquire()

    class Watching(SkewedClock):
        def sleep(self, seconds: float) -> None:
            holder.release()
            super().sleep(seconds)

    with take("other", clock=Watching(world, 0)) as other:
        assert other.broken is None
        assert world.seconds <= 10


def test_who_takes_it_at_the_same_moment_with_a_clock_behind_counts(
    take: Take, repository: Repository
) -> None:
    record(repository, 5, released=True)
    world = World()

    def begin_anew() -> None:
        repository.store.delete(f"{names.LEASES}{SCOPE}/{5:012d}")
        take("winner", clock=world.clock(-3600)).acquire()

    store = Interposed(repository.store, begin_anew)
    slow = take("slow", within=on_other_store(repository, store), clock=world.clock(0))
    with pytest.raises(LeaseHeld, match="run winner"):
        slow.acquire()


CHILD = """
import sys, threading
from datetime import datetime, timezone
sys.path[:0] = sys.argv[2:]
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import Lease
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage import process
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from image_world import MovedClock
repository = Repository.open(FolderStore(sys.argv[1]), None)
Lease(repository, "0" * 32, "machine web", "child", MovedClock()).acquire()
print("taken", flush=True)
threading.Event().wait()
"""


def test_a_killed_one_of_this_machine_gives_way_at_once(take: Take, repository: Repository) -> None:
    folder = repository.store.description.removeprefix("folder ")
    command = [sys.executable, "-c", CHILD, folder, *sys.path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "taken\n"
        with pytest.raises(LeaseHeld, match="run child"):
            take("first").acquire()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    with take("first") as lease:
        assert lease.broken is not None
        assert lease.broken.run == "child"


def test_where_the_machine_cannot_be_told_nobody_is_called_dead(
    take: Take, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "place", lambda: "")
    record(repository, 1, pid=2**22 + 1, place="")
    with pytest.raises(LeaseHeld):
        take("first").acquire()


def test_where_nothing_can_be_deleted_leases_follow_each_other(
    take: Take, repository: Repository
) -> None:
    append_only = on_other_store(repository, AppendOnlyStore(repository.store))
    for number in range(3):
        with take(f"run-{number}", within=append_only) as lease:
            lease.check()
            with pytest.raises(LeaseHeld):
                take("other", within=append_only).acquire()
    assert numbers(repository) == [1, 2, 3, 4, 5, 6]


class Interposed(Wrapper):
    """Does something before the first put."""

    def __init__(self, store: Store, act: Callable[[], None]) -> None:
        super().__init__(store)
        self._act: Callable[[], None] | None = act

    def put(self, name: str, data: bytes) -> None:
        if self._act:
            act, self._act = self._act, None
            act()
        super().put(name, data)


def test_who_sees_another_begin_anew_gives_way_and_leaves_the_others_record(
    take: Take, repository: Repository
) -> None:
    record(repository, 5, released=True)
    winner = take("winner")

    def begin_anew() -> None:
        repository.store.delete(f"{names.LEASES}{SCOPE}/{5:012d}")
        winner.acquire()

    slow = take("slow", within=on_other_store(repository, Interposed(repository.store, begin_anew)))
    with pytest.raises(LeaseHeld, match="run winner"):
        slow.acquire()
    slow.release()
    assert numbers(repository) == [1]
    winner.check()
    with pytest.raises(LeaseHeld):
        take("third").acquire()


def test_a_lease_that_cannot_be_written_is_not_had(take: Take, repository: Repository) -> None:
    faulty = FaultyStore(repository.store, 1, methods=("put",))
    with pytest.raises(StorageUnavailable):
        take("first", within=on_other_store(repository, faulty)).acquire()
    with take("second"):
        pass


def test_a_lease_whose_answer_was_lost_is_free_again_after_its_time(
    take: Take, repository: Repository, clock: MovedClock
) -> None:
    faulty = FaultyStore(repository.store, 1, methods=("put",), lost_answer=True)
    with pytest.raises(StorageUnavailable):
        take("first", within=on_other_store(repository, faulty)).acquire()
    clock.sleep(121)
    with take("second") as lease:
        lease.check()


@pytest.mark.parametrize(
    "fields",
    [
        {"until": "2026-09-01T01:00:00"},
        {"until": "for ever"},
        {"until": "9999-12-31T23:59:59-23:00"},
        {"until": None},
        {"pid": "one"},
        {"pid": float("inf")},
        {"pid": None},
    ],
)
def test_what_is_no_lease_is_damage(repository: Repository, take: Take, fields: Any) -> None:
    record(repository, 1, **fields)
    with pytest.raises(DamagedObject, match=f"{names.LEASES}{SCOPE}/000000000001"):
        take("first").acquire()


def test_an_absurd_process_is_not_called_dead(repository: Repository, take: Take) -> None:
    record(repository, 1, pid=10**30, place=process.place())
    with pytest.raises(LeaseHeld):
        take("first").acquire()


def test_a_lease_is_read_from_a_folder_by_anybody(tmp_path: Path, take: Take) -> None:
    with take("first"):
        again = Repository.open(FolderStore(str(tmp_path / "repository")), None)
        state = read_state(again, SCOPE)
        assert state is not None
        assert state.live(NOW)
        assert state.holder.pid == os.getpid()
