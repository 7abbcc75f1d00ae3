"""How far the data of a resource has come, by the clock.

It comes from another region, or in the background from a Premium SSD v2 or Ultra disk, which is
called hydration.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..arm.resources import Resource
from ..state import State


def start_copy(state: State, resource: Resource, seconds: float) -> None:
    """Let the data of a resource arrive within ``seconds`` from now."""
    resource.hidden["copy"] = (state.clock.now(), seconds)


def start_hydration(state: State, resource: Resource, seconds: float, *, instant: bool) -> None:
    """Let the data of a resource be copied from its disk, in its own region.

    Args:
        instant: it can be used meanwhile.
    """
    start_copy(state, resource, seconds)
    resource.hidden["hydrates"] = "instant" if instant else "waits"


def hydrates(resource: Resource) -> bool:
    """Whether the data comes from a disk of the same region."""
    return "hydrates" in resource.hidden


def access_state(state: State, resource: Resource) -> str:
    """The documented ``snapshotAccessState`` of what hydrates or did."""
    done = percent(state, resource)
    arrived = done is None or done >= 100
    if resource.hidden.get("hydrates") == "instant":
        return "AvailableWithInstantAccess" if arrived else "InstantAccess"
    return "Available" if arrived else "Pending"


def is_usable(state: State, resource: Resource) -> bool:
    """Whether what is there is complete, or can be used while it is not."""
    done = percent(state, resource)
    return done is None or done >= 100 or resource.hidden.get("hydrates") == "instant"


def percent(state: State, resource: Resource) -> float | None:
    """How much has arrived, None for what is no copy and does not hydrate."""
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
