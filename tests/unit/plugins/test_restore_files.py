"""Restores into image files: formats, names, repetition, failures that leave nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError, VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import (
    BackupNotFound,
    DamagedObject,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.source.backup import (
    BackupWanted,
    find_backup,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.targets.files import (
    FilesOutcome,
    FilesRequest,
    restore_files,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.targets.target_folder import (
    LOCK,
    PARTIAL,
    RECORD,
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


@needs_qemu
def test_a_folder_that_is_put_in_the_place_of_ours_is_not_written_to(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write in the directory can rename what lies in it, between any two steps."""
    place.backup()
    victim, out, tools = (place.folder / name for name in ("victim", "out", "tools"))
    victim.write_text("of somebody else")
    tools.mkdir()
    swapping = tools / "qemu-img"
    swapping.write_text(
        "#!/bin/sh\n"
        f"if [ -d {out}/.vmguard-restore.partial ] && [ ! -e {out}/ours ]; then\n"
        f"  mv {out}/.vmguard-restore.partial {out}/ours; mkdir {out}/.vmguard-restore.partial\n"
        "  for name; do :; done; ln -s "
        f'{victim} "{out}/.vmguard-restore.partial/$(basename "$name")"\n'
        f'fi\nexec {shutil.which("qemu-img")} "$@"\n'
    )
    swapping.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    with contextlib.suppress(VmguardError):
        to_files(place, format="qcow2")
    assert (out / "ours").is_dir() and victim.read_text() == "of somebody else"


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


@pytest.mark.parametrize("image_format", ["raw", "vhd", pytest.param("qcow2", marks=needs_qemu)])
def test_a_file_that_was_changed_is_not_called_restored(place: Place, image_format: str) -> None:
    content = place.export()
    place.backup()
    first = to_files(place, format=image_format).files[0].path

    def middle(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(path.stat().st_size // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))

    def last(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))

    changes: list[tuple[Any, str]] = [
        (lambda path: os.truncate(path, 0), "it has 0 bytes"),
        (lambda path: path.write_bytes(b"x" * 4096), "it has 4096 bytes"),
        (lambda path: os.truncate(path, path.stat().st_size + 512), "bytes, not"),
        (middle, "its content differs"),
        (last, "its content differs"),
    ]
    for change, says in changes:
        change(first)
        with pytest.raises(InputError, match=f"{first} is not what was restored any more.*{says}"):
            to_files(place, format=image_format)
        outcome = to_files(place, format=image_format, force=True)
        assert outcome.made and not to_files(place, format=image_format).made
    if image_format == "raw":
        same(outcome, content)


@pytest.mark.parametrize("image_format", ["raw", "vhd", pytest.param("qcow2", marks=needs_qemu)])
def test_a_file_of_the_same_content_is_the_restored_one(place: Place, image_format: str) -> None:
    place.backup()
    made = to_files(place, format=image_format, sizes={"os": 2})
    first, second = (one.path for one in made.files)
    os.utime(first)
    copy = first.with_name("copy")
    subprocess.run(["cp", "--sparse=always", str(second), str(copy)], check=True)
    copy.replace(second)
    assert not to_files(place, format=image_format, sizes={"os": 2}).made


def test_what_is_unchanged_is_not_read_again(place: Place) -> None:
    place.backup()
    first = to_files(place).files[0].path
    before = first.stat()
    with first.open("r+b") as file:
        file.write(b"X")
    # Nobody but who means to deceive sets a time back: what then counts is what was noted.
    os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not to_files(place).made


def test_zeros_in_place_of_a_hole_are_the_same_content(place: Place) -> None:
    place.backup()
    first = to_files(place).files[0].path
    with first.open("r+b") as file:
        file.seek(first.stat().st_size - (1 << 20))
        file.write(bytes(1 << 20))
    assert not to_files(place).made


def test_another_selection_or_size_is_another_restore(place: Place) -> None:
    place.backup()
    one = to_files(place, exclude_disks=["os"])
    record = (place.folder / "out" / RECORD).read_bytes()
    with pytest.raises(InputError, match="exists and is not of this restore"):
        to_files(place)
    with pytest.raises(InputError, match="holds another restore") as caught:
        to_files(place, exclude_disks=["0"])
    assert one.files[0].path.name in caught.value.message
    with pytest.raises(InputError, match="exists and is not of this restore"):
        to_files(place, exclude_disks=["os"], sizes={"0": 2})
    with pytest.raises(InputError, match="holds another restore"):
        to_files(place, exclude_disks=["os"], format="vhd")
    assert (place.folder / "out" / RECORD).read_bytes() == record
    assert not to_files(place, exclude_disks=["os"]).made
    outcome = to_files(place, exclude_disks=["0"], force=True)
    [warning] = outcome.warnings
    assert warning.startswith(f"{one.files[0].path} is of an earlier restore")
    assert not to_files(place, exclude_disks=["0"]).made


def test_a_file_that_is_gone_is_written_again_with_all_or_on_request(place: Place) -> None:
    content = place.export()
    place.backup()
    first, second = (one.path for one in to_files(place).files)
    first.unlink()
    with pytest.raises(InputError, match=f"{first} of this restore is gone"):
        to_files(place)
    second.unlink()
    outcome = to_files(place)
    assert outcome.made
    same(outcome, content)


def names_in(place: Place, image_format: str = "raw") -> list[str]:
    return [f"{disk.name}.{image_format}" for disk in place.backup().backup.disks]


def test_links_are_never_written_through(place: Place) -> None:
    first, _second = names_in(place)
    out, mine = place.folder / "out", place.folder / "mine"
    out.mkdir()
    mine.write_text("mine")
    for name in (first, RECORD):
        (out / name).symlink_to(mine)
        with pytest.raises(InputError, match=f"{out / name} exists and is not of this restore"):
            to_files(place)
        to_files(place, force=True)
        assert not (out / name).is_symlink()
        shutil.rmtree(out)
        out.mkdir()
    for name in (LOCK, PARTIAL):
        (out / name).symlink_to(mine)
        for force in (False, True):
            with pytest.raises(InputError, match=f"{out / name} (is|was) not"):
                to_files(place, force=force)
        (out / name).unlink()
    os.link(mine, out / LOCK)
    with pytest.raises(InputError, match="is not the lock file of a restore"):
        to_files(place)
    assert mine.read_text() == "mine"


def test_a_folder_in_place_of_a_file_is_not_replaced(place: Place) -> None:
    first, _second = names_in(place)
    out = place.folder / "out"
    for name in (first, RECORD):
        (out / name).mkdir(parents=True)
        with pytest.raises(InputError, match="exists and is not of this restore"):
            to_files(place)
        with pytest.raises(InputError, match=f"{out / name} is a folder"):
            to_files(place, force=True)
        (out / name).rmdir()
    (out / PARTIAL / "theirs").mkdir(parents=True)
    with pytest.raises(InputError, match="theirs was not made by a restore"):
        to_files(place)


def test_a_directory_that_is_a_file(place: Place) -> None:
    place.backup()
    (place.folder / "out").write_text("mine")
    with pytest.raises(InputError, match="is no directory"):
        to_files(place)
    (place.folder / "out").unlink()
    (place.folder / "out").symlink_to(place.folder / "nowhere")
    with pytest.raises(InputError, match="is no directory"):
        to_files(place, force=True)


def test_a_name_in_other_case_is_taken(place: Place) -> None:
    first, _second = names_in(place)
    other = place.folder / "out" / first.upper()
    other.parent.mkdir()
    other.write_text("mine")
    with pytest.raises(InputError, match=f"{other} exists and is not of this restore"):
        to_files(place)
    assert other.read_text() == "mine"


def test_disks_whose_names_differ_in_case_get_names_of_their_own(place: Place) -> None:
    place.backup()
    repository = place.open()
    point = find_backup(BackupWanted(repository, None, place.machine.name, "latest", None))
    named = ["data", "Data"]
    disks = [replace(disk, name=name) for disk, name in zip(point.disks, named, strict=True)]
    request = FilesRequest(directory=str(place.folder / "out"))
    point = replace(point, disks=disks)
    outcome = restore_files(repository, point, request, place.bench.clock, lambda act: act())
    assert [one.path.name for one in outcome.files] == ["data-os.raw", "Data-lun0.raw"]


def test_a_record_that_is_none_of_ours_is_not_replaced(place: Place) -> None:
    place.backup()
    record = place.folder / "out" / RECORD
    record.parent.mkdir()
    escape = '{"files": {"../../mine": {}}, "backup": "x"}'
    for text in ("", "[]", "{}", '{"files": []}', '{"files": {"": 1}}', escape, "[" * 100_000):
        record.write_text(text)
        with pytest.raises(InputError, match=f"{record} exists and is not of this restore"):
            to_files(place)
    record.write_text('{"files": {}, "backup": 5}')
    with pytest.raises(InputError, match="holds another restore"):
        to_files(place)
    assert to_files(place, force=True).made


def test_in_check_mode_nothing_is_written_and_the_same_is_told(place: Place) -> None:
    place.backup()
    repository = place.open()
    point = find_backup(BackupWanted(repository, None, place.machine.name, "latest", None))
    request = FilesRequest(directory=str(place.folder / "out"))

    def foretold() -> FilesOutcome:
        return restore_files(repository, point, request, place.bench.clock, lambda _act: None)

    assert foretold().made
    assert not (place.folder / "out").exists()
    made = to_files(place)
    assert not foretold().made
    made.files[0].path.write_bytes(b"")
    with pytest.raises(InputError, match="is not what was restored any more"):
        foretold()
