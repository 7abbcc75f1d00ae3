"""Long-running operations: begun, polled, ended by the clock, also over real HTTPS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from https_world import Answer, Client, client

from local_azure.arm.operations import COMPUTE_OPERATIONS, Operation, Operations
from local_azure.clock import Clock
from local_azure.config import Config, Durations, RetryAfter
from local_azure.errors import ArmError


@pytest.fixture
def azure() -> Iterator[Client]:
    slow = Config(durations=Durations(disk_write=100, delete=100), retry_after=RetryAfter(2, 10))
    with client(slow) as made:
        made.make_group()
        yield made


def test_from_begin_to_end(azure: Client) -> None:
    begun = azure.put_disk()
    assert begun.headers["retry-after"] == "2"
    assert azure.get_disk().body["properties"]["provisioningState"] == "Updating"
    first, second = azure.poll(begun), azure.poll(begun)
    assert set(first.body) == {"startTime", "status", "name"}
    assert first.body["name"] == begun.headers["x-ms-request-id"]
    assert (first.headers["retry-after"], second.headers.get("retry-after")) == ("10", None)
    azure.local.control.advance(100)
    ended = azure.poll(begun).body
    assert ended["status"] == "Succeeded"
    assert ended["startTime"] < ended["endTime"]
    assert ended["properties"]["output"] == azure.get_disk().body


def test_monitor_url(azure: Client) -> None:
    begun = azure.put_disk()
    running = azure.poll(begun, "location")
    assert (running.status, running.data) == (202, b"")
    azure.local.control.advance(100)
    assert azure.poll(running, "location").body == azure.get_disk().body


def test_monitor_url_of_a_failed_operation(azure: Client) -> None:
    azure.local.control.fault("PUT .*disks/", kind="fail_operation", status=409, code="Broken")
    begun = azure.put_disk()
    azure.local.control.advance(100)
    answer = azure.poll(begun, "location")
    assert (answer.status, answer.code) == (409, "Broken")


def test_urls_are_long_and_hold_what_began_it(azure: Client) -> None:
    headers = azure.put_disk().headers
    for name in ("azure-asyncoperation", "location"):
        assert "/DiskOperations/" in headers[name]
        assert "api-version=2023-04-02" in headers[name]
        assert len(headers[name]) > 2000


def test_an_operation_that_does_not_exist(azure: Client) -> None:
    path = "providers/Microsoft.Compute/locations/westeurope/operations/none"
    answer = azure.call("GET", path, version="2024-03-01")
    assert (answer.status, answer.code) == (404, "NotFound")


def test_the_audit_counts_what_is_under_way(azure: Client) -> None:
    azure.put_disk()
    assert azure.local.control.audit()["operations_in_progress"] == 1
    azure.local.control.advance(100)
    assert azure.local.control.audit()["operations_in_progress"] == 0


class Bench:
    """Operations without a server, and what they did."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.operations = Operations(self.clock)
        self.done: list[str] = []

    def start(self, name: str, seconds: float, **more: Any) -> Operation:
        return self.operations.start(
            kind=COMPUTE_OPERATIONS,
            subscription="s",
            location="westus",
            seconds=seconds,
            finish=more.get("finish", lambda: self.done.append(name)),
            abort=lambda: self.done.append(f"{name} aborted"),
        )

    def after(self, seconds: float) -> list[str]:
        self.clock.advance(seconds)
        self.operations.settle()
        return self.done


def test_operations_end_in_the_order_in_which_they_are_due() -> None:
    bench = Bench()
    bench.start("slow", 50)
    bench.start("quick", 10)
    assert bench.after(5) == []
    assert bench.after(100) == ["quick", "slow"]
    assert bench.after(100) == ["quick", "slow"]


def test_an_end_may_begin_the_next() -> None:
    bench = Bench()
    bench.start("first", 10, finish=lambda: bench.start("second", 0))
    assert bench.after(10) == ["second"]


def test_an_error_at_the_end_fails_it() -> None:
    bench = Bench()

    def fail() -> None:
        raise ArmError(409, "Late", "Too late.")

    operation = bench.start("work", 10, finish=fail)
    assert operation.status == "InProgress"
    assert bench.after(10) == ["work aborted"]
    assert operation.status == "Failed"


def test_an_injected_failure_takes_one_operation() -> None:
    bench = Bench()
    bench.operations.fail_next = ArmError(500, "Injected", "As asked.")
    failing, fine = bench.start("one", 0), bench.start("two", 0)
    assert bench.after(0) == ["one aborted", "two"]
    assert (failing.status, fine.status) == ("Failed", "Succeeded")


@pytest.mark.parametrize("header", ["azure-asyncoperation", "location"])
@pytest.mark.parametrize(
    "change",
    [
        lambda url: url[:-20],
        lambda url: url.split("&t=")[0],
        lambda url: url.replace("/westeurope/", "/eastus/"),
        lambda url: url.replace("/DiskOperations/", "/operations/"),
    ],
)
def test_a_url_that_is_not_the_one_that_was_given(azure: Client, header: str, change: Any) -> None:
    begun = azure.put_disk()
    changed = {**begun.headers, header: change(begun.headers[header])}
    assert changed[header] != begun.headers[header]
    answer = azure.poll(Answer(202, changed, b""), header)
    assert (answer.status, answer.code) == (404, "NotFound")
    assert azure.poll(begun, header).status in (200, 202)
