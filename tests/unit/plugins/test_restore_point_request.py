"""What a restore point is asked to be, and what results say of one: pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import (
    restore_point_collections as collections,
)
from ansible_collections.vmguard.azure.plugins.module_utils._compute import (
    restore_point_request as request,
)
from ansible_collections.vmguard.azure.plugins.module_utils._compute import restore_points as points
from ansible_collections.vmguard.azure.plugins.module_utils._compute.ids import check_name
from ansible_collections.vmguard.azure.plugins.module_utils._errors import Conflict, InputError

GROUP = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute"
COLLECTION = f"{GROUP}/restorePointCollections/c"
NOON = datetime(2026, 9, 1, 12, tzinfo=timezone.utc)


def disk_id(name: str) -> str:
    return f"{GROUP}/disks/{name}"


def entry(name: str, lun: int | None = None, **more: Any) -> dict[str, Any]:
    place = {"osType": "Linux"} if lun is None else {"lun": lun}
    return {**place, "name": name, "managedDisk": {"id": disk_id(name)}, **more}


def machine(*data: dict[str, Any], os_disk: dict[str, Any] | None = None) -> dict[str, Any]:
    profile = {"osDisk": os_disk or entry("root"), "dataDisks": list(data)}
    return {
        "id": f"{GROUP}/virtualMachines/web",
        "name": "web",
        "location": "westeurope",
        "properties": {"vmId": "guid", "storageProfile": profile},
    }


WEB = machine(entry("Data", 0), entry("logs", 3))


def point(name: str = "p", **properties: Any) -> dict[str, Any]:
    profile = {"osDisk": entry("root"), "dataDisks": [entry("logs", 3), entry("Data", 0)]}
    return {
        "id": f"{COLLECTION}/restorePoints/{name}",
        "name": name,
        "properties": {
            "sourceMetadata": {"vmId": "guid", "location": "WestEurope", "storageProfile": profile},
            "provisioningState": "Succeeded",
            "consistencyMode": "FileSystemConsistent",
            "timeCreated": "2026-09-01T11:59:00.1234567+00:00",
            **properties,
        },
    }


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("os", ["root"]),
        ("OS", ["root"]),
        ("root", ["root"]),
        ("0", ["data"]),
        ("3", ["logs"]),
        ("data", ["data"]),
        (disk_id("LOGS").upper(), ["logs"]),
    ],
)
def test_a_disk_is_named_in_each_way(text: str, names: list[str]) -> None:
    found = request.excluded_on_request(WEB, [text])
    assert found == {disk_id(name).lower() for name in names}


def test_an_unknown_disk_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError) as refused:
        request.excluded_on_request(WEB, ["0", "7", "tmp"])
    assert "'7', 'tmp'; it has os root, lun0 Data, lun3 logs" in str(refused.value)


def test_excluded_disks_are_in_the_body_with_the_reason() -> None:
    asked = request.PointRequest("g", exclude_disks=["0"], mode="crash")
    choice = request.choose_disks(WEB, {}, asked)
    assert choice.included == {disk_id("root").lower(), disk_id("logs").lower()}
    assert choice.reasons[disk_id("data").lower()] == points.EXCLUDED
    assert request.vm_body(asked, choice) == {
        "properties": {
            "consistencyMode": "CrashConsistent",
            "excludeDisks": [{"id": disk_id("Data")}],
        }
    }


@pytest.mark.parametrize("mode", [None, "application"])
def test_application_consistency_is_what_azure_tries_without_a_wish(mode: str | None) -> None:
    asked = request.PointRequest("g", mode=mode)
    assert request.vm_body(asked, request.choose_disks(WEB, {}, asked)) == {}


def test_no_disk_left_is_refused() -> None:
    with pytest.raises(InputError, match="No disk of web"):
        request.choose_disks(WEB, {}, request.PointRequest("g", exclude_disks=["os", "0", "3"]))


def test_an_unsupported_disk_is_named_or_skipped() -> None:
    disks = {
        disk_id("data").lower(): {"properties": {"maxShares": 2}, "sku": {"name": "Premium_LRS"}}
    }
    with pytest.raises(InputError, match="Data is shared"):
        request.choose_disks(WEB, disks, request.PointRequest("g"))
    skipped = request.choose_disks(WEB, disks, request.PointRequest("g", skip_unsupported=True))
    assert skipped.excluded == [disk_id("Data")]
    assert skipped.reasons[disk_id("data").lower()]["reason"] == "SharedDisk"
    asked = request.PointRequest("g", exclude_disks=["data"])
    assert (
        request.choose_disks(WEB, disks, asked).reasons[disk_id("data").lower()] == points.EXCLUDED
    )


def test_generated_names_hold_the_time_and_are_new() -> None:
    first = request.generated_name("web", NOON, [])
    assert first == "web-20260901T120000Z"
    assert request.generated_name("web", NOON, [first.lower(), f"{first}-2"]) == f"{first}-3"
    long = request.generated_name("w" * 80, NOON, [])
    assert check_name(f"{long}-999", "restore point")
    assert check_name(request.default_collection("w" * 80), "collection")
    assert request.default_collection("web") == "web-restore-points"


def recent(points_there: list[dict[str, Any]], **options: Any) -> str | None:
    asked = request.PointRequest("g", max_age=options.pop("max_age", 3600), **options)
    shaped = [points.shape_point(raw) for raw in points_there]
    found = request.recent_enough(shaped, asked, request.choose_disks(WEB, {}, asked), NOON)
    return found and found["name"]


def at(minutes: int) -> str:
    return (NOON - timedelta(minutes=minutes)).isoformat()


def test_the_newest_fitting_point_is_enough() -> None:
    there = [
        point("a", timeCreated=at(50)),
        point("b", timeCreated=at(10)),
        point("c", timeCreated=at(70)),
    ]
    assert recent(there) == "b"
    assert recent(there, max_age=300) is None
    assert recent(there, max_age=None) is None


def test_a_point_that_does_not_fit_is_not_enough() -> None:
    assert recent([point()], exclude_disks=["0"]) is None
    assert recent([point()], require="application") is None
    assert recent([point(provisioningState="Failed")]) is None
    assert recent([point(provisioningState="Creating")]) == "p"
    copy = {"sourceRestorePoint": {"id": "x"}}
    assert recent([point(**copy)]) is None


def test_a_ready_point_is_preferred_to_a_newer_one_under_way() -> None:
    there = [
        point("made", timeCreated=at(50)),
        point("new", timeCreated=at(1), provisioningState="Creating"),
    ]
    assert recent(there) == "made"


def test_a_point_is_shaped() -> None:
    shaped = points.shape_point(point(excludeDisks=[{"id": disk_id("tmp")}]))
    assert shaped["ready_to_use"] and shaped["consistency_mode"] == "FileSystemConsistent"
    assert [disk["role"] for disk in shaped["included_disks"]] == ["os", "lun0", "lun3"]
    assert shaped["excluded_disks"][0]["name"] == "tmp"
    assert shaped["source_vm"]["location"] == "westeurope"
    assert shaped["time_created"] == "2026-09-01T11:59:00.123456+00:00"
    assert (shaped["resource_group"], shaped["collection"]) == ("g", "c")


@pytest.mark.parametrize(
    ("properties", "phase", "reason"),
    [
        ({"provisioningState": "Creating"}, "Progressing", "Creating"),
        ({"provisioningState": "Deleting"}, "Progressing", "Deleting"),
        ({"provisioningState": "Failed"}, "Failure", "CreationFailed"),
        ({"sourceRestorePoint": {"id": "x"}}, "Progressing", "ReplicationUnknown"),
    ],
)
def test_a_point_that_is_not_ready_says_why(properties: dict, phase: str, reason: str) -> None:
    shaped = points.shape_point(point(**properties))
    holds = [item for item in shaped["conditions"] if item["status"] == "True"]
    assert not shaped["ready_to_use"]
    assert [(item["type"], item["reason"]) for item in holds] == [(phase, reason)]


def test_every_key_is_there_in_every_state() -> None:
    states = [
        {},
        {"provisioningState": "Creating"},
        {"provisioningState": "Failed", "sourceMetadata": None},
    ]
    keys = {frozenset(points.shape_point(point(**state))) for state in states}
    assert len(keys) == 1


def test_the_prediction_has_the_shape_of_what_comes() -> None:
    asked = request.PointRequest("g", exclude_disks=["0"])
    choice = request.choose_disks(WEB, {}, asked)
    identity = point("new")["id"]
    raw = request.predicted_vm_point(identity, WEB, {}, request.vm_body(asked, choice), NOON)
    shaped = points.shape_point(raw, reasons=choice.reasons)
    assert shaped.keys() == points.shape_point(point()).keys()
    assert shaped["ready_to_use"] and shaped["consistency_mode"] == "FileSystemConsistent"
    assert [disk["role"] for disk in shaped["included_disks"]] == ["os", "lun3"]
    copied = points.shape_point(
        request.predicted_copy(f"{COLLECTION}/restorePoints/copy", with_disks())
    )
    assert copied["ready_to_use"] and copied["replication"] == {
        "state": "succeeded",
        "percent": 100,
    }


def with_disks() -> dict[str, Any]:
    raw = point()
    profile = raw["properties"]["sourceMetadata"]["storageProfile"]
    for disk in [profile["osDisk"], *profile["dataDisks"]]:
        disk["diskRestorePoint"] = {"id": f"{raw['id']}/diskRestorePoints/{disk['name']}"}
    return raw


def test_the_latest_ready_point() -> None:
    there = [
        point("a", timeCreated=at(9)),
        point("b", timeCreated=at(5)),
        point("c", provisioningState="Creating"),
    ]
    shaped = [points.shape_point(raw) for raw in there]
    found = points.latest_ready(shaped)
    assert found is not None and found["name"] == "b"
    assert points.latest_ready(shaped[2:]) is None
    assert [item["name"] for item in points.newest_first(shaped)] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("location", "properties", "needed"),
    [
        ("westeurope", {}, False),
        (None, {}, False),
        ("northeurope", {}, True),
        ("westeurope", {"sourceRestorePoint": {"id": "x"}}, True),
    ],
)
def test_only_what_is_copied_needs_another_look(
    location: str, properties: dict, needed: bool
) -> None:
    assert points.needs_progress(point(**properties), location) == needed


def existing(**more: Any) -> dict[str, Any]:
    source = {"id": WEB["id"], "location": "WestEurope"}
    return {
        "id": COLLECTION, "name": "c", "location": "westeurope",
        "properties": {"source": source, "provisioningState": "Succeeded"}, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "append", "expected"),
    [
        (None, True, {"a": "1"}),
        (None, False, {"a": "1"}),
        ({"b": "2"}, True, {"a": "1", "b": "2"}),
        ({"b": "2"}, False, {"b": "2"}),
        ({}, False, {}),
    ],
)
def test_tags_are_kept_added_or_replaced(asked: dict | None, append: bool, expected: dict) -> None:
    wanted = collections.WantedCollection("g", "c", tags=asked, append_tags=append)
    assert collections.desired_body(wanted, existing(tags={"a": "1"}))["tags"] == expected


def test_a_difference_that_cannot_be_changed_is_named() -> None:
    collections.refuse_differences(
        existing(),
        collections.WantedCollection("G", "c", "West Europe", source_vm=WEB["id"].upper()),
    )
    other = collections.WantedCollection("g", "c", "northeurope", source_collection=COLLECTION)
    with pytest.raises(Conflict) as refused:
        collections.refuse_differences(existing(), other)
    assert "location (wanted northeurope, has westeurope)" in str(refused.value)
    assert f"source_collection (wanted {COLLECTION}, has {WEB['id']})" in str(refused.value)


@pytest.mark.parametrize(
    "text", [WEB["id"], COLLECTION, f"{COLLECTION}/restorePoints/p/diskRestorePoints/d", "p"]
)
def test_the_id_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        points.parse_point_id(text)
