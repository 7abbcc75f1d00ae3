"""Where the content of a new disk or snapshot comes from."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from ..arm.resources import Resource
from ..errors import ArmError, conflict, invalid_parameter, missing_parameter
from ..state import State
from ..storage.image import Image
from ..storage.vhd import FOOTER_SIZE
from .blob_import import import_blob
from .disk_model import DISK_TYPE, GIB, sector_size
from .progress import is_usable, percent
from .tracked import member, normal_location, source_not_found

SNAPSHOT_TYPE = "Microsoft.Compute/snapshots"
DISK_RESTORE_POINT_TYPE = (
    "Microsoft.Compute/restorePointCollections/restorePoints/diskRestorePoints"
)
SMALLEST_UPLOAD, LARGEST_UPLOAD = 20_972_032, 35_183_298_347_520
LARGEST_DISK_GB, LARGEST_OTHERS_GB = 65_536, 32_767  # Ultra and Premium SSD v2; others
INHERITED = (
    "osType", "hyperVGeneration", "securityProfile", "supportsHibernation", "purchasePlan",
    "supportedCapabilities",
)  # fmt: skip


@dataclass
class Content:
    """What a new disk or snapshot will hold; ``load`` fetches an image that is not there yet."""

    size_gb: int
    creation_data: dict[str, Any]
    image: Image | None = None
    load: Callable[[], Image] | None = None
    inherited: dict[str, Any] = field(default_factory=dict)
    upload: bool = False

    def ready(self, asked_gb: int | None) -> Image:
        """The image, fetched when need be."""
        if self.image is None and self.load is not None:
            self.image = self.load()
            self.size_gb = max(gigabytes(self.image.size), asked_gb or 0)
            if asked_gb and self.image.size < asked_gb * GIB and not self.image.frozen:
                self.image.resize(asked_gb * GIB)
        if self.image is None:
            raise AssertionError("a content has an image or a way to load it")
        return self.image


def kept_sector_size(source: Resource) -> dict[str, int]:
    """What a copy keeps of the sectors of its source; nothing is said of the usual 512 bytes."""
    size = sector_size(source)
    return {"logicalSectorSize": size} if size != 512 else {}


def gigabytes(size: int) -> int:
    """GiB, rounded up."""
    return -(-size // GIB)


def family_in_region(image: Image, location: str) -> int:
    """The family of copies of an image in another region: one for all copies of one disk there.

    Changes are computed among the copies, not between a copy and its source.
    """
    return zlib.crc32(normal_location(location).encode()) << 64 | image.family


def derived_guid(*parts: str) -> str:
    """A GUID that is the same for the same parts."""
    return str(uuid5(NAMESPACE_URL, "\n".join(parts)))


def asked_size(properties: dict[str, Any]) -> int | None:
    """``diskSizeGB`` of a request."""
    value = properties.get("diskSizeGB")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_DISK_GB:
        raise size_refused(value, LARGEST_DISK_GB)
    return value


def size_refused(value: Any, largest: int) -> ArmError:
    return invalid_parameter(
        f"The value '{value}' of parameter 'disk.diskSizeGb' is out of range. The value must"
        f" be between '1' and '{largest}', inclusive.",
        "disk.diskSizeGb",
    )


def resized_down() -> ArmError:
    """What the operation fails with that was to make a disk smaller than its source.

    As recorded (operations_failed).
    """
    return invalid_parameter("Disks or snapshot cannot be resized down.")


def check_instant_access(data: dict[str, Any]) -> None:
    """Refuse instant access for what is no copy.

    Raises:
        ArmError: 400, in the words of azure-cli#32818.
    """
    name, option = "instantAccessDurationMinutes", data.get("createOption")
    if data.get(name) is not None and option != "Copy":
        raise invalid_parameter(
            f"'creationData.{name}' property is not supported with the '{option}' create option."
            " Supported create option : 'Copy'",
            f"creationData.{name}",
        )


def source_id(creation_data: dict[str, Any]) -> str:
    """The resource to copy; ``sourceUri`` may name one too."""
    found = creation_data.get("sourceResourceId") or creation_data.get("sourceUri")
    if not isinstance(found, str) or not found:
        raise missing_parameter("creationData.sourceResourceId")
    return found


def find_source(
    state: State, resource_id: str, types: tuple[str, ...], location: str | None
) -> Resource:
    """The resource to copy from, in the region asked (None: any), with its data complete."""
    found = state.resources.get(resource_id)
    if found is None or found.type not in types:
        raise source_not_found(resource_id)
    if location is not None and normal_location(region_of(state, found)) != location:
        raise source_not_found(resource_id)
    check_complete(state, found)
    return found


def region_of(state: State, resource: Resource) -> str:
    """The region of a resource; a disk restore point is where its collection is."""
    if resource.type != DISK_RESTORE_POINT_TYPE:
        return resource.location
    collection = state.resources.get("/".join(resource.id.split("/")[:9]))
    return collection.location if collection else ""


def check_complete(state: State, resource: Resource) -> None:
    """Refuse a source that has no content yet, or whose copy is still under way."""
    known = resource.hidden.get("size_gb") or resource.properties.get("diskSizeGB")
    if not known or resource.hidden.get("image") is None or "upload" in resource.hidden:
        raise conflict(
            "OperationNotAllowed",
            f"Resource {resource.name} is not ready: its content is not there yet.",
        )
    done = percent(state, resource)
    if not is_usable(state, resource):
        raise conflict(
            "OperationNotAllowed",
            f"The copy of {resource.name} is not complete: it is at {done:g} percent."
            " Please retry when completionPercent is 100.",
        )


def disk_content(state: State, properties: dict[str, Any], location: str) -> Content:
    """The content that a PUT of a disk asks for."""
    data = dict(member(properties, "creationData"))
    option, size = data.get("createOption"), asked_size(properties)
    if option == "Empty":
        if size is None:
            raise missing_parameter("disk.diskSizeGB")
        return Content(size, data, state.store.create(size * GIB))
    if option in ("Copy", "Restore"):
        return _copied(state, data, size, location)
    if option == "Import":
        return imported(state, data, size)
    if option in ("Upload", "UploadPreparedSecure"):
        return _uploaded(state, data)
    raise invalid_parameter(
        f"The value '{option}' of parameter 'creationData.createOption' is invalid."
    )


def _copied(state: State, data: dict[str, Any], size: int | None, location: str) -> Content:
    restore = data["createOption"] == "Restore"
    types = (DISK_RESTORE_POINT_TYPE,) if restore else (DISK_TYPE, SNAPSHOT_TYPE)
    source = find_source(state, source_id(data), types, location)
    held = source.hidden.get("size_gb") or source.properties["diskSizeGB"]
    if size is not None and size < held:
        return Content(size, data, load=_too_small)
    image: Image = source.hidden["image"]
    grown = size * GIB if size and size > held else None
    kept: dict[str, Any] = {
        "createOption": data["createOption"],
        "sourceResourceId": source_id(data),
        "sourceUniqueId": None if restore else source.properties["uniqueId"],
    }
    kept = {key: value for key, value in kept.items() if value is not None}
    kept |= kept_sector_size(source)
    inherited = {key: source.properties[key] for key in INHERITED if key in source.properties}
    return Content(size or held, kept, state.store.fork(image, grown), inherited=inherited)


def _too_small() -> Image:
    raise resized_down()


def imported(state: State, data: dict[str, Any], size: int | None) -> Content:
    """Content that is fetched from a blob when the operation ends."""
    url = data.get("sourceUri")
    if not isinstance(url, str) or not url:
        raise missing_parameter("creationData.sourceUri")
    return Content(size or 0, data, load=lambda: import_blob(state, url))


def _uploaded(state: State, data: dict[str, Any]) -> Content:
    size = data.get("uploadSizeBytes")
    if (
        isinstance(size, bool)
        or not isinstance(size, int)
        or not SMALLEST_UPLOAD <= size <= LARGEST_UPLOAD
        or size % FOOTER_SIZE
    ):
        raise invalid_parameter(
            f"The value '{size}' of parameter 'creationData.uploadSizeBytes' is invalid. It is a"
            f" multiple of 512 from {SMALLEST_UPLOAD} to {LARGEST_UPLOAD}, footer included."
        )
    image = state.store.create(size - FOOTER_SIZE)
    return Content(gigabytes(image.size), data, image, upload=True)
