# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to a restore point that is there: found, adopted, made or copied.

Everything is looked at before anything is written, so that a check run says what a real one does.
"""

from __future__ import annotations

from typing import Any

from .._arm.waiting import Pauses
from .._errors import (
    AzureError,
    Conflict,
    ConnectionFailed,
    InputError,
    OperationFailed,
    OperationTimeout,
)
from . import restore_point_collections as collections
from . import restore_points as points
from .disks import disks_of
from .ids import ResourceId, check_name
from .passing import passing
from .restore_point_request import (
    choose_disks,
    default_collection,
    generated_name,
    predicted_vm_point,
    recent_enough,
    vm_body,
)
from .restore_point_waiting import (
    Outcome,
    Place,
    PointFailed,
    Run,
    late,
    settle,
    within_failure_deadline,
)
from .virtual_machines import get_vm

Raw = dict[str, Any]


def ensure_vm_point(run: Run) -> Outcome:
    """A point of a virtual machine: the named one, one that is recent enough, or a new one."""
    request = run.request
    name, raw_collection, vm_id = _collection_of_vm(run)
    place = Place(request.group, name, request.name or "", run.arm.subscription_id)
    place.location = raw_collection and raw_collection["location"]
    if request.name:
        check_name(request.name, "restore point")
        if raw_collection and (held := points.get_point(run.arm, *place.args, expand=True)):
            return keep(run, place, held)
    parsed = ResourceId.parse(vm_id)
    vm = get_vm(run.arm, parsed.group, parsed.name, instance_view=True)
    disks = disks_of(run.arm, [vm])
    choice = choose_disks(vm, disks, request)
    raw_points = (
        points.collection_points(run.arm, raw_collection)
        if _needs_points(run, raw_collection)
        else []
    )
    shaped = [points.shape_point(raw) for raw in raw_points]
    if found := recent_enough(shaped, request, choice, run.clock.now()):
        held = next(raw for raw in raw_points if raw["name"] == found["name"])
        return keep(
            run, Place(place.group, name, found["name"], place.subscription, place.location), held
        )
    place.name = request.name or generated_name(
        parsed.name, run.clock.now(), [point["name"] for point in shaped]
    )
    if raw_collection is None:
        wanted = collections.WantedCollection(
            request.group, name, request.location, source_vm=vm_id, tags=request.tags
        )
        place.location = collections.create(run.arm, wanted, run.write)["location"]
    body = vm_body(request, choice)
    predicted = predicted_vm_point(place.id, vm, disks, body, run.clock.now())
    outcome = make(run, place, body, predicted, choice.reasons)
    outcome.warnings = _warnings(choice.reasons)
    return outcome


def _needs_points(run: Run, raw_collection: Raw | None) -> bool:
    """Whether the points of the collection matter: for a new name, or for their age."""
    return raw_collection is not None and (
        run.request.name is None or run.request.max_age is not None
    )


def _warnings(reasons: dict[str, dict[str, str]]) -> list[str]:
    skipped = [why["message"] for why in reasons.values() if why != points.EXCLUDED]
    return [f"Left out of the restore point: {message}" for message in skipped]


def _collection_of_vm(run: Run) -> tuple[str, Raw | None, str]:
    """Name and body (None: to be made) of the collection, and the id of its virtual machine."""
    request = run.request
    name = request.collection or default_collection(ResourceId.parse(request.vm or "").name)
    check_name(name, "restore point collection")
    expand = request.name is None or request.max_age is not None
    raw = collections.get_collection(run.arm, request.group, name, expand=expand)
    if raw is None:
        if not (request.create_collection and request.vm):
            raise collections.missing_collection(
                request.group, name, "vm and create_collection: true"
            )
        return name, None, request.vm
    if not collections.source_is_vm(raw):
        raise InputError(
            f"The restore point collection {name} holds copies of the points in"
            f" {collections.source_id(raw)}: say which one to copy with source_restore_point.",
            resource=raw["id"],
        )
    wanted = collections.WantedCollection(
        request.group, name, request.location, source_vm=request.vm
    )
    collections.refuse_differences(raw, wanted)
    return name, raw, collections.source_id(raw)


def keep(run: Run, place: Place, held: Raw) -> Outcome:
    """A point that is there already; one that is being made is waited for."""
    state = points.state_of(held)
    if state in ("Failed", "Deleting"):
        what = "its creation failed" if state == "Failed" else "it is being deleted"
        raise PointFailed(
            f"The restore point {place.name} exists in {place.collection}, but {what}.",
            point=points.shape_point(held),
            code=f"RestorePoint{state}",
            hint="Delete it (state: absent), or use another name.",
        )
    before = points.shape_point(held)
    return Outcome(settle(run, place, held, started=None), before=before)


def make(
    run: Run, place: Place, body: Raw, predicted: Raw, reasons: points.Reasons | None = None
) -> Outcome:
    """Make a new point, or copy one, and wait for what the request waits for."""
    started = run.clock.now()
    raw = run.write(lambda: _create(run, place, body, reasons), predicted)
    return Outcome(settle(run, place, raw, started=started, reasons=reasons))


def _create(run: Run, place: Place, body: Raw, reasons: points.Reasons | None) -> Raw:
    """Send it, again where the refusal passes, until it is made or the deadline has passed."""
    arm, pauses = within_failure_deadline(run, run.request.failure_deadline), Pauses()
    while True:
        try:
            return arm.run(
                "restore_points.begin_create", place.id, *place.args,
                body=body, wait=run.request.wait,
            )  # fmt: skip
        except (Conflict, OperationFailed) as error:
            if arm.deadline.passed or not passing(error):
                _tell_leftover(run, place, error)
                raise
            _remove_failed(run, place)
        except ConnectionFailed:
            # The answer was lost, which says nothing about the request.
            if (found := points.get_point(run.arm, *place.args)) is None:
                raise
            return found
        except OperationTimeout as error:
            late(run, place, error, reasons)
            raise
        arm.deadline.pause(pauses.next())


def _remove_failed(run: Run, place: Place) -> None:
    """A failed creation leaves a point that would stand in the way of the next attempt."""
    left = points.get_point(run.arm, *place.args)
    if left and points.state_of(left) == "Failed":
        points.delete_point(run.arm, *place.args)


def _tell_leftover(run: Run, place: Place, error: AzureError) -> None:
    left = points.get_point(run.arm, *place.args) if isinstance(error, OperationFailed) else None
    if left is not None:
        error.result = {"restore_point": points.shape_point(left)}  # type: ignore[attr-defined]
        error.hint = error.hint or f"The failed restore point {place.name} is kept: delete it."


def ensure_absent(run: Run) -> Outcome:
    """No point of this name. One that is being made is waited for: Azure deletes none such."""
    request = run.request
    name = request.collection or default_collection(ResourceId.parse(request.vm or "").name)
    place = Place(request.group, name, request.name or "", run.arm.subscription_id)
    held = points.get_point(run.arm, *place.args)
    if held is None:
        return Outcome(None)

    def remove() -> None:
        if request.wait and points.state_of(held) == "Creating":
            _wait_gone_or(run, place, "Creating")
        if points.state_of(held) != "Deleting":
            points.delete_point(run.arm, *place.args, wait=request.wait)
        elif request.wait:
            _wait_gone_or(run, place, "Deleting")

    if points.state_of(held) == "Deleting":
        if request.wait:
            remove()
        return Outcome(None)
    run.write(remove)
    return Outcome(None, before=points.shape_point(held))


def _wait_gone_or(run: Run, place: Place, state: str) -> None:
    run.arm.wait_until(
        lambda: points.get_point(run.arm, *place.args),
        lambda found: found is None or points.state_of(found) != state,
        operation="delete restore point",
        resource=place.id,
    )
