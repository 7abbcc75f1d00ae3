"""Disks whose sectors have 4,096 bytes come as VHDX: they are refused, and nothing takes them for a VHD."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._compute import disk_access
from ansible_collections.vmguard.azure.plugins.module_utils._compute.protectability import (
    export_findings,
)
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_blob import (
    NotAVhd,
    PageBlob,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import AzureError, InputError
from backup_bench import Place, open_place
from page_blob_world import GIB, World, open_bench, world_in
from restore_bench import Bench

ULTRA = [{"lun": 0, "sku": "UltraSSD_LRS"}]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path, ULTRA) as made:
        made.create()
        yield made


class Url:
    """Access that was granted elsewhere."""

    def __init__(self, url: str) -> None:
        self.name = "the disk"
        self._url = url

    def url(self) -> str:
        return self._url

    def renew(self, seen: str) -> str:
        return seen

    def headers(self) -> dict[str, str]:
        return {}

    def challenged(self, seen: dict[str, str]) -> bool:
        return seen != {}


def exported(world: World, identity: str) -> PageBlob:
    """What a client gets that asks for VHDX."""
    body = {"access": "Read", "durationInSeconds": 600, "fileFormat": "VHDX"}
    group, name = identity.split("/")[4], identity.rsplit("/", 1)[1]
    found: Any = world.arm.run(
        "snapshots.begin_grant_access", name, group, name, body=body, final_state_via="location"
    )
    return PageBlob(Url(disk_access._signed_url(found) or ""), world.http, world.clock)


def test_a_backup_says_so_before_anything_starts(place: Place) -> None:
    for check_mode in (False, True):
        gate = (lambda _act, predicted=None: predicted) if check_mode else None
        with pytest.raises(InputError, match="sectors of 4096 bytes") as error:
            place.backup(gate)
        assert error.value.code == "DisksNotReadable"
    assert place.snapshots() == set()
    assert list((place.repository / "packs").glob("*")) == []


def test_the_others_are_backed_up_without_it(place: Place) -> None:
    luns = place.machine.luns
    place.machine.luns = ["os"]
    content = place.export()
    place.machine.luns = luns
    outcome = place.backup(exclude_disks=["vm1_DataDisk_0"])
    place.check(outcome, content)
    assert outcome.backup is not None
    assert [disk.facts["sector_size"] for disk in outcome.backup.disks] == [512]


def test_azure_gives_a_vhdx_to_who_asks_for_it_and_it_is_no_vhd(bench: Bench) -> None:
    with world_in(bench) as world:
        machine = bench.machine(ULTRA)
        world.write(machine, 0, b"as it was")
        snapshot = world.snapshot(machine)
        with pytest.raises(AzureError, match="Set the fileFormat property to VHDX"):
            disk_access.grant(world.arm, snapshot, 600)
        blob = exported(world, snapshot)
        assert blob.read(0, 8) == b"vhdxfile"
        assert blob.size() > GIB
        with pytest.raises(NotAVhd, match="not the footer of a VHD") as error:
            blob.disk_size()
        assert "4,096" in (error.value.hint or "")
        disk_access.revoke(world.arm, snapshot)


def test_what_a_copy_keeps_of_it(bench: Bench) -> None:
    with world_in(bench) as world:
        machine = bench.machine(ULTRA)
        snapshot = world.snapshot(machine)
        told = world.arm.read("snapshots.get", "", machine.group, snapshot.rsplit("/", 1)[1])
        assert told["properties"]["creationData"]["logicalSectorSize"] == 4096


@pytest.mark.parametrize(
    ("sku", "stated", "expected"),
    [
        ("UltraSSD_LRS", None, ["SectorSizeNotSupported"]),
        ("PremiumV2_LRS", None, ["SectorSizeNotSupported"]),
        ("PremiumV2_LRS", 4096, ["SectorSizeNotSupported"]),
        ("PremiumV2_LRS", 512, []),
        ("Premium_LRS", None, []),
        ("Premium_LRS", 512, []),
    ],
)
def test_a_disk_of_512_byte_sectors_can_be_read_whatever_it_is(
    sku: str, stated: int | None, expected: list[str]
) -> None:
    creation = {"logicalSectorSize": stated} if stated else {}
    disk = {"name": "data0", "sku": {"name": sku}, "properties": {"creationData": creation}}
    findings = export_findings(disk, {"name": "data0", "managedDisk": {"id": "x"}})
    assert [one["reason"] for one in findings] == expected
