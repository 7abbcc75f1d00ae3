# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore to image files: raw, fixed VHD or qcow2, with no Azure at all.

All files are written and proved under a folder for what is unfinished (``target_folder``), and get
their names together. ``vmguard-restore.json``, which also holds the machine's configuration, is written
last and says that all of them are whole, and what they are (``file_record``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from ..._clock import SystemClock
from ..._compute import status
from ..._compute.ids import check_name
from ..._disk.vhd import footer
from ..._errors import InputError, VmguardError
from ..._image.file_digest import FileDigest
from ..._image.file_sink import FileSink
from ..._image.reader import Stats
from ..._image.restorer import DiskWriter
from ..._image.throttle import Throttle
from ..._repository.manifest import DiskImage
from ..._repository.repository import Repository
from ..._storage.folder_files import FILE_MODE
from .. import plan
from ..plan import Point, SourceDisk
from .file_record import (
    QCOW2,
    ImageFile,
    content_digest,
    described,
    full_record,
    left_beside,
    refuse_folders,
    restored_before,
    written,
)
from .target_folder import (
    RECORD,
    Recovered,
    TargetFolder,
    in_words,
    locked_folder,
    opened_regular,
    read_record,
    unfinished,
)

FORMATS = ("raw", "vhd", QCOW2)
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
class FilesOutcome:
    """What was written, or would be.

    Args:
        made: False when all of it was there before.
        recovered: what was done with the rest of an interrupted restore.
        warnings: sentences.
    """

    point: Point
    files: list[ImageFile]
    format: str
    excluded: list[dict[str, Any]]
    record: Path
    made: bool = True
    recovered: Recovered | None = None
    warnings: list[str] = field(default_factory=list)

    def result(self, now: datetime) -> dict[str, Any]:
        moment = status.iso_time(now)
        reason = "Restored" if self.made else "AlreadyRestored"
        message = f"{len(self.files)} files hold the disks of {self.point.name}."
        if self.recovered:
            message += f" What an interrupted restore had left was {self.recovered}."
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
    """Write the disks of a backup into files; all of them, or, when it fails, none.

    Args:
        write: runs what changes something, or, in check mode, does not.

    Raises:
        InputError: it cannot be done as asked; nothing was written.
        DamagedObject: the repository does not hold what was stored; what was there before is there.
        VmguardError: the files cannot be written, or another restore writes there; as above.
    """
    outcome = _planned(point, request)
    folder = outcome.record.parent
    # What a killed run left, and who else works there, is told apart under the lock.
    if not unfinished(folder):
        with in_words(folder, "read"):
            if _nothing_to_do(repository, outcome, request):
                outcome.made = False
                return outcome
    write(lambda: _write_all(repository, outcome, request, clock))
    return outcome


def _planned(point: Point, request: FilesRequest) -> FilesOutcome:
    folder = _folder(request)
    chosen, left_out = plan.select(point.disks, request.exclude_disks)
    if not chosen:
        raise InputError("No disk is left to restore: exclude_disks names all of them.")
    sizes = plan.wanted_sizes(point.disks, request.sizes)
    names = _file_names(chosen, request.format)
    files = [_file(folder / name, disk, sizes) for name, disk in zip(names, chosen, strict=True)]
    excluded = point.excluded + [
        {"id": disk.source_id, "name": disk.name, "reason": "ExcludedByRequest"}
        for disk in left_out
    ]
    return FilesOutcome(point, files, request.format, excluded, folder / RECORD)


def _nothing_to_do(repository: Repository, outcome: FilesOutcome, request: FilesRequest) -> bool:
    """Whether all was restored before. Raises: InputError, when something else is in the way."""
    if request.force:
        refuse_folders(outcome.files)
        return False
    return restored_before(repository, outcome.point, outcome.format, outcome.files)


def _folder(request: FilesRequest) -> Path:
    folder = Path(request.directory)
    if not folder.is_absolute():
        raise InputError(f"directory {request.directory!r} must be an absolute path.")
    if not folder.parent.is_dir():
        raise InputError(
            f"The folder {folder.parent}, in which {folder.name} is to be, does not exist."
        )
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(
            f"{folder} is to be the directory of the files, and is no directory.",
            code="NotADirectory",
            resource=str(folder),
        )
    if request.format == QCOW2 and shutil.which("qemu-img") is None:
        raise InputError(
            "The format qcow2 is made by qemu-img, which is not installed; install it, or use raw or vhd."
        )
    return folder


def _file_names(disks: list[SourceDisk], image_format: str) -> list[str]:
    """Names that differ on a file system without upper and lower case too."""
    # They come from the repository: they must not lead anywhere else.
    stems = [check_name(disk.name, "disk") for disk in disks]
    lower = [stem.lower() for stem in stems]
    if len(set(lower)) < len(lower):
        # Of a name with a role only one ends with that role: no two of these are the same.
        stems = [f"{stem}-{disk.role}" for stem, disk in zip(stems, disks, strict=True)]
    return [f"{stem}.{image_format}" for stem in stems]


def _file(path: Path, disk: SourceDisk, sizes: dict[int | None, int]) -> ImageFile:
    return ImageFile(disk, path, max(_image(disk).size, sizes.get(disk.lun, 0) * GIB))


def _image(disk: SourceDisk) -> DiskImage:
    if disk.image is None:
        raise InputError(f"There is no image of the disk {disk.name}.")
    return disk.image


def _write_all(
    repository: Repository, outcome: FilesOutcome, request: FilesRequest, clock: SystemClock
) -> None:
    path = outcome.record.parent
    with in_words(path), locked_folder(path, clock) as target:
        outcome.recovered = target.recover(replace=request.force)
        # Again: another run may have ended since.
        if _nothing_to_do(repository, outcome, request):
            outcome.made = outcome.recovered == "finished"
            return
        earlier = read_record(target.folder)
        with target.partial() as partial:
            writer = _Writer(repository, target, partial, outcome.format, clock)
            record = described(outcome.point, outcome.format, outcome.files)
            for name, known in writer.write(outcome.files, request).items():
                record["files"][name].update(known)
            target.commit(partial, full_record(outcome.point, record, forced=request.force))
        outcome.warnings += [
            f"{other} is of an earlier restore, was not replaced, and the record does not name it any more."
            for other in left_beside(outcome.files, earlier)
        ]


class _Writer:
    """Writes whole images into the folder for what is unfinished."""

    def __init__(
        self,
        repository: Repository,
        target: TargetFolder,
        partial: int,
        image_format: str,
        clock: SystemClock,
    ) -> None:
        self._repository = repository
        self._target = target
        self._partial = partial
        self._format = image_format
        self._clock = clock

    def write(self, files: list[ImageFile], request: FilesRequest) -> dict[str, dict[str, Any]]:
        """Write all files; what the record says of each, by its name."""
        with ThreadPoolExecutor(request.workers, thread_name_prefix="restore") as pool:
            writer = DiskWriter(
                self._repository, pool, workers=request.workers,
                throttle=Throttle(request.bandwidth, self._clock),
            )  # fmt: skip
            return {one.path.name: self._write_one(writer, one) for one in files}

    def _write_one(self, writer: DiskWriter, one: ImageFile) -> dict[str, Any]:
        name = one.path.name
        raw = f"{name}.raw" if self._format == QCOW2 else name
        digest = self._write_raw(writer, one, raw)
        if self._format == QCOW2:
            self._convert(raw, name)
        with opened_regular(self._partial, name) as file:
            if self._format == QCOW2:
                os.fsync(file)
                digest = content_digest(self._repository, file, one, self._format)
            return written(os.fstat(file), digest)

    def _write_raw(self, writer: DiskWriter, one: ImageFile, name: str) -> str:
        """Write a raw image, or a VHD; its digest."""
        image = _image(one.source)
        digest = FileDigest(self._repository.codec, self._repository.chunk_size, image.size)
        end = footer(one.size, uuid4(), self._clock.now()) if self._format == "vhd" else b""
        with FileSink(name, one.size, self._partial) as sink:
            writer.write(image, sink, Stats(), digest.add_page)
            sink.write(one.size, end)
            sink.sync()
        return digest.finish(one.size, end)

    def _convert(self, raw: str, name: str) -> None:
        # With rights of its own: qemu-img would take what the umask leaves.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(name, flags, FILE_MODE, dir_fd=self._partial))
        command = ["qemu-img", "convert", "-f", "raw", "-O", QCOW2, f"./{raw}", f"./{name}"]
        # It holds the lock too: when this process is killed, nobody writes here until it has ended.
        told = subprocess.run(  # noqa: S603 - a program with names that we made
            command, capture_output=True, text=True, check=False,
            pass_fds=(self._target.lock, self._partial),
            # The folder that is open, whatever lies at its path by now.
            cwd=f"/proc/self/fd/{self._partial}",
        )  # fmt: skip
        if told.returncode:
            raise VmguardError(
                f"qemu-img cannot make {name}: {told.stderr.strip()}", code="QemuImgFailed"
            )
        os.unlink(raw, dir_fd=self._partial)
