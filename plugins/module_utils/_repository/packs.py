# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs: chunks and pages, many to an object, with a directory at the end."""

from __future__ import annotations

import json
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from .._errors import ObjectNotFound, StorageError
from . import names
from .codec import NAME_SIZE, is_whole, parse_json
from .errors import DamagedObject
from .repository import Repository

PACK_SIZE = 16 << 20
MOST_PACK_SIZE = 64 << 20
MOST_RECORD = 4 << 20
PACK_ID_SIZE = 16
UPLOADS_AT_ONCE = 3
_TRAILER = struct.Struct("<I4s")
_MAGIC = b"VMG1"
# Records of a pack: they bound its directory, where chunks are almost empty.
MOST_RECORDS = 1 << 14
_DIRECTORY_LIMIT = 4 << 20


class Ref(NamedTuple):
    """Where a chunk or page lies. Bytes."""

    name: bytes
    pack: bytes
    offset: int
    length: int


class PackPlace(NamedTuple):
    """A pack and where its directory lies in it. Bytes."""

    pack: bytes
    offset: int
    length: int


def longest(size: int) -> int:
    """Bytes that a record of so many bytes takes at most: a little more, if nothing compresses."""
    return size + (size >> 7) + 512


class PackWriter:
    """Collects records and stores a pack whenever one is full. Thread-safe.

    Records of one call lie side by side. A record is safe only after ``flush``.

    Args:
        on_stored: called with each stored pack's place and its records.
    """

    def __init__(
        self,
        repository: Repository,
        *,
        size: int = PACK_SIZE,
        on_stored: Callable[[PackPlace, list[Ref]], None] | None = None,
    ) -> None:
        self._repository = repository
        self._size = size
        self._on_stored = on_stored
        self._lock = threading.Lock()
        # Not the lock above: whoever has that one may be waiting for an upload to end.
        self._counting = threading.Lock()
        self._pool = ThreadPoolExecutor(UPLOADS_AT_ONCE, thread_name_prefix="pack")
        # Packs on their way: who has the next one full waits until one of them has arrived.
        self._room = threading.BoundedSemaphore(UPLOADS_AT_ONCE)
        self._running: set[Future[None]] = set()
        self._failed: BaseException | None = None
        self.stored_bytes = 0
        self.packs = 0
        self._begin()

    def _begin(self) -> None:
        self._pack = os.urandom(PACK_ID_SIZE)
        self._box = self._repository.codec.box(names.pack(self._pack))
        # Grown in place: parts that are kept until the pack is full would leave holes in the memory
        # of each thread, and joining them takes it twice.
        self._content = bytearray()
        self._refs: list[Ref] = []

    def add(self, records: Iterable[tuple[bytes, bytes]]) -> list[Ref]:
        """Take records, as ``(name, compressed)``; where they will lie.

        Raises:
            StorageError: an earlier pack could not be stored.
        """
        with self._lock:
            self._check()
            refs = [self._append(name, packed) for name, packed in records]
            if len(self._content) >= self._size or len(self._refs) >= MOST_RECORDS:
                self._send()
        return refs

    def _append(self, name: bytes, packed: bytes) -> Ref:
        stored = self._box.lock(packed, name)
        ref = Ref(name, self._pack, len(self._content), len(stored))
        self._content += stored
        self._refs.append(ref)
        return ref

    def flush(self) -> None:
        """Store what is left and wait for all packs.

        Raises:
            StorageError: one could not be stored.
        """
        with self._lock:
            if self._refs and self._failed is None:
                self._send()
        for future in list(self._running):
            future.result()
        self._check()

    def close(self) -> None:
        """End without storing what is left; who adds more is refused."""
        if self._failed is None:
            self._failed = StorageError("The backup is over; nothing more is stored.")
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed

    def _send(self) -> None:
        """Hand the pack to an upload; waits while too many are on their way."""
        self._room.acquire()
        future = self._pool.submit(self._store, self._pack, self._content, self._refs)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        self._begin()

    def _store(self, pack: bytes, content: bytearray, refs: list[Ref]) -> None:
        try:
            place, end = seal_pack(self._repository, pack, [content], refs)
            content += end
            self._repository.store.put(names.pack(pack), memoryview(content))
            with self._counting:
                self.stored_bytes += len(content)
                self.packs += 1
            if self._on_stored:
                self._on_stored(place, refs)
        except BaseException as error:
            self._failed = error
            raise
        finally:
            self._room.release()


def seal_pack(
    repository: Repository, pack: bytes, parts: Iterable[bytes | bytearray], refs: list[Ref]
) -> tuple[PackPlace, bytes]:
    """What a pack ends with: its directory and the trailer.

    Args:
        parts: the stored bytes of the records, in their order.

    Returns:
        Where the directory lies, and the bytes that follow the records.
    """
    codec = repository.codec
    digest = codec.digest()
    length = 0
    for part in parts:
        digest.update(part)
        length += len(part)
    body = {
        "digest": digest.hexdigest(),
        "records": [[ref.name.hex(), ref.offset, ref.length] for ref in refs],
    }
    text = json.dumps(body, separators=(",", ":")).encode()
    directory = codec.seal(_directory_name(names.pack(pack)), text)
    end = directory + _TRAILER.pack(len(directory), _MAGIC)
    return PackPlace(pack, length, len(directory)), end


def _directory_name(pack_name: str) -> str:
    return f"{pack_name}#directory"


class Directory(NamedTuple):
    """What a pack says of itself: its records by name, and the digest of all of them."""

    records: dict[bytes, Ref]
    digest: str


class DirectoryCache:
    """The directories that were used last. Thread-safe.

    Args:
        most_records: bounds what is kept, whatever the packs are like.
    """

    def __init__(self, most_records: int) -> None:
        self._most = most_records
        self._held = 0
        self._lock = threading.Lock()
        self._directories: OrderedDict[bytes, Directory | None] = OrderedDict()

    def get(self, pack: bytes) -> tuple[bool, Directory | None]:
        """Whether it is known, and what: None for a pack that is gone or damaged."""
        with self._lock:
            if pack not in self._directories:
                return False, None
            self._directories.move_to_end(pack)
            return True, self._directories[pack]

    def put(self, pack: bytes, directory: Directory | None) -> None:
        with self._lock:
            self._held += self._cost(directory) - self._cost(self._directories.pop(pack, None))
            self._directories[pack] = directory
            while self._held > self._most and len(self._directories) > 1:
                self._held -= self._cost(self._directories.popitem(last=False)[1])

    @staticmethod
    def _cost(directory: Directory | None) -> int:
        return len(directory.records) if directory else 0


def find_directory(repository: Repository, pack: bytes, size: int) -> PackPlace:
    """Where the directory of a pack of ``size`` bytes lies.

    Raises:
        DamagedObject, StorageError: the pack's end is not one.
    """
    name = names.pack(pack)
    if size < _TRAILER.size:
        raise DamagedObject(name, f"it has {size} bytes and no end")
    trailer = _range(repository, name, size - _TRAILER.size, _TRAILER.size)
    length, magic = _TRAILER.unpack(trailer)
    offset = size - _TRAILER.size - length
    if magic != _MAGIC or offset < 0 or length > _DIRECTORY_LIMIT:
        raise DamagedObject(name, "its end is not that of a pack")
    return PackPlace(pack, offset, length)


def read_directory(repository: Repository, place: PackPlace) -> Directory:
    """The directory of a pack.

    Raises:
        DamagedObject: it is not what was stored.
        ObjectNotFound, StorageError: it cannot be read.
    """
    name = names.pack(place.pack)
    if not 0 < place.length <= _DIRECTORY_LIMIT:
        raise DamagedObject(name, "its directory has an absurd size")
    return parse_directory(repository, place, _range(repository, name, place.offset, place.length))


def parse_directory(repository: Repository, place: PackPlace, stored: bytes) -> Directory:
    name = names.pack(place.pack)
    try:
        plain = repository.codec.unseal(_directory_name(name), stored, _DIRECTORY_LIMIT)
        body = parse_json(name, plain)
    except DamagedObject as error:
        raise DamagedObject(name, f"of its directory, {error.what}") from error
    try:
        refs = [
            Ref(bytes.fromhex(one), place.pack, start, size) for one, start, size in body["records"]
        ]
        whole = all(
            len(ref.name) == NAME_SIZE
            and is_whole(ref.offset)
            and is_whole(ref.length)
            and 0 <= ref.offset < ref.offset + ref.length <= place.offset
            for ref in refs
        )
        digest = str(body["digest"])
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedObject(name, "its directory cannot be read") from error
    if not whole:
        raise DamagedObject(name, "its directory points outside it")
    return Directory({ref.name: ref for ref in refs}, digest)


def fetch(repository: Repository, refs: Iterable[Ref]) -> dict[Ref, memoryview]:
    """The stored bytes of records, read in few requests.

    Raises:
        DamagedObject: a pack is gone or too short.
        StorageError: it cannot be read.
    """
    found: dict[Ref, memoryview] = {}
    for run in runs(refs, repository.store.request_cost):
        name = names.pack(run[0].pack)
        start = run[0].offset
        length = max(ref.offset + ref.length for ref in run) - start
        try:
            view = memoryview(_range(repository, name, start, length))
        except ObjectNotFound as error:
            raise DamagedObject(name, "it is missing") from error
        for ref in run:
            found[ref] = view[ref.offset - start : ref.offset - start + ref.length]
    return found


def _range(repository: Repository, name: str, offset: int, length: int) -> bytes:
    try:
        return repository.store.get_range(name, offset, length)
    except StorageError as error:
        if error.code != "ObjectTruncated":
            raise
        raise DamagedObject(name, "it is too short") from error


def runs(refs: Iterable[Ref], gap: int, most: int = 8 << 20) -> list[list[Ref]]:
    """Records that are read together.

    They are of one pack, with at most ``gap`` bytes between two of them and ``most`` in all, and at
    least half of what is read is wanted.
    """
    ordered: list[Ref] = sorted(set(refs), key=lambda ref: (ref.pack, ref.offset))
    groups: list[list[Ref]] = []
    wanted = 0
    for ref in ordered:
        if groups:
            first, last = groups[-1][0], groups[-1][-1]
            length = ref.offset + ref.length - first.offset
            if (
                last.pack == ref.pack
                and ref.offset - (last.offset + last.length) <= gap
                and length <= min(most, 2 * (wanted + ref.length))
            ):
                groups[-1].append(ref)
                wanted += ref.length
                continue
        groups.append([ref])
        wanted = ref.length
    return groups
