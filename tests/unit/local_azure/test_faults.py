"""Every kind of fault as a client meets it on the wire."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from https_world import GROUPS, Client, client

from local_azure.control_client import ControlError
from local_azure.faults import KINDS, Fault, Faults
from local_azure.http_types import Request
from local_azure.storage.page_blob import PageBlob

CUT = (ConnectionError, ssl.SSLError, http.client.RemoteDisconnected)


@pytest.fixture
def azure() -> Iterator[Client]:
    with client() as made:
        made.make_group()
        yield made


def inject(azure: Client, pattern: str, **more: Any) -> None:
    azure.local.control.fault(pattern, **more)


def groups(azure: Client) -> list[str]:
    return [item["name"] for item in azure.call("GET", "resourceGroups").body["value"]]


@pytest.mark.parametrize(
    ("status", "code", "wait"),
    [
        (429, "TooManyRequests", 7),
        (500, "InternalServerError", None),
        (503, "ServerBusy", 2),
        (409, "OperationNotAllowed", None),
    ],
)
def test_status(azure: Client, status: int, code: str, wait: int | None) -> None:
    inject(azure, "PUT .*resourceGroups/late", status=status, code=code, retry_after=wait)
    answer = azure.make_group("late")
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers.get("retry-after") == (None if wait is None else str(wait))
    assert groups(azure) == ["group"]
    assert azure.make_group("late").status == 201


def test_reset_does_nothing(azure: Client) -> None:
    inject(azure, "PUT .*resourceGroups/late", kind="reset")
    with pytest.raises(CUT):
        azure.make_group("late")
    assert groups(azure) == ["group"]


def test_lost_answer_does_the_work(azure: Client) -> None:
    inject(azure, "PUT .*resourceGroups/late", kind="lost_answer")
    with pytest.raises(CUT):
        azure.make_group("late")
    assert groups(azure) == ["group", "late"]


def test_truncate_sends_half_of_the_body(azure: Client) -> None:
    whole = azure.call("GET", "resourceGroups").data
    inject(azure, "GET .*resourceGroups", kind="truncate")
    with pytest.raises(http.client.IncompleteRead) as caught:
        azure.call("GET", "resourceGroups")
    assert caught.value.partial == whole[: len(whole) // 2]
    assert azure.call("GET", "resourceGroups").data == whole


def test_failed_operation(azure: Client) -> None:
    inject(azure, "PUT .*disks/", kind="fail_operation", code="Broken", message="It broke.")
    begun = azure.put_disk()
    assert begun.status == 202
    ended = azure.poll(begun).body
    assert ended["status"] == "Failed"
    assert ended["error"] == {"code": "Broken", "message": "It broke."}
    assert azure.put_disk("other").status == 202


def test_failed_operation_hits_only_its_request(azure: Client) -> None:
    inject(azure, "GET .*resourceGroups", kind="fail_operation")
    assert azure.call("GET", "resourceGroups").status == 200
    begun = azure.put_disk()
    assert azure.poll(begun).body["status"] == "Succeeded"


def test_delay_answers_in_the_end(azure: Client) -> None:
    inject(azure, "PUT .*resourceGroups/late", kind="delay", seconds=0.01)
    assert azure.make_group("late").status == 201
    assert azure.requests()[-1]["fault"] == "delay"


@contextmanager
def held_request(azure: Client, kind: str) -> Iterator[Future[int | None]]:
    """What a request of another thread will be answered; it is held until the faults are cleared."""
    inject(azure, "PUT .*resourceGroups/late", kind=kind, seconds=600, status=503)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_answer_of, azure)
        azure.local.control.wait_until_held()
        try:
            yield answer
        finally:
            azure.local.control.clear_faults()


def _answer_of(azure: Client) -> int | None:
    """The status, None where the connection was cut."""
    try:
        return azure.make_group("late").status
    except CUT:
        return None


@pytest.mark.parametrize(
    ("kind", "while_held", "answer", "afterwards"),
    [
        ("delay", False, 201, True),
        ("delay_answer", True, 201, True),
        ("lost_answer", True, None, True),
        ("reset", False, None, False),
        ("status", False, 503, False),
    ],
)
def test_what_is_held_before_its_effect_and_after(
    azure: Client, kind: str, while_held: bool, answer: int | None, afterwards: bool
) -> None:
    with held_request(azure, kind) as answered:
        assert ("late" in groups(azure)) is while_held
        done = [entry for entry in azure.requests() if entry.get("fault")]
        assert [entry["fault"] for entry in done] == ([kind] if while_held else [])
        assert not answered.done()
    assert answered.result() == answer
    assert ("late" in groups(azure)) is afterwards


@pytest.mark.parametrize(
    ("kind", "afterwards"), [("delay", True), ("delay_answer", True), ("reset", False)]
)
def test_what_is_held_for_a_client_that_has_gone(
    azure: Client, kind: str, afterwards: bool
) -> None:
    inject(azure, "PUT .*resourceGroups/late", kind=kind, seconds=600)
    token = azure.ask_token().body["access_token"]
    target = f"{azure.subscription}/resourceGroups/late?api-version={GROUPS}"
    with azure.connection() as connection:
        bearer = {"Authorization": f"Bearer {token}"}
        connection.request("PUT", target, '{"location": "westeurope"}', bearer)
        azure.local.control.wait_until_held()
    azure.local.control.clear_faults()
    wait_for_audit(azure, kind)

    assert ("late" in groups(azure)) is afterwards
    assert azure.make_group("other").status == 201


def wait_for_audit(azure: Client, kind: str) -> None:
    """Come back when the request that the fault struck has been done."""
    last = time.monotonic() + 60
    while kind not in [entry.get("fault") for entry in azure.requests()]:
        assert time.monotonic() < last
        time.sleep(0.01)


def test_times_0_is_from_then_on(azure: Client) -> None:
    inject(azure, "GET .*resourceGroups", status=503, nth=3, times=0)
    seen = [azure.call("GET", "resourceGroups").status for turn in range(6)]
    assert seen == [200, 200, 503, 503, 503, 503]
    azure.local.control.clear_faults()
    assert groups(azure) == ["group"]


def test_omit_range_leaves_out_the_first_that_is_not_cleared(azure: Client) -> None:
    store, sas = azure.local.app.state.store, azure.local.app.state.sas
    disk = store.create(1 << 20)
    disk.write(0, b"x" * 512)
    base = store.freeze(disk)
    disk.clear(0, 512)
    for offset in (4096, 8192):
        disk.write(offset, b"y" * 512)
    urls = [sas.grant(str(one.moment), PageBlob(one), "Read", 600).url
            for one in (base, store.freeze(disk))]  # fmt: skip
    target = urls[1].removeprefix(azure.local.url)
    headers = {"x-ms-previous-snapshot-url": urls[0], "x-ms-version": "2021-12-02"}
    whole = azure.raw("GET", f"{target}&comp=pagelist", headers=headers).data
    inject(azure, "GET .*comp=pagelist", kind="omit_range")
    cut = azure.raw("GET", f"{target}&comp=pagelist", headers=headers)
    lost = b"<PageRange><Start>4096</Start><End>4607</End></PageRange>"
    assert whole.count(lost) == 1 and cut.data == whole.replace(lost, b"")
    assert b"<ClearRange><Start>0</Start>" in cut.data and b"<Start>8192</Start>" in cut.data
    assert azure.raw("GET", f"{target}&comp=pagelist", headers=headers).data == whole
    # What is no page list stays as it is.
    inject(azure, "GET .*resourceGroups", kind="omit_range")
    assert groups(azure) == ["group"]


def test_counting(azure: Client) -> None:
    inject(azure, "GET .*resourceGroups", status=503, nth=2, times=2)
    seen = [azure.call("GET", "resourceGroups").status for turn in range(5)]
    assert seen == [200, 503, 503, 200, 200]
    (fault,) = azure.local.control.call("GET", "faults")
    assert (fault["seen"], fault["hits"]) == (5, 2)


def test_a_pattern_sees_method_and_query_in_any_casing(azure: Client) -> None:
    inject(azure, "get .*RESOURCEGROUPS.*api-version=2021", status=503)
    assert azure.make_group("other").status == 201
    assert azure.call("GET", "resourceGroups").status == 503


def test_faults_of_the_token_service(azure: Client) -> None:
    inject(azure, "POST .*/token", status=503)
    assert azure.ask_token().status == 503
    assert azure.ask_token().status == 200


def test_faults_spare_the_control_interface(azure: Client) -> None:
    inject(azure, ".*", status=503, times=9)
    assert azure.call("GET", "resourceGroups").status == 503
    azure.local.control.clear_faults()
    assert azure.call("GET", "resourceGroups").status == 200
    assert azure.local.control.call("GET", "faults") == []


def test_the_audit_says_what_was_hit(azure: Client) -> None:
    inject(azure, "GET .*resourceGroups", status=429)
    azure.call("GET", "resourceGroups")
    azure.call("GET", "resourceGroups")
    hit, spared = azure.requests()[-2:]
    assert (hit["status"], hit["fault"]) == (429, "status")
    assert spared["status"] == 200 and "fault" not in spared


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "smoke"}, "no fault 'smoke'"),
        ({"pattern": "("}, "not a regular expression"),
        ({"nth": 0}, "nth"),
        ({"times": "2"}, "times"),
        ({"status": 200}, "status"),
        ({"retry_after": -1}, "retry_after"),
        ({"seconds": True}, "seconds"),
        ({"flavour": "mint"}, "'flavour'"),
        ({"hits": 3}, "'hits'"),
        ({"times": -1}, "times"),
        ({"held": 1}, "'held'"),
    ],
)
def test_a_wrong_fault_is_refused(azure: Client, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ControlError, match=said):
        azure.local.control.call("POST", "faults", {"pattern": "x", **wrong})
    assert azure.local.control.call("GET", "faults") == []


def test_a_fault_needs_a_pattern(azure: Client) -> None:
    with pytest.raises(ControlError, match="'pattern' is missing"):
        azure.local.control.call("POST", "faults", {"kind": "reset"})


def test_all_matching_faults_count_and_the_first_strikes() -> None:
    faults = Faults()
    first, second = Fault("GET", status=500, nth=2), Fault("GET", status=503)
    faults.add(first)
    faults.add(second)
    struck = [faults.strike(Request("GET", "/x")) for turn in range(3)]
    assert struck == [second, first, None]
    assert (first.seen, second.seen) == (3, 3)


def test_every_kind_is_tried_here() -> None:
    assert set(KINDS) == {
        "status", "reset", "truncate", "fail_operation", "delay", "delay_answer", "lost_answer",
        "omit_range", "omit_operation",
    }  # fmt: skip


# -- answers as they were recorded


@pytest.mark.parametrize(
    ("name", "status", "code", "words", "pause"),
    [
        ("throttled_by_compute", 429, "OperationNotAllowed", "too many requests", "120"),
        ("throttled_by_action", 429, "ResourceRequestsThrottled",
         "action 'Microsoft.Compute/disks/read'", "324"),
        ("throttled_by_subscription", 429, "SubscriptionRequestsThrottled",
         "GET/SUBSCRIPTIONS/RESOURCEGROUPS/PROVIDERS/MICROSOFT.COMPUTE/DISKS/", "6"),
        ("server_timeout", 503, "ServerTimeout", "The request timed out.", None),
        ("gateway_timeout", 504, "GatewayTimeout", "from 'Microsoft.Compute'", None),
        ("failed_poll", 500, "MultipleErrorsOccurred", "Please see details.", None),
        ("unread_by_policy", 504, "ResourceReadFailed", "Policy required full resource", None),
        ("not_found_by_gateway", 404, "ResourceNotFound", "'Microsoft.Compute/disks/disk1'", None),
        ("not_found_by_compute", 404, "NotFound", "not found in this Azure location", None),
        ("not_found_by_disks", 404, "NotFound", "Disk disk1 is not found.", None),
    ],
)  # fmt: skip
def test_recorded_answers(
    azure: Client, name: str, status: int, code: str, words: str, pause: str | None
) -> None:
    assert azure.put_disk("disk1").status == 202
    inject(azure, "GET .*disks/disk1", answer=name)
    answer = azure.get_disk("disk1")

    assert (answer.status, answer.code) == (status, code)
    assert words in answer.body["error"]["message"]
    assert answer.headers.get("retry-after") == pause
    assert azure.get_disk("disk1").status == 200


def test_the_pause_of_a_recorded_answer_can_be_none(azure: Client) -> None:
    inject(azure, "GET .*resourceGroups", answer="throttled_by_subscription", retry_after=0)
    answer = azure.call("GET", "resourceGroups")
    assert answer.headers["retry-after"] == "0"
    assert "try again after '0' seconds" in answer.body["error"]["message"]
    assert "x-ms-failure-cause" not in answer.headers


def test_the_detail_of_a_throttled_request(azure: Client) -> None:
    inject(azure, "GET .*resourceGroups", answer="throttled_by_compute")
    error = azure.call("GET", "resourceGroups").body["error"]
    (detail,) = error["details"]
    assert detail["code"] == "TooManyRequests"
    measured = json.loads(detail["message"])
    assert measured["measuredRequestCount"] > measured["allowedRequestCount"]
    assert error["innererror"] == {"internalErrorCode": "TooManyRequestsReceived"}


def test_a_poll_that_fails_while_the_operation_goes_on(azure: Client) -> None:
    begun = azure.put_disk()
    inject(azure, "GET .*DiskOperations", answer="failed_poll")
    assert azure.poll(begun).status == 500
    assert azure.poll(begun).body["status"] == "Succeeded"


def test_an_answer_without_its_operation(azure: Client) -> None:
    inject(azure, "PUT .*disks/", kind="omit_operation")
    begun = azure.put_disk()
    assert begun.status == 202
    assert not {"azure-asyncoperation", "location", "retry-after"} & set(begun.headers)
    assert azure.get_disk().status == 200


@pytest.mark.parametrize("more", [{"answer": "odd"}, {"kind": "reset", "answer": "failed_poll"}])
def test_recorded_answers_that_are_none(azure: Client, more: dict[str, str]) -> None:
    with pytest.raises(ControlError, match="is none of throttled_by_compute"):
        inject(azure, "GET", **more)
