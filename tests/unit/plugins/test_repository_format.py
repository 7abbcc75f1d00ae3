"""docs/repository-format.md is true: its reader reads repositories, its tables are those of the code."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_ranges import Changed
from ansible_collections.vmguard.azure.plugins.module_utils._repository import manifest
from image_world import (
    CHUNK,
    PASSPHRASE,
    Bytes,
    World,
    disk_image,
    make_manifest,
    make_repository,
    random_disk,
)

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "repository-format.md").read_text()
PACKAGE = "ansible_collections.vmguard.azure.plugins.module_utils"
GIB = 1 << 30


class Sparse:
    """A large disk with a few chunks of data."""

    def __init__(self, chunks: dict[int, bytes]) -> None:
        self.chunks = chunks

    def read(self, start: int, end: int) -> bytes:
        numbers = range(start // CHUNK, -(-end // CHUNK))
        return b"".join(self.chunks.get(one, bytes(CHUNK)) for one in numbers)[: end - start]


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """The script of the page, as a file."""
    (script,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    path = tmp_path / "read_backup.py"
    path.write_text(script)
    return path


def run(
    script: Path, *arguments: str | Path, passphrase: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it where the collection cannot be imported."""
    environment = {"PATH": os.environ["PATH"]}
    if passphrase is not None:
        environment["VMGUARD_PASSPHRASE"] = passphrase
    return subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        env=environment, cwd=script.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["clear", "encrypted"])
@pytest.mark.parametrize("chunk_size", [CHUNK, 1 << 18], ids=["64KiB", "256KiB"])
def test_the_reader_of_the_page_reads_what_was_stored(
    tmp_path: Path, reader: Path, passphrase: str | None, chunk_size: int
) -> None:
    repository = make_repository(tmp_path / "repository", passphrase, chunk_size)
    world = World(repository)
    # The last chunk is short, and there are several leaves.
    first = bytes(random_disk(80 << 20, seed=1, zeros=0.9)) + b"\1" * 512
    changed = bytearray(first)
    changed[5 << 20 : 6 << 20] = random_disk(1 << 20, seed=2, zeros=0)
    changed[70 << 20 : 71 << 20] = bytes(1 << 20)
    disk = world.read(Bytes(first), len(first))
    full = make_manifest(1, [disk])
    changes = [Changed(5 << 20, 6 << 20, False), Changed(70 << 20, 71 << 20, True)]
    later = world.read(Bytes(changed), len(changed), changes, disk)
    data = world.read(Bytes(b"\2" * CHUNK), CHUNK)
    incremental = make_manifest(
        2, [later, disk_image(CHUNK, role="lun7", name="data", lun=7, roots=data.roots)]
    )
    for backup in (full, incremental):
        manifest.write(repository, backup)

    listed = run(reader, tmp_path / "repository", passphrase=passphrase)
    assert listed.returncode == 0, listed.stderr
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [full.id, incremental.id]
    for backup, content in ((full, first), (incremental, bytes(changed))):
        done = run(reader, tmp_path / "repository", backup.id, tmp_path, passphrase=passphrase)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "os.raw").read_bytes() == content
    assert (tmp_path / "lun7.raw").read_bytes() == b"\2" * CHUNK


def test_the_reader_knows_several_nodes(tmp_path: Path, reader: Path) -> None:
    size = 130 * GIB
    data = {0: b"a" * CHUNK, 64 * GIB // CHUNK: b"b" * CHUNK, size // CHUNK - 1: b"c" * CHUNK}
    repository = make_repository(tmp_path / "repository")
    changes = [Changed(one * CHUNK, (one + 1) * CHUNK, False) for one in sorted(data)]
    disk = World(repository).read(Sparse(data), size, changes)
    assert len(disk.roots) == 3
    backup = make_manifest(1, [disk])
    manifest.write(repository, backup)

    done = run(reader, tmp_path / "repository", backup.id, tmp_path)

    assert done.returncode == 0, done.stderr
    with (tmp_path / "os.raw").open("rb") as file:
        assert os.fstat(file.fileno()).st_size == size
        for number, content in data.items():
            file.seek(number * CHUNK)
            assert file.read(CHUNK) == content
        allocated = os.fstat(file.fileno()).st_blocks * 512
    assert allocated < 1 << 20


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["clear", "encrypted"])
def test_the_reader_notices_damage(tmp_path: Path, reader: Path, passphrase: str | None) -> None:
    folder = tmp_path / "repository"
    backup = World(make_repository(folder, passphrase)).back_up(random_disk(1 << 20, seed=3))
    for path in [*folder.glob("packs/*/*"), *folder.glob("manifests/*/*")]:
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 3] ^= 1
        path.write_bytes(damaged)
        assert run(reader, folder, backup.id, tmp_path, passphrase=passphrase).returncode
        path.write_bytes(whole)
    assert run(reader, folder, backup.id, tmp_path, passphrase=passphrase).returncode == 0


def test_the_limits_are_those_of_the_code() -> None:
    table = TEXT.split("| limit | most |")[1].split("\n\n")[0]
    rows = re.findall(r"\| (\d+)(?: bytes)? \| `(\w+)\.(\w+)` \|", table)
    assert len(rows) == table.count("\n") - 1
    for value, module, name in rows:
        package = {"interface": "_storage", "ledger": "_backup"}.get(module, "_repository")
        found = importlib.import_module(f"{PACKAGE}.{package}.{module}")
        assert getattr(found, name) == int(value), name


def test_the_proofs_are_there() -> None:
    proofs = re.findall(r"`(test_\w+\.py)::(test_\w+)`", TEXT)
    assert proofs
    folder = Path(__file__).parent
    missing = [
        (file, test) for file, test in proofs if f"def {test}(" not in (folder / file).read_text()
    ]
    assert missing == []
