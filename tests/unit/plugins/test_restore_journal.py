"""The record of a restore that is under way, as it is written in tags and read again."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import Holder
from ansible_collections.vmguard.azure.plugins.module_utils._restore import journal
from ansible_collections.vmguard.azure.plugins.module_utils._restore.journal import (
    JOURNAL_TAG,
    Journal,
    JournalUnreadable,
    Place,
)

NOW = datetime(2026, 9, 1, 10, tzinfo=timezone.utc)
GROUP = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute"


def record(places: int = 2, **more: Any) -> Journal:
    facts: dict[str, Any] = {
        "run": "20260901t100000z-1f0c93ab", "restore_id": "ab" * 16, "target": "in_place",
        "holder": Holder("20260901t100000z-1f0c93ab", "controller", 12, "boot/1"),
        "since": "2026-09-01T10:00:00+00:00", "until": NOW + timedelta(seconds=300), "ran": True,
        "places": tuple(
            Place(number or None, f"{GROUP}/disks/old-{number}", f"{GROUP}/disks/new-{number}",
                  {"caching": "ReadOnly", "deleteOption": "Detach"}, 8)
            for number in range(places)
        ),
        "made": tuple(f"{GROUP}/disks/new-{number}" for number in range(places)),
        "vm": f"{GROUP}/virtualMachines/vm1", "old_disks": "delete", "safety": "point",
        **more,
    }  # fmt: skip
    return Journal(**facts)


@pytest.mark.parametrize("places", [0, 1, 65])
def test_what_is_written_is_read(places: int) -> None:
    written = record(places)
    tags = journal.write_tags({"tier": "app"}, written)
    assert journal.read_tags("vm1", tags) == written
    assert tags["tier"] == "app" and journal.strip_tags(tags) == {"tier": "app"}
    assert max(map(len, tags.values())) <= 256
    # A machine with 64 data disks leaves room for most of its own tags.
    assert len(tags) < 20


def test_a_shorter_record_leaves_nothing_of_a_longer_one() -> None:
    tags = journal.write_tags(journal.write_tags({}, record(65)), record(1))
    assert journal.read_tags("vm1", tags) == record(1)
    assert len(tags) <= 4


def test_no_record_is_none() -> None:
    assert journal.read_tags("vm1", None) is None
    assert journal.read_tags("vm1", {"tier": "app"}) is None


def test_a_machine_without_room_for_tags_is_told() -> None:
    full = {f"tag{number}": "x" for number in range(49)}
    with pytest.raises(VmguardError, match="It has 49 tags, and the record") as refused:
        journal.write_tags(full, record())
    assert "Remove" in (refused.value.hint or "")


@pytest.mark.parametrize(
    "change",
    [
        {JOURNAL_TAG: ""}, {JOURNAL_TAG: "1 run filling 2026-09-01T10:00:00+00:00 x"},
        {JOURNAL_TAG: "1 run dancing 2026-09-01T10:00:00+00:00 1"},
        {JOURNAL_TAG: "1 run filling 2026-09-01T10:00:00 1"},
        {JOURNAL_TAG: "1 run filling 2026-09-01T10:00:00+00:00 99"},
        {f"{JOURNAL_TAG}-1": "not base64!"}, {f"{JOURNAL_TAG}-1": "AAAA"}, {f"{JOURNAL_TAG}-1": None},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_a_sentence(change: dict[str, Any]) -> None:
    tags = {**journal.write_tags({}, record()), **change}
    with pytest.raises(JournalUnreadable, match="record of an unfinished restore") as refused:
        journal.read_tags("vm1", tags)
    assert "remove these tags" in (refused.value.hint or "")


def test_a_record_of_a_newer_release_is_left_alone() -> None:
    tags = journal.write_tags({}, record())
    tags[JOURNAL_TAG] = "2" + tags[JOURNAL_TAG][1:]
    with pytest.raises(JournalUnreadable, match="newer release"):
        journal.read_tags("vm1", tags)


def test_a_run_is_alive_until_its_time_is_over() -> None:
    one = record()
    assert one.alive(NOW) and not one.alive(NOW + timedelta(seconds=301))
    renewed = one.renewed(NOW + timedelta(seconds=200))
    assert renewed.alive(NOW + timedelta(seconds=301))
    later = one.renewed(NOW, journal.SWAPPING)
    assert later.phase == journal.SWAPPING and later.alive(NOW + timedelta(seconds=800))
    assert "controller (process 12)" in one.who() and "2026-09-01T10:05:00+00:00" in one.who()
