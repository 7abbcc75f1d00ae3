"""Allocated and changed ranges of snapshots, against a model and with everything that goes wrong."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import disk_access
from ansible_collections.vmguard.azure.plugins.module_utils._disk.governor import Governor
from ansible_collections.vmguard.azure.plugins.module_utils._disk.http import TransferFailed
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_blob import PAGE
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_ranges import (
    Changed,
    DiffUnavailable,
    PageRanges,
)
from ansible_collections.vmguard.azure.plugins.module_utils._disk.ranges import Range, merge, total
from ansible_collections.vmguard.azure.plugins.module_utils._errors import AzureError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from page_blob_world import GIB, World, open_bench, world_in
from restore_bench import Bench

from local_azure.http_types import Request
from local_azure.storage.blob_errors import StorageError

LISTS = "^GET /md-.*comp=pagelist"
MIB = 1 << 20
AREA = Range(0, MIB)
WHOLE = Range(0, GIB)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def world(bench: Bench) -> Iterator[World]:
    with world_in(bench) as made:
        made.clock.slept.clear()
        yield made


# -- against a model

offsets = st.integers(0, MIB // 64 - 1).map(lambda it: it * 64)
lengths = st.one_of(st.integers(1, 2048), st.integers(1, 128).map(lambda it: it * PAGE))
write = st.tuples(st.just("write"), offsets, lengths, st.integers(1, 255))
clear = st.tuples(st.just("clear"), offsets, lengths, st.just(0))
rounds = st.lists(st.lists(st.one_of(write, write, clear), max_size=8), min_size=1, max_size=4)


def carry_out(world: World, machine: Any, model: bytearray, acts: list[Any]) -> set[int]:
    """The guest's acts, on the disk and on the model; the pages that they touch."""
    touched: set[int] = set()
    for kind, offset, wanted, value in acts:
        length = min(wanted, MIB - offset)
        if kind == "write":
            world.write(machine, offset, bytes([value]) * length)
        else:
            world.clear(machine, offset, length)
        model[offset : offset + length] = bytes([value]) * length
        touched |= set(range(offset // PAGE, (offset + length - 1) // PAGE + 1))
    return touched


def pages(ranges: Any) -> list[int]:
    return [page for one in ranges for page in range(one[0] // PAGE, one[1] // PAGE)]


def page(content: bytes | bytearray, number: int) -> bytes:
    return bytes(content[number * PAGE : (number + 1) * PAGE])


def check_round(lister: PageRanges, now: Any, base: Any, after: bytes, before: bytes) -> set[int]:
    """Compare what is told with the model; the pages told as changed."""
    told = list(lister.allocated(now, AREA))
    assert list(merge(told)) == told
    filled = {number for number in range(MIB // PAGE) if any(page(after, number))}
    assert filled <= set(pages(told))
    if base is None:
        return set()
    changes = list(lister.changed(now, base, AREA))
    numbers = pages(changes)
    assert numbers == sorted(set(numbers)) and (not numbers or numbers[-1] < AREA.end // PAGE)
    differ = {n for n in range(MIB // PAGE) if page(after, n) != page(before, n)}
    assert differ <= set(numbers)
    cleared = [one for one in changes if one.cleared]
    assert all(not any(page(after, number)) for number in pages(cleared))
    return set(numbers)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rounds, st.sampled_from([1, 3, 10_000]), st.sampled_from([PAGE * 200, MIB, GIB]))
def test_against_a_model(bench: Bench, acts: list[Any], most: int, window: int) -> None:
    with world_in(bench) as world:
        machine, model = world.machine(), bytearray(MIB)
        lister = world.ranges(max_results=most, window=window)
        taken: list[tuple[Any, bytes]] = []
        for these in acts:
            touched = carry_out(world, machine, model, these)
            now, after = world.access(world.snapshot(machine)), bytes(model)
            base, before = taken[-1] if taken else (None, b"")
            assert check_round(lister, now, base, after, before) <= touched
            taken.append((now, after))
        # A differential covers all rounds since the first.
        check_round(lister, taken[-1][0], taken[0][0], taken[-1][1], taken[0][1])


def test_thirty_thousand_scattered_ranges(world: World) -> None:
    machine = world.machine()
    base = world.access(world.snapshot(machine))
    image = world.image(world.disk_id(machine))
    places = sorted(random.Random(3).sample(range(GIB // PAGE // 2), 30_000))
    for place in places:
        image.write(place * 2 * PAGE, b"x")
    now = world.access(world.snapshot(machine))
    expected = [(place * 2 * PAGE, place * 2 * PAGE + PAGE) for place in places]
    lister = world.ranges()
    after = world.control.audit()["requests"][-1]["number"]
    assert [one[:2] for one in lister.changed(now, base, WHOLE)] == expected
    assert len(world.requests("comp=pagelist", after)) == 3
    assert list(lister.allocated(now, WHOLE)) == expected
    assert [tuple(one) for one in world.ranges(window=64 * MIB).allocated(now, WHOLE)] == expected


def test_a_window_of_a_disk(world: World) -> None:
    machine = world.machine()
    world.write(machine, 0, b"a" * 8192)
    now = world.access(world.snapshot(machine))
    assert list(world.ranges().allocated(now, Range(1024, 4096))) == [(1024, 4096)]
    assert list(world.ranges(window=2048).allocated(now, Range(0, MIB))) == [(0, 8192)]
    assert list(world.ranges().allocated(now, Range(0, 0))) == []


def test_the_footer_is_no_part_of_the_disk(world: World) -> None:
    machine = world.machine()
    world.write(machine, GIB - PAGE, b"z" * PAGE)
    now = world.access(world.snapshot(machine))
    assert list(world.ranges().allocated(now, WHOLE)) == [(GIB - PAGE, GIB)]


def test_a_disk_that_grew(world: World) -> None:
    machine = world.machine()
    world.write(machine, 0, b"a" * PAGE)
    base = world.access(world.snapshot(machine))
    world.bench.local.app.state.resources.get(world.disk_id(machine)).hidden["image"].resize(
        2 * GIB
    )
    world.write(machine, GIB + MIB, b"b" * PAGE)
    now = world.access(world.snapshot(machine))
    told = list(world.ranges().changed(now, base, Range(0, 2 * GIB)))
    # Where the old footer lay, there is the new disk's own emptiness.
    assert told == [(GIB, GIB + PAGE, True), (GIB + MIB, GIB + MIB + PAGE, False)]


def test_a_large_disk_is_cheap(world: World) -> None:
    machine = world.machine(size_gb=16_000)
    world.write(machine, 15_000 * GIB, b"far" * 1000)
    now = world.access(world.snapshot(machine))
    after = world.control.audit()["requests"][-1]["number"]
    told = list(world.ranges().allocated(now, Range(0, 16_000 * GIB)))
    assert told == [(15_000 * GIB, 15_000 * GIB + 3072)] and total(told) == 3072
    assert len(world.requests("comp=pagelist", after)) <= 63


# -- what goes wrong


@pytest.fixture
def pair(world: World) -> tuple[Any, Any]:
    """A snapshot with three changes, and its base."""
    machine = world.machine()
    base = world.access(world.snapshot(machine))
    for offset in (0, 8192, 65536):
        world.write(machine, offset, b"n" * PAGE)
    return world.access(world.snapshot(machine)), base


CHANGES = [(0, 512, False), (8192, 8704, False), (65536, 66048, False)]
FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 429, "retry_after": 7},
    {"kind": "reset"},
    {"kind": "truncate"},
    {"kind": "lost_answer"},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda it: f"{it['kind']}{it.get('status', '')}")
def test_a_passing_fault_is_not_seen(world: World, pair: Any, fault: dict[str, Any]) -> None:
    lister = world.ranges(max_results=2)
    pair[0].url(), pair[1].url()
    world.clock.slept.clear()
    world.control.fault(LISTS, **fault, nth=2, times=4)
    assert list(lister.changed(*pair, AREA)) == CHANGES
    assert world.bench.hits() == 4
    assert world.clock.slept == ([7.0] * 4 if "retry_after" in fault else [0.5, 1, 2, 4])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda it: f"{it['kind']}{it.get('status', '')}")
def test_a_lasting_fault_is_no_difference(world: World, pair: Any, fault: dict[str, Any]) -> None:
    lister = world.ranges(attempts=2, governor=Governor(world.clock, patience=8))
    world.control.fault(LISTS, **fault, times=99)
    with pytest.raises(DiffUnavailable, match=r"cannot be told: ") as caught:
        list(lister.changed(*pair, AREA))
    text = f"{caught.value} {caught.value.failure()}"
    assert "sig" not in text and "md-" not in text and "changes of snapshot" in text
    assert world.bench.hits() == 2
    world.control.fault(LISTS, **fault, times=99)
    with pytest.raises((TransferFailed, AzureError), match="list the allocated ranges"):
        list(lister.allocated(pair[0], AREA))


# -- a service that has no time for a list


def no_time_for(world: World, most: int, code: str) -> list[int]:
    """Refuse lists of windows larger than this; the sizes of those that were asked for."""
    asked: list[int] = []

    def look(request: Request) -> None:
        if request.query.get("comp") != "pagelist":
            return
        low, high = request.headers["x-ms-range"].removeprefix("bytes=").split("-")
        asked.append(int(high) + 1 - int(low))
        if asked[-1] > most:
            raise StorageError(code)

    world.bench.local.app.blobs.on_request = look
    return asked


@pytest.mark.parametrize("code", ["OperationTimedOut", "ServerBusy"])
def test_a_list_that_times_out_is_asked_for_in_smaller_windows(
    world: World, pair: Any, code: str
) -> None:
    asked = no_time_for(world, 64 * 1024, code)
    lister = world.ranges(least=16 * 1024)
    assert list(lister.changed(*pair, AREA)) == CHANGES
    # Each size twice, and what was answered once does not grow at once.
    assert asked[:10] == [n * 1024 for n in (1024, 1024, 512, 512, 256, 256, 128, 128, 64, 64)]
    assert max(asked[10:]) <= 128 * 1024 and lister.untold == 0


@pytest.mark.parametrize("code", ["OperationTimedOut", "ServerBusy"])
def test_what_cannot_be_listed_in_time_is_taken_as_allocated(
    world: World, pair: Any, code: str
) -> None:
    no_time_for(world, 0, code)
    lister = world.ranges(least=256 * 1024)
    assert list(lister.allocated(pair[0], AREA)) == [AREA]
    assert lister.untold == MIB
    told = list(lister.changed(*pair, Range(0, MIB + 512)))
    assert merge(one[:2] for one in told).__next__() == (0, MIB + 512)
    assert not any(one.cleared for one in told)


def test_a_list_that_times_out_half_way_goes_on_where_it_was(world: World, pair: Any) -> None:
    asked: list[str] = []

    def look(request: Request) -> None:
        if request.query.get("comp") == "pagelist":
            asked.append(request.headers["x-ms-range"])
            if "marker" in request.query and len(asked) < 4:
                raise StorageError("OperationTimedOut")

    world.bench.local.app.blobs.on_request = look
    lister = world.ranges(max_results=1, least=4096)
    assert list(lister.changed(*pair, AREA)) == CHANGES
    assert asked[3].startswith("bytes=512-")


@pytest.mark.parametrize("which", [0, 1])
def test_access_that_was_revoked_is_renewed(world: World, pair: Any, which: int) -> None:
    lister = world.ranges(max_results=1)
    walk = lister.changed(*pair, AREA)
    assert next(walk) == CHANGES[0]
    disk_access.revoke(world.arm, pair[which].resource_id)
    assert list(walk) == CHANGES[1:] and world.clock.slept == []


def test_the_base_is_of_another_disk(world: World, pair: Any) -> None:
    stranger = world.access(world.snapshot(world.machine()))
    with pytest.raises(DiffUnavailable, match="has been recreated") as caught:
        list(world.ranges().changed(pair[0], stranger, AREA))
    assert caught.value.code == "BlobOverwritten" and caught.value.request_id


def test_the_base_is_newer(world: World, pair: Any) -> None:
    with pytest.raises(DiffUnavailable) as caught:
        list(world.ranges().changed(pair[1], pair[0], AREA))
    assert caught.value.code == "PreviousSnapshotCannotBeNewer"


def test_the_base_is_gone(world: World) -> None:
    machine = world.machine()
    base = world.access(world.snapshot(machine))
    now = world.access(world.snapshot(machine))
    name = base.resource_id.rsplit("/", 1)[1]
    world.arm.run("snapshots.begin_delete", "", machine.group, name)
    with pytest.raises(DiffUnavailable, match="is not found") as caught:
        list(world.ranges().changed(now, base, AREA))
    # The disk provider's own answer; that of Resource Manager comes later.
    assert caught.value.code == "NotFound"


def test_an_omitted_range_goes_unnoticed_here(world: World, pair: Any) -> None:
    world.control.fault(LISTS, kind="omit_range")
    assert list(world.ranges().changed(*pair, AREA)) == [Changed(*one) for one in CHANGES[1:]]


def test_no_signature_in_what_is_logged(
    world: World, pair: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world.control.fault(LISTS, kind="reset", times=1)
    list(world.ranges().changed(*pair, AREA))
    assert "sig=" not in caplog.text
