"""A few plain requests to local Azure's management API, to arrange and to look."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from typing import Any
from urllib.parse import urlencode, urlsplit

from local_azure.launcher import LocalAzure

COMPUTE = "2024-03-01"
DISKS = "2023-04-02"
NETWORK = "2024-05-01"
GROUPS = "2021-04-01"

_OF_DISKS = re.compile(
    r"/Microsoft\.Compute/(disks|snapshots)(/|$)|/diskRestorePoints(/|$)", re.IGNORECASE
)


class Arm:
    """A client with the login that local Azure was made with."""

    def __init__(self, local: LocalAzure) -> None:
        self.subscription = f"/subscriptions/{local.config.subscription}"
        self._config = local.config
        self._host = urlsplit(local.url).netloc
        self._context = ssl.create_default_context(cafile=str(local.ca_file))
        self._url = local.url
        self.token = self._new_token()

    def _new_token(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._config.client_id,
            "client_secret": self._config.secret,
            "scope": f"{self._url}/.default",
        }
        path = f"/{self._config.tenant}/oauth2/v2.0/token"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._send("POST", path, urlencode(form), headers)["access_token"]

    def _send(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Any:
        connection = http.client.HTTPSConnection(self._host, context=self._context, timeout=60)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {text}")
        return json.loads(text) if text else None

    def call(self, method: str, path: str, version: str, body: Any = None) -> Any:
        """One request; ``path`` is absolute, or starts below the subscription.

        Disks and snapshots have api-versions of their own, which is seen to here.
        """
        if version == COMPUTE and _OF_DISKS.search(path):
            version = DISKS
        full = path if path.startswith("/subscriptions/") else f"{self.subscription}/{path}"
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        return self._send(method, f"{full}?api-version={version}", data, headers)

    def list_compute(self, kind: str) -> list[dict[str, Any]]:
        """All resources of a kind in the subscription, such as ``virtualMachines``."""
        return self.call("GET", f"providers/Microsoft.Compute/{kind}", COMPUTE)["value"]

    def make_group(self, name: str, location: str) -> None:
        self.call("PUT", f"resourceGroups/{name}", GROUPS, {"location": location})

    def make_subnet(self, group: str, network: str, location: str) -> str:
        """A virtual network with one subnet; returns the subnet's id."""
        provider = f"{self.subscription}/resourceGroups/{group}/providers/Microsoft.Network"
        path = f"{provider}/virtualNetworks/{network}"
        properties = {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}],
        }
        self.call("PUT", path, NETWORK, {"location": location, "properties": properties})
        return f"{path}/subnets/default"
