# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams an image out of a repository: every chunk proved before it is written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from .._repository import names
from .._repository.errors import DamagedObject
from .._repository.manifest import DiskImage
from .._repository.packs import Ref, longest, runs
from .._repository.records import Copies, Records
from .._repository.repository import Repository
from .._repository.tree import FANOUT, Entries, Tree, chunk_count
from .._repository.workers import in_order
from .reader import Stats
from .throttle import Throttle

# Bytes that one worker writes at once: what Put Page takes.
WRITTEN = 4 << 20

Piece = tuple[int, Ref]
Seen = Callable[[int, Entries], None]


class Sink(Protocol):
    """Where a disk goes. Thread-safe; what is not written is zeros."""

    def write(self, start: int, data: bytes) -> None: ...


class _Transfer:
    """The transfers of one disk: the first failure ends all of them. Thread-safe."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._changed = threading.Condition()
        self._active = 0
        self._failure: BaseException | None = None

    def check(self) -> None:
        """Raise the first failure of any transfer, or what the caller's check raises."""
        self.raise_failure()
        self._check()

    def raise_failure(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure is not None:
            raise self._failure

    def fail(self, error: BaseException) -> None:
        """Note a failure; the first one stays."""
        with self._changed:
            if self._failure is None:
                self._failure = error

    @contextmanager
    def step(self) -> Iterator[None]:
        """What one worker does for this disk."""
        with self._changed:
            self._active += 1
        try:
            yield
        except BaseException as error:
            self.fail(error)
            raise
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify_all()

    def wait(self) -> None:
        """Until no worker is in a step. After a failure those that begin later stop at their check."""
        with self._changed:
            self._changed.wait_for(lambda: self._active == 0)


class DiskWriter:
    """Writes images of a repository, with a bounded number of transfers.

    Args:
        pool: the workers; several writers share them.
        throttle: limits what is written.
        check: called by the workers before every request, so thread-safe; raises when the work has to
            stop (another disk of the same restore failed).
    """

    def __init__(
        self,
        repository: Repository,
        pool: ThreadPoolExecutor,
        *,
        workers: int,
        throttle: Throttle,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._repository = repository
        self._pool = pool
        self._window = 2 * workers
        self._throttle = throttle
        self._check = check
        self._copies = Copies(repository)
        self._size = repository.chunk_size

    def write(
        self, image: DiskImage, sink: Sink, stats: Stats, seen: Seen = lambda _first, _entries: None
    ) -> None:
        """Write all of a disk that is not zeros.

        Args:
            seen: called with each index page, in order: the number of its first chunk, and its entries.

        The first failure, of a transfer or of ``check``, ends the other transfers of the disk before
        their next request. Nothing is written to the sink after this returned or raised.

        Raises:
            DamagedObject: a chunk is missing or not what was stored; what is in the sink is no disk.
            VmguardError: of the storage or the sink; what ``check`` raises.
        """
        run = _Transfer(self._check)
        work = partial(self._span, image, sink, stats, run)
        found = spans(self._repository, image, seen, self._copies)
        try:
            for _done in in_order(self._pool, self._window, work, found):
                run.check()
        except BaseException as error:
            # The first failure is the cause; a transfer that was ended by it tells nothing more.
            run.fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            run.wait()
        run.raise_failure()

    def _span(
        self, image: DiskImage, sink: Sink, stats: Stats, run: _Transfer, span: list[Piece]
    ) -> None:
        with run.step():
            run.check()
            content = read_chunks(self._repository, image.size, span, self._copies)
            for start, data in _joined(content, self._size):
                run.check()
                self._throttle.take(len(data))
                run.check()
                sink.write(start, data)
                stats.add(read=len(data))
            stats.add(chunks=len(span))


def spans(
    repository: Repository,
    image: DiskImage,
    seen: Seen = lambda _first, _entries: None,
    copies: Copies | None = None,
) -> Iterator[list[Piece]]:
    """The chunks of an image, in groups that lie together in a pack and are fetched at once.

    The groups of one index page follow each other as they lie in the packs.

    Raises:
        DamagedObject: the index cannot be read, or points behind the end of the disk.
    """
    tree = Tree(repository, image.roots, copies)
    count = chunk_count(image.size, repository.chunk_size)
    for leaf, page, entries in tree.all_pages():
        chunks: dict[Ref, list[int]] = {}
        for position, ref in sorted(entries.items()):
            if leaf * FANOUT + position >= count:
                what = "an index page points behind the disk's end"
                raise DamagedObject(names.pack(page.pack), what)
            chunks.setdefault(ref, []).append(leaf * FANOUT + position)
        seen(leaf * FANOUT, entries)
        for run in runs(chunks, repository.store.request_cost):
            yield [(chunk, ref) for ref in run for chunk in chunks[ref]]


def read_chunks(
    repository: Repository,
    disk_size: int,
    pieces: Iterable[Piece],
    copies: Copies | None = None,
) -> Iterator[tuple[int, bytes]]:
    """The content of chunks, by their numbers, each proved to be what was stored.

    Args:
        copies: where to look for chunks that are damaged; None to look nowhere else.

    Raises:
        DamagedObject, StorageError: one cannot be read.
    """
    pieces = list(pieces)
    size = repository.chunk_size
    whole = [ref for _chunk, ref in pieces if ref.length <= longest(size)]
    records = Records(repository, whole, copies)
    for chunk, ref in pieces:
        data = records.open(ref, size, longest(size))
        if len(data) != min(size, disk_size - chunk * size):
            place = names.pack(ref.pack)
            raise DamagedObject(place, f"the chunk {ref.name.hex()} has {len(data)} bytes")
        yield chunk, data


def _joined(content: Iterable[tuple[int, bytes]], size: int) -> Iterator[tuple[int, bytes]]:
    """Neighbouring chunks as one piece: ``(start in bytes, data)``."""
    first, parts = 0, []
    most = max(1, WRITTEN // size)
    for chunk, data in content:
        if parts and (chunk != first + len(parts) or len(parts) >= most):
            yield first * size, b"".join(parts)
            parts = []
        if not parts:
            first = chunk
        parts.append(data)
    if parts:
        yield first * size, b"".join(parts)
