"""Writes expected_shapes.json from the recordings: field names and types, no values, no ids.

Run it where the recordings are: ``python tests/contract/extract.py`` (``--check`` only compares).
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from typing import Any

from recordings import FOLDER, Exchange, load
from shapes import TABLE_FILE, to_row
from worlds import WORLDS

_ABOUT = "Written by tests/contract/extract.py from recorded traffic; seen: scenario, its steps."
_WIDTH = 96


def _operation(exchange: Exchange) -> str:
    """Method and path template, from the provider's name on."""
    if exchange.is_final_result:
        return "GET the final result of an operation"
    scope = "subscription: " if "/resourcegroups/" not in exchange.path.lower() else ""
    provider, *parts = exchange.path.split("/providers/Microsoft.", 1)[1].split("/")
    shown = ["{}" if number % 2 else part for number, part in enumerate(parts)]
    shown = shown if provider == "Compute" else [f"Microsoft.{provider}", *shown]
    return f"{exchange.method} {scope}{'/'.join(shown)}"


def _variation(exchange: Exchange) -> str:
    words = []
    version = re.search(r"api-version=([\w-]+)", exchange.query)
    if version and not exchange.operation_id:
        words.append(version.group(1))
    words += re.findall(r"\$expand=\w+|monitor=true", exchange.query)
    properties = exchange.body.get("properties", {}) if isinstance(exchange.body, dict) else {}
    words += [properties["creationData"]["createOption"]] if "creationData" in properties else []
    words += [
        f"with {name}" for name in ("sourceRestorePoint", "excludeDisks") if name in properties
    ]
    if exchange.operation_id and not exchange.monitors:
        words.append("ended" if exchange.shape.ended else "in progress")
    return ", ".join(words)


def rows() -> list[dict[str, Any]]:
    """The table, with equal shapes of one operation and variation in one row."""
    found: dict[str, dict[str, Any]] = {}
    for scenario, exchanges in load(WORLDS).items():
        for number, exchange in enumerate(exchanges):
            row = to_row(_operation(exchange), _variation(exchange), exchange.shape)
            row = found.setdefault(repr(row), {**row, "seen": {}})
            row["seen"].setdefault(scenario, []).append(number)
    return sorted(found.values(), key=lambda row: (row["operation"], row.get("variation", "")))


def _lines(value: Any, indent: str) -> str:
    """JSON that is wrapped like prose, so that the table can be read."""
    text = json.dumps(value)
    fits = len(text) <= _WIDTH - len(indent)
    if isinstance(value, dict) and not fits:
        inner = indent + "  "
        items = [f"{inner}{json.dumps(key)}: {_lines(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list) and not fits:
        inner = indent + "  "
        wrapped = textwrap.fill(
            ", ".join(json.dumps(item) for item in value),
            _WIDTH,
            initial_indent=inner,
            subsequent_indent=inner,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return f"[\n{wrapped}\n{indent}]"
    return text


def text() -> str:
    """The table as it is written."""
    body = ",\n".join("    " + _lines(row, "    ") for row in rows())
    return f'{{\n  "about": {json.dumps(_ABOUT)},\n  "shapes": [\n{body}\n  ]\n}}\n'


def main() -> int:
    """1 when the table is not what the recordings say."""
    if not FOLDER.is_dir():
        raise SystemExit("The recordings are not here.")
    if "--check" in sys.argv:
        return int(TABLE_FILE.read_text() != text())
    TABLE_FILE.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
