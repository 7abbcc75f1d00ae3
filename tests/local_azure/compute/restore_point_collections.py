"""Microsoft.Compute/restorePointCollections."""

from __future__ import annotations

import copy
from typing import Any

from ..arm.operations import COMPUTE_OPERATIONS
from ..arm.resources import Resource, need_group, new_guid, same_id
from ..arm.router import Call, Router
from ..errors import conflict, invalid_parameter, missing_parameter
from ..http_types import Response, json_response
from ..state import State
from .disk_restore_points import check_no_access, remove_restore_point
from .restore_point_model import (
    COLLECTION_TYPE,
    RESTORE_POINT_TYPE,
    check_api_version,
    shown_point,
)
from .tracked import (
    add_routes,
    change_refused,
    check_location,
    empty_answer,
    listing,
    member,
    new_location,
    normal_location,
    properties_of,
    rate,
    tracked_id,
)

PUT_RATE = rate(
    "PutRestorePointCollectionResource;14", "PutRestorePointCollectionSubscriptionMaximum;149"
)
PATCH_RATE = rate(
    "UpdateRestorePointCollectionResource;14",
    "UpdateRestorePointCollectionSubscriptionMaximum;149",
)
POINT_GET_RATE = rate("LowCostGetRestorePointSubscriptionMaximum;599")
POINT_DELETE_RATE = rate("DeleteRestorePointSubscriptionMaximum;359")
_VM_TYPE = "Microsoft.Compute/virtualMachines"


class RestorePointCollections:
    """Creates, changes, shows and deletes collections of restore points."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self, router: Router) -> None:
        add_routes(
            router, "restorePointCollections", self._list,
            PUT=self._put, GET=self._get, PATCH=self._patch, DELETE=self._delete,
        )  # fmt: skip

    def _find(self, call: Call) -> Resource:
        return self._state.resources.need(tracked_id(call, "restorePointCollections"))

    # -- reading

    def _get(self, call: Call) -> Response:
        collection = self._find(call)
        body = collection.answer()
        if call.request.query.get("$expand", "").lower() == "restorepoints":
            properties = body["properties"]
            done = properties.pop("provisioningState")
            properties["restorePoints"] = [
                shown_point(point, call.api_version)
                for point in self._state.resources.below(collection.id)
                if point.type == RESTORE_POINT_TYPE
            ]
            properties["provisioningState"] = done
            if "instantAccess" in properties:
                properties["instantAccess"] = properties.pop("instantAccess")
        return json_response(200, body, POINT_GET_RATE)

    def _list(self, call: Call) -> Response:
        group = call.params.get("group")
        if group is not None:
            need_group(self._state.resources, call["subscription"], group)
        found = self._state.resources.of_type(
            COLLECTION_TYPE, subscription=call["subscription"], group=group
        )
        bodies = [collection.answer() for collection in found]
        return json_response(200, listing(bodies, upper_group=group is None), POINT_GET_RATE)

    # -- writing

    def _put(self, call: Call) -> Response:
        check_api_version(call)
        body = call.body()
        held = self._state.resources.get(tracked_id(call, "restorePointCollections"))
        if held is None:
            return self._create(call, body)
        check_location(held, body)
        _source_of(body)
        _change(held, body)
        return json_response(200, held.answer(), PUT_RATE)

    def _create(self, call: Call, body: dict[str, Any]) -> Response:
        location = new_location(self._state, call, body)
        source = self._state.resources.need(_source_of(body))
        if source.type == COLLECTION_TYPE:
            if normal_location(source.location) == location:
                raise invalid_parameter(
                    "A restore point collection whose source is a restore point collection must"
                    " be in another location than its source."
                )
        elif source.type != _VM_TYPE:
            raise invalid_parameter(
                "The source of a restore point collection is a virtual machine or a restore point"
                " collection."
            )
        identity = tracked_id(call, "restorePointCollections")
        shown: dict[str, Any] = {
            "name": call["name"], "id": identity, "type": COLLECTION_TYPE, "location": location,
        }  # fmt: skip
        if body.get("tags") is not None:
            shown["tags"] = copy.deepcopy(body["tags"])
        shown["properties"] = {
            "source": {"location": source.location, "id": _source_of(body)},
            "restorePointCollectionId": new_guid(),
            "provisioningState": "Succeeded",
        }
        if properties_of(body).get("instantAccess") is not None:
            shown["properties"]["instantAccess"] = properties_of(body)["instantAccess"]
        made = self._state.resources.put(Resource(identity, COLLECTION_TYPE, shown))
        return json_response(201, made.answer(), PUT_RATE)

    def _patch(self, call: Call) -> Response:
        collection = self._find(call)
        _change(collection, call.body())
        return json_response(200, collection.answer(), PATCH_RATE)

    def _delete(self, call: Call) -> Response:
        collection = self._state.resources.get(tracked_id(call, "restorePointCollections"))
        if collection is None:
            return Response(204)
        check_no_access(self._state, collection)
        below = self._state.resources.below(collection.id)
        points = [point for point in below if point.type == RESTORE_POINT_TYPE]
        if any(point.properties["provisioningState"] == "Creating" for point in points):
            raise conflict(
                "OperationNotAllowed",
                f"Restore point collection {collection.name} cannot be deleted while a restore"
                " point is being created in it.",
            )
        collection.properties["provisioningState"] = "Deleting"
        durations = self._state.config.durations
        operation = self._state.operations.start(
            kind=COMPUTE_OPERATIONS,
            subscription=call["subscription"],
            location=collection.location,
            seconds=durations.restore_point_delete if points else durations.delete,
            finish=lambda: self._remove(collection),
            abort=lambda: _failed(collection),
        )
        return empty_answer(self._state, call, operation, POINT_DELETE_RATE, notification=True)

    def _remove(self, collection: Resource) -> None:
        check_no_access(self._state, collection)
        for item in self._state.resources.below(collection.id):
            if item.type == RESTORE_POINT_TYPE:
                remove_restore_point(self._state, item)
        self._state.resources.remove(collection.id)


def _failed(collection: Resource) -> None:
    collection.properties["provisioningState"] = "Succeeded"


def _source_of(body: dict[str, Any]) -> str:
    found = member(properties_of(body), "source").get("id")
    if not isinstance(found, str) or not found:
        raise missing_parameter("restorePointCollection.properties.source")
    return found


def _change(collection: Resource, body: dict[str, Any]) -> None:
    """Replace what may change: tags and instantAccess."""
    properties = properties_of(body)
    source = member(properties, "source").get("id")
    if source is not None and not same_id(source, collection.properties["source"]["id"]):
        raise change_refused("source.id")
    if properties.get("instantAccess") is not None:
        collection.properties["instantAccess"] = properties["instantAccess"]
    if body.get("tags") is not None:
        rest = {key: collection.body[key] for key in ("name", "id", "type", "location")}
        collection.body = {
            **rest, "tags": copy.deepcopy(body["tags"]), "properties": collection.properties,
        }  # fmt: skip
