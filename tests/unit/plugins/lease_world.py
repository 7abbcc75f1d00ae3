"""Leases that somebody wants, and records that somebody else wrote: what the tests of leases share.

There is no assertion here (PYTEST_DONT_REWRITE).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import Lease
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import Store
from image_world import NOW, MovedClock, make_repository
from storage_backends import Wrapper

SCOPE = "0" * 32
NEVER = 3600.0
Take = Callable[..., Lease]


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def take(clock: MovedClock, repository: Repository) -> Iterator[Take]:
    """A lease that somebody wants; their heartbeats end with the test."""
    made: list[Lease] = []

    def lease(run: str, *, within: Repository | None = None, **more: Any) -> Lease:
        more = {"time_to_live": 120.0, "heartbeat": NEVER, **more}
        at = more.pop("clock", clock)
        made.append(Lease(within or repository, SCOPE, "machine web", run, at, **more))
        return made[-1]

    yield lease
    for one in made:
        one.release()


def on_other_store(repository: Repository, store: Store) -> Repository:
    return Repository(store, repository.settings, repository.codec)


def record(repository: Repository, number: int, **fields: Any) -> None:
    """What somebody on another machine writes."""
    body = {
        "run": "other", "host": "elsewhere", "pid": 1, "place": "another boot/1",
        "subject": "machine web", "since": NOW.isoformat(),
        "until": (NOW + timedelta(seconds=120)).isoformat(), "released": False,
    }  # fmt: skip
    repository.write(f"{names.LEASES}{SCOPE}/{number:012d}", {**body, **fields})


class Interposed(Wrapper):
    """Does something before the first put."""

    def __init__(self, store: Store, act: Callable[[], None]) -> None:
        super().__init__(store)
        self._act: Callable[[], None] | None = act

    def put(self, name: str, data: bytes) -> None:
        if self._act:
            act, self._act = self._act, None
            act()
        super().put(name, data)
