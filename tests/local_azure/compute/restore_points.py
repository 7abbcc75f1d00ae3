"""Microsoft.Compute/restorePointCollections/restorePoints."""

from __future__ import annotations

from typing import Any

from ..arm.operations import COMPUTE_OPERATIONS, Operation
from ..arm.resources import Resource
from ..arm.router import COMPUTE, GROUP, Call, Router
from ..errors import conflict, entity_not_found
from ..http_types import Response, json_response
from ..state import State
from .disk_restore_points import check_no_access, disks_in, remove_restore_point
from .progress import access_state, hydrates, percent, replication_status
from .restore_point_collections import POINT_DELETE_RATE, POINT_GET_RATE
from .restore_point_creation import Creation, PointCopy, VmPoint
from .restore_point_model import (
    RESTORE_POINT_TYPE,
    check_api_version,
    read_model,
    shown_point,
)
from .tracked import check_name, empty_answer, rate

_ACCESS_STATE_SINCE = "2025-04-01"


class RestorePoints:
    """Creates, copies, shows and deletes restore points."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self, router: Router) -> None:
        one = f"{GROUP}{COMPUTE}/restorePointCollections/{{collection}}/restorePoints/{{name}}"
        router.add("PUT", one, self._put)
        router.add("GET", one, self._get)
        router.add("DELETE", one, self._delete)

    def _collection(self, call: Call) -> Resource:
        return self._state.resources.need(
            f"/subscriptions/{call['subscription']}/resourceGroups/{call['group']}"
            f"/providers/Microsoft.Compute/restorePointCollections/{call['collection']}"
        )

    def _find(self, call: Call) -> Resource | None:
        return self._state.resources.get(
            f"{self._collection(call).id}/restorePoints/{call['name']}"
        )

    # -- reading

    def _get(self, call: Call) -> Response:
        point = self._find(call)
        if point is None:
            error = entity_not_found()
            error.headers.update(POINT_GET_RATE)
            raise error
        view = None
        if call.request.query.get("$expand", "").lower() == "instanceview":
            view = self._instance_view(point, call.api_version)
        return json_response(200, shown_point(point, call.api_version, view), POINT_GET_RATE)

    def _instance_view(self, point: Resource, api_version: str) -> dict[str, Any] | None:
        """The progress of the disks that come from another region or hydrate, None without any."""
        progress = [
            (disk, done)
            for disk in disks_in(self._state, point)
            if (done := percent(self._state, disk)) is not None
        ]
        if not progress:
            return None
        return {
            "diskRestorePoints": [
                {
                    "id": disk.id,
                    **self._access_state(disk, api_version),
                    "replicationStatus": {
                        "status": replication_status(done), "completionPercent": int(done),
                    },
                }
                for disk, done in progress
            ],
            "statuses": [replication_status(min(done for _disk, done in progress))],
        }  # fmt: skip

    def _access_state(self, disk: Resource, api_version: str) -> dict[str, str]:
        if not hydrates(disk) or api_version < _ACCESS_STATE_SINCE:
            return {}
        return {"snapshotAccessState": access_state(self._state, disk)}

    # -- writing

    def _put(self, call: Call) -> Response:
        check_api_version(call)
        collection = self._collection(call)
        model = read_model(call.body())
        if collection.properties["provisioningState"] == "Deleting":
            raise conflict(  # documented (error messages of virtual machines)
                "OperationNotAllowed",
                "Operation 'Create Restore Point' is not allowed as Restore point collection"
                f" '{collection.name}' is marked for deletion.",
            )
        held = self._find(call)
        if held is not None:
            return self._again(call, held, model.key())
        make = PointCopy if model.source else VmPoint
        check_name(call["name"])
        creation: Creation = make(self._state, collection, call["name"], model)
        point = self._state.resources.put(creation.point)
        operation = self._state.operations.start(
            kind=COMPUTE_OPERATIONS,
            subscription=call["subscription"],
            location=creation.location,
            seconds=creation.seconds,
            finish=creation.finish,
            abort=creation.abort,
        )
        point.hidden |= {"operation": operation, "model": model.key()}
        items = ["PutRestorePointResource;5", "PutRestorePointSubscriptionMaximum;149"]
        items.append(f"{creation.counter};{creation.remaining}")
        return self._created(call, point, operation, rate(*items))

    def _created(
        self, call: Call, point: Resource, operation: Operation, rates: dict[str, str]
    ) -> Response:
        headers = self._state.operations.headers(operation, call, location=False, notification=True)
        return json_response(201, shown_point(point, call.api_version), {**headers, **rates})

    def _again(self, call: Call, point: Resource, asked: tuple[Any, ...]) -> Response:
        """A restore point never changes; the same request again gets what there is."""
        if point.hidden.get("model") != asked:
            raise conflict(
                "OperationNotAllowed", "Update of an existing Restore Point is not supported."
            )
        if point.properties["provisioningState"] == "Creating":
            return self._created(call, point, point.hidden["operation"], {})
        return json_response(200, shown_point(point, call.api_version))

    def _delete(self, call: Call) -> Response:
        point = self._find(call)
        if point is None:
            return Response(204)
        check_no_access(self._state, point)
        if point.properties["provisioningState"] == "Creating":
            raise conflict(
                "OperationNotAllowed",
                f"Restore point {point.name} cannot be deleted while it is being created.",
            )
        before = point.properties["provisioningState"]
        point.properties["provisioningState"] = "Deleting"
        operation = self._state.operations.start(
            kind=COMPUTE_OPERATIONS,
            subscription=call["subscription"],
            location=self._collection(call).location,
            seconds=self._state.config.durations.restore_point_delete,
            finish=lambda: self._remove(point),
            abort=lambda: point.properties.update(provisioningState=before),
        )
        return empty_answer(self._state, call, operation, POINT_DELETE_RATE, notification=True)

    def _remove(self, point: Resource) -> None:
        if self._state.resources.get(point.id) is point and point.type == RESTORE_POINT_TYPE:
            check_no_access(self._state, point)
            remove_restore_point(self._state, point)
