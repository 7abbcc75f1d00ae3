"""Restore points against local Azure: waiting, adoption, retries, deadlines, failures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._arm.client import ArmClient
from ansible_collections.vmguard.azure.plugins.module_utils._clock import SystemClock
from ansible_collections.vmguard.azure.plugins.module_utils._compute import restore_points as points
from ansible_collections.vmguard.azure.plugins.module_utils._compute.restore_point_copies import (
    ensure_copy,
)
from ansible_collections.vmguard.azure.plugins.module_utils._compute.restore_point_creation import (
    ensure_absent,
    ensure_vm_point,
)
from ansible_collections.vmguard.azure.plugins.module_utils._compute.restore_point_request import (
    PointRequest,
)
from ansible_collections.vmguard.azure.plugins.module_utils._compute.restore_point_waiting import (
    Outcome,
    PointFailed,
    Run,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    Conflict,
    InputError,
    OperationFailed,
    OperationTimeout,
    VmguardError,
)
from ansible_collections.vmguard.azure.plugins.module_utils._login.login import resolve_login

from local_azure.compute.restore_points import RestorePoints
from local_azure.launcher import LocalAzure

COLLECTION = "vm1-restore-points"


class Bench:
    """A local Azure with one machine, and runs of the engine against it."""

    def __init__(self, local: LocalAzure) -> None:
        self.local = local
        self.control = local.control
        self.vm = local.control.vm_id("rg", "vm1")
        local.control.create_vm("rg", "vm1", {"size_gb": 1}, [{"lun": 0, "size_gb": 1}])

    def run(self, *, timeout: float = 60, check: bool = False, **options: Any) -> Run:
        login = resolve_login({}, self.local.environment())
        arm = ArmClient(login, wait_timeout=timeout, read_only=check)

        def write(act: Callable[[], Any], predicted: Any = None) -> Any:
            return predicted if check else act()

        options = {"group": "rg", "vm": self.vm, "create_collection": True, **options}
        return Run(arm, PointRequest(**options), write, SystemClock())

    def take(self, **options: Any) -> Outcome:
        return ensure_vm_point(self.run(**options))

    def copy(self, source: str, **options: Any) -> Outcome:
        where = {"vm": None, "collection": "copies", "location": "northeurope"}
        return ensure_copy(self.run(source=source, **where, **options))

    def names(self) -> list[str]:
        return [raw["name"] for raw in points.list_points(self.run().arm, "rg", COLLECTION)]

    def slow(self, **seconds: float) -> None:
        self.control.configure(
            durations={f"restore_point_{key}": value for key, value in seconds.items()}
        )


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with LocalAzure() as local:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(local.ca_file))
        yield Bench(local)


def test_one_under_way_is_reported_without_waiting_and_then_adopted(bench: Bench) -> None:
    bench.slow(create=2)
    first = bench.take(name="one", wait=False)
    assert first.point["provisioning_state"] == "Creating" and first.before is None
    second = bench.take(name="one")
    assert second.point["ready_to_use"] and second.before is not None
    assert bench.names() == ["one"]


def test_one_under_way_is_recent_enough(bench: Bench) -> None:
    bench.slow(create=2)
    first = bench.take(wait=False)
    second = bench.take(max_age=600)
    assert second.point["name"] == first.point["name"] and second.point["ready_to_use"]


def test_a_timeout_keeps_the_point_in_the_failure_and_the_next_run_ends_it(bench: Bench) -> None:
    bench.slow(create=1800)
    with pytest.raises(OperationTimeout) as late:
        bench.take(name="one", timeout=1)
    assert late.value.result["restore_point"]["name"] == "one"
    bench.control.advance(1800)
    assert bench.take(name="one").point["ready_to_use"]


def test_the_failure_deadline_ends_the_wait(bench: Bench) -> None:
    bench.slow(create=3600)
    with pytest.raises(PointFailed) as failed:
        bench.take(name="one", failure_deadline=1)
    assert failed.value.code == "FailureDeadlineExceeded"
    found = failed.value.result["restore_point"]
    assert found["failure_deadline"] and not found["ready_to_use"]
    with pytest.raises(PointFailed, match="was not ready by"):
        bench.take(name="one", wait=False, failure_deadline=1)


def test_another_creation_on_the_vm_is_waited_for(bench: Bench) -> None:
    bench.slow(create=2)
    bench.take(name="one", wait=False)
    assert bench.take(name="two").point["ready_to_use"]
    assert sorted(bench.names()) == ["one", "two"]


def test_another_creation_on_the_vm_is_not_waited_for_without_end(bench: Bench) -> None:
    bench.slow(create=3600)
    bench.take(name="one", wait=False)
    with pytest.raises(Conflict, match="concurrent"):
        bench.take(name="two", timeout=2)


def test_a_failed_point_is_kept_named_and_in_the_way(bench: Bench) -> None:
    bench.control.call("PATCH", "vms", {"id": bench.vm, "agent": False})
    with pytest.raises(OperationFailed, match="VM has not reported status") as failed:
        bench.take(name="one")
    assert failed.value.result["restore_point"]["conditions"][2]["status"] == "True"
    with pytest.raises(PointFailed, match="its creation failed") as again:
        bench.take(name="one")
    assert "another name" in (again.value.hint or "")
    bench.control.call("PATCH", "vms", {"id": bench.vm, "agent": True})
    assert ensure_absent(bench.run(name="one")).before is not None
    assert bench.take(name="one").point["ready_to_use"]


def test_a_copy_is_waited_for_until_every_disk_is_there(bench: Bench) -> None:
    source = bench.take(name="one").point["id"]
    bench.slow(replication=3)
    under_way = bench.copy(source, wait_for_copy=False).point
    assert not under_way["ready_to_use"] and under_way["replication"]["state"] == "replicating"
    assert all(disk["replication_percent"] < 100 for disk in under_way["included_disks"])
    complete = bench.copy(source)
    assert complete.before is not None and complete.point["ready_to_use"]
    with pytest.raises(Conflict, match="copied into copies already, as one"):
        bench.copy(source, name="two")


def test_a_copy_stays_when_its_source_is_gone(bench: Bench) -> None:
    source = bench.take(name="one").point["id"]
    bench.copy(source)
    ensure_absent(bench.run(name="one"))
    assert bench.copy(source).point["ready_to_use"]


def test_a_source_that_is_not_ready_is_refused(bench: Bench) -> None:
    bench.slow(create=30)
    source = bench.take(name="one", wait=False).point["id"]
    last = len(bench.control.audit()["requests"])
    with pytest.raises(Conflict, match="not ready to be copied"):
        bench.copy(source)
    assert [
        entry["path"] for entry in bench.control.writes(last) if "/oauth2/" not in entry["path"]
    ] == []


def test_a_copy_of_a_copy_is_refused(bench: Bench) -> None:
    copied = bench.copy(bench.take(name="one").point["id"]).point["id"]
    where = {"vm": None, "collection": "again", "location": "westeurope"}
    with pytest.raises(InputError, match="Azure does not copy a copy"):
        ensure_copy(bench.run(source=copied, **where))


def test_a_point_is_created_straight_in_another_region(bench: Bench) -> None:
    bench.slow(replication=2)
    made = bench.take(name="far", collection="far", location="northeurope").point
    assert made["ready_to_use"] and made["replication"] == {"state": "succeeded", "percent": 100}


def test_one_under_way_is_deleted_when_it_is_made(bench: Bench) -> None:
    bench.slow(create=2)
    bench.take(name="one", wait=False)
    ensure_absent(bench.run(name="one"))
    assert bench.names() == []
    assert ensure_absent(bench.run(name="one")).before is None


def test_a_check_run_says_what_a_real_one_does(bench: Bench) -> None:
    last = len(bench.control.audit()["requests"])
    foreseen = bench.take(name="one", check=True, wait=False, exclude_disks=["0"]).point
    assert [entry for entry in bench.control.writes(last) if "/oauth2/" not in entry["path"]] == []
    made = bench.take(name="one", exclude_disks=["0"]).point
    same = ("id", "consistency_mode", "source_vm", "excluded_disks", "ready_to_use", "indications")
    assert {key: foreseen[key] for key in same} == {key: made[key] for key in same}


@pytest.mark.parametrize("kind", ["reset", "truncate", "status", "lost_answer"])
def test_a_passing_fault_makes_no_second_point(bench: Bench, kind: str) -> None:
    bench.control.fault("PUT .*/restorePoints/", kind=kind)
    assert bench.take(name="one").point["ready_to_use"]
    assert bench.names() == ["one"]


def test_two_vms_do_not_share_a_collection(bench: Bench) -> None:
    bench.take(name="one")
    bench.control.create_vm("rg", "vm2", {"size_gb": 1})
    with pytest.raises(VmguardError, match=r"source_vm \(wanted .*vm2, has .*vm1\)"):
        bench.take(name="two", vm=bench.control.vm_id("rg", "vm2"), collection=COLLECTION)


# -- disks that Azure hydrates in the background


@pytest.fixture(params=["PremiumV2_LRS", "UltraSSD_LRS"])
def hydrating(bench: Bench, request: pytest.FixtureRequest) -> Bench:
    """A machine with a Premium SSD v2 or Ultra disk."""
    disks = [{"lun": 0, "size_gb": 1, "sku": request.param}]
    bench.control.create_vm("rg", "v2", {"size_gb": 1}, disks)
    bench.vm = bench.control.vm_id("rg", "v2")
    return bench


def test_a_point_without_progress_is_ready_when_azure_says_succeeded(
    hydrating: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RestorePoints, "_instance_view", lambda *_args: None)
    point = hydrating.take(name="p1", timeout=20).point
    assert point is not None
    assert point["ready_to_use"] and point["provisioning_state"] == "Succeeded"
    assert point["replication"] is None
    again = hydrating.take(name="p1", timeout=20)
    assert again.point == again.before == point


def test_a_point_is_waited_for_until_its_disks_are_hydrated(hydrating: Bench) -> None:
    hydrating.slow(hydration=2)
    point = hydrating.take(name="p1", timeout=60).point
    assert point is not None and point["ready_to_use"]
    assert point["replication"] == {"state": "succeeded", "percent": 100}
    states = {disk["role"]: disk["replication_state"] for disk in point["included_disks"]}
    assert states == {"os": None, "lun0": "succeeded"}


def test_a_point_whose_disks_are_hydrated_for_too_long_is_not_called_ready(
    hydrating: Bench,
) -> None:
    hydrating.slow(hydration=1000)
    with pytest.raises(OperationTimeout, match=r"^hydrate restore point of .*/p1") as caught:
        hydrating.take(name="p1", timeout=1)
    told = caught.value.result["restore_point"]
    assert not told["ready_to_use"] and told["replication"]["state"] == "replicating"
    # Who does not wait is told the same.
    point = hydrating.take(name="p1", wait_for_copy=False).point
    assert point is not None and not point["ready_to_use"]
