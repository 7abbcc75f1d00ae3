"""Repositories with small images in them, made without Azure: what the tests of ``_image`` share."""

from __future__ import annotations

import itertools
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_ranges import Changed
from ansible_collections.vmguard.azure.plugins.module_utils._image.reader import (
    DiskReader,
    Source,
    Stats,
)
from ansible_collections.vmguard.azure.plugins.module_utils._image.restorer import DiskWriter, Sink
from ansible_collections.vmguard.azure.plugins.module_utils._image.throttle import Throttle
from ansible_collections.vmguard.azure.plugins.module_utils._image.verifier import Report, Verifier
from ansible_collections.vmguard.azure.plugins.module_utils._image.work import Touched, chunk_runs
from ansible_collections.vmguard.azure.plugins.module_utils._repository import manifest, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.chunk_index import (
    ChunkIndex,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.manifest import (
    DiskImage,
    Manifest,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.packs import (
    Directory,
    PackWriter,
    find_directory,
    read_directory,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._repository.tree import Entries, Tree
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import Store

CHUNK = 64 << 10
MIB = 1 << 20
NOW = datetime(2026, 9, 1, 1, tzinfo=timezone.utc)
VM_ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/web"
PASSPHRASE = "correct horse battery staple"

# Far from the numbers that tests give themselves.
_runs = itertools.count(1000)


class MovedClock:
    """A clock that stands where it is put. Thread-safe."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return 1000.0 + self._seconds

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._seconds += seconds


class Bytes:
    """A disk in memory, as a source and as a sink."""

    def __init__(self, content: bytes | bytearray) -> None:
        self.content = bytearray(content)
        self.reads: list[tuple[int, int]] = []

    def read(self, start: int, end: int) -> bytes:
        self.reads.append((start, end))
        return bytes(self.content[start:end])

    def write(self, start: int, data: bytes) -> None:
        assert start + len(data) <= len(self.content)
        self.content[start : start + len(data)] = data


class Sparse:
    """A disk of any size that costs what it holds: data by their starts, zeros elsewhere."""

    def __init__(self, size: int, pieces: dict[int, bytes]) -> None:
        self.size = size
        self.pieces = pieces

    def changes(self) -> list[Changed]:
        return [
            Changed(start, start + len(data), False) for start, data in sorted(self.pieces.items())
        ]

    def read(self, start: int, end: int) -> bytes:
        content = bytearray(end - start)
        for at, data in self.pieces.items():
            first, last = max(at, start), min(at + len(data), end)
            if first < last:
                content[first - start : last - start] = data[first - at : last - at]
        return bytes(content)


def make_repository(
    store: Store | Path, passphrase: str | None = None, chunk_size: int = CHUNK
) -> Repository:
    """A new repository in a store, or in a folder."""
    if isinstance(store, Path):
        store = FolderStore(str(store))
    return Repository.create(store, chunk_size=chunk_size, passphrase=passphrase, now=NOW)


def disk_image(size: int, **fields: Any) -> DiskImage:
    """A disk of a manifest, with what a test does not care about."""
    known: dict[str, Any] = {
        "role": "os", "name": "web-os", "lun": None, "size": size, "unique_id": "u1",
        "source_id": "/disks/web-os", "source": "/snapshots/s", "level": "full", "asked": "auto",
        "fallback": None, "base": None, "full": "", "roots": {},
    }  # fmt: skip
    return DiskImage(**{**known, **fields})


def make_manifest(number: int, disks: list[DiskImage], vm_id: str = VM_ID) -> Manifest:
    """A backup; ``number`` tells it from others and says which came first."""
    at = NOW + timedelta(hours=number)
    return Manifest(
        id=names.new_backup_id(at, number.to_bytes(4, "big")),
        vm={"id": vm_id, "name": vm_id.rpartition("/")[2]},
        started=at.isoformat(),
        finished=at.isoformat(),
        source={"kind": "snapshot"},
        configuration={},
        disks=disks,
    )


class Reading:
    """One run that reads disks of a repository.

    Attributes:
        roots: of the disk that was read last.
    """

    def __init__(self, repository: Repository, reader: DiskReader, stats: Stats) -> None:
        self._repository = repository
        self.reader = reader
        self._stats = stats
        self.roots: Entries = {}

    def tree(self, image: DiskImage) -> Tree:
        return Tree(self._repository, image.roots)

    def __call__(
        self,
        source: Source,
        size: int,
        changes: Iterable[Changed] | None = None,
        base: DiskImage | None = None,
    ) -> Touched:
        """Read a disk; the chunks that were looked at."""
        found = [Changed(0, size, False)] if changes is None else changes
        runs = chunk_runs(found, self._repository.chunk_size, size)
        tree = self.tree(base) if base else None
        self.roots, touched = self.reader.read(source, size, runs, tree, self._stats)
        return touched


class World:
    """Backups of one disk in one repository.

    Args:
        pack_size: bytes of a pack; small, so that there are several.
    """

    def __init__(self, repository: Repository, pack_size: int = MIB, workers: int = 2) -> None:
        self.repository = repository
        self.pack_size = pack_size
        self.workers = workers
        self.check: Callable[[], None] = lambda: None
        self.index: ChunkIndex | None = None
        self.stats = Stats()

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """A run that reads disks; its packs are stored at the end."""
        repository = self.repository
        self.stats = Stats()
        index = self.index = ChunkIndex(repository, f"run-{os.getpid()}-{next(_runs):08d}")
        packs = PackWriter(repository, size=self.pack_size, on_stored=index.stored)
        try:
            with ThreadPoolExecutor(self.workers) as pool:
                reader = DiskReader(
                    repository, packs, index, pool, workers=self.workers,
                    throttle=Throttle(None, MovedClock()), check=self.check,
                )  # fmt: skip
                yield Reading(repository, reader, self.stats)
                packs.flush()
            index.write()
        finally:
            packs.close()

    def read(
        self,
        source: Source,
        size: int,
        changes: Iterable[Changed] | None = None,
        base: DiskImage | None = None,
    ) -> DiskImage:
        """Read a disk as a run of its own does; nothing is committed yet."""
        with self.reading() as read:
            read(source, size, changes, base)
        return disk_image(size, roots=read.roots)

    def back_up(
        self,
        content: bytes | bytearray,
        changes: Iterable[Changed] | None = None,
        base: Manifest | None = None,
    ) -> Manifest:
        """A committed backup of a disk with this content."""
        earlier = base.disks[0] if base else None
        image = self.read(Bytes(content), len(content), changes, earlier)
        backup = make_manifest(next(_runs), [image])
        manifest.write(self.repository, backup)
        return backup


def restore(
    repository: Repository, image: DiskImage, workers: int = 2, sink: Sink | None = None
) -> bytes:
    """The content of a disk, unless it goes to another sink."""
    memory = Bytes(b"" if sink else bytes(image.size))
    with ThreadPoolExecutor(workers) as pool:
        throttle = Throttle(None, MovedClock())
        writer = DiskWriter(repository, pool, workers=workers, throttle=throttle)
        writer.write(image, sink or memory, Stats())
    return bytes(memory.content)


def verify(repository: Repository, percent: float = 100, seed: int = 1) -> Report:
    wanted = manifest.listed(repository)
    return Verifier(repository, percent, random.Random(seed)).run(wanted)


def flipped(data: bytes) -> Iterator[bytes]:
    """The data with each of its bits flipped in turn."""
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit >> 3] ^= 1 << (bit & 7)
        yield bytes(changed)


def random_disk(size: int, seed: int, zeros: float = 0.3) -> bytearray:
    """Random chunks, among them zeros."""
    source = random.Random(seed)
    content = bytearray()
    while len(content) < size:
        length = min(CHUNK, size - len(content))
        content += bytes(length) if source.random() < zeros else source.randbytes(length)
    return content


def directories(repository: Repository) -> dict[str, Directory]:
    """What each pack says of itself, by the pack's name."""
    found = {}
    for one in repository.store.list(names.PACKS):
        pack = names.pack_id(one.name)
        assert pack is not None
        place = find_directory(repository, pack, one.size)
        found[one.name] = read_directory(repository, place)
    return found


def record_count(repository: Repository) -> int:
    """Chunks and pages that are stored."""
    return sum(len(one.records) for one in directories(repository).values())


def sizes(store: Store, prefix: str = "") -> dict[str, int]:
    """The objects in a store, with their sizes."""
    return {found.name: found.size for found in store.list(prefix)}


def folder_of(repository: Repository) -> Path:
    """Where the files of a repository in a folder are."""
    return Path(repository.store.description.removeprefix("folder "))
