"""The frame of the playbook tests: a private local Azure with a few machines for each run."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_azure.launcher import LocalAzure
from support.stage import Stage, build_stage


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the disk images lie; they are read only, so all tests of a process share them."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture
def stage(request: pytest.FixtureRequest, images: Path) -> Iterator[Stage]:
    """A local Azure of this test alone. Its names hold the test's own, and are new in each run.

    It has a storage account where the test's playbook speaks of one.
    """
    word = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40]
    with_storage = _speaks_of_storage(getattr(request.node, "callspec", None))
    with LocalAzure(storage=with_storage) as local:
        yield build_stage(local, images, f"{word}-{uuid.uuid4().hex[:6]}")


def _speaks_of_storage(callspec: Any) -> bool:
    """Whether the playbook that a test is given uses the variable ``storage``."""
    playbook = callspec and callspec.params.get("playbook")
    return bool(playbook) and re.search(r"\bstorage\b", playbook.read_text()) is not None
