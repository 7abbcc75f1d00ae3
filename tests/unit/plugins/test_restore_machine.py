"""Bodies of restored machines, and the updates that swap disks under Azure's rules."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute.storage_profile import (
    attached_disks,
)
from ansible_collections.vmguard.azure.plugins.module_utils._compute.storage_profile import (
    disk_id as id_of,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore import machine
from ansible_collections.vmguard.azure.plugins.module_utils._restore.plan import (
    Point,
    SourceDisk,
    TargetDisk,
)
from hypothesis import given
from hypothesis import strategies as st

GROUP = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Compute"
CACHING = ("None", "ReadOnly", "ReadWrite")
Attachments = dict[int | None, dict[str, Any]]


def disk_called(name: str) -> str:
    return f"{GROUP}/disks/{name}"


def entry(name: str, lun: int | None = None, caching: str = "None") -> dict[str, Any]:
    """An attachment as Azure shows it."""
    shown = {
        "name": name, "createOption": "Attach", "caching": caching, "deleteOption": "Detach",
        "managedDisk": {"id": disk_called(name), "storageAccountType": "Premium_LRS"},
        "diskSizeGB": 4,
    }  # fmt: skip
    if lun is None:
        return {"osType": "Linux", **shown, "createOption": "FromImage"}
    return {"lun": lun, **shown, "toBeDetached": False}


def vm_with(disks: Attachments) -> dict[str, Any]:
    data = [disks[lun] for lun in sorted(lun for lun in disks if lun is not None)]
    return {
        "id": f"{GROUP}/virtualMachines/vm1", "name": "vm1", "location": "westeurope",
        "tags": {"a": "b"}, "resources": [{"name": "extension"}], "etag": "1",
        "properties": {
            "vmId": "v", "provisioningState": "Succeeded", "timeCreated": "2026", "instanceView": {},
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {"osDisk": disks[None], "dataDisks": data},
        },
    }  # fmt: skip


class Refused(AssertionError):
    """Azure would answer that this property cannot be changed."""


class AzureVm:
    """A deallocated machine that takes updates as Azure does."""

    def __init__(self, disks: Attachments) -> None:
        self.body = vm_with(copy.deepcopy(disks))
        self.updates = 0
        self.detached: set[str] = set()

    def update(self, request: dict[str, Any]) -> None:
        """Take one update.

        Raises:
            Refused: Azure would not.
        """
        self.updates += 1
        assert not {"resources", "etag"} & request.keys()
        assert not {"vmId", "instanceView", "provisioningState"} & request["properties"].keys()
        storage = request["properties"]["storageProfile"]
        before = attached_disks(self.body)
        after: Attachments = {None: self._os_disk(before[None], storage["osDisk"])}
        for asked in storage["dataDisks"]:
            if asked["lun"] in after:
                raise Refused(f"LUN {asked['lun']} is named twice.")
            after[asked["lun"]] = self._data_disk(before.get(asked["lun"]), asked)
        self._check_free(before, after)
        self.detached |= {id_of(one) for one in before.values()}
        self.detached -= {id_of(one) for one in after.values()}
        self.body = vm_with(after)

    @staticmethod
    def _os_disk(held: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
        for fixed in ("createOption", "osType"):
            if asked.get(fixed) != held[fixed]:
                raise Refused(f"osDisk.{fixed}")
        return {**entry(asked["name"], None, asked["caching"]), "managedDisk": asked["managedDisk"]}

    @staticmethod
    def _data_disk(held: dict[str, Any] | None, asked: dict[str, Any]) -> dict[str, Any]:
        if held is None:
            if asked["createOption"] != "Attach":
                raise Refused("A disk that exists can only be attached.")
        elif id_of(held) != id_of(asked):
            raise Refused("dataDisk.managedDisk.id")
        return entry(asked["name"], asked["lun"], asked["caching"])

    @staticmethod
    def _check_free(before: Attachments, after: Attachments) -> None:
        ids = [id_of(one) for one in after.values()]
        if len(ids) != len(set(ids)):
            raise Refused("A disk is attached twice.")
        place = {id_of(one): lun for lun, one in before.items()}
        moved = [one for lun, one in after.items() if place.get(id_of(one), lun) != lun]
        if moved:
            raise Refused("AttachDiskWhileBeingDetached")


def shown(disks: Attachments) -> dict[int | None, tuple[str, str]]:
    return {lun: (id_of(one), one["caching"]) for lun, one in disks.items()}


@st.composite
def swaps(draw: st.DrawFn) -> tuple[Attachments, Attachments]:
    """What a machine has, and what it is to have: for each LUN kept, changed, gone or new."""
    have: Attachments = {None: entry("os", None, draw(st.sampled_from(CACHING)))}
    wanted: Attachments = {None: have[None]}
    if draw(st.booleans()):
        # A restored disk is attached, wherever the machine's first one came from.
        wanted[None] = {**entry("new-os", None, draw(st.sampled_from(CACHING))),
                        "createOption": "Attach"}  # fmt: skip
        del wanted[None]["osType"]
    for lun in draw(st.sets(st.integers(0, 63), max_size=8)):
        caching = draw(st.sampled_from(CACHING))
        fate = draw(st.sampled_from(("kept", "changed", "gone", "new")))
        if fate != "new":
            have[lun] = entry(f"disk{lun}", lun, caching)
        if fate == "kept":
            wanted[lun] = have[lun]
        elif fate != "gone":
            wanted[lun] = entry(f"new{lun}", lun, draw(st.sampled_from(CACHING)))
    return have, wanted


@given(swaps())
def test_the_updates_end_at_the_wanted_disks(swap: tuple[Attachments, Attachments]) -> None:
    have, wanted = swap
    vm = AzureVm(have)
    steps = machine.with_disks(vm.body, wanted)
    for step in steps:
        vm.update(step)
    assert shown(attached_disks(vm.body)) == shown(wanted)
    assert len(steps) <= 2
    assert machine.with_disks(vm.body, wanted) == []
    kept = {id_of(have[lun]) for lun in have if wanted.get(lun) is have[lun]}
    assert not kept & vm.detached


@given(swaps())
def test_the_updates_lead_back_from_halfway(swap: tuple[Attachments, Attachments]) -> None:
    have, wanted = swap
    vm = AzureVm(have)
    for step in machine.with_disks(vm.body, wanted)[:1]:
        vm.update(step)
    for step in machine.with_disks(vm.body, have):
        vm.update(step)
    assert shown(attached_disks(vm.body)) == shown(have)
    assert vm.updates <= 3


def test_a_kept_disk_is_sent_as_it_is() -> None:
    have: Attachments = {None: entry("os"), 0: entry("a", 0, "ReadOnly"), 5: entry("b", 5)}
    have[0]["writeAcceleratorEnabled"] = True
    first, second = machine.with_disks(vm_with(have), {**have, 5: entry("c", 5, "ReadWrite")})
    kept = first["properties"]["storageProfile"]["dataDisks"]
    assert [disk["name"] for disk in kept] == ["a"]
    assert kept[0]["writeAcceleratorEnabled"] and kept[0]["caching"] == "ReadOnly"
    assert "diskSizeGB" not in kept[0] and kept[0]["managedDisk"] == {"id": disk_called("a")}
    assert second["properties"]["storageProfile"]["dataDisks"][0] == kept[0]
    assert [disk["lun"] for disk in second["properties"]["storageProfile"]["dataDisks"]] == [0, 5]


def test_ids_in_other_casing_are_no_change() -> None:
    have: Attachments = {None: entry("os"), 0: entry("a", 0)}
    wanted = copy.deepcopy(have)
    wanted[0]["managedDisk"]["id"] = disk_called("a").upper()
    assert machine.with_disks(vm_with(have), wanted) == []


def test_an_update_leaves_the_machine_it_was_made_of_alone() -> None:
    have: Attachments = {None: entry("os"), 0: entry("a", 0)}
    vm = vm_with(have)
    before = copy.deepcopy(vm)
    assert machine.with_disks(vm, {None: entry("new-os")})
    assert vm == before


def source(lun: int | None, **more: Any) -> SourceDisk:
    name = "os" if lun is None else f"data{lun}"
    facts: dict[str, Any] = {
        "name": name, "lun": lun, "disk_restore_point_id": "drp", "source_id": disk_called(name),
        "size_gb": 4, "sku": "Premium_LRS", "caching": "None", "write_accelerator": False,
        "encryption_set_id": None, "os_type": "Linux" if lun is None else None,
    }  # fmt: skip
    return SourceDisk(**{**facts, **more})


def target(lun: int | None, **more: Any) -> TargetDisk:
    own = source(lun, **more)
    return TargetDisk(own, "rg", f"new-{own.name}", {}, disk_called(f"new-{own.name}"))


def point(**metadata: Any) -> Point:
    facts = {"hardwareProfile": {"vmSize": "Standard_D2s_v5"}, **metadata}
    return Point(
        f"{GROUP}/restorePointCollections/c/restorePoints/p", "westeurope", facts, "", None
    )


def body_of(held: Point, source_vm: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"size": None, "network": {}, "tags": {}, "zones": None, **more}
    return machine.new_body(held, [target(None), target(3)], source_vm=source_vm, **options)


def test_disks_are_attached_as_the_point_had_them() -> None:
    disks = [
        target(None, caching="ReadWrite"),
        target(3, caching="ReadOnly", write_accelerator=True),
    ]
    profile = machine.storage_profile(disks)
    assert profile["osDisk"]["osType"] == "Linux"
    assert profile["osDisk"]["caching"] == "ReadWrite"
    assert profile["osDisk"]["createOption"] == "Attach"
    assert profile["osDisk"]["managedDisk"] == {"id": disk_called("new-os")}
    [data] = profile["dataDisks"]
    assert (data["lun"], data["caching"]) == (3, "ReadOnly")
    assert data["writeAcceleratorEnabled"] and "writeAcceleratorEnabled" not in profile["osDisk"]
    # What was restored must not go with the machine by accident.
    assert data["deleteOption"] == "Detach"


def test_the_point_wins_over_the_source_machine() -> None:
    trusted = {"securityType": "TrustedLaunch"}
    source_vm = {
        "properties": {"securityProfile": {"securityType": "Standard"}, "licenseType": "RHEL_BYOS"},
        "plan": {"name": "x"},
    }
    body = body_of(point(securityProfile=trusted), source_vm)
    assert body["properties"]["securityProfile"] == trusted
    assert body["properties"]["licenseType"] == "RHEL_BYOS"
    assert body["plan"] == {"name": "x"}
    assert "osProfile" not in body["properties"]


def test_without_a_source_machine_nothing_is_made_up() -> None:
    body = body_of(point())
    assert body["properties"].keys() == {"hardwareProfile", "storageProfile", "networkProfile"}
    assert body.keys() == {"location", "tags", "properties"}


@pytest.mark.parametrize(("asked", "made"), [(None, "Standard_D2s_v5"), ("B1", "B1")])
def test_the_size_is_the_points_unless_another_is_asked_for(asked: str | None, made: str) -> None:
    assert body_of(point(), size=asked)["properties"]["hardwareProfile"] == {"vmSize": made}


def test_zones_and_tags_are_the_machines() -> None:
    body = body_of(point(), zones=["2"], tags={"a": "b"})
    assert body["zones"] == ["2"] and body["tags"] == {"a": "b"}


def test_the_first_interface_is_the_primary_one() -> None:
    listed = machine.interfaces(["one", "two"])["networkInterfaces"]
    assert [(nic["id"], nic["properties"]["primary"]) for nic in listed] == [
        ("one", True),
        ("two", False),
    ]


def test_an_interface_made_with_the_machine_goes_with_it() -> None:
    [made] = machine.interface_in("subnet", "vm2")["networkInterfaceConfigurations"]
    assert made["name"] == "vm2-nic" and made["properties"]["deleteOption"] == "Delete"
    assert made["properties"]["ipConfigurations"][0]["properties"]["subnet"] == {"id": "subnet"}
