# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository's objects as files of a folder: on a disk, or on a mounted share."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

from .._errors import InputError, StorageError
from . import folder_files as files
from . import process
from .interface import (
    TEMPORARY,
    Store,
    StoredObject,
    check_new_object,
    check_object_name,
    check_prefix,
    check_range,
    confirm_same,
    is_object_name,
    not_found,
    too_large,
    truncated,
)

# What mkfs makes at the root of a file system.
_OF_FILE_SYSTEM = "lost+found"
# A file that is being written: by which process of which place (see process.place), and at random.
_TEMPORARY_NAME = re.compile(r"([0-9a-f]{16})-([0-9]{1,10})-[0-9a-f]{16}|[0-9a-f]{32}")
# Seconds after which no writer is at work on a file any more.
_OLD = 86_400.0


def _here() -> str:
    return hashlib.sha256(process.place().encode()).hexdigest()[:16]


def _temporary_name() -> str:
    return f"{_here()}-{os.getpid()}-{secrets.token_hex(8)}"


def _is_dead(place: str | None, pid: str | None) -> bool:
    """Whether a writer was a process of this machine that is no more. Unknown is False."""
    known = place is not None and pid is not None and process.place() != "" and place == _here()
    return known and not process.is_running(int(pid or 0))


class FolderStore(Store):
    """One file for each object, in sub-folders as its name says.

    A new object is written to ``tmp``, brought to the disk, and only then given its name. Symbolic
    links below the folder are refused.
    """

    def __init__(self, path: str) -> None:
        """Nothing is opened yet.

        Args:
            path: absolute.

        Raises:
            InputError: it is not.
        """
        if not os.path.isabs(path) or "\0" in path:
            raise InputError(f"The repository's path {path!r} is not an absolute path.")
        self._root = os.path.normpath(path)
        self.description = f"folder {self._root}"

    def exists(self) -> bool:
        try:
            with files.opened_folder(self._root, []):
                return True
        except FileNotFoundError:
            return False
        except OSError as error:
            raise files.translate(error, "open", self._root) from error

    def prepare(self) -> None:
        try:
            os.mkdir(self._root, files.FOLDER_MODE)
        except FileExistsError:
            self.exists()
            return
        except FileNotFoundError:
            above = os.path.dirname(self._root)
            raise StorageError(
                f"Cannot create {self._root}: there is no folder {above}.",
                code="FolderNotFound",
                hint="Create it, or mount what belongs there.",
            ) from None
        except OSError as error:
            raise files.translate(error, "create", self._root) from error
        try:
            with files.opened_folder(os.path.dirname(self._root), []) as above:
                os.fsync(above)
        except OSError as error:
            raise files.translate(error, "create", self._root) from error

    def put(self, name: str, data: bytes | memoryview) -> None:
        check_new_object(name, data)
        *folders, leaf = name.split("/")
        try:
            with files.opened_folder(self._root, folders, create=True) as target:
                taken = self._is_taken(target, leaf) or not self._create(target, leaf, data)
                if taken:
                    confirm_same(self, name, data)
                os.fsync(target)
        except OSError as error:
            raise self._failed(error, "write", name) from error

    @staticmethod
    def _is_taken(folder: int, leaf: str) -> bool:
        try:
            os.stat(leaf, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _create(self, target: int, leaf: str, data: bytes | memoryview) -> bool:
        """Write the file; False when another writer was quicker."""
        temporary = _temporary_name()
        with files.opened_folder(self._root, [TEMPORARY], create=True) as folder:
            try:
                files.write_new(folder, temporary, data)
                files.publish(folder, temporary, target, leaf)
            except FileExistsError:
                return False
            finally:
                files.remove(folder, temporary)
        return True

    def get(self, name: str, limit: int) -> bytes:
        check_object_name(name)
        *folders, leaf = name.split("/")
        try:
            with (
                files.opened_folder(self._root, folders) as folder,
                files.opened_file(folder, leaf, self._path(name)) as (file, size),
            ):
                if size > limit:
                    raise too_large(self, name, limit)
                data = files.read_exactly(file, 0, size)
        except OSError as error:
            raise self._failed(error, "read", name) from error
        if data is None:
            raise truncated(self, name, 0, size)
        return data

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        check_range(name, offset, length)
        *folders, leaf = name.split("/")
        try:
            with (
                files.opened_folder(self._root, folders) as folder,
                files.opened_file(folder, leaf, self._path(name)) as (file, size),
            ):
                ends = offset + length > size
                data = None if ends else files.read_exactly(file, offset, length)
        except OSError as error:
            raise self._failed(error, "read", name) from error
        if data is None:
            raise truncated(self, name, offset, length)
        return data

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        self._check_root("list")
        return self._walk("", prefix)

    def _walk(self, above: str, prefix: str) -> Iterator[StoredObject]:
        """The objects below ``above``, which is empty or ends with a slash."""
        for name, found in self._entries(above, prefix):
            if found is None:
                yield from self._walk(name, prefix)
            else:
                yield found

    def _entries(self, above: str, prefix: str) -> list[tuple[str, StoredObject | None]]:
        """Names in a folder, sorted; that of a folder ends with a slash and has no object."""
        entries: list[tuple[str, StoredObject | None]] = []

        def take(name: str, entry: os.DirEntry[str]) -> None:
            if not is_object_name(name):
                return
            if entry.is_symlink():
                raise files.symbolic_link(self._path(name))
            if entry.is_dir(follow_symlinks=False):
                name += "/"
                if name.startswith(prefix) or prefix.startswith(name):
                    entries.append((name, None))
            elif name.startswith(prefix) and entry.is_file(follow_symlinks=False):
                entries.extend(self._described(name, entry))

        self._scan(above, take)
        return sorted(entries, key=lambda item: item[0])

    def foreign_objects(self) -> Iterator[str]:
        self._check_root("list")
        return self._foreign_below("")

    def _foreign_below(self, above: str) -> Iterator[str]:
        found: list[str] = []
        below: list[str] = []

        def take(name: str, entry: os.DirEntry[str]) -> None:
            if is_object_name(name):
                if entry.is_dir(follow_symlinks=False):
                    below.append(f"{name}/")
            elif name not in (TEMPORARY, _OF_FILE_SYSTEM):
                found.append(name)

        self._scan(above, take)
        yield from sorted(found)
        for folder in sorted(below):
            yield from self._foreign_below(folder)

    def _scan(self, above: str, take: Callable[[str, os.DirEntry[str]], None]) -> None:
        """Look at all that lies directly in a folder; nothing where it is gone meanwhile."""
        try:
            with (
                files.opened_folder(self._root, above.split("/")[:-1]) as folder,
                os.scandir(folder) as found,
            ):
                for entry in found:
                    take(f"{above}{entry.name}", entry)
        except FileNotFoundError:
            # Deleted since its name was read; the root itself was looked at before.
            return
        except OSError as error:
            raise files.translate(error, "list", os.path.join(self._root, above)) from error

    @staticmethod
    def _described(name: str, entry: os.DirEntry[str]) -> Iterator[tuple[str, StoredObject | None]]:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        modified = datetime.fromtimestamp(status.st_mtime, timezone.utc)
        yield name, StoredObject(name, status.st_size, modified)

    def delete(self, name: str) -> None:
        check_object_name(name)
        self._check_root("delete")
        *folders, leaf = name.split("/")
        try:
            with files.opened_folder(self._root, folders) as folder:
                if files.remove(folder, leaf):
                    # What is deleted later must not vanish earlier, should the power fail.
                    os.fsync(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._failed(error, "delete", name) from error

    def remove_leftovers(self, *, everything: bool = False) -> int:
        removed = 0
        try:
            with files.opened_folder(self._root, [TEMPORARY]) as folder:
                for name in os.listdir(folder):
                    if (found := _TEMPORARY_NAME.fullmatch(name)) and (
                        everything or _is_dead(*found.groups()) or self._is_old(folder, name)
                    ):
                        removed += files.remove(folder, name)
        except FileNotFoundError:
            return removed
        except OSError as error:
            path = os.path.join(self._root, TEMPORARY)
            raise files.translate(error, "clean up", path) from error
        return removed

    @staticmethod
    def _is_old(folder: int, name: str) -> bool:
        """Compares times of the file system, not the clock of this machine: they may differ."""
        try:
            written = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
            return files.now(folder, _temporary_name()) - written > _OLD
        except FileNotFoundError:
            return False

    def close(self) -> None:
        pass

    def _path(self, name: str) -> str:
        return os.path.join(self._root, *name.split("/"))

    def _check_root(self, operation: str) -> None:
        if not self.exists():
            raise StorageError(
                f"There is no folder {self._root}.",
                code="FolderNotFound",
                operation=operation,
                resource=self._root,
                hint="Check path, and that the file system is mounted.",
            )

    def _failed(self, error: OSError, operation: str, name: str) -> StorageError:
        if isinstance(error, FileNotFoundError):
            self._check_root(operation)
            return not_found(self, name)
        return files.translate(error, operation, self._path(name))
