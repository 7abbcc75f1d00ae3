"""The shared access signatures of disks and snapshots: granted, found, extended, revoked."""

from __future__ import annotations

import base64
import hmac
import secrets
import string
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import uuid4

from ..clock import Clock

if TYPE_CHECKING:
    from .page_blob import PageBlob

Access = Literal["Read", "Write"]

_ALPHABET = string.ascii_lowercase + string.digits


class AccessConflictError(Exception):
    """A resource has a live grant of the other kind of access."""


@dataclass(eq=False)
class Grant:
    """One signature. ``url`` and ``signature`` are secrets; times are aware, in UTC.

    Args:
        with_token: it is good only beside an Entra token for the data of managed disks.
    """

    resource_id: str
    access: Access
    blob: PageBlob
    url: str
    granted_at: datetime
    expires_at: datetime
    with_token: bool = False
    revoked: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self.path = parts.path
        self.query: dict[str, str] = dict(parse_qsl(parts.query))

    def __repr__(self) -> str:  # a grant in a log or an assertion shows no signature
        return f"Grant({self.public()})"

    def live(self, now: datetime) -> bool:
        """Whether the signature is still good at ``now``."""
        return not self.revoked and now < self.expires_at

    def public(self) -> dict[str, str]:
        """What an audit may show: everything but the signature."""
        return {
            "resource_id": self.resource_id,
            "access": self.access,
            "path": self.path,
            "granted_at": self.granted_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
        }


class SasRegistry:
    """Every grant ever made, by resource and by path. Thread-safe.

    ``base_url`` (``https://127.0.0.1:<port>``) must be set before the first grant.
    """

    def __init__(self, clock: Clock, base_url: str = "") -> None:
        self.base_url = base_url
        self._clock = clock
        self._lock = threading.Lock()
        self._latest: dict[str, Grant] = {}
        self._by_path: dict[str, Grant] = {}

    def grant(
        self,
        resource_id: str,
        blob: PageBlob,
        access: Access,
        seconds: int,
        *,
        with_token: bool = False,
    ) -> Grant:
        """A signature for ``seconds``. A live one of the resource is extended: same URL, same blob.

        Raises:
            ValueError: for an unknown access or a time that is not positive.
            AccessConflictError: when the live one is for the other kind of access.
        """
        if access not in ("Read", "Write") or seconds <= 0:
            raise ValueError(f"Cannot grant {access!r} access for {seconds} seconds.")
        now = self._clock.now()
        with self._lock:
            held = self._latest.get(resource_id.lower())
            if held and held.live(now):
                if held.access != access:
                    raise AccessConflictError(
                        f"{resource_id} has an active shared access signature for {held.access}."
                    )
                held.expires_at = max(held.expires_at, now + timedelta(seconds=seconds))
                return held
            made = Grant(
                resource_id,
                access,
                blob,
                self.base_url.rstrip("/") + _new_target(),
                now,
                now + timedelta(seconds=seconds),
                with_token,
            )
            self._latest[resource_id.lower()] = made
            self._by_path[made.path] = made
            return made

    def revoke(self, resource_id: str) -> bool:
        """End the resource's live grant. False when it has none."""
        with self._lock:
            held = self._latest.get(resource_id.lower())
            if held is None or not held.live(self._clock.now()):
                return False
            held.revoked = True
            return True

    def active(self) -> list[Grant]:
        """The grants that are neither revoked nor expired, oldest first."""
        now = self._clock.now()
        with self._lock:
            return [grant for grant in self._by_path.values() if grant.live(now)]

    def active_for(self, resource_id: str) -> Grant | None:
        """The live grant of a resource, None without one."""
        with self._lock:
            held = self._latest.get(resource_id.lower())
            return held if held and held.live(self._clock.now()) else None

    def find(self, path: str) -> Grant | None:
        """The grant of a URL path, also an expired or revoked one."""
        with self._lock:
            return self._by_path.get(path)

    def authenticate(self, path: str, query: Mapping[str, str]) -> Grant | None:
        """The live grant that ``path`` and the signature in ``query`` prove, else None."""
        grant = self.find(path)
        if grant is None or not grant.live(self._clock.now()):
            return None
        for key, value in grant.query.items():
            if not hmac.compare_digest(query.get(key, "").encode(), value.encode()):
                return None
        return grant


def _new_target() -> str:
    """A path and query as managed disks have them, with nothing to guess from."""
    account, container = (
        "".join(secrets.choice(_ALPHABET) for _turn in range(12)) for _part in range(2)
    )
    signature = base64.b64encode(secrets.token_bytes(32)).decode()
    return (
        f"/md-{account}/{container}/abcd"
        f"?sv=2018-03-28&sr=b&si={uuid4()}&sig={quote(signature, safe='')}"
    )
