# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every place for the objects of a repository can do, and what it promises."""

from __future__ import annotations

import abc
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType

from .._errors import ObjectExists, ObjectNotFound, ObjectTooLarge, StorageError

# Bytes: what one request carries, so that an object is there as a whole or not at all.
MAX_OBJECT = 64 << 20
MAX_NAME = 512
# The top-level folder for files that are being written. No object lies there, in any place.
TEMPORARY = "tmp"

_SEGMENT = r"[a-z0-9][a-z0-9._-]{0,254}"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")
_PREFIX = re.compile(rf"(?:{_SEGMENT}/)*(?:{_SEGMENT})?")
_LAST_BYTE = (1 << 63) - 1


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it; ``size`` in bytes, ``modified`` in UTC, aware."""

    name: str
    size: int
    modified: datetime


def is_object_name(name: str) -> bool:
    """Whether a name is one that objects have: lower-case segments, joined with slashes."""
    return (
        len(name) <= MAX_NAME
        and _NAME.fullmatch(name) is not None
        and ".." not in name
        and name.partition("/")[0] != TEMPORARY
    )


def check_object_name(name: str) -> None:
    """Refuse what is no name of an object.

    Raises:
        StorageError: with the code InvalidObjectName.
    """
    if not isinstance(name, str) or not is_object_name(name):
        raise StorageError(
            f"{name[:80]!r} is not the name of an object of a repository.", code="InvalidObjectName"
        )


def check_prefix(prefix: str) -> None:
    """Refuse what no name of an object can begin with; the empty prefix is fine.

    Raises:
        StorageError: with the code InvalidObjectName.
    """
    if len(prefix) > MAX_NAME or ".." in prefix or _PREFIX.fullmatch(prefix) is None:
        raise StorageError(
            f"{prefix[:80]!r} is not what the name of an object begins with.",
            code="InvalidObjectName",
        )


def check_range(name: str, offset: int, length: int) -> None:
    """Refuse a name or a range of bytes that cannot be.

    Raises:
        StorageError: with the code InvalidObjectName or InvalidRange.
    """
    check_object_name(name)
    if offset < 0 or length < 1 or offset + length > _LAST_BYTE:
        raise StorageError(
            f"{length} bytes from byte {offset} are no range of object {name}.", code="InvalidRange"
        )


def check_new_object(name: str, data: bytes | memoryview) -> None:
    """Refuse a name that cannot be, or more bytes than one object has.

    Raises:
        StorageError: with the code InvalidObjectName.
        ObjectTooLarge: more than MAX_OBJECT bytes.
    """
    check_object_name(name)
    if len(data) > MAX_OBJECT:
        raise ObjectTooLarge(
            f"Object {name} would have {len(data)} bytes; at most {MAX_OBJECT} are stored as one."
        )


class Store(abc.ABC):
    """A flat set of named objects that are written once and never changed.

    Every method may be called from many threads at once, and may raise StorageDenied (no
    permission), StorageUnavailable (no answer, after retries) and StorageError (anything else).
    Every method that takes a name or prefix raises StorageError with the code InvalidObjectName
    when it is malformed.
    """

    # For messages: "folder /srv/backups". It holds no secret.
    description: str
    # What may rather be read for nothing than asked around by another request. Bytes.
    request_cost = 128 << 10

    @abc.abstractmethod
    def exists(self) -> bool:
        """Whether the place itself, the folder or the container, is there."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make the place if it is missing."""

    @abc.abstractmethod
    def put(self, name: str, data: bytes | memoryview) -> None:
        """Create an object, atomically and durably; of several writers exactly one does.

        That it is there with the very same content is a success: the answer to an earlier try may
        have been lost.

        Raises:
            ObjectExists: there is one with this name and another content; it is as it was.
            ObjectTooLarge: more than MAX_OBJECT bytes.
            StorageFull: the disk, the quota or the account is full.
        """

    @abc.abstractmethod
    def get(self, name: str, limit: int) -> bytes:
        """The content of an object.

        Args:
            limit: in bytes; of a larger object at most one byte more is read.

        Raises:
            ObjectNotFound: there is none.
            ObjectTooLarge: it has more bytes than the limit.
        """

    @abc.abstractmethod
    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes of an object, from byte ``offset``; at least one.

        Raises:
            ObjectNotFound: there is none.
            StorageError: with the code ObjectTruncated when the object ends before, InvalidRange
                when no object can have the range.
        """

    @abc.abstractmethod
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """The objects whose names begin with the text ``prefix``, by name."""

    @abc.abstractmethod
    def foreign_objects(self) -> Iterator[str]:
        """Names of what lies in the place and is no object, by its name: somebody else's."""

    @abc.abstractmethod
    def delete(self, name: str) -> None:
        """Delete an object; that there is none is fine.

        Raises:
            StorageDenied: deleting is refused, by permissions or by an immutability policy.
        """

    @abc.abstractmethod
    def remove_leftovers(self, *, everything: bool = False) -> int:
        """Remove what killed writers left unfinished; returns how many.

        Args:
            everything: also what a writer may still be working on, which fails then. Otherwise a
                writer must be known to be dead, or its work a day old by the storage's own clock.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Give connections back. Nothing may be called afterwards."""

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def confirm_same(store: Store, name: str, data: bytes | memoryview) -> None:
    """After a put that found its name taken: was it our own, whose answer was lost?

    Raises:
        ObjectExists: the object that is there has another content.
    """
    try:
        same = store.get(name, len(data)) == data
    except ObjectTooLarge:
        same = False
    if not same:
        raise ObjectExists(
            f"Object {name} is already in the {store.description}, with another content.",
            operation="write",
            resource=name,
        )


def not_found(store: Store, name: str) -> ObjectNotFound:
    return ObjectNotFound(
        f"There is no object {name} in the {store.description}.", operation="read", resource=name
    )


def too_large(store: Store, name: str, limit: int) -> ObjectTooLarge:
    return ObjectTooLarge(
        f"Object {name} in the {store.description} has more than {limit} bytes,"
        " the most that such an object has.",
        operation="read",
        resource=name,
    )


def truncated(store: Store, name: str, offset: int, length: int) -> StorageError:
    return StorageError(
        f"Object {name} in the {store.description} ends before byte {offset + length}:"
        " it is not what was written.",
        code="ObjectTruncated",
        operation="read",
        resource=name,
    )
