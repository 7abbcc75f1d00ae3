"""The shape of an answer: status, headers that clients act on, body fields with JSON types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLE_FILE = Path(__file__).with_name("expected_shapes.json")
HEADERS = (
    "Azure-AsyncOperation",
    "Location",
    "Retry-After",
    "azure-asyncnotification",
    "x-ms-failure-cause",
    "Content-Type",
)
# Objects whose keys are data: names that a user or the service made up.
_MAPS = ("tags", "userAssignedIdentities")


def json_type(value: Any) -> str:
    """The JSON type of a value; whole and fractional numbers are told apart."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    kinds = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return kinds[type(value)]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        is_map = path.rsplit(".", 1)[-1] in _MAPS
        for key, item in value.items():
            name = "*" if is_map else key
            yield from _leaves(item, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value:
        for item in value:
            yield from _leaves(item, f"{path}[]")
    else:
        yield path, json_type(value)


def fields_of(body: Any) -> dict[str, str]:
    """Dotted paths to types; ``[]`` for the items of a list. An empty body has no fields."""
    found: dict[str, set[str]] = {}
    if body not in (None, ""):
        for path, kind in _leaves(body, ""):
            found.setdefault(path, set()).add(kind)
    return {path: " or ".join(sorted(kinds)) for path, kinds in sorted(found.items())}


@dataclass
class Shape:
    """What an answer looks like.

    Attributes:
        status: None where only the fields are known.
        headers: of ``HEADERS``, those that are there.
        unknown: headers that the source cannot show, so that nothing is expected of them.
        names_only: the types of the fields are not known either.
    """

    status: int | None
    headers: set[str]
    fields: dict[str, str]
    unknown: set[str] = field(default_factory=set)
    names_only: bool = False

    @property
    def ended(self) -> bool:
        """Whether this is the answer of an operation that has ended."""
        return "endTime" in self.fields or "startTime" not in self.fields


def shape_of(status: int, headers: Mapping[str, str], body: Any) -> Shape:
    """The shape of one answer."""
    there = {name.lower() for name in headers}
    return Shape(status, {name for name in HEADERS if name.lower() in there}, fields_of(body))


def differences(expected: Shape, actual: Shape) -> list[str]:
    """What is different, one short line each; none where the shapes agree."""
    found = []
    if expected.status is not None and actual.status != expected.status:
        found.append(f"status {actual.status}, not {expected.status}")
    if expected.status is not None:
        found += _set_differences(
            "header", expected.headers - expected.unknown, actual.headers - expected.unknown
        )
    found += _set_differences("field", set(expected.fields), set(actual.fields))
    if not expected.names_only:
        found += [
            f"field {path}: {actual.fields[path]}, not {kind}"
            for path, kind in expected.fields.items()
            if actual.fields.get(path, kind) != kind
        ]
    return found


def _set_differences(what: str, expected: set[str], actual: set[str]) -> list[str]:
    missing = [f"{what} -{name}" for name in sorted(expected - actual)]
    return missing + [f"{what} +{name}" for name in sorted(actual - expected)]


# -- the table: one row for each operation, variation and shape


def to_row(operation: str, variation: str, shape: Shape) -> dict[str, Any]:
    """A row of the table, without the steps that have this shape."""
    row: dict[str, Any] = {"operation": operation}
    if variation:
        row["variation"] = variation
    if shape.status is not None:
        row["status"] = shape.status
        row["headers"] = sorted(shape.headers)
    if shape.unknown:
        row["unknown_headers"] = sorted(shape.unknown)
    by_type: dict[str, list[str]] = {}
    for path, kind in shape.fields.items():
        by_type.setdefault("field" if shape.names_only else kind, []).append(path)
    row["fields"] = by_type
    return row


def from_row(row: Mapping[str, Any]) -> Shape:
    """The shape that a row of the table describes."""
    by_type: Mapping[str, list[str]] = row["fields"]
    fields = {path: kind for kind, paths in by_type.items() for path in paths}
    return Shape(
        row.get("status"),
        set(row.get("headers", ())),
        dict(sorted(fields.items())),
        set(row.get("unknown_headers", ())),
        "status" not in row,
    )


def load_rows(path: Path = TABLE_FILE) -> list[dict[str, Any]]:
    """The rows of the table; ``seen`` maps a scenario to the numbers of its steps."""
    return json.loads(path.read_text())["shapes"]


def load_table(path: Path = TABLE_FILE) -> dict[str, dict[int, Shape]]:
    """The expected shape of every step of every scenario."""
    table: dict[str, dict[int, Shape]] = {}
    for row in load_rows(path):
        for scenario, numbers in row["seen"].items():
            for number in numbers:
                table.setdefault(scenario, {})[number] = from_row(row)
    return {name: dict(sorted(steps.items())) for name, steps in table.items()}
