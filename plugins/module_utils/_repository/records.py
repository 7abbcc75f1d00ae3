# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chunks and pages out of packs, each proved to be what its name says, from another pack if need be."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from . import names
from .chunk_index import ChunkIndex
from .codec import Box
from .errors import DamagedObject
from .packs import MOST_RECORD, Ref, fetch
from .repository import Repository


class Copies:
    """Finds what is damaged where it should lie in other packs. Thread-safe.

    The same content may be stored more than once: by two machines at the same time, or by a backup
    that did not trust a damaged pack. Its name proves that it is the same.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._lock = threading.Lock()
        self._index: ChunkIndex | None = None

    def read(self, ref: Ref, limit: int) -> bytes | None:
        """The content of a chunk or page from another place, None where there is none.

        Args:
            limit: bytes that it may have.

        Raises:
            StorageError: the storage does not answer.
        """
        with self._lock:
            if self._index is None:
                self._index = ChunkIndex(self._repository, "")
        for other in self._index.places(ref.name):
            if other == ref:
                continue
            try:
                stored = fetch(self._repository, [other])[other]
                box = self._repository.codec.box(names.pack(other.pack))
                return box.open(stored, ref.name, limit)
            except DamagedObject:
                continue
        return None


class Records:
    """Chunks or pages that are read together, in few requests.

    Args:
        copies: where to look for what is damaged; None to look nowhere else.

    Raises:
        StorageError: the storage does not answer.
    """

    def __init__(
        self, repository: Repository, refs: Iterable[Ref], copies: Copies | None = None
    ) -> None:
        self._repository = repository
        self._copies = copies
        self._boxes: dict[bytes, Box] = {}
        try:
            self._stored = fetch(repository, refs)
        except DamagedObject:
            if copies is None:
                raise
            # One by one, then: not all of them are gone.
            self._stored = {}

    def open(self, ref: Ref, limit: int, longest: int = MOST_RECORD) -> bytes:
        """The content of one of them.

        Args:
            limit: bytes that it may have.
            longest: bytes that it may take in the pack.

        Raises:
            DamagedObject: it is missing or not what its name says, here and elsewhere.
            StorageError: the storage does not answer.
        """
        try:
            return self._open(ref, limit, longest)
        except DamagedObject:
            data = self._copies.read(ref, limit) if self._copies else None
            if data is None:
                raise
            return data

    def _open(self, ref: Ref, limit: int, longest: int) -> bytes:
        place = names.pack(ref.pack)
        if ref.length > longest:
            raise DamagedObject(place, f"a chunk in it has {ref.length} bytes")
        stored = self._stored.get(ref)
        if stored is None:
            stored = fetch(self._repository, [ref])[ref]
        box = self._boxes.get(ref.pack)
        if box is None:
            box = self._boxes[ref.pack] = self._repository.codec.box(place)
        return box.open(stored, ref.name, limit)
