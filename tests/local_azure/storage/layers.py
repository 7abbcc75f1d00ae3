"""Layer files: sparse files that hold an image's bytes at their logical offset."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from itertools import count
from pathlib import Path


class Handle:
    """An open layer file. It closes when the last reader lets go of it."""

    def __init__(self, path: Path, flags: int) -> None:
        self.fd = -1
        self.fd = os.open(path, flags | os.O_CLOEXEC, 0o600)

    def __del__(self) -> None:
        # Not closed by hand: a reader in another thread may be in the middle of a pread, and
        # the number of a closed descriptor is given to the next file that is opened.
        if self.fd >= 0:
            os.close(self.fd)


class Layer:
    """One layer file, counted by the images that refer to it. Compared by identity."""

    __slots__ = ("path", "users")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0


class LayerFiles:
    """The layer files of one folder. Thread-safe; few stay open, however many there are."""

    _MAX_OPEN = 128

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._open: OrderedDict[Layer, Handle] = OrderedDict()

    def create(self) -> Layer:
        """A new, empty layer with one user."""
        with self._lock:
            while True:
                layer = Layer(self._root / f"layer-{next(self._numbers):06d}")
                try:
                    handle = Handle(layer.path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
                except FileExistsError:  # left by an earlier run in the same folder
                    continue
                layer.users = 1
                self._keep(layer, handle)
                return layer

    def handle(self, layer: Layer) -> Handle:
        """The open file of a layer.

        Raises:
            FileNotFoundError: when the layer was unlinked because no image refers to it.
        """
        with self._lock:
            found = self._open.get(layer)
            if found is None:
                found = Handle(layer.path, os.O_RDWR)
                self._keep(layer, found)
            self._open.move_to_end(layer)
            return found

    def retain(self, layers: set[Layer]) -> None:
        """Count one more user of each layer."""
        with self._lock:
            for layer in layers:
                layer.users += 1

    def release(self, layers: set[Layer]) -> None:
        """Count one user less of each layer; unlink those that have none left."""
        with self._lock:
            for layer in layers:
                layer.users -= 1
                if layer.users == 0:
                    self._open.pop(layer, None)
                    layer.path.unlink(missing_ok=True)

    def _keep(self, layer: Layer, handle: Handle) -> None:
        self._open[layer] = handle
        while len(self._open) > self._MAX_OPEN:
            self._open.popitem(last=False)


def write_at(handle: Handle, offset: int, data: bytes | memoryview) -> None:
    """Write all of ``data`` at ``offset``.

    Raises:
        OSError: as the file system does, for one when it is full.
    """
    view = memoryview(data)
    while view:
        done = os.pwrite(handle.fd, view, offset)
        offset += done
        view = view[done:]


def read_into(handle: Handle, offset: int, target: memoryview) -> None:
    """Fill ``target`` with the bytes at ``offset``.

    Raises:
        EOFError: when the layer file is shorter than its extents say.
    """
    while target:
        done = os.preadv(handle.fd, [target], offset)
        if done == 0:
            raise EOFError(f"The layer file ends before byte {offset}.")
        offset += done
        target = target[done:]
