"""What disks, snapshots and collections have in common: ids, regions, lists, answers."""

from __future__ import annotations

import re
from typing import Any

from ..arm.operations import Operation
from ..arm.resources import Resource, need_group
from ..arm.router import COMPUTE, GROUP, SUBSCRIPTION, Call, Handler, Router
from ..errors import ArmError, invalid_parameter
from ..http_types import Response, json_response
from ..recorded_answers import compute_throttled
from ..state import State

_NAME = re.compile(r"[A-Za-z0-9_.-]{0,79}[A-Za-z0-9_]")

FORGOTTEN = 10  # seconds until what was deleted is nothing to Resource Manager either; assumed
RATE = "x-ms-ratelimit-remaining-resource"


def rate(*items: str) -> dict[str, str]:
    """The header that says how many calls remain: ``Name;number`` of the compute provider."""
    return {RATE: ",".join(f"Microsoft.Compute/{item}" for item in items)}


GET_RATE = rate("LowCostGet3Min;14999", "LowCostGet30Min;119999")
DISK_WRITE_RATE = rate("CreateUpdateDisks3Min;2999", "CreateUpdateDisks30Min;24999")
DISK_DELETE_RATE = rate("DeleteDisks3Min;2999", "DeleteDisks30Min;23999")
DISK_ACCESS_RATE = rate("HighCostDiskHydrate3Min;999", "HighCostDiskHydrate30Min;7999")
SNAPSHOT_RATE = rate(
    "HighCostSnapshotCreateHydrate3Min;999", "HighCostSnapshotCreateHydrate30Min;7999"
)


def add_routes(router: Router, kind: str, listed: Handler, **handlers: Handler) -> str:
    """Route both lists of a kind of resource, and by method what is done to one; the path of one."""
    group = f"{GROUP}{COMPUTE}/{kind}"
    one = f"{group}/{{name}}"
    router.add("GET", f"{SUBSCRIPTION}{COMPUTE}/{kind}", listed)
    router.add("GET", group, listed)
    for method, handler in handlers.items():
        router.add(method, one, handler)
    return one


def tracked_id(call: Call, collection: str) -> str:
    """The id that the path of a call names, in the caller's casing."""
    return (
        f"/subscriptions/{call['subscription']}/resourceGroups/{call['group']}"
        f"/providers/Microsoft.Compute/{collection}/{call['name']}"
    )


def normal_location(name: Any) -> str:
    """A region as Resource Manager stores it: ``West Europe`` is ``westeurope``."""
    if not isinstance(name, str) or not name.strip():
        raise ArmError(
            400, "LocationRequired", "The location property is required for this definition.",
            gateway=True,
        )  # fmt: skip
    return name.replace(" ", "").lower()


def properties_of(body: dict[str, Any]) -> dict[str, Any]:
    """The ``properties`` of a request, ``{}`` where it has none."""
    return member(body, "properties")


def member(body: dict[str, Any], name: str) -> dict[str, Any]:
    """An object inside a request's body, ``{}`` where it is absent."""
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise invalid_parameter(f"Required parameter '{name}' is not an object.")
    return found


def check_name(name: str) -> None:
    """Refuse a name that a disk, a snapshot, a collection or a point cannot have; text assumed."""
    if not _NAME.fullmatch(name):
        raise invalid_parameter(
            f"The entity name '{name}' is invalid: it has 1 to 80 characters, which are letters,"
            " digits, '_', '.' and '-', the last one a letter, a digit or '_'."
        )


def new_location(state: State, call: Call, body: dict[str, Any]) -> str:
    """The region of a resource to create, its resource group and its name checked."""
    need_group(state.resources, call["subscription"], call["group"])
    check_name(call["name"])
    return normal_location(body.get("location"))


def check_location(resource: Resource, body: dict[str, Any]) -> None:
    """Refuse to move an existing resource to another region."""
    if "location" not in body:
        return
    asked = normal_location(body["location"])
    held = normal_location(resource.location)
    if asked != held:
        raise ArmError(
            409, "InvalidResourceLocation",
            f"The resource '{resource.name}' already exists in location '{held}' in resource"
            f" group '{resource.group}'. A resource with the same name cannot be created in"
            f" location '{asked}'. Please select a new resource name.",
            gateway=True,
        )  # fmt: skip


def change_refused(name: str) -> ArmError:
    return ArmError(
        409, "PropertyChangeNotAllowed", f"Changing property '{name}' is not allowed.", target=name
    )


def source_not_found(resource_id: str) -> ArmError:
    """The disk provider's 404 for a source that is not in the region asked."""
    name = resource_id.rstrip("/").rsplit("/", 1)[-1]
    return ArmError(404, "NotFound", f"Resource {name} is not found.")


def too_many_requests(state: State, group: str = "PutRestorePointResource") -> ArmError:
    """The provider's 429; ``group``: which of its limits was passed."""
    return compute_throttled(group, state.clock, state.config.retry_after.throttled)


def listing(bodies: list[dict[str, Any]], *, upper_group: bool) -> dict[str, Any]:
    """A list's body. Lists of a whole subscription have the resource group in upper case."""
    if upper_group:
        for body in bodies:
            parts = body["id"].split("/")
            parts[4] = parts[4].upper()
            body["id"] = "/".join(parts)
    return {"value": bodies}


def disk_write_answer(
    state: State, call: Call, operation: Operation, body: dict[str, Any], rate: dict[str, str]
) -> Response:
    """The 202 of a PUT or PATCH of a disk or snapshot."""
    headers = state.operations.headers(
        operation, call, location=True, retry_after=state.config.retry_after.disk_write
    )
    return json_response(202, body, {**headers, **rate})


def empty_answer(
    state: State,
    call: Call,
    operation: Operation,
    rate: dict[str, str],
    *,
    notification: bool = False,
) -> Response:
    """The 202 without a body of a DELETE or an access call."""
    headers = state.operations.headers(operation, call, location=True, notification=notification)
    return Response(202, {**headers, **rate, "Content-Length": "0"})
