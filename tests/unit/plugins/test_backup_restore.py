"""Restores of image backups: as a new machine, in place, as disks; bytes, failures, leftovers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._restore.backup_source import (
    BackupWanted,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.engine import restore
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import (
    Outcome,
    Request,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.upload import Uploader
from backup_bench import Place, open_place
from restore_bench import Bench, open_bench


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
    place: Place, target: str, backup: str = "latest", location: str | None = None, **options: Any
) -> Outcome:
    bench, machine = place.bench, place.machine
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
        return restore(arm, wanted, request, lambda act, _p=None: act(), bench.clock.now())


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
