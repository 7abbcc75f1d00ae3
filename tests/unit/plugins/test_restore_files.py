"""Restores into image files: formats, names, repetition, failures that leave nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import (
    BackupNotFound,
    DamagedObject,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.backup_source import (
    BackupWanted,
    find_backup,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.targets.files import (
    RECORD,
    FilesOutcome,
    FilesRequest,
    restore_files,
)
from backup_bench import Content, Place, open_place, same_content
from restore_bench import Bench, open_bench

needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not here")


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path) as opened:
        opened.create()
        opened.scatter(0, 20)
        yield opened


def to_files(place: Place, backup: str | None = "latest", **options: Any) -> FilesOutcome:
    repository = place.open()
    wanted = BackupWanted(repository, None, place.machine.name, backup, options.pop("at", None))
    request = FilesRequest(**{"directory": str(place.folder / "out"), **options})
    point = find_backup(wanted)
    return restore_files(repository, point, request, place.bench.clock, lambda act: act())


def files(place: Place) -> set[str]:
    return {path.name for path in (place.folder / "out").iterdir()}


def same(outcome: FilesOutcome, content: Content) -> None:
    for one in outcome.files:
        assert same_content(one.path, content[one.source.role])


def test_raw_files_and_the_configuration(place: Place) -> None:
    content = place.export()
    made = place.backup()
    outcome = to_files(place)
    same(outcome, content)
    record = json.loads((place.folder / "out" / RECORD).read_text())
    assert record["configuration"]["virtual_machine"]["name"] == place.machine.name
    assert record["backup"].endswith(made.backup.id)
    assert outcome.made and not to_files(place).made


def test_earlier_backups_by_time_and_id(place: Place) -> None:
    content = place.export()
    first = place.backup()
    place.bench.clock.sleep(3600)
    place.scatter(0, 5)
    place.backup()
    same(to_files(place, at=first.backup.finished, backup=None), content)
    same(to_files(place, backup=first.backup.id, force=True), content)
    with pytest.raises(BackupNotFound, match="of 2001-01-01 or before"):
        to_files(place, at="2001-01-01", backup=None)
    with pytest.raises(BackupNotFound, match="is not the id of a backup"):
        to_files(place, backup="../../etc/passwd")


@needs_qemu
@pytest.mark.parametrize("image_format", ["vhd", "qcow2"])
def test_qemu_accepts_what_is_written(place: Place, image_format: str) -> None:
    content = place.export()
    place.backup()
    outcome = to_files(place, format=image_format)
    name = "vpc" if image_format == "vhd" else "qcow2"
    for one in outcome.files:
        if image_format == "qcow2":
            subprocess.run(["qemu-img", "check", "-f", name, str(one.path)], check=True)
        command = ["qemu-img", "compare", "-f", name, "-F", "raw", str(one.path)]
        subprocess.run([*command, str(content[one.source.role])], check=True)


@pytest.mark.parametrize("image_format", ["raw", "vhd", pytest.param("qcow2", marks=needs_qemu)])
def test_nobody_else_may_read_what_is_written(place: Place, image_format: str) -> None:
    place.backup()
    before = os.umask(0)
    try:
        to_files(place, format=image_format)
    finally:
        os.umask(before)
    found = list((place.folder / "out").iterdir())
    assert {path.stat().st_mode & 0o777 for path in found} == {0o600}
    assert len(found) == 3


def test_one_wrong_byte_fails_and_leaves_nothing(place: Place) -> None:
    place.backup()
    pack = max((place.folder / "repository/packs").rglob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    with pytest.raises(DamagedObject, match="is damaged"):
        to_files(place)
    assert files(place) == set()


def test_what_is_there_is_not_overwritten(place: Place) -> None:
    place.backup()
    (place.folder / "out").mkdir()
    other = place.folder / "out" / f"{place.open() and place.backup().backup.disks[0].name}.raw"
    other.write_text("mine")
    with pytest.raises(InputError, match="exists and is not of this restore"):
        to_files(place)
    assert other.read_text() == "mine"


def test_sizes_and_exclusion(place: Place) -> None:
    place.backup()
    with pytest.raises(InputError, match=r"does not fit into 0 GiB"):
        to_files(place, sizes={"os": 0})
    with pytest.raises(InputError, match="disk_sizes names '7'"):
        to_files(place, sizes={"7": 10})
    outcome = to_files(place, sizes={"0": 2}, exclude_disks=["os"])
    assert [one.path.stat().st_size for one in outcome.files] == [2 << 30]
    assert outcome.excluded[0]["reason"] == "ExcludedByRequest"


def test_a_directory_that_cannot_be(place: Place) -> None:
    place.backup()
    with pytest.raises(InputError, match="must be an absolute path"):
        to_files(place, directory="here")
    with pytest.raises(InputError, match="does not exist"):
        to_files(place, directory=str(place.folder / "no" / "where"))
