"""Reading and writing disks through signed URLs, against local Azure over HTTPS."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import disk_access
from ansible_collections.vmguard.azure.plugins.module_utils._disk.governor import Governor
from ansible_collections.vmguard.azure.plugins.module_utils._disk.http import (
    Answer,
    HttpPool,
    TransferFailed,
)
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_blob import (
    MOST_READ,
    MOST_WRITTEN,
    PageBlob,
)
from ansible_collections.vmguard.azure.plugins.module_utils._disk.vhd import footer
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    AzureError,
    NotFound,
    Throttled,
    VmguardError,
)
from page_blob_world import GIB, World, open_bench, world_in
from restore_bench import Bench, Machine

READS = "^GET /md-(?!.*comp=)"
WRITES = "^PUT /md-"
MIB = 1 << 20


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def world(bench: Bench) -> Iterator[World]:
    with world_in(bench) as made:
        made.clock.slept.clear()
        yield made


@pytest.fixture(scope="module")
def machine(bench: Bench) -> Machine:
    with world_in(bench) as world:
        made = world.machine()
        world.write(made, 0, os.urandom(MIB))
        world.write(made, GIB - MIB, os.urandom(MIB))
        return made


@pytest.fixture(scope="module")
def snapshot(bench: Bench, machine: Machine) -> str:
    with world_in(bench) as world:
        return world.snapshot(machine)


def upload(world: World, name: str = "target", size: int = 4 * MIB) -> str:
    """A disk that waits for its content; its id."""
    machine = world.machine()
    body = {
        "location": "westeurope",
        "properties": {
            "creationData": {"createOption": "Upload", "uploadSizeBytes": size + 512},
        },
    }
    address = (machine.group, name)
    return world.arm.run("disks.begin_create_or_update", name, *address, body=body)["id"]


# -- reading


def test_size(world: World, snapshot: str) -> None:
    blob = world.blob(snapshot)
    assert (blob.size(), blob.disk_size()) == (GIB + 512, GIB)
    assert blob.name == f"snapshot {snapshot.rsplit('/', 1)[1]}"


def test_read(world: World, snapshot: str) -> None:
    blob, image = world.blob(snapshot), world.image(snapshot)
    for start, end in ((0, 1), (0, 512), (MIB - 7, MIB + 9), (GIB - 512, GIB), (0, MOST_READ)):
        assert blob.read(start, end) == image.read(start, end - start)
    assert blob.read(GIB, GIB + 512)[:8] == b"conectix"
    assert world.clock.slept == []


def test_a_disk_restore_point_is_read_like_a_snapshot(world: World) -> None:
    machine = world.bench.machine()
    world.bench.protect(machine)
    point = world.arm.read("restore_points.get", "", machine.group, "vm1-restore-points", "p1")
    storage = point["properties"]["sourceMetadata"]["storageProfile"]
    identity = storage["osDisk"]["diskRestorePoint"]["id"]
    assert world.blob(identity).read(4096, 4105) == b"as it was"


def test_threads_share_it(world: World, snapshot: str) -> None:
    blob, image = world.blob(snapshot), world.image(snapshot)

    def read(turn: int) -> bool:
        start = turn * 4096
        return blob.read(start, start + 4096) == image.read(start, 4096)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(200)))
    assert len(world.requests("beginGetAccess")) >= 1 and world.clock.slept == []


@pytest.mark.parametrize(
    ("start", "end"), [(-1, 5), (5, 5), (6, 5), (0, MOST_READ + 1)]
)  # fmt: skip
def test_what_cannot_be_read_at_once(world: World, snapshot: str, start: int, end: int) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        world.blob(snapshot).read(start, end)


def test_beyond_the_end(world: World, snapshot: str) -> None:
    blob = world.blob(snapshot)
    with pytest.raises(AzureError, match=r"read bytes .* of snapshot .* \(InvalidRange\)") as error:
        blob.read(GIB + 512, GIB + 1024)
    assert error.value.status == 416 and error.value.request_id
    # Azure shortens a range that sticks out; half an answer is none.
    with pytest.raises(TransferFailed, match="asked for, and the answer has status 206, 512"):
        blob.read(GIB, GIB + 1024)


# -- faults

FAULTS: list[dict[str, Any]] = [
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 503, "code": "ServerBusy"},
    {"kind": "status", "status": 429, "retry_after": 7},
    {"kind": "reset"},
    {"kind": "truncate"},
    {"kind": "lost_answer"},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda it: f"{it['kind']}{it.get('status', '')}")
def test_a_passing_fault_is_not_seen(world: World, snapshot: str, fault: dict[str, Any]) -> None:
    blob = world.blob(snapshot)
    blob.read(0, 512)
    world.clock.slept.clear()
    world.control.fault(READS, **fault, times=4)
    assert blob.read(0, MIB) == world.image(snapshot).read(0, MIB)
    assert world.bench.hits() == 4
    assert world.clock.slept == ([7.0] * 4 if "retry_after" in fault else [0.5, 1, 2, 4])


@pytest.mark.parametrize("fault", FAULTS, ids=lambda it: f"{it['kind']}{it.get('status', '')}")
def test_a_lasting_fault_ends_it(world: World, snapshot: str, fault: dict[str, Any]) -> None:
    # What Azure refuses as too much is asked for as long as the patience lasts.
    access, governor = world.access(snapshot), Governor(world.clock, patience=20)
    blob = PageBlob(access, world.http, world.clock, attempts=3, governor=governor)
    blob.read(0, 512)
    world.control.fault(READS, **fault, times=99)
    began = world.clock.monotonic()
    with pytest.raises((TransferFailed, AzureError)) as caught:
        blob.read(0, 512)
    tried = {429: 3, 503: 6}.get(fault.get("status", 0), 3)
    assert world.bench.hits() == tried and world.clock.monotonic() - began <= 20
    text = f"{caught.value} {caught.value.failure()}"
    assert "bytes 0-511 of snapshot" in text and "sig" not in text and "md-" not in text
    if fault.get("status") == 429:
        assert isinstance(caught.value, Throttled) and caught.value.retry_after == 7


def test_a_refusal_that_does_not_pass_is_not_tried_again(world: World, snapshot: str) -> None:
    blob = world.blob(snapshot)
    world.control.fault(READS, status=409, code="Odd", times=9)
    with pytest.raises(AzureError, match="Azure refuses to read bytes"):
        blob.read(0, 512)
    assert world.bench.hits() == 1 and world.clock.slept == []


def test_the_other_side_closed_an_idle_connection(world: World, snapshot: str) -> None:
    blob = world.blob(snapshot)
    blob.read(0, 512)
    (host,) = world.http._hosts.values()
    (kept,) = host._idle
    kept.sock.shutdown(2)
    assert blob.read(0, 512) == world.image(snapshot).read(0, 512)
    assert world.clock.slept == []


# -- access that ends


def test_access_that_was_revoked_is_renewed(world: World, snapshot: str) -> None:
    blob = world.blob(snapshot)
    before = blob.access.url()
    disk_access.revoke(world.arm, snapshot)
    assert blob.read(0, 512) == world.image(snapshot).read(0, 512)
    assert blob.access.url() != before and world.clock.slept == []


def test_threads_that_are_refused_together_renew_once(world: World, snapshot: str) -> None:
    blob, image = world.blob(snapshot), world.image(snapshot)
    blob.read(0, 512)
    disk_access.revoke(world.arm, snapshot)
    after = world.control.audit()["requests"][-1]["number"]
    together = threading.Barrier(8)

    def read(turn: int) -> bool:
        together.wait()
        return blob.read(turn * 512, turn * 512 + 512) == image.read(turn * 512, 512)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(8)))
    assert len(world.requests("beginGetAccess", after)) == 1


def test_refused_for_good(world: World, snapshot: str) -> None:
    blob = world.blob(snapshot)
    world.control.fault(READS, status=403, code="AuthenticationFailed", times=99)
    with pytest.raises(AzureError, match="Azure refuses to read bytes") as caught:
        blob.read(0, 512)
    assert caught.value.status == 403 and "networkAccessPolicy" in (caught.value.hint or "")
    assert world.bench.hits() == 3


def test_the_snapshot_is_gone(world: World, machine: Machine) -> None:
    identity = world.snapshot(machine)
    blob = world.blob(identity)
    blob.read(0, 512)
    disk_access.revoke(world.arm, identity)
    world.arm.run("snapshots.begin_delete", "", machine.group, identity.rsplit("/", 1)[1])
    with pytest.raises(NotFound):
        blob.read(0, 512)


# -- writing


def test_write_and_clear(world: World) -> None:
    identity = upload(world, size=32 * MIB)
    blob = world.blob(identity, access="Write")
    data = os.urandom(MOST_WRITTEN)
    blob.write(MIB, data)
    blob.clear(2 * MIB, 3 * MIB)
    blob.write(32 * MIB, footer(32 * MIB, uuid4(), world.clock.now()))
    assert blob.disk_size() == 32 * MIB
    assert blob.read(0, 6 * MIB) == b"".join(
        [bytes(MIB), data[:MIB], bytes(MIB), data[2 * MIB :], bytes(MIB)]
    )
    blob.access.close()
    made = world.arm.read("disks.get", "", *identity.split("/")[4::4])
    assert made["properties"]["diskState"] == "Unattached"
    assert world.image(identity).read(MIB, MIB) == data[:MIB]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda it: f"{it['kind']}{it.get('status', '')}")
def test_faults_while_writing(world: World, fault: dict[str, Any]) -> None:
    blob = world.blob(upload(world, size=32 * MIB), access="Write")
    blob.size()
    data = os.urandom(MIB)
    world.control.fault(WRITES, **fault, times=2)
    blob.write(512, data)
    assert blob.read(512, 512 + MIB) == data
    world.control.clear_faults()
    world.control.fault(WRITES, **fault, times=2)
    blob.clear(512, 1024)
    assert blob.read(0, 2048) == bytes(1024) + data[512:1536]


class OnTheWay(HttpPool):
    """Something between here and Azure that changes exchanges.

    Args:
        harm: gets the body of a PUT and returns what arrives in its place, or a status that is
            answered while nothing arrives.
        times: how many requests it changes.
    """

    def __init__(self, harm: Callable[[bytes], bytes | int], times: int) -> None:
        super().__init__(2)
        self._harm = harm
        self.left = times

    def request(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None = None
    ) -> Answer:
        if self.left and body is not None:
            self.left -= 1
            harmed = self._harm(body)
            if isinstance(harmed, int):
                return Answer(harmed, {}, b"")
            body = harmed
        return super().request(method, url, headers, body)


def flipped(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize("harm", [flipped, lambda _data: 307, lambda _data: 200, lambda _data: 204])
def test_what_does_not_arrive_whole_is_sent_again(world: World, harm: Any) -> None:
    identity, data = upload(world, size=32 * MIB), os.urandom(MIB)
    with OnTheWay(harm, 2) as http:
        blob = PageBlob(world.access(identity, access="Write"), http, world.clock)
        blob.write(0, data)
    assert http.left == 0
    assert world.image(identity).read(0, MIB) == data


@pytest.mark.parametrize(
    ("harm", "said"), [(flipped, "Md5Mismatch"), (lambda _data: 307, "status 307 where 201")]
)
def test_what_never_arrives_whole_is_an_error(world: World, harm: Any, said: str) -> None:
    identity = upload(world, size=32 * MIB)
    with OnTheWay(harm, 99) as http:
        blob = PageBlob(world.access(identity, access="Write"), http, world.clock, attempts=3)
        with pytest.raises((AzureError, TransferFailed), match=said) as error:
            blob.write(512, os.urandom(512))
    assert http.left == 96
    assert "write bytes 512-1023 of disk target" in str(error.value)
    assert world.image(identity).read(0, MIB) == bytes(MIB)


def test_a_size_that_something_else_tells_is_none(world: World, snapshot: str) -> None:
    class Redirecting(HttpPool):
        def request(self, *given: Any, **more: Any) -> Answer:
            answer = super().request(*given, **more)
            return answer._replace(status=302) if given[0] == "HEAD" else answer

    with Redirecting(1) as http:
        blob = PageBlob(world.access(snapshot), http, world.clock, attempts=2)
        with pytest.raises(TransferFailed, match="status 302 where 200"):
            blob.size()


def test_it_stops_between_two_attempts_when_the_check_says_so(world: World, snapshot: str) -> None:
    asked: list[int] = []

    def check() -> None:
        asked.append(len(asked))
        if len(asked) == 4:
            raise VmguardError("Another disk failed.")

    blob = PageBlob(world.access(snapshot), world.http, world.clock, check=check)
    blob.read(0, 512)
    world.control.fault(READS, status=500, times=99)
    with pytest.raises(VmguardError, match="Another disk failed"):
        blob.read(0, 512)
    assert world.bench.hits() == 2


def test_a_snapshot_cannot_be_written(world: World, snapshot: str) -> None:
    blob = world.blob(snapshot)
    with pytest.raises(AzureError, match="Azure refuses to write bytes 0-511 of snapshot") as error:
        blob.write(0, bytes(512))
    assert error.value.code == "AuthorizationPermissionMismatch"


@pytest.mark.parametrize(
    ("start", "length"), [(1, 512), (0, 511), (0, 0), (0, MOST_WRITTEN + 512)]
)  # fmt: skip
def test_what_cannot_be_written(world: World, snapshot: str, start: int, length: int) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        world.blob(snapshot).write(start, bytes(length))
    with pytest.raises(ValueError, match="cannot be cleared"):
        world.blob(snapshot).clear(start + 1, start + 1 + length)
