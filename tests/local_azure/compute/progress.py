"""How far the copy of a resource to another region has come, by the clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..arm.resources import Resource
from ..state import State


def start_copy(state: State, resource: Resource, seconds: float) -> None:
    """Let the data of a resource arrive within ``seconds`` from now."""
    resource.hidden["copy"] = (state.clock.now(), seconds)


def percent(state: State, resource: Resource) -> float | None:
    """How much has arrived, None for what was not copied from another region."""
    copy: tuple[datetime, float] | None = resource.hidden.get("copy")
    if copy is None:
        return None
    started, seconds = copy
    passed = (state.clock.now() - started).total_seconds()
    return 100.0 if passed >= seconds else float(int(100 * passed / seconds))


def replication_status(done: float) -> dict[str, Any]:
    """A status of an instance view."""
    if done >= 100:
        return {
            "code": "ReplicationState/succeeded", "level": "Info", "displayStatus": "Succeeded",
        }  # fmt: skip
    return {"code": "ReplicationState/replicating", "level": "Info", "displayStatus": "Replicating"}
