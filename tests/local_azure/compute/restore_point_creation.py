"""The making of one restore point: from a VM, or from a restore point in another region."""

from __future__ import annotations

import copy
from typing import Any

from ..arm.resources import Resource, same_id
from ..clock import wire_time
from ..errors import ArmError, conflict, entity_not_found, invalid_parameter
from ..state import State
from ..storage.image import Image
from .content import family_in_region
from .disk_model import PLATFORM_KEY, is_v2
from .disk_restore_points import add_from_copy, add_from_disk, disks_in
from .progress import percent, start_copy, start_hydration
from .restore_point_checks import (
    changed_meanwhile,
    check_agent,
    check_disks,
    check_limits,
    count_copy,
    disk_set,
)
from .restore_point_model import (
    COLLECTION_TYPE,
    CRASH,
    RESTORE_POINT_TYPE,
    Model,
    achieved_mode,
    asked_encryption,
    entries,
    managed_id,
    restore_point_encryption,
    source_metadata,
)
from .tracked import normal_location


class Creation:
    """One restore point under way. Made by a PUT, which it refuses with an ArmError."""

    counter = ""
    remaining = 0
    seconds = 0.0

    def __init__(self, state: State, collection: Resource, name: str, model: Model) -> None:
        self._state = state
        self._collection = collection
        self._model = model
        self._images: list[Image] = []
        identity = f"{collection.id}/restorePoints/{name}"
        body = {"name": name, "id": identity, "properties": self._prepare()}
        self.point = Resource(identity, RESTORE_POINT_TYPE, body, self._hidden())

    @property
    def location(self) -> str:
        """Where the operation runs: the region of the collection."""
        return self._collection.location

    def _prepare(self) -> dict[str, Any]:
        """Check, keep the bytes of this moment, and return the properties of the new point."""
        raise NotImplementedError

    def _hidden(self) -> dict[str, Any]:
        raise NotImplementedError

    def finish(self) -> None:
        """End well, or fail with an ArmError; a point that is gone by now leaves nothing."""
        if self._state.resources.get(self.point.id) is self.point:
            self._complete()
        else:
            self.abort()

    def _complete(self) -> None:
        """Make the disk restore points."""
        raise NotImplementedError

    def abort(self) -> None:
        """What is left of a failed one: the point itself, without disks."""
        self.point.properties["provisioningState"] = "Failed"
        for image in self._images:
            self._state.store.delete(image)
        self._images.clear()

    def _succeed(self, metadata: dict[str, Any], mode: str) -> None:
        self._images.clear()  # they belong to the disk restore points now
        self.point.properties.update(
            sourceMetadata=metadata, consistencyMode=mode, provisioningState="Succeeded"
        )

    def _freeze(self, image: Image, remote: bool) -> None:
        family = family_in_region(image, self._collection.location) if remote else None
        self._images.append(self._state.store.freeze(image, family))

    def _replicate(self, disk: Resource, source_location: str) -> None:
        seconds = self._state.config.durations.restore_point_replication
        start_copy(self._state, disk, seconds)
        disk.hidden["source_location"] = source_location


class VmPoint(Creation):
    """A restore point of a VM, in its own region or straight in another one."""

    def _prepare(self) -> dict[str, Any]:
        state, model = self._state, self._model
        source = self._collection.properties["source"]["id"]
        vm = state.resources.need(source)
        if vm.type == COLLECTION_TYPE:
            raise invalid_parameter(
                "Required parameter 'sourceRestorePoint' is missing (null): the source of the"
                " restore point collection is a restore point collection."
            )
        check_disks(state, vm, model)
        self.remaining = check_limits(state, vm, model.mode)
        crash = model.mode == CRASH
        self.counter = f"Create{CRASH if crash else 'ApplicationConsistent'}RestorePoint"
        self.seconds = state.config.durations.restore_point_create
        self._vm, self._disks_before = vm, disk_set(vm)
        self._remote = normal_location(vm.location) != normal_location(self._collection.location)
        metadata = source_metadata(state, vm, model.excluded_ids)
        self._disks = [state.resources.need(managed_id(entry)) for entry in entries(metadata)]
        for disk in self._disks:
            self._freeze(disk.hidden["image"], self._remote)
        self._created = wire_time(state.clock.now())
        properties: dict[str, Any] = {"sourceMetadata": metadata, "provisioningState": "Creating"}
        if model.mode:
            properties["consistencyMode"] = model.mode
        properties["timeCreated"] = self._created
        if model.instant_minutes is not None:
            properties["instantAccessDurationMinutes"] = model.instant_minutes
        if model.excluded:
            properties["excludeDisks"] = [{"id": item["id"]} for item in model.excluded]
        return properties

    def _hidden(self) -> dict[str, Any]:
        return {"vm_id": self._vm.properties.get("vmId")}

    def _complete(self) -> None:
        check_agent(self._vm, self._model.mode)
        if disk_set(self._vm) != self._disks_before:
            raise changed_meanwhile()
        metadata = copy.deepcopy(self.point.properties["sourceMetadata"])
        parts = zip(entries(metadata), self._disks, self._images, strict=True)
        for entry, disk, image in parts:
            made = add_from_disk(self._state, self.point, disk, image, self._created)
            if self._remote:
                self._replicate(made, self._vm.location)
            elif is_v2(disk.body["sku"]["name"]):
                self._hydrate(made)
            held = restore_point_encryption(disk.properties.get("encryption", {}))
            encryption = asked_encryption(self._model, entry) or held
            entry["diskRestorePoint"] = {"encryption": encryption, "id": made.id}
        self._succeed(metadata, achieved_mode(self._vm, metadata, self._model.mode))

    def _hydrate(self, made: Resource) -> None:
        """Premium SSD v2 and Ultra disks are copied after the operation has ended, as recorded."""
        seconds = self._state.config.durations.restore_point_hydration
        instant = self._model.instant_minutes is not None
        start_hydration(self._state, made, seconds, instant=instant)


class PointCopy(Creation):
    """A copy of a restore point in another region."""

    counter = "CopyRestorePoint"

    def _prepare(self) -> dict[str, Any]:
        source = self._find_source()
        self.remaining = count_copy(self._state, self._collection)
        self.seconds = self._state.config.durations.restore_point_copy
        self._source = source
        self._disks = [
            self._state.resources.need(entry["diskRestorePoint"]["id"])
            for entry in entries(source.properties["sourceMetadata"])
        ]
        for disk in self._disks:
            self._freeze(disk.hidden["image"], remote=True)
        metadata = copy.deepcopy(source.properties["sourceMetadata"])
        for entry in entries(metadata):
            del entry["diskRestorePoint"]
        return {
            "sourceMetadata": metadata,
            "provisioningState": "Creating",
            "consistencyMode": source.properties["consistencyMode"],
            "sourceRestorePoint": {"id": self._model.source},
            "timeCreated": source.properties["timeCreated"],
        }

    def _hidden(self) -> dict[str, Any]:
        return {"vm_id": self._source.hidden.get("vm_id")}

    def _find_source(self) -> Resource:
        state, asked = self._state, self._model.source or ""
        source = state.resources.get(asked)
        if source is None or source.type != RESTORE_POINT_TYPE:
            raise entity_not_found()
        home = source.id.rsplit("/", 2)[0]
        if not same_id(self._collection.properties["source"]["id"], home):
            raise invalid_parameter(
                "The source of the restore point collection is not the restore point collection"
                f" of the source restore point: '{home}'."
            )
        if source.properties.get("sourceRestorePoint"):
            raise _refused("a restore point that is itself a copy cannot be copied.")
        if source.properties["provisioningState"] != "Succeeded" or any(
            done < 100
            for disk in disks_in(state, source)
            if (done := percent(state, disk)) is not None
        ):
            raise _refused(f"source restore point {source.name} is not ready.")
        for other in state.resources.below(self._collection.id):
            held = other.body["properties"].get("sourceRestorePoint", {}).get("id", "")
            failed = other.body["properties"].get("provisioningState") == "Failed"
            if other.type == RESTORE_POINT_TYPE and same_id(held, source.id) and not failed:
                raise _refused(
                    f"source restore point {source.name} has been copied to restore point"
                    f" collection {self._collection.name} already, as {other.name}."
                )
        return source

    def _complete(self) -> None:
        metadata = copy.deepcopy(self.point.properties["sourceMetadata"])
        location = self._collection.location
        for entry, disk, image in zip(entries(metadata), self._disks, self._images, strict=True):
            made = add_from_copy(self._state, self.point, disk, image, location)
            self._replicate(made, metadata["location"])
            entry["diskRestorePoint"] = {
                "sourceDiskRestorePoint": {"id": disk.id},
                "encryption": self._encryption_asked(disk.id),
                "id": made.id,
            }
        self._succeed(metadata, self.point.properties["consistencyMode"])

    def _encryption_asked(self, disk_restore_point: str) -> dict[str, Any]:
        """The key of a copy: the caller's where one is given, else the platform's."""
        for entry in entries(self._model.metadata):
            asked = entry.get("diskRestorePoint") or {}
            named = (asked.get("sourceDiskRestorePoint") or {}).get("id", "")
            if same_id(named, disk_restore_point) and asked.get("encryption"):
                return copy.deepcopy(asked["encryption"])
        return {"type": PLATFORM_KEY}


def _refused(reason: str) -> ArmError:
    return conflict(
        "OperationNotAllowed", f"Operation 'Copy Restore Point' is not allowed: {reason}"
    )
