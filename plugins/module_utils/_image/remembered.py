# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verification remembers, small: millions of packs and index pages in tens of MiB."""

from __future__ import annotations

import os
import random
import struct
from array import array
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from .._repository import names
from .._repository.packs import PACK_ID_SIZE, Ref
from .._storage.interface import StoredObject

_ROW = struct.Struct(f">{PACK_ID_SIZE}sQ")
_PLACE = struct.Struct("<16sQQ")
# Index pages that are remembered: 8 bytes each, and half of the table is free.
MOST_SEEN = 1 << 21


class PackSizes:
    """Ids and sizes of packs, in 24 bytes each.

    Args:
        listed: objects; what has no pack's name is passed over.
    """

    def __init__(self, listed: Iterable[StoredObject]) -> None:
        self._rows = bytearray()
        last = b""
        ordered = True
        for found in listed:
            pack = names.pack_id(found.name)
            if pack is None:
                continue
            ordered = ordered and last < pack
            last = pack
            self._rows += _ROW.pack(pack, found.size)
        if not ordered:
            self._rows = bytearray().join(sorted(self._cut()))

    def _cut(self) -> Iterator[bytes]:
        for at in range(0, len(self._rows), _ROW.size):
            yield bytes(self._rows[at : at + _ROW.size])

    def __len__(self) -> int:
        return len(self._rows) // _ROW.size

    def __iter__(self) -> Iterator[bytes]:
        """The ids, ascending."""
        for pack, _size in _ROW.iter_unpack(self._rows):
            yield pack

    def get(self, pack: bytes) -> int | None:
        """Bytes of a pack, None where it is not there."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            found, size = _ROW.unpack_from(self._rows, middle * _ROW.size)
            if found == pack:
                return size
            if found < pack:
                low = middle + 1
            else:
                high = middle
        return None

    def sample(self, count: int, source: random.Random) -> Iterator[bytes]:
        """So many packs, drawn evenly, in ascending order."""
        for at, pack in enumerate(self):
            if source.random() * (len(self) - at) < count:
                count -= 1
                yield pack


class Seen:
    """A set of references, of which eight bytes each are kept.

    The bytes come from a hash with a key of this process, so that nobody can make two references
    alike. When it is full it forgets everything, which costs time and nothing else.
    """

    def __init__(self, most: int = MOST_SEEN) -> None:
        self._key = os.urandom(16)
        self._most = most
        self._clear()

    def _clear(self) -> None:
        self._count = 0
        self._slots = array("Q", bytes(8 << 10))

    def add(self, level: int, ref: Ref) -> None:
        if self._count >= self._most:
            self._clear()
        if 2 * self._count >= len(self._slots):
            old = self._slots
            self._slots = array("Q", bytes(16 * len(old)))
            for print_ in old:
                if print_:
                    self._slots[self._slot(print_)] = print_
        print_ = self._print(level, ref)
        at = self._slot(print_)
        self._count += not self._slots[at]
        self._slots[at] = print_

    def has(self, level: int, ref: Ref) -> bool:
        print_ = self._print(level, ref)
        return self._slots[self._slot(print_)] == print_

    def _slot(self, print_: int) -> int:
        """Where it is, or belongs."""
        at = print_ % len(self._slots)
        while self._slots[at] not in (0, print_):
            at = (at + 1) % len(self._slots)
        return at

    def _print(self, level: int, ref: Ref) -> int:
        text = ref.name + _PLACE.pack(ref.pack, ref.offset, ref.length)
        digest = blake2b(text, digest_size=8, key=self._key, salt=bytes([level])).digest()
        return int.from_bytes(digest, "little") or 1
