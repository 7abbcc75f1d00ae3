"""Plays steps against a local Azure over real HTTPS and compares the shapes of its answers."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from shapes import Shape, differences, shape_of

from local_azure.config import Config, Durations
from local_azure.launcher import LocalAzure

UNANSWERED = "not answered"
_LONG = 100.0
REPLICATION_SECONDS = 1e7
# Stands in a request for the disk restore point of the newest restore point's data disk.
DISK_RESTORE_POINT = "@disk-restore-point"


@dataclass
class Step:
    """One request and what is expected of its answer.

    ``kind`` is ``request``, or for the operation that was started last: ``poll``, ``monitor``.
    """

    number: int
    expected: Shape
    kind: str = "request"
    method: str = "GET"
    path: str = ""
    body: Any = None


@dataclass
class Outcome:
    """What one step found."""

    number: int
    differences: list[str] = field(default_factory=list)


def slow_config() -> Config:
    """Settings under which nothing ends before the clock is moved, and no copy ever arrives."""
    names = vars(Durations())
    return Config(
        durations=Durations(
            **{name: REPLICATION_SECONDS if "replication" in name else _LONG for name in names}
        )
    )


class Player:
    """A client of one local Azure, with a real token."""

    def __init__(self, local: LocalAzure) -> None:
        self.local = local
        self.subscription = local.config.subscription
        self._context = ssl.create_default_context(cafile=str(local.ca_file))
        self._connection = http.client.HTTPSConnection(
            urlsplit(local.url).netloc, context=self._context, timeout=60
        )
        self._token = ""
        self._operation: Mapping[str, str] | None = None
        self.newest_point = ""

    def close(self) -> None:
        self._connection.close()

    def _login(self) -> None:
        config = self.local.config
        form = {
            "grant_type": "client_credentials",
            "client_id": config.client_id,
            "client_secret": config.secret,
            "scope": f"{self.local.url}/.default",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        path = f"/{config.tenant}/oauth2/v2.0/token"
        answer = self._exchange("POST", path, urlencode(form).encode(), headers)[2]
        self._token = answer["access_token"]

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], Any]:
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        data = response.read()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, json.loads(data) if data else None

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], Any]:
        """One management request; status, headers in lower case, body."""
        self._login()
        text = "" if body is None else json.dumps(body)
        if DISK_RESTORE_POINT in text:
            text = text.replace(DISK_RESTORE_POINT, self.disk_restore_point())
        if DISK_RESTORE_POINT in path:
            path = path.replace(DISK_RESTORE_POINT, self.disk_restore_point())
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        answer = self._exchange(method, path, text.encode() or None, headers)
        if method == "PUT" and "/restorePoints/" in path and answer[0] < 300:
            self.newest_point = path
        return answer

    def disk_restore_point(self) -> str:
        """The id of the disk restore point of the newest restore point's last disk."""
        storage = self.send("GET", self.newest_point)[2]["properties"]["sourceMetadata"]
        disks = storage["storageProfile"]["dataDisks"] or [storage["storageProfile"]["osDisk"]]
        return disks[-1]["diskRestorePoint"]["id"]

    def arrange(self, method: str, path: str, body: Any = None, *, finish: bool = True) -> Any:
        """A request that the steps presuppose; its operation is let end unless told not to.

        Raises:
            RuntimeError: when local Azure refuses.
        """
        status, headers, answer = self.send(method, path, body)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        self._remember(headers)
        if finish:
            self.local.control.advance(_LONG)
        return answer

    def _remember(self, headers: Mapping[str, str]) -> None:
        self._operation = headers if "azure-asyncoperation" in headers else None

    def play(
        self, steps: Iterable[Step], hooks: Mapping[int, Callable[[Player], None]]
    ) -> list[Outcome]:
        """Every step in order; ``hooks`` run before the step of their number."""
        outcomes = []
        for step in steps:
            if step.number in hooks:
                hooks[step.number](self)
            outcomes.append(Outcome(step.number, self._play_one(step)))
        return outcomes

    def _play_one(self, step: Step) -> list[str]:
        if step.kind == "request":
            status, headers, body = self.send(step.method, step.path, step.body)
            if status in (404, 405) and _unanswered(body):
                self._operation = None
                return [UNANSWERED]
            if step.method != "GET":
                self._remember(headers)
            return differences(step.expected, shape_of(status, headers, body))
        if self._operation is None:
            return [UNANSWERED]
        if step.kind == "monitor" or step.expected.ended:
            self.local.control.advance(_LONG)
        header = "location" if step.kind == "monitor" else "azure-asyncoperation"
        url = urlsplit(self._operation[header])
        status, headers, body = self.send("GET", f"{url.path}?{url.query}")
        return differences(step.expected, shape_of(status, headers, body))


def _unanswered(body: Any) -> bool:
    code = (body or {}).get("error", {}).get("code")
    return code in ("InvalidResourceType", "MethodNotAllowed")
