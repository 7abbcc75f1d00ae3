"""Restores of image backups: as a new machine, in place, as disks; bytes, failures, leftovers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import DamagedObject
from ansible_collections.vmguard.azure.plugins.module_utils._restore.engine import restore
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import Outcome, Request
from ansible_collections.vmguard.azure.plugins.module_utils._restore.source.backup import (
    BackupWanted,
    choose_backup,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.uploader import Uploader
from backup_bench import Place, open_place
from restore_bench import FOREVER, NETWORK_API, Bench, open_bench

from local_azure.config import Config
from local_azure.launcher import LocalAzure


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path) as opened:
        opened.create()
        yield opened


def bring_back(
    place: Place,
    target: str,
    backup: str = "latest",
    location: str | None = None,
    there: Bench | None = None,
    **options: Any,
) -> Outcome:
    """Restore, in another Azure if there is one."""
    bench, machine = there or place.bench, place.machine
    repository = place.open()
    arm = bench.arm()
    with Uploader(repository, bench.clock, workers=4) as uploader:
        wanted = BackupWanted(
            repository, machine.group, machine.name, backup, None,
            fill=uploader.fill, location=location, subscription=arm.subscription_id,
        )  # fmt: skip
        request = Request(
            **{"target": target, "group": machine.group, "vm": machine.name, **options}
        )
        return restore(arm, wanted, request, lambda act, _p=None: act(), bench.clock)


def test_a_new_machine_of_an_incremental_after_the_source_is_gone(place: Place) -> None:
    bench, machine = place.bench, place.machine
    place.backup()
    place.scatter(0, 30)
    place.backup()
    digests = bench.digests(machine.id, machine.luns)
    bench.delete_vm(machine)
    for snapshot in place.snapshots():
        arm = bench.look
        arm.run("snapshots.begin_delete", snapshot, machine.group, snapshot)
    outcome = bring_back(place, "new_vm", new_name="back")
    assert outcome.ready and outcome.vm_id
    assert bench.digests(outcome.vm_id, machine.luns) == digests
    assert place.active_sas() == 0
    again = bring_back(place, "new_vm", new_name="back")
    assert again.reason == "AlreadyRestored"


@pytest.fixture
def far(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Another subscription, which holds nothing of the first one."""
    subscription = "00000000-0000-4000-8000-0000000000ff"
    with LocalAzure(Config(token_seconds=FOREVER, subscription=subscription)) as local:
        both = tmp_path / "ca.pem"
        both.write_text(bench.local.ca_file.read_text() + local.ca_file.read_text())
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(both))
        yield Bench(local)


def test_in_another_subscription_and_region(place: Place, far: Bench) -> None:
    machine = place.machine
    place.backup()
    digests = place.bench.digests(machine.id, machine.luns)
    neighbour = far.machine([], location="northeurope")
    home: dict[str, Any] = {"there": far, "location": "northeurope"}
    home |= {"new_group": neighbour.group, "new_name": "back"}
    with pytest.raises(InputError, match="needs a network: give subnet_id"):
        bring_back(place, "new_vm", **home)
    nic = far.get(neighbour)["properties"]["networkProfile"]["networkInterfaces"][0]["id"]
    found = far.look.get(nic, NETWORK_API)
    subnet = found["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"]

    outcome = bring_back(place, "new_vm", subnet_id=subnet, **home)

    assert outcome.ready and outcome.vm_id
    assert far.login.subscription_id in outcome.vm_id
    assert far.digests(outcome.vm_id, machine.luns) == digests
    assert far.get(neighbour, "back")["location"] == "northeurope"
    assert far.local.app.state.sas.active() == []
    again = bring_back(place, "new_vm", subnet_id=subnet, **home)
    assert again.reason == "AlreadyRestored"


def test_in_place_and_as_disks(place: Place) -> None:
    bench, machine = place.bench, place.machine
    made = place.backup()
    digests = bench.digests(machine.id, machine.luns)
    bench.write(machine, "later")
    outcome = bring_back(place, "in_place", allow_stop=True)
    assert bench.digests(machine.id, machine.luns) == digests
    assert outcome.safety_restore_point
    disks = bring_back(place, "disks", disk_sizes={"0": 3})
    by_lun = {disk.source.lun: disk for disk in disks.disks}
    assert bench.control.digest(id=by_lun[None].id) == digests["os"]
    assert bench.disk(machine, by_lun[0].name)["properties"]["diskSizeGB"] == 3
    assert made.backup.id in str(disks.result(bench.clock.now())["backup"])
    assert place.active_sas() == 0


def test_a_damaged_later_backup_is_in_no_earlier_ones_way(place: Place) -> None:
    first = place.backup().backup
    place.bench.clock.sleep(100)
    moment = place.bench.clock.now().isoformat()
    place.bench.clock.sleep(100)
    second = place.backup().backup
    assert first is not None and second is not None
    [path] = place.repository.glob(f"manifests/*/{second.id}")
    path.write_bytes(b"garbage")
    machine = place.machine
    wanted = BackupWanted(place.open(), machine.group, machine.name, None, moment)
    assert choose_backup(wanted).id == first.id
    with pytest.raises(DamagedObject):
        choose_backup(BackupWanted(place.open(), machine.group, machine.name, "latest", None))
