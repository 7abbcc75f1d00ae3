# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down what was asked of Azure and what it answered, without secrets. Off by default.

``VMGUARD_AZURE_RECORD=<folder>`` switches it on. Each exchange becomes a file of its own, in the form
of the recordings that the contract tests replay: ``{"request": {"method", "path", "query", "body"},
"response": {"status", "headers", "body"}}``, and beside these ``time`` and, where one was given,
``name``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .._errors import InputError
from .._secrets import scrub

VARIABLE = "VMGUARD_AZURE_RECORD"
ELIDED = "ELIDED"
NOBODY = "00000000-0000-0000-0000-000000000000"

# Of a request only what changes its meaning: the login is among the others.
_REQUEST_HEADERS = ("If-Match", "If-None-Match", "x-ms-range", "x-ms-page-write")
_RESPONSE_HEADERS = (
    "Azure-AsyncOperation", "Location", "Retry-After", "azure-asyncnotification",
    "x-ms-failure-cause", "x-ms-error-code", "x-ms-ratelimit-remaining-resource", "ETag",
    "Content-Type", "Content-Range", "Content-Length",
)  # fmt: skip
# Members whose whole value goes, compared in lower case.
_SECRET_MEMBERS = frozenset((
    "adminpassword", "password", "secret", "secrets", "customdata", "userdata", "keydata",
    "protectedsettings", "protectedparameters", "connectionstring", "accountkey", "accesstoken",
    "access_token", "createdby", "lastmodifiedby",
))  # fmt: skip
# Members that say who somebody is.
_IDENTITY_MEMBERS = frozenset(("tenantid", "principalid", "clientid", "objectid"))
_GUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SUBSCRIPTION = re.compile(rf"(/subscriptions/){_GUID}", re.I)
_CALLER = re.compile(r"(client|object id|tenant) '[^']*'", re.I)
_SIGNATURE = re.compile(r"(\bsig=)([^&\s\"'<>\\;,]+)", re.I)
# Newer addresses of operations are signed: certificate, signature, hash.
_SIGNED = re.compile(r"([?&][csh]=)([^&\s\"'<>\\]{20,})")
# The key of a storage account.
_KEY = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==")
_PLACE = "\0"

_name: ContextVar[str | None] = ContextVar("name", default=None)
_numbers = itertools.count(1)


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Exchanges inside are recorded with this name."""
    token = _name.set(name)
    try:
        yield
    finally:
        _name.reset(token)


class Scrubber:
    """Takes out of texts and JSON what nobody else may see.

    Signatures are numbered, so that two that are the same can be told from two that differ.

    Args:
        ids: ids to be replaced wherever they stand: of the subscription, the tenant, the client.
    """

    def __init__(self, *ids: str | None) -> None:
        found = [re.escape(one) for one in ids if one]
        self._ids = re.compile("|".join(found), re.I) if found else None
        self._signatures: dict[str, int] = {}

    def text(self, text: str) -> str:
        """A text without secrets and without the ids."""
        text = _SIGNATURE.sub(self._numbered, text)
        text = _SIGNED.sub(rf"\g<1>{ELIDED}", text)
        text = _SUBSCRIPTION.sub(rf"\g<1>{NOBODY}", text)
        if self._ids:
            text = self._ids.sub(NOBODY, text)
        text = _CALLER.sub(rf"\g<1> '{ELIDED}'", text)
        # What else there may be; the numbered signatures must not be taken for real ones.
        hidden = text.replace(f"sig={ELIDED}-", _PLACE)
        return _KEY.sub(ELIDED, scrub(hidden)).replace(_PLACE, f"sig={ELIDED}-")

    def _numbered(self, found: re.Match[str]) -> str:
        if found[2].startswith(f"{ELIDED}-"):
            return found[0]
        number = self._signatures.setdefault(found[2], len(self._signatures) + 1)
        return f"{found[1]}{ELIDED}-{number}"

    def json(self, value: Any) -> Any:
        """The same for all texts in a JSON value; whole members go where their name says so."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._member(str(key), one) for key, one in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.json(one) for one in value]
        return value

    def _member(self, name: str, value: Any) -> Any:
        if name.lower() in _SECRET_MEMBERS and value not in (None, "", [], {}):
            return ELIDED
        if name.lower() in _IDENTITY_MEMBERS and isinstance(value, str):
            return NOBODY
        return self.json(value)


class Recorder:
    """Writes exchanges into a folder, readable by its owner alone.

    Each is written beside its place and moved there, so that a killed process leaves no half file.
    A folder that stops taking files ends the recording, never the task: what Azure did is done.

    Raises:
        InputError: the folder cannot be made or written.
    """

    def __init__(self, folder: str | Path, scrubber: Scrubber) -> None:
        self.folder = Path(folder)
        self.scrubber = scrubber
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self.folder / f".{os.getpid()}.tmp", "")
            (self.folder / f".{os.getpid()}.tmp").unlink()
        except OSError as error:
            raise InputError(
                f"{VARIABLE} names {self.folder}, where nothing can be recorded: {error.strerror}.",
                hint="Name a folder that can be written, or unset the variable.",
            ) from error

    def keep(self, exchange: dict[str, Any]) -> None:
        """Write one exchange, whole or not at all."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(_numbers):06d}.json"
        place, beside = self.folder / name, self.folder / f".{name}.tmp"
        with contextlib.suppress(OSError):
            self._write(beside, json.dumps(exchange, indent=1) + "\n")
            beside.replace(place)

    @staticmethod
    def _write(path: Path, text: str) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)

    def exchange(self, request: Any, response: Any, service: str) -> dict[str, Any]:
        """What is written of a request and its answer, both as azure-core has them."""
        parts = urlsplit(request.url)
        asked: dict[str, Any] = {
            "method": request.method,
            "path": self.scrubber.text(parts.path),
            "query": self.scrubber.text(parts.query),
            "body": self._body_of(request) if service == "arm" else None,  # the bytes of a disk
        }
        if headers := self._chosen(request.headers, _REQUEST_HEADERS):
            asked["headers"] = headers
        if service == "arm" and hasattr(response, "read"):
            response.read()  # azure-mgmt-compute reads later what starts an operation
        kind = response.headers.get("Content-Type", "")
        text = _text(response) if re.search("json|xml|text", kind) else ""
        exchange: dict[str, Any] = {
            "request": asked,
            "response": {
                "status": response.status_code,
                "headers": self._chosen(response.headers, _RESPONSE_HEADERS),
                "body": self._parsed(text),
            },
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        if service != "arm":
            exchange["service"] = service
        if name := _name.get():
            exchange["name"] = name
        return exchange

    def _chosen(self, headers: Any, names: tuple[str, ...]) -> dict[str, str]:
        return {name: self.scrubber.text(headers[name]) for name in names if name in headers}

    def _body_of(self, request: Any) -> Any:
        sent = getattr(request, "content", None) or getattr(request, "body", None)
        if sent is None:
            return None
        if isinstance(sent, bytes):
            try:
                sent = sent.decode()
            except UnicodeDecodeError:
                return None
        return self._parsed(sent) if isinstance(sent, str) else None

    def _parsed(self, text: str) -> Any:
        if not text:
            return None
        try:
            return self.scrubber.json(json.loads(text))
        except ValueError:
            return self.scrubber.text(text)


def _text(response: Any) -> str:
    try:
        return response.text()
    except ValueError:  # not in the encoding that it claims
        return ""


def recorder_of(login: Any, environ: Mapping[str, str] | None = None) -> Recorder | None:
    """The recorder that the environment asks for, None where it asks for none.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = (os.environ if environ is None else environ).get(VARIABLE)
    if not folder:
        return None
    ids = (getattr(login, name, None) for name in ("subscription_id", "tenant", "client_id"))
    return Recorder(folder, Scrubber(*ids))


def recording_policy(recorder: Recorder, service: str = "arm") -> Any:
    """A pipeline policy that records each answer. It stands below the retries: every try counts.

    Args:
        service: ``arm``, or ``storage`` for requests to a disk's signed URL.
    """
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class RecordingPolicy(SansIOHTTPPolicy):
        def on_response(self, request: Any, response: Any) -> None:
            found = recorder.exchange(request.http_request, response.http_response, service)
            recorder.keep(found)

    return RecordingPolicy()
