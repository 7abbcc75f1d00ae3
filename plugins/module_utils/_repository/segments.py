# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of the chunk index: which pack may hold a chunk, in eight bytes a chunk.

A segment holds 48 bits of each chunk's name, sorted, and the pack it is in. That is enough to find
the pack, whose directory then tells for certain. Segments are hints: a backup needs none of them.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from .._storage.interface import is_object_name
from . import names
from .codec import is_whole, parse_json
from .errors import DamagedObject
from .packs import PackPlace

SEGMENT_LIMIT = 64 << 20
MOST_PACKS = 1 << 16
_MAGIC = b"VMGSEG1\n"
_HEAD = struct.Struct("<8sI")
_PLACE = struct.Struct("<16sII")


class Segment(NamedTuple):
    """Sorted by ``high``, then ``low``: the first 32 and the next 16 bits of the names."""

    high: array[int]
    low: array[int]
    packs: array[int]
    places: bytes
    replaces: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.high)

    def place(self, number: int) -> PackPlace:
        return PackPlace(*_PLACE.unpack_from(self.places, number * _PLACE.size))

    def all_places(self) -> Iterator[PackPlace]:
        for fields in _PLACE.iter_unpack(self.places):
            yield PackPlace(*fields)

    def find(self, name: bytes) -> list[PackPlace]:
        """The packs that may hold a chunk."""
        high = int.from_bytes(name[:4], "big")
        at = bisect_left(self.high, high)
        found = []
        while at < len(self.high) and self.high[at] == high:
            if self.low[at] == int.from_bytes(name[4:6], "big"):
                found.append(self.place(self.packs[at]))
            at += 1
        return found

    def rows(self) -> Iterator[tuple[int, PackPlace]]:
        """The 48 bits of each name, and its pack."""
        places = list(self.all_places())
        for high, low, pack in zip(self.high, self.low, self.packs, strict=True):
            yield high << 16 | low, places[pack]


def fingerprint(name: bytes) -> int:
    """The 48 bits of a name that a segment keeps."""
    return int.from_bytes(name[:6], "big")


def build(rows: Iterable[tuple[int, PackPlace]], replaces: Iterable[str] = ()) -> Segment:
    """A segment of fingerprints and packs, in any order; at most 65,536 packs.

    What is there twice is kept once: merges of runs that went on side by side have copies.
    """
    numbers: dict[PackPlace, int] = {}
    found = sorted(print_ << 16 | numbers.setdefault(place, len(numbers)) for print_, place in rows)
    keys = [key for key, _copies in groupby(found)]
    return Segment(
        array("I", (key >> 32 for key in keys)),
        array("H", (key >> 16 & 0xFFFF for key in keys)),
        array("H", (key & 0xFFFF for key in keys)),
        b"".join(_PLACE.pack(*place) for place in numbers),
        tuple(replaces),
    )


def encode(segment: Segment) -> bytes:
    head = {
        "entries": len(segment),
        "packs": len(segment.places) // _PLACE.size,
        "replaces": list(segment.replaces),
    }
    text = json.dumps(head).encode()
    columns = (_little(column).tobytes() for column in (segment.high, segment.low, segment.packs))
    return b"".join((_HEAD.pack(_MAGIC, len(text)), text, segment.places, *columns))


def decode(data: bytes, where: str) -> Segment:
    """What ``encode`` was given.

    Raises:
        DamagedObject: it is none.
    """
    try:
        magic, length = _HEAD.unpack_from(data)
        start = _HEAD.size + length
        head = parse_json(where, data[_HEAD.size : start])
        entries, packs = head["entries"], head["packs"]
        replaces = tuple(head["replaces"])
        sizes = (packs * _PLACE.size, entries * 4, entries * 2, entries * 2)
        sound = is_whole(entries) and is_whole(packs) and min(sizes) >= 0
        if magic != _MAGIC or not sound or start + sum(sizes) != len(data):
            raise DamagedObject(where, "it is no segment of the chunk index")
        # They are deleted one day: nothing else may ever be named there.
        if not all(one.startswith(names.SEGMENTS) and is_object_name(one) for one in replaces):
            raise DamagedObject(where, "it replaces what is no segment")
    except (struct.error, KeyError, TypeError, AttributeError) as error:
        raise DamagedObject(where, "it is no segment of the chunk index") from error
    columns = []
    places = data[start : start + sizes[0]]
    start += sizes[0]
    for kind, size in zip("IHH", sizes[1:], strict=True):
        column = array(kind, data[start : start + size])
        columns.append(_little(column))
        start += size
    if entries and max(columns[2]) >= packs:
        raise DamagedObject(where, "it names packs that it does not have")
    return Segment(*columns, places, replaces)


def _little(column: array[int]) -> array[int]:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column
