# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a restore point and for its copying, and the verdict on it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._arm.client import ArmClient
from .._clock import Deadline, SystemClock
from .._errors import AzureError, NotFound, OperationTimeout
from . import restore_points as points
from . import status
from .ids import restore_point_id
from .restore_point_request import PointRequest

Raw = dict[str, Any]
Write = Callable[..., Any]


@dataclass
class Run:
    """What a run works with."""

    arm: ArmClient
    request: PointRequest
    write: Write
    clock: SystemClock


@dataclass
class Place:
    """A restore point's address, and the region of its collection where it is known."""

    group: str
    collection: str
    name: str
    subscription: str
    location: str | None = None

    @property
    def id(self) -> str:
        return restore_point_id(self.subscription, self.group, self.collection, self.name)

    @property
    def args(self) -> tuple[str, str, str]:
        return self.group, self.collection, self.name


@dataclass
class Outcome:
    """A point as results show it, and what was there before (None where it is new)."""

    point: Raw | None
    before: Raw | None = None
    warnings: list[str] = field(default_factory=list)


class PointFailed(AzureError):
    """A restore point that is not what was asked for; ``result`` holds it for the user."""

    def __init__(self, message: str, *, point: Raw, **details: Any) -> None:
        super().__init__(message, resource=point["id"], **details)
        self.result = {"restore_point": point}


def settle(
    run: Run, place: Place, raw: Raw, *, started: datetime | None,
    reasons: points.Reasons | None = None,
) -> Raw:  # fmt: skip
    """Wait for the point, and for the copying of its disks; then judge it.

    Args:
        started: when this run sent it, None for one that was there.

    Raises:
        PointFailed: it failed, by Azure's word or by the failure deadline, or it is not as
            consistent as required.
    """
    deadline = _deadline(run, raw, started)
    if run.request.wait:
        raw = _wait(run, place, raw, deadline, reasons)
    shaped = points.shape_point(raw, reasons=reasons, failure_deadline=deadline)
    shaped = _overdue(shaped, deadline, run.clock.now())
    if status.failure_of(shaped["conditions"]):
        raise _failed(place, shaped)
    missing = status.shortfall(shaped["consistency_mode"], run.request.require)
    if missing and points.state_of(raw) == "Succeeded":
        raise PointFailed(
            f"The restore point {place.name} in {place.collection} is less than what was asked for."
            f" {missing}",
            point=shaped,
            code="ConsistencyNotAchieved",
            hint="The restore point is kept. Check the VM's agent, its extensions and that it runs.",
        )
    return shaped


def _deadline(run: Run, raw: Raw, started: datetime | None) -> str | None:
    """When it has to be ready. A copy has the time of its source, which says nothing here."""
    created = None if _is_copy(raw) else raw["properties"].get("timeCreated")
    moment = created or status.iso_time(started or run.clock.now())
    return status.deadline_of(moment, run.request.failure_deadline)


def _wait(
    run: Run, place: Place, raw: Raw, deadline: str | None, reasons: points.Reasons | None
) -> Raw:
    seconds = None
    if deadline is not None:
        seconds = (status.parse_time(deadline) - run.clock.now()).total_seconds()
    arm = within_failure_deadline(run, seconds)

    def look() -> Raw:
        found = points.get_point(arm, *place.args, expand=True)
        if found is None:
            raise NotFound(
                f"The restore point {place.name} was deleted meanwhile.",
                resource=place.id,
                status=404,
            )
        return found

    try:
        if points.state_of(raw) == "Creating":
            raw = arm.wait_until(
                look, lambda found: points.state_of(found) != "Creating",
                operation="create restore point", resource=place.id,
            )  # fmt: skip
        if run.request.wait_for_copy and points.needs_progress(raw, place.location):
            what = "copy" if _is_copy(raw) else "hydrate"
            raw = arm.wait_until(
                look, is_complete, operation=f"{what} restore point", resource=place.id
            )
    except OperationTimeout as error:
        late(run, place, error, reasons)
        raise
    if points.needs_progress(raw, place.location) and "instanceView" not in raw["properties"]:
        raw = look()
    return raw


def is_complete(raw: Raw) -> bool:
    """Whether nothing is to be waited for any more, of a point that was read with its progress.

    A copy shows its progress always. A point of disks that Azure hydrates in the background (Premium
    SSD v2, Ultra) shows those disks while they are, and no progress when there is none to wait for.
    """
    if points.state_of(raw) != "Succeeded":
        return True
    progress = status.replication(raw["properties"].get("instanceView"))
    if progress is None:
        return not _is_copy(raw)
    return progress["state"] in ("succeeded", "failed")


def _is_copy(raw: Raw) -> bool:
    return bool(raw["properties"].get("sourceRestorePoint"))


def _overdue(shaped: Raw, deadline: str | None, now: datetime) -> Raw:
    found = status.overdue(shaped["conditions"], deadline, now)
    if found is shaped["conditions"]:
        return shaped
    return {**shaped, "conditions": found, "ready_to_use": False, "failure_deadline": deadline}


def _failed(place: Place, shaped: Raw) -> PointFailed:
    failure = status.failure_of(shaped["conditions"]) or {}
    return PointFailed(
        f"The restore point {place.name} in {place.collection} failed. {failure.get('message', '')}",
        point=shaped,
        code=failure.get("reason") or "RestorePointFailed",
        operation="create restore point",
        hint="It is kept as it is: delete it (state: absent) before its name is used again.",
    )


def late(run: Run, place: Place, error: OperationTimeout, reasons: points.Reasons | None) -> None:
    """What there is of a point that took too long; a failure when its own deadline has passed."""
    left = points.get_point(run.arm, *place.args, expand=True)
    if left is not None:
        shaped = points.shape_point(left, reasons=reasons)
        error.result = {"restore_point": shaped}  # type: ignore[attr-defined]
        if run.request.failure_deadline is not None and not run.arm.deadline.passed:
            deadline = status.iso_time(run.clock.now())
            raise _failed(place, _overdue(shaped, deadline, run.clock.now())) from error


def within_failure_deadline(run: Run, seconds: float | None) -> ArmClient:
    """The same client, which waits no longer than the failure deadline allows."""
    if seconds is None or seconds >= run.arm.deadline.remaining:
        return run.arm
    limited = copy.copy(run.arm)
    limited.deadline = Deadline(run.clock, max(0.0, seconds))
    return limited
