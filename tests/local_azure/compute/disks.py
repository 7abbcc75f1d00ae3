"""Microsoft.Compute/disks."""

from __future__ import annotations

import copy
from typing import Any

from ..arm.operations import DISK_OPERATIONS
from ..arm.resources import Resource
from ..arm.router import COMPUTE, GROUP, SUBSCRIPTION, Call, Router
from ..clock import wire_time
from ..errors import ArmError, conflict, invalid_parameter
from ..http_types import Response, json_response
from ..state import State
from ..storage.page_blob import PageBlob
from .access import Access, active_access_error, in_use, refresh
from .content import Content, asked_size, disk_content
from .disk_model import DISK_TYPE, delete_disk, disk_properties, sku_tier
from .disk_update import DiskUpdate, check_unchanged
from .tracked import (
    DISK_ACCESS_RATE,
    DISK_DELETE_RATE,
    DISK_WRITE_RATE,
    GET_RATE,
    check_location,
    disk_write_answer,
    empty_answer,
    listing,
    member,
    new_location,
    properties_of,
    tracked_id,
)

DEFAULT_SKU = "Standard_LRS"


class Disks:
    """Creates, changes, shows and deletes managed disks, and gives access to them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._access = Access(state, DISK_ACCESS_RATE, self._check_access)

    def routes(self, router: Router) -> None:
        group = f"{GROUP}{COMPUTE}/disks"
        one = f"{group}/{{name}}"
        router.add("GET", f"{SUBSCRIPTION}{COMPUTE}/disks", self._list)
        router.add("GET", group, self._list)
        router.add("PUT", one, self._put)
        router.add("GET", one, self._get)
        router.add("PATCH", one, self._patch)
        router.add("DELETE", one, self._delete)
        router.add("POST", f"{one}/beginGetAccess", self._begin_access)
        router.add("POST", f"{one}/endGetAccess", self._end_access)

    # -- reading

    def _find(self, call: Call) -> Resource:
        disk = self._state.resources.need(tracked_id(call, "disks"))
        refresh(self._state, disk)
        return disk

    def _get(self, call: Call) -> Response:
        return json_response(200, self._find(call).answer(), GET_RATE)

    def _list(self, call: Call) -> Response:
        group = call.params.get("group")
        found = list(
            self._state.resources.of_type(DISK_TYPE, subscription=call["subscription"], group=group)
        )
        for disk in found:
            refresh(self._state, disk)
        bodies = [disk.answer() for disk in found]
        return json_response(200, listing(bodies, upper_group=group is None))

    # -- writing

    def _put(self, call: Call) -> Response:
        held = self._state.resources.get(tracked_id(call, "disks"))
        failed = held is not None and held.properties["provisioningState"] == "Failed"
        if held is None or (failed and held.hidden.get("image") is None):
            return self._create(call)
        body = call.body()
        check_location(held, body)
        check_unchanged(held, body)
        return self._update(call, held, body)

    def _create(self, call: Call) -> Response:
        body = call.body()
        location = new_location(self._state, call, body)
        properties = properties_of(body)
        if not properties.get("creationData"):
            raise invalid_parameter("Required parameter 'disk.creationData' is missing (null).")
        content = disk_content(self._state, properties, location)
        disk = self._echo(call, body, location)
        disk.hidden["image"] = content.image
        self._state.resources.put(disk)
        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=location,
            seconds=self._state.config.durations.disk_write,
            finish=lambda: self._finish(disk, body, content, asked_size(properties)),
            abort=lambda: self._fail(disk, content),
            answer=disk.answer,
            poll_retry_after=self._state.config.retry_after.disk_poll,
        )
        return disk_write_answer(self._state, call, operation, disk.answer(), DISK_WRITE_RATE)

    def _echo(self, call: Call, body: dict[str, Any], location: str) -> Resource:
        """The disk as the first answer shows it: the request, and nothing else yet."""
        identity = tracked_id(call, "disks")
        shown: dict[str, Any] = {
            "name": call["name"], "id": identity, "type": DISK_TYPE, "location": location,
        }  # fmt: skip
        shown |= {
            key: copy.deepcopy(body[key])
            for key in ("tags", "zones", "sku", "extendedLocation")
            if body.get(key) is not None
        }
        shown["properties"] = {
            **copy.deepcopy(properties_of(body)), "provisioningState": "Updating",
        }  # fmt: skip
        return Resource(identity, DISK_TYPE, shown, {"created": wire_time(self._state.clock.now())})

    def _finish(
        self, disk: Resource, body: dict[str, Any], content: Content, asked_gb: int | None
    ) -> None:
        if self._state.resources.get(disk.id) is not disk:
            self._discard(content)
            return
        image = content.ready(asked_gb)
        disk.hidden["image"] = image
        sku = member(body, "sku").get("name") or DEFAULT_SKU
        given = {**content.inherited, **properties_of(body)}
        properties = disk_properties(
            image_size=image.size, size_gb=content.size_gb, sku=sku,
            creation_data=content.creation_data, time_created=disk.hidden["created"], given=given,
        )  # fmt: skip
        if content.upload:
            disk.hidden["upload"] = PageBlob(image, upload=True)
            properties["diskState"] = "ReadyToUpload"
        shown = {key: value for key, value in disk.body.items() if key not in ("sku", "properties")}
        disk.body = {
            **shown, "sku": {"name": sku, "tier": sku_tier(sku)}, "properties": properties,
        }  # fmt: skip

    def _fail(self, disk: Resource, content: Content) -> None:
        disk.properties["provisioningState"] = "Failed"
        disk.hidden["image"] = None
        self._discard(content)

    def _discard(self, content: Content) -> None:
        if content.image is not None:
            self._state.store.delete(content.image)

    def _patch(self, call: Call) -> Response:
        return self._update(call, self._find(call), call.body())

    def _update(self, call: Call, disk: Resource, body: dict[str, Any]) -> Response:
        if disk.properties["provisioningState"] == "Updating":
            raise conflict("Conflict", f"Another operation on disk {disk.name} is in progress.")
        update = DiskUpdate(self._state, disk, body)
        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=disk.location,
            seconds=self._state.config.durations.disk_write,
            finish=update.apply,
            answer=disk.answer,
            poll_retry_after=self._state.config.retry_after.disk_poll,
        )
        return disk_write_answer(self._state, call, operation, update.echo(), DISK_WRITE_RATE)

    def _delete(self, call: Call) -> Response:
        disk = self._state.resources.get(tracked_id(call, "disks"))
        if disk is None:
            return Response(204)
        if vm := disk.body.get("managedBy"):
            raise conflict("OperationNotAllowed", f"Disk {disk.name} is attached to VM {vm}.")
        if in_use(self._state, disk):
            raise active_access_error(disk)
        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=disk.location,
            seconds=self._state.config.durations.delete,
            finish=lambda: self._remove(disk),
        )
        return empty_answer(self._state, call, operation, DISK_DELETE_RATE)

    def _remove(self, disk: Resource) -> None:
        if self._state.resources.get(disk.id) is disk:
            delete_disk(self._state, disk)

    # -- access

    def _begin_access(self, call: Call) -> Response:
        disk = self._find(call)
        return self._access.begin(call, disk, disk.location)

    def _end_access(self, call: Call) -> Response:
        disk = self._find(call)
        return self._access.end(call, disk, disk.location)

    def _check_access(self, disk: Resource, access: str) -> None:
        state = disk.properties.get("diskState")
        if state == "Attached":
            raise conflict(
                "OperationNotAllowed",
                f"Cannot grant access to disk {disk.name}: it is attached to running VM"
                f" {disk.body.get('managedBy')}.",
            )
        uploading = state in ("ReadyToUpload", "ActiveUpload")
        if uploading != (access == "Write") or disk.hidden.get("image") is None:
            raise ArmError(
                409, "OperationNotAllowed",
                f"{access} access to disk {disk.name} is not allowed while its state is"
                f" {state or disk.properties['provisioningState']}.",
            )  # fmt: skip
