# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A digest of an image file, which is made while its chunks are written in any order.

It is a BLAKE3, with the repository's chunk key, over the number (8 bytes, little-endian) and the name
of every chunk that is not zeros, in order; then over the size of the image (8 bytes) and what follows
it in the file, such as a VHD footer. Reading the file gives the same digest, holes are not read.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from .._repository.codec import Codec
from .._repository.tree import Entries, chunk_count

# Bytes that are read at once.
_READ = 4 << 20


class FileDigest:
    """The digest of one file.

    Args:
        image_size: bytes of the disk that was backed up: its last chunk may be shorter.
    """

    def __init__(self, codec: Codec, chunk_size: int, image_size: int) -> None:
        self._codec = codec
        self._digest = codec.digest()
        self._last = chunk_count(image_size, chunk_size) - 1
        rest = image_size - self._last * chunk_size
        self._zeros = {codec.name(bytes(chunk_size)), codec.name(bytes(rest))}

    def add_page(self, first: int, entries: Entries) -> None:
        """Take the chunks of an index page; ``first`` is the number of its first one."""
        for position, ref in sorted(entries.items()):
            self.add(first + position, ref.name)

    def add(self, number: int, name: bytes) -> None:
        """Take a chunk; they come in ascending order."""
        if name not in self._zeros:
            self._digest.update(number.to_bytes(8, "little") + name)

    def finish(self, size: int, end: bytes = b"") -> str:
        """The digest, in hexadecimal.

        Args:
            size: bytes of the disk in the file.
            end: what follows it.
        """
        self._digest.update(size.to_bytes(8, "little") + end)
        return self._digest.hexdigest()


def digest_of(file: int, codec: Codec, chunk_size: int, *, image_size: int, size: int) -> str:
    """The digest of an open file, by reading all of it that is no hole.

    Args:
        file: a descriptor.
        image_size: bytes of the disk that was backed up.
        size: bytes of the disk in the file, not less than ``image_size``.

    Raises:
        OSError: it cannot be read.
    """
    digest = FileDigest(codec, chunk_size, image_size)
    for number, data in _chunks(file, chunk_size, 0, image_size):
        digest.add(number, codec.name(data))
    # Behind the image there are zeros; anything else gets numbers that no image has.
    for number, data in _chunks(file, chunk_size, image_size, size):
        digest.add(number + (1 << 62), codec.name(data))
    return digest.finish(size, _read(file, size, os.fstat(file).st_size))


def _chunks(file: int, chunk_size: int, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The chunks between two places that are not zeros, by their numbers from ``start``."""
    zeros = bytes(chunk_size)
    at_once = max(1, _READ // chunk_size) * chunk_size
    at = start
    while at < end:
        data_at = _next_data(file, at)
        if data_at is None or data_at >= end:
            return
        at += (data_at - at) // chunk_size * chunk_size
        block = _read(file, at, min(at + at_once, end))
        for offset in range(0, len(block), chunk_size):
            data = block[offset : offset + chunk_size]
            if data != zeros[: len(data)]:
                yield (at - start + offset) // chunk_size, data
        at += at_once


def _next_data(file: int, at: int) -> int | None:
    """Where the next bytes are that are no hole; None when none follow."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        if error.errno == errno.EINVAL:
            # A file system that cannot tell its holes: all of it is read.
            return at
        raise


def _read(file: int, start: int, end: int) -> bytes:
    """What there is between two places; less where the file ends before."""
    parts = []
    while start < end and (data := os.pread(file, min(end - start, _READ), start)):
        parts.append(data)
        start += len(data)
    return b"".join(parts)
