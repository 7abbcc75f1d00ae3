# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk as a sparse file, which many threads write."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path


class FileSink:
    """A new file of a disk's size, readable by its owner alone. Thread-safe. A context manager.

    Args:
        path: nothing may be there; relative to ``folder`` where that is given.
        size: bytes.
        folder: a descriptor of an open folder.

    Raises:
        OSError: it cannot be made; of ``write`` and ``sync``, as the file system does.
    """

    def __init__(self, path: Path | str, size: int, folder: int | None = None) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        # The kernel lets one thread at a time write to a file; the others would wait on a core.
        self._lock = threading.Lock()
        self._fd = os.open(path, flags, 0o600, dir_fd=folder)
        try:
            os.ftruncate(self._fd, size)
        except BaseException:
            os.close(self._fd)
            os.unlink(path, dir_fd=folder)
            raise

    def __enter__(self) -> FileSink:
        return self

    def __exit__(self, *_error: object) -> None:
        # Under the lock, and never again: a late write must not meet another file of this number.
        with self._lock:
            fd, self._fd = self._fd, -1
        os.close(fd)

    def write(self, start: int, data: bytes) -> None:
        """Write all of ``data`` at ``start`` (bytes)."""
        view = memoryview(data)
        with self._lock:
            if self._fd < 0:
                raise OSError(errno.EBADF, "the file is closed")
            while view:
                written = os.pwrite(self._fd, view, start)
                view, start = view[written:], start + written

    def sync(self) -> None:
        """Wait until all is on the disk."""
        os.fsync(self._fd)
