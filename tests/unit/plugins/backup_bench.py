"""Image backups of machines in a local Azure, into repositories in folders."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ansible_collections.vmguard.azure.plugins.module_utils._backup.engine import Backup, Outcome
from ansible_collections.vmguard.azure.plugins.module_utils._backup.request import BackupRequest
from ansible_collections.vmguard.azure.plugins.module_utils._compute.restore_point_request import (
    default_collection,
)
from ansible_collections.vmguard.azure.plugins.module_utils._compute.snapshots import list_snapshots
from ansible_collections.vmguard.azure.plugins.module_utils._errors import NotFound
from ansible_collections.vmguard.azure.plugins.module_utils._image.file_sink import FileSink
from ansible_collections.vmguard.azure.plugins.module_utils._image.reader import Stats
from ansible_collections.vmguard.azure.plugins.module_utils._image.restorer import DiskWriter
from ansible_collections.vmguard.azure.plugins.module_utils._image.throttle import Throttle
from ansible_collections.vmguard.azure.plugins.module_utils._repository.manifest import DiskImage
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from restore_bench import Bench, Machine, open_bench

CHUNK = 64 << 10
MIB = 1 << 20
Content = dict[str, Path]


def same_content(one: Path, other: Path) -> bool:
    """Whether two sparse files hold the same bytes."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as left, other.open("rb") as right:
        for start in sorted({*_data(left), *_data(right)}):
            left.seek(start)
            right.seek(start)
            if left.read(MIB) != right.read(MIB):
                return False
    return True


def _data(file: BinaryIO) -> Iterator[int]:
    """The MiBs of a sparse file that hold data."""
    at, size = 0, os.fstat(file.fileno()).st_size
    while at < size:
        try:
            start = os.lseek(file.fileno(), at, os.SEEK_DATA)
        except OSError:
            return
        end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
        yield from range(start // MIB * MIB, end, MIB)
        at = end


class Place:
    """One machine, one repository."""

    def __init__(self, bench: Bench, machine: Machine, folder: Path, seed: int = 1) -> None:
        self.bench = bench
        self.machine = machine
        self.folder = folder
        self.repository = folder / "repository"
        self.random = random.Random(seed)
        self.passphrase: str | None = None
        self._serial = 0

    def create(self, passphrase: str | None = None, chunk_size: int = CHUNK) -> Repository:
        self.passphrase = passphrase
        return Repository.create(
            FolderStore(str(self.repository)),
            chunk_size=chunk_size,
            passphrase=passphrase,
            now=self.bench.clock.now(),
        )

    def open(self) -> Repository:
        return Repository.open(FolderStore(str(self.repository)), self.passphrase)

    def scatter(self, lun: int | str, count: int, size: int = 4096, end: int = 64 * MIB) -> None:
        """A guest that writes here and there."""
        for offset in self.random.sample(range(0, end, 4096), count):
            data = self.random.randbytes(size)
            self.bench.control.guest_write(self.machine.id, lun, offset, data)

    def backup(self, write: Callable[..., Any] | None = None, **options: Any) -> Outcome:
        request = BackupRequest(group=self.machine.group, vm=self.machine.name, **options)
        gate = write or (lambda act, _predicted=None: act())
        return Backup(self.bench.arm(), self.open(), request, self.bench.clock, gate).run()

    def export(self) -> Content:
        """The disks as they are now, by role."""
        self._serial += 1
        found = {}
        for lun in self.machine.luns:
            role = "os" if lun == "os" else f"lun{lun}"
            found[role] = self.folder / f"then-{self._serial}-{role}"
            self.bench.control.export_disk(found[role], vm=self.machine.id, lun=lun)
        return found

    def restore(self, image: DiskImage) -> Path:
        """An image as a file."""
        path = self.folder / f"restored-{image.role}"
        path.unlink(missing_ok=True)
        with FileSink(path, image.size) as sink, ThreadPoolExecutor(4) as pool:
            throttle = Throttle(None, self.bench.clock)
            DiskWriter(self.open(), pool, workers=4, throttle=throttle).write(image, sink, Stats())
        return path

    def check(self, outcome: Outcome, content: Content) -> None:
        """Restore all disks of a backup and compare them with what was there."""
        assert outcome.backup is not None
        assert {image.role for image in outcome.backup.disks} == set(content)
        for image in outcome.backup.disks:
            assert same_content(self.restore(image), content[image.role]), image.role

    def snapshots(self) -> set[str]:
        found = list_snapshots(self.bench.look, self.machine.group)
        return {snapshot["name"] for snapshot in found}

    def restore_points(self) -> set[str]:
        """The names of the machine's restore points, in its own collection."""
        group, collection = self.machine.group, default_collection(self.machine.name)
        try:
            found = self.bench.look.read(
                "restore_point_collections.get", "", group, collection, expand="restorePoints"
            )
        except NotFound:
            return set()
        return {point["name"] for point in found["properties"].get("restorePoints", [])}

    def active_sas(self) -> int:
        return len(self.bench.local.app.state.sas.active())


@contextmanager
def open_place(
    bench: Bench, folder: Path, data: list[dict[str, Any]] | None = None, **more: Any
) -> Iterator[Place]:
    machine = bench.machine([{"lun": 0}] if data is None else data, **more)
    yield Place(bench, machine, folder)


__all__ = ["Content", "Place", "open_bench", "open_place"]
