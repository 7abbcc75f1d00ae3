# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a disk into a repository: chunks by hash, stored once, an index of where they lie."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from .._repository.chunk_index import ChunkIndex
from .._repository.packs import PackWriter, Ref
from .._repository.repository import Repository
from .._repository.tree import FANOUT, TOGETHER, Entries, Tree, TreeWriter, chunk_count, read_pages
from .._repository.workers import in_groups, in_order
from . import audit
from .throttle import Throttle
from .work import Run, Touched, batches, pages_of

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
    audited: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, **amounts: int) -> None:
        with self.lock:
            for name, amount in amounts.items():
                setattr(self, name, getattr(self, name) + amount)


@dataclass
class _Page:
    """An index page that is being made. ``base`` has what it is in the base, where ``ref`` says."""

    number: int
    ref: Ref | None
    base: Future[dict[Ref, Entries]] | None
    entries: dict[int, Ref | None] = field(default_factory=dict)

    def held(self) -> Entries:
        """What it is in the base."""
        return self.base.result()[self.ref] if self.base and self.ref else {}


class DiskReader:
    """Reads disks into a repository, with a bounded number of transfers.

    Args:
        packs, index: of the run; several readers share them.
        pool: the workers; several readers share them.
        throttle: limits what is read.
        check: called before each request; raises when the work has to end: a lost lease, another
            disk that failed.
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
        touched = Touched()
        writer = TreeWriter(self._repository, self._packs, base, self._index.distrusted())
        waiting: deque[tuple[_Page, Future[dict[int, Ref | None]] | None]] = deque()
        try:
            for page, parts in self._pages(runs, base):
                for run in parts:
                    touched.add(run.first, run.last)
                    if run.zero:
                        page.entries.update(dict.fromkeys(range(run.first, run.last)))
                        stats.add(zero=run.last - run.first)
                data = (run for run in parts if not run.zero)
                for batch in batches(data, max(1, BATCH // self._size)):
                    job = self._pool.submit(self._batch, source, disk_size, batch, page, stats)
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

    def _fetch(self, source: Source, start: int, end: int) -> bytes:
        """Bytes of a disk, when the throttle lets them through."""
        self._check()
        self._throttle.take(end - start)
        self._check()
        return source.read(start, end)

    def first_difference(
        self, source: Source, disk_size: int, tree: Tree | None, chunks: list[int], stats: Stats
    ) -> int | None:
        """The first of these chunks that differs between a disk and an image; None when none does.

        Args:
            tree: the index of the image; None for one that is all zeros.

        Raises:
            VmguardError: of the source, the storage, or ``check``.
        """

        def compare(piece: audit.Piece) -> int | None:
            start, end = piece.first * self._size, min(piece.last * self._size, disk_size)
            data = self._fetch(source, start, end)
            stats.add(read=len(data), audited=len(data))
            return audit.first_difference(self._repository, piece, data)

        found = audit.pieces(tree, chunks, self._size) if tree else audit.holes(chunks, self._size)
        for different in in_order(self._pool, self._window, compare, found):
            self._check()
            if different is not None:
                return different
        return None

    def _pages(self, runs: Iterable[Run], base: Tree | None) -> Iterator[tuple[_Page, list[Run]]]:
        """The pages to make, with what has to be read for them."""
        for group in in_groups(pages_of(runs, FANOUT), TOGETHER if base else 1):
            refs = [base.leaf_ref(number) if base else None for number, _parts in group]
            known = [ref for ref in refs if ref]
            held = self._pool.submit(read_pages, self._repository, known) if known else None
            for (number, parts), ref in zip(group, refs, strict=True):
                yield _Page(number, ref, held), parts

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
            entries = dict(page.held())
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
        page: _Page,
        stats: Stats,
    ) -> dict[int, Ref | None]:
        """Read a few runs of chunks, and store those that are new."""
        held = page.held()
        distrusted = self._index.distrusted()
        result: dict[int, Ref | None] = {}
        fresh: dict[bytes, memoryview] = {}
        where: dict[int, bytes] = {}
        for run in runs:
            start, end = run.first * self._size, min(run.last * self._size, disk_size)
            data = memoryview(self._fetch(source, start, end))
            stats.add(read=end - start, chunks=run.last - run.first)
            for chunk in range(run.first, run.last):
                at = (chunk - run.first) * self._size
                content = data[at : at + self._size]
                if self._is_zero(content):
                    result[chunk] = None
                    continue
                name = self._repository.codec.name(content)
                known = held.get(chunk % FANOUT)
                if known and known.name == name and known.pack not in distrusted:
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
