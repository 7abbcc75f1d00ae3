"""What disks and snapshots have in common as resources: the life of what holds a disk's content."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any, ClassVar

from ..arm.operations import DISK_OPERATIONS
from ..arm.resources import Resource
from ..arm.router import Call, Router
from ..clock import wire_time
from ..errors import ArmError, conflict
from ..http_types import Response, json_response
from ..state import State
from .access import Access, active_access_error, in_use, refresh
from .content import Content, check_instant_access
from .disk_model import delete_disk, sku_tier
from .disk_update import DiskUpdate, check_creation_data, check_unchanged
from .enumerations import DISK, check_choices, check_sku
from .tracked import (
    DISK_DELETE_RATE,
    DISK_WRITE_RATE,
    FORGOTTEN,
    GET_RATE,
    add_routes,
    check_location,
    disk_write_answer,
    empty_answer,
    listing,
    member,
    new_location,
    properties_of,
    tracked_id,
)

_OWNERSHIP_SINCE = "2023-04-02"  # azure-rest-api-specs#25039
DEFAULT_SKU = "Standard_LRS"


class DiskProvider(ABC):
    """Creates, changes, shows and deletes the resources of one type, and gives access to them.

    Attributes:
        type: the full resource type; ``kind``: its last part.
        noun: what messages call one.
        skus: the SKUs that one can have.
        echoed: what the first answer repeats of a request, beside its properties.
        create_rate, access_rate: the headers with the calls that remain.
    """

    type: ClassVar[str]
    kind: ClassVar[str]
    noun: ClassVar[str]
    skus: ClassVar[tuple[str, ...]]
    echoed: ClassVar[tuple[str, ...]]
    create_rate: ClassVar[dict[str, str]]
    access_rate: ClassVar[dict[str, str]]

    def __init__(self, state: State) -> None:
        self._state = state
        self._deleted: dict[str, datetime] = {}
        self._access = Access(state, self.access_rate, self._check_access)

    def routes(self, router: Router) -> None:
        one = add_routes(
            router, self.kind, self._list,
            PUT=self._put, GET=self._get, PATCH=self._patch, DELETE=self._delete,
        )  # fmt: skip
        router.add("POST", f"{one}/beginGetAccess", self._begin_access)
        router.add("POST", f"{one}/endGetAccess", self._end_access)

    # -- what each type does its own way

    @abstractmethod
    def _content(self, call: Call, body: dict[str, Any], location: str) -> Content:
        """What a new one will hold; refuses a request that cannot be."""

    @abstractmethod
    def _properties(
        self, one: Resource, body: dict[str, Any], content: Content, sku: str
    ) -> dict[str, Any]:
        """The properties of a finished one; ``content`` is fetched with ``ready``."""

    @abstractmethod
    def _check_access(self, one: Resource, access: str) -> None:
        """Refuse ``Read`` or ``Write`` access that its state does not allow."""

    @abstractmethod
    def _write_seconds(self) -> float:
        """How long creating and changing one take."""

    def _began(self, one: Resource, content: Content) -> None:
        """It is there, and being created; by default nothing more happens."""
        del one, content

    def _check_delete(self, one: Resource) -> None:
        """Refuse to delete one that something needs; by default none is needed."""
        del one

    def _shown(self, one: Resource) -> dict[str, Any]:
        """What a GET shows of one, and the operation that made or changed it."""
        return one.answer()

    def _seen(self, one: Resource, call: Call) -> dict[str, Any]:
        """What a request of some api-version sees."""
        body = self._shown(one)
        if call.api_version < _OWNERSHIP_SINCE:
            body["properties"].pop("LastOwnershipUpdateTime", None)
        return body

    # -- reading

    def _find(self, call: Call) -> Resource:
        identity = tracked_id(call, self.kind)
        if self._state.resources.get(identity) is None and self._just_deleted(identity):
            raise ArmError(
                404, "NotFound", f"{self.noun.capitalize()} {call['name']} is not found.",
                headers=GET_RATE,
            )  # fmt: skip
        found = self._state.resources.need(identity)
        refresh(self._state, found)
        return found

    def _just_deleted(self, identity: str) -> bool:
        """Whether Resource Manager does not know yet of a deletion, so that the provider answers."""
        gone = self._deleted.get(identity.lower())
        return gone is not None and (self._state.clock.now() - gone).total_seconds() < FORGOTTEN

    def _get(self, call: Call) -> Response:
        return json_response(200, self._seen(self._find(call), call), GET_RATE)

    def _list(self, call: Call) -> Response:
        group = call.params.get("group")
        found = list(
            self._state.resources.of_type(self.type, subscription=call["subscription"], group=group)
        )
        for one in found:
            refresh(self._state, one)
        bodies = [self._seen(one, call) for one in found]
        return json_response(200, listing(bodies, upper_group=group is None))

    # -- writing

    def _put(self, call: Call) -> Response:
        held = self._state.resources.get(tracked_id(call, self.kind))
        failed = held is not None and held.properties["provisioningState"] == "Failed"
        if held is None or (failed and held.hidden.get("image") is None):
            return self._create(call)
        body = call.body()
        check_location(held, body)
        self._check_idle(held)
        if self._state.config.refusals.put_without_creation_data:
            check_creation_data(held, body, self.noun)
        check_unchanged(held, body)
        return self._update(call, held, body)

    def _create(self, call: Call) -> Response:
        body = call.body()
        location = new_location(self._state, call, body)
        self._check_values(body)
        self._check_network(body, {})
        content = self._content(call, body, location)
        new = self._echo(call, body, location)
        new.hidden["image"] = content.image
        self._state.resources.put(new)
        self._began(new, content)
        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=location,
            seconds=self._write_seconds(),
            finish=lambda: self._finish(new, body, content),
            abort=lambda: self._fail(new, content),
            answer=lambda: self._output(new),
            poll_retry_after=self._state.config.retry_after.disk_poll,
        )
        return disk_write_answer(self._state, call, operation, new.answer(), self.create_rate)

    def _echo(self, call: Call, body: dict[str, Any], location: str) -> Resource:
        """What the first answer shows: the request, and nothing else yet."""
        identity = tracked_id(call, self.kind)
        shown: dict[str, Any] = {
            "name": call["name"], "id": identity, "type": self.type, "location": location,
        }  # fmt: skip
        shown |= {key: copy.deepcopy(body[key]) for key in self.echoed if body.get(key) is not None}
        shown["properties"] = {
            **copy.deepcopy(properties_of(body)), "provisioningState": "Updating",
        }  # fmt: skip
        return Resource(identity, self.type, shown, {"created": wire_time(self._state.clock.now())})

    def _default_sku(self, new: Resource, body: dict[str, Any]) -> str:  # noqa: ARG002 - hook
        return DEFAULT_SKU

    def _finish(self, new: Resource, body: dict[str, Any], content: Content) -> None:
        if self._state.resources.get(new.id) is not new:
            self._discard(content)
            return
        sku = member(body, "sku").get("name") or self._default_sku(new, body)
        properties = self._properties(new, body, content, sku)
        new.hidden["image"] = content.image
        shown = {key: value for key, value in new.body.items() if key not in ("sku", "properties")}
        if body.get("zones"):  # the first answer leaves them out
            shown["zones"] = list(body["zones"])
        new.body = {
            **shown, "sku": {"name": sku, "tier": sku_tier(sku)}, "properties": properties,
        }  # fmt: skip

    def _output(self, one: Resource) -> dict[str, Any]:
        """What the finished operation shows; a copy's progress is not in it."""
        return one.answer()

    def _fail(self, new: Resource, content: Content) -> None:
        new.properties["provisioningState"] = "Failed"
        new.hidden["image"] = None
        self._discard(content)

    def _discard(self, content: Content) -> None:
        if content.image is not None:
            self._state.store.delete(content.image)

    def _patch(self, call: Call) -> Response:
        return self._update(call, self._find(call), call.body())

    def _check_idle(self, held: Resource) -> None:
        """Refuse a write while one is under way."""
        if held.properties["provisioningState"] in ("Updating", "Deleting"):
            raise conflict(
                "Conflict", f"Another operation on {self.noun} {held.name} is in progress."
            )

    def _check_values(self, body: dict[str, Any]) -> None:
        """Refuse values that there are not."""
        check_choices(self.noun, body, DISK)
        sku = member(body, "sku").get("name")
        if sku is not None:
            check_sku(sku, self.skus)
        check_instant_access(member(properties_of(body), "creationData"))

    def _check_network(self, body: dict[str, Any], held: dict[str, Any]) -> None:
        """Refuse an access policy that takes no disk access."""
        asked = properties_of(body)
        policy = asked.get("networkAccessPolicy") or held.get("networkAccessPolicy") or "AllowAll"
        if asked.get("diskAccessId") and policy.lower() != "allowprivate":
            raise conflict(
                "ConflictingUserInput",
                "Disk Access is only supported for disks with NetworkAccessPolicy AllowPrivate",
            )

    def _update(self, call: Call, held: Resource, body: dict[str, Any]) -> Response:
        self._check_idle(held)
        self._check_values(body)
        self._check_network(body, held.properties)
        update = DiskUpdate(self._state, held, body)
        before = held.properties["provisioningState"]
        held.properties["provisioningState"] = "Updating"

        def finish() -> None:
            update.apply()
            held.properties["provisioningState"] = "Succeeded"

        def abort() -> None:
            held.properties["provisioningState"] = before

        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=held.location,
            seconds=self._write_seconds(),
            finish=finish,
            abort=abort,
            answer=lambda: self._output(held),
            poll_retry_after=self._state.config.retry_after.disk_poll,
        )
        return disk_write_answer(self._state, call, operation, update.echo(), DISK_WRITE_RATE)

    def _delete(self, call: Call) -> Response:
        held = self._state.resources.get(tracked_id(call, self.kind))
        if held is None:
            return Response(204)
        self._check_delete(held)
        if held.properties["provisioningState"] == "Updating":
            self._check_idle(held)
        if in_use(self._state, held):
            raise active_access_error(held)
        before = held.properties["provisioningState"]
        held.properties["provisioningState"] = "Deleting"

        def abort() -> None:
            held.properties["provisioningState"] = before

        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=held.location,
            seconds=self._state.config.durations.delete,
            finish=lambda: self._remove(held, operation.due),
            abort=abort,
        )
        return empty_answer(self._state, call, operation, DISK_DELETE_RATE)

    def _remove(self, held: Resource, moment: datetime) -> None:
        if self._state.resources.get(held.id) is held:
            delete_disk(self._state, held)
            self._deleted[held.id.lower()] = moment

    # -- access

    def _begin_access(self, call: Call) -> Response:
        one = self._find(call)
        return self._access.begin(call, one, one.location)

    def _end_access(self, call: Call) -> Response:
        one = self._find(call)
        return self._access.end(call, one, one.location)
