"""The footer of a fixed VHD, judged by other readers of the format."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._disk.vhd import (
    FOOTER_SIZE,
    check_footer,
    footer,
)
from hypothesis import given
from hypothesis import strategies as st

from local_azure.storage import vhd

CREATED = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
MIB, GIB = 1 << 20, 1 << 30
sizes = st.integers(1, 64 * 1024 * GIB // 512).map(lambda it: it * 512)


@given(sizes, st.uuids())
def test_local_azure_accepts_it(size: int, unique_id: UUID) -> None:
    made = footer(size, unique_id, CREATED)
    assert len(made) == FOOTER_SIZE
    vhd.validate(made, size)
    assert made == vhd.build(size, unique_id, CREATED)


def test_fields() -> None:
    made = footer(3 * MIB, UUID(int=5), CREATED)
    assert made[:8] == b"conectix" and made[68:84] == UUID(int=5).bytes
    assert made[24:28] == int((CREATED - timedelta(days=10957)).timestamp()).to_bytes(4, "big")
    assert footer(3 * MIB, UUID(int=5), CREATED) == made


@pytest.mark.parametrize("year", [1980, 2300])
def test_times_that_the_format_does_not_have(year: int) -> None:
    vhd.validate(footer(MIB, uuid4(), CREATED.replace(year=year)), MIB)


@pytest.mark.parametrize("size", [0, -512, 511, 513])
def test_sizes_that_no_disk_has(size: int) -> None:
    with pytest.raises(ValueError, match="A disk has"):
        footer(size, uuid4(), CREATED)


@given(sizes, st.uuids())
def test_its_own_footer_is_accepted(size: int, unique_id: UUID) -> None:
    check_footer(footer(size, unique_id, CREATED), size + FOOTER_SIZE)


@pytest.mark.parametrize(
    ("made", "blob_size", "problem"),
    [
        (bytes(FOOTER_SIZE), MIB + 512, "not the footer of a VHD"),
        (b"conectix", MIB + 512, "not the footer of a VHD"),
        (
            footer(MIB, UUID(int=1), CREATED),
            MIB + 1024,
            "a disk of 1048576 bytes, and it has 1049088",
        ),
        (footer(MIB, UUID(int=1), CREATED), MIB, "a disk of 1048576 bytes, and it has 1048064"),
    ],
)
def test_what_is_no_footer_of_a_fixed_vhd(made: bytes, blob_size: int, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_footer(made, blob_size)


def test_a_dynamic_vhd_is_refused() -> None:
    made = bytearray(footer(MIB, UUID(int=1), CREATED))
    made[63] = 3
    with pytest.raises(ValueError, match="disk type 3"):
        check_footer(bytes(made), MIB + FOOTER_SIZE)


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="needs qemu-img")
@pytest.mark.parametrize("size", [MIB, 20 * MIB + 512, GIB, 130 * GIB, 1024 * GIB])
def test_qemu_reads_it(tmp_path: Path, size: int) -> None:
    image, raw = tmp_path / "disk.vhd", tmp_path / "disk.raw"
    with image.open("wb") as target:
        target.write(b"first")
        target.seek(size)
        target.write(footer(size, uuid4(), CREATED))
    told = subprocess.run(
        ["qemu-img", "info", "--output=json", "-f", "vpc", str(image)],
        check=True, capture_output=True,
    )  # fmt: skip
    info = json.loads(told.stdout)
    assert (info["format"], info["virtual-size"]) == ("vpc", size)
    if size > GIB:
        return
    subprocess.run(
        ["qemu-img", "convert", "-f", "vpc", "-O", "raw", str(image), str(raw)], check=True
    )
    assert raw.stat().st_size == size and raw.open("rb").read(5) == b"first"
