"""Bytes as they are stored: they come back as they were, or with an error, never otherwise."""

from __future__ import annotations

import os
import struct

import pytest
import zstandard
from ansible_collections.vmguard.azure.plugins.module_utils._repository.codec import (
    Codec,
    parse_json,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import DamagedObject
from hypothesis import given
from hypothesis import strategies as st
from image_world import flipped

LIMIT = 1 << 20
PLACE = "manifests/one"
CHUNK_KEY, DATA_KEY = bytes(range(32)), bytes(range(32, 64))
CODECS = {"clear": Codec(CHUNK_KEY, None), "encrypted": Codec(CHUNK_KEY, DATA_KEY)}
TEBIBYTE = 1 << 40


@pytest.fixture(params=sorted(CODECS))
def codec(request: pytest.FixtureRequest) -> Codec:
    return CODECS[request.param]


def frame_of(size: int, content: bytes = b"\0" * 100) -> bytes:
    """A zstd frame that claims to hold so many bytes (RFC 8878, 3.1.1)."""
    block = zstandard.ZstdCompressor(write_content_size=False).compress(content)[6:]
    return struct.pack("<IBBQ", 0xFD2FB528, 0xC0, 0x58, size) + block


@given(st.binary(max_size=5000))
def test_a_sealed_object_opens_to_what_it_was(data: bytes) -> None:
    for codec in CODECS.values():
        assert codec.unseal(PLACE, codec.seal(PLACE, data), len(data)) == data


@given(st.binary(max_size=5000))
def test_a_record_opens_to_what_it_was(data: bytes) -> None:
    for codec in CODECS.values():
        box, name = codec.box("packs/one"), codec.name(data)
        stored = box.lock(codec.compress(data), name)
        assert box.open(memoryview(stored), name, len(data)) == data


def test_every_flipped_bit_of_a_sealed_object_is_noticed(codec: Codec) -> None:
    sealed = codec.seal(PLACE, b'{"what": "a small object"}' * 3)
    for changed in flipped(sealed):
        with pytest.raises(DamagedObject):
            codec.unseal(PLACE, changed, LIMIT)


def test_a_flipped_bit_of_a_record_never_gives_other_bytes(codec: Codec) -> None:
    data = os.urandom(40) + bytes(40)
    box, name = codec.box("packs/one"), codec.name(data)
    noticed = 0
    stored = box.lock(codec.compress(data), name)
    for changed in flipped(stored):
        try:
            assert box.open(changed, name, LIMIT) == data
        except DamagedObject:
            noticed += 1
    # In the clear a few bits of a frame's head mean nothing; the digest of the pack covers them.
    assert noticed >= len(stored) * 8 - (0 if codec.encrypted else 16)


def test_every_cut_of_a_sealed_object_is_noticed(codec: Codec) -> None:
    sealed = codec.seal(PLACE, b"a small object")
    for length in range(len(sealed)):
        with pytest.raises(DamagedObject):
            codec.unseal(PLACE, sealed[:length], LIMIT)
    with pytest.raises(DamagedObject):
        codec.unseal(PLACE, sealed + b"\0", LIMIT)


def test_an_object_under_another_name_does_not_open(codec: Codec) -> None:
    with pytest.raises(DamagedObject):
        codec.unseal("manifests/two", codec.seal(PLACE, b"a small object"), LIMIT)


def test_an_encrypted_record_opens_in_its_own_pack_and_under_its_own_name_only() -> None:
    codec = CODECS["encrypted"]
    box, name = codec.box("packs/one"), codec.name(b"content")
    stored = box.lock(codec.compress(b"content"), name)
    with pytest.raises(DamagedObject, match="does not decrypt"):
        codec.box("packs/two").unlock(stored, name)
    with pytest.raises(DamagedObject, match="does not decrypt"):
        box.unlock(stored, codec.name(b"other content"))


def test_another_record_is_not_taken_for_the_one_that_was_asked_for(codec: Codec) -> None:
    box = codec.box("packs/one")
    wanted, other = codec.name(b"content"), codec.name(b"other")
    stored = box.lock(codec.compress(b"other"), wanted)
    with pytest.raises(DamagedObject, match="does not match its name"):
        box.open(stored, wanted, LIMIT)
    assert box.open(box.lock(codec.compress(b"other"), other), other, LIMIT) == b"other"


def test_two_seals_of_one_text_have_no_byte_in_common_to_compare() -> None:
    codec = CODECS["encrypted"]
    one, other = codec.seal(PLACE, bytes(1000)), codec.seal(PLACE, bytes(1000))
    assert one[:12] != other[:12]
    assert one[12:] != other[12:]
    assert b"\0" * 8 not in one


def test_names_depend_on_the_key() -> None:
    other = Codec(DATA_KEY, None)
    assert CODECS["clear"].name(b"content") != other.name(b"content")
    assert CODECS["clear"].key_of("vm") != other.key_of("vm")
    assert len(other.key_of("vm")) == 32


def test_a_frame_that_claims_a_tebibyte_is_refused_unread(codec: Codec) -> None:
    for claimed in (LIMIT + 1, TEBIBYTE, (1 << 64) - 3):
        with pytest.raises(DamagedObject, match="claims"):
            codec.decompress(PLACE, frame_of(claimed), LIMIT)
        name = codec.name(b"")
        box = codec.box(PLACE)
        with pytest.raises(DamagedObject, match="claims"):
            box.open(box.lock(frame_of(claimed), name), name, LIMIT)


def test_a_frame_that_lies_about_its_size_is_refused(codec: Codec) -> None:
    assert codec.decompress(PLACE, frame_of(100), LIMIT) == bytes(100)
    for claimed in (1, 99, 101, LIMIT):
        with pytest.raises(DamagedObject):
            codec.decompress(PLACE, frame_of(claimed), LIMIT)


@pytest.mark.parametrize(
    "packed",
    [
        zstandard.ZstdCompressor(write_content_size=False).compress(b"content"),
        zstandard.ZstdCompressor().compress(b"content") * 2,
        zstandard.ZstdCompressor().compress(b"content")[:-1],
        b"",
        b"plain text",
        struct.pack("<II", 0x184D2A50, 4) + b"skip",
    ],
    ids=["no size", "two frames", "cut", "nothing", "no frame", "skipped"],
)
def test_what_is_no_single_frame_with_a_size_is_refused(codec: Codec, packed: bytes) -> None:
    name = codec.name(b"content")
    box = codec.box(PLACE)
    with pytest.raises(DamagedObject):
        box.open(box.lock(packed, name), name, LIMIT)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 200_000, b"1" * 5000])
def test_json_that_is_none_or_has_no_end_is_damage(text: bytes) -> None:
    with pytest.raises(DamagedObject, match="not JSON"):
        parse_json(PLACE, text)


def test_a_seal_in_the_clear_is_passed_over_by_any_zstd() -> None:
    sealed = CODECS["clear"].seal(PLACE, b"readable without us")
    reader = zstandard.ZstdDecompressor().stream_reader(sealed, read_across_frames=True)
    assert reader.read() == b"readable without us"
