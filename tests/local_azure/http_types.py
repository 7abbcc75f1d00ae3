"""Requests and responses as the handlers see them, free of sockets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit


class Headers(dict[str, str]):
    """Names of headers or of a query's parameters, looked up in lower case and kept so."""

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__((name.lower(), value) for name, value in items)

    def get(self, name: str, default: Any = None) -> Any:  # type: ignore[override]
        return super().get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name.lower() if isinstance(name, str) else name)


@dataclass
class Request:
    """One HTTP request with its whole body."""

    method: str
    target: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.path = parts.path
        self.query = Headers(parse_qsl(parts.query, keep_blank_values=True))

    def json(self) -> Any:
        """The body as JSON, ``{}`` where it is empty.

        Raises:
            ValueError: when the body is not JSON.
        """
        return json.loads(self.body) if self.body.strip() else {}


@dataclass
class Response:
    """An answer. ``body`` may be an iterable of pieces when ``headers`` has its Content-Length."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Iterable[bytes | memoryview] = b""


def json_response(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in the resource providers' JSON: indented by two, CRLF."""
    text = json.dumps(body, indent=2).replace("\n", "\r\n")
    return Response(
        status,
        {"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        text.encode(),
    )
