"""Disk restore points: made with their restore point, shown, read, removed with it."""

from __future__ import annotations

from typing import Any

from ..arm.resources import Resource, new_guid
from ..arm.router import COMPUTE, GROUP, Call, Router
from ..errors import conflict, entity_not_found
from ..http_types import Response, json_response
from ..state import State
from ..storage.image import Image
from .access import Access, in_use, read_only
from .content import (
    DISK_RESTORE_POINT_TYPE,
    INHERITED,
    check_complete,
    derived_guid,
    kept_sector_size,
    region_of,
)
from .progress import hydrates, percent
from .tracked import GET_RATE, SNAPSHOT_RATE


class DiskRestorePoints:
    """Shows the disks inside restore points, and gives access to them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._access = Access(state, SNAPSHOT_RATE, self._check_access)

    def routes(self, router: Router) -> None:
        group = (
            f"{GROUP}{COMPUTE}/restorePointCollections/{{collection}}"
            "/restorePoints/{point}/diskRestorePoints"
        )
        one = f"{group}/{{name}}"
        router.add("GET", group, self._list)
        router.add("GET", one, self._get)
        router.add("POST", f"{one}/beginGetAccess", self._begin_access)
        router.add("POST", f"{one}/endGetAccess", self._end_access)

    def _point(self, call: Call) -> Resource:
        collection = (
            f"/subscriptions/{call['subscription']}/resourceGroups/{call['group']}"
            f"/providers/Microsoft.Compute/restorePointCollections/{call['collection']}"
        )
        self._state.resources.need(collection)
        return _known(self._state, f"{collection}/restorePoints/{call['point']}")

    def _find(self, call: Call) -> Resource:
        point = self._point(call)
        return _known(self._state, f"{point.id}/diskRestorePoints/{call['name']}")

    def _get(self, call: Call) -> Response:
        return json_response(200, self._shown(self._find(call)), GET_RATE)

    def _list(self, call: Call) -> Response:
        disks = disks_in(self._state, self._point(call))
        return json_response(200, {"value": [self._shown(disk) for disk in disks]}, GET_RATE)

    def _shown(self, disk: Resource) -> dict[str, Any]:
        body = disk.answer()
        done = percent(self._state, disk)
        if done is not None and not hydrates(disk):
            body["properties"] |= {
                "replicationState": "Succeeded" if done >= 100 else "Replicating",
                "completionPercent": int(done),
                "sourceResourceLocation": disk.hidden["source_location"],
            }
        return body

    def _begin_access(self, call: Call) -> Response:
        disk = self._find(call)
        return self._access.begin(call, disk, region_of(self._state, disk))

    def _end_access(self, call: Call) -> Response:
        disk = self._find(call)
        return self._access.end(call, disk, region_of(self._state, disk))

    def _check_access(self, disk: Resource, access: str) -> None:
        read_only(disk, access)
        check_complete(self._state, disk)


def _known(state: State, resource_id: str) -> Resource:
    found = state.resources.get(resource_id)
    if found is None:
        raise entity_not_found()
    return found


def disks_in(state: State, resource: Resource) -> list[Resource]:
    """The disk restore points of a restore point, or of a whole collection."""
    below = state.resources.below(resource.id)
    return [item for item in below if item.type == DISK_RESTORE_POINT_TYPE]


def add_from_disk(
    state: State, point: Resource, disk: Resource, image: Image, created: str
) -> Resource:
    """The restore point of one disk, with the bytes in ``image``."""
    held = disk.properties
    properties = {
        "timeCreated": created,
        "sourceResourceId": disk.id,
        **{key: held[key] for key in INHERITED if key in held},
        **kept_sector_size(disk),
        "familyId": derived_guid("restore points", held["uniqueId"]),
        "sourceUniqueId": held["uniqueId"],
        "networkAccessPolicy": held.get("networkAccessPolicy", "AllowAll"),
        "publicNetworkAccess": held.get("publicNetworkAccess", "Enabled"),
    }
    made = _add(state, point, disk.name, properties, image)
    made.hidden["size_gb"] = held["diskSizeGB"]
    made.hidden["auth_mode"] = held.get("dataAccessAuthMode")
    return made


def add_from_copy(
    state: State, point: Resource, source: Resource, image: Image, location: str
) -> Resource:
    """The copy of a disk restore point in another region."""
    properties = source.answer()["properties"]
    properties["familyId"] = derived_guid("copies", properties["familyId"], location)
    disk_name = source.name.rsplit("_", 1)[0]
    made = _add(state, point, disk_name, properties, image)
    made.hidden["size_gb"] = source.hidden["size_gb"]
    made.hidden["auth_mode"] = source.hidden.get("auth_mode")
    return made


def _add(
    state: State, point: Resource, disk_name: str, properties: dict[str, Any], image: Image
) -> Resource:
    name = f"{disk_name}_{new_guid()}"
    identity = f"{point.id}/diskRestorePoints/{name}"
    body = {"id": identity, "name": name, "properties": properties}
    return state.resources.put(Resource(identity, DISK_RESTORE_POINT_TYPE, body, {"image": image}))


def check_no_access(state: State, resource: Resource) -> None:
    """Refuse to delete what somebody has signed access to."""
    if any(in_use(state, disk) for disk in disks_in(state, resource)):
        raise conflict(
            "DiskRestorePointUsedByCustomer",
            "There is an active shared access signature outstanding for disk restore point. Call"
            " EndGetAccess before deleting the restore point.",
        )


def remove_restore_point(state: State, point: Resource) -> None:
    """Remove a restore point with its disks and their bytes."""
    for disk in disks_in(state, point):
        state.resources.remove(disk.id)
        state.store.delete(disk.hidden["image"])
    state.resources.remove(point.id)
