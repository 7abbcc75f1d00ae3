"""Ctrl-C, SIGTERM and one failing disk end a backup soon, and it takes away what it made."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup import (
    together as together_module,
)
from ansible_collections.vmguard.azure.plugins.module_utils._backup.together import (
    Interruptible,
    Stopped,
    Together,
)
from ansible_collections.vmguard.azure.plugins.module_utils._clock import SystemClock
from ansible_collections.vmguard.azure.plugins.module_utils._errors import AzureError
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names
from backup_bench import MIB, Place
from killing import holding, is_data, is_write, result_of, start
from restore_bench import Bench

from local_azure.config import Config
from local_azure.launcher import LocalAzure


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with LocalAzure(Config()) as local, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(local.ca_file))
        yield Bench(local)


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Place:
    opened = Place(bench, bench.machine([{"lun": 0}]), tmp_path)
    opened.create()
    return opened


def nothing_left(place: Place) -> None:
    store = place.open().store
    assert [one.name for one in store.list(names.LEDGERS)] == []
    assert [one.name for one in store.list(names.LEASES)] == []
    assert place.snapshots() == set() and place.restore_points() == set()
    assert place.active_sas() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
@pytest.mark.parametrize("counts", [is_write, is_data], ids=["a-write", "reading"])
def test_an_interrupted_backup_takes_away_what_it_made(
    place: Place, number: signal.Signals, counts: object
) -> None:
    place.scatter(0, 30)
    with holding(place.bench.local, 1, counts) as holder:
        child = start(place)
        assert holder.wait(child)
        child.send_signal(number)
        holder.released.set()
        told = result_of(child)
    assert told["failed"] and told["failure"]["code"] == "Interrupted"
    assert told["changed"] is True
    nothing_left(place)
    assert place.backup().warnings == []


def test_a_second_signal_does_not_cut_the_undoing_short(place: Place) -> None:
    place.scatter(0, 5)
    with holding(place.bench.local, 1, is_data) as holder:
        child = start(place)
        assert holder.wait(child)
        child.send_signal(signal.SIGTERM)
        with holding(
            place.bench.local, 1, lambda one: one.method == "DELETE" and is_write(one)
        ) as undoing:
            holder.released.set()
            assert undoing.wait(child)
            child.send_signal(signal.SIGTERM)
            undoing.released.set()
            assert result_of(child)["failure"]["code"] == "Interrupted"
    nothing_left(place)


def test_one_failing_disk_ends_the_reading_of_the_others(place: Place) -> None:
    bench, runs = place.bench, 400
    for lun in (None, 0):
        disk = bench.local.app.state.resources.need(bench.attached(place.machine)[lun][0])
        for number in range(runs):
            disk.hidden["image"].write(number * MIB // 2, number.to_bytes(4, "big") * 128)
    before = len(bench.control.audit()["requests"])
    bench.control.fault(r"GET /md-(?!.*comp=)", "status", nth=20, status=400)
    with pytest.raises(AzureError, match="HTTP 400"):
        place.backup(workers=2)
    assert bench.hits() == 1
    requests = bench.control.audit()["requests"][before:]
    read = [one for one in requests if one["method"] == "GET" and "/md-" in one["target"]]
    # All of the other disk would be more.
    assert 20 <= len(read) < runs / 2
    nothing_left(place)


# -- the parts


def test_the_first_failure_is_the_one_that_is_raised() -> None:
    together = Together(3)
    failed = threading.Event()

    def fail() -> None:
        raise AzureError("the first")

    def work() -> None:
        while True:
            try:
                together.check()
            except Stopped:
                failed.set()
                raise

    with pytest.raises(AzureError, match="the first"):
        together.run([work, fail, work])
    assert failed.is_set()


def test_what_waits_for_a_thread_is_not_begun_after_a_failure() -> None:
    together, begun = Together(1), list[int]()

    def fail() -> None:
        begun.append(1)
        raise AzureError("the first")

    with pytest.raises(AzureError, match="the first"):
        together.run([fail, fail, fail])
    assert begun == [1]


def test_an_interrupt_while_a_thread_is_started_does_not_lose_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, goes_on, ended = threading.Event(), threading.Event(), list[int]()

    class Interrupted(ThreadPoolExecutor):
        """The thread runs, and is not among those of the pool."""

        def submit(self, function: Any, *arguments: Any) -> Any:
            threading.Thread(target=function, args=arguments).start()
            assert begun.wait(60)
            raise KeyboardInterrupt

    def work() -> None:
        begun.set()
        goes_on.wait(60)
        ended.append(1)

    monkeypatch.setattr(together_module, "ThreadPoolExecutor", Interrupted)
    timer = threading.Timer(0.2, goes_on.set)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        Together(1).run([work])
    timer.join()
    assert ended == [1]


def test_results_are_in_the_order_of_the_calls() -> None:
    assert Together(2).run(lambda number=number: number for number in range(9)) == list(range(9))


def test_a_long_sleep_ends_when_the_work_has_to() -> None:
    class Counted(SystemClock):
        slept = 0.0

        def sleep(self, seconds: float) -> None:
            self.slept += seconds

    clock = Counted()

    def check() -> None:
        if clock.slept > 5:
            raise Stopped

    with pytest.raises(Stopped):
        Interruptible(clock, check).sleep(10**6)
    assert clock.slept < 10
    clock.slept = 0.0
    Interruptible(clock, lambda: None).sleep(1.75)
    assert clock.slept == 1.75
