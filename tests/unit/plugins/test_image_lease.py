"""Leases: of all who want one there is one who has it, as long as it lives and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    Lease,
    read_state,
    scopes,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage import process
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import Store
from image_world import NOW, MovedClock, make_repository, sizes
from lease_world import NEVER, SCOPE, Interposed, Take, on_other_store, record
from storage_backends import AppendOnlyStore, FaultyStore

pytest_plugins = ["storage_backends", "lease_world"]


def wait_until(happened: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _attempt in range(3000):
        if happened():
            return
        pause.wait(0.01)
    raise AssertionError("It did not happen.")


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
