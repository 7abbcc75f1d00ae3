"""DiskStore against a model, and the promises that a model of small disks cannot show."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import threading
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from local_azure.storage.disk_store import DiskStore, Image, ImageError
from local_azure.storage.extents import ExtentMap, differences
from local_azure.storage.pages import PAGE

GIB = 1 << 30
SIZE = 8 * PAGE


@dataclass(eq=False)
class Modelled:
    """An image, and for each byte its value and the write it comes from (0: none)."""

    image: Image
    data: bytearray
    writes: list[int] = field(default_factory=list)


class StoreMachine(RuleBasedStateMachine):
    """Any sequence of operations leaves images that read and report as plain bytes would."""

    images = Bundle("images")

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.store = DiskStore(self.root)
        self.clock = 0
        self.live: list[Modelled] = []

    def _add(self, image: Image, data: bytes, writes: list[int]) -> Modelled:
        grown = image.size - len(data)
        made = Modelled(image, bytearray(data) + bytes(grown), [*writes, *[0] * grown])
        self.live.append(made)
        return made

    @rule(target=images)
    def create(self) -> Modelled:
        return self._add(self.store.create(SIZE), b"", [])

    @rule(
        one=images,
        at=st.integers(0, SIZE - 1),
        length=st.integers(1, 3 * PAGE) | st.sampled_from([PAGE, 2 * PAGE]),
        aligned=st.booleans(),
        value=st.integers(0, 255),
    )
    def write(self, one: Modelled, at: int, length: int, aligned: bool, value: int) -> None:
        at = at - at % PAGE if aligned else at
        length = min(length, one.image.size - at)
        data = bytes([value]) * length
        if one.image.frozen:
            with pytest.raises(ImageError):
                one.image.write(at, data)
            return
        self.clock += 1
        one.image.write(at, data)
        one.data[at : at + length] = data
        one.writes[at : at + length] = [self.clock] * length

    @rule(
        one=images,
        at=st.integers(0, SIZE - 1),
        length=st.integers(1, 50) | st.integers(1, 4 * PAGE),
    )
    def clear(self, one: Modelled, at: int, length: int) -> None:
        length = min(length, one.image.size - at)
        if one.image.frozen:
            with pytest.raises(ImageError):
                one.image.clear(at, length)
            return
        one.image.clear(at, length)
        one.data[at : at + length] = bytes(length)
        one.writes[at : at + length] = [0] * length

    @rule(target=images, one=images)
    def freeze(self, one: Modelled) -> Modelled:
        return self._add(self.store.freeze(one.image), one.data, one.writes)

    @rule(target=images, one=images, pages=st.integers(0, 2))
    def fork(self, one: Modelled, pages: int) -> Modelled:
        size = one.image.size + pages * PAGE
        return self._add(self.store.fork(one.image, size), one.data, one.writes)

    @rule(one=images, pages=st.integers(0, 2))
    def resize(self, one: Modelled, pages: int) -> None:
        if not one.image.frozen:
            one.image.resize(one.image.size + pages * PAGE)
            one.data += bytes(pages * PAGE)
            one.writes += [0] * pages * PAGE

    @rule(one=consumes(images))
    def delete(self, one: Modelled) -> None:
        self.store.delete(one.image)
        self.live.remove(one)
        with pytest.raises(ImageError):
            one.image.read(0, 1)

    @rule(one=images, at=st.integers(0, SIZE - 1), length=st.integers(0, SIZE))
    def read(self, one: Modelled, at: int, length: int) -> None:
        length = min(length, one.image.size - at)
        assert one.image.read(at, length) == one.data[at : at + length]
        assert b"".join(one.image.read_pieces(at, length, 300)) == one.data[at : at + length]

    @rule(one=images, start=st.integers(0, SIZE), length=st.integers(0, SIZE))
    def look_at_window(self, one: Modelled, start: int, length: int) -> None:
        pages = {p for p in _pages(one.writes) if start - PAGE < p * PAGE < start + length}
        found = list(one.image.allocated(start, start + length)) if length else []
        assert _unfold(found) == (pages if length else set())

    def check_all(self) -> None:
        for one in self.live:
            assert one.image.read(0, one.image.size) == one.data
            assert one.image.sha256() == hashlib.sha256(one.data).hexdigest()
            found = list(one.image.allocated())
            assert _unfold(found) == _pages(one.writes)
            assert all(a[1] < b[0] for a, b in pairwise(found)), "not merged"
        for now in self.live:
            for base in self.live:
                if base.image.frozen and now.image.related(base.image):
                    _check_changes(base, now)

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        self.check_all()
        for one in self.live:
            self.store.delete(one.image)
        assert os.listdir(self.root) == []
        self.folder.cleanup()


def _pages(writes: list[int]) -> set[int]:
    return {at // PAGE for at, write in enumerate(writes) if write}


def _unfold(ranges: list[tuple[int, int]]) -> set[int]:
    assert all(start % PAGE == end % PAGE == 0 and start < end for start, end in ranges)
    return {page for start, end in ranges for page in range(start // PAGE, end // PAGE)}


def _check_changes(base: Modelled, now: Modelled) -> None:
    found = list(now.image.changed_since(base.image))
    for one, two in pairwise(found):
        assert one[1] <= two[0], "overlapping or out of order"
        assert one[1] < two[0] or one[2] != two[2], "not merged"
    before = base.writes + [0] * (len(now.writes) - len(base.writes))
    expected = {
        at // PAGE
        for at, pair in enumerate(zip(before, now.writes, strict=False))
        if pair[0] != pair[1]
    }
    changed = _unfold([(start, end) for start, end, cleared in found if not cleared])
    cleared = _unfold([(start, end) for start, end, cleared in found if cleared])
    assert changed | cleared == expected
    assert cleared == expected - _pages(now.writes)
    # What a backup relies on: the base plus the changed pages is the present content.
    rebuilt = bytearray(base.data) + bytes(max(len(now.data) - len(base.data), 0))
    for page in changed:
        rebuilt[page * PAGE : (page + 1) * PAGE] = now.data[page * PAGE : (page + 1) * PAGE]
    for page in cleared:
        rebuilt[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    assert rebuilt[: len(now.data)] == now.data


StoreMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestStore = StoreMachine.TestCase


def _used(root: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in root.iterdir())


def test_a_snapshot_of_a_64_gib_disk_copies_nothing(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    disk = store.create(64 * GIB)
    for gib in range(0, 64, 4):
        disk.write(gib * GIB + 12345, b"x" * 4096)
    before = _used(tmp_path)
    snapshots = [store.freeze(disk) for _turn in range(20)]
    assert _used(tmp_path) == before < 1 << 20
    disk.write(60 * GIB, b"new")
    assert len(list(tmp_path.iterdir())) == 2
    assert snapshots[-1].read(60 * GIB, 3) == bytes(3)
    assert list(disk.changed_since(snapshots[0])) == [(60 * GIB, 60 * GIB + PAGE, False)]


def test_layer_files_go_with_their_last_image(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    disk = store.create(1 << 20)
    disk.write(0, b"one")
    snapshot = store.freeze(disk)
    disk.write(0, b"two")
    store.delete(disk)
    assert len(list(tmp_path.iterdir())) == 1
    assert snapshot.read(0, 3) == b"one"
    store.delete(snapshot)
    store.delete(snapshot)
    assert list(tmp_path.iterdir()) == []


def test_a_page_cleared_in_part_still_counts_as_content(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    disk = store.create(4 * PAGE)
    disk.write(0, b"x" * 4 * PAGE)
    base = store.freeze(disk)
    disk.clear(100, 2 * PAGE)
    assert list(disk.changed_since(base)) == [
        (0, PAGE, False),
        (PAGE, 2 * PAGE, True),
        (2 * PAGE, 3 * PAGE, False),
    ]


def test_a_clear_inside_one_page_leaves_a_page_with_content(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    disk = store.create(4 * PAGE)
    disk.write(PAGE, b"x" * PAGE)
    base = store.freeze(disk)
    disk.clear(PAGE + 100, 50)
    assert list(disk.changed_since(base)) == [(PAGE, 2 * PAGE, False)]
    disk.clear(PAGE, 100)
    disk.clear(PAGE + 150, PAGE - 150)
    assert list(disk.changed_since(base)) == [(PAGE, 2 * PAGE, True)]


def test_equal_bytes_written_again_count_as_changed(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    disk = store.create(4 * PAGE)
    disk.write(PAGE, b"x" * PAGE)
    base = store.freeze(disk)
    disk.write(PAGE, b"x" * PAGE)
    assert list(disk.changed_since(base)) == [(PAGE, 2 * PAGE, False)]


def test_changes_need_a_snapshot_of_the_same_disk(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    disk = store.create(PAGE)
    snapshot = store.freeze(disk)
    fork = store.fork(snapshot)
    assert snapshot.related(disk) and not fork.related(disk)
    with pytest.raises(ImageError):
        fork.changed_since(snapshot)
    with pytest.raises(ImageError):
        snapshot.changed_since(disk)


def test_a_copy_of_a_snapshot_keeps_its_place_in_time(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    disk = store.create(PAGE)
    first, second = store.freeze(disk), store.freeze(disk)
    late_copy = store.freeze(first)
    assert late_copy.moment == first.moment < second.moment


def test_import_keeps_holes_and_export_gives_the_file_back(tmp_path: Path) -> None:
    source, target = tmp_path / "in.raw", tmp_path / "out.raw"
    noise = random.Random(1).randbytes(300_000)
    with open(source, "wb") as file:
        file.truncate(256 << 20)
        file.seek(5 << 20)
        file.write(noise)
        file.write(bytes(8 << 20))  # zeros that the file system does hold
        file.seek(200 << 20)
        file.write(b"end")
    store = DiskStore(tmp_path / "store")
    image = store.import_file(source, 1 * GIB)
    assert image.size == GIB
    assert image.read(5 << 20, len(noise)) == noise
    assert sum(end - start for start, end in image.allocated()) < len(noise) + (256 << 10)
    assert _used(tmp_path / "store") < 1 << 20
    image.export(target)
    assert target.stat().st_size == GIB and target.stat().st_blocks * 512 < 2 << 20
    with open(source, "rb") as one, open(target, "rb") as two:
        while data := one.read(1 << 20):
            assert two.read(len(data)) == data
    with pytest.raises(ImageError):
        store.import_file(source, 1 << 20)


def test_import_rounds_an_odd_file_up_to_512(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"y" * 1000)
    image = DiskStore(tmp_path / "store").import_file(tmp_path / "odd")
    assert image.size == 1024
    assert image.read(0, 1024) == b"y" * 1000 + bytes(24)


@pytest.mark.parametrize("size", [0, -512, 1000])
def test_sizes_are_whole_pages(tmp_path: Path, size: int) -> None:
    with pytest.raises(ImageError):
        DiskStore(tmp_path).create(size)


def test_outside_and_shrinking_are_refused(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    image = store.create(2 * PAGE)
    for act in (
        lambda: image.read(PAGE, PAGE + 1),
        lambda: image.read(-1, 1),
        lambda: image.write(2 * PAGE, b"x"),
        lambda: image.clear(0, 3 * PAGE),
        lambda: image.read_pieces(0, 3 * PAGE),
        lambda: image.resize(PAGE),
        lambda: image.resize(3 * PAGE + 1),
        lambda: store.fork(image, PAGE),
    ):
        with pytest.raises(ImageError):
            act()


def test_more_snapshots_than_open_files(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    disk = store.create(1 << 20)
    snapshots = []
    for turn in range(300):
        disk.write(turn * PAGE, bytes([turn % 256]) * PAGE)
        snapshots.append(store.freeze(disk))
    assert len(os.listdir("/proc/self/fd")) < 250
    last = snapshots[-1]
    assert all(last.read(t * PAGE, 1)[0] == t % 256 for t in range(300))
    assert len(list(last.changed_since(snapshots[0]))) == 1


def test_snapshots_stay_still_while_others_write(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    disk = store.create(1 << 20)
    stop, failures = threading.Event(), []

    def write() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            disk.write((turn * 7919 * 100) % (1 << 19), bytes([turn % 256]) * 3000)
            disk.clear((turn * 104729) % (1 << 19), 5000)

    def snapshot() -> None:
        for _turn in range(60):
            one = store.freeze(disk)
            if one.sha256() != one.sha256() or list(one.allocated()) != list(one.allocated()):
                failures.append(one)
            store.delete(one)

    writers = [threading.Thread(target=write) for _turn in range(2)]
    readers = [threading.Thread(target=snapshot) for _turn in range(3)]
    for thread in writers + readers:
        thread.start()
    for thread in readers:
        thread.join()
    stop.set()
    for thread in writers:
        thread.join()
    assert not failures


def test_scattered_extents_stay_sorted_and_exact() -> None:
    extents: ExtentMap[str] = ExtentMap()
    starts = list(range(0, 40_000 * 1024, 1024))
    random.Random(2).shuffle(starts)
    for start in starts:
        extents.put(start, start + 512, "a")
    assert len(extents) == 40_000
    twin = extents.copy()
    twin.put(512, 1024, "a")
    assert len(twin) == 39_999, "touching extents of one layer are merged"
    twin.put(10_000 * 1024, 10_000 * 1024 + 512, "b")
    assert list(differences(extents, twin, 0, 1 << 40)) == [
        (512, 1024, False),
        (10_000 * 1024, 10_000 * 1024 + 512, False),
    ]


def test_fingerprints_tell_contents_apart_and_nothing_else(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    one, other = store.create(1 << 20), store.create(1 << 20)
    one.write(70_000, b"bytes")
    other.write(0, bytes(200_000))
    other.write(70_000, b"bytes")
    assert one.fingerprint() == other.fingerprint()
    other.write(70_001, b"Y")
    assert one.fingerprint() != other.fingerprint()
    assert store.create(1 << 20).fingerprint() != store.create(2 << 20).fingerprint()
