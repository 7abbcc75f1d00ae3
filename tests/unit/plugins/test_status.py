"""The result contract: conditions, indications, deadlines, replication."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import status
from ansible_collections.vmguard.azure.plugins.module_utils._duration import parse_duration
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError

NOON = datetime(2026, 9, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-09-01T12:00:00+00:00", NOON),
        ("2026-09-01T12:00:00Z", NOON),
        ("2026-09-01T12:00:00", NOON),
        ("2026-09-01T17:30:00+05:30", NOON),
        ("2026-09-01T12:00:00.1234567+00:00", NOON + timedelta(microseconds=123456)),
        ("2026-09-01T12:00:00.5-00:00", NOON + timedelta(milliseconds=500)),
    ],
)
def test_times_of_azure_are_read(text: str, expected: datetime) -> None:
    assert status.parse_time(text) == expected


def test_what_is_no_time_is_refused() -> None:
    with pytest.raises(InputError, match="not an ISO 8601 time"):
        status.parse_time("yesterday")


@pytest.mark.parametrize("phase", [status.PROGRESSING, status.READY, status.FAILURE])
def test_exactly_one_condition_holds(phase: str) -> None:
    found = status.conditions(phase, "Because", "So it is.", "2026-09-01T12:00:00+00:00")
    assert [item["type"] for item in found if item["status"] == "True"] == [phase]
    assert [item["message"] for item in found if item["message"]] == ["So it is."]
    assert len(found) == 3
    assert status.is_ready(found) == (phase == status.READY)
    assert (status.failure_of(found) is not None) == (phase == status.FAILURE)


@pytest.mark.parametrize(
    ("mode", "required", "enough"),
    [
        (status.CRASH, None, True),
        (status.CRASH, "crash", True),
        (status.CRASH, "filesystem", False),
        (status.FILE_SYSTEM, "filesystem", True),
        (status.FILE_SYSTEM, "application", False),
        (status.APPLICATION, "application", True),
        (status.APPLICATION, "crash", True),
        (None, "crash", False),
    ],
)
def test_a_shortfall_is_told(mode: str | None, required: str | None, enough: bool) -> None:
    assert status.achieves(mode, required) == enough
    told = status.shortfall(mode, required)
    assert (told is None) == enough
    if told and mode:
        assert mode in told and status.CONSISTENCY[required or ""] in told


def test_indications_do_not_claim_what_is_unknown() -> None:
    assert status.indications(None) == []
    assert status.indications(status.CRASH) == ["NoGuestAgent", "CrashConsistent"]
    assert status.indications(status.FILE_SYSTEM) == ["Online", "GuestAgent", status.FILE_SYSTEM]


def test_a_deadline_turns_waiting_into_failure_and_nothing_else() -> None:
    deadline = status.deadline_of("2026-09-01T12:00:00+00:00", 60)
    assert deadline == "2026-09-01T12:01:00+00:00"
    waiting = status.conditions(status.PROGRESSING, "Creating")
    ready = status.conditions(status.READY, "Succeeded")
    late = NOON + timedelta(seconds=61)
    assert status.overdue(waiting, deadline, NOON) is waiting
    assert status.overdue(waiting, None, late) is waiting
    assert status.overdue(ready, deadline, late) is ready
    failure = status.failure_of(status.overdue(waiting, deadline, late))
    assert failure is not None and failure["reason"] == "FailureDeadlineExceeded"
    assert status.deadline_of(None, 60) is None
    assert status.deadline_of("2026-09-01T12:00:00+00:00", None) is None


def disk(name: str, code: str, percent: float | None) -> dict:
    told = {"status": {"code": f"ReplicationState/{code}"}}
    return {
        "id": name,
        "replicationStatus": told | ({} if percent is None else {"completionPercent": percent}),
    }


@pytest.mark.parametrize(
    ("disks", "state", "percent"),
    [
        ([disk("a", "replicating", 40.0), disk("b", "succeeded", 100)], "replicating", 40),
        ([disk("a", "succeeded", 100), disk("b", "succeeded", None)], "succeeded", 100),
        ([disk("a", "failed", 10), disk("b", "succeeded", 100)], "failed", 10),
    ],
)
def test_a_copy_is_as_far_as_its_last_disk(disks: list[dict], state: str, percent: int) -> None:
    found = status.replication({"diskRestorePoints": disks})
    assert found is not None
    assert (found["state"], found["percent"], len(found["disks"])) == (state, percent, len(disks))
    assert all(isinstance(item["percent"], int) for item in found["disks"])


@pytest.mark.parametrize(
    "view", [None, {}, {"diskRestorePoints": []}, {"diskRestorePoints": [{"id": "a"}]}]
)
def test_nothing_is_copied(view: dict | None) -> None:
    assert status.replication(view) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), (90, 90), ("90m", 5400), ("4 H", 14400), ("1d", 86400), (None, None)],
)
def test_durations_are_read(text: str | int | None, seconds: int | None) -> None:
    assert parse_duration(text, "max_age") == seconds


@pytest.mark.parametrize("text", ["", "0", "soon", "1y", "-4h", "1.5h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="max_age: "):
        parse_duration(text, "max_age")
