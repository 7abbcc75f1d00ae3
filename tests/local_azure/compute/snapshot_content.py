"""The content of snapshots, the families they form, and how many of them there may be."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ..arm.resources import Resource, new_guid
from ..errors import ArmError, conflict, invalid_parameter
from ..state import State
from ..storage.image import Image
from .content import (
    INHERITED,
    SNAPSHOT_TYPE,
    Content,
    asked_size,
    derived_guid,
    family_in_region,
    find_source,
    imported,
    kept_sector_size,
    source_id,
)
from .disk_model import DISK_TYPE
from .progress import hydrates, percent
from .tracked import member, too_many_requests

_WINDOW = timedelta(minutes=5)


def snapshot_content(
    state: State,
    properties: dict[str, Any],
    location: str,
    subscription: str,
    rate: dict[str, str],
) -> Content:
    """The content that a PUT of a snapshot asks for; ``rate`` goes with a refusal."""
    data = dict(member(properties, "creationData"))
    option = data.get("createOption")
    try:
        if option == "Copy":
            return _copy(state, properties, data, location)
        if option == "CopyStart":
            return _copy_start(state, properties, data, location, subscription)
        if option == "Import":
            return _import(state, properties, data)
    except ArmError as error:
        error.headers = {**rate, **error.headers}
        raise
    raise invalid_parameter(
        f"The value '{option}' of parameter 'creationData.createOption' is invalid."
    )


def _copy(state: State, properties: dict[str, Any], data: dict[str, Any], location: str) -> Content:
    incremental = bool(properties.get("incremental"))
    source = find_source(state, source_id(data), (DISK_TYPE, SNAPSHOT_TYPE), location)
    from_disk = source.type == DISK_TYPE
    if incremental and from_disk:
        _check_disk_limits(state, source)
    if incremental and not from_disk and not source.properties.get("incremental"):
        raise invalid_parameter("An incremental snapshot cannot be created from a full snapshot.")
    image: Image = source.hidden["image"]
    frozen = state.store.freeze(image) if incremental else _apart(state, image)
    content = _content(source, data, frozen)
    if incremental:
        held = source.properties.get("incrementalSnapshotFamilyId")
        unique = source.properties["uniqueId"]
        content.inherited["family"] = held or derived_guid("snapshots", unique)
        if from_disk:
            source.hidden.setdefault("snapshot_times", []).append(state.clock.now())
    return content


def _apart(state: State, image: Image) -> Image:
    """A frozen copy with a family of its own: there are no changes between full snapshots."""
    fork = state.store.fork(image)
    try:
        return state.store.freeze(fork)
    finally:
        state.store.delete(fork)


def _copy_start(
    state: State,
    properties: dict[str, Any],
    data: dict[str, Any],
    location: str,
    subscription: str,
) -> Content:
    found = state.resources.get(source_id(data))
    if found is not None and found.type != SNAPSHOT_TYPE:
        raise invalid_parameter("Entity not of expected type")
    source = find_source(state, source_id(data), (SNAPSHOT_TYPE,), None)
    if not source.properties.get("incremental") or not properties.get("incremental"):
        raise invalid_parameter(
            "CopyStart is only supported for incremental snapshots: both the source and the target"
            " have incremental true."
        )
    _check_copies_under_way(state, source, location, subscription)
    image: Image = source.hidden["image"]
    content = _content(source, data, state.store.freeze(image, family_in_region(image, location)))
    content.inherited.pop("securityProfile", None)  # azure-cli#28457, azure-powershell#24242
    family = source.properties["incrementalSnapshotFamilyId"]
    content.inherited["family"] = derived_guid("copies", family, location)
    return content


def _import(state: State, properties: dict[str, Any], data: dict[str, Any]) -> Content:
    content = imported(state, data, asked_size(properties))
    fetch = content.load
    if fetch is None:
        raise AssertionError("an import is fetched later")

    def load() -> Image:
        writable = fetch()
        try:
            return state.store.freeze(writable)
        finally:
            state.store.delete(writable)

    content.load = load
    content.inherited["uniqueId"] = new_guid()
    return content


def _content(source: Resource, data: dict[str, Any], image: Image) -> Content:
    held = source.properties
    kept = {
        "createOption": data["createOption"],
        "sourceResourceId": source_id(data),
        "sourceUniqueId": held["uniqueId"],
        **kept_sector_size(source),
        **{key: data[key] for key in ("instantAccessDurationMinutes",) if key in data},
    }
    inherited = {key: held[key] for key in INHERITED if key in held}
    inherited["uniqueId"] = new_guid()
    return Content(held["diskSizeGB"], kept, image, inherited=inherited)


def _snapshots_of(state: State, disk: Resource) -> list[Resource]:
    unique = disk.properties["uniqueId"]
    return [
        item
        for item in state.resources.of_type(SNAPSHOT_TYPE)
        if item.properties.get("incremental")
        and item.properties["creationData"].get("createOption") == "Copy"
        and item.properties["creationData"].get("sourceUniqueId") == unique
    ]


def _check_disk_limits(state: State, disk: Resource) -> None:
    limits, now = state.config.limits, state.clock.now()
    times: list[datetime] = disk.hidden.setdefault("snapshot_times", [])
    times[:] = [moment for moment in times if now - moment < _WINDOW]
    if len(times) >= limits.snapshots_per_disk_5_minutes:
        raise too_many_requests(state, "HighCostSnapshotCreateHydrate")
    if len(_snapshots_of(state, disk)) >= limits.snapshots_per_disk:
        raise conflict(
            "OperationNotAllowed",
            f"The number of incremental snapshots of disk {disk.name} cannot exceed"
            f" {limits.snapshots_per_disk}. Please delete some of them and retry.",
        )


def _check_copies_under_way(
    state: State, source: Resource, location: str, subscription: str
) -> None:
    """Refuse one copy too many to a region, and two at once of one disk."""
    siblings = [
        item
        for item in state.resources.of_type(SNAPSHOT_TYPE, subscription=subscription)
        if item.location == location and percent(state, item) is not None
        and not hydrates(item) and item.hidden.get("image") is not None
    ]  # fmt: skip
    running = [item for item in siblings if (percent(state, item) or 0) < 100]
    if len(running) >= state.config.limits.snapshot_copies_in_parallel:
        raise conflict(
            "OperationNotAllowed",
            f"The number of snapshots being copied to {location} cannot exceed"
            f" {state.config.limits.snapshot_copies_in_parallel}. Please retry later.",
        )
    image: Image = source.hidden["image"]
    family = family_in_region(image, location)
    if any(item.hidden["image"].family == family for item in running):
        raise conflict(
            "OperationNotAllowed",
            f"Another snapshot of the disk of {source.name} is being copied to {location}."
            " Please retry when that copy is complete.",
        )


def check_family_access(state: State, snapshot: Resource) -> None:
    """Refuse one signature too many in a family of incremental snapshots."""
    family = snapshot.properties.get("incrementalSnapshotFamilyId")
    if family is None:
        return
    active = [
        item
        for item in state.resources.of_type(SNAPSHOT_TYPE)
        if item is not snapshot
        and item.properties.get("incrementalSnapshotFamilyId") == family
        and state.sas.active_for(item.id)
    ]
    limit = state.config.limits.sas_per_snapshot_family
    if len(active) >= limit:
        raise conflict(
            "OperationNotAllowed",
            f"No more than {limit} snapshots of one family can have an active shared access"
            f" signature. Call EndGetAccess on one of them before granting access to"
            f" {snapshot.name}.",
        )
