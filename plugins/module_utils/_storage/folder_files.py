# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders below a root, without ever following a symbolic link out of it.

Everything goes through descriptors of open folders: between a check and its use nobody can put
something else in the place of a folder. Failures are OSError, which ``translate`` makes ours.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from .._errors import StorageDenied, StorageError, StorageFull, StorageUnavailable

FOLDER_MODE = 0o700
FILE_MODE = 0o600

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_AWAY = (errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN, errno.ENODEV)
# What link() says where the file system has no hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_RENAME_NOREPLACE = 1


def translate(error: OSError, operation: str, path: str) -> StorageError:
    """One sentence of ours for what the system says (to be raised ``from error``)."""
    number, reason = error.errno, os.strerror(error.errno or 0)
    details = {"operation": operation, "resource": path}
    if number in _FULL:
        hint = "Make room there, or raise the quota; what was stored before is untouched."
        return StorageFull(
            f"There is no room to {operation} {path}: {reason}.", hint=hint, **details
        )
    if number in _DENIED:
        hint = f"Give the user that runs the task (uid {os.geteuid()}) the right to {operation} it."
        return StorageDenied(
            f"No permission to {operation} {path}: {reason}.", hint=hint, **details
        )
    if number in _AWAY:
        hint = "Check that its file system is mounted and answers."
        return StorageUnavailable(f"Cannot {operation} {path}: {reason}.", hint=hint, **details)
    return StorageError(f"Cannot {operation} {path}: {reason}.", **details)


def symbolic_link(path: str) -> StorageError:
    return StorageError(
        f"{path} is a symbolic link; in a repository there are none.",
        code="SymbolicLink",
        resource=path,
        hint="Find out who put it there. To keep a repository elsewhere, name that folder in path.",
    )


@contextmanager
def opened_folder(root: str, parts: list[str], *, create: bool = False) -> Iterator[int]:
    """A descriptor of the folder ``parts`` below ``root``; a link in ``root`` itself is followed.

    Args:
        create: make the folders below root that are missing, durably.

    Raises:
        StorageError: a folder on the way is a symbolic link.
        OSError: FileNotFoundError and the like.
    """
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for depth, part in enumerate(parts, start=1):
            below = _open_below(folder, part, os.path.join(root, *parts[:depth]), create)
            os.close(folder)
            folder = below
        yield folder
    finally:
        os.close(folder)


def _open_below(folder: int, part: str, path: str, create: bool) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(part, flags, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
    except OSError:
        if is_link(part, folder):
            raise symbolic_link(path) from None
        raise
    try:
        os.mkdir(part, FOLDER_MODE, dir_fd=folder)
    except FileExistsError:
        return _open_below(folder, part, path, create=False)
    os.fsync(folder)
    return os.open(part, flags, dir_fd=folder)


def is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


@contextmanager
def opened_file(folder: int, name: str, path: str) -> Iterator[tuple[int, int]]:
    """A descriptor of a regular file, and its size in bytes.

    Raises:
        StorageError: it is a symbolic link, or no regular file.
        OSError: FileNotFoundError and the like.
    """
    # Without O_NONBLOCK a named pipe would hold us here for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(name, flags, dir_fd=folder)
    except OSError:
        if is_link(name, folder):
            raise symbolic_link(path) from None
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(f"{path} is not a regular file.", code="NotAnObject", resource=path)
        yield file, status.st_size
    finally:
        os.close(file)


def read_exactly(file: int, offset: int, length: int) -> bytes | None:
    """``length`` bytes from ``offset``, None when the file ends before."""
    data = os.pread(file, length, offset)
    if len(data) == length:
        return data
    pieces = [data]
    missing = length - len(data)
    while pieces[-1] and missing:
        pieces.append(os.pread(file, missing, offset + length - missing))
        missing -= len(pieces[-1])
    return None if missing else b"".join(pieces)


def write_new(folder: int, name: str, data: bytes | memoryview) -> None:
    """A new file with this content, which is on the disk when this returns."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(name, flags, FILE_MODE, dir_fd=folder)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def now(folder: int, name: str) -> float:
    """The time by the file system's clock, which may be another machine's: that of a new file."""
    write_new(folder, name, b"")
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
    finally:
        remove(folder, name)


def remove(folder: int, name: str) -> bool:
    """Remove a file or a link, never what it points to; False when there is none."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def publish(source: int, temporary: str, target: int, name: str) -> None:
    """Give a finished file its name, unless that is taken; of several callers one succeeds.

    The temporary name may be there afterwards.

    Raises:
        FileExistsError: it is taken.
        OSError: anything else.
    """
    try:
        os.link(temporary, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_noreplace(source, temporary, target, name)


def _rename_noreplace(source: int, temporary: str, target: int, name: str) -> None:
    """For file systems without hard links: Linux's rename that never replaces."""
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    old, new = os.fsencode(temporary), os.fsencode(name)
    if rename(source, old, target, new, _RENAME_NOREPLACE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
