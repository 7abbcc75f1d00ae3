"""Disks that Azure throttles: everything that reads or writes one slows down together, and goes on."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup import engine
from ansible_collections.vmguard.azure.plugins.module_utils._backup.engine import Outcome
from ansible_collections.vmguard.azure.plugins.module_utils._disk.governor import (
    Governor,
    Turn,
    growing_pause,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import AzureError, VmguardError
from backup_bench import CHUNK, MIB, Place, open_place
from image_world import MovedClock
from restore_bench import Bench, open_bench

from local_azure.http_types import Request
from local_azure.storage.blob_errors import StorageError

READERS = 64
MINUTES = 600.0


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    # The simulated minutes pass in no time, and a heartbeat does not come that often.
    monkeypatch.setattr(engine, "Lease", partial(engine.Lease, time_to_live=10.0**9))
    with open_place(bench, tmp_path, [{"lun": 0}]) as made:
        made.create()
        yield made
    bench.local.app.blobs.on_request = None
    assert bench.crashes() == []


# -- the pace


def refuse(governor: Governor, retry_after: float | None = None) -> bool:
    with governor.turn() as turn:
        pass
    return governor.refused(turn, retry_after)


def test_pauses_grow_while_nothing_else_comes_and_end_with_what_goes_well() -> None:
    clock = MovedClock()
    governor, began = Governor(clock), clock.monotonic()
    for _turn in range(5):
        assert refuse(governor)
    with governor.turn() as turn:
        assert clock.monotonic() - began == 0.5 + 1 + 2 + 4 + 8
    governor.went_well(turn)
    assert refuse(governor)
    with governor.turn():
        assert clock.monotonic() - began == 15.5 + 0.5
    assert growing_pause(1000) == 30


def test_refusals_of_requests_that_were_under_way_count_once() -> None:
    clock = MovedClock()
    governor, began = Governor(clock), clock.monotonic()
    with governor.turn() as first, governor.turn() as second, governor.turn() as third:
        pass
    for turn in (first, second, third):
        assert governor.refused(turn, None)
    with governor.turn():
        assert clock.monotonic() - began == 0.5


def test_half_as_many_are_let_in_and_one_more_for_each_round_that_went_well() -> None:
    governor = Governor(MovedClock())
    open_turns = [governor.turn() for _turn in range(8)]
    turns = [one.__enter__() for one in open_turns]
    for one in open_turns:
        one.__exit__(None, None, None)
    governor.refused(turns[0], None)
    assert most_at_once(governor) == 4
    with governor.turn() as turn:
        pass
    for _answer in range(4):
        governor.went_well(turn)
    assert most_at_once(governor) == 5
    for _answer in range(5 + 6 + 7 + 8):
        governor.went_well(turn)
    assert most_at_once(governor) > 8


def most_at_once(governor: Governor) -> int:
    """How many turns there are together, up to nine."""

    class Full(Exception):
        pass

    waited = itertools.count()

    def check() -> None:
        # The first wait may be for a pause to end, and it ends at once by the moved clock.
        if next(waited) > 1:
            raise Full

    held = []
    try:
        for _turn in range(9):
            one = governor.turn(check)
            one.__enter__()
            held.append(one)
    except Full:
        pass
    finally:
        for one in held:
            one.__exit__(None, None, None)
    return len(held)


def test_it_is_given_up_when_nothing_goes_well_for_as_long_as_the_patience_lasts() -> None:
    clock = MovedClock()
    governor, began = Governor(clock, patience=100), clock.monotonic()
    while refuse(governor):
        pass
    assert 60 < clock.monotonic() - began <= 100
    with governor.turn() as turn:
        pass
    governor.went_well(turn)
    assert refuse(governor, 99) and not refuse(governor, 200)


def test_retry_after_is_obeyed_also_of_a_late_answer() -> None:
    clock = MovedClock()
    governor, began = Governor(clock), clock.monotonic()
    with governor.turn() as first, governor.turn() as second:
        pass
    governor.refused(first, None)
    governor.refused(second, 40)
    with governor.turn():
        assert clock.monotonic() - began == 40


def test_who_waits_ends_when_the_check_says_so() -> None:
    governor = Governor(MovedClock())
    governor.refused(Turn(0), None)

    def check() -> None:
        raise VmguardError("Another disk failed.")

    with pytest.raises(VmguardError, match="Another disk"), governor.turn(check):
        pass


def test_a_thread_whose_sleep_is_ended_lets_another_one_sleep() -> None:
    class Once(MovedClock):
        ended = False

        def sleep(self, seconds: float) -> None:
            if not self.ended:
                self.ended = True
                raise VmguardError("Interrupted.")
            super().sleep(seconds)

    governor = Governor(Once())
    refuse(governor)
    with pytest.raises(VmguardError, match="Interrupted"), governor.turn():
        pass
    with governor.turn():
        pass


# -- a backup


class Busy:
    """A disk that serves a request a second, and refuses some of them for a while.

    Args:
        every: which requests are refused: each third, each one.
    """

    def __init__(self, place: Place, every: int, seconds: float) -> None:
        self._clock = place.bench.clock
        self._end = self._clock.monotonic() + seconds
        self._every = every
        self._lock = threading.Lock()
        self.asked = 0
        self.answers: Counter[str] = Counter()
        place.bench.local.app.blobs.on_request = self

    def __call__(self, request: Request) -> None:
        if "comp" in request.query and request.method == "GET":
            return
        with self._lock:
            self.asked += 1
            self._clock.sleep(1)
            refused = self.asked % self._every == 0 and self._clock.monotonic() < self._end
            self.answers["refused" if refused else "served"] += 1
        if refused:
            raise StorageError("ServerBusy")


def scattered(place: Place, chunks: int) -> None:
    """Write so that each chunk takes a read of its own."""
    for number in range(chunks):
        data = number.to_bytes(4, "big") * 128
        place.bench.control.guest_write(place.machine.id, 0, number * 2 * CHUNK, data)


def seconds(outcome: Outcome) -> float:
    assert outcome.backup is not None
    return max(disk.stats["seconds"] for disk in outcome.backup.disks)


def test_64_readers_on_a_disk_that_refuses_a_third_for_ten_minutes(place: Place) -> None:
    scattered(place, 520)
    content = place.export()
    options = {"workers": READERS, "disks_at_once": 1, "level": "full", "keep": "all"}
    Busy(place, 3, 0)
    quick = place.backup(**options)
    busy = Busy(place, 3, MINUTES)
    began = place.bench.clock.monotonic()
    slow = place.backup(**options)
    assert place.bench.clock.monotonic() - began > MINUTES
    assert busy.answers["refused"] > 100
    assert seconds(slow) > seconds(quick)
    assert slow.warnings == []
    place.check(slow, content)


def test_a_disk_that_refuses_everything_is_given_up_in_the_end(place: Place) -> None:
    Busy(place, 1, 10**9)
    with pytest.raises(AzureError, match=r"Azure refuses to read .*ServerBusy") as caught:
        place.backup()
    assert "wait_timeout" in (caught.value.hint or "")
    place.bench.local.app.blobs.on_request = None
    assert place.snapshots() == set() and place.active_sas() == 0
    content = place.export()
    place.check(place.backup(), content)


def test_writers_slow_down_together_as_well(bench: Bench, place: Place) -> None:
    del bench
    from page_blob_world import world_in
    from test_page_blob import upload

    with world_in(place.bench) as world:
        identity = upload(world, size=64 * MIB)
        blob = world.blob(identity, access="Write")
        busy = Busy(place, 3, MINUTES)
        with ThreadPoolExecutor(READERS) as threads:
            list(
                threads.map(
                    lambda at: blob.write(at * 4096, bytes([at % 250 + 1]) * 4096), range(420)
                )
            )
        assert busy.answers["refused"] > 100
        image = world.image(identity)
        assert all(image.read(at * 4096, 1) == bytes([at % 250 + 1]) for at in range(420))
