"""Backups of machines in local Azure: levels, fallbacks, bytes, and what is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_bench import Place, open_place
from restore_bench import Bench, open_bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path) as opened:
        opened.create()
        yield opened


def test_every_backup_of_a_row_restores_byte_for_byte(place: Place) -> None:
    rounds = []
    for level in ("auto", "incremental", "auto", "incremental", "differential"):
        place.scatter(0, 40)
        place.scatter("os", 5)
        content = place.export()
        rounds.append((place.backup(level=level), content))
    levels = [outcome.backup.disks[1].level for outcome, _content in rounds]
    assert levels == ["full", "incremental", "incremental", "incremental", "differential"]
    assert [outcome.warnings for outcome, _content in rounds] == [[]] * 5
    for outcome, content in reversed(rounds):
        place.check(outcome, content)
    assert len(place.snapshots()) == 4  # the full's and the last one's, of two disks
    assert place.active_sas() == 0
