"""Granting, renewing and revoking signed access, against local Azure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import disk_access, disks
from ansible_collections.vmguard.azure.plugins.module_utils._compute.disk_access import (
    ArmAccess,
    grant,
    revoke,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    Conflict,
    InputError,
    NotFound,
    OperationFailed,
    OperationTimeout,
    VmguardError,
)
from page_blob_world import World, open_bench, world_in
from restore_bench import Bench

GRANTS = "^POST .*/beginGetAccess"
REVOKES = "^POST .*/endGetAccess"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def world(bench: Bench) -> Iterator[World]:
    with world_in(bench) as made:
        made.clock.slept.clear()
        yield made


@pytest.fixture
def snapshot(world: World) -> str:
    return world.snapshot(world.machine())


def disk_restore_point(world: World) -> str:
    machine = world.bench.machine()
    world.bench.protect(machine)
    point = world.arm.read("restore_points.get", "", machine.group, "vm1-restore-points", "p1")
    storage = point["properties"]["sourceMetadata"]["storageProfile"]
    return storage["osDisk"]["diskRestorePoint"]["id"]


def loose_disk(world: World, option: str = "Empty") -> str:
    machine = world.machine()
    identity = f"{world.disk_id(machine)}-loose"
    data: dict[str, Any] = {"createOption": option}
    properties: dict[str, Any] = {"creationData": data}
    if option == "Upload":
        data["uploadSizeBytes"] = (32 << 20) + 512
    else:
        properties["diskSizeGB"] = 1
    disks.put_disk(world.arm, identity, {"location": "westeurope", "properties": properties})
    return identity


def granted(world: World, after: int = 0) -> int:
    return len(world.requests("beginGetAccess", after))


def last(world: World) -> int:
    return world.control.audit()["requests"][-1]["number"]


# -- grant and revoke


@pytest.mark.parametrize("kind", ["snapshot", "disk", "disk restore point"])
def test_every_kind(world: World, kind: str) -> None:
    make = {
        "snapshot": lambda: world.snapshot(world.machine()),
        "disk": lambda: loose_disk(world),
        "disk restore point": lambda: disk_restore_point(world),
    }
    identity = make[kind]()
    url = grant(world.arm, identity, 600)
    assert url.startswith(f"{world.bench.local.url}/md-") and "sig=" in url
    assert [one.lower() for one in world.active()] == [identity.lower()]
    assert ArmAccess(world.arm, identity, clock=world.clock).name.startswith(f"{kind} ")
    for _turn in range(2):
        revoke(world.arm, identity)
        assert world.active() == []


def test_ids_are_compared_in_any_casing(world: World, snapshot: str) -> None:
    odd = snapshot.replace("/snapshots/", "/SNAPSHOTS/").replace("/providers/", "/Providers/")
    assert grant(world.arm, odd, 600)
    revoke(world.arm, odd.upper().replace(world.arm.subscription_id.upper(), "", 0))


def test_revoking_what_is_gone(world: World, snapshot: str) -> None:
    revoke(world.arm, f"{snapshot}-gone")
    point = disk_restore_point(world)
    revoke(world.arm, f"{point}-gone")


def test_granting_what_is_gone(world: World, snapshot: str) -> None:
    with pytest.raises(NotFound):
        grant(world.arm, f"{snapshot}-gone", 600)


def test_granting_what_network_settings_forbid(world: World) -> None:
    machine = world.machine()
    world.control.call(
        "PATCH", "disks",
        {"id": world.disk_id(machine), "properties": {"networkAccessPolicy": "DenyAll"}},
    )  # fmt: skip
    with pytest.raises(Conflict, match="DenyAll"):
        grant(world.arm, world.snapshot(machine), 600)


def test_an_upload_that_is_no_disk(world: World) -> None:
    identity = loose_disk(world, "Upload")
    grant(world.arm, identity, 600, "Write")
    with pytest.raises(OperationFailed) as caught:
        revoke(world.arm, identity)
    assert caught.value.code == "InvalidVhd"


@pytest.mark.parametrize(
    "identity",
    [
        "snapshot1",
        "/subscriptions/{s}/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/x",
        "/subscriptions/{s}/resourceGroups/g/providers/Microsoft.Other/snapshots/x",
        (
            "/subscriptions/{s}/resourceGroups/g/providers/Microsoft.Compute/"
            "restorePointCollections/c/restorePoints/p"
        ),
        "/subscriptions/other/resourceGroups/g/providers/Microsoft.Compute/snapshots/x",
    ],
)
def test_ids_of_something_else(world: World, identity: str) -> None:
    asked = identity.replace("{s}", world.arm.subscription_id)
    with pytest.raises(InputError):
        grant(world.arm, asked, 600)
    with pytest.raises(InputError):
        ArmAccess(world.arm, asked, clock=world.clock)


# -- ArmAccess


def test_it_is_granted_late_and_revoked(world: World, snapshot: str) -> None:
    told: list[tuple[str, list[str]]] = []
    access = ArmAccess(
        world.arm, snapshot, clock=world.clock,
        on_grant=lambda identity: told.append((identity, world.active())),
    )  # fmt: skip
    with access:
        assert world.active() == [] and told == [] and not access.outstanding
        assert access.url() == access.url()
        assert access.outstanding and world.active() == [snapshot]
    # It was told before there was anything to revoke.
    assert told == [(snapshot, [])]
    assert world.active() == [] and not access.outstanding
    access.close()


def test_one_that_was_never_used_costs_nothing(world: World, snapshot: str) -> None:
    before = last(world)
    with ArmAccess(world.arm, snapshot, clock=world.clock):
        pass
    assert world.requests("GetAccess", before) == []


def test_it_is_not_granted_again_after_it_was_given_back(world: World, snapshot: str) -> None:
    with ArmAccess(world.arm, snapshot, clock=world.clock) as access:
        seen = access.url()
    for ask in (access.url, lambda: access.renew(seen)):
        with pytest.raises(VmguardError, match="has been given back") as caught:
            ask()
        assert caught.value.code == "AccessClosed"
    assert world.active() == []


def test_it_is_renewed_when_a_tenth_of_its_time_is_left(world: World, snapshot: str) -> None:
    access = world.access(snapshot, seconds=1000)
    first, before = access.url(), last(world)
    world.clock.sleep(890)
    assert access.url() == first and granted(world, before) == 0
    world.clock.sleep(15)
    # Azure extends a live one, under the same URL.
    assert access.url() == first and granted(world, before) == 1
    world.clock.sleep(850)
    assert world.active() == [snapshot]
    world.clock.sleep(2000)
    assert access.url() != first and world.active() == [snapshot]


def test_a_renewal_that_fails_is_tried_again_while_there_is_time(
    world: World, snapshot: str
) -> None:
    access = world.access(snapshot, seconds=1000)
    first = access.url()
    world.clock.sleep(910)
    world.control.fault(GRANTS, status=409, code="Busy", times=99)
    assert access.url() == first == access.url()
    assert world.bench.hits() == 1
    world.control.fault(GRANTS, status=409, code="Busy", times=99)
    world.clock.sleep(46)
    assert access.url() == first and world.bench.hits() == 1
    world.control.fault(GRANTS, status=409, code="Busy", times=99)
    world.clock.sleep(60)
    with pytest.raises(Conflict):
        access.url()


def test_renewing(world: World, snapshot: str) -> None:
    access = world.access(snapshot)
    first = access.url()
    revoke(world.arm, snapshot)
    before = last(world)
    second = access.renew(first)
    assert second != first and access.renew(first) == second == access.url()
    assert granted(world, before) == 1


def test_many_threads_renew_once(world: World, snapshot: str) -> None:
    access = world.access(snapshot)
    first = access.url()
    together = threading.Barrier(8)
    before = last(world)

    def renew(_turn: int) -> str:
        together.wait()
        return access.renew(first)

    # It is still live, so that all get the same URL as before.
    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(renew, range(8))) == {first}
    assert granted(world, before) == 1
    world.clock.sleep(60)
    access.renew(first)
    assert granted(world, before) == 2


def test_revoking_is_tried_three_times(world: World, snapshot: str) -> None:
    access = ArmAccess(world.arm, snapshot, clock=world.clock)
    access.url()
    world.control.fault(REVOKES, status=409, code="Busy", times=2)
    access.close()
    assert world.active() == [] and world.bench.hits() == 2


def test_revoking_that_fails_for_good(world: World, snapshot: str) -> None:
    access = ArmAccess(world.arm, snapshot, clock=world.clock)
    access.url()
    world.control.fault(REVOKES, status=409, code="Busy", times=99)
    with pytest.raises(Conflict):
        access.close()
    assert access.outstanding and world.bench.hits() == 3
    access.close()
    assert not access.outstanding and world.active() == []


def test_the_first_error_is_the_one_that_is_told(world: World, snapshot: str) -> None:
    access = ArmAccess(world.arm, snapshot, clock=world.clock)

    def work() -> None:
        with access:
            access.url()
            world.control.fault(REVOKES, status=409, code="Busy", times=99)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert access.outstanding
    world.bench.hits()
    access.close()


def test_a_lost_answer_leaves_nothing_behind(world: World, snapshot: str) -> None:
    world.control.fault(GRANTS, kind="lost_answer", times=99)
    with (
        pytest.raises(VmguardError),
        ArmAccess(world.bench.arm(), snapshot, clock=world.clock) as access,
    ):
        access.url()
    assert world.bench.hits() > 0 and world.active() == []


def test_it_is_revoked_when_the_tasks_time_is_over(world: World, snapshot: str) -> None:
    arm = world.bench.arm(timeout=10)
    world.control.configure(durations={"access": 5})
    with ArmAccess(arm, snapshot, clock=world.clock) as access:
        access.url()
        world.clock.sleep(5000)
        assert arm.deadline.passed
    world.control.configure(durations={"access": 0})
    assert world.active() == []


def test_azure_takes_too_long(world: World, snapshot: str) -> None:
    world.control.configure(durations={"access": 10_000})
    access = ArmAccess(world.bench.arm(timeout=10), snapshot, clock=world.clock)
    with pytest.raises(OperationTimeout):
        access.url()
    assert access.outstanding
    world.control.configure(durations={"access": 0})
    world.clock.sleep(20_000)
    access.close()
    assert world.active() == []


def test_sas_shapes() -> None:
    signed = disk_access._signed_url
    assert signed({"accessSAS": "u"}) == "u"
    assert signed({"properties": {"output": {"accessSAS": "u"}}}) == "u"
    assert signed(None) is None and signed({"properties": None}) is None
