"""What a restore will do, worked out before anything is written."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError
from ansible_collections.vmguard.azure.plugins.module_utils._restore import plan
from ansible_collections.vmguard.azure.plugins.module_utils._restore.plan import Point, SourceDisk
from ansible_collections.vmguard.azure.plugins.module_utils._restore.prepare import check_vm_name
from ansible_collections.vmguard.azure.plugins.module_utils._restore.source.restore_point import (
    source_disks,
)
from hypothesis import given
from hypothesis import strategies as st

GROUP = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute"
POINT_ID = f"{GROUP}/restorePointCollections/coll/restorePoints/nightly"
SET = f"{GROUP}/diskEncryptionSets/set1"


def raw_disk(name: str, lun: int | None = None, **more: Any) -> dict[str, Any]:
    """A disk as a restore point holds it."""
    held: dict[str, Any] = {
        "name": name, "caching": "ReadOnly", "diskSizeGB": 8,
        "managedDisk": {"id": f"{GROUP}/disks/{name}", "storageAccountType": "Premium_LRS"},
        "diskRestorePoint": {"id": f"{POINT_ID}/diskRestorePoints/{name}_1"},
        **more,
    }  # fmt: skip
    return {"osType": "Linux", **held} if lun is None else {"lun": lun, **held}


def make_point(*data: dict[str, Any], **metadata: Any) -> Point:
    storage = {"osDisk": raw_disk("os"), "dataDisks": list(data)}
    facts = {"storageProfile": storage, **metadata}
    return Point(
        POINT_ID, "westeurope", facts, "2026-09-01T10:15:00.1234567+00:00", None,
        source_disks(facts),
    )  # fmt: skip


def name_of(pattern: str, disk: SourceDisk, vm: str = "vm2") -> str:
    return plan.disk_name(pattern, disk, vm=vm, source_vm="vm1", point=make_point())


def test_the_os_disk_comes_first_then_by_lun() -> None:
    disks = make_point(raw_disk("b", 7), raw_disk("a", 2)).disks
    assert [(disk.role, disk.lun, disk.name) for disk in disks] == [
        ("os", None, "os"),
        ("lun2", 2, "a"),
        ("lun7", 7, "b"),
    ]


def test_disks_that_the_point_holds_nothing_of_are_not_there() -> None:
    without = raw_disk("a", 0)
    del without["diskRestorePoint"]
    point = make_point(without, raw_disk("b", 1))
    assert [disk.name for disk in point.disks] == ["os", "b"]
    assert source_disks({"storageProfile": {"dataDisks": [raw_disk("b", 1)]}})[0].lun == 1


def test_everything_known_of_a_disk_is_read() -> None:
    encryption = {"diskEncryptionSet": {"id": SET}}
    kept = {"id": "drp", "encryption": encryption}
    disk = make_point(raw_disk("a", 3, diskRestorePoint=kept, writeAcceleratorEnabled=True)).disks[
        1
    ]
    assert (disk.size_gb, disk.sku, disk.caching) == (8, "Premium_LRS", "ReadOnly")
    assert disk.write_accelerator and disk.encryption_set_id == SET
    assert disk.disk_restore_point_id == "drp" and disk.source_id == f"{GROUP}/disks/a"


@given(st.sampled_from(["point", "target", "id"]), st.sampled_from(["point", "target", "id"]))
def test_an_identity_is_of_the_point_the_target_and_its_id(one: str, other: str) -> None:
    def changed(part: str) -> str:
        values = {"point": "a", "target": "b", "id": "c"}
        values[part] = "changed"
        return plan.identity(values["point"], values["target"], values["id"])

    assert (changed(one) == changed(other)) is (one == other)


def test_an_identity_does_not_depend_on_casing() -> None:
    assert plan.identity("A", "new_vm", "B") == plan.identity("a", "new_vm", "b")


def test_identity_tags_find_their_restore_and_no_other() -> None:
    tags = plan.identity_tags(make_point(), "mark")
    assert plan.made_by_restore({"tags": tags}, "mark") and not plan.made_by_restore(
        {"tags": tags}, "other"
    )
    assert not plan.made_by_restore({}, "mark") and not plan.made_by_restore(None, "mark")
    assert POINT_ID in tags.values()


def test_tag_values_stay_within_azures_limit() -> None:
    long = POINT_ID.replace("/rg/", f"/{'g' * 250}/")
    point = Point(long, "westeurope", {}, "", None)
    values = plan.identity_tags(point, "mark").values()
    assert max(map(len, values)) <= 256 and "coll/nightly" in values


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{vm}_{role}", "vm2_lun3"),
        ("{source_vm}-{disk}", "vm1-data"),
        ("{point}.{time}", "nightly.20260901T101500"),
        ("plain", "plain"),
    ],
)
def test_disk_names_follow_their_pattern(pattern: str, name: str) -> None:
    assert name_of(pattern, make_point(raw_disk("data", 3)).disks[1]) == name


@pytest.mark.parametrize("pattern", ["{nothing}", "{vm", "{}", "{0}"])
def test_a_pattern_that_cannot_be_filled_in_is_refused(pattern: str) -> None:
    with pytest.raises(InputError, match=r"cannot be filled in .*it may use \{vm\}"):
        name_of(pattern, make_point().disks[0])


def test_a_name_that_azure_refuses_is_refused() -> None:
    with pytest.raises(InputError, match="not a name that Azure accepts for a disk"):
        name_of("{vm}/{role}", make_point().disks[0])
    with pytest.raises(InputError, match="not a name that Azure accepts for a disk"):
        name_of(f"{'x' * 80}{{vm}}", make_point().disks[0])


@given(st.integers(60, 80), st.sampled_from(list(plan.DEFAULT_PATTERNS.values())))
def test_long_names_are_cut_and_stay_apart(length: int, pattern: str) -> None:
    disks = make_point(raw_disk("d" * length, 1), raw_disk("d" * (length - 1) + "e", 2)).disks
    names = [name_of(pattern, disk, vm="v" * length) for disk in disks]
    assert len(set(names)) == len(names) and max(map(len, names)) <= 80


def test_two_disks_of_one_name_are_refused() -> None:
    point = make_point(raw_disk("a", 0))
    disks = [
        plan.DiskPlan(disk, f"{GROUP}/disks/{name}", {})
        for name, disk in zip(("Same", "same"), point.disks, strict=True)
    ]
    with pytest.raises(InputError, match=r"gives os and a the same name same; put \{role\}"):
        plan.check_distinct(disks)
    plan.check_distinct(disks[:1])


def test_a_number_fits_into_a_long_name() -> None:
    disk = plan.DiskPlan(make_point().disks[0], f"{GROUP}/disks/{'d' * 80}", {})
    assert disk.numbered(12).name == f"{'d' * 77}-12"
    assert disk.numbered(12).group == "rg"


def test_what_a_run_made_is_told_by_its_tag() -> None:
    disk = {"tags": {plan.RUN_TAG: "run1@vm2_os"}}
    assert plan.made_by_run(disk, "run1") and not plan.made_by_run(disk, "run")
    assert not plan.made_by_run({"tags": None}, "run1") and not plan.made_by_run(None, "run1")


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ([], ["os", "a", "b"]),
        (["os"], ["a", "b"]),
        (["A"], ["os", "b"]),
        (["4"], ["os", "a"]),
        ([f"{GROUP}/DISKS/b".lower(), "OS"], ["a"]),
        (["a", "0"], ["os", "b"]),
    ],
)
def test_disks_are_left_out_by_name_lun_id_or_os(exclude: list[str], left: list[str]) -> None:
    chosen, left_out = plan.select(make_point(raw_disk("a", 0), raw_disk("b", 4)).disks, exclude)
    assert [disk.name for disk in chosen] == left
    assert len(chosen) + len(left_out) == 3


def test_leaving_out_what_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=re.escape("'9', which is no disk of the restore point")):
        plan.select(make_point(raw_disk("a", 0)).disks, ["9"])


@pytest.mark.parametrize(
    ("name", "os_type"), [("vm1", None), ("a" * 64, "Linux"), ("a" * 15, "Windows"), ("1a_", None)]
)
def test_good_machine_names(name: str, os_type: str | None) -> None:
    assert check_vm_name(name, os_type) == name


@pytest.mark.parametrize(
    ("name", "os_type"),
    [
        ("", None), ("-a", None), ("a-", None), ("a.", None), ("123", None), ("a b", None),
        ("a\n", None), ("a" * 65, "Linux"), ("a" * 16, "Windows"), ("_a", None), ("ä", None),
    ],
)  # fmt: skip
def test_bad_machine_names_are_refused(name: str, os_type: str | None) -> None:
    with pytest.raises(InputError, match="not a name that Azure accepts for a virtual machine"):
        check_vm_name(name, os_type)
