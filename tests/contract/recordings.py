"""Reads recorded exchanges with the real service. They stay outside the project."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shapes import Shape, shape_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT.parent / "shared" / "azure_wire"

_OPERATION = re.compile(r"/locations/[^/]+/(?:Disk)?operations/([^/?]+)", re.IGNORECASE)
_NOTHING = (None, "")


@dataclass
class Exchange:
    """One recorded request and the shape of its answer."""

    method: str
    path: str
    query: str
    body: Any
    shape: Shape
    headers: dict[str, str]
    is_final_result: bool = False

    @property
    def operation_id(self) -> str | None:
        """The operation that this request asks about, if it is a poll."""
        found = _OPERATION.search(self.path)
        return found.group(1).lower() if found and self.method == "GET" else None

    @property
    def started_id(self) -> str | None:
        """The operation that the answer announces."""
        found = _OPERATION.search(self.headers.get("azure-asyncoperation", ""))
        return found.group(1).lower() if found else None

    @property
    def monitors(self) -> bool:
        return "monitor=true" in self.query or self.is_final_result


def load(names: Iterable[str]) -> dict[str, list[Exchange]]:
    """The recordings of these names, their exchanges in order; there may be others in the folder."""
    return {name: _load_one(FOLDER / f"{name}.json") for name in sorted(names)}


def _load_one(path: Path) -> list[Exchange]:
    recording = json.loads(path.read_text())
    # Examples are not traffic: their paths and field names count, nothing else.
    is_example = "warning" in recording
    told = recording.get("retry_after", "")
    unknown = {"Retry-After"} if "UNKNOWN" in told or "says nothing" in told else set()
    return [_exchange(item, is_example, unknown) for item in recording["exchanges"]]


def _exchange(item: Mapping[str, Any], is_example: bool, unknown: set[str]) -> Exchange:
    request, response = item["request"], item["response"]
    headers = {name.lower(): str(value) for name, value in response["headers"].items()}
    shape = shape_of(response["status"], headers, response["body"])
    shape.unknown = unknown
    if is_example:
        shape = Shape(None, set(), shape.fields, names_only=True)
    return Exchange(
        request["method"],
        request["path"],
        request["query"] or "",
        None if request["body"] in _NOTHING else request["body"],
        shape,
        headers,
        is_example and response["status"] == 200 and request["method"] == "POST",
    )
