"""Restores to files that are killed, that fail, or that meet each other: all files or none."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError, VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import DamagedObject
from ansible_collections.vmguard.azure.plugins.module_utils._restore.targets.files import (
    FilesOutcome,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.targets.target_folder import (
    LOCK,
    PARTIAL,
    RECORD,
)
from backup_bench import Content, Place, open_place, same_content
from restore_bench import open_bench
from test_restore_files import needs_qemu, to_files

CHILD = Path(__file__).with_name("files_child.py")
KILO = 1024


@dataclass
class World:
    """Two backups of a machine with two disks, and what the disks held then."""

    place: Place
    folder: Path
    first: str
    second: str
    content: dict[str, Content]

    def run(self, directory: Path, backup: str, **more: Any) -> dict[str, Any]:
        repository = str(self.place.repository)
        return {"repository": repository, "directory": str(directory), "backup": backup, **more}

    def restore(self, directory: Path, backup: str, **options: Any) -> FilesOutcome:
        return to_files(self.place, backup, directory=str(directory), **options)

    def copies(self, count: int, of: Path) -> list[Path]:
        """Copies of a directory with restored files."""
        made = [self.folder / f"copy-{number}" for number in range(count)]
        for path in made:
            command = ["cp", "-a", "--sparse=always", "--reflink=auto", str(of), str(path)]
            subprocess.run(command, check=True)
        return made

    def check(self, directory: Path) -> str | None:
        """The backup that a record says is there, which is proved; None without a record."""
        if not (directory / RECORD).exists():
            return None
        record = json.loads((directory / RECORD).read_text())
        backup = record["backup"].rpartition("/")[2]
        assert len(record["files"]) == 2
        for name, one in record["files"].items():
            assert same_content(directory / name, self.content[backup][one["role"]]), name
        return backup

    def check_whole(self, directory: Path, backup: str) -> None:
        """Of this backup, and nothing is left over."""
        assert self.check(directory) == backup
        assert len(list(directory.iterdir())) == 3


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_bench() as bench:
        folder = tmp_path_factory.mktemp("shared")
        with open_place(bench, folder) as place:
            place.create()
            place.scatter(0, 20)
            one = place.export()
            first = place.backup().backup.id
            place.scatter(0, 5)
            place.scatter("os", 5)
            two = place.export()
            second = place.backup().backup.id
            yield World(place, folder, first, second, {first: one, second: two})


@pytest.fixture
def world(shared: World, tmp_path: Path) -> World:
    return World(shared.place, tmp_path, shared.first, shared.second, shared.content)


def started(*before: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [*before, sys.executable, str(CHILD)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def children(runs: list[dict[str, Any]], *before: str) -> list[dict[str, Any]]:
    """What these runs came to, each in a process of its own."""
    child = started(*before)
    out, _err = child.communicate(json.dumps(runs) + "\n", timeout=600)
    assert child.returncode == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["message"] for one in found if one["code"] == "Traceback"] == []
    assert len(found) == len(runs)
    return found


def until_free(directory: Path) -> None:
    """Wait for what a killed run had started and holds the lock still."""
    if (directory / LOCK).exists():
        with (directory / LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


@pytest.mark.parametrize("image_format", ["raw", pytest.param("qcow2", marks=needs_qemu)])
def test_killed_at_any_step_and_run_again(world: World, image_format: str) -> None:
    options = {"format": image_format}
    [whole] = children([world.run(world.folder / "whole", world.first, options=options)])
    folders = [world.folder / f"out-{step}" for step in range(whole["steps"] + 1)]
    found = children(
        [
            world.run(folder, world.first, at=step, options=options)
            for step, folder in enumerate(folders[1:], 1)
        ]
    )
    assert [one["code"] for one in found].count("killed") >= len(found) - 2
    left = set()
    for folder in folders[1:]:
        if folder.exists():
            left.update(path.name for path in folder.iterdir())
            until_free(folder)
        if image_format == "raw":
            world.check(folder)
        outcome = world.restore(folder, world.first, **options)
        assert len(list(folder.iterdir())) == 3
        assert not world.restore(folder, world.first, **options).made
        if image_format == "raw":
            world.check_whole(folder, world.first)
        else:
            for one in outcome.files:
                then = world.content[world.first][one.source.role]
                subprocess.run(["qemu-img", "compare", "-q", str(one.path), str(then)], check=True)
        shutil.rmtree(folder)
    assert {LOCK, PARTIAL} < left


def forced(world: World, **how: Any) -> tuple[list[Path], list[dict[str, Any]]]:
    """Forced restores over an earlier one, of which each meets something at its own step."""
    old = world.folder / "old"
    world.restore(old, world.first)
    [copy] = world.copies(1, old)
    options = {"force": True}
    [whole] = children([world.run(copy, world.second, options=options)])
    shutil.rmtree(copy)
    folders = world.copies(whole["steps"], old)
    runs = [
        world.run(folder, world.second, at=step, options=options, **how)
        for step, folder in enumerate(folders, 1)
    ]
    return folders, children(runs)


def settled(world: World, folder: Path) -> str:
    """The backup that is there after the next run, which replaces nothing."""
    refused = None
    try:
        world.restore(folder, world.second)
    except InputError as error:
        refused = error
    if refused is None:
        world.check_whole(folder, world.second)
        return world.second
    assert "force: true" in refused.message
    assert not world.restore(folder, world.first).made
    world.check_whole(folder, world.first)
    return world.first


def test_a_forced_restore_that_is_killed_keeps_the_old_files_or_is_finished(world: World) -> None:
    folders, found = forced(world, how="kill")
    assert [one["code"] for one in found].count("killed") >= len(found) - 2
    after = []
    for folder in folders:
        world.check(folder)
        after.append(settled(world, folder))
        shutil.rmtree(folder)
    assert set(after) == {world.first, world.second}


def test_a_forced_restore_that_fails_at_any_step_keeps_the_old_files(world: World) -> None:
    folders, found = forced(world, how="fail")
    failed = [one for one in found if one["code"]]
    assert len(failed) > 20
    for folder, one in zip(folders, found, strict=True):
        assert world.check(folder) == (world.first if one["code"] else world.second)
        if one["code"]:
            # A lock file stays where no lock could be had: it may be another's.
            assert len({*one["left"]} - {LOCK}) == 3, one
        assert settled(world, folder) == (world.first if one["code"] else world.second)
        shutil.rmtree(folder)


def test_a_run_that_is_killed_while_it_finishes_another_is_finished_by_the_next(
    world: World,
) -> None:
    folders, _found = forced(world, how="kill")
    committed = [one for one in folders if (one / PARTIAL / RECORD).exists()]
    assert len(committed) > 4
    # Of both files one has its new name.
    half = next(one for one in committed if len(list((one / PARTIAL).glob("*.raw"))) == 1)
    kept = world.folder / "half"
    half.rename(kept)
    for folder in set(folders) - {half}:
        shutil.rmtree(folder)
    [copy] = world.copies(1, kept)
    [whole] = children([world.run(copy, world.second)])
    assert whole["made"] is True
    shutil.rmtree(copy)
    copies = world.copies(whole["steps"], kept)
    found = children([world.run(one, world.second, at=step) for step, one in enumerate(copies, 1)])
    assert {one["code"] for one in found} == {"killed"}
    for one in copies:
        world.check(one)
        world.restore(one, world.second)
        world.check_whole(one, world.second)


def test_a_restore_that_fails_at_any_step_leaves_nothing(world: World) -> None:
    [whole] = children([world.run(world.folder / "whole", world.first)])
    runs = [
        world.run(world.folder / f"out-{step}", world.first, at=step, how="fail")
        for step in range(1, whole["steps"] + 1)
    ]
    found = children(runs)
    assert len([one for one in found if one["code"]]) > 20
    for run, one in zip(runs, found, strict=True):
        if one["code"]:
            # A lock file stays where no lock could be had: it may be another's.
            assert one["left"] in (None, [], [LOCK]), one
        world.restore(Path(run["directory"]), world.first)
        world.check_whole(Path(run["directory"]), world.first)


def test_a_forced_restore_of_a_damaged_backup_keeps_the_old_files(
    world: World, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    world.restore(out, world.first)
    before = (out / RECORD).read_bytes()
    packs = world.place.repository / "packs"
    kept = {path: path.read_bytes() for path in packs.rglob("*") if path.is_file()}
    # The newest pack is of the second backup alone.
    newest = max(kept, key=lambda path: path.stat().st_mtime_ns)
    newest.chmod(0o600)
    try:
        newest.write_bytes(bytes([kept[newest][0] ^ 1]) + kept[newest][1:])
        with pytest.raises(DamagedObject):
            world.restore(out, world.second, force=True)
    finally:
        newest.write_bytes(kept[newest])
    assert (out / RECORD).read_bytes() == before
    world.check_whole(out, world.first)
    assert not world.restore(out, world.first).made


def test_a_file_system_without_hard_links(world: World) -> None:
    out = world.folder / "out"
    first, second = children(
        [
            world.run(out, world.first, how="no links"),
            world.run(out, world.second, how="no links", options={"force": True}),
        ]
    )
    assert first["made"] and second["made"]
    world.check_whole(out, world.second)
    assert not world.restore(out, world.second).made


def test_of_two_at_once_one_is_told_who_the_other_is(world: World) -> None:
    out = world.folder / "out"
    [whole] = children([world.run(world.folder / "whole", world.first)])
    # The first steps make the folder and the lock, and say who holds it.
    for step in range(8, whole["steps"], whole["steps"] // 4):
        child = started()
        assert child.stdin and child.stdout
        run = world.run(out, world.first, at=step, how="stop")
        child.stdin.write(json.dumps([run]) + "\n")
        child.stdin.flush()
        assert json.loads(child.stdout.readline()) == {"code": "stopped"}
        for force in (False, True):
            with pytest.raises(VmguardError, match=r"process \d+ on .*, since 20") as caught:
                world.restore(out, world.second, force=force)
            assert caught.value.code == "RestoreRunning"
        rest, _err = child.communicate("\n", timeout=600)
        assert json.loads(rest)["made"] is True
        world.check_whole(out, world.first)
        shutil.rmtree(out)


def test_what_a_killed_run_left_is_removed_by_the_next_one_that_has_nothing_to_do(
    world: World,
) -> None:
    out = world.folder / "out"
    world.restore(out, world.first)
    [whole] = children([world.run(world.folder / "whole", world.second)])
    options = {"force": True}
    middle = whole["steps"] // 2
    [one] = children([world.run(out, world.second, at=middle, options=options)])
    assert one == {"code": "killed"}
    assert {LOCK, PARTIAL} < {path.name for path in out.iterdir()}
    outcome = world.restore(out, world.first)
    assert not outcome.made and outcome.recovered == "removed"
    message = outcome.result(world.place.bench.clock.now())["conditions"]
    assert any("interrupted restore" in one["message"] for one in message)
    world.check_whole(out, world.first)


def private(size: str, path: Path, options: str = "") -> list[str]:
    """The start of a command that runs with a small file system of its own at a path."""
    mount = f"mount -t tmpfs -o size={size}{options} tmpfs {path}"
    start = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*start, mount], check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system of his own")
    return [*start, f'{mount} && "$0" "$1"']


@pytest.mark.parametrize("image_format", ["raw", "vhd", pytest.param("qcow2", marks=needs_qemu)])
def test_a_disk_that_is_full_in_the_middle(world: World, image_format: str) -> None:
    runs = [world.run(world.folder, world.first, options={"format": image_format})]
    # The first disk fits as a raw file, not the second one; nor the first with its qcow2 file.
    [one] = children(runs, *private("300k", world.folder))
    assert one["code"] in ("NoSpace", "QemuImgFailed")
    assert "No space left on device" in one["message"]
    assert one["left"] == []


def test_files_that_may_not_be_so_large(world: World) -> None:
    [one] = children([world.run(world.folder / "out", world.first, limit=KILO * KILO)])
    assert one["code"] == "NoSpace"
    assert "File too large" in one["message"]
    assert one["left"] == []


def test_a_folder_that_cannot_be_written(world: World) -> None:
    out = world.folder / "out"
    for directory in (world.folder, out):
        [one] = children([world.run(directory, world.first)], *private("1m", world.folder, ",ro"))
        assert one["code"] == "NoPermission"
        assert one["message"] == (
            f"The files cannot be written in {directory}: Read-only file system."
        )
