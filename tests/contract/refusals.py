"""The tables of what the service refuses, and what asks a local Azure to refuse the same.

A row of ``refusals*.yaml``:

- ``name``: in kebab case, one for all tables. ``condition``: what is refused, a sentence.
  ``source``: where the refusal can be read, a recording, a document or a thread.
- ``config`` (optional): settings of the control interface for this row alone.
- ``given`` (optional): what is there before, a list. An item is ``request``, ``body`` and the
  ``status`` that is expected, or ``control`` and ``body``, a request to the control interface
  (``POST vms`` makes a machine at once), or the name of one of the ``parts`` of any table.
- ``request``: method and path below the subscription, with its ``api-version``; ``body``.
- ``status``, ``code`` and ``message`` (its start) of the answer; without ``code`` it has no body.
  ``target`` and ``gateway`` (who refuses: Resource Manager or the provider) where they are known.
- ``later``: true where the request is accepted, and its operation fails with ``code``.

In paths, bodies and messages ``{subscription}`` stands for ``/subscriptions/<id>``, ``{group}``
for the path of the row's own resource group below it, ``{compute}`` and ``{network}`` for those
of the providers in it. ``bodies`` beside the rows is a place for YAML anchors.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from player import Player

FOLDER = Path(__file__).parent
REQUIRED = {"name", "condition", "source", "request", "status"}
OPTIONAL = {"config", "given", "body", "code", "message", "target", "gateway", "later"}
_LONG = 1e6
# What is looked at before and after, beside the group and the list of what is in it.
_SHOWN = {
    "microsoft.compute/disks": ("2023-04-02", ""),
    "microsoft.compute/snapshots": ("2023-04-02", ""),
    "microsoft.compute/virtualmachines": ("2024-11-01", "&$expand=userData"),
    "microsoft.compute/restorepointcollections": ("2024-11-01", "&$expand=restorePoints"),
}
_OTHERS = "2024-05-01"


def load(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """The rows of all tables, with the parts that they name."""
    tables = [yaml.safe_load(file.read_text()) for file in sorted(folder.glob("refusals*.yaml"))]
    parts = {name: step for table in tables for name, step in table.get("parts", {}).items()}
    rows = [row for table in tables for row in table["refusals"]]
    for row in rows:
        row["given"] = [
            parts[item] if isinstance(item, str) else item for item in row.get("given", ())
        ]
    return rows


class Asker(Player):
    """Sends the requests of rows, each row in a resource group of its own."""

    def _login(self) -> None:
        if not self._token:
            super()._login()

    def begin(self, name: str) -> None:
        """A new group, a new token, and the settings that were there at first."""
        self._token = ""
        self.group = f"resourceGroups/{name}"
        self._words = {
            "{subscription}": f"/subscriptions/{self.subscription}",
            "{group}": self.group,
            "{compute}": f"{self.group}/providers/Microsoft.Compute",
            "{network}": f"{self.group}/providers/Microsoft.Network",
            "{name}": name,
        }
        body = {"location": self.local.config.location}
        self.ask({"request": "PUT {group}?api-version=2021-04-01", "body": body, "status": 201})

    def fill(self, value: Any) -> Any:
        """The value with what its words stand for."""
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, str):
            for word, meaning in self._words.items():
                value = value.replace(word, meaning)
        return value

    def ask(self, item: Mapping[str, Any]) -> tuple[dict[str, str], Any]:
        """One request with the status that it names; headers and body of the answer.

        Raises:
            AssertionError: for another status.
        """
        method, path = self.fill(item["request"]).split(" ", maxsplit=1)
        full = f"/subscriptions/{self.subscription}/{path}"
        status, headers, body = self.send(method, full, self.fill(item.get("body")))
        assert status == item["status"], f"{method} {path}: {status} {body}"
        return headers, body

    def prepare(self, items: list[Mapping[str, Any]]) -> None:
        """What is there before."""
        for item in items:
            if "control" in item:
                method, path = item["control"].split(" ", maxsplit=1)
                self.local.control.call(method, path, self.fill(item["body"]))
            else:
                self.ask(item)

    def everything(self) -> dict[str, Any]:
        """What GETs show of the group and of all that is in it, by id."""
        found = {self.group: self._get(f"{self.group}?api-version=2021-04-01")}
        listed = self._get(f"{self.group}/resources?api-version=2021-04-01")
        for one in listed["value"]:
            version, more = _SHOWN.get(one["type"].lower(), (_OTHERS, ""))
            path = one["id"].split("/", 3)[3]
            found[one["id"].lower()] = self._get(f"{path}?api-version={version}{more}")
        return copy.deepcopy(found)

    def _get(self, path: str) -> Any:
        status, _headers, body = self.send("GET", f"/subscriptions/{self.subscription}/{path}")
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    def outcome(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """How the operation ended that an answer announced."""
        self.local.control.advance(_LONG)
        self._token = ""
        host_less = headers["azure-asyncoperation"].removeprefix(self.local.url)
        status, _headers, body = self.send("GET", host_less)
        assert status == 200, body
        return body


def check(asker: Asker, row: Mapping[str, Any]) -> None:
    """Send the request of one row, and hold the answer to the row.

    Raises:
        AssertionError: it is another answer, or something changed.
    """
    before = _configure(asker, row.get("config", {}))
    try:
        asker.begin(row["name"])
        asker.prepare(row.get("given", []))
        held = asker.everything()
        headers, body = asker.ask({**row, "status": row["status"]})
        if row.get("later"):
            ended = asker.outcome(headers)
            assert ended["status"] == "Failed", ended
            body = ended
            path = asker.fill(row["request"]).split(" ")[1].split("?")[0]
            target = f"/subscriptions/{asker.subscription}/{path}".lower()
        else:
            target = None
        _check_error(asker.fill(dict(row)), headers, body)
        _check_unchanged(held, asker.everything(), target)
    finally:
        asker.local.control.configure(**before)


def _configure(asker: Asker, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Set what a row wants; all settings as they were."""
    control = asker.local.control
    held = control.call("GET", "config")
    before = {name: values for name, values in held.items() if isinstance(values, dict)}
    if wanted:
        control.configure(**wanted)
    return before


def _check_error(row: Mapping[str, Any], headers: Mapping[str, str], body: Any) -> None:
    if "code" not in row:
        assert body is None, body
        return
    error = body["error"]
    assert error["code"] == row["code"], error
    assert error["message"].startswith(row["message"]), error
    if "target" in row:
        assert error.get("target") == row["target"], error
    if "gateway" in row:
        assert ("x-ms-failure-cause" in headers) == row["gateway"], headers


def _check_unchanged(held: dict[str, Any], now: dict[str, Any], target: str | None) -> None:
    """Nothing is other than before, but for what an operation failed to make, and what it has."""
    if target is not None:
        its = {name for name, body in now.items() if target in json.dumps(body).lower()}
        held, now = (
            {name: body for name, body in found.items() if name not in its} for found in (held, now)
        )
    changed = [name for name in {**held, **now} if held.get(name) != now.get(name)]
    assert not changed, f"changed: {changed}"
