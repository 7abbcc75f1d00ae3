"""The one table of differences between local Azure and the service that are known and explained."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from player import Outcome

TABLE_FILE = Path(__file__).with_name("deviations.yaml")


def load_rows(path: Path = TABLE_FILE) -> list[dict[str, Any]]:
    """The rows of the table: ``at``, ``differs``, ``reason``."""
    return yaml.safe_load(path.read_text())["deviations"]


def known(scenario: str, rows: Iterable[dict[str, Any]] | None = None) -> dict[int, set[str]]:
    """The differences that are explained, by the number of the step."""
    found: dict[int, set[str]] = {}
    for row in load_rows() if rows is None else rows:
        for number in row["at"].get(scenario, ()):
            found.setdefault(number, set()).update(row["differs"])
    return found


def judge(
    scenario: str, outcomes: Iterable[Outcome], rows: Iterable[dict[str, Any]] | None = None
) -> list[str]:
    """Differences that nobody explained, and explanations of differences that are not there."""
    explained = known(scenario, rows)
    complaints = []
    for outcome in outcomes:
        expected = explained.pop(outcome.number, set())
        seen = set(outcome.differences)
        place = f"{scenario} {outcome.number}"
        complaints += [f"{place}: {text}" for text in sorted(seen - expected)]
        complaints += [f"{place}: does not differ: {text}" for text in sorted(expected - seen)]
    complaints += [f"{scenario} {number}: there is no such step" for number in sorted(explained)]
    return complaints
