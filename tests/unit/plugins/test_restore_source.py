"""Which restore point a task means."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    InputError,
    NotFound,
    VmguardError,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.source.restore_point import (
    PointWanted,
    find_point,
)

GROUP = "/subscriptions/s/resourceGroups/{}/providers/Microsoft.Compute"
VM = f"{GROUP.format('rg')}/virtualMachines/vm1"


class FakeArm:
    """Restore point collections in memory, answered as Azure does."""

    subscription_id = "s"

    def __init__(self) -> None:
        self.points: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.sources: dict[tuple[str, str], str] = {}
        self.vms = {("rg", "vm1"), ("rg", "vm8")}

    def add(
        self, name: str, time: str, state: str = "Succeeded", home: str = "c1", group: str = "rg"
    ) -> None:
        if (group, home) not in self.sources:
            self.collection(home, group)
        storage = {"osDisk": {"name": "os", "diskRestorePoint": {"id": f"{name}-os"}}}
        base = f"{GROUP.format(group)}/restorePointCollections/{home}"
        properties = {
            "provisioningState": state, "timeCreated": f"{time}+00:00",
            "consistencyMode": "CrashConsistent", "sourceMetadata": {"storageProfile": storage},
            "excludeDisks": [{"id": f"{GROUP.format(group)}/disks/scratch"}],
        }  # fmt: skip
        point = {"id": f"{base}/restorePoints/{name}", "name": name, "properties": properties}
        self.points.setdefault((group, home), []).append(point)

    def collection(self, name: str, group: str = "rg", source: str = VM) -> None:
        self.sources[(group, name)] = source

    def _body(self, group: str, name: str) -> dict[str, Any]:
        base = f"{GROUP.format(group)}/restorePointCollections/{name}"
        properties = {
            "source": {"id": self.sources[(group, name)]},
            "restorePoints": self.points.get((group, name), []),
        }
        return {"id": base, "name": name, "location": "westeurope", "properties": properties}

    def list(self, operation: str, _resource: str, *_args: Any) -> list[dict[str, Any]]:
        if operation == "virtual_machines.list":
            return [{"name": name} for _group, name in self.vms]
        assert operation == "restore_point_collections.list_all"
        return [self._body(*home) for home in self.sources]

    def read(self, operation: str, _resource: str, *args: Any, **_options: Any) -> Any:
        missing = NotFound("There is none.", code="ResourceNotFound")
        if operation == "virtual_machines.get":
            if args not in self.vms:
                raise missing
            return {}
        assert operation == "restore_point_collections.get"
        if args not in self.sources:
            raise missing
        return self._body(*args)

    def find(self, operation: str, _resource: str, *args: Any, **_options: Any) -> Any:
        assert operation == "restore_points.get"
        group, home, name = args
        there = self.points.get((group, home), [])
        return next((point for point in there if point["name"] == name), None)


@pytest.fixture
def arm() -> FakeArm:
    """Two points that are ready, one that failed and one under way, both younger."""
    made = FakeArm()
    made.add("old", "2026-09-01T10:00:00.1")
    made.add("new", "2026-09-02T10:00:00.1234567")
    made.add("failed", "2026-09-03T10:00:00", "Failed")
    made.add("creating", "2026-09-04T10:00:00", "Creating")
    made.add("before-restore-20260905T100000", "2026-09-05T10:00:00")
    return made


def find(arm: FakeArm, **options: Any) -> str:
    """The id of the point, below the subscription."""
    nothing = dict.fromkeys(("collection", "collection_group", "restore_point", "at"))
    wanted = PointWanted(**{**nothing, "group": "rg", "vm": "vm1", **options})
    return find_point(arm, wanted).id.partition("/restorePointCollections/")[2]  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["latest", "LATEST"])
def test_the_latest_is_the_newest_that_is_ready(arm: FakeArm, word: str) -> None:
    assert find(arm, restore_point=word) == "c1/restorePoints/new"


def test_the_latest_of_several_collections(arm: FakeArm) -> None:
    arm.add("newer", "2026-09-02T11:00:00", home="c2", group="other")
    arm.collection("foreign", source=VM.replace("vm1", "vm2"))
    arm.add("newest", "2026-09-02T12:00:00", home="foreign")
    assert find(arm, restore_point="latest") == "c2/restorePoints/newer"
    assert find(arm, restore_point="latest", collection="c1") == "c1/restorePoints/new"


@pytest.mark.parametrize(
    ("at", "name"),
    [
        ("2026-09-01T10:00:01Z", "old"),
        ("2026-09-01T10:00:00.1Z", "old"),
        ("2026-09-02T10:00:00Z", "old"),
        ("2026-09-02T10:00:00.2", "new"),
        ("2026-09-02T12:00:01+02:00", "new"),
        ("2026-09-02T12:00:00+02:00", "old"),
        ("2027-01-01", "new"),
    ],
)
def test_at_is_the_newest_that_is_not_younger(arm: FakeArm, at: str, name: str) -> None:
    assert find(arm, at=at) == f"c1/restorePoints/{name}"


def test_nothing_that_old(arm: FakeArm) -> None:
    with pytest.raises(NotFound, match="taken at 2026-08-01 or before that is ready, among 4 in"):
        find(arm, at="2026-08-01")


def test_a_time_that_is_none(arm: FakeArm) -> None:
    with pytest.raises(InputError, match="'yesterday' is not an ISO 8601 time"):
        find(arm, at="yesterday")


def test_none_is_ready() -> None:
    arm = FakeArm()
    arm.add("failed", "2026-09-03T10:00:00", "Failed")
    with pytest.raises(NotFound, match="no restore point that is ready, among 1 in rg/c1"):
        find(arm, restore_point="latest")


def test_by_name(arm: FakeArm) -> None:
    assert find(arm, restore_point="old") == "c1/restorePoints/old"


def test_by_name_of_a_safety_point(arm: FakeArm) -> None:
    name = "before-restore-20260905T100000"
    assert find(arm, restore_point=name) == f"c1/restorePoints/{name}"


def test_by_name_in_several_collections(arm: FakeArm) -> None:
    arm.add("old", "2026-09-01T11:00:00", home="c2", group="other")
    with pytest.raises(InputError, match=r"\(rg/c1, other/c2\); say with collection which"):
        find(arm, restore_point="old")
    found = find(arm, restore_point="old", collection="c2", collection_group="other")
    assert found == "c2/restorePoints/old"
    by_id = f"{GROUP.format('other')}/restorePointCollections/c2"
    assert find(arm, restore_point="old", collection=by_id) == "c2/restorePoints/old"


def test_by_id_nothing_else_is_needed(arm: FakeArm) -> None:
    given = f"{GROUP.format('rg')}/restorePointCollections/c1/restorePoints/old"
    assert find(arm, restore_point=given, group=None, vm=None) == "c1/restorePoints/old"


def test_the_id_of_something_else(arm: FakeArm) -> None:
    with pytest.raises(InputError, match="not the id of a restore point"):
        find(arm, restore_point=VM)


@pytest.mark.parametrize(
    ("name", "why"), [("failed", "CreationFailed: .*"), ("creating", "Creating: .*")]
)
def test_one_that_is_not_ready_is_refused(arm: FakeArm, name: str, why: str) -> None:
    with pytest.raises(
        InputError, match=f"{name} in collection c1 cannot be restored .*{why}"
    ) as e:
        find(arm, restore_point=name)
    assert e.value.code == "RestorePointNotReady"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"restore_point": "nothing"}, "There is no restore point 'nothing' in collection c1"),
        (
            {"restore_point": "old", "collection": "c9"},
            "There is no restore point collection c9 in resource group rg",
        ),
        ({"restore_point": "old", "vm": "vm8"}, "vm8 in rg has no restore point collection"),
        ({"restore_point": "old", "vm": "vm9"}, "There is no virtual machine 'vm9'"),
        ({"restore_point": "old", "vm": None}, "Say what to restore"),
        ({"restore_point": "latest", "group": None}, "Say what to restore"),
        (
            {"restore_point": "old", "collection": "c1", "group": None},
            "resource_group is needed to find the collection",
        ),
    ],
)
def test_what_is_not_there_is_told(arm: FakeArm, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(VmguardError, match=sentence):
        find(arm, **options)


def test_a_point_knows_its_region_its_disks_and_what_it_leaves_out(arm: FakeArm) -> None:
    wanted = PointWanted("rg", "vm1", None, None, "old", None)
    point = find_point(arm, wanted)  # type: ignore[arg-type]
    assert (point.location, point.consistency) == ("westeurope", "CrashConsistent")
    assert [disk.disk_restore_point_id for disk in point.disks] == ["old-os"]
    assert [one["name"] for one in point.excluded] == ["scratch"]
    assert [one["reason"] for one in point.excluded] == ["ExcludedFromRestorePoint"]
