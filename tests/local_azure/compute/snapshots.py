"""Microsoft.Compute/snapshots."""

from __future__ import annotations

import copy
from typing import Any

from ..arm.operations import DISK_OPERATIONS
from ..arm.resources import Resource
from ..arm.router import COMPUTE, GROUP, SUBSCRIPTION, Call, Router
from ..clock import wire_time
from ..errors import conflict
from ..http_types import Response, json_response
from ..state import State
from .access import Access, active_access_error, in_use, read_only, refresh
from .content import SNAPSHOT_TYPE, Content, check_complete
from .disk_model import encryption_of, sku_tier
from .disk_update import DiskUpdate, check_unchanged
from .progress import percent, start_copy
from .snapshot_content import check_family_access, snapshot_content
from .tracked import (
    DISK_DELETE_RATE,
    DISK_WRITE_RATE,
    GET_RATE,
    SNAPSHOT_RATE,
    check_location,
    disk_write_answer,
    empty_answer,
    listing,
    member,
    new_location,
    properties_of,
    tracked_id,
)

_KEPT = (
    "networkAccessPolicy", "publicNetworkAccess", "diskAccessId", "dataAccessAuthMode",
    "osType", "hyperVGeneration", "securityProfile", "supportsHibernation", "purchasePlan",
    "supportedCapabilities",
)  # fmt: skip


class Snapshots:
    """Creates, copies, changes, shows and deletes snapshots, and gives access to them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._access = Access(state, SNAPSHOT_RATE, self._check_access)

    def routes(self, router: Router) -> None:
        group = f"{GROUP}{COMPUTE}/snapshots"
        one = f"{group}/{{name}}"
        router.add("GET", f"{SUBSCRIPTION}{COMPUTE}/snapshots", self._list)
        router.add("GET", group, self._list)
        router.add("PUT", one, self._put)
        router.add("GET", one, self._get)
        router.add("PATCH", one, self._patch)
        router.add("DELETE", one, self._delete)
        router.add("POST", f"{one}/beginGetAccess", self._begin_access)
        router.add("POST", f"{one}/endGetAccess", self._end_access)

    # -- reading

    def _find(self, call: Call) -> Resource:
        snapshot = self._state.resources.need(tracked_id(call, "snapshots"))
        refresh(self._state, snapshot)
        return snapshot

    def _get(self, call: Call) -> Response:
        return json_response(200, self._shown(self._find(call)), GET_RATE)

    def _list(self, call: Call) -> Response:
        group = call.params.get("group")
        found = list(
            self._state.resources.of_type(
                SNAPSHOT_TYPE, subscription=call["subscription"], group=group
            )
        )
        for snapshot in found:
            refresh(self._state, snapshot)
        bodies = [self._shown(snapshot) for snapshot in found]
        return json_response(200, listing(bodies, upper_group=group is None))

    def _shown(self, snapshot: Resource) -> dict[str, Any]:
        """The body with the progress of a copy, which operations do not show."""
        body = snapshot.answer()
        done = percent(self._state, snapshot)
        if done is not None:
            family = body["properties"].pop("incrementalSnapshotFamilyId", None)
            body["properties"]["completionPercent"] = done
            if family is not None:
                body["properties"]["incrementalSnapshotFamilyId"] = family
        return body

    # -- writing

    def _put(self, call: Call) -> Response:
        held = self._state.resources.get(tracked_id(call, "snapshots"))
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
        content = snapshot_content(
            self._state, properties_of(body), location, call["subscription"], SNAPSHOT_RATE
        )
        snapshot = self._echo(call, body, location)
        snapshot.hidden["image"] = content.image
        self._state.resources.put(snapshot)
        if content.creation_data.get("createOption") == "CopyStart":
            start_copy(self._state, snapshot, self._state.config.durations.snapshot_replication)
        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=location,
            seconds=self._state.config.durations.snapshot_write,
            finish=lambda: self._finish(snapshot, body, content),
            abort=lambda: self._fail(snapshot, content),
            answer=snapshot.answer,
            poll_retry_after=self._state.config.retry_after.disk_poll,
        )
        return disk_write_answer(self._state, call, operation, snapshot.answer(), SNAPSHOT_RATE)

    def _echo(self, call: Call, body: dict[str, Any], location: str) -> Resource:
        """The snapshot as the first answer shows it: the request, and nothing else yet."""
        identity = tracked_id(call, "snapshots")
        shown: dict[str, Any] = {
            "name": call["name"], "id": identity, "type": SNAPSHOT_TYPE, "location": location,
        }  # fmt: skip
        for key in ("tags", "sku"):
            if body.get(key) is not None:
                shown[key] = copy.deepcopy(body[key])
        shown["properties"] = {
            **copy.deepcopy(properties_of(body)), "provisioningState": "Updating",
        }  # fmt: skip
        hidden = {"created": wire_time(self._state.clock.now())}
        return Resource(identity, SNAPSHOT_TYPE, shown, hidden)

    def _finish(self, snapshot: Resource, body: dict[str, Any], content: Content) -> None:
        if self._state.resources.get(snapshot.id) is not snapshot:
            self._discard(content)
            return
        snapshot.hidden["image"] = content.ready(None)
        asked = properties_of(body)
        sku = member(body, "sku").get("name") or "Standard_LRS"
        shown = {
            key: value for key, value in snapshot.body.items() if key not in ("sku", "properties")
        }
        snapshot.body = {
            **shown,
            "sku": {"name": sku, "tier": sku_tier(sku)},
            "properties": _properties(content, asked, snapshot.hidden["created"]),
        }

    def _fail(self, snapshot: Resource, content: Content) -> None:
        snapshot.properties["provisioningState"] = "Failed"
        snapshot.hidden["image"] = None
        self._discard(content)

    def _discard(self, content: Content) -> None:
        if content.image is not None:
            self._state.store.delete(content.image)

    def _patch(self, call: Call) -> Response:
        return self._update(call, self._find(call), call.body())

    def _update(self, call: Call, snapshot: Resource, body: dict[str, Any]) -> Response:
        if snapshot.properties["provisioningState"] == "Updating":
            raise conflict(
                "Conflict", f"Another operation on snapshot {snapshot.name} is in progress."
            )
        update = DiskUpdate(self._state, snapshot, body)
        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=snapshot.location,
            seconds=self._state.config.durations.snapshot_write,
            finish=update.apply,
            answer=snapshot.answer,
            poll_retry_after=self._state.config.retry_after.disk_poll,
        )
        return disk_write_answer(self._state, call, operation, update.echo(), DISK_WRITE_RATE)

    def _delete(self, call: Call) -> Response:
        snapshot = self._state.resources.get(tracked_id(call, "snapshots"))
        if snapshot is None:
            return Response(204)
        if in_use(self._state, snapshot):
            raise active_access_error(snapshot)
        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=snapshot.location,
            seconds=self._state.config.durations.delete,
            finish=lambda: self._remove(snapshot),
        )
        return empty_answer(self._state, call, operation, DISK_DELETE_RATE)

    def _remove(self, snapshot: Resource) -> None:
        if self._state.resources.get(snapshot.id) is not snapshot:
            return
        self._state.sas.revoke(snapshot.id)
        self._state.resources.remove(snapshot.id)
        image = snapshot.hidden.pop("image", None)
        if image is not None:
            self._state.store.delete(image)

    # -- access

    def _begin_access(self, call: Call) -> Response:
        snapshot = self._find(call)
        return self._access.begin(call, snapshot, snapshot.location)

    def _end_access(self, call: Call) -> Response:
        snapshot = self._find(call)
        return self._access.end(call, snapshot, snapshot.location)

    def _check_access(self, snapshot: Resource, access: str) -> None:
        read_only(snapshot, access)
        check_complete(self._state, snapshot)
        check_family_access(self._state, snapshot)


def _properties(content: Content, asked: dict[str, Any], created: str) -> dict[str, Any]:
    """The properties of a finished snapshot, in the service's order."""
    if content.image is None:
        raise AssertionError("a finished snapshot has an image")
    kept = {**content.inherited, **{key: asked[key] for key in _KEPT if asked.get(key) is not None}}
    ordered: dict[str, Any] = {
        "osType": kept.pop("osType", None),
        "hyperVGeneration": kept.pop("hyperVGeneration", None),
        "creationData": content.creation_data,
        "diskSizeGB": content.size_gb,
        "encryption": encryption_of(asked.get("encryption") or kept.pop("encryption", None)),
        "incremental": bool(asked.get("incremental")),
        "networkAccessPolicy": kept.pop("networkAccessPolicy", "AllowAll"),
        "publicNetworkAccess": kept.pop("publicNetworkAccess", "Enabled"),
        "timeCreated": created,
        "provisioningState": "Succeeded",
        "diskState": "Unattached",
        "diskSizeBytes": content.image.size,
        "uniqueId": kept.pop("uniqueId"),
        "incrementalSnapshotFamilyId": kept.pop("family", None),
    }
    return {key: value for key, value in {**ordered, **kept}.items() if value is not None}
