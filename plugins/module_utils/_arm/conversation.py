# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests as they are given, one after another; what Azure refuses is an answer like any other.

A text in a request may hold ``{subscription}``, ``{password}`` for one that is made for the task and
told to nobody, and ``{name:member.member.0}`` for what the answer to the request of that name holds;
``{name:operation...}`` looks into the end of its operation instead. Where the earlier answer has no such
member, the request is not sent.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from .._azure_errors import from_azure
from .._errors import InputError, OperationTimeout
from .client import ArmClient
from .read_only import READS
from .recording import Scrubber, named, recorder_of, recording_policy
from .throttling import retry_policy
from .versions import AS_GIVEN, pins_of
from .waiting import Pauses, timed_out

METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
STORAGE_VERSION = "2021-12-02"

_REFERENCE = re.compile(r"\{([\w-]+):([^{}\s]+)\}")
_RUNNING = ("InProgress", "Accepted", "Creating", "Updating", "Deleting", "Running")
# Answers that say who may come in, not what was asked.
_UNANSWERED = (401,)


class _Unknown(Exception):
    """A reference to what no answer holds."""


@dataclass(frozen=True)
class Until:
    """A GET is repeated until a member is this or gone, for so many seconds at most."""

    member: str
    equals: Any
    seconds: float = 300


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        name: by which later requests and the result know it.
        path: of Resource Manager, from ``/subscriptions`` on; unused with ``through``.
        query: beside the api-version.
        through: the name of a request that gave access to a disk: this one goes to its signed URL.
        content: the bytes of a request ``through`` a signed URL.
        after: sent only where these were accepted and their operations did not fail.
        unless: sent only where none of these was.
        wait: whether to follow the operation that it starts to its end.
    """

    name: str
    method: str
    path: str = ""
    api_version: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    through: str | None = None
    content: bytes | None = None
    after: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    wait: bool = True
    until: Until | None = None


@dataclass
class _Answer:
    """What one request came to, with its secrets."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    operation: Any = None
    skipped: str | None = None

    @property
    def accepted(self) -> bool:
        ended = (self.operation or {}).get("status", "Succeeded")
        return self.status is not None and self.status < 400 and ended == "Succeeded"

    @property
    def error(self) -> Mapping[str, Any]:
        for body in (self.operation, self.body):
            error = body.get("error") if isinstance(body, Mapping) else None
            if isinstance(error, Mapping):
                return error
        return {}


class Conversation:
    """Sends requests and remembers the answers, so that later requests can speak of them.

    Args:
        arm: the client; in check mode it lets nothing through that writes.
        write: the task's gate for what changes something.
    """

    def __init__(self, arm: ArmClient, write: Callable[..., Any]) -> None:
        self._arm = arm
        self._write = write
        self._answers: dict[str, _Answer] = {}
        self._signed: Any = None
        # Azure wants letters of both cases, digits and others.
        self._password = f"{secrets.token_urlsafe(24)}-aA1"

    def hold(self, requests: list[Request]) -> dict[str, dict[str, Any]]:
        """Every request in order; by their names, what came of them, without secrets.

        Raises:
            InputError: two requests have one name, or one speaks of a later or unknown one.
            AuthError, ConnectionFailed: nobody answered, or the login is not taken.
            OperationTimeout: the deadline passed during an operation, which goes on in Azure.
        """
        self._check(requests)
        for request in requests:
            with named(request.name):
                self._answers[request.name] = self._ask(request)
        login = self._arm.login
        scrubber = Scrubber(login.subscription_id, login.tenant, login.client_id)
        return {name: _shown(scrubber, answer) for name, answer in self._answers.items()}

    @staticmethod
    def _check(requests: list[Request]) -> None:
        known: set[str] = set()
        for request in requests:
            if request.name in known:
                raise InputError(f"Two requests have the name {request.name}.")
            spoken = {
                *request.after,
                *request.unless,
                *([request.through] if request.through else []),
            }
            told = (request.path, request.query, request.headers, request.body)
            spoken |= {found[1] for found in _REFERENCE.finditer(str(told))}
            if unknown := sorted(spoken - known):
                raise InputError(
                    f"The request {request.name} speaks of {', '.join(unknown)}, which is no"
                    " request before it."
                )
            known.add(request.name)

    def _ask(self, request: Request) -> _Answer:
        for name in request.after:
            if not self._answers[name].accepted:
                return _Answer(skipped=f"{name} was not accepted")
        for name in request.unless:
            if self._answers[name].accepted:
                return _Answer(skipped=f"{name} was accepted")
        try:
            if request.method in READS:
                return self._read(request)
            # Worked out before the gate: what cannot be asked changes nothing.
            send = self._prepared(request)
        except _Unknown as unknown:
            return _Answer(skipped=str(unknown))
        return self._write(lambda: self._followed(request, send()), _Answer(skipped="check mode"))

    def _read(self, request: Request) -> _Answer:
        send = self._prepared(request)
        answer, until = send(), request.until
        if until is None or answer.status != 200:
            return answer
        pauses, clock = Pauses(), self._arm.deadline
        waited = 0.0
        while waited < until.seconds and _member(answer.body, until.member) not in (
            None,
            until.equals,
        ):
            if clock.passed:
                raise timed_out("read", request.name, clock.seconds)
            pause = pauses.next()
            clock.pause(pause)
            waited += pause
            answer = send()
        return answer

    # -- one request

    def _prepared(self, request: Request) -> Callable[[], _Answer]:
        """The request with what it speaks of, ready to be sent."""
        from azure.core.rest import HttpRequest

        headers = self._filled(dict(request.headers))
        query = self._filled(dict(request.query))
        options: dict[str, Any] = {"headers": headers}
        more: dict[str, Any] = {}
        if request.through:
            url = self._access(request.through)
            if query:
                url = f"{url}&{urlencode(query)}"
            headers.setdefault("x-ms-version", STORAGE_VERSION)
            if request.content is not None:
                options["content"] = request.content
                headers["Content-Type"] = "application/octet-stream"
            client = self._storage()
        else:
            path = self._filled(request.path)
            if not (isinstance(path, str) and path.startswith("/")):
                # Else it could be the end of another host's name, which would be given the token.
                raise _Unknown("its path does not begin with /")
            if version := request.api_version or next(iter(pins_of(path)), None):
                query["api-version"] = version
            if request.api_version:
                more[AS_GIVEN] = True
            base = self._arm.login.cloud.resource_manager.rstrip("/")
            url = f"{base}{path}?{urlencode(query, safe='$,')}"
            if request.body is not None:
                options["json"] = self._filled(request.body)
            client = self._arm.plain
        made = HttpRequest(request.method, url, **options)
        return lambda: self._sent(client, made, **more)

    def _sent(self, client: Any, request: Any, **options: Any) -> _Answer:
        from azure.core.exceptions import AzureError, HttpResponseError

        place = urlsplit(request.url).path
        try:
            response = client.send_request(request, **options)
            if response.status_code in _UNANSWERED:
                raise HttpResponseError(response=response)
        except AzureError as error:
            raise from_azure(error, operation=request.method, resource=place) from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        try:
            body = response.json() if response.text() else None
        except ValueError:
            body = None  # a disk's bytes, or XML: it is in the recording
        return _Answer(response.status_code, headers, body)

    def _followed(self, request: Request, answer: _Answer) -> _Answer:
        """Wait for the operation, if there is one."""
        url = answer.headers.get("azure-asyncoperation") or answer.headers.get("location")
        if not request.wait or request.through or answer.status not in (200, 201, 202) or not url:
            return answer
        from azure.core.rest import HttpRequest

        pauses, deadline = Pauses(), self._arm.deadline
        asked = answer.headers.get("retry-after", "")
        while True:
            if deadline.passed:
                raise _timeout(request, deadline.seconds, url)
            deadline.pause(float(asked) if asked.isdigit() else pauses.next())
            seen = self._sent(self._arm.plain, HttpRequest("GET", url))
            state = seen.body.get("status") if isinstance(seen.body, Mapping) else None
            if seen.status != 202 and state not in _RUNNING:
                break
            asked = seen.headers.get("retry-after", "")
        found = seen.body if isinstance(seen.body, Mapping) else {}
        lost = {"status": "Failed"} if (seen.status or 0) >= 400 else {}
        answer.operation = {**found, **lost}
        return answer

    def _storage(self) -> Any:
        """A pipeline without a login: the URL is one."""
        if self._signed is None:
            from azure.core import PipelineClient
            from azure.core.pipeline import policies

            chain = [policies.RequestIdPolicy(), retry_policy(self._arm.deadline)]
            if recorder := recorder_of(self._arm.login):
                chain.append(recording_policy(recorder, "storage"))
            self._signed = PipelineClient("", policies=chain)
        return self._signed

    def _access(self, name: str) -> str:
        operation = self._answers[name].operation
        for path in ("properties.output.accessSAS", "accessSAS"):
            if isinstance(found := _member(operation, path), str):
                return found
        raise _Unknown(f"{name} gave no access")

    # -- what requests say of earlier answers

    def _filled(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._filled_text(value)
        if isinstance(value, Mapping):
            return {self._filled_text(str(key)): self._filled(one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._filled(one) for one in value]
        return value

    def _filled_text(self, text: str) -> Any:
        text = text.replace("{subscription}", self._arm.subscription_id)
        text = text.replace("{password}", self._password)
        if whole := _REFERENCE.fullmatch(text):
            return self._referred(whole)
        return _REFERENCE.sub(lambda found: str(self._referred(found)), text)

    def _referred(self, found: re.Match[str]) -> Any:
        answer, path = self._answers[found[1]], found[2]
        source = answer.body
        if path.startswith("operation."):
            source, path = answer.operation, path.removeprefix("operation.")
        value = _member(source, path)
        if value is None:
            raise _Unknown(f"the answer to {found[1]} has no {found[2]}")
        return value


def _timeout(request: Request, seconds: float, url: str) -> OperationTimeout:
    return timed_out(request.name, request.path, seconds, url)


def _member(value: Any, path: str) -> Any:
    """What is at a path such as ``properties.disks.0.id``, None where there is nothing."""
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _shown(scrubber: Scrubber, answer: _Answer) -> dict[str, Any]:
    """The answer as a task may show it."""
    return {
        "skipped": answer.skipped,
        "status": answer.status,
        "accepted": answer.accepted,
        "code": answer.error.get("code"),
        "message": scrubber.text(str(answer.error.get("message") or "")) or None,
        "headers": scrubber.json(answer.headers),
        "body": scrubber.json(answer.body),
        "operation": scrubber.json(answer.operation),
    }
