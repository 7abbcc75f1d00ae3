"""Local Azure refuses what the service refuses: the same status, code and words, and no change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from refusals import OPTIONAL, REQUIRED, Asker, check, load

from local_azure.launcher import LocalAzure

ROWS = load()
_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@pytest.fixture(scope="module")
def asker() -> Iterator[Asker]:
    with LocalAzure() as local:
        made = Asker(local)
        yield made
        made.close()
        assert local.control.audit()["crashes"] == []


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_refusal(asker: Asker, row: dict[str, Any]) -> None:
    check(asker, row)


def test_rows_are_whole() -> None:
    names = [row["name"] for row in ROWS]
    assert sorted(names) == sorted(set(names))
    for row in ROWS:
        assert set(row) >= REQUIRED, row
        assert set(row) <= REQUIRED | OPTIONAL, row
        assert _KEBAB.fullmatch(row["name"]), row["name"]
        assert ("code" in row) == ("message" in row), row["name"]
        assert len(row["condition"].split()) > 2, row["name"]
        assert "api-version=" in row["request"] or "MissingApiVersion" in row.get("code", "")


# -- the runner itself


def _row(**changes: Any) -> dict[str, Any]:
    disk = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}
    return {
        "name": "runner",
        "condition": "A disk without a size.",
        "source": "none",
        "given": [
            {
                "request": "PUT {compute}/disks/held?api-version=2023-04-02",
                "body": {"location": "westeurope", "properties": disk},
                "status": 202,
            }
        ],
        "request": "PUT {compute}/disks/one?api-version=2023-04-02",
        "body": {"location": "westeurope", "properties": {"creationData": {}}},
        "status": 400,
        "code": "InvalidParameter",
        "message": "Required parameter 'disk.creationData' is missing",
        **changes,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 409},
        {"code": "BadRequest"},
        {"message": "Something else"},
        {"target": "disk"},
        {"gateway": True},
        {"later": True},
        {"body": {"location": "westeurope", "properties": {"creationData": {}}, "tags": 1}},
        {"given": [{"request": "GET {compute}/disks/no?api-version=2023-04-02", "status": 200}]},
    ],
)
def test_a_row_that_is_not_so_fails(asker: Asker, wrong: dict[str, Any]) -> None:
    name = f"runner-{uuid4().hex}"
    check(asker, _row(name=f"{name}-right"))
    with pytest.raises((AssertionError, KeyError)):
        check(asker, _row(name=name, **wrong))


def test_a_refusal_that_changes_something_fails(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Asker.send

    def leaky(one: Asker, method: str, path: str, body: Any = None) -> Any:
        answer = send(one, method, path, body)
        if answer[0] == 400:
            held = path.replace("/one?", "/held?")
            assert send(one, "PATCH", held, {"tags": {"a": "1"}})[0] == 202
        return answer

    monkeypatch.setattr(Asker, "send", leaky)
    with pytest.raises(AssertionError):
        check(asker, _row(name="leaky"))


def test_settings_of_a_row_end_with_it(asker: Asker) -> None:
    before = asker.local.control.call("GET", "config")
    check(asker, _row(name="settings", config={"durations": {"disk_write": 5}}, given=[]))
    assert asker.local.control.call("GET", "config") == before
