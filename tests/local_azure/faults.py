"""Faults on demand: the n-th request that matches a pattern goes wrong."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field, fields
from typing import Any

from .http_types import Request, Response
from .recorded_answers import RECORDED

KINDS = (
    "status", "reset", "truncate", "fail_operation", "delay", "delay_answer", "lost_answer",
    "omit_range", "omit_operation",
)  # fmt: skip
_HELD_BEFORE = ("status", "reset", "delay")

_RANGE = re.compile(rb"<PageRange>.*?</PageRange>", re.DOTALL)


@dataclass
class Fault:
    """What goes wrong, and when.

    Args:
        pattern: regular expression searched in ``METHOD target``, in any casing.
        kind: ``status`` answers with ``status`` and does nothing; ``reset`` cuts the connection
            before anything is done; ``lost_answer`` does the work and then cuts the connection;
            ``truncate`` does the work and sends half of the body; ``fail_operation`` lets the
            operation that the request starts end as Failed; ``delay`` does the work after
            ``seconds``, whether or not the client is still there; ``delay_answer`` does the work
            and answers after ``seconds``; ``omit_range`` leaves the first range out of a list of
            page ranges; ``omit_operation`` does the work and answers without the headers of the
            operation that it began.
        answer: the name of a recorded refusal, for ``status`` instead of the numbers and words.
        nth: the first matching request that it hits, from 1.
        times: how many matching requests in a row; 0: all from ``nth`` on.
        seconds: how long the request is held: before the work by ``status``, ``reset`` and
            ``delay``, else after it. The end of the fault lets go of what is held.
        held: how many requests are held now.
    """

    pattern: str
    kind: str = "status"
    nth: int = 1
    times: int = 1
    status: int = 500
    code: str = "InternalServerError"
    message: str = "An injected fault."
    answer: str | None = None
    retry_after: int | None = None
    seconds: float = 0.0
    seen: int = 0
    hits: int = 0
    held: int = 0
    _regex: re.Pattern[str] = field(init=False, repr=False)
    _ended: threading.Event = field(init=False, repr=False, default_factory=threading.Event)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault {self.kind!r}; choose one of {', '.join(KINDS)}.")
        try:
            self._regex = re.compile(self.pattern, re.IGNORECASE)
        except re.error as error:
            raise ValueError(
                f"The pattern {self.pattern!r} is not a regular expression: {error}."
            ) from error

        if self.answer is not None and (self.kind != "status" or self.answer not in RECORDED):
            raise ValueError(
                f"The answer {self.answer!r} is none of {', '.join(RECORDED)}, or the fault is not"
                " of kind status."
            )
        _check_numbers(self)

    def strikes(self, request: Request) -> bool:
        if not self._regex.search(f"{request.method} {request.target}"):
            return False
        self.seen += 1
        struck = self.nth <= self.seen and (not self.times or self.seen < self.nth + self.times)
        self.hits += struck
        return struck

    def public(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name[0] != "_"}

    @property
    def is_held_before(self) -> bool:
        return self.kind in _HELD_BEFORE

    def wait(self) -> None:
        """Wait for the time that a request is held, or until the fault is ended."""
        self._ended.wait(self.seconds)

    def end(self) -> None:
        self._ended.set()


OPTIONS = {item.name for item in fields(Fault) if item.init} - {"seen", "hits", "held"}


def _check_numbers(fault: Fault) -> None:
    """Refuse what would go wrong only when the fault strikes.

    Raises:
        ValueError: for a number that is none, or is out of its range.
    """
    ranges = {"nth": (1, 1e9), "times": (0, 1e9), "status": (400, 599), "seconds": (0, 600)}
    if fault.retry_after is not None:
        ranges["retry_after"] = (0, 1e6)
    for name, (least, most) in ranges.items():
        value = getattr(fault, name)
        whole = isinstance(value, int) or (name == "seconds" and isinstance(value, float))
        if isinstance(value, bool) or not whole or not least <= value <= most:
            raise ValueError(f"{name} of a fault cannot be {value!r}.")


def omit_range(response: Response) -> Response:
    """The same list of page ranges without its first one that is not cleared; any other answer."""
    if response.status != 200 or not isinstance(response.body, bytes):
        return response
    body = _RANGE.sub(b"", response.body, count=1)
    return Response(200, {**response.headers, "Content-Length": str(len(body))}, body)


def omit_operation(response: Response) -> Response:
    """The same answer without what tells where its operation is."""
    kept = {
        name: value
        for name, value in response.headers.items()
        if name.lower() not in ("azure-asyncoperation", "location", "retry-after")
    }
    return Response(response.status, kept, response.body)


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    def clear(self) -> None:
        """End all faults, and let go of the requests that they hold."""
        ended, self._faults = self._faults, []
        for fault in ended:
            fault.end()

    def all(self) -> list[Fault]:
        return list(self._faults)

    def hold(self, fault: Fault) -> None:
        """Hold the request that a fault has struck."""
        with self._lock:
            fault.held += 1
        fault.wait()
        with self._lock:
            fault.held -= 1

    def strike(self, request: Request) -> Fault | None:
        """The first fault that hits this request; all matching faults count it."""
        with self._lock:
            hits = [fault for fault in self._faults if fault.strikes(request)]
        return hits[0] if hits else None
