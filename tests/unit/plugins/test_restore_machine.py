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
from ansible_collections.vmguard.azure.plugins.module_utils._restore import machine, new_machine
from ansible_collections.vmguard.azure.plugins.module_utils._restore.facts import Facts
from ansible_collections.vmguard.azure.plugins.module_utils._restore.journal import Place
from ansible_collections.vmguard.azure.plugins.module_utils._restore.machine import MachineChanged
from ansible_collections.vmguard.azure.plugins.module_utils._restore.plan import (
    DiskPlan,
    Point,
    SourceDisk,
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
        # Only the disks: all else of the machine stays as whoever else sets it.
        assert request.keys() == {"properties"}
        assert request["properties"].keys() == {"storageProfile"}
        storage = request["properties"]["storageProfile"]
        before = attached_disks(self.body)
        after: Attachments = {None: before[None]}
        if "osDisk" in storage:
            after[None] = self._os_disk(before[None], storage["osDisk"])
        if "dataDisks" not in storage:
            after |= {lun: one for lun, one in before.items() if lun is not None}
        for asked in storage.get("dataDisks", []):
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


Swap = tuple[Attachments, list[Place], Attachments]


@st.composite
def swaps(draw: st.DrawFn) -> Swap:
    """What a machine has, what is swapped, and the entries of the new disks."""
    have: Attachments = {None: entry("os", None, draw(st.sampled_from(CACHING)))}
    places: list[Place] = []
    entries: Attachments = {}

    def swapped(lun: int | None, old: str, new: str) -> None:
        # A restored disk is attached, wherever the machine's first one came from.
        made = {**entry(new, lun, draw(st.sampled_from(CACHING))), "createOption": "Attach"}
        entries[lun] = {key: made[key] for key in made if key not in ("osType", "diskSizeGB")}
        held = machine.remembered(have[lun]) if lun in have else {}
        places.append(Place(lun, disk_called(old) if old else "", disk_called(new), held))

    if draw(st.booleans()):
        swapped(None, "os", "new-os")
    for lun in sorted(draw(st.sets(st.integers(0, 63), max_size=8))):
        fate = draw(st.sampled_from(("kept", "changed", "new")))
        if fate != "new":
            have[lun] = entry(f"disk{lun}", lun, draw(st.sampled_from(CACHING)))
        if fate != "kept":
            swapped(lun, f"disk{lun}" if fate == "changed" else "", f"new{lun}")
    return have, places, entries


def run_updates(
    vm: AzureVm, places: list[Place], entries: Attachments, *, back: bool = False, most: int = 9
) -> int:
    """Send one update after the other, each worked out from what the machine has then."""
    for sent in range(most):
        body = machine.swap_update(vm.body, places, entries, back=back)
        if body is None:
            return sent
        vm.update(body)
    return most


def originals(places: list[Place]) -> Attachments:
    return {place.lun: machine.original_entry(place) for place in places if place.old}


@given(swaps())
def test_the_updates_end_at_the_new_disks(swap: Swap) -> None:
    have, places, entries = swap
    vm = AzureVm(have)
    assert run_updates(vm, places, entries) <= 2
    assert shown(attached_disks(vm.body)) == shown({**have, **entries})
    kept = {id_of(one) for lun, one in have.items() if lun not in entries}
    assert not kept & vm.detached


@given(swaps(), st.integers(0, 2))
def test_the_updates_lead_back_from_anywhere(swap: Swap, sent: int) -> None:
    have, places, entries = swap
    vm = AzureVm(have)
    run_updates(vm, places, entries, most=sent)
    run_updates(vm, places, originals(places), back=True)
    assert shown(attached_disks(vm.body)) == shown(have)


@given(swaps())
def test_what_is_attached_meanwhile_elsewhere_stays(swap: Swap) -> None:
    have, places, entries = swap
    vm = AzureVm(have)
    run_updates(vm, places, entries, most=1)
    free = next(lun for lun in range(64) if lun not in {**have, **entries})
    vm.body["properties"]["storageProfile"]["dataDisks"].append(entry("guest", free))
    run_updates(vm, places, entries)
    assert id_of(attached_disks(vm.body)[free]) == disk_called("guest")
    run_updates(vm, places, originals(places), back=True)
    assert shown(attached_disks(vm.body)) == shown({**have, free: entry("guest", free)})


def test_a_kept_disk_is_sent_as_it_is() -> None:
    have: Attachments = {None: entry("os"), 0: entry("a", 0, "ReadOnly"), 5: entry("b", 5)}
    have[0] |= {"writeAcceleratorEnabled": True, "diskIOPSReadWrite": 500, "diskMBpsReadWrite": 60}
    places = [Place(5, disk_called("b"), disk_called("c"))]
    body = machine.swap_update(vm_with(have), places, {5: entry("c", 5, "ReadWrite")})
    profile = (body or {})["properties"]["storageProfile"]
    assert "osDisk" not in profile
    [kept] = profile["dataDisks"]
    assert kept["name"] == "a" and kept["writeAcceleratorEnabled"] and kept["caching"] == "ReadOnly"
    # A speed that was read before may be old by now, and newer versions of the API apply it.
    assert not {"diskSizeGB", "diskIOPSReadWrite", "diskMBpsReadWrite"} & kept.keys()
    assert kept["managedDisk"] == {"id": disk_called("a")}


def test_ids_in_other_casing_are_no_change() -> None:
    have: Attachments = {None: entry("os"), 0: entry("a", 0)}
    places = [Place(0, disk_called("old"), disk_called("a").upper())]
    assert machine.swap_update(vm_with(have), places, {}) is None


def test_a_place_that_somebody_else_uses_is_refused() -> None:
    have: Attachments = {None: entry("os"), 0: entry("guest", 0)}
    places = [Place(0, disk_called("a"), disk_called("new"))]
    with pytest.raises(
        MachineChanged, match="lun0 of vm1 now holds guest, which somebody attached"
    ):
        machine.swap_update(vm_with(have), places, {0: entry("new", 0)})


def test_a_disk_that_was_moved_is_not_attached_twice() -> None:
    have: Attachments = {None: entry("os"), 5: entry("a", 5)}
    places = [Place(0, disk_called("a"), disk_called("new"))]
    with pytest.raises(
        MachineChanged, match="a, which belongs at lun0 of vm1, is attached at lun5"
    ):
        machine.swap_update(vm_with(have), places, originals(places), back=True)


def test_a_disk_that_is_being_detached_is_left_alone() -> None:
    have: Attachments = {None: entry("os"), 0: entry("a", 0), 1: entry("b", 1)}
    have[1]["toBeDetached"] = True
    places = [Place(0, disk_called("a"), disk_called("new"))]
    with pytest.raises(MachineChanged, match="b of vm1 is being detached by somebody"):
        machine.swap_update(vm_with(have), places, {0: entry("new", 0)})


def test_what_goes_with_the_machine_still_does() -> None:
    made = machine.restored_entry(target(3, caching="ReadOnly"), {"deleteOption": "Delete"})
    assert (made["lun"], made["deleteOption"], made["caching"]) == (3, "Delete", "ReadOnly")
    assert machine.restored_entry(target(3), {})["deleteOption"] == "Detach"


def source(lun: int | None, **more: Any) -> SourceDisk:
    name = "os" if lun is None else f"data{lun}"
    facts: dict[str, Any] = {
        "name": name, "lun": lun, "disk_restore_point_id": "drp", "source_id": disk_called(name),
        "size_gb": 4, "sku": "Premium_LRS", "caching": "None", "write_accelerator": False,
        "encryption_set_id": None, "os_type": "Linux" if lun is None else None,
    }  # fmt: skip
    return SourceDisk(**{**facts, **more})


def target(lun: int | None, **more: Any) -> DiskPlan:
    own = source(lun, **more)
    return DiskPlan(own, disk_called(f"new-{own.name}"), {"sku": {"name": own.sku}})


def point(**metadata: Any) -> Point:
    facts = {"hardwareProfile": {"vmSize": "Standard_D2s_v5"}, **metadata}
    return Point(
        f"{GROUP}/restorePointCollections/c/restorePoints/p", "westeurope", facts, "", None
    )


def body_of(held: Point, source_vm: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"size": None, "network": {}, "tags": {}, "zones": None, **more}
    facts = options.pop("facts", Facts())
    if source_vm is not None:
        source_vm = {"location": "westeurope", "properties": {}, **source_vm}
    source = new_machine.Source(held, source_vm, facts)
    return new_machine.new_body(source, [target(None), target(3)], **options)


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
    listed = new_machine.interfaces(["one", "two"])["networkInterfaces"]
    assert [(nic["id"], nic["properties"]["primary"]) for nic in listed] == [
        ("one", True),
        ("two", False),
    ]


def test_an_interface_made_with_the_machine_goes_with_it() -> None:
    [made] = new_machine.interface_in("subnet", "vm2")["networkInterfaceConfigurations"]
    assert made["name"] == "vm2-nic" and made["properties"]["deleteOption"] == "Delete"
    assert made["properties"]["ipConfigurations"][0]["properties"]["subnet"] == {"id": "subnet"}
