"""The VHD footer: its fields as published, and what is refused."""

from __future__ import annotations

import struct
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_azure.storage import vhd

GIB = 1 << 30
ID = UUID("00112233-4455-6677-8899-aabbccddeeff")


def test_fields_are_where_the_format_has_them() -> None:
    footer = vhd.build(32 * GIB, ID)
    assert len(footer) == 512
    assert footer[:8] == b"conectix"
    assert struct.unpack_from(">IIQ", footer, 8) == (2, 0x10000, 0xFFFFFFFFFFFFFFFF)
    assert struct.unpack_from(">QQ", footer, 40) == (32 * GIB, 32 * GIB)
    assert struct.unpack_from(">I", footer, 60) == (2,)
    assert footer[68:84] == ID.bytes
    assert footer[84:] == bytes(428)
    stored = struct.unpack_from(">I", footer, 64)[0]
    assert stored == ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (20 << 20, (602, 4, 17)),
        (GIB, (2080, 16, 63)),
        (30 * GIB, (62415, 16, 63)),
        (127 * GIB, (65278, 16, 255)),
        (32767 * GIB, (65535, 16, 255)),
    ],
)
def test_geometry(size: int, expected: tuple[int, int, int]) -> None:
    assert vhd.geometry(size) == expected


@given(pages=st.integers(1, 2**36), unique_id=st.uuids())
def test_what_is_built_is_valid(pages: int, unique_id: UUID) -> None:
    footer = vhd.build(pages * 512, unique_id)
    vhd.validate(footer, pages * 512)
    assert footer == vhd.build(pages * 512, unique_id)


@given(at=st.integers(0, 511), value=st.integers(1, 255))
def test_one_wrong_byte_is_refused(at: int, value: int) -> None:
    footer = bytearray(vhd.build(GIB, ID))
    footer[at] ^= value
    with pytest.raises(vhd.VhdFooterError):
        vhd.validate(bytes(footer), GIB)


def _changed(at: int, data: bytes) -> bytes:
    footer = bytearray(vhd.build(GIB, ID))
    footer[at : at + len(data)] = data
    footer[64:68] = vhd.checksum(footer).to_bytes(4, "big")
    return bytes(footer)


@pytest.mark.parametrize(
    ("footer", "text"),
    [
        (bytes(512), "cookie value 'conectix'"),
        (b"short", "512 bytes"),
        (_changed(60, b"\0\0\0\3"), "disk type is 3"),
        (_changed(12, b"\0\2\0\0"), "format version"),
        (vhd.build(2 * GIB, ID), "disk size"),
        (vhd.build(GIB, ID)[:-1] + b"x", "checksum"),
    ],
)
def test_the_reason_is_named(footer: bytes, text: str) -> None:
    with pytest.raises(vhd.VhdFooterError, match=text):
        vhd.validate(footer, GIB)
