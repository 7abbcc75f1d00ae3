"""Backups into a repository in which somebody else put things, or a dead run left some."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._repository import manifest, names
from ansible_collections.vmguard.azure.plugins.module_utils._storage import folder as folder_module
from backup_bench import Place, open_place
from image_world import make_repository
from restore_bench import Bench, open_bench

PASSPHRASE = "made up"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path) as opened:
        opened.create(PASSPHRASE)
        yield opened


def test_garbage_among_the_manifests_blocks_no_backup_and_moves_no_id(place: Place) -> None:
    first = place.backup()
    repository = place.open()
    key = manifest.vm_key(repository, place.machine.id)
    garbage = [
        "20269999t999999z-00000000",
        "99991231t235959z-ffffffff",
        "20991231t235959z-00000000",
    ]
    for backup_id in garbage:
        repository.store.put(names.manifest(key, backup_id), b"")
    place.bench.clock.sleep(60)
    content = place.export()
    outcome = place.backup()
    assert outcome.backup.id > first.backup.id
    begun = names.moment(outcome.backup.id)
    assert abs(begun - place.bench.clock.now()) < timedelta(hours=1)
    assert [disk.level for disk in outcome.backup.disks] == ["incremental", "incremental"]
    for backup_id in garbage:
        assert (
            sum(f"The backup {backup_id} is passed over" in text for text in outcome.warnings) == 1
        )
    place.check(outcome, content)


def test_a_backup_clears_what_dead_writers_left(place: Place, tmp_path: Path) -> None:
    # The key of a creation that came too late, as another repository's.
    make_repository(tmp_path / "late", "x")
    (late,) = (tmp_path / "late" / "keys").iterdir()
    shutil.copy(late, place.repository / "keys")
    with subprocess.Popen(["true"]) as child:
        child.wait()
    alive = folder_module._temporary_name()
    where, _pid, entropy = alive.split("-")
    dead = f"{where}-{child.pid}-{entropy}"
    for name in (alive, dead):
        (place.repository / "tmp" / name).write_bytes(b"half")
    content = place.export()
    outcome = place.backup()
    assert not (place.repository / "keys" / late.name).exists()
    assert [path.name for path in (place.repository / "tmp").iterdir()] == [alive]
    place.check(outcome, content)
