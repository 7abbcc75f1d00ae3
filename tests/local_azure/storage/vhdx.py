"""Disks with sectors of 4,096 bytes as blobs: Azure exports them as VHDX, which has no footer.

Only the file identifier is that of a real VHDX; what lies between it and the disk's bytes is zeros.
A client that takes any blob of a disk for a VHD sees here what it would see in Azure: bytes that
are not at their place, and an end that is no footer.
"""

from __future__ import annotations

from collections.abc import Iterator

from .image import Image
from .page_blob import PageBlob
from .pages import PAGE

IDENTIFIER = b"vhdxfile"
# What the VHDX of an empty disk has.
HEADER_SIZE = 6 << 20


class VhdxBlob(PageBlob):
    """An image behind the header of a VHDX. It can only be read."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)

    @property
    def size(self) -> int:
        """Bytes, the header included."""
        return HEADER_SIZE + self.image.size

    def read_pieces(self, start: int, end: int) -> Iterator[bytes]:
        if start < HEADER_SIZE:
            head = IDENTIFIER.ljust(PAGE, b"\0") + bytes(HEADER_SIZE - PAGE)
            yield head[start : min(end, HEADER_SIZE)]
        low = max(start - HEADER_SIZE, 0)
        if low < end - HEADER_SIZE:
            yield from self.image.read_pieces(low, end - HEADER_SIZE - low)

    def ranges(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        if start < PAGE:
            yield 0, PAGE
        low, high = max(start - HEADER_SIZE, 0), end - HEADER_SIZE
        if low < high:
            for first, last in self.image.allocated(low, high):
                yield first + HEADER_SIZE, last + HEADER_SIZE

    def changes(self, base: PageBlob, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        low, high = max(start - HEADER_SIZE, 0), end - HEADER_SIZE
        if low < high:
            for first, last, cleared in self.image.changed_since(base.image, low, high):
                yield first + HEADER_SIZE, last + HEADER_SIZE, cleared
