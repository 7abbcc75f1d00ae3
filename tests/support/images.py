"""Disk images with an ext4 file system of real files: make, check, damage. No root needed."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

FILES = 200
MEGABYTES = 64
MARKER = b"In this file, every byte counts.\n"
_MOST_BYTES = 200_000
_FOLDERS = ("etc", "home/anna/mail", "srv/data/2026", "var/lib/app", "var/log")
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


class ImageDamaged(AssertionError):
    """A file system is not what it was; the message says how."""


@dataclass(frozen=True)
class Damage:
    """What a guest did to its files, as paths within the file system."""

    deleted: tuple[str, ...]
    overwritten: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.deleted) + len(self.overwritten) + len(self.added)


def make_image(image: Path, seed: int, count: int = FILES) -> dict[str, str]:
    """Make an ext4 image whose files follow from ``seed``; returns the SHA-256 of each path."""
    with tempfile.TemporaryDirectory(dir=image.parent) as name:
        folder = Path(name)
        folder.chmod(0o755)
        _write_files(folder, random.Random(seed), count)
        _run("mkfs.ext4", "-q", "-F", "-d", folder, image, f"{MEGABYTES}M")
        return _digests(folder)


def _write_files(folder: Path, source: random.Random, count: int) -> None:
    for number in range(count - 1):
        path = folder / source.choice(_FOLDERS) / f"file-{number:04}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Many small files, a few large ones, and an empty one.
        size = int(_MOST_BYTES * source.random() ** 4) if number else 0
        path.write_bytes(source.randbytes(size))
    (folder / "marker.txt").write_bytes(MARKER)


def read_files(image: Path) -> dict[str, str]:
    """The SHA-256 of every file in an image's file system, by path."""
    with tempfile.TemporaryDirectory(dir=image.parent) as name:
        _run("debugfs", "-R", f"rdump / {name}", image)
        return _digests(Path(name))


def check_file_system(image: Path) -> None:
    """Let e2fsck read the whole file system.

    Raises:
        ImageDamaged: when it finds anything to repair.
    """
    done = _run("e2fsck", "-fn", image, check=False)
    if done.returncode:
        raise ImageDamaged(f"e2fsck -fn ended with {done.returncode}:\n{done.stdout}")


def check_image(image: Path, files: Mapping[str, str]) -> None:
    """Check the file system, and that it holds exactly these files with these digests.

    Raises:
        ImageDamaged: for the first of both that fails.
    """
    check_file_system(image)
    found = read_files(image)
    told: dict[str, list[str]] = {
        "missing": sorted(files.keys() - found.keys()),
        "new": sorted(found.keys() - files.keys()),
        "different": sorted(
            path for path in files.keys() & found.keys() if files[path] != found[path]
        ),
    }
    lines = [f"{len(paths)} {what}, e.g. {paths[0]}" for what, paths in told.items() if paths]
    if lines:
        raise ImageDamaged("; ".join(lines))


def damage_image(image: Path, copy: Path, files: Iterable[str], seed: int) -> Damage:
    """Write to ``copy`` what ``image`` is after someone deleted, overwrote and added files.

    The file system stays sound, as it would under a running guest.
    """
    shutil.copyfile(image, copy)
    source = random.Random(seed)
    victims = source.sample(sorted(files), 60)
    deleted, overwritten = tuple(victims[:20]), tuple(victims[20:])
    added = ("/READ-ME-TO-GET-YOUR-FILES-BACK.txt",)
    with tempfile.TemporaryDirectory(dir=copy.parent) as name:
        commands = [f"rm {path}" for path in deleted + overwritten]
        for number, path in enumerate(overwritten + added):
            content = Path(name) / str(number)
            content.write_bytes(source.randbytes(source.randrange(1, 60_000)))
            commands.append(f"write {content} {path}")
        script = Path(name) / "commands"
        script.write_text("\n".join(commands) + "\n")
        _run("debugfs", "-w", "-f", script, copy)
    check_file_system(copy)
    return Damage(deleted, overwritten, added)


def _digests(folder: Path) -> dict[str, str]:
    return {
        f"/{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _run(
    program: str, *arguments: str | Path, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run one program of e2fsprogs, which often lie outside a user's PATH."""
    found = shutil.which(program) or shutil.which(program, path=_SBIN)
    if found is None:
        raise FileNotFoundError(f"{program} is missing: install the package e2fsprogs.")
    command = [found, *map(str, arguments)]
    done = subprocess.run(
        command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done
