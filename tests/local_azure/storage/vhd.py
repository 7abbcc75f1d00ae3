"""The 512-byte footer of a fixed-size VHD, which every disk blob ends with."""

from __future__ import annotations

import struct
from datetime import datetime, timezone
from uuid import UUID

FOOTER_SIZE = 512

_COOKIE = b"conectix"
_RESERVED_FEATURE = 2  # the one feature bit that is always set
_VERSION = 0x00010000
_NO_NEXT_STRUCTURE = 0xFFFFFFFFFFFFFFFF
_FIXED = 2
_EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)

# cookie, features, version, data offset, time stamp, creator, its version, its system,
# original size, current size, cylinders, heads, sectors, disk type, checksum, id, saved state
_LAYOUT = struct.Struct(">8sIIQI4sI4sQQHBBII16sB427x")
_CHECKSUM = slice(64, 68)


class VhdFooterError(Exception):
    """A footer that is not one of a fixed VHD of the disk's size. The text is one sentence."""


def geometry(size: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors per track of a disk of ``size`` bytes, by the VHD rules."""
    sectors = min(size // 512, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        return sectors // 255 // 16, 16, 255
    per_track = 17
    tracks = sectors // per_track
    heads = max((tracks + 1023) // 1024, 4)
    if tracks >= heads * 1024 or heads > 16:
        per_track, heads = 31, 16
        tracks = sectors // per_track
    if tracks >= heads * 1024:
        per_track, heads = 63, 16
        tracks = sectors // per_track
    return tracks // heads, heads, per_track


def checksum(footer: bytes) -> int:
    """The footer's checksum: one's complement of the sum of all other bytes, 32 bits."""
    total = sum(footer[: _CHECKSUM.start]) + sum(footer[_CHECKSUM.stop :])
    return ~total & 0xFFFFFFFF


def build(size: int, unique_id: UUID, created: datetime = _EPOCH) -> bytes:
    """The footer of a disk of ``size`` bytes (without the footer). Same input, same bytes."""
    seconds = int((created - _EPOCH).total_seconds())
    footer = bytearray(
        _LAYOUT.pack(
            _COOKIE,
            _RESERVED_FEATURE,
            _VERSION,
            _NO_NEXT_STRUCTURE,
            seconds,
            b"win ",
            0x000A0000,
            b"Wi2k",
            size,
            size,
            *geometry(size),
            _FIXED,
            0,
            unique_id.bytes,
            0,
        )
    )
    footer[_CHECKSUM] = checksum(footer).to_bytes(4, "big")
    return bytes(footer)


def validate(footer: bytes, size: int) -> None:
    """Check that ``footer`` describes a fixed VHD of ``size`` bytes.

    Raises:
        VhdFooterError: saying the first thing that is wrong.
    """
    if len(footer) != FOOTER_SIZE:
        raise VhdFooterError(f"A VHD footer has 512 bytes, not {len(footer)}.")
    fields = _LAYOUT.unpack(footer)
    cookie, version, current, kind, stored = (fields[i] for i in (0, 2, 9, 13, 14))
    if cookie != _COOKIE:
        raise VhdFooterError(
            "The specified cookie value in VHD footer indicates that the disk is not a "
            "supported VHD. Disk is expected to have cookie value 'conectix'."
        )
    if stored != checksum(footer):
        raise VhdFooterError("The checksum of the VHD footer does not match its content.")
    if version >> 16 != _VERSION >> 16:
        raise VhdFooterError(f"The VHD footer has the unknown format version {version:#010x}.")
    if kind != _FIXED:
        raise VhdFooterError(f"The VHD is not of fixed size: its disk type is {kind}, not 2.")
    if current != size:
        raise VhdFooterError(
            f"The VHD footer gives a disk size of {current} bytes, but the disk has {size}."
        )
