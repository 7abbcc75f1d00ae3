# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the record of a restore to files says, and whether the files still are what it says.

A file whose size, time of change and inode are those that were noted is taken as unchanged. Of any
other the content is read and compared by its digest: one that was booted since is no restored file.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._errors import InputError
from ..._image.file_digest import digest_of
from ..._repository.repository import Repository
from ..plan import Point, SourceDisk
from .target_folder import RECORD, entry, file_exists, opened_regular, read_record

QCOW2 = "qcow2"


@dataclass
class ImageFile:
    """A file to be written, and afterwards the one that was. ``size`` in bytes, of the disk."""

    source: SourceDisk
    path: Path
    size: int

    def result(self, image_format: str) -> dict[str, Any]:
        """The file as a task returns it."""
        return {
            "role": self.source.role,
            "lun": self.source.lun,
            "source_disk": self.source.name,
            "source_disk_id": self.source.source_id,
            "path": str(self.path),
            "format": image_format,
            "size_bytes": self.size,
        }

    def described(self) -> dict[str, Any]:
        """What the record says of the file before anything of it is there."""
        return {"role": self.source.role, "disk": self.source.name, "size_bytes": self.size}


def written(file: os.stat_result, digest: str) -> dict[str, Any]:
    """What the record says of a file that is whole."""
    return {
        "file_bytes": file.st_size,
        "modified_ns": file.st_mtime_ns,
        "inode": file.st_ino,
        "digest": digest,
    }


def described(point: Point, image_format: str, files: list[ImageFile]) -> dict[str, Any]:
    """What makes two restores to files the same: the backup, the format, the disks and their sizes."""
    return {
        "backup": point.id,
        "format": image_format,
        "files": {one.path.name: one.described() for one in files},
    }


def full_record(point: Point, known: dict[str, Any], *, forced: bool) -> dict[str, Any]:
    """The record: ``known``, and what a person needs to make a machine of the files."""
    backup = point.backup
    return {
        **known,
        "forced": forced,
        "vm": backup.vm if backup else None,
        "started": backup.started if backup else None,
        "source": backup.source if backup else None,
        "configuration": backup.configuration if backup else None,
    }


def restored_before(
    repository: Repository, point: Point, image_format: str, files: list[ImageFile]
) -> bool:
    """True when all files of this restore are there as they were written, False when none is there.

    Raises:
        InputError: some are there, or changed ones, or others in their place; or another restore.
        OSError: it cannot be read.
    """
    path = files[0].path.parent
    if not path.is_dir():
        return False
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        record = read_record(folder)
        wanted = described(point, image_format, files)
        if record is None or not _same(record, wanted):
            _refuse_others(folder, record, path, files)
            return False
        missing = [one for one in files if entry(folder, one.path.name) is None]
        if len(missing) == len(files):
            return False
        if missing:
            raise InputError(
                f"The file {missing[0].path} of this restore is gone, and others of it are there; say"
                " force: true to write all of them again, or name another directory.",
                code="FileMissing",
                resource=str(missing[0].path),
            )
        for one in files:
            _check(repository, folder, one, record["files"][one.path.name], image_format)
        return True
    finally:
        os.close(folder)


def refuse_folders(files: list[ImageFile]) -> None:
    """Refuse to replace what is no file.

    Raises:
        InputError: a folder has the name of a file, or of the record.
    """
    for path in (*(one.path for one in files), files[0].path.with_name(RECORD)):
        if path.is_dir() and not path.is_symlink():
            raise InputError(
                f"{path} is a folder, and a file is to have this name; name another directory.",
                code="IsAFolder",
                resource=str(path),
            )


def left_beside(files: list[ImageFile], earlier: dict[str, Any] | None) -> list[Path]:
    """Files of an earlier restore that are not among those that replace it."""
    names = {one.path.name for one in files}
    paths = [files[0].path.with_name(name) for name in (earlier or {"files": {}})["files"]]
    return [path for path in paths if path.name not in names and path.is_file()]


def _same(record: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a record is that of the wanted restore."""
    if any(record.get(key) != wanted[key] for key in ("backup", "format")):
        return False
    return {
        name: {key: one.get(key) for key in ("role", "disk", "size_bytes")}
        for name, one in record["files"].items()
        if isinstance(one, dict)
    } == wanted["files"] and len(record["files"]) == len(wanted["files"])


def _refuse_others(
    folder: int, record: dict[str, Any] | None, path: Path, files: list[ImageFile]
) -> None:
    """Refuse a folder in which something else has one of our names, in whatever case."""
    names = {one.path.name.lower() for one in files}
    for name in sorted(os.listdir(folder)):
        if name.lower() in names:
            raise file_exists(path / name)
    if record is None and entry(folder, RECORD):
        raise file_exists(path / RECORD)
    if record is not None:
        disks = ", ".join(sorted(record["files"])) or "no files"
        raise InputError(
            f"The directory {path} holds another restore ({disks}, of the backup"
            f" {str(record.get('backup')).rpartition('/')[2]}); name another directory, or say force:"
            " true to write into this one.",
            code="OtherRestore",
            resource=str(path),
        )


def _check(
    repository: Repository, folder: int, one: ImageFile, known: dict[str, Any], image_format: str
) -> None:
    """Refuse a file that is not what the record says."""
    there = entry(folder, one.path.name)
    if there is None or not stat.S_ISREG(there.st_mode):
        raise _changed(one, "it is no regular file")
    if there.st_size != known.get("file_bytes"):
        raise _changed(one, f"it has {there.st_size} bytes, not {known.get('file_bytes')}")
    if known == {**one.described(), **written(there, str(known.get("digest")))}:
        return
    with opened_regular(folder, one.path.name) as file:
        found = content_digest(repository, file, one, image_format)
    if found != known.get("digest"):
        raise _changed(one, "its content differs")


def content_digest(repository: Repository, file: int, one: ImageFile, image_format: str) -> str:
    """The digest of an open file, by reading it: of the disk in it, or of a qcow2 file as it lies there.

    Raises:
        OSError: it cannot be read.
    """
    image = one.source.image
    size = image_size = os.fstat(file).st_size
    if image_format != QCOW2 and image is not None:
        size, image_size = one.size, image.size
    return digest_of(
        file, repository.codec, repository.chunk_size, image_size=image_size, size=size
    )


def _changed(one: ImageFile, how: str) -> InputError:
    return InputError(
        f"The file {one.path} is not what was restored any more: {how}. Name another directory, or say"
        " force: true to replace it by the content of the backup.",
        code="FileChanged",
        resource=str(one.path),
    )
