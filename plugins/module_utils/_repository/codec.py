# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes as they are stored: named by a keyed hash, compressed, encrypted or sealed."""

from __future__ import annotations

import hmac
import json
import os
import struct
import threading
from typing import Any

from .._errors import missing_library
from .errors import DamagedObject

NAME_SIZE = 32
NONCE_SIZE = 12
TAG_SIZE = 16
_LEVEL = 1
# A skippable frame (RFC 8878, 3.1.2) holds the seal of what is not encrypted: zstd passes over it.
_SEAL = struct.Struct("<II")
_SEAL_MAGIC = 0x184D2A56


def load_libraries() -> tuple[Any, Any]:
    """blake3 and zstandard.

    Raises:
        MissingLibrary: one of them is not installed.
    """
    try:
        import blake3
    except ImportError as error:
        raise missing_library("blake3", "to name the chunks of a repository") from error
    try:
        import zstandard
    except ImportError as error:
        raise missing_library("zstandard", "to compress the chunks of a repository") from error
    return blake3, zstandard


def parse_json(place: str, text: bytes) -> Any:
    """JSON that somebody else may have written.

    Raises:
        DamagedObject: it is none, or nested without end.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedObject(place, "it is not JSON") from error


def is_whole(value: Any) -> bool:
    """Whether a value from JSON is a whole number; ``true`` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


class Codec:
    """Names, stores and opens the bytes of one repository. Thread-safe.

    Args:
        chunk_key: 32 bytes that the hashes are keyed with.
        data_key: 32 bytes that everything is encrypted with; None for a repository in the clear.
    """

    def __init__(self, chunk_key: bytes, data_key: bytes | None) -> None:
        blake3, self._zstd = load_libraries()
        self._blake3 = blake3.blake3
        self._chunk_key = chunk_key
        self._data_key = data_key
        self._local = threading.local()

    @property
    def encrypted(self) -> bool:
        return self._data_key is not None

    @property
    def overhead(self) -> int:
        """Bytes that storing adds to a compressed chunk."""
        return NONCE_SIZE + TAG_SIZE if self.encrypted else 0

    def name(self, data: bytes | memoryview) -> bytes:
        """The name of a chunk or page: BLAKE3 of its content, keyed."""
        return self._blake3(data, key=self._chunk_key).digest()

    def key_of(self, text: str) -> str:
        """A keyed hash of a text, 32 hex digits: it does not tell what it is made of."""
        return self.name(text.encode())[:16].hex()

    def digest(self) -> Any:
        """A running, keyed BLAKE3."""
        return self._blake3(key=self._chunk_key)

    def compress(self, data: bytes | memoryview) -> bytes:
        try:
            compressor = self._local.compressor
        except AttributeError:
            compressor = self._local.compressor = self._zstd.ZstdCompressor(level=_LEVEL)
        return compressor.compress(data)

    def box(self, place: str) -> Box:
        """What stores and opens the records of one object."""
        return Box(self, place)

    def seal(self, place: str, data: bytes) -> bytes:
        """A whole object: compressed, and encrypted or sealed against damage."""
        box = self.box(place)
        packed = self.compress(data)
        if self.encrypted:
            return box.lock(packed, place.encode())
        return packed + _SEAL.pack(_SEAL_MAGIC, TAG_SIZE) + self._tag(place, packed)

    def unseal(self, place: str, stored: bytes, limit: int) -> bytes:
        """What ``seal`` was given.

        Args:
            place: the object's name; one that was moved does not open.
            limit: bytes that it may have.

        Raises:
            DamagedObject: it is not what was stored.
        """
        if self.encrypted:
            packed = self.box(place).unlock(stored, place.encode())
        else:
            cut = len(stored) - TAG_SIZE - _SEAL.size
            packed, head = stored[: max(cut, 0)], stored[max(cut, 0) :]
            if cut <= 0 or head[: _SEAL.size] != _SEAL.pack(_SEAL_MAGIC, TAG_SIZE):
                raise DamagedObject(place, "its end is missing")
            if not hmac.compare_digest(head[_SEAL.size :], self._tag(place, packed)):
                raise DamagedObject(place, "its checksum is wrong")
        return self.decompress(place, packed, limit)

    def _tag(self, place: str, packed: bytes) -> bytes:
        digest = self.digest()
        digest.update(place.encode() + b"\0")
        digest.update(packed)
        return digest.digest()[:TAG_SIZE]

    def decompress(self, place: str, packed: bytes | memoryview, limit: int) -> bytes:
        """The content of one zstd frame that says how long it is.

        Raises:
            DamagedObject: it is no such frame, or longer than ``limit``.
        """
        try:
            size = self._zstd.frame_content_size(packed)
            if not 0 <= size <= limit:
                raise DamagedObject(place, f"it claims {size} bytes where {limit} are the most")
            try:
                decompressor = self._local.decompressor
            except AttributeError:
                decompressor = self._local.decompressor = self._zstd.ZstdDecompressor()
            return decompressor.decompress(packed, allow_extra_data=False)
        except self._zstd.ZstdError as error:
            raise DamagedObject(place, "it cannot be decompressed") from error


class Box:
    """The encryption of one object, with a key of its own, derived from its name."""

    def __init__(self, codec: Codec, place: str) -> None:
        self._codec = codec
        self._place = place
        self._cipher: Any = None
        if codec._data_key is not None:
            try:
                from cryptography.hazmat.primitives.ciphers.aead import AESGCM
            except ImportError as error:
                raise missing_library("cryptography", "for an encrypted repository") from error
            self._cipher = AESGCM(hmac.digest(codec._data_key, place.encode(), "sha256"))

    def lock(self, packed: bytes, name: bytes) -> bytes:
        """Encrypt with AES-256-GCM; the name is authenticated with it. In the clear: as it is."""
        if self._cipher is None:
            return packed
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, packed, name)

    def unlock(self, stored: bytes | memoryview, name: bytes) -> bytes | memoryview:
        """What ``lock`` was given.

        Raises:
            DamagedObject: it was changed, cut or moved.
        """
        if self._cipher is None:
            return stored
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(stored[:NONCE_SIZE], stored[NONCE_SIZE:], name)
        except (InvalidTag, ValueError) as error:
            raise DamagedObject(self._place, "it does not decrypt") from error

    def open(self, stored: bytes | memoryview, name: bytes, limit: int) -> bytes:
        """A chunk or page, proved to be the one of this name.

        Raises:
            DamagedObject: it is another, or none.
        """
        data = self._codec.decompress(self._place, self.unlock(stored, name), limit)
        if not hmac.compare_digest(self._codec.name(data), name):
            raise DamagedObject(self._place, f"the content of {name.hex()} does not match its name")
        return data
