"""The client of Azure Resource Manager against local Azure, with a clock that no one waits for."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._arm.client import (
    ArmClient,
    verb_phrase,
)
from ansible_collections.vmguard.azure.plugins.module_utils._arm.throttling import RETRIES
from ansible_collections.vmguard.azure.plugins.module_utils._clock import Deadline
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    Conflict,
    ConnectionFailed,
    NotFound,
    OperationFailed,
    OperationTimeout,
    Throttled,
    VmguardError,
    WriteRefused,
)
from ansible_collections.vmguard.azure.plugins.module_utils._login.login import resolve_login
from restore_bench import Bench, QuickClock, open_bench

from local_azure.config import Config
from local_azure.launcher import LocalAzure

EMPTY = {
    "location": "westeurope",
    "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1},
}


@pytest.fixture
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        opened.machine(group="rg")
        yield opened


def make_disk(arm: ArmClient, name: str = "one", **more: Any) -> Any:
    return arm.run("disks.begin_create_or_update", name, "rg", name, body=EMPTY, **more)


def read_disk(arm: ArmClient, name: str = "one") -> Any:
    return arm.read("disks.get", name, "rg", name)


def requests(bench: Bench, word: str, after: int = 0) -> list[dict[str, Any]]:
    """The audited requests whose method and target hold a word."""
    found = bench.control.audit(after)["requests"]
    return [one for one in found if word in f"{one['method']} {one['target']}"]


# -- waiting


def test_an_operation_is_followed_to_its_end(bench: Bench) -> None:
    bench.control.configure(durations={"disk_write": 100})
    made = make_disk(bench.arm())
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert 100 <= sum(bench.clock.slept) < 200


def test_retry_after_paces_the_looks(bench: Bench) -> None:
    bench.control.configure(durations={"disk_write": 100}, retry_after={"disk_poll": 99})
    make_disk(bench.arm())
    first, *more = bench.clock.slept
    assert first == 99 and 1 <= sum(more) < 5


def test_a_retry_after_of_nothing_is_no_pace(bench: Bench) -> None:
    paces = {"disk_write": 0, "disk_poll": 0}
    bench.control.configure(durations={"disk_write": 60}, retry_after=paces)
    make_disk(bench.arm())
    assert bench.clock.slept == sorted(bench.clock.slept) and bench.clock.slept[0] > 0


def test_without_retry_after_the_pauses_grow(bench: Bench) -> None:
    bench.control.configure(durations={"delete": 60})
    make_disk(bench.arm())
    bench.clock.slept.clear()
    bench.arm().run("disks.begin_delete", "one", "rg", "one")
    slept = [pause for pause in bench.clock.slept if pause != 1]
    assert slept == sorted(slept) and max(slept) <= 10 and len(slept) > 3


def test_the_deadline_ends_a_wait_and_names_the_operation(bench: Bench) -> None:
    bench.control.configure(durations={"disk_write": 1000})
    with pytest.raises(OperationTimeout) as late:
        make_disk(bench.arm(timeout=50))
    assert sum(bench.clock.slept) == pytest.approx(50)
    assert "is not finished after 50 s; it goes on in Azure" in late.value.message
    [started] = requests(bench, "PUT")
    polled = {one["path"].rsplit("/", 1)[1] for one in requests(bench, "DiskOperations/")}
    assert started["status"] == 202 and polled == {late.value.operation}
    assert f"(operation {late.value.operation})" in late.value.message
    assert "longer wait_timeout" in (late.value.hint or "")


def test_all_waits_of_a_client_share_its_deadline(bench: Bench) -> None:
    bench.control.configure(durations={"disk_write": 40})
    arm = bench.arm(timeout=60)
    make_disk(arm)
    with pytest.raises(OperationTimeout):
        make_disk(arm, "two")


def test_time_for_undoing_is_added_to_the_deadline(bench: Bench) -> None:
    deadline = Deadline(bench.clock, 10)
    deadline.pause(60)
    assert deadline.passed and sum(bench.clock.slept) == 10
    deadline.ensure(5)
    assert not deadline.passed and deadline.remaining == 5
    deadline.ensure(1)
    assert deadline.remaining == 5


def test_nothing_is_waited_for_when_not_asked(bench: Bench) -> None:
    bench.control.configure(durations={"disk_write": 1000})
    first = make_disk(bench.arm(), wait=False)
    assert first["properties"].get("provisioningState") != "Succeeded"
    assert bench.clock.slept == []


def test_a_state_is_waited_for(bench: Bench) -> None:
    looks = iter([1, 2, 3])
    arm = bench.arm(timeout=60)
    seen = arm.wait_until(lambda: next(looks), lambda one: one == 3, operation="o", resource="r")
    assert seen == 3 and len(bench.clock.slept) == 2
    with pytest.raises(OperationTimeout, match="o of r is not finished after 60 s"):
        arm.wait_until(lambda: None, bool, operation="o", resource="r")


def prepare_point(bench: Bench) -> tuple[str, ...]:
    """A collection, and the call that creates a restore point in it."""
    source = {"source": {"id": bench.control.vm_id("rg", "vm1")}}
    body = {"location": "westeurope", "properties": source}
    put = "restore_point_collections.create_or_update"
    bench.look.put(put, "c", "rg", "c", body=body)
    return ("restore_points.begin_create", "p", "rg", "c", "p")


@pytest.mark.parametrize("wait", [True, False])
def test_what_an_earlier_request_made_is_adopted(bench: Bench, wait: bool) -> None:
    create = prepare_point(bench)
    made = bench.arm().run(*create, body={})
    again = bench.arm().run(*create, body={}, wait=wait)
    assert requests(bench, "PUT")[-1]["status"] == 200
    assert again["id"] == made["id"]


def test_what_an_earlier_request_failed_at_is_not_adopted(bench: Bench) -> None:
    create = prepare_point(bench)
    bench.control.fault("PUT .*/restorePoints/", "fail_operation")
    for _attempt in range(2):
        with pytest.raises(VmguardError):
            bench.arm().run(*create, body={})


@pytest.mark.parametrize("kind", ["lost_answer", "truncate", "reset"])
def test_an_answer_that_is_lost_starts_nothing_twice(bench: Bench, kind: str) -> None:
    bench.control.configure(durations={"restore_point_create": 50})
    arm, create = bench.arm(), prepare_point(bench)
    bench.control.fault("PUT .*/restorePoints/", kind=kind)
    if kind == "truncate":
        # Half an answer is not asked for again by itself; the next run picks its operation up.
        with pytest.raises(ConnectionFailed, match="before the answer was complete"):
            arm.run(*create, body={})
    made = arm.run(*create, body={})
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert len(requests(bench, "PUT /subscriptions")) == 3
    names = [one["name"] for one in arm.read("restore_point_collections.get", "c", "rg", "c",
             expand="restorePoints")["properties"]["restorePoints"]]  # fmt: skip
    assert names == ["p"]


# -- throttling and passing faults


def test_throttling_is_waited_out_as_azure_asks(bench: Bench) -> None:
    bench.control.fault("PUT .*/disks/", status=429, retry_after=33, times=RETRIES)
    assert make_disk(bench.arm())["name"] == "one"
    assert bench.clock.slept[:RETRIES] == [33] * RETRIES
    assert len(requests(bench, "PUT")) == RETRIES + 1


@pytest.mark.parametrize("word", ["PUT", "GET"])
def test_throttling_beyond_the_deadline_fails_at_once(bench: Bench, word: str) -> None:
    bench.control.fault(f"{word} .*/disks/", status=429, retry_after=1200)
    arm = bench.arm(timeout=600)
    act = partial(make_disk if word == "PUT" else read_disk, arm)
    with pytest.raises(Throttled, match=r"wait 1200 s .* only 600 s of wait_timeout are left") as e:
        act()
    assert bench.clock.slept == [] and e.value.hint


def test_a_passing_error_is_tried_again(bench: Bench) -> None:
    bench.control.fault("GET .*/virtualMachines/", status=503, times=RETRIES)
    assert bench.arm().read("virtual_machines.get", "vm1", "rg", "vm1")["name"] == "vm1"


def test_an_error_that_does_not_pass_is_told(bench: Bench) -> None:
    bench.control.fault("GET .*/virtualMachines/", status=500, code="Broken", times=100)
    with pytest.raises(VmguardError, match="An injected fault") as failed:
        bench.arm().read("virtual_machines.get", "vm1", "rg", "vm1")
    assert failed.value.code == "Broken" and failed.value.operation == "read virtual machine"
    assert len(requests(bench, "/virtualMachines/vm1")) == RETRIES + 1


# -- failures


def test_a_failed_operation_has_azures_code_and_message(bench: Bench) -> None:
    bench.control.fault("PUT .*/disks/", "fail_operation", code="Strange", message="So it goes.")
    with pytest.raises(OperationFailed, match="create disk one failed: So it goes") as failed:
        make_disk(bench.arm())
    assert failed.value.code == "Strange" and failed.value.resource == "one"


def test_only_what_is_missing_is_not_found(bench: Bench) -> None:
    arm = bench.arm()
    assert arm.find("disks.get", "none", "rg", "none") is None
    with pytest.raises(NotFound):
        arm.read("disks.get", "none", "rg", "none")
    for status, kind in ((403, VmguardError), (409, Conflict)):
        bench.control.fault("GET .*/disks/", status=status)
        with pytest.raises(kind):
            arm.find("disks.get", "none", "rg", "none")


def test_any_resource_is_read_by_its_id(bench: Bench) -> None:
    arm = bench.arm()
    assert arm.get(bench.control.group_id("rg"), "2021-04-01")["name"] == "rg"
    with pytest.raises(NotFound):
        arm.get(bench.control.group_id("nothing"), "2021-04-01")


def test_an_endpoint_that_does_not_answer(bench: Bench) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{free.getsockname()[1]}"
    login = replace(bench.login, cloud=replace(bench.login.cloud, resource_manager=url))
    arm = ArmClient(login, clock=bench.clock, wait_timeout=600)
    with pytest.raises(ConnectionFailed):
        arm.list("disks.list", "disks")
    with pytest.raises(ConnectionFailed):
        arm.get(bench.control.group_id("rg"), "2021-04-01")


def test_operations_in_words() -> None:
    assert verb_phrase("restore_points.begin_create") == "create restore point"
    assert verb_phrase("virtual_machines.begin_create_or_update") == "create virtual machine"
    assert verb_phrase("disks.get") == "read disk"
    assert verb_phrase("snapshots.begin_grant_access") == "grant access to snapshot"


# -- lists


def test_every_page_of_a_list_is_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from local_azure.compute.virtual_machines import VirtualMachines

    monkeypatch.setattr(VirtualMachines, "page_size", 2)
    for number in range(5):
        bench.control.create_vm("rg", f"more{number}", {"size_gb": 1})
    last = len(bench.control.audit()["requests"])
    names = [vm["name"] for vm in bench.arm().list("virtual_machines.list", "vms", "rg")]
    assert sorted(names) == ["more0", "more1", "more2", "more3", "more4", "vm1"]
    assert len(requests(bench, "/virtualMachines?", last)) == 3


# -- the login


def test_a_token_that_ends_is_renewed() -> None:
    with LocalAzure(Config(token_seconds=60)) as local, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(local.ca_file))
        clock = QuickClock(local.app.state.clock.advance)
        arm = ArmClient(resolve_login({}, local.environment()), clock=clock)
        for _read in range(3):
            assert arm.list("disks.list", "disks") == []
            clock.sleep(120)
        found = local.control.audit()["requests"]
        assert len([one for one in found if one["path"].endswith("/token")]) == 3
        assert {one["status"] for one in found} == {200}


# -- the transport that refuses to write


@pytest.mark.parametrize(
    ("operation", "names", "body"),
    [
        ("disks.begin_create_or_update", ("one",), EMPTY),
        ("disks.begin_update", ("vm1_OsDisk_1",), {"tags": {}}),
        ("disks.begin_delete", ("vm1_OsDisk_1",), None),
        (
            "disks.begin_grant_access",
            ("vm1_OsDisk_1",),
            {"access": "Read", "durationInSeconds": 60},
        ),
        ("virtual_machines.begin_deallocate", ("vm1",), None),
        ("virtual_machines.begin_start", ("vm1",), None),
    ],
)
def test_in_check_mode_no_write_is_sent(
    bench: Bench, operation: str, names: tuple[str, ...], body: dict[str, Any] | None
) -> None:
    arm = bench.arm(read_only=True)
    assert arm.read("virtual_machines.get", "vm1", "rg", "vm1")["name"] == "vm1"
    last = len(bench.control.audit()["requests"])
    with pytest.raises(WriteRefused, match=r"Check mode: (PUT|PATCH|POST|DELETE) .* was not sent"):
        arm.run(operation, names[0], "rg", *names, body=body)
    assert bench.control.audit(last)["requests"] == []


def test_in_check_mode_reads_by_id_work(bench: Bench) -> None:
    arm = bench.arm(read_only=True)
    assert arm.get(bench.control.group_id("rg"), "2021-04-01")["name"] == "rg"
    assert len(arm.list("disks.list", "disks")) == 3
