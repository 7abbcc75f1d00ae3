# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors that the engine raises. Private to this collection.

Every error is a whole sentence for a person (``message``), with what a program needs beside it
(``failure()``). No text of an error holds a secret: all of it goes through ``scrub``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from ._secrets import scrub


def _clean(text: object, secrets: Iterable[str | None]) -> str | None:
    return None if text is None else scrub(str(text), *secrets)


class VmguardError(Exception):
    """What every error of the engine is.

    Args:
        message: what is wrong, as a sentence that stands on its own.
        code: Azure's own code, or a name of ours in the same style. Each class has a default.
        operation: what was being done, as a verb phrase: ``create restore point``.
        resource: the resource's id or name.
        request_id: Azure's id of the request, for its support.
        hint: what the reader can do about it, as a sentence.
        secrets: literal values to remove from all of these.
    """

    default_code = "Failed"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        operation: str | None = None,
        resource: str | None = None,
        request_id: str | None = None,
        hint: str | None = None,
        secrets: Iterable[str | None] = (),
    ) -> None:
        secrets = tuple(secrets)
        self.message = scrub(str(message), *secrets)
        self.code = _clean(code, secrets) or self.default_code
        self.operation = _clean(operation, secrets)
        self.resource = _clean(resource, secrets)
        self.request_id = _clean(request_id, secrets)
        self.hint = _clean(hint, secrets)
        super().__init__(self.message)

    def __str__(self) -> str:
        """The message and the request's id; the hint stands beside it, in ``hint``."""
        return f"{self.message} (request id {self.request_id})" if self.request_id else self.message

    def failure(self) -> dict[str, str | None]:
        """The error as data. Every key is always there; the values are text or None."""
        return {
            "code": self.code,
            "message": self.message,
            "operation": self.operation,
            "resource": self.resource,
            "request_id": self.request_id,
            "hint": self.hint,
        }


class InputError(VmguardError):
    """The user's parameters are wrong, contradictory or incomplete."""

    default_code = "InvalidInput"


class MissingLibrary(VmguardError):
    """A Python package is not installed for the interpreter that runs the module."""

    default_code = "MissingLibrary"


def missing_library(package: str, purpose: str) -> MissingLibrary:
    """The error for a package that is not there.

    Args:
        package: its name on PyPI.
        purpose: what it is needed for, as the end of a sentence: ``to log in to Azure``.
    """
    return MissingLibrary(
        f"The Python package {package} is needed {purpose} and is not installed"
        f" for {sys.executable}.",
        hint=f"Install it with '{sys.executable} -m pip install {package}'.",
    )


class AuthError(VmguardError):
    """There is no login: the credential was refused, or no token could be had."""

    default_code = "AuthenticationFailed"


class ConnectionFailed(VmguardError):
    """No answer, or half of one: name resolution, TLS, refused, reset, timed out."""

    default_code = "ConnectionFailed"


class WriteRefused(VmguardError):
    """A request that would change something was about to be sent in check mode."""

    default_code = "WriteRefused"


class AzureError(VmguardError):
    """Azure answered, and refused.

    Args:
        status: the HTTP status, None when there was none.
        retry_after: seconds that Azure asks to wait, None when it does not say.
    """

    default_code = "AzureError"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.status = status
        self.retry_after = retry_after


class NotFound(AzureError):
    """The resource, its parent or its resource group does not exist (404, nothing else)."""

    default_code = "NotFound"


class Conflict(AzureError):
    """The resource's state does not allow it (409, 412)."""

    default_code = "Conflict"


class Throttled(AzureError):
    """Too many requests, and the retries are used up (429)."""

    default_code = "TooManyRequests"


class OperationFailed(AzureError):
    """A long-running operation was accepted and ended as Failed or Canceled."""

    default_code = "OperationFailed"


class OperationTimeout(VmguardError):
    """A long-running operation goes on, but the time to wait for it is over."""

    default_code = "OperationTimeout"


class WaitInterrupted(VmguardError):
    """A wait was ended by the caller's own program."""

    default_code = "WaitInterrupted"


class StorageError(VmguardError):
    """The place of a repository, or an object in it, is not as it has to be."""

    default_code = "StorageError"


class ObjectNotFound(StorageError):
    """There is no object of this name."""

    default_code = "ObjectNotFound"


class ObjectExists(StorageError):
    """There is an object of this name, with another content."""

    default_code = "ObjectExists"


class ObjectTooLarge(StorageError):
    """An object has more bytes than it may have."""

    default_code = "ObjectTooLarge"


class StorageFull(StorageError):
    """The disk, the quota or the storage account is full."""

    default_code = "StorageFull"


class StorageDenied(StorageError):
    """No permission, or an immutability policy refuses."""

    default_code = "StorageDenied"


class StorageUnavailable(StorageError):
    """The storage does not answer, and the retries are used up."""

    default_code = "StorageUnavailable"
