# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and snapshots as page blobs: reading and writing them through a signed URL.

Source: https://learn.microsoft.com/rest/api/storageservices/ (Get Blob, Put Page).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any, Protocol

from .._clock import SystemClock
from .._errors import AzureError, Conflict, NotFound, Throttled, VmguardError
from .governor import Governor, growing_pause
from .http import Answer, HttpPool, TransferFailed
from .vhd import FOOTER_SIZE, check_footer

API_VERSION = "2021-12-02"
USER_AGENT = "vmguard.azure"
PAGE = 512
MOST_READ = 8 << 20
MOST_WRITTEN = 4 << 20
ATTEMPTS = 5
LONGEST_RETRY_AFTER = 300.0
_PASSING = (408, 500, 502, 504)
_THROTTLED, _BUSY = 429, 503
# The service could not answer in its own time.
TIMED_OUT = "OperationTimedOut"
_UNAUTHENTICATED, _REFUSED = 401, 403
# The signature is good, and the token's owner lacks a right.
_NO_RIGHT = ("AuthorizationPermissionMismatch", "AuthorizationFailure")
# Azure saw other bytes than were sent.
_DAMAGED_ON_THE_WAY = ("Md5Mismatch",)
_MOST_RENEWALS = 2
_MESSAGE = re.compile(rb"<Message>([^<]*)")
_ABSENT = "The snapshot or disk may have been deleted while it was in use."
_DENIED = (
    "Check that nothing else revokes the access to it, and that its network settings"
    " (networkAccessPolicy, publicNetworkAccess) let this machine in."
)
_ROLE = (
    "If its dataAccessAuthMode is AzureActiveDirectory, the login needs the role Data Operator for"
    " Managed Disks (Microsoft.Compute/disks/download/action, .../upload/action, and those of"
    " snapshots) beside its other roles; a new assignment takes minutes to count."
)
_TOO_MUCH = (
    "Azure limits the requests and bytes per second of each disk: run it at another time, with fewer"
    " parallel_transfers, or with a longer wait_timeout."
)


class Access(Protocol):
    """How the signed URL of a disk or snapshot is come by. Thread-safe.

    Attributes:
        name: for messages: ``snapshot db01-os``; never a URL.
    """

    name: str

    def url(self) -> str:
        """A URL that is valid now; may ask for one."""

    def renew(self, seen: str) -> str:
        """Another one, after 403 for ``seen``; of several threads, one asks for it."""

    def headers(self) -> dict[str, str]:
        """What each request carries beside the URL: a token, where the disk takes one."""

    def challenged(self, seen: dict[str, str]) -> bool:
        """After 401 for the headers ``seen``: whether there are others by now."""


Send = Callable[[str, dict[str, str]], Answer]


class NotAVhd(VmguardError):
    """What a disk or snapshot is given as is no fixed VHD."""

    default_code = "NotAVhd"


class Exchanges:
    """Exchanges with a blob that are tried again when what went wrong may pass.

    After 403 the URL is renewed. Pauses grow; Retry-After is obeyed. What is refused as too much
    (429, 503, a time-out of the service) slows all down that share the governor, and is tried for
    as long as its patience lasts.

    Args:
        attempts: in all; renewals of the URL and what is refused as too much do not count.
        check: called before each attempt; raises when the work has to stop.
        governor: shared by what reads and writes one disk; None for one of its own.
        slow_attempts: how often what the service has no time for is asked; None for no limit.
    """

    def __init__(
        self,
        clock: SystemClock,
        attempts: int = ATTEMPTS,
        check: Callable[[], None] = lambda: None,
        governor: Governor | None = None,
        slow_attempts: int | None = None,
    ) -> None:
        self._clock = clock
        self._attempts = attempts
        self._check = check
        self._governor = governor or Governor(clock)
        self._slow_attempts = slow_attempts or float("inf")

    def run(self, send: Send, access: Access, what: str, *others: Access, done: int) -> Answer:
        """The answer with the one status that says that it is done.

        Any other status below 400 (a redirect, a proxy's word) is as good as no answer: it is tried
        again, and fails in the end. What was written is known to be written, or it is an error.

        Args:
            send: one attempt, with the URL to use and headers to send.
            what: for messages: ``read bytes 0-511 of snapshot db01-os``.
            others: whose URLs ``send`` also takes part of; renewed together with ``access``'s.
            done: 200, 201 or 206, as Azure documents it for the request.

        Raises:
            TransferFailed: no complete answer, however often it was tried.
            AzureError: refused.
            VmguardError: of ``check``.
        """
        failures = renewals = slow = challenges = 0
        while True:
            self._check()
            url, headers = access.url(), access.headers()
            seen = [(other, other.url()) for other in others]
            try:
                with self._governor.turn(self._check) as turn:
                    answer = _expected(send(url, headers), done)
            except TransferFailed as error:
                failures += 1
                slow += error.slow
                enough = failures >= self._attempts or slow >= self._slow_attempts
                if enough or not error.passing:
                    raise _gave_up(error, what, failures) from error
                self._clock.sleep(growing_pause(failures))
                continue
            if answer.status == done:
                self._governor.went_well(turn)
                return answer
            if answer.status == _UNAUTHENTICATED and challenges < _MOST_RENEWALS:
                challenges += 1
                if access.challenged(headers):
                    continue
            if _may_be_expired(answer) and renewals < _MOST_RENEWALS:
                renewals += 1
                for one, old in [(access, url), *seen]:
                    one.renew(old)
                continue
            if _is_too_much(answer):
                slow += answer.status != _THROTTLED
                goes_on = self._governor.refused(turn, _retry_after(answer))
                if slow >= self._slow_attempts or not goes_on:
                    raise refusal(answer, what)
                continue
            passing = answer.status in _PASSING or error_code(answer) in _DAMAGED_ON_THE_WAY
            failures += passing
            if not passing or failures >= self._attempts:
                raise refusal(answer, what)
            self._clock.sleep(_retry_after(answer) or growing_pause(failures))


class PageBlob:
    """One disk or snapshot as a page blob. Thread-safe.

    Args:
        attempts: for each request; as ``Exchanges`` counts them.
        check: called before each attempt; raises when the work has to stop.
        governor: of the disk, where others read or write it as well.
    """

    def __init__(
        self,
        access: Access,
        http: HttpPool,
        clock: SystemClock,
        *,
        attempts: int = ATTEMPTS,
        check: Callable[[], None] = lambda: None,
        governor: Governor | None = None,
    ) -> None:
        self.access = access
        self._http = http
        self._exchanges = Exchanges(clock, attempts, check, governor)

    @property
    def name(self) -> str:
        """For messages."""
        return self.access.name

    def size(self) -> int:
        """Bytes of the blob, the VHD footer included."""
        headers = {"x-ms-version": API_VERSION, "User-Agent": USER_AGENT}
        what = f"read the size of {self.name}"
        answer = self._run(
            lambda url, more: self._http.request("HEAD", url, headers | more), what, 200
        )
        told = answer.headers.get("Content-Length") or ""
        if not told.isdigit() or int(told) < FOOTER_SIZE + PAGE or int(told) % PAGE:
            raise AzureError(f"Azure tells no size of {self.name} that a disk can have: {told!r}.")
        return int(told)

    def disk_size(self) -> int:
        """Bytes of the disk, of a blob that is proved to be a fixed VHD.

        Raises:
            NotAVhd: it is something else, so that its bytes are not the disk's.
            TransferFailed, AzureError: as ``read``.
        """
        size = self.size()
        try:
            check_footer(self.read(size - FOOTER_SIZE, size), size)
        except ValueError as error:
            raise NotAVhd(
                f"Azure does not give {self.name} as a fixed VHD: {error}.",
                hint="Disks with sectors of 4,096 bytes (the default of Ultra and Premium SSD v2)"
                " come as VHDX, which cannot be read here. Exclude the disk.",
            ) from error
        return size - FOOTER_SIZE

    def read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to ``end``, at most 8 MiB.

        Raises:
            TransferFailed: they did not arrive whole, however often it was tried.
            AzureError: Azure refuses.
        """
        if not 0 <= start < end <= start + MOST_READ:
            raise ValueError(f"Bytes {start}-{end} cannot be read at once.")
        headers = {
            "x-ms-range": f"bytes={start}-{end - 1}",
            "x-ms-version": API_VERSION,
            "User-Agent": USER_AGENT,
        }

        def once(url: str, more: dict[str, str]) -> Answer:
            answer = self._http.request("GET", url, headers | more)
            if answer.status < 400:
                self._check_range(answer, start, end)
            return answer

        return self._run(once, f"read bytes {start}-{end - 1} of {self.name}", 206).body

    def write(self, start: int, data: bytes) -> None:
        """Write whole pages, at most 4 MiB; Azure compares their MD5 with what arrives.

        Raises:
            TransferFailed, AzureError: as ``read``.
        """
        if start % PAGE or not data or len(data) % PAGE or len(data) > MOST_WRITTEN:
            raise ValueError(f"{len(data)} bytes cannot be written at {start} at once.")
        self._put(start, start + len(data), "update", data)

    def clear(self, start: int, end: int) -> None:
        """Make zeros of whole pages, as many as you like. Raises: as ``write``."""
        if start % PAGE or end % PAGE or not 0 <= start < end:
            raise ValueError(f"Bytes {start}-{end} cannot be cleared.")
        self._put(start, end, "clear", b"")

    def _put(self, start: int, end: int, action: str, data: bytes) -> None:
        headers = {
            "x-ms-page-write": action,
            "x-ms-range": f"bytes={start}-{end - 1}",
            "x-ms-version": API_VERSION,
            "User-Agent": USER_AGENT,
        }
        if data:
            digest = hashlib.md5(data, usedforsecurity=False).digest()
            headers["Content-MD5"] = base64.b64encode(digest).decode()
        verb = "write" if action == "update" else "clear"
        what = f"{verb} bytes {start}-{end - 1} of {self.name}"
        self._run(
            lambda url, more: self._http.request(
                "PUT", with_query(url, "comp=page"), headers | more, data
            ),
            what,
            201,
        )

    def _run(self, send: Send, what: str, done: int) -> Answer:
        return self._exchanges.run(send, self.access, what, done=done)

    def _check_range(self, answer: Answer, start: int, end: int) -> None:
        """Refuse an answer that is not of exactly these bytes, so that it is asked for again."""
        told = answer.headers.get("Content-Range") or ""
        right = answer.status == 206 and told.startswith(f"bytes {start}-{end - 1}/")
        if right and len(answer.body) == end - start:
            return
        raise TransferFailed(
            f"Bytes {start}-{end - 1} of {self.name} were asked for, and the answer has status"
            f" {answer.status}, {len(answer.body)} bytes and range {told!r}."
        )


def _expected(answer: Answer, done: int) -> Answer:
    """The answer, unless it says neither that it is done nor that it is refused."""
    if answer.status < 400 and answer.status != done:
        raise TransferFailed(
            f"The answer has status {answer.status} where {done} is what says that it is done.",
            hint="A proxy or a gateway on the way may answer in place of Azure.",
        )
    return answer


def with_query(url: str, more: str) -> str:
    """The signed URL with further parameters."""
    return f"{url}{'&' if '?' in url else '?'}{more}"


def error_code(answer: Answer) -> str | None:
    """Azure's code in an answer that refuses, None where it gives none."""
    return answer.headers.get("x-ms-error-code")


def refusal(answer: Answer, what: str) -> AzureError:
    """The error of an answer that refuses; ``what`` is a verb phrase that names the disk."""
    code = error_code(answer)
    match = _MESSAGE.search(answer.body)
    lines = match[1].decode(errors="replace").strip().splitlines() if match else []
    reason = lines[0].strip() if lines else "It gives no reason."
    status = answer.status
    kinds: dict[int, type[AzureError]] = {
        404: NotFound, 409: Conflict, 412: Conflict, 429: Throttled
    }  # fmt: skip
    hints = {
        404: _ABSENT,
        _UNAUTHENTICATED: _ROLE,
        _REFUSED: _ROLE if code in _NO_RIGHT else _DENIED,
        _THROTTLED: _TOO_MUCH,
        _BUSY: _TOO_MUCH,
    }
    return kinds.get(status, AzureError)(
        f"Azure refuses to {what} ({code or f'HTTP {status}'}): {reason}",
        code=code or f"HTTP{status}",
        operation=what,
        request_id=answer.headers.get("x-ms-request-id"),
        hint=hints.get(status),
        status=status,
        retry_after=_retry_after(answer),
    )


def _may_be_expired(answer: Answer) -> bool:
    """Whether another URL may help: not where this one is good, but not for writing."""
    return answer.status == _REFUSED and error_code(answer) not in _NO_RIGHT


def _is_too_much(answer: Answer) -> bool:
    """Whether it would be taken if less were asked for at once."""
    return answer.status in (_THROTTLED, _BUSY) or error_code(answer) == TIMED_OUT


def _gave_up(error: VmguardError, what: str, attempts: int) -> TransferFailed:
    often = f" after {attempts} attempts" if attempts > 1 else ""
    return TransferFailed(
        f"Could not {what}{often}: {error.message}",
        passing=False,
        slow=error.slow,
        operation=what,
        hint=error.hint,
    )


def _retry_after(answer: Answer) -> float | None:
    told: Any = answer.headers.get("Retry-After") or ""
    return min(float(told), LONGEST_RETRY_AFTER) if told.isdigit() else None
