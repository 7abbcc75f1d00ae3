"""Memory follows neither the disk nor the repository: one process, measured at two sizes."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names, segments
from ansible_collections.vmguard.azure.plugins.module_utils._repository.chunk_index import (
    MOST_ENTRIES,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from image_world import MIB, World, directories, make_repository, random_disk

# MiB: what is promised.
MOST = 300
# MiB: what a process may take more at the larger size, which has 64 times the disk.
ROOM = 40
ENTRIES, SMALL, LARGE, MERGED = 260_000, 1, 8, 30
PACKS = 1024

START = """
import random, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from image_world import *
folder = Path(sys.argv[1])
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
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024, flush=True)
"""

READ = """
GIB = 1 << 30
def run(name, size, changes):
    repository = make_repository(folder / name)
    world = World(repository, pack_size=16 * MIB, workers=8)
    image = world.read(Disk(), size, changes)
    restore(repository, image, workers=8, sink=Nowhere())
    manifest.write(repository, make_manifest(1, [image]))
    assert verify(repository).sound
    peak()

# Twice the small one: what an allocator keeps of the first run is there before the large one.
for name, size in (("first", GIB), ("small", GIB), ("large", 64 * GIB)):
    step = size // 32
    run(name, size, [Changed(at * step, at * step + 3 * MIB, False) for at in range(32)])
run("cleared", 128 * GIB, [Changed(0, 4 * MIB, False), Changed(4 * MIB, 128 * GIB, True)])
"""

FIND = """
repository = Repository.open(FolderStore(str(folder)), None)
there = [bytes.fromhex(line) for line in sys.stdin.readline().split()]
for turn in ("few", "many"):
    sys.stdin.readline()
    index = ChunkIndex(repository, "20270101t000000z-00000000")
    found = index.find([*there, *(random.randbytes(32) for number in range(1000))])
    assert found.keys() == set(there), (len(found), len(there))
    before = len(sizes(repository.store, names.SEGMENTS))
    index.merge()
    print(before - len(sizes(repository.store, names.SEGMENTS)))
    print(sum(map(len, index._segments)))
    del index
    peak()
"""


def start(folder: Path, code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", START + code, str(folder), *sys.path]
    # Without: what glibc keeps for each thread varies by some 50 MiB from run to run.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip


def test_it_does_not_follow_the_size_of_the_disk(tmp_path: Path) -> None:
    process = start(tmp_path, READ)
    told, errors = process.communicate()
    assert process.returncode == 0, errors
    _first, small, large, cleared = (int(one) for one in told.split())
    assert large <= small + ROOM
    assert cleared <= small + ROOM
    assert small + ROOM <= MOST


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
def test_the_index_costs_eight_bytes_for_a_chunk(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    World(repository, pack_size=MIB).back_up(random_disk(4 * MIB, 1))
    there = [name.hex() for one in directories(repository).values() for name in one.records]
    process = start(tmp_path / "repository", FIND)
    assert process.stdin and process.stdout and process.stderr
    told: list[int] = []
    with process:
        process.stdin.write(" ".join(there) + "\n")
        for large, small in ((SMALL, 0), (LARGE - SMALL, MERGED)):
            for number in range(large):
                add_segment(repository, len(told) * 100 + number, ENTRIES)
            for number in range(small):
                add_segment(repository, 1000 + number, 5000)
            process.stdin.write("go on\n")
            process.stdin.flush()
            lines = [process.stdout.readline() for _line in range(3)]
            assert lines[-1], process.stderr.read()
            told += map(int, lines)
    unmerged, few, small, merged, many, large = told
    assert unmerged == 0 and merged == MERGED
    assert many - few >= (LARGE - SMALL) * ENTRIES
    # Eight that stay, and what reading a segment and merging the small ones take in passing.
    assert (large - small) * MIB / (many - few) <= 28
    assert large + (MOST_ENTRIES - many) * 8 / MIB <= MOST - 100
