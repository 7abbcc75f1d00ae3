"""A client of a local Azure over real HTTPS, with as little between it and the wire as can be."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from local_azure.config import Config
from local_azure.launcher import LocalAzure

GROUPS = "2021-04-01"
DISKS = "2023-04-02"


@dataclass
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    data: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.data)

    @property
    def code(self) -> str:
        return self.body["error"]["code"]


class Client:
    """Requests to one local Azure, each on a connection of its own."""

    def __init__(self, local: LocalAzure) -> None:
        self.local = local
        self.host = urlsplit(local.url).netloc
        self.context = ssl.create_default_context(cafile=str(local.ca_file))
        self.subscription = f"/subscriptions/{local.config.subscription}"
        self.token = ""

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPSConnection]:
        """A connection that is closed at the end."""
        connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=30)
        try:
            yield connection
        finally:
            connection.close()

    def raw(
        self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """A request as it is; a body that is neither bytes nor text is sent as JSON."""
        data = body if body is None or isinstance(body, bytes | str) else json.dumps(body)
        with self.connection() as connection:
            connection.request(method, target, data, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read())

    def ask_token(self, tenant: str | None = None, **changes: str) -> Answer:
        """Ask for a token with the right form, but for the changes."""
        config = self.local.config
        form = {
            "grant_type": "client_credentials",
            "client_id": config.client_id,
            "client_secret": config.secret,
            "scope": f"{self.local.url}/.default",
            **changes,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        path = f"/{tenant or config.tenant}/oauth2/v2.0/token"
        return self.raw("POST", path, urlencode(form), headers)

    def call(
        self, method: str, path: str, body: Any = None, version: str = GROUPS, **headers: str
    ) -> Answer:
        """A management request below the subscription, with a token."""
        self.token = self.token or self.ask_token().body["access_token"]
        target = f"{self.subscription}/{path}{'&' if '?' in path else '?'}api-version={version}"
        return self.raw(method, target, body, {"Authorization": f"Bearer {self.token}", **headers})

    def make_group(self, name: str = "group") -> Answer:
        return self.call("PUT", f"resourceGroups/{name}", {"location": "westeurope"})

    def put_disk(self, name: str = "disk", gigabytes: int = 1) -> Answer:
        """Begin to make an empty disk in the resource group ``group``."""
        properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": gigabytes}
        path = f"resourceGroups/group/providers/Microsoft.Compute/disks/{name}"
        return self.call("PUT", path, {"location": "westeurope", "properties": properties}, DISKS)

    def get_disk(self, name: str = "disk") -> Answer:
        path = f"resourceGroups/group/providers/Microsoft.Compute/disks/{name}"
        return self.call("GET", path, version=DISKS)

    def poll(self, answer: Answer, header: str = "azure-asyncoperation") -> Answer:
        """Follow one of the URLs of an answer that started an operation."""
        url = urlsplit(answer.headers[header])
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.raw("GET", f"{url.path}?{url.query}", headers=headers)

    def requests(self) -> list[dict[str, Any]]:
        """What the audit holds."""
        return self.local.control.audit()["requests"]


@contextmanager
def client(config: Config | None = None) -> Iterator[Client]:
    """A client of a fresh local Azure; no request may have failed inside of it."""
    local = LocalAzure(config).start()
    try:
        yield Client(local)
        assert local.control.audit()["crashes"] == []
    finally:
        local.stop()
