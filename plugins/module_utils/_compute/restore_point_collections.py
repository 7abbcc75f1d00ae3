# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore point collections: the calls, the body that is wanted, the shape of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._arm.client import ArmClient
from .._errors import Conflict, InputError, NotFound
from .ids import COLLECTION_TYPE, ResourceId, check_name, resource_id, same_id, same_location
from .restore_points import collection_points, newest_first, shape_point
from .virtual_machines import VM_TYPE, get_vm, no_group

_NAMED_IN_ERRORS = 5
NO_GROUP = "ResourceGroupNotFound"
Write = Callable[..., Any]


@dataclass
class WantedCollection:
    """What a user asks of a collection; None is "as it is". The sources are ids."""

    group: str
    name: str
    location: str | None = None
    source_vm: str | None = None
    source_collection: str | None = None
    tags: dict[str, str] | None = None
    append_tags: bool = True

    @property
    def source(self) -> str | None:
        return self.source_vm or self.source_collection


def get_collection(
    arm: ArmClient, group: str, name: str, *, expand: bool = False
) -> dict[str, Any] | None:
    """The service's own answer, None where there is no such collection in the resource group.

    Args:
        expand: with the restore points in it, which Azure calls expensive.

    Raises:
        NotFound: the resource group does not exist.
    """
    described = resource_id(arm.subscription_id, group, COLLECTION_TYPE, name)
    options = {"expand": "restorePoints"} if expand else {}
    try:
        return arm.read("restore_point_collections.get", described, group, name, **options)
    except NotFound as error:
        if error.code == NO_GROUP:
            raise no_group(arm, group, error) from error
        return None


def list_collections(arm: ArmClient, group: str | None = None) -> list[dict[str, Any]]:
    """The collections of a resource group, or of the subscription. They never show their points.

    Raises:
        NotFound: the resource group does not exist.
    """
    if group is None:
        return arm.list("restore_point_collections.list_all", f"subscription {arm.subscription_id}")
    try:
        return arm.list("restore_point_collections.list", f"resource group {group}", group)
    except NotFound as error:
        raise no_group(arm, group, error) from error


def need_collection(
    arm: ArmClient, group: str, name: str, *, expand: bool = False, remedy: str | None = None
) -> dict[str, Any]:
    """Like get_collection.

    Raises:
        NotFound: with a sentence, when there is no such collection.
    """
    found = get_collection(arm, group, name, expand=expand)
    if found is None:
        raise missing_collection(group, name, remedy)
    return found


def missing_collection(group: str, name: str, remedy: str | None = None) -> NotFound:
    """The error of a collection that is needed."""
    instead = f", or give {remedy}" if remedy else ""
    return NotFound(
        f"There is no restore point collection {name} in resource group {group}.",
        code="CollectionNotFound",
        status=404,
        hint=f"Make it with vmguard.azure.restore_point_collection{instead}.",
    )


def collections_of_vm(
    arm: ArmClient, vm_id: str, *, include_copies: bool = False
) -> list[dict[str, Any]]:
    """All collections of the subscription whose source is this virtual machine.

    Args:
        include_copies: with those whose source is one of these.
    """
    listed = list_collections(arm)
    found = [raw for raw in listed if same_id(source_id(raw), vm_id)]
    if include_copies:
        homes = {raw["id"].lower() for raw in found}
        found += [raw for raw in listed if source_id(raw).lower() in homes]
    return found


def points_of_vm(
    arm: ArmClient, vm_id: str, *, include_copies: bool = False
) -> list[dict[str, Any]]:
    """The points in all collections of a virtual machine, as the service answers them."""
    homes = collections_of_vm(arm, vm_id, include_copies=include_copies)
    return [point for raw in homes for point in collection_points(arm, raw)]


def source_id(raw: dict[str, Any]) -> str:
    """The id of a collection's source: a virtual machine or another collection."""
    return raw["properties"]["source"]["id"]


def source_is_vm(raw: dict[str, Any]) -> bool:
    return ResourceId.parse(source_id(raw)).type.lower() == VM_TYPE.lower()


def shape_collection(raw: dict[str, Any]) -> dict[str, Any]:
    """A collection as results show it. ``restore_points`` is None where it was not asked for."""
    parsed = ResourceId.parse(raw["id"])
    properties = raw["properties"]
    source = properties["source"]
    of_vm = source_is_vm(raw)
    points = properties.get("restorePoints")
    return {
        "id": raw["id"],
        "name": raw["name"],
        "resource_group": parsed.group,
        "location": raw["location"],
        "tags": raw.get("tags") or {},
        "source_vm": source["id"] if of_vm else None,
        "source_collection": None if of_vm else source["id"],
        "source_location": (source.get("location") or "").replace(" ", "").lower() or None,
        "collection_id": properties.get("restorePointCollectionId"),
        "provisioning_state": properties.get("provisioningState"),
        "restore_points": None if points is None else [shape_point(point) for point in points],
    }


def full_shape(arm: ArmClient, raw: dict[str, Any]) -> dict[str, Any]:
    """Like shape_collection, with its restore points, the newest first."""
    points = newest_first(shape_point(point) for point in collection_points(arm, raw))
    return {**shape_collection(raw), "restore_points": points}


def vm_id_of(arm: ArmClient, group: str, vm: str) -> str:
    """The id of a virtual machine that is given by its id, or by its name in the resource group.

    Raises:
        InputError: it is the id of something else.
    """
    if "/" not in vm:
        return resource_id(arm.subscription_id, group, VM_TYPE, vm)
    return _id_of(vm, VM_TYPE, "a virtual machine")


def collection_id_of(text: str) -> str:
    """The id itself, when it is that of a restore point collection.

    Raises:
        InputError: it is something else.
    """
    return _id_of(text, COLLECTION_TYPE, "a restore point collection")


def _id_of(text: str, kind: str, what: str) -> str:
    parsed = ResourceId.parse(text)
    if parsed.type.lower() != kind.lower() or parsed.child_names:
        raise InputError(f"{text!r} is not the id of {what}.")
    return text.strip().rstrip("/")


def present(arm: ArmClient, wanted: WantedCollection, write: Write) -> tuple[Any, dict[str, Any]]:
    """Make the collection what is wanted.

    Args:
        write: the gate: called with what changes something, and what to return in check mode.

    Returns:
        The service's answer before (None where there was none) and after.
    """
    check_name(wanted.name, "restore point collection")
    existing = get_collection(arm, wanted.group, wanted.name)
    if existing is None:
        return None, create(arm, wanted, write)
    refuse_differences(existing, wanted)
    body = desired_body(wanted, existing)
    if body["tags"] == (existing.get("tags") or {}):
        return existing, existing
    changes = {"tags": body["tags"], "properties": body["properties"]}
    after = write(lambda: _call(arm, "update", wanted, changes), {**existing, "tags": body["tags"]})
    return existing, after


def create(arm: ArmClient, wanted: WantedCollection, write: Write) -> dict[str, Any]:
    """Make a collection that is not there, after checking what Azure would refuse."""
    check_name(wanted.name, "restore point collection")
    if not wanted.source:
        raise InputError(
            f"There is no restore point collection {wanted.name} in resource group {wanted.group}:"
            " to create it, say of what: source_vm or source_collection."
        )
    source = _vm_source(arm, wanted) if wanted.source_vm else _collection_source(arm, wanted)
    body = desired_body(wanted, {"location": source["location"]})
    predicted = {
        **body,
        "id": resource_id(arm.subscription_id, wanted.group, COLLECTION_TYPE, wanted.name),
        "name": wanted.name,
        "properties": {
            "source": {"id": wanted.source, "location": source["location"]},
            "provisioningState": "Succeeded",
        },
    }
    return write(lambda: _call(arm, "create_or_update", wanted, body), predicted)


def desired_body(wanted: WantedCollection, existing: dict[str, Any]) -> dict[str, Any]:
    """The one body of creation and update; what is not asked for stays as it is."""
    held = existing.get("tags") or {}
    tags = dict(held) if wanted.tags is None else dict(wanted.tags)
    if wanted.tags is not None and wanted.append_tags:
        tags = {**held, **tags}
    source = existing.get("properties", {}).get("source", {}).get("id")
    location = (wanted.location or existing["location"]).replace(" ", "").lower()
    return {
        "location": location,
        "tags": tags,
        "properties": {"source": {"id": source or wanted.source}},
    }


def absent(
    arm: ArmClient, group: str, name: str, write: Write, *, force: bool = False, wait: bool = True
) -> dict[str, Any] | None:
    """Delete the collection; what it was, None where there was none.

    Raises:
        Conflict: it still holds restore points, and ``force`` was not given.
    """
    try:
        existing = get_collection(arm, group, name, expand=True)
    except NotFound:
        return None
    if existing is None:
        return None
    names = [point["name"] for point in existing["properties"].get("restorePoints") or []]
    if names and not force:
        shown = ", ".join(names[:_NAMED_IN_ERRORS])
        more = f" and {len(names) - _NAMED_IN_ERRORS} more" if len(names) > _NAMED_IN_ERRORS else ""
        raise Conflict(
            f"The restore point collection {name} still holds {len(names)} restore point"
            f"{'s' if len(names) > 1 else ''}: {shown}{more}.",
            code="CollectionNotEmpty",
            operation="delete restore point collection",
            resource=existing["id"],
            hint="Delete them first, or say force: true to delete them with the collection.",
        )
    write(
        lambda: arm.run(
            "restore_point_collections.begin_delete", existing["id"], group, name, wait=wait
        )
    )
    return existing


def _call(arm: ArmClient, verb: str, wanted: WantedCollection, body: dict[str, Any]) -> Any:
    described = resource_id(arm.subscription_id, wanted.group, COLLECTION_TYPE, wanted.name)
    operation = f"restore_point_collections.{verb}"
    return arm.put(operation, described, wanted.group, wanted.name, body=body)


def _vm_source(arm: ArmClient, wanted: WantedCollection) -> dict[str, Any]:
    parsed = ResourceId.parse(wanted.source_vm or "")
    return get_vm(arm, parsed.group, parsed.name)


def _collection_source(arm: ArmClient, wanted: WantedCollection) -> dict[str, Any]:
    """The source collection, when copies of its points may come into the wanted one."""
    asked = ResourceId.parse(wanted.source_collection or "")
    found = get_collection(arm, asked.group, asked.name)
    if found is None:
        raise NotFound(
            f"The source collection {asked.name} does not exist in resource group {asked.group}.",
            code="SourceCollectionNotFound",
            status=404,
            resource=wanted.source_collection,
        )
    if not source_is_vm(found):
        raise InputError(
            f"The source collection {asked.name} holds copies itself, and Azure does not copy a copy:"
            f" name the collection that it comes from, {source_id(found)}."
        )
    if wanted.location is None:
        raise InputError(
            "With source_collection, location is needed: the region that the copies go to."
        )
    if same_location(wanted.location, found["location"]):
        raise InputError(
            f"A collection of copies must be in another region than its source: {asked.name} is in"
            f" {found['location']}, too."
        )
    return found


def refuse_differences(existing: dict[str, Any], wanted: WantedCollection) -> None:
    """Everything but tags is fixed when a collection is made."""
    held = source_id(existing)
    differing = []
    if wanted.location and not same_location(wanted.location, existing["location"]):
        differing.append(f"location (wanted {wanted.location}, has {existing['location']})")
    for option in ("source_vm", "source_collection"):
        asked = getattr(wanted, option)
        if asked and not same_id(asked, held):
            differing.append(f"{option} (wanted {asked}, has {held})")
    if differing:
        raise Conflict(
            f"The restore point collection {wanted.name} exists and differs in what cannot be changed:"
            f" {'; '.join(differing)}.",
            code="PropertyChangeNotAllowed",
            resource=existing["id"],
            hint="Use another name, or delete the collection and create it again.",
        )
