"""The floor: what each stage takes at least on this machine, with nothing done around it."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import transfers
from .image import MIB, Range
from .measure import Usage, run_function
from .subject import AZURITE, CONTAINER, FOLDER, Setting
from .world import account_sas, make_container

CHUNK = 64 << 10
PACK = 16 * MIB
THREADS = (1, 4, 8)
CORES = 2
PUT_THREADS = 4

READ, PACKING, PUT_AZURITE, PUT_FOLDER = "read", "pack", "put to Azurite", "put to a folder"
GET_AZURITE, GET_FOLDER, UNPACKING = "get from Azurite", "get from a folder", "unpack"
WRITE, WRITE_FILE = "write the disk", "write a file"
# How the way ends that hashes as the engine does: the floor hashes with SHA-256, as the peers do.
OURS_ONLY = (", blake3 and zstd-1", ", blake3 and zstd")


@dataclass(frozen=True)
class Measured:
    """One measured way of doing one stage.

    Attributes:
        operation: the subject's operation that the stage belongs to.
        stage: what is done; the floor of a stage is its fastest way.
        way: how, such as the number of threads.
        usage: what it took.
        size: bytes moved, or taken in by a stage that computes.
        stored: bytes that were written to a repository.
    """

    operation: str
    stage: str
    way: str
    usage: Usage
    size: int
    stored: int | None = None


class Floors:
    """Measures all stages, once for every ``run``; ``chunk`` and the hash are the engine's."""

    def __init__(self, setting: Setting, chunk: int = CHUNK) -> None:
        self._disk = setting.disk
        self._world = setting.world
        self._folder = setting.folder / "floors"
        self._chunk = chunk
        self._runs = 0
        self.algorithms = ["sha256"]
        if importlib.util.find_spec("blake3"):
            self.algorithms.append("blake3")

    def run(self) -> Iterator[Measured]:
        """One run of everything."""
        self._runs += 1
        self._folder.mkdir()
        try:
            yield from self._reading()
            lengths = yield from self._packing("full", self._disk.base, self._disk.written)
            changed = yield from self._packing(
                "incremental", self._disk.changed, self._disk.changed_ranges()
            )
            packs = _cut(lengths, PACK)
            yield from self._to_azurite("full", packs)
            yield from self._to_folder("full", packs)
            yield from self._to_azurite("incremental", _cut(changed, PACK))
            yield from self._to_folder("incremental", _cut(changed, PACK))
            yield from self._unpacking()
            yield from self._writing()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _reading(self) -> Iterator[Measured]:
        """Allocated ranges of a first snapshot, changed ranges of a second one."""
        world, name = self._world, f"floor-{self._runs}"
        machine = world.make_machine(name, self._disk)
        first = world.snapshot(machine, f"{name}-1")
        world.change(machine, self._disk)
        second = world.snapshot(machine, f"{name}-2")
        urls = world.read_access(first), world.read_access(second)
        work: list[tuple[str, str, list[Range]]] = [
            ("full", urls[0], world.page_ranges(urls[0])),
            ("incremental", urls[1], world.page_ranges(urls[1], since=urls[0])),
        ]
        for operation, url, ranges in work:
            for threads in THREADS:
                usage = run_function(
                    transfers.read_disk, url=url, ca_file=world.ca_file, ranges=ranges,
                    threads=threads,
                )  # fmt: skip
                yield Measured(operation, READ, _threads(threads), usage, usage.value)
        for snapshot in (first, second):
            world.end_access(snapshot)
        world.drop_machine(machine, first, second)

    def _packing(self, operation: str, image: Path, ranges: list[Range]) -> Iterator[Measured]:
        size = sum(end - start for start, end in transfers.whole_chunks(ranges, self._chunk))
        stored = 0
        for algorithm in self.algorithms:
            usage = run_function(
                transfers.pack, image=str(image), ranges=ranges, chunk=self._chunk,
                algorithm=algorithm, threads=CORES,
            )  # fmt: skip
            stored = usage.value
            yield Measured(operation, PACKING, f"{algorithm} and zstd-1", usage, size)
        return stored

    def _to_azurite(self, operation: str, packs: list[int]) -> Iterator[Measured]:
        with self._world.azurite() as azurite:
            make_container(azurite, CONTAINER)
            url = f"{azurite.blob_endpoint}/{CONTAINER}?{account_sas(azurite)}"
            yield self._move(operation, PUT_AZURITE, transfers.put_blobs, packs, url=url)
            if operation == "full":
                yield self._move("restore", GET_AZURITE, transfers.get_blobs, packs, url=url)

    def _to_folder(self, operation: str, packs: list[int]) -> Iterator[Measured]:
        place = self._folder / "packs"
        with _made(place):
            yield self._move(operation, PUT_FOLDER, transfers.put_files, packs, folder=str(place))
            if operation == "full":
                yield self._move(
                    "restore", GET_FOLDER, transfers.get_files, packs, folder=str(place)
                )

    def _move(
        self, operation: str, stage: str, work: Callable[..., int], packs: list[int], **where: Any
    ) -> Measured:
        usage = run_function(work, lengths=packs, threads=PUT_THREADS, **where)
        stored = usage.value if operation != "restore" else None
        return Measured(operation, stage, _threads(PUT_THREADS), usage, usage.value, stored)

    def _unpacking(self) -> Iterator[Measured]:
        frames = str(self._folder / "frames")
        lengths = transfers.write_frames(
            str(self._disk.base), self._disk.written, self._chunk, frames
        )
        for algorithm in self.algorithms:
            usage = run_function(
                transfers.unpack, frames=frames, lengths=lengths, algorithm=algorithm, threads=CORES
            )
            yield Measured("restore", UNPACKING, f"{algorithm} and zstd", usage, usage.value)

    def _writing(self) -> Iterator[Measured]:
        for threads in THREADS:
            name = f"floor-{self._runs}-upload-{threads}"
            url, size = self._world.upload_disk(name, self._disk.size), self._disk.written_bytes
            usage = run_function(
                transfers.write_disk, url=url, ca_file=self._world.ca_file,
                ranges=self._disk.written, threads=threads,
            )  # fmt: skip
            self._world.drop_upload(name)
            yield Measured("restore", WRITE, _threads(threads), usage, size)
            path = self._folder / "written"
            usage = run_function(
                transfers.write_file, path=str(path), ranges=self._disk.written, threads=threads
            )
            path.unlink()
            yield Measured("restore", WRITE_FILE, _threads(threads), usage, size)


def stages_of(operation: str, place: str) -> tuple[str, ...]:
    """The stages that an operation with a repository in ``place`` cannot do without."""
    if operation == "restore":
        # With a folder, ours and the peers restore to a file.
        if place == AZURITE:
            return (GET_AZURITE, UNPACKING, WRITE)
        return (GET_FOLDER, UNPACKING, WRITE_FILE)
    if operation in ("full", "incremental") and place in (AZURITE, FOLDER):
        return (READ, PACKING, PUT_AZURITE if place == AZURITE else PUT_FOLDER)
    return ()


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _cut(total: int, length: int) -> list[int]:
    """``total`` as equal parts and a rest."""
    whole, rest = divmod(total, length)
    return [length] * whole + ([rest] if rest else [])


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    folder.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
