"""A record of every request that came in."""

from __future__ import annotations

import re
import threading
from typing import Any

from .clock import Clock, wire_time
from .http_types import Request

_READS = ("GET", "HEAD", "OPTIONS")
_SIGNATURE = re.compile(r"(?<=[?&]sig=)[^&]*")


class Audit:
    """Requests in the order in which they were done, without secrets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self.crashes: list[str] = []

    def record(self, request: Request, status: int, area: str, fault: str | None) -> None:
        """Note one answered request. ``area`` is ``arm``, ``blob`` or ``identity``."""
        entry = {
            "time": wire_time(self._clock.now()),
            "method": request.method,
            "path": request.path,
            "target": _SIGNATURE.sub("ELIDED", request.target),
            "status": status,
            "area": area,
            "write": area != "identity" and request.method not in _READS,
            "user_agent": request.headers.get("user-agent", ""),
        }
        if fault:
            entry["fault"] = fault
        with self._lock:
            entry["number"] = len(self._entries) + 1
            self._entries.append(entry)

    def entries(self, after: int = 0) -> list[dict[str, Any]]:
        """The requests with a number greater than ``after``."""
        with self._lock:
            return self._entries[after:]
