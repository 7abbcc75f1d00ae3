"""One disk image: an extent map over immutable layers, and one layer to write into."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from .extents import ExtentMap, differences
from .layers import Layer, LayerFiles, read_into, write_at
from .pages import PAGE, allocated_pages, ceil_page, changed_pages, floor_page

MIB = 1 << 20
# Bytes that are read at a time: small enough for memory that has just been freed.
_PIECE = 256 << 10

_serials = count(1)


_BLOCK = 64 * 1024


class ImageError(Exception):
    """An operation that the image does not allow. The text is one sentence."""


class Image:
    """The bytes of one disk or snapshot. Made by a DiskStore. Thread-safe.

    Attributes:
        size: bytes, a multiple of 512.
        frozen: true for a snapshot, which never changes again.
        family: equal for a disk and everything frozen from it; changes are computed within one.
        moment: orders the snapshots of a family; a copy of a snapshot keeps its moment.
    """

    def __init__(
        self,
        files: LayerFiles,
        size: int,
        extents: ExtentMap[Layer] | None = None,
        family: int | None = None,
        frozen: bool = False,
        moment: int | None = None,
    ) -> None:
        """Take over ``extents``; each layer in it gains a user."""
        if size <= 0 or size % PAGE:
            raise ImageError(f"The size of an image is a positive multiple of 512, not {size}.")
        self.size = size
        self.frozen = frozen
        serial = next(_serials)
        self.moment = serial if moment is None else moment
        self.family = serial if family is None else family
        self._files = files
        self._map: ExtentMap[Layer] = extents if extents is not None else ExtentMap()
        self._layers = self._map.layers()
        self._top: Layer | None = None
        self._deleted = False
        self._lock = threading.RLock()
        files.retain(self._layers)

    # -- reading

    def read(self, offset: int, length: int) -> bytes:
        """The bytes at ``offset``; holes read as zeros.

        Raises:
            ImageError: outside the image, or after its deletion.
        """
        with self._lock:
            self._check(offset, offset + length)
            # Opened under the lock: afterwards the files may be unlinked, but not closed.
            extents = [
                (start, end, self._files.handle(layer))
                for start, end, layer in self._map.window(offset, offset + length)
            ]
        if not extents:
            return bytes(length)
        if len(extents) == 1 and extents[0][:2] == (offset, offset + length):
            data = os.pread(extents[0][2].fd, length, offset)
            if len(data) == length:
                return data
        buffer = bytearray(length)
        view = memoryview(buffer)
        for start, end, handle in extents:
            read_into(handle, start, view[start - offset : end - offset])
        return bytes(buffer)

    def read_pieces(self, offset: int, length: int, piece: int = _PIECE) -> Iterator[bytes]:
        """The same bytes in pieces of at most ``piece`` bytes, so that memory stays bounded.

        Raises:
            ImageError: outside the image, or after its deletion.
        """
        self._check(offset, offset + length)
        return self._pieces(offset, offset + length, piece)

    def _pieces(self, start: int, end: int, piece: int) -> Iterator[bytes]:
        for at in range(start, end, piece):
            yield self.read(at, min(piece, end - at))

    def sha256(self) -> str:
        """The hexadecimal digest of the whole content, holes included."""
        digest = hashlib.sha256()
        for data in self.read_pieces(0, self.size):
            digest.update(data)
        return digest.hexdigest()

    def fingerprint(self) -> str:
        """A digest that equal contents share, however they are stored; holes cost nothing.

        SHA-256 over the size and, for every 64 KiB that are not all zeros, their place and bytes.
        """
        digest = hashlib.sha256(str(self.size).encode())
        done = 0
        for start, end in self.allocated():
            first = max(done, start // _BLOCK * _BLOCK)
            for place in range(first, end, _BLOCK):
                data = self.read(place, min(_BLOCK, self.size - place))
                if data.strip(b"\0"):
                    digest.update(place.to_bytes(8, "big") + data)
                done = place + _BLOCK
        return digest.hexdigest()

    def export(self, path: Path) -> None:
        """Write a sparse raw file with the content.

        Raises:
            ImageError: after the image's deletion.
            OSError: when the file cannot be written.
        """
        with open(path, "wb") as target:
            target.truncate(self.size)
            for start, end in self.allocated():
                target.seek(start)
                for data in self.read_pieces(start, end - start):
                    target.write(data)

    # -- what is where

    def has_bytes(self, start: int, end: int) -> bool:
        """Whether any byte from ``start`` to ``end`` was written and not cleared since."""
        with self._lock:
            return self._map.overlaps(start, end)

    def allocated(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """The pages that hold bytes, as merged half-open ranges aligned to 512.

        The window is rounded outwards to 512 and cut to the image.
        """
        start, end = self._page_window(start, end)
        return allocated_pages((low, high) for low, high, _layer in self._stable(start, end))

    def related(self, base: Image) -> bool:
        """Whether ``base`` is of the same disk, so that changes since it mean something."""
        return self.family == base.family

    def changed_since(
        self, base: Image, start: int = 0, end: int | None = None
    ) -> Iterator[tuple[int, int, bool]]:
        """The pages that differ from ``base``: ``(start, end, cleared)``, merged, in order.

        Layers are compared, not bytes: what was written again with equal bytes has changed.
        The window is rounded outwards to 512 and cut to this image.

        Raises:
            ImageError: when ``base`` is of another disk, or not a snapshot.
        """
        if not base.frozen:
            raise ImageError("Changes are computed since a snapshot, not since a live disk.")
        if not self.related(base):
            raise ImageError("Changes can only be computed between images of the same disk.")
        start, end = self._page_window(start, end)
        new = self._stable_map()
        return changed_pages(differences(base._map, new, start, end), new.overlaps)

    # -- writing

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write at any offset, aligned or not.

        Raises:
            ImageError: when frozen, deleted, or outside the image.
        """
        with self._lock:
            self._check(offset, offset + len(data), writing=True)
            if not data:
                return
            if self._top is None:
                self._top = self._files.create()
                self._layers.add(self._top)
            # Bytes before map: if the disk is full, the image still reads as it did.
            write_at(self._files.handle(self._top), offset, data)
            self._map.put(offset, offset + len(data), self._top)

    def clear(self, offset: int, length: int) -> None:
        """Make a range read as zeros and forget that it was ever written.

        Raises:
            ImageError: when frozen, deleted, or outside the image.
        """
        with self._lock:
            self._check(offset, offset + length, writing=True)
            self._map.clear(offset, offset + length)

    def resize(self, size: int) -> None:
        """Grow the image; the new part reads as zeros.

        Raises:
            ImageError: when frozen or deleted, or for a smaller or unaligned size.
        """
        with self._lock:
            self._check(0, 0, writing=True)
            if size < self.size or size % PAGE:
                raise ImageError(
                    f"An image of {self.size} bytes cannot be resized to {size}: "
                    "it only grows, and by whole pages of 512 bytes."
                )
            self.size = size

    # -- for the store

    def twin(self, size: int, family: int | None, frozen: bool) -> Image:
        """A new image with this content, of this moment. Costs one copy of the extent map.

        Raises:
            ImageError: after deletion, or for a size smaller than this one.
        """
        with self._lock:
            self._check(0, 0)
            if size < self.size:
                raise ImageError(f"A copy of {self.size} bytes does not fit into {size} bytes.")
            shared = self._map if self.frozen and frozen else self._map.copy()
            moment = self.moment if self.frozen and frozen else None
            copy = Image(self._files, size, shared, family, frozen, moment)
            self._seal()
            return copy

    def drop(self) -> None:
        """Let go of the layers. Doing it twice does nothing."""
        with self._lock:
            if not self._deleted:
                self._deleted = True
                self._files.release(self._layers)

    def _seal(self) -> None:
        """Make the top layer immutable: the next write opens a new one."""
        self._top = None
        used = self._map.layers()
        self._files.release(self._layers - used)
        self._layers = used

    # -- inside

    def _check(self, start: int, end: int, writing: bool = False) -> None:
        if self._deleted:
            raise ImageError("The image was deleted.")
        if writing and self.frozen:
            raise ImageError("A snapshot cannot be written to.")
        if not 0 <= start <= end <= self.size:
            raise ImageError(f"Bytes {start} to {end} lie outside the image of {self.size} bytes.")

    def _stable(self, start: int, end: int) -> Iterator[tuple[int, int, Layer]]:
        """The extents of a window, safe to iterate while others write."""
        if self.frozen:
            return self._map.window(start, end)
        with self._lock:
            return iter(list(self._map.window(start, end)))

    def _stable_map(self) -> ExtentMap[Layer]:
        if self.frozen:
            return self._map
        with self._lock:
            return self._map.copy()

    def _page_window(self, start: int, end: int | None) -> tuple[int, int]:
        limit = self.size if end is None else min(ceil_page(end), self.size)
        return max(floor_page(start), 0), limit
