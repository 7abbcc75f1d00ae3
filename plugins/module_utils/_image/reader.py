# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a disk into a repository: chunks by hash, stored once, an index of where they lie."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from ansible_collections.vmguard.azure.plugins.module_utils._image.chunk_index import ChunkIndex
from ansible_collections.vmguard.azure.plugins.module_utils._image.packs import PackWriter, Ref
from ansible_collections.vmguard.azure.plugins.module_utils._image.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._image.throttle import Throttle
from ansible_collections.vmguard.azure.plugins.module_utils._image.tree import (
    FANOUT,
    Entries,
    Tree,
    TreeWriter,
    chunk_count,
    read_page,
)
from ansible_collections.vmguard.azure.plugins.module_utils._image.work import (
    Run,
    batches,
    pages_of,
)

# Bytes that one worker reads before it hashes, looks up, compresses and hands on.
BATCH = 2 << 20
_GLANCE = 64


class Source(Protocol):
    """A disk to read: of ``page_blob.PageBlob``, what is needed here."""

    def read(self, start: int, end: int) -> bytes: ...


@dataclass
class Stats:
    """What reading a disk cost. Bytes."""

    read: int = 0
    new: int = 0
    stored: int = 0
    zero: int = 0
    chunks: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **amounts: int) -> None:
        with self.lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)


@dataclass
class _Page:
    """An index page that is being made."""

    number: int
    base: Future[Entries] | None
    entries: dict[int, Ref | None] = field(default_factory=dict)


class Touched:
    """Which chunks were looked at: a bit each."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.total = 0
        self._bits = bytearray(-(-count // 8))

    def add(self, first: int, last: int) -> None:
        self.total += last - first
        while first < last and first % 8:
            self._bits[first >> 3] |= 1 << (first & 7)
            first += 1
        while last > first and last % 8:
            last -= 1
            self._bits[last >> 3] |= 1 << (last & 7)
        if last > first:
            self._bits[first >> 3 : last >> 3] = b"\xff" * ((last - first) >> 3)

    def __contains__(self, chunk: int) -> bool:
        return 0 <= chunk < self.count and bool(self._bits[chunk >> 3] >> (chunk & 7) & 1)


class DiskReader:
    """Reads disks into a repository, with a bounded number of transfers.

    Args:
        packs, index: of the run; several readers share them.
        pool: the workers; several readers share them.
        throttle: limits what is read.
        check: called often; raises when the work has to stop (a lost lease).
    """

    def __init__(
        self,
        repository: Repository,
        packs: PackWriter,
        index: ChunkIndex,
        pool: ThreadPoolExecutor,
        *,
        workers: int,
        throttle: Throttle,
        check: Callable[[], None],
    ) -> None:
        self._repository = repository
        self._packs = packs
        self._index = index
        self._pool = pool
        self._window = 2 * workers
        self._throttle = throttle
        self._check = check
        self._size = repository.chunk_size
        self._zeros = bytes(self._size)

    def read(
        self, source: Source, disk_size: int, runs: Iterable[Run], base: Tree | None, stats: Stats
    ) -> tuple[Entries, Touched]:
        """Read the runs; everything else is as in the base, or zeros without one.

        Returns:
            The roots of the image's index, and which chunks were touched.

        Raises:
            VmguardError: of the source, the storage, or ``check``.
        """
        count = chunk_count(disk_size, self._size)
        touched = Touched(count)
        writer = TreeWriter(self._repository, self._packs, base)
        waiting: deque[tuple[_Page, Future[dict[int, Ref | None]] | None]] = deque()
        try:
            for number, parts in pages_of(runs, FANOUT):
                page = _Page(number, self._base_page(base, number))
                for run in parts:
                    touched.add(run.first, run.last)
                    if run.zero:
                        page.entries.update(dict.fromkeys(range(run.first, run.last)))
                        stats.add(zero=run.last - run.first)
                data = (run for run in parts if not run.zero)
                for batch in batches(data, max(1, BATCH // self._size)):
                    job = self._pool.submit(self._batch, source, disk_size, batch, page.base, stats)
                    waiting.append((page, job))
                    self._take(waiting, writer, self._window)
                waiting.append((page, None))
                self._take(waiting, writer, self._window)
            self._take(waiting, writer, 0)
        finally:
            for _page, job in waiting:
                if job is not None:
                    job.cancel()
        return writer.finish(chunk_count(count, FANOUT)), touched

    def _base_page(self, base: Tree | None, number: int) -> Future[Entries] | None:
        ref = base.leaf_ref(number) if base else None
        return self._pool.submit(read_page, self._repository, ref) if ref else None

    def _take(
        self,
        waiting: deque[tuple[_Page, Future[dict[int, Ref | None]] | None]],
        writer: TreeWriter,
        most: int,
    ) -> None:
        """Wait until no more than so many jobs are under way; index pages follow in order."""
        while len(waiting) > most:
            page, job = waiting.popleft()
            if job is not None:
                page.entries.update(job.result())
                continue
            self._check()
            entries = dict(page.base.result()) if page.base else {}
            for chunk, ref in page.entries.items():
                if ref is None:
                    entries.pop(chunk % FANOUT, None)
                else:
                    entries[chunk % FANOUT] = ref
            writer.put(page.number, entries)

    def _batch(
        self,
        source: Source,
        disk_size: int,
        runs: list[Run],
        base: Future[Entries] | None,
        stats: Stats,
    ) -> dict[int, Ref | None]:
        """Read a few runs of chunks, and store those that are new."""
        held = base.result() if base else {}
        result: dict[int, Ref | None] = {}
        fresh: dict[bytes, memoryview] = {}
        where: dict[int, bytes] = {}
        for run in runs:
            start, end = run.first * self._size, min(run.last * self._size, disk_size)
            self._throttle.take(end - start)
            data = memoryview(source.read(start, end))
            stats.add(read=end - start, chunks=run.last - run.first)
            for chunk in range(run.first, run.last):
                at = (chunk - run.first) * self._size
                content = data[at : at + self._size]
                if self._is_zero(content):
                    result[chunk] = None
                    continue
                name = self._repository.codec.name(content)
                known = held.get(chunk % FANOUT)
                if known is not None and known.name == name:
                    result[chunk] = known
                    continue
                where[chunk] = name
                fresh[name] = content
        places = self._store(fresh, stats)
        result.update({chunk: places[name] for chunk, name in where.items()})
        return result

    def _is_zero(self, content: memoryview) -> bool:
        # Comparing views is slow, and copying every chunk is too: the first bytes mostly tell.
        if content[:_GLANCE] != self._zeros[: len(content[:_GLANCE])]:
            return False
        return bytes(content) == self._zeros[: len(content)]

    def _store(self, chunks: dict[bytes, memoryview], stats: Stats) -> dict[bytes, Ref]:
        if not chunks:
            return {}
        places = self._index.find(chunks)
        codec = self._repository.codec
        records = [
            (name, codec.compress(content))
            for name, content in chunks.items()
            if name not in places
        ]
        if records:
            known, refs = self._index.add(self._packs, records)
            stats.add(
                new=sum(len(chunks[ref.name]) for ref in refs),
                stored=sum(ref.length for ref in refs),
            )
            places.update({ref.name: ref for ref in (*known, *refs)})
        return places
