# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Azure Storage answers when it refuses, as our errors and sentences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._azure_errors import from_azure
from .._errors import (
    ConnectionFailed,
    ObjectNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
    VmguardError,
)
from .blob_login import KEY, SAS, TOKEN, BlobLogin

ROLE = "Storage Blob Data Contributor"

_BY_LOGIN = {
    KEY: "Give one of the keys that 'az storage account keys list' shows for this account.",
    SAS: "Give a SAS that is valid for the container, with the permissions read, create, write,"
    " delete and list (racwdl).",
    TOKEN: f"Give the principal the role {ROLE} on the container or the storage account; a new"
    " role takes some minutes to be in force.",
}
# Codes for which the kind of login does not tell what to do.
# Source: https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes
_HINTS = {
    "AuthorizationSourceIPMismatch": "The SAS is for other addresses than this machine's.",
    "KeyBasedAuthenticationNotPermitted": (
        "The storage account does not allow keys: leave out account_key, sas and"
        f" connection_string, and give the task's Azure login the role {ROLE}."
    ),
    "AccountIsDisabled": "Enable the storage account.",
    "BlobArchived": "Move the blob out of the archive tier; that takes hours.",
    "BlobBeingRehydrated": "Wait until the blob has left the archive tier.",
    "ContainerBeingDeleted": "Wait until Azure has deleted the old container, and run again.",
    "LeaseIdMissing": "Somebody holds a lease on it: break or release the lease.",
    "SnapshotsPresent": "The blob has snapshots: delete them, or wait until they expire.",
}
_GONE_CONTAINER = ("ContainerNotFound", "ResourceNotFound")
_FULL = ("AccountLimitExceeded", "InsufficientStorage", "MemoryExtentStoreAtSizeLimit")
_TEMPORARY = (408, 429, 500, 502, 503, 504)
# Besides whatever an immutability policy or a legal hold refuses.
_DENIED_CONFLICTS = ("SnapshotsPresent", "LeaseIdMissing", "PathImmutable")


@dataclass(frozen=True)
class Place:
    """What the sentences name; ``description`` is the store's."""

    description: str
    container: str
    login: BlobLogin


def code_of(error: Any) -> str:
    """Azure's code, empty where there was no answer or none in it."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    code = headers.get("x-ms-error-code") or getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))


def status_of(error: Any) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def is_taken(error: Any) -> bool:
    """Whether a create was refused because there is an object of this name."""
    code, status = code_of(error), status_of(error)
    return code == "BlobAlreadyExists" or (
        (status == 412 and code == "ConditionNotMet") or (status == 409 and "Immutable" in code)
    )


def translate(error: Exception, place: Place, operation: str, name: str | None) -> VmguardError:
    """The error to raise ``from error``.

    Args:
        error: of azure-core, or the ValueError of an SDK that cannot read the answer.
        operation: a verb: ``read``.
        name: the object's, None for the container.
    """
    what = f"object {name} in the {place.description}" if name else f"the {place.description}"
    details: dict[str, Any] = {
        "operation": operation,
        "resource": name or place.container,
        "secrets": place.login.secrets,
    }
    status = status_of(error)
    if status is None or status < 400:
        return _no_answer(error, place, f"Cannot {operation} {what}", details)
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    code = code_of(error)
    if _is_token_refusal(error, headers, status):
        return from_azure(error, operation=operation, resource=what, secrets=place.login.secrets)
    details["request_id"] = headers.get("x-ms-request-id")
    details["code"] = code or f"HTTP{status}"
    details["hint"] = _HINTS.get(code)
    says = f"{code or f'HTTP {status}'}: {_first_line(error)}"
    return _refused(status, code)(says, what, place, details)


def _is_token_refusal(error: Exception, headers: Any, status: int) -> bool:
    """Whether it was Microsoft Entra ID that answered; without those headers a 403 is a proxy's."""
    from azure.core.exceptions import ClientAuthenticationError

    storage = "x-ms-version" in headers or "x-ms-error-code" in headers
    return isinstance(error, ClientAuthenticationError) and not storage and status != 403


def _refused(status: int, code: str) -> Callable[[str, str, Place, dict[str, Any]], StorageError]:
    if status in (401, 403):
        return _denied
    if status == 404:
        return _no_container if code in _GONE_CONTAINER else _no_object
    if status == 507 or code in _FULL:
        return _full
    if code in _DENIED_CONFLICTS or "Immutable" in code:
        return _protected
    if status in _TEMPORARY or code == "ContainerBeingDeleted":
        return _unavailable
    return _other


def _denied(says: str, what: str, place: Place, details: dict[str, Any]) -> StorageError:
    details["hint"] = details["hint"] or _BY_LOGIN[place.login.kind]
    if details["code"] == "AuthorizationFailure":
        details["hint"] += " Check the storage account's firewall, too."
    role = f", which needs the role {ROLE}" if place.login.kind == TOKEN else ""
    return StorageDenied(
        f"Storage account {place.login.account} refuses to {details['operation']} {what}"
        f" with {place.login.description}{role}. Azure says: {says}",
        **details,
    )


def _no_container(says: str, what: str, place: Place, details: dict[str, Any]) -> StorageError:
    del says, what
    details["hint"] = "Check container and account_url, or create the repository first."
    return StorageError(
        f"There is no container {place.container} in storage account {place.login.account}.",
        **details,
    )


def _no_object(says: str, what: str, place: Place, details: dict[str, Any]) -> StorageError:
    del says, place
    details["code"] = ObjectNotFound.default_code
    return ObjectNotFound(f"There is no {what}.", **details)


def _full(says: str, what: str, place: Place, details: dict[str, Any]) -> StorageError:
    details["hint"] = "Make room there, or raise its limit; what was stored before is untouched."
    return StorageFull(
        f"Storage account {place.login.account} has no room to {details['operation']} {what}."
        f" Azure says: {says}",
        **details,
    )


def _protected(says: str, what: str, place: Place, details: dict[str, Any]) -> StorageError:
    details["hint"] = details["hint"] or (
        "An immutability policy or a legal hold protects it; it can go when that has ended."
    )
    return StorageDenied(
        f"Storage account {place.login.account} refuses to {details['operation']} {what}."
        f" Azure says: {says}",
        **details,
    )


def _unavailable(says: str, what: str, place: Place, details: dict[str, Any]) -> StorageError:
    details["hint"] = details["hint"] or "Run again later."
    return StorageUnavailable(
        f"Storage account {place.login.account} does not {details['operation']} {what} at present,"
        f" after several tries. Azure says: {says}",
        **details,
    )


def _other(says: str, what: str, place: Place, details: dict[str, Any]) -> StorageError:
    return StorageError(
        f"Cannot {details['operation']} {what}. Storage account {place.login.account} says: {says}",
        **details,
    )


def _no_answer(error: Exception, place: Place, what: str, details: dict[str, Any]) -> VmguardError:
    """No answer, one that broke off, one that nobody understands, or no token to ask with."""
    from azure.core import exceptions as azure

    found = from_azure(
        error,
        operation=details["operation"],
        resource=place.description,
        secrets=place.login.secrets,
    )
    if isinstance(found, ConnectionFailed):
        _start, _colon, cause = found.message.partition(": ")
        hint = (found.hint or "Run again.").replace("cloud_environment", "account_url")
        return StorageUnavailable(f"{what}: {cause}", hint=hint, **details)
    if isinstance(error, azure.ClientAuthenticationError):
        return found
    return StorageError(
        f"{what}: what answers for storage account {place.login.account} is not Azure Storage.",
        hint="Check account_url, and the proxy.",
        **details,
    )


def _first_line(error: Any) -> str:
    """Azure's message without what follows it (ids, times, the text that was to be signed)."""
    text = str(getattr(error, "message", None) or error).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"
