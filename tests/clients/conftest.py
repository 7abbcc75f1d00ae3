"""A private local Azure for each test file; the clients get nothing but its address and its CA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_azure.launcher import LocalAzure


@pytest.fixture(scope="module")
def azure() -> Iterator[LocalAzure]:
    with LocalAzure() as local:
        yield local


@pytest.fixture(autouse=True)
def nothing_left_behind(azure: LocalAzure) -> Iterator[None]:
    """No signature outlives a test, and local Azure itself did not fail."""
    yield
    audit = azure.control.audit()
    assert audit["crashes"] == []
    assert audit["active_sas"] == []


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small disk image with something in it."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(1 << 20)
        file.seek(64 << 10)
        file.write(b"local azure" * 500)
    return path
