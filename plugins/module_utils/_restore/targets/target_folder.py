# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that files are restored into: one run at a time, and all files or none.

A run holds a lock on ``.vmguard-restore.lock``, which the system takes back when the process ends,
however it ends. All that is unfinished lies in ``.vmguard-restore.partial``. When every file is
whole there, the record joins them: that is the commit. Then they are moved to their names, and the
record last. What a killed run left is told by that record: with it, the moves are finished; without
it, nothing was moved and the folder is removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from ..._clock import SystemClock
from ..._errors import InputError, VmguardError
from ..._storage.folder_files import (
    FILE_MODE,
    FOLDER_MODE,
    publish,
    read_exactly,
    remove,
    write_new,
)

RECORD = "vmguard-restore.json"
LOCK = ".vmguard-restore.lock"
PARTIAL = ".vmguard-restore.partial"
_OLD = ".old"
_NEW = ".new"
Recovered = Literal["finished", "removed"]
_LOCK_BYTES = 4096
_RECORD_BYTES = 64 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
# What rename and link say where the file system knows no rename that never replaces.
_PLAIN_RENAME = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def in_words(folder: Path, doing: str = "written") -> Iterator[None]:
    """Errors of the operating system as sentences.

    Args:
        doing: what cannot be done with the files, as a participle.

    Raises:
        VmguardError: for an OSError.
    """
    try:
        yield
    except OSError as error:
        hint = code = None
        if error.errno in _FULL:
            code, hint = "NoSpace", "Free space there, or name another directory."
        elif error.errno in _DENIED:
            code = "NoPermission"
            user = f"the user that runs the task (uid {os.geteuid()})"
            hint = f"Give {user} the right to, or name another directory."
        raise VmguardError(
            f"The files cannot be {doing} in {folder}: {error.strerror or error}.",
            code=code or "CannotWrite",
            resource=str(folder),
            hint=hint,
        ) from error


def entry(folder: int, name: str) -> os.stat_result | None:
    """What lies under a name in an open folder, links not followed; None for nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


@contextmanager
def opened_regular(folder: int, name: str) -> Iterator[int]:
    """A descriptor of a regular file, for reading.

    Raises:
        OSError: ELOOP for a symbolic link, EINVAL for anything else that is no regular file.
    """
    # Without O_NONBLOCK a named pipe would hold us here for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(name, flags, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", name)
        yield file
    finally:
        os.close(file)


def read_record(folder: int) -> dict[str, Any] | None:
    """The record in an open folder; None when there is none, or it is none of ours."""
    try:
        with opened_regular(folder, RECORD) as file:
            size = os.fstat(file).st_size
            text = read_exactly(file, 0, size) if size <= _RECORD_BYTES else None
        found = json.loads(text or b"")
    except (OSError, ValueError, RecursionError):
        return None
    files = found.get("files") if isinstance(found, dict) else None
    return found if isinstance(files, dict) and all(map(_is_plain, files)) else None


def unfinished(path: Path) -> bool:
    """Whether a run works in a folder, or was killed in it."""
    return any(os.path.lexists(path / name) for name in (PARTIAL, LOCK))


@contextmanager
def locked_folder(path: Path, clock: SystemClock) -> Iterator[TargetFolder]:
    """The folder, for this run alone; it is made if it is not there.

    Raises:
        VmguardError: another run works in it; its file system has no locks.
        InputError: something else is in the place of the lock.
        OSError: the folder or the lock cannot be made.
    """
    _make_folder(path)
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock = _take_lock(folder, path)
        try:
            since = clock.now().isoformat(timespec="seconds")
            owner = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
            # For who reads it. On a full disk it may fail, and what fills the disk is to be removed.
            with contextlib.suppress(OSError):
                os.ftruncate(lock, 0)
                os.pwrite(lock, json.dumps(owner).encode(), 0)
            yield TargetFolder(path, folder, lock)
        finally:
            # While it is held: who locks it next looks whether it still is the one of this name.
            with contextlib.suppress(OSError):
                remove(folder, LOCK)
            os.close(lock)
    finally:
        os.close(folder)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        return
    # Else a crash may take the new folder away, with all that is synced in it.
    with contextlib.suppress(PermissionError):
        above = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(above)
        finally:
            os.close(above)


def _take_lock(folder: int, path: Path) -> int:
    """A descriptor of the lock file, locked."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        there = entry(folder, LOCK)
        if there and (not stat.S_ISREG(there.st_mode) or there.st_nlink != 1):
            raise InputError(
                f"{path / LOCK} is not the lock file of a restore; find out who put it there,"
                " and remove it.",
                code="NotALock",
                resource=str(path / LOCK),
            )
        lock = os.open(LOCK, flags, FILE_MODE, dir_fd=folder)
        try:
            _flock(lock, path)
            now = entry(folder, LOCK)
            if now and os.path.samestat(now, os.fstat(lock)):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _flock(lock: int, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise VmguardError(
            f"Another restore writes into {path}: {_owner(lock)}.",
            code="RestoreRunning",
            resource=str(path),
            hint="Wait until it has ended, or name another directory.",
        ) from error
    except OSError as error:
        raise VmguardError(
            f"The file system of {path} gives no locks ({error.strerror}), without which two restores"
            " could write the same files.",
            code="NoLocks",
            resource=str(path),
            hint="Name a directory on another file system, or mount this one with locks.",
        ) from error


def _owner(lock: int) -> str:
    """Who holds a lock, as far as it is told."""
    try:
        owner = json.loads(os.pread(lock, _LOCK_BYTES, 0))
        return f"process {owner['process']} on {owner['host']}, since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that began just now"


class TargetFolder:
    """A folder that is locked.

    Args:
        folder: its descriptor.
        lock: the descriptor of the lock. A process that is given it keeps the lock while it lives.
    """

    def __init__(self, path: Path, folder: int, lock: int) -> None:
        self.path = path
        self.folder = folder
        self.lock = lock

    def recover(self, *, replace: bool) -> Recovered | None:
        """Finish or remove what a killed run has left.

        Args:
            replace: whether files may be replaced that came since.

        Returns:
            What was done; None when there was nothing to do.

        Raises:
            InputError: it cannot be told what is there, or a file that came since is in the way.
            OSError: it cannot be finished; the next run tries again.
        """
        there = entry(self.folder, PARTIAL)
        if there is None:
            return None
        if not stat.S_ISDIR(there.st_mode):
            raise self._foreign(self.path / PARTIAL)
        with self._opened() as partial:
            committed = entry(partial, RECORD) is not None
            if committed:
                record = read_record(partial)
                if record is None:
                    raise self._foreign(self.path / PARTIAL / RECORD)
                self._move(partial, record, replace=replace or record.get("forced") is True)
            self._clear(partial)
        return "finished" if committed else "removed"

    @contextmanager
    def partial(self) -> Iterator[int]:
        """An empty folder for what is unfinished. When this ends without a commit, it is gone.

        Raises:
            OSError: it cannot be made.
        """
        os.mkdir(PARTIAL, FOLDER_MODE, dir_fd=self.folder)
        try:
            with self._opened() as partial:
                yield partial
        except BaseException:
            # What cannot be removed now is removed by the next run.
            with contextlib.suppress(OSError, InputError), self._opened() as partial:
                if entry(partial, RECORD) is None:
                    self._clear(partial)
            raise

    def commit(self, partial: int, record: dict[str, Any]) -> None:
        """Give all files of the record their names, then the record; undone when that fails.

        Args:
            record: ``files`` names files that are whole in ``partial``; ``forced`` says whether files
                that are there may be replaced.

        Raises:
            InputError: a file is in the way.
            OSError: it failed. When undoing failed too, the next run finishes the commit.
        """
        write_new(partial, RECORD + _NEW, json.dumps(record, indent=1).encode())
        os.rename(RECORD + _NEW, RECORD, src_dir_fd=partial, dst_dir_fd=partial)
        os.fsync(partial)
        try:
            self._move(partial, record, replace=record["forced"])
        except BaseException:
            if entry(partial, RECORD) is not None:
                self._move_back(partial, record)
                remove(partial, RECORD)
            raise
        # All is done: what cannot be removed now is removed by the next run.
        with contextlib.suppress(OSError, InputError):
            self._clear(partial)

    def _move(self, partial: int, record: dict[str, Any], *, replace: bool) -> None:
        """From the partial folder to the names; each step may have been done before."""
        # First: as long as there is a record, it is true.
        self._aside(partial, RECORD)
        for name in record["files"]:
            new, old = entry(partial, name), entry(self.folder, name)
            if new is None:
                continue
            if old and not os.path.samestat(new, old):
                if not replace:
                    raise file_exists(self.path / name)
                self._aside(partial, name)
            if old is None or not os.path.samestat(new, old):
                _rename_new(partial, self.folder, name)
            remove(partial, name)
        os.fsync(self.folder)
        os.rename(RECORD, RECORD, src_dir_fd=partial, dst_dir_fd=self.folder)
        os.fsync(self.folder)

    def _aside(self, partial: int, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.rename(name, name + _OLD, src_dir_fd=self.folder, dst_dir_fd=partial)

    def _move_back(self, partial: int, record: dict[str, Any]) -> None:
        """The reverse of ``_move``, as far as that went."""
        names = list(record["files"])
        for name in reversed(names):
            new, now = entry(partial, name), entry(self.folder, name)
            if new is None:
                os.rename(name, name, src_dir_fd=self.folder, dst_dir_fd=partial)
            elif now and os.path.samestat(new, now):
                remove(self.folder, name)
        for name in (*names, RECORD):
            if entry(partial, name + _OLD):
                _rename_new(partial, self.folder, name + _OLD, name)
                remove(partial, name + _OLD)
        os.fsync(self.folder)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        partial = os.open(PARTIAL, flags, dir_fd=self.folder)
        try:
            # Who may write in the directory can put another folder in its place.
            if os.fstat(partial).st_uid != os.geteuid():
                raise self._foreign(self.path / PARTIAL)
            yield partial
        finally:
            os.close(partial)

    def _clear(self, partial: int) -> None:
        """Remove the partial folder, and the files in it."""
        for name in os.listdir(partial):
            there = entry(partial, name)
            if there and stat.S_ISDIR(there.st_mode):
                raise self._foreign(self.path / PARTIAL / name)
            remove(partial, name)
        os.rmdir(PARTIAL, dir_fd=self.folder)
        os.fsync(self.folder)

    def _foreign(self, path: Path) -> InputError:
        return InputError(
            f"{path} was not made by a restore; find out who put it there, and remove it.",
            code="ForeignObject",
            resource=str(path),
        )


def file_exists(path: Path) -> InputError:
    """The error for a file that is in the way."""
    return InputError(
        f"The file {path} exists and is not of this restore; remove it, name another directory, or"
        " say force: true to replace it.",
        code="FileExists",
        resource=str(path),
    )


def _is_plain(name: str) -> bool:
    """Whether a name leads nowhere else."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _rename_new(source: int, target: int, old: str, new: str | None = None) -> None:
    """Give a file a name that is free. The old name may be there afterwards."""
    try:
        publish(source, old, target, new or old)
    except OSError as error:
        if error.errno not in _PLAIN_RENAME:
            raise
        # It was free a moment ago, and other restores are kept out by the lock.
        os.rename(old, new or old, src_dir_fd=source, dst_dir_fd=target)
