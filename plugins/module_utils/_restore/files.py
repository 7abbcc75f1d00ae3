# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore to image files: raw, fixed VHD or qcow2, with no Azure at all.

A file gets its name when all of it is written and proved; ``vmguard-restore.json``, which also holds
the machine's configuration, is written last and says that all of them are whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from .._clock import SystemClock
from .._compute import status
from .._compute.ids import check_name
from .._disk.vhd import footer
from .._errors import InputError, VmguardError
from .._image.file_sink import FileSink
from .._image.reader import Stats
from .._image.restorer import DiskWriter
from .._image.throttle import Throttle
from .._repository.repository import Repository
from .._storage.folder_files import FILE_MODE, opened_folder, write_new
from . import plan
from .plan import Point, SourceDisk

FORMATS = ("raw", "vhd", "qcow2")
RECORD = "vmguard-restore.json"
GIB = 1 << 30
Write = Callable[..., Any]


@dataclass(frozen=True)
class FilesRequest:
    """Where image files go.

    Args:
        directory: absolute; the folder above it must exist.
        sizes: in GiB, by disk name, LUN or ``os``.
        workers: transfers at once; ``bandwidth`` in bytes per second.
    """

    directory: str
    format: str = "raw"
    exclude_disks: list[str] = field(default_factory=list)
    sizes: dict[str, Any] = field(default_factory=dict)
    force: bool = False
    workers: int = 8
    bandwidth: float | None = None


@dataclass
class ImageFile:
    """A file to be written, and afterwards the one that was. ``size`` in bytes, of the disk."""

    source: SourceDisk
    path: Path
    size: int

    def result(self, image_format: str) -> dict[str, Any]:
        return {
            "role": self.source.role,
            "lun": self.source.lun,
            "source_disk": self.source.name,
            "source_disk_id": self.source.source_id,
            "path": str(self.path),
            "format": image_format,
            "size_bytes": self.size,
        }


@dataclass
class FilesOutcome:
    """What was written, or would be."""

    point: Point
    files: list[ImageFile]
    format: str
    excluded: list[dict[str, Any]]
    record: Path
    made: bool

    def result(self, now: datetime) -> dict[str, Any]:
        moment = status.iso_time(now)
        reason = "Restored" if self.made else "AlreadyRestored"
        message = f"{len(self.files)} files hold the disks of {self.point.name}."
        return {
            "vm": None,
            "target": "files",
            "restore_point": None,
            "backup": {
                "id": self.point.name,
                "name": self.point.name,
                "time": self.point.time,
                "consistency_mode": self.point.consistency,
                "location": self.point.location,
            },
            "disks": [],
            "files": [one.result(self.format) for one in self.files],
            "configuration_file": str(self.record),
            "excluded_disks": self.excluded,
            "ready_to_use": True,
            "restore_time": moment,
            "conditions": status.conditions(status.READY, reason, message, moment),
        }


def restore_files(
    repository: Repository, point: Point, request: FilesRequest, clock: SystemClock, write: Write
) -> FilesOutcome:
    """Write the disks of a backup into files.

    Raises:
        InputError: it cannot be done as asked; nothing was written.
        DamagedObject: the repository does not hold what was stored; nothing is left of the files.
        VmguardError: the files cannot be written; nothing is left of them.
    """
    folder = _folder(request)
    chosen, left_out = plan.select(point.disks, request.exclude_disks)
    if not chosen:
        raise InputError("No disk is left to restore: exclude_disks names all of them.")
    sizes = plan.wanted_sizes(point.disks, request.sizes)
    names = [disk.name.lower() for disk in chosen]
    files = [
        _file(folder, disk, sizes, request.format, alone=names.count(disk.name.lower()) == 1)
        for disk in chosen
    ]
    excluded = point.excluded + [
        {"id": disk.source_id, "name": disk.name, "reason": "ExcludedByRequest"}
        for disk in left_out
    ]
    outcome = FilesOutcome(point, files, request.format, excluded, folder / RECORD, made=True)
    if not request.force:
        if _written_before(outcome):
            outcome.made = False
            return outcome
        _refuse_existing(outcome)
    write(lambda: _write_all(repository, outcome, request, clock))
    return outcome


def _folder(request: FilesRequest) -> Path:
    folder = Path(request.directory)
    if not folder.is_absolute():
        raise InputError(f"directory {request.directory!r} must be an absolute path.")
    if not folder.parent.is_dir():
        raise InputError(
            f"The folder {folder.parent}, in which {folder.name} is to be, does not exist."
        )
    if request.format == "qcow2" and shutil.which("qemu-img") is None:
        raise InputError(
            "The format qcow2 is made by qemu-img, which is not installed; install it, or use raw or vhd."
        )
    return folder


def _file(
    folder: Path,
    disk: SourceDisk,
    sizes: dict[int | None, int],
    image_format: str,
    *,
    alone: bool,
) -> ImageFile:
    if disk.image is None:
        raise InputError(f"There is no image of the disk {disk.name}.")
    # The name comes from the repository: it must not lead anywhere else.
    stem = (
        check_name(disk.name, "disk") if alone else f"{check_name(disk.name, 'disk')}-{disk.role}"
    )
    name = f"{stem}.{image_format}"
    asked = sizes.get(disk.lun, 0)
    return ImageFile(disk, folder / name, max(disk.image.size, asked * GIB if asked else 0))


def _describe(outcome: FilesOutcome) -> dict[str, Any]:
    """What the record says of files that are whole."""
    return {
        "backup": outcome.point.id,
        "format": outcome.format,
        "files": {one.path.name: one.size for one in outcome.files},
    }


def _written_before(outcome: FilesOutcome) -> bool:
    try:
        record = json.loads(outcome.record.read_bytes())
        known = {key: record[key] for key in ("backup", "format", "files")}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return known == _describe(outcome) and all(one.path.is_file() for one in outcome.files)


def _refuse_existing(outcome: FilesOutcome) -> None:
    for one in outcome.files:
        if one.path.exists() or one.path.is_symlink():
            raise InputError(
                f"The file {one.path} exists and is not of this restore; remove it, name another"
                " directory, or say force: true to replace it.",
                code="FileExists",
                resource=str(one.path),
            )


def _write_all(
    repository: Repository, outcome: FilesOutcome, request: FilesRequest, clock: SystemClock
) -> None:
    folder = outcome.record.parent
    partial: list[Path] = []
    done: list[Path] = []
    try:
        with _in_words(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            outcome.record.unlink(missing_ok=True)
            with ThreadPoolExecutor(request.workers, thread_name_prefix="restore") as pool:
                writer = DiskWriter(
                    repository, pool, workers=request.workers,
                    throttle=Throttle(request.bandwidth, clock),
                )  # fmt: skip
                for one in outcome.files:
                    ready = _write_one(writer, one, outcome.format, clock, partial)
                    os.replace(ready, one.path)
                    done.append(one.path)
            _write_record(outcome)
    except BaseException:
        for path in [*partial, *done]:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _write_one(
    writer: DiskWriter,
    one: ImageFile,
    image_format: str,
    clock: SystemClock,
    partial: list[Path],
) -> Path:
    """The whole image under a name of its own."""
    raw = one.path.with_name(f".{one.path.name}.{uuid4().hex[:8]}.partial")
    partial.append(raw)
    image = one.source.image
    if image is None:
        raise InputError(f"There is no image of the disk {one.source.name}.")
    with FileSink(raw, one.size) as sink:
        writer.write(image, sink, Stats())
        if image_format == "vhd":
            sink.write(one.size, footer(one.size, uuid4(), clock.now()))
        sink.sync()
    if image_format != "qcow2":
        return raw
    converted = raw.with_suffix(".qcow2-partial")
    partial.append(converted)
    # With rights of its own: qemu-img would take what the umask leaves.
    converted.touch(FILE_MODE, exist_ok=False)
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(converted)]
    told = subprocess.run(  # noqa: S603 - a program with names that we made
        command, capture_output=True, text=True, check=False
    )
    if told.returncode:
        raise VmguardError(
            f"qemu-img cannot make {one.path.name}: {told.stderr.strip()}", code="QemuImgFailed"
        )
    raw.unlink()
    with converted.open("rb") as file:
        os.fsync(file.fileno())
    return converted


def _write_record(outcome: FilesOutcome) -> None:
    backup = outcome.point.backup
    body = {
        **_describe(outcome),
        "vm": backup.vm if backup else None,
        "started": backup.started if backup else None,
        "source": backup.source if backup else None,
        "configuration": backup.configuration if backup else None,
    }
    temporary = outcome.record.with_name(f".{RECORD}.{uuid4().hex[:8]}.partial")
    with opened_folder(str(outcome.record.parent), []) as folder:
        write_new(folder, temporary.name, json.dumps(body, indent=1).encode())
        os.replace(temporary, outcome.record)
        os.fsync(folder)


@contextmanager
def _in_words(folder: Path) -> Iterator[None]:
    """Errors of the operating system as sentences."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        hint = "Free space there, or name another directory." if full else None
        raise VmguardError(
            f"The files cannot be written in {folder}: {error.strerror}.",
            code="NoSpace" if full else "CannotWrite",
            resource=str(folder),
            hint=hint,
        ) from error
