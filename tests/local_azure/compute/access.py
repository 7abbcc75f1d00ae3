"""Signed access to the bytes of disks, snapshots and disk restore points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arm.operations import DISK_OPERATIONS
from ..arm.resources import Resource
from ..arm.router import Call
from ..errors import ArmError, conflict, invalid_parameter
from ..http_types import Response
from ..state import State
from ..storage.image import MIB
from ..storage.page_blob import PageBlob
from ..storage.sas import AccessConflictError
from ..storage.vhd import VhdFooterError
from ..storage.vhdx import VhdxBlob
from .disk_model import sector_size
from .tracked import empty_answer, source_not_found

SHORTEST, LONGEST = 60, 60 * 24 * 3600  # seconds; the longest since February 2025
_FORMAT_SINCE = "2023-01-02"
GUEST_STATE_SIZE = 4 * MIB


class Access:
    """``beginGetAccess`` and ``endGetAccess`` of one kind of resource.

    Args:
        rate: the header with the calls that remain.
        check: raises when this resource cannot be given ``Read`` or ``Write`` access.
    """

    def __init__(
        self, state: State, rate: dict[str, str], check: Callable[[Resource, str], None]
    ) -> None:
        self._state = state
        self._rate = rate
        self._check = check

    def begin(self, call: Call, resource: Resource, location: str) -> Response:
        body = call.body()
        access, seconds = _asked(body)
        check_network(resource)
        _check_format(resource, body, call.api_version)
        self._check(resource, access)
        held = self._state.sas.active_for(resource.id)
        if held is not None and held.access != access:
            raise _other_access(resource)
        output: dict[str, Any] = {}

        def finish() -> None:
            output.update(self._grant(resource, access, seconds))
            if access == "Write" and body.get("getSecureVMGuestStateSAS"):
                output["securityDataAccessSAS"] = self._grant_guest_state(resource, seconds)

        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=location,
            seconds=self._state.config.durations.access,
            finish=finish,
            answer=lambda: output,
        )
        return empty_answer(self._state, call, operation, self._rate)

    def end(self, call: Call, resource: Resource, location: str) -> Response:
        operation = self._state.operations.start(
            kind=DISK_OPERATIONS,
            subscription=call["subscription"],
            location=location,
            seconds=self._state.config.durations.access,
            finish=lambda: revoke(self._state, resource),
        )
        return empty_answer(self._state, call, operation, self._rate)

    def _grant(self, resource: Resource, access: str, seconds: int) -> dict[str, str]:
        if self._state.resources.get(resource.id) is not resource:
            raise source_not_found(resource.id)
        if "diskState" in resource.properties:
            self._check(resource, access)
        blob = resource.hidden.get("upload") or _exported(resource)
        try:
            grant = self._state.sas.grant(
                resource.id, blob, access, seconds, with_token=takes_token(resource)
            )
        except AccessConflictError as error:
            raise _other_access(resource) from error
        if "diskState" in resource.properties:
            active = "ActiveUpload" if access == "Write" else "ActiveSAS"
            resource.properties["diskState"] = active
        return {"accessSAS": grant.url}

    def _grant_guest_state(self, resource: Resource, seconds: int) -> str:
        blob = resource.hidden.get("guest_state")
        if blob is None:
            blob = PageBlob(self._state.store.create(GUEST_STATE_SIZE), upload=True)
            resource.hidden["guest_state"] = blob
        return self._state.sas.grant(_guest_state_id(resource), blob, "Write", seconds).url


def takes_token(resource: Resource) -> bool:
    """Whether the signature is good only beside an Entra token (disks-secure-upload-download).

    A disk restore point shows no ``dataAccessAuthMode``; that it follows its disk is not recorded.
    """
    mode = resource.properties.get("dataAccessAuthMode") or resource.hidden.get("auth_mode")
    return mode == "AzureActiveDirectory"


def revoke(state: State, resource: Resource) -> None:
    """End the access to a resource; the end of an upload is also its acceptance.

    Raises:
        ArmError: when what was uploaded is not a disk.
    """
    state.sas.revoke(_guest_state_id(resource))
    state.sas.revoke(resource.id)
    refresh(state, resource)
    if resource.properties.get("diskState") != "ActiveUpload":
        return
    upload: PageBlob = resource.hidden["upload"]
    try:
        _check_sectors(resource)
        upload.finish_upload()
    except VhdFooterError as error:
        resource.properties["diskState"] = "ReadyToUpload"
        raise ArmError(400, "InvalidVhd", str(error)) from error
    del resource.hidden["upload"]
    resource.properties["diskState"] = "Unattached"


def _check_sectors(resource: Resource) -> None:
    """A VHD has sectors of 512 bytes, and nothing else is uploaded here; the words are assumed."""
    if sector_size(resource) != 512:
        raise VhdFooterError(
            f"Disk {resource.name} has logical sectors of {sector_size(resource)} bytes, a VHD of"
            " 512. Set creationData.logicalSectorSize to 512."
        )


def refresh(state: State, resource: Resource) -> None:
    """Put ``diskState`` back when a signature for reading has ended by itself."""
    properties = resource.properties
    if properties.get("diskState") == "ActiveSAS" and not state.sas.active_for(resource.id):
        properties["diskState"] = "Reserved" if resource.body.get("managedBy") else "Unattached"


def in_use(state: State, resource: Resource) -> bool:
    """Whether somebody has signed access to the resource."""
    return state.sas.active_for(resource.id) is not None


def active_access_error(resource: Resource) -> ArmError:
    kind = "snapshot" if "/snapshots/" in resource.id.lower() else "disk"
    return conflict(
        "OperationNotAllowed",
        f"There is an active shared access signature outstanding for {kind} {resource.name}."
        f" Call EndGetAccess before attaching or deleting the {kind}."
        " Learn more here: aka.ms/revokesas.",
    )


def check_network(resource: Resource) -> None:
    """Refuse access that the resource's network settings forbid. The text is not recorded."""
    properties = resource.properties
    if properties.get("networkAccessPolicy") == "DenyAll":
        raise conflict(
            "OperationNotAllowed",
            f"Access to {resource.name} cannot be granted: its networkAccessPolicy is DenyAll.",
        )
    if properties.get("publicNetworkAccess") == "Disabled" and not properties.get("diskAccessId"):
        raise conflict(
            "OperationNotAllowed",
            f"Access to {resource.name} cannot be granted: its publicNetworkAccess is Disabled.",
        )


def read_only(resource: Resource, access: str) -> None:
    """Refuse write access to what is immutable."""
    if access != "Read":
        raise invalid_parameter(
            f"The value '{access}' of parameter 'access' is invalid: {resource.name} can only"
            " be read."
        )


def _exported(resource: Resource) -> PageBlob:
    kind = VhdxBlob if sector_size(resource) == 4096 else PageBlob
    return kind(resource.hidden["image"])


def _check_format(resource: Resource, body: dict[str, Any], api_version: str) -> None:
    """Refuse access to what is exported as VHDX to a client that does not ask for that."""
    if sector_size(resource) != 4096 or api_version < _FORMAT_SINCE:
        return
    if body.get("fileFormat") != "VHDX":
        raise ArmError(
            400,
            "BadRequest",
            "Accessing disk or snapshot with a logical sector size of 4096 requires specifying the"
            " file format. Set the fileFormat property to VHDX.",
        )


def _asked(body: dict[str, Any]) -> tuple[str, int]:
    access, seconds = body.get("access"), body.get("durationInSeconds")
    if access not in ("Read", "Write"):
        raise invalid_parameter(f"The value '{access}' of parameter 'access' is invalid.")
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise invalid_parameter("Required parameter 'durationInSeconds' is missing (null).")
    if not SHORTEST <= seconds <= LONGEST:
        raise invalid_parameter(
            f"The value '{seconds}' of parameter 'durationInSeconds' is out of range. The value"
            f" must be between '{SHORTEST}' and '{LONGEST}', inclusive.",
            "durationInSeconds",
        )
    return access, seconds


def _other_access(resource: Resource) -> ArmError:
    return conflict(
        "OperationNotAllowed",
        f"There is an active shared access signature of another access level outstanding for"
        f" {resource.name}. Call EndGetAccess first.",
    )


def _guest_state_id(resource: Resource) -> str:
    return f"{resource.id}/guestState"
