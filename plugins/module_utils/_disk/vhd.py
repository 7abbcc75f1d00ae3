# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The footer of a fixed VHD: the last 512 bytes of every disk that is uploaded to Azure.

Source: Microsoft's Virtual Hard Disk Image Format Specification, "Hard Disk Footer Format".
"""

from __future__ import annotations

import struct
from datetime import datetime, timezone
from uuid import UUID

FOOTER_SIZE = 512
SECTOR = 512

_FOOTER = struct.Struct(
    ">8s"  # cookie
    "I"  # features: bit 1 is always set
    "I"  # format version 1.0
    "Q"  # data offset: all ones, since a fixed disk has no further header
    "I"  # seconds since 2000-01-01 UTC
    "4sI4s"  # creator, its version, its host system
    "QQ"  # original and current size
    "HBB"  # cylinders, heads, sectors per track
    "I"  # disk type
    "I"  # checksum
    "16s"  # unique id
    "B427x"  # saved state, reserved
)
_COOKIE = b"conectix"
_FEATURES, _VERSION, _NO_HEADER, _FIXED = 0x2, 0x00010000, 0xFFFFFFFFFFFFFFFF, 2
# Readers take the size of other creators' images from the geometry, which rounds it.
_CREATOR, _CREATOR_VERSION, _HOST = b"win ", 0x000A0000, b"Wi2k"
_CHECKSUM_AT = 64
_EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
_MOST_CYLINDERS = 65535


def footer(size: int, unique_id: UUID, created: datetime) -> bytes:
    """The footer of a disk.

    Args:
        size: bytes of the disk, without the footer; a positive multiple of 512.
        unique_id: any id; readers use it to tell disks apart.
        created: aware; times outside the format's (2000 to 2136) become its first or last.

    Raises:
        ValueError: the size is none that a disk can have.
    """
    if size <= 0 or size % SECTOR:
        raise ValueError(f"A disk has a positive multiple of {SECTOR} bytes, not {size}.")
    seconds = min(max(int((created - _EPOCH).total_seconds()), 0), 0xFFFFFFFF)
    data = bytearray(
        _FOOTER.pack(
            _COOKIE, _FEATURES, _VERSION, _NO_HEADER, seconds,
            _CREATOR, _CREATOR_VERSION, _HOST, size, size, *_geometry(size // SECTOR),
            _FIXED, 0, unique_id.bytes, 0,
        )
    )  # fmt: skip
    struct.pack_into(">I", data, _CHECKSUM_AT, ~sum(data) & 0xFFFFFFFF)
    return bytes(data)


def check_footer(data: bytes, blob_size: int) -> None:
    """Refuse what does not end like a fixed VHD: a VHDX, for one, has other things in its place.

    Args:
        data: the last 512 bytes of the blob.
        blob_size: bytes of the blob, the footer included.

    Raises:
        ValueError: saying what is wrong, as the end of a sentence.
    """
    if len(data) != FOOTER_SIZE or data[: len(_COOKIE)] != _COOKIE:
        raise ValueError("its last 512 bytes are not the footer of a VHD")
    fields = _FOOTER.unpack(data)
    current, kind = fields[9], fields[13]
    if kind != _FIXED:
        raise ValueError(f"its VHD footer is of disk type {kind}, not of a fixed disk ({_FIXED})")
    if current != blob_size - FOOTER_SIZE:
        raise ValueError(
            f"its VHD footer tells of a disk of {current} bytes, and it has"
            f" {blob_size - FOOTER_SIZE} bytes before the footer"
        )


def _geometry(sectors: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors per track, by the specification's appendix."""
    sectors = min(sectors, _MOST_CYLINDERS * 16 * 255)
    if sectors >= _MOST_CYLINDERS * 16 * 63:
        return sectors // 255 // 16, 16, 255
    per_track = 17
    tracks = sectors // per_track
    heads = max(4, -(-tracks // 1024))
    for wider in (31, 63):
        if heads <= 16 and tracks < heads * 1024:
            break
        per_track, heads = wider, 16
        tracks = sectors // per_track
    return tracks // heads, heads, per_track
