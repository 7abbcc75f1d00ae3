"""Writing an image to a disk or file: the first failure ends all transfers, at once."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._image.file_sink import FileSink
from ansible_collections.vmguard.azure.plugins.module_utils._image.reader import Stats
from ansible_collections.vmguard.azure.plugins.module_utils._image.restorer import (
    DiskWriter,
    Sink,
    spans,
)
from ansible_collections.vmguard.azure.plugins.module_utils._image.throttle import Throttle
from ansible_collections.vmguard.azure.plugins.module_utils._repository.manifest import DiskImage
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from image_world import CHUNK, MIB, Bytes, MovedClock, World, make_repository, random_disk

SIZE = 8 * MIB


class Broken(Exception):
    """What a sink of these tests raises."""


class CountingPool(ThreadPoolExecutor):
    """Says when all jobs but the first of those that were handed in are over."""

    def __init__(self, workers: int, jobs: int) -> None:
        super().__init__(workers)
        self.others_done = threading.Event()
        self._left = jobs - 1
        self._first = True

    def submit(self, work: Callable[..., Any], *args: Any, **more: Any) -> Future[Any]:  # type: ignore[override]
        job = super().submit(work, *args, **more)
        if not self._first:
            job.add_done_callback(self._done)
        self._first = False
        return job

    def _done(self, _job: Future[Any]) -> None:
        self._left -= 1
        if not self._left:
            self.others_done.set()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


def image_of(repository: Repository, pack_size: int) -> DiskImage:
    """8 MiB without a hole, in packs of about this many bytes."""
    world = World(repository, pack_size=pack_size)
    return world.read(Bytes(random_disk(SIZE, seed=1, zeros=0)), SIZE)


def write(
    repository: Repository,
    image: DiskImage,
    sink: Sink,
    pool: ThreadPoolExecutor,
    workers: int = 2,
    **more: Any,
) -> None:
    throttle = Throttle(None, MovedClock())
    writer = DiskWriter(repository, pool, workers=workers, throttle=throttle, **more)
    writer.write(image, sink, Stats())


def test_a_failed_transfer_ends_those_beside_it_before_their_next_request(
    repository: Repository,
) -> None:
    image = image_of(repository, MIB)
    oldest = next(spans(repository, image))[0][0] * CHUNK
    began: list[int] = []
    both = threading.Barrier(2)

    class Sinking:
        def write(self, start: int, _data: bytes) -> None:
            began.append(start)
            if len(began) <= 2:
                both.wait(60)
            if start != oldest:
                raise Broken
            # The oldest transfer is the last to end: who waits for it knows of no failure yet.
            assert pool.others_done.wait(60)

    with CountingPool(2, jobs=4) as pool, pytest.raises(Broken):
        write(repository, image, Sinking(), pool)
    assert len(began) == 2


def test_a_check_that_raises_ends_a_transfer_between_two_writes(repository: Repository) -> None:
    image = image_of(repository, 16 * MIB)
    stop = threading.Event()
    written: list[int] = []

    class Stopping:
        def write(self, start: int, _data: bytes) -> None:
            written.append(start)
            stop.set()

    def check() -> None:
        if stop.is_set():
            raise Broken

    with ThreadPoolExecutor(1) as pool, pytest.raises(Broken):
        write(repository, image, Stopping(), pool, workers=1, check=check)
    assert len(written) == 1


def test_a_check_that_raises_at_first_lets_nothing_be_read(repository: Repository) -> None:
    image = image_of(repository, 16 * MIB)

    def check() -> None:
        raise Broken

    with ThreadPoolExecutor(1) as pool, pytest.raises(Broken):
        write(repository, image, Bytes(b""), pool, workers=1, check=check)


def test_nothing_is_written_after_the_writer_has_raised(repository: Repository) -> None:
    image = image_of(repository, MIB)
    other_writes = threading.Event()
    over = False
    late: list[int] = []
    lock = threading.Lock()
    first = True

    class Slow:
        def write(self, start: int, _data: bytes) -> None:
            nonlocal first
            with lock:
                mine, first = first, False
            if mine:
                assert other_writes.wait(60)
                raise Broken
            other_writes.set()
            if over:
                late.append(start)

    with ThreadPoolExecutor(4) as pool:
        with pytest.raises(Broken):
            write(repository, image, Slow(), pool, workers=4)
        over = True
    assert late == []


def test_a_file_that_cannot_be_so_large_leaves_no_file_and_no_descriptor(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="File too large"):
        FileSink(tmp_path / "huge", (1 << 63) - 1)
    assert os.listdir("/proc/self/fd") == before
    assert list(tmp_path.iterdir()) == []


def test_a_write_after_the_end_meets_no_other_file(tmp_path: Path) -> None:
    with FileSink(tmp_path / "one", 4096) as sink:
        pass
    with (tmp_path / "two").open("xb"), pytest.raises(OSError) as caught:
        sink.write(0, b"late")
    assert caught.value.errno == errno.EBADF
    assert (tmp_path / "two").read_bytes() == b""
