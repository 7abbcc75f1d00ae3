"""Memory is bounded, by neither the disk nor the repository: measured in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names, segments
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from image_world import MIB, World, directories, make_repository, random_disk, sizes

GIB = 1 << 30
MOST = 300
BIG, BIG_ENTRIES = 20, 490_000
SMALL, SMALL_ENTRIES = 30, 8_000
PACKS = 1024

START = """
import random, sys
sys.path[:0] = sys.argv[4:]
from pathlib import Path
from image_world import *
folder, size, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
tail = random.Random(1).randbytes(CHUNK - 8)

class Disk:
    def read(self, start, end):
        numbers = range(start // CHUNK, -(-end // CHUNK))
        return b"".join((1 + number).to_bytes(8, "big") + tail for number in numbers)

class Nowhere:
    def write(self, start, data):
        pass

def peak():
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""

READ = """
world = World(make_repository(folder), pack_size=16 * MIB, workers=8)
step = size // 64
changes = [Changed(start, start + 4 * MIB, False) for start in range(0, size, step)]
if kind == "cleared":
    changes = [Changed(0, 4 * MIB, False), Changed(4 * MIB, size, True)]
restore(world.repository, world.read(Disk(), size, changes), workers=8, sink=Nowhere())
peak()
"""

FIND = """
repository = Repository.open(FolderStore(str(folder)), None)
there = [bytes.fromhex(line) for line in sys.stdin.read().split()]
index = ChunkIndex(repository, "20270101t000000z-00000000")
found = index.find([*there, *(random.randbytes(32) for number in range(10_000))])
assert found.keys() == set(there), (len(found), len(there))
assert sum(map(len, index._segments)) > 10_000_000
del index
world = World(repository, pack_size=16 * MIB, workers=8)
world.read(Disk(), size, [Changed(0, 512 * MIB, False)])
assert world.stats.new == 512 * MIB
before = len(sizes(repository.store, names.SEGMENTS))
world.index.merge()
assert len(sizes(repository.store, names.SEGMENTS)) < before
peak()
"""


def peak(folder: Path, size: int, kind: str, code: str = READ, given: str = "") -> int:
    """MiB at the most, of a process that reads a disk with 256 MiB of data and more."""
    command = [sys.executable, "-c", START + code, str(folder), str(size), kind, *sys.path]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_it_does_not_follow_the_size_of_the_disk(tmp_path: Path) -> None:
    small = peak(tmp_path / "small", GIB, "sparse")
    large = peak(tmp_path / "large", 64 * GIB, "sparse")
    assert small <= MOST
    assert large <= MOST
    assert large <= small * 1.3


def test_it_does_not_follow_what_was_cleared(tmp_path: Path) -> None:
    assert peak(tmp_path / "cleared", 512 * GIB, "cleared") <= MOST


def add_segment(repository: Repository, number: int, entries: int) -> None:
    """Chunks that are in no pack that there is: of other machines, in a large repository."""
    high = array("I", sorted(array("I", os.urandom(4 * entries))))
    packs = bytearray(os.urandom(2 * entries))
    packs[1::2] = bytes(packs[1::2]).translate(bytes(one % (PACKS >> 8) for one in range(256)))
    places = os.urandom(16 * PACKS)
    segment = segments.Segment(
        high,
        array("H", os.urandom(2 * entries)),
        array("H", packs),
        b"".join(places[at : at + 16] + bytes(7) + b"\1" for at in range(0, len(places), 16)),
    )
    name = f"{names.SEGMENTS}20260801t{number:06d}z-00000000-0001"
    repository.store.put(name, repository.codec.seal(name, segments.encode(segment)))


@pytest.mark.skipif(sys.byteorder == "big", reason="lays out the numbers of packs by hand")
def test_it_does_not_follow_the_repository(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    for number in range(BIG + SMALL):
        add_segment(repository, number, BIG_ENTRIES if number < BIG else SMALL_ENTRIES)
    world = World(repository, pack_size=MIB)
    world.back_up(random_disk(16 * MIB, 1))
    there = [name.hex() for one in directories(repository).values() for name in one.records]
    assert len(sizes(repository.store, names.SEGMENTS)) == BIG + SMALL + 1
    assert peak(tmp_path / "repository", GIB, "", FIND, "\n".join(there)) <= MOST
