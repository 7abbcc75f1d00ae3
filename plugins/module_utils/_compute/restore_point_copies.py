# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of restore points in other regions."""

from __future__ import annotations

from typing import Any

from .._errors import Conflict, InputError, NotFound
from . import restore_point_collections as collections
from . import restore_points as points
from .ids import COLLECTION_TYPE, ResourceId, check_name, resource_id, same_id
from .restore_point_creation import keep, make
from .restore_point_request import copy_body, predicted_copy
from .restore_point_waiting import Outcome, Place, Run

Raw = dict[str, Any]


def ensure_copy(run: Run) -> Outcome:
    """A copy of the source point in the target collection: the one that is there, or a new one.

    A copy that is there stays, whether or not its source still exists.
    """
    request = run.request
    if not request.collection:
        raise InputError("With source_restore_point, collection is needed: where the copy goes to.")
    source = points.parse_point_id(request.source or "")
    name = check_name(request.name or source.child_names[0], "restore point")
    target = collections.get_collection(run.arm, request.group, request.collection, expand=True)
    place = Place(request.group, request.collection, name, run.arm.subscription_id)
    home = resource_id(source.subscription, source.group, COLLECTION_TYPE, source.name)
    if target is not None:
        place.location = target["location"]
        _check_target(target, home, source)
        if held := _held(run, target, place):
            return keep(run, place, held)
    raw_source = _source(run, source)
    if target is None:
        place.location = _create_target(run, home)
    predicted = predicted_copy(place.id, raw_source)
    return make(run, place, copy_body(request.source or ""), predicted)


def _check_target(target: Raw, home: str, source: ResourceId) -> None:
    """The target collection takes copies from the source's collection and no other."""
    held = collections.source_id(target)
    if same_id(held, home):
        return
    if same_id(target["id"], home):
        what = "is the source's own collection"
    elif collections.source_is_vm(target):
        what = f"holds the points of a virtual machine ({held})"
    else:
        what = f"takes copies from {held}"
    raise InputError(
        f"The restore point {source.child_names[0]} of {source.name} cannot be copied into"
        f" {target['name']} ({target['location']}), which {what}.",
        code="WrongTargetCollection",
        resource=target["id"],
        hint=f"Copies go into a collection in another region with source_collection: {home}.",
    )


def _held(run: Run, target: Raw, place: Place) -> Raw | None:
    """The copy of this source that the target holds, under whatever name; ``place`` follows it."""
    wanted = run.request.source
    held = target["properties"].get("restorePoints") or []
    for raw in held:
        copied = (raw["properties"].get("sourceRestorePoint") or {}).get("id")
        named = raw["name"].lower() == place.name.lower()
        if named and not same_id(copied, wanted):
            raise Conflict(
                f"The restore point {place.name} in {place.collection} exists and is a copy of"
                f" {copied}, not of {wanted}.",
                code="PropertyChangeNotAllowed",
                resource=raw["id"],
                hint="Use another name.",
            )
        if same_id(copied, wanted) and (named or points.state_of(raw) != "Failed"):
            if not named and run.request.name:
                raise Conflict(
                    f"The restore point {wanted} was copied into {place.collection} already, as"
                    f" {raw['name']}: Azure copies a point once to a region.",
                    code="AlreadyCopied",
                    resource=raw["id"],
                )
            place.name = raw["name"]
            return points.get_point(run.arm, *place.args, expand=True)
    return None


def _source(run: Run, source: ResourceId) -> Raw:
    """The point to copy.

    Raises:
        NotFound: there is none.
        InputError: it is a copy itself.
        Conflict: it is not ready.
    """
    name = source.child_names[0]
    if source.subscription.lower() != run.arm.subscription_id.lower():
        raise InputError(
            f"The restore point {run.request.source} is in another subscription than the task"
            f" ({run.arm.subscription_id})."
        )
    raw = points.get_point(run.arm, source.group, source.name, name, expand=True)
    if raw is None:
        raise NotFound(
            f"There is no restore point {name} in the collection {source.name} of resource group"
            f" {source.group}.",
            code="SourceNotFound",
            status=404,
            resource=run.request.source,
        )
    if origin := (raw["properties"].get("sourceRestorePoint") or {}).get("id"):
        raise InputError(
            f"The restore point {name} is a copy itself, and Azure does not copy a copy: copy"
            f" {origin} instead.",
            code="CopyOfCopy",
            resource=raw["id"],
        )
    shaped = points.shape_point(raw)
    if not shaped["ready_to_use"]:
        why = next(item for item in shaped["conditions"] if item["status"] == "True")
        raise Conflict(
            f"The restore point {name} is not ready to be copied: {why['message']}",
            code="SourceNotReady",
            resource=raw["id"],
            hint="Run again when it is.",
        )
    return raw


def _create_target(run: Run, home: str) -> str:
    """Make the target collection; its region."""
    request = run.request
    collection = request.collection or ""
    if not (request.create_collection and request.location):
        remedy = "create_collection: true and the location that the copy goes to"
        raise collections.missing_collection(request.group, collection, remedy)
    wanted = collections.WantedCollection(
        request.group, collection, request.location, source_collection=home
    )
    return collections.create(run.arm, wanted, run.write)["location"]
