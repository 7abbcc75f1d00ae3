"""Turns recorded exchanges into steps for a fresh local Azure, with ids of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from player import DISK_RESTORE_POINT, Step
from recordings import Exchange

_SUBSCRIPTION = re.compile(r"/subscriptions/[^/\"?]+", re.IGNORECASE)
_DISK_POINT = re.compile(r"/subscriptions/[^\"?]+/diskRestorePoints/[^/\"?]+")
_KINDS = {
    "resourceGroups": "group",
    "virtualMachines": "vm",
    "disks": "disk",
    "snapshots": "snapshot",
    "restorePointCollections": "collection",
    "restorePoints": "point",
    "networkInterfaces": "nic",
    "userAssignedIdentities": "identity",
    "extensions": "extension",
}
_NAMED = re.compile(rf"/({'|'.join(_KINDS)})/([^/\"?]+)", re.IGNORECASE)
_STEMS = {kind.lower(): stem for kind, stem in _KINDS.items()}


class Names:
    """Gives every recorded resource a name of the project's: ``vm-1``, ``disk-1``, ``disk-2``."""

    def __init__(self, subscription: str) -> None:
        self._subscription = subscription
        self._names: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def adapt(self, text: str) -> str:
        """A path or a JSON body with local Azure's ids."""
        text = _DISK_POINT.sub(DISK_RESTORE_POINT, text)
        text = _SUBSCRIPTION.sub(f"/subscriptions/{self._subscription}", text)
        return _NAMED.sub(lambda found: f"/{found[1]}/{self._name(found[1], found[2])}", text)

    def in_subscription(self, body: Any) -> Any:
        """A JSON body with local Azure's subscription, and all else as it is."""
        text = _SUBSCRIPTION.sub(f"/subscriptions/{self._subscription}", json.dumps(body))
        return json.loads(text)

    def adapt_body(self, body: Any) -> Any:
        """A JSON body with local Azure's ids, and with its names of the disks that they name."""
        return self._rename(json.loads(self.adapt(json.dumps(body))))

    def _rename(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._rename(item) for item in value]
        if not isinstance(value, dict):
            return value
        renamed = {name: self._rename(item) for name, item in value.items()}
        key = ("disks", str(value.get("name")).lower())
        return {**renamed, "name": self._names[key]} if key in self._names else renamed

    def _name(self, kind: str, recorded: str) -> str:
        kind = kind.lower()
        key = (kind, recorded.lower())
        if key not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[key] = f"{_STEMS[kind]}-{self._counts[kind]}"
        return self._names[key]


def steps(
    exchanges: Iterable[Exchange],
    subscription: str,
    hooked: Iterable[int] = (),
    bodies: Mapping[int, Any] | None = None,
) -> list[Step]:
    """The steps that ask local Azure the same.

    ``bodies`` are those of requests whose own were not recorded, with the project's names.

    Raises:
        ValueError: for a poll of an operation that nothing before it starts.
    """
    names, bodies = Names(subscription), bodies or {}
    exchanges = list(exchanges)
    for exchange in exchanges:  # a disk has its name before its id is first seen
        names.adapt(f"{exchange.path}?{json.dumps(exchange.body)}")
    open_operation = None
    found = []
    for number, exchange in enumerate(exchanges):
        asked = exchange.operation_id
        if asked or exchange.is_final_result:
            if asked not in (open_operation, None) and number not in hooked:
                raise ValueError(f"Step {number} polls an operation that was not started.")
            open_operation = asked
            found.append(Step(number, exchange.shape, "monitor" if exchange.monitors else "poll"))
            continue
        open_operation = exchange.started_id
        path = names.adapt(exchange.path) + f"?{exchange.query}"
        body = None
        if number in bodies:
            body = names.in_subscription(bodies[number])
        elif exchange.body is not None:
            body = names.adapt_body(exchange.body)
        found.append(Step(number, exchange.shape, "request", exchange.method, path, body))
    return found
