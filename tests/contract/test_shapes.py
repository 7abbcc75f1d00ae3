"""Local Azure answers the project's own scenarios in the shapes that the table expects."""

from __future__ import annotations

import pytest
import scenarios
from deviations import judge, load_rows
from player import Outcome, Player, slow_config
from shapes import Shape, differences, fields_of, load_table, shape_of
from worlds import WORLDS

from local_azure.launcher import LocalAzure

TABLE = load_table()


def play(name: str, expected: dict[int, Shape]) -> list[Outcome]:
    """Run one scenario against a fresh local Azure."""
    world = WORLDS[name]
    with LocalAzure(slow_config()) as local:
        player = Player(local)
        world.prepare(player)
        steps = scenarios.steps(name, expected, player.subscription)
        outcomes = player.play(steps, world.hooks)
        player.close()
        assert local.control.audit()["crashes"] == []
    return outcomes


@pytest.mark.parametrize("name", sorted(TABLE))
def test_scenario(name: str) -> None:
    assert judge(name, play(name, TABLE[name])) == []


def test_scenarios_cover_the_table() -> None:
    assert sorted(TABLE) == sorted(scenarios.SCENARIOS) == sorted(WORLDS)


def test_deviations_are_explained_and_name_steps() -> None:
    for row in load_rows():
        assert set(row) == {"at", "differs", "reason"}
        assert len(row["reason"].split()) > 3
        for name, numbers in row["at"].items():
            assert set(numbers) <= set(TABLE[name])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"status": 200}, "status 202, not 200"),
        ({"headers": {"Location"}}, "header +Azure-AsyncOperation"),
        (
            {"headers": {"Location", "Azure-AsyncOperation", "Retry-After"}},
            "header -Retry-After",
        ),
        ({"fields": {"name": "string", "other": "string"}}, "field -other"),
        ({"fields": {}}, "field +name"),
        ({"fields": {"name": "integer"}}, "field name: string, not integer"),
    ],
)
def test_every_kind_of_difference_is_seen(change: dict[str, object], expected: str) -> None:
    actual = Shape(202, {"Location", "Azure-AsyncOperation"}, {"name": "string"})
    wanted = Shape(**{"status": 202, "headers": actual.headers, "fields": actual.fields, **change})
    assert differences(wanted, actual) == [expected]
    assert differences(actual, actual) == []


def test_an_answer_with_a_changed_table_fails() -> None:
    name = "restore_point_collection_delete"
    first = TABLE[name][0]
    wrong = Shape(first.status, first.headers - {"Location"}, {"lost": "string"})
    complaints = judge(name, play(name, {**TABLE[name], 0: wrong}))
    assert complaints == [f"{name} 0: field -lost", f"{name} 0: header +Location"]


def test_an_unused_deviation_fails() -> None:
    row = {"at": {"here": [0, 7]}, "differs": ["field -x"], "reason": "none"}
    assert judge("here", [Outcome(0)], [row]) == [
        "here 0: does not differ: field -x",
        "here 7: there is no such step",
    ]


def test_headers_that_a_source_cannot_show_are_not_compared() -> None:
    unknown = Shape(202, set(), {}, {"Retry-After"})
    assert differences(unknown, Shape(202, {"Retry-After"}, {})) == []


def test_fields_have_paths_and_types() -> None:
    body = {
        "a": [{"b": 1}, {"b": 0.5}],
        "empty": [],
        "nothing": {},
        "tags": {"Owner": "me"},
        "yes": True,
        "none": None,
    }
    assert fields_of(body) == {
        "a[].b": "integer or number",
        "empty": "array",
        "none": "null",
        "nothing": "object",
        "tags.*": "string",
        "yes": "boolean",
    }
    assert shape_of(200, {"content-type": "x", "date": "y"}, None).headers == {"Content-Type"}
