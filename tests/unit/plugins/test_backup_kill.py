"""kill -9 at random moments of a backup: nothing earlier is lost, the next run clears up."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._image.verifier import Verifier
from ansible_collections.vmguard.azure.plugins.module_utils._repository import manifest, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.manifest import Manifest
from backup_bench import Content, Place, same_content
from restore_bench import Bench

from local_azure.config import Config
from local_azure.launcher import LocalAzure

# More for a long look: VMGUARD_KILLS=100 pytest tests/unit/plugins/test_backup_kill.py
KILLS = int(os.environ.get("VMGUARD_KILLS", "4"))
CHILD = Path(__file__).with_name("backup_child.py")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with LocalAzure(Config()) as local, pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(local.ca_file))
        bench = Bench(local)
        opened = Place(bench, bench.machine([{"lun": 0}]), tmp_path)
        opened.create()
        yield opened


def start(place: Place, **options: object) -> subprocess.Popen[str]:
    repository = str(place.folder / "repository")
    arguments = [repository, place.machine.group, place.machine.name, json.dumps(options)]
    environment = {**os.environ, **place.bench.local.process_environment()}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [sys.executable, str(CHILD), *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(child: subprocess.Popen[str]) -> str:
    out, err = child.communicate(timeout=300)
    assert child.returncode == 0, err
    return json.loads(out)["id"]


def check(place: Place, known: dict[str, Content]) -> None:
    """Every committed backup verifies, and restores byte for byte."""
    repository = place.open()
    found = manifest.listed(repository)
    assert Verifier(repository, 100, random.Random(1)).run(found).sound
    ids = {name.rpartition("/")[2] for name in found}
    assert ids == set(known)
    for name, backup in manifest.read_all(repository, found):
        assert isinstance(backup, Manifest), name
        for image in backup.disks:
            assert same_content(place.restore(image), known[backup.id][image.role])


def test_killed_at_any_moment(place: Place) -> None:
    place.scatter(0, 200, size=16384)
    known: dict[str, Content] = {}
    content = place.export()
    began = time.monotonic()
    known[finish(start(place))] = content
    whole = time.monotonic() - began
    chance = random.Random(20260901)
    for turn in range(KILLS):
        place.scatter(0, 20)
        content = place.export()
        options = {"source": "restore_point"} if turn % 4 == 3 else {}
        child = start(place, **options)
        time.sleep(chance.uniform(0.3 * whole, whole))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        committed = {name.rpartition("/")[2] for name in manifest.listed(place.open())}
        for late in committed - set(known):
            known[late] = content  # it was killed after its commit
        known[finish(start(place, **options))] = content
        repository = place.open()
        assert list(repository.store.list(names.LEASES)) == []
        assert list(repository.store.list(names.LEDGERS)) == []
        assert place.active_sas() == 0
        sources = {
            image.source
            for _name, backup in manifest.read_all(repository, manifest.listed(repository))
            for image in backup.disks
        }
        assert place.snapshots() <= {source.rpartition("/")[2] for source in sources}
        points = {source.split("/")[-3] for source in sources if "/restorePoints/" in source}
        assert place.restore_points() <= points
    check(place, known)
