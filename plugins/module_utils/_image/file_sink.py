# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk as a sparse file, which many threads write."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class FileSink:
    """A new file of a disk's size, readable by its owner alone. Thread-safe.

    Args:
        path: nothing may be there.
        size: bytes.

    Raises:
        OSError: it cannot be made; of ``write`` and ``sync``, as the file system does.
    """

    def __init__(self, path: Path, size: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        # The kernel lets one thread at a time write to a file; the others would wait on a core.
        self._lock = threading.Lock()
        os.ftruncate(self._fd, size)

    def __enter__(self) -> FileSink:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self._fd)

    def write(self, start: int, data: bytes) -> None:
        """Write all of ``data`` at ``start``."""
        view = memoryview(data)
        with self._lock:
            while view:
                written = os.pwrite(self._fd, view, start)
                view, start = view[written:], start + written

    def sync(self) -> None:
        """Wait until all is on the disk."""
        os.fsync(self._fd)
