"""Disks and snapshots as images in one folder, sharing what they have in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .image import MIB, Image, ImageError
from .layers import LayerFiles
from .pages import ceil_page

__all__ = ["DiskStore", "Image", "ImageError"]

_BLOCK = 64 * 1024
_ZERO_BLOCK = bytes(_BLOCK)


class DiskStore:
    """Makes, copies and deletes images. Thread-safe.

    An image is a map of extents over layer files. Freezing and forking copy the map and share
    the files; the next write to the original goes into a new file.
    """

    def __init__(self, root: Path) -> None:
        """Keep the layer files under ``root``, which is made if absent."""
        self._files = LayerFiles(Path(root))

    def create(self, size: int) -> Image:
        """A writable image of ``size`` bytes, all zeros.

        Raises:
            ImageError: for a size that is not a positive multiple of 512.
        """
        return Image(self._files, size)

    def import_file(self, path: Path, size: int | None = None) -> Image:
        """A writable image with the content of a raw file; its holes and zeros stay holes.

        ``size`` in bytes defaults to the file's own, rounded up to 512.

        Raises:
            ImageError: when ``size`` is smaller than the file.
            OSError: when the file cannot be read.
        """
        with open(path, "rb", buffering=0) as source:
            length = os.fstat(source.fileno()).st_size
            size = ceil_page(length) if size is None else size
            if size < length:
                raise ImageError(
                    f"A file of {length} bytes does not fit into an image of {size} bytes."
                )
            image = self.create(size)
            try:
                for start, end in _data_extents(source.fileno(), length):
                    _copy_data(source.fileno(), start, end, image)
            except BaseException:
                self.delete(image)
                raise
        return image

    def freeze(self, image: Image, family: int | None = None) -> Image:
        """A snapshot: an immutable image of this moment, of the same family unless one is given.

        Raises:
            ImageError: when the image was deleted.
        """
        return image.twin(image.size, image.family if family is None else family, frozen=True)

    def fork(self, image: Image, size: int | None = None) -> Image:
        """A new writable image with the same content, possibly larger, and a family of its own.

        Raises:
            ImageError: when the image was deleted, or ``size`` is smaller than it is.
        """
        return image.twin(image.size if size is None else size, None, frozen=False)

    def delete(self, image: Image) -> None:
        """Drop an image, and the layer files that no other image refers to."""
        image.drop()


def _data_extents(fd: int, length: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are not holes."""
    at = 0
    while at < length:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole up to the end
            return
        at = os.lseek(fd, start, os.SEEK_HOLE)
        yield start, min(at, length)


def _copy_data(fd: int, start: int, end: int, image: Image) -> None:
    """Copy a part of a file into an image, leaving out the blocks that are all zeros."""
    for at in range(start, end, MIB):
        data = memoryview(_read_exactly(fd, at, min(MIB, end - at)))
        kept = None
        for low in range(0, len(data), _BLOCK):
            block = data[low : low + _BLOCK]
            # A bytes comparison is 50 times as fast as one of memoryviews.
            if bytes(block) == _ZERO_BLOCK:
                if kept is not None:
                    image.write(at + kept, data[kept:low])
                kept = None
            elif kept is None:
                kept = low
        if kept is not None:
            image.write(at + kept, data[kept:])


def _read_exactly(fd: int, offset: int, length: int) -> bytes:
    pieces = []
    while length:
        data = os.pread(fd, length, offset)
        if not data:
            raise EOFError("The file became shorter while it was read.")
        pieces.append(data)
        offset += len(data)
        length -= len(data)
    return b"".join(pieces)
