# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed access to the bytes of disks, snapshots and disk restore points."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .._arm.client import ArmClient
from .._azure_errors import from_azure
from .._clock import SystemClock
from .._errors import AzureError, InputError, NotFound, OperationFailed, VmguardError
from .ids import ResourceId
from .passing import wait_out

DEFAULT_SECONDS = 4 * 3600
REVOKE_ATTEMPTS = 3
# What is left of the task's time at least, to ask for access or to end it: a backup may take
# longer than its waiting for Azure, and access is ended however late it is.
_PATIENCE = 300.0
_REVOKE_PAUSE = 2.0
# Threads that were refused together ask for a new URL together; one of them gets it.
_JUST_NOW = 5.0
# What a disk takes beside the signature where its dataAccessAuthMode says so. The slash at the end of
# the audience is part of it (AzCopy: "the service checks explicitly for https://disk.azure.com/").
ENTRA_MODE = "AzureActiveDirectory"
DISK_SCOPE = "https://disk.azure.com//.default"
_TOKEN_MARGIN = 300.0
_GONE = ("NotFound", "ResourceNotFound")
_KINDS = {"disks": ("disks", "disk"), "snapshots": ("snapshots", "snapshot")}


def grant(arm: ArmClient, resource_id: str, seconds: int, access: str = "Read") -> str:
    """A signed URL to the bytes. While one is valid, Azure extends it and gives it again.

    What passes by itself, such as a change of the resource, is waited out.

    Args:
        resource_id: of a managed disk, a snapshot or a disk restore point.
        seconds: how long it is good for.
        access: ``Read``, or ``Write`` for a disk that was made for an upload.

    Raises:
        InputError: the id is none of those, or of another subscription.
        NotFound: it does not exist.
        Conflict: its state or its network settings forbid it, or too many have access.
    """
    operations, address, _label = _target(arm, resource_id)
    body = {"access": access, "durationInSeconds": seconds}

    def ask() -> Any:
        return arm.run(
            f"{operations}.begin_grant_access", resource_id, *address, body=body,
            final_state_via="location",
        )  # fmt: skip

    found = wait_out(arm, ask)
    url = _signed_url(found)
    if not url:
        raise AzureError(
            f"Azure granted access to {resource_id} and gives no URL.",
            code="NoAccessUrl",
            operation="grant access",
            resource=resource_id,
        )
    return url


def revoke(arm: ArmClient, resource_id: str) -> None:
    """End all access to the bytes, whether there is any or not, and whether it still exists.

    For an upload this is what makes a disk of it.

    Raises:
        InputError: as ``grant``.
        OperationFailed: Azure could not; what was uploaded may be no disk.
    """
    operations, address, _label = _target(arm, resource_id)
    try:
        arm.run(f"{operations}.begin_revoke_access", resource_id, *address)
    except NotFound:
        return
    except OperationFailed as error:
        if error.code not in _GONE:
            raise


def takes_token(resource: dict[str, Any]) -> bool:
    """Whether reading or writing a disk or snapshot takes an Entra token beside the signature."""
    return (resource.get("properties") or {}).get("dataAccessAuthMode") == ENTRA_MODE


class ArmAccess:
    """Access to one resource's bytes while it is needed. Thread-safe; a context manager.

    It is granted when a URL is first asked for, granted anew when less than a tenth of its time is
    left, and revoked by ``close``, after which it is not granted again.

    Args:
        seconds: for how long each time.
        with_token: an Entra token is needed beside the URL. It is also sent once it was asked for.
        on_grant: called with the resource's id before access is first asked for, so that what a
            killed run leaves behind can be known.

    Attributes:
        name: the resource's kind and name, for messages.
    """

    def __init__(
        self,
        arm: ArmClient,
        resource_id: str,
        *,
        clock: SystemClock,
        seconds: int = DEFAULT_SECONDS,
        access: str = "Read",
        with_token: bool = False,
        on_grant: Callable[[str], None] | None = None,
    ) -> None:
        _operations, address, label = _target(arm, resource_id)
        self.resource_id = resource_id
        self.name = f"{label} {address[-1]}"
        self._arm = arm
        self._clock = clock
        self._seconds = seconds
        self._access = access
        self._with_token = with_token
        self._token: Any = None
        self._token_since = 0.0
        self._on_grant = on_grant
        self._lock = threading.RLock()
        self._url: str | None = None
        self._renewed: str | None = None
        self._granted_at = self._renew_at = self._ends_at = 0.0
        self._outstanding = self._closed = False

    @property
    def outstanding(self) -> bool:
        """Whether access may be in force: asked for, and not known to be revoked."""
        return self._outstanding

    def url(self) -> str:
        """A URL that is valid now.

        Raises:
            As ``grant``.
        """
        with self._lock:
            now = self._clock.monotonic()
            if self._url is None or now >= self._ends_at:
                return self._grant()
            if now < self._renew_at:
                return self._url
            try:
                return self._grant()
            except VmguardError:
                # It is good for a while yet: the next attempt comes when half of that is over.
                self._renew_at = now + (self._ends_at - now) / 2
                return self._url

    def renew(self, seen: str) -> str:
        """A URL after 403 for ``seen``; another thread may have asked for it already.

        Raises:
            As ``grant``.
        """
        with self._lock:
            fresh = self._clock.monotonic() - self._granted_at < _JUST_NOW
            if self._url is not None and (self._url != seen or (fresh and self._renewed == seen)):
                return self._url
            url = self._grant()
            self._renewed = seen
            return url

    def headers(self) -> dict[str, str]:
        """What requests carry beside the URL: a token that is valid for a while, where one is needed.

        Raises:
            VmguardError: there is no token to be had.
        """
        if not self._with_token:
            return {}
        with self._lock:
            now = self._clock.now().timestamp()
            held = self._token
            left = held.expires_on - now if held else 0.0
            if held is None or left <= min(_TOKEN_MARGIN, (left + now - self._token_since) / 2):
                try:
                    self._token, self._token_since = self._new_token(), now
                except VmguardError:
                    # The one there is may be good for a while yet.
                    if left <= 0:
                        raise
            return {"Authorization": f"Bearer {self._token.token}"}

    def challenged(self, seen: dict[str, str]) -> bool:
        """After 401: whether another attempt may go better, with a token that was not sent yet.

        Args:
            seen: the headers that were refused.
        """
        with self._lock:
            self._with_token = True
            if self._token is not None and self.headers() == seen:
                self._token = None
            return self.headers() != seen

    def _new_token(self) -> Any:
        try:
            return self._arm.login.credential.get_token(DISK_SCOPE)
        except Exception as error:
            from azure.core.exceptions import AzureError as SdkError

            if not isinstance(error, SdkError):
                raise
            what = "get a token for the data of managed disks"
            raise from_azure(error, operation=what, resource=self.resource_id) from error

    def close(self) -> None:
        """Revoke it, where it was ever asked for.

        Raises:
            VmguardError: it could not be revoked in three attempts; ``outstanding`` stays true.
        """
        with self._lock:
            self._url = None
            self._closed = True
            if not self._outstanding:
                return
            for attempt in range(1, REVOKE_ATTEMPTS + 1):
                self._arm.deadline.ensure(_PATIENCE)
                try:
                    revoke(self._arm, self.resource_id)
                except VmguardError:
                    if attempt == REVOKE_ATTEMPTS:
                        raise
                    self._clock.sleep(_REVOKE_PAUSE * attempt)
                else:
                    break
            self._outstanding = False

    def __enter__(self) -> ArmAccess:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            self.close()
        except VmguardError:
            # What went wrong first is what the user has to hear of.
            if error is None:
                raise

    def _grant(self) -> str:
        if self._closed:
            raise VmguardError(
                f"The access to {self.name} has been given back.",
                code="AccessClosed",
                resource=self.resource_id,
            )
        if not self._outstanding:
            if self._on_grant is not None:
                self._on_grant(self.resource_id)
            self._outstanding = True
        self._arm.deadline.ensure(_PATIENCE)
        asked_at = self._clock.monotonic()
        self._url = grant(self._arm, self.resource_id, self._seconds, self._access)
        self._granted_at = self._clock.monotonic()
        self._ends_at = asked_at + self._seconds
        self._renew_at = asked_at + self._seconds * 0.9
        self._renewed = None
        return self._url


def _signed_url(found: Any) -> str | None:
    """The URL, in either of the two shapes in which operations end."""
    if not isinstance(found, dict):
        return None
    nested = (found.get("properties") or {}).get("output") or {}
    return found.get("accessSAS") or nested.get("accessSAS")


def _target(arm: ArmClient, resource_id: str) -> tuple[str, tuple[str, ...], str]:
    """The SDK's operations for a resource, its address in them, and what to call its kind."""
    parsed = ResourceId.parse(resource_id)
    if parsed.subscription.lower() != arm.subscription_id.lower():
        raise InputError(
            f"{resource_id} is in another subscription than the task's ({arm.subscription_id}).",
            hint="Set subscription_id to the resource's subscription.",
        )
    types = [part.lower() for part in resource_id.strip("/").split("/")[6::2]]
    if parsed.provider.lower() == "microsoft.compute":
        if len(types) == 1 and types[0] in _KINDS:
            operations, label = _KINDS[types[0]]
            return operations, (parsed.group, parsed.name), label
        if types == ["restorepointcollections", "restorepoints", "diskrestorepoints"]:
            address = (parsed.group, parsed.name, *parsed.child_names)
            return "disk_restore_point", address, "disk restore point"
    raise InputError(
        f"{resource_id!r} is not the id of a managed disk, a snapshot or a disk restore point."
    )
