"""Long-running operations: started, polled, finished by the clock."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..clock import Clock, wire_time
from ..errors import ArmError
from ..http_types import Response, json_response
from .resources import new_guid
from .router import SUBSCRIPTION, Call, Router

COMPUTE_OPERATIONS = "operations"
DISK_OPERATIONS = "DiskOperations"

_DOTNET_EPOCH_TICKS = 621_355_968_000_000_000


@dataclass
class Operation:
    """One operation; it holds what to do when its time has come."""

    id: str
    kind: str
    subscription: str
    location: str
    started: datetime
    due: datetime
    finish: Callable[[], Any]
    abort: Callable[[], None]
    answer: Callable[[], dict[str, Any] | None]
    poll_retry_after: int | None = None
    failure: ArmError | None = None
    ended: datetime | None = None
    polled: bool = False
    tokens: dict[bool, dict[str, str]] = field(default_factory=dict)

    @property
    def status(self) -> str:
        if self.ended is None:
            return "InProgress"
        return "Failed" if self.failure else "Succeeded"


class Operations:
    """All operations of one local Azure.

    ``settle`` is called before each request is handled: it finishes the
    operations whose time has come, in the order in which they became due.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._operations: dict[str, Operation] = {}
        self._pending: list[Operation] = []
        self._partitions: dict[tuple[str, str], str] = {}
        self.base_url = ""
        self.fail_next: ArmError | None = None

    def routes(self, router: Router) -> None:
        for kind in (COMPUTE_OPERATIONS, DISK_OPERATIONS):
            path = (
                f"{SUBSCRIPTION}/providers/Microsoft.Compute/locations/{{location}}/{kind}/{{id}}"
            )
            router.add("GET", path, self._poll)

    def start(
        self,
        *,
        kind: str,
        subscription: str,
        location: str,
        seconds: float,
        finish: Callable[[], Any] = lambda: None,
        abort: Callable[[], None] = lambda: None,
        answer: Callable[[], dict[str, Any] | None] = lambda: None,
        poll_retry_after: int | None = None,
    ) -> Operation:
        """Begin an operation.

        Args:
            seconds: how long it takes by the clock; 0 is over at the first poll.
            finish: called once when the time has come; an ArmError makes the operation fail.
            abort: called instead of, or after a failing, ``finish`` to put the resource in its failed state.
            answer: what the finished operation answers (``properties.output``), if anything.
            poll_retry_after: seconds of the Retry-After on the first poll that says InProgress.
        """
        now = self._clock.now()
        operation = Operation(
            new_guid(),
            kind,
            subscription,
            location,
            now,
            now + timedelta(seconds=seconds),
            finish,
            abort,
            answer,
            poll_retry_after,
            failure=self.fail_next,
        )
        self.fail_next = None
        self._operations[operation.id] = operation
        self._pending.append(operation)
        return operation

    def settle(self) -> None:
        """Finish what is due."""
        while True:
            now = self._clock.now()
            due = sorted((op for op in self._pending if op.due <= now), key=lambda op: op.due)
            if not due:
                return
            for operation in due:
                self._pending.remove(operation)
                self._end(operation)

    def _end(self, operation: Operation) -> None:
        operation.ended = operation.due
        if operation.failure is None:
            try:
                operation.finish()
            except ArmError as error:
                operation.failure = error
        if operation.failure is not None:
            operation.abort()

    def in_progress(self) -> int:
        return len(self._pending)

    def headers(
        self,
        operation: Operation,
        call: Call,
        *,
        location: bool,
        notification: bool = False,
        retry_after: int | None = None,
    ) -> dict[str, str]:
        """The headers of the answer that started the operation."""
        headers = {"Azure-AsyncOperation": self._url(operation, call.api_version, monitor=False)}
        if location:
            headers["Location"] = self._url(operation, call.api_version, monitor=True)
        if notification:
            headers["azure-asyncnotification"] = "Enabled"
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        headers["x-ms-request-id"] = operation.id
        return headers

    def _url(self, operation: Operation, api_version: str, *, monitor: bool) -> str:
        partition = self._partitions.setdefault(
            (operation.kind, operation.location.lower()), new_guid()
        )
        tokens = operation.tokens.setdefault(monitor, _tokens(operation, partition))
        rest = "".join(f"&{name}={tokens[name]}" for name in "tcsh")
        return (
            f"{self.base_url}/subscriptions/{operation.subscription}/providers/Microsoft.Compute"
            f"/locations/{operation.location}/{operation.kind}/{operation.id}?p={partition}"
            f"{'&monitor=true' if monitor else ''}&api-version={api_version}{rest}"
        )

    def _poll(self, call: Call) -> Response:
        operation = self._operations.get(call["id"].lower())
        if operation is None or not _is_whole(operation, call):
            raise ArmError(404, "NotFound", "The entity was not found in this Azure location.")
        rate = {
            "x-ms-ratelimit-remaining-resource": "Microsoft.Compute/GetOperationResource;44,"
            "Microsoft.Compute/GetOperationSubscriptionMaximum;14999"
        }
        paced = operation.poll_retry_after is not None and not operation.polled
        if operation.ended is None and paced:
            rate["Retry-After"] = str(operation.poll_retry_after)
        operation.polled = True
        if call.request.query.get("monitor") == "true":
            return self._monitor(operation, call, rate)
        return json_response(200, self._envelope(operation), rate)

    def _envelope(self, operation: Operation) -> dict[str, Any]:
        body: dict[str, Any] = {"startTime": wire_time(operation.started)}
        if operation.ended is not None:
            body["endTime"] = wire_time(operation.ended)
        body["status"] = operation.status
        if operation.failure is not None and operation.ended is not None:
            body["error"] = operation.failure.body()["error"]
        elif operation.ended is not None:
            output = operation.answer()
            if output is not None:
                body["properties"] = {"output": output}
        body["name"] = operation.id
        return body

    def _monitor(self, operation: Operation, call: Call, headers: dict[str, str]) -> Response:
        if operation.ended is None:
            again = {"Location": self._url(operation, call.api_version, monitor=True)}
            return Response(202, {**headers, **again})
        if operation.failure is not None:
            raise operation.failure
        output = operation.answer()
        return json_response(200, output, headers) if output is not None else Response(200, headers)


def _tokens(operation: Operation, partition: str) -> dict[str, str]:
    """What an operation's URL proves itself by: partition, time, certificate, signature, hash."""
    ticks = _DOTNET_EPOCH_TICKS + int(operation.started.timestamp() * 10_000_000)
    sizes = {"c": 1350, "s": 256, "h": 32}
    made = {
        name: base64.urlsafe_b64encode(os.urandom(size)).decode().rstrip("=")
        for name, size in sizes.items()
    }
    return {"p": partition, "t": str(ticks), **made}


def _is_whole(operation: Operation, call: Call) -> bool:
    """Whether a URL is the one that was given: clients that cut it off or change it fail."""
    query = call.request.query
    tokens = operation.tokens.get(query.get("monitor") == "true", {})
    where = f"/locations/{operation.location}/{operation.kind}/{operation.id}"
    return call.request.path.lower().rstrip("/").endswith(where.lower()) and all(
        query.get(name) == value for name, value in tokens.items()
    )
