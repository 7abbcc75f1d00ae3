# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API version of each kind of resource: ours, whatever version the installed SDK prefers.

The service's answers, its defaults and its refusals change with the API version, and the SDK's choice
changes with a pip upgrade. A newer version here is a change like any other: with a test, and a look at
what it brings.
"""

from __future__ import annotations

import json
import re
from typing import Any

# Entity tags of machines and diskControllerType. From 2025-11-01 on an absent securityType is another.
COMPUTE = ("2024-11-01", "2024-07-01")
# supportedCapabilities.supportedSecurityOption. Regions get it later than the SDK does: uksouth did not
# know 2025-01-02 in May 2025 (claranet/terraform-azurerm-windows-vm#7).
DISKS = ("2025-01-02", "2024-03-02")
# An option of a request whose api-version is to stay.
AS_GIVEN = "vmguard_version_as_given"
NETWORK = ("2022-11-01",)

# By kind and what is below it, unless that has a line of its own. The first version is used; the next one
# where a region says that it does not know the first.
PINS: dict[str, tuple[str, ...]] = {
    "subscriptions": ("2022-12-01",),
    "subscriptions/resourcegroups": ("2021-04-01",),
    "microsoft.compute/virtualmachines": COMPUTE,
    "microsoft.compute/restorepointcollections": COMPUTE,
    "microsoft.compute/restorepointcollections/restorepoints/diskrestorepoints": DISKS,
    "microsoft.compute/disks": DISKS,
    "microsoft.compute/snapshots": DISKS,
    "microsoft.network/networkinterfaces": NETWORK,
    "microsoft.network/virtualnetworks": NETWORK,
}
# The refusals of a version that a region, or a cloud, does not know (yet). Nothing was done then.
_UNKNOWN_VERSION = frozenset(("NoRegisteredProviderFound", "InvalidApiVersionParameter"))
_IN_QUERY = re.compile(r"(?<=[?&])api-version=([^&#]*)", re.IGNORECASE)


def kind_of(path: str) -> str:
    """The kind of what a path of Azure Resource Manager names, in lower case.

    ``/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/disks/D`` is a
    ``microsoft.compute/disks``. What is done to it (``beginGetAccess``) counts as a kind below it.
    """
    path = path.lower().strip("/")
    scope, _providers, named = f"/{path}".rpartition("/providers/")
    if not scope:
        return "/".join(path.split("/")[::2])
    provider, *rest = named.split("/")
    return "/".join([provider, *rest[::2]])


def pins_of(path: str) -> tuple[str, ...]:
    """The versions for a path, the first one first; none where nothing is pinned.

    URLs of operations (``.../locations/...``) are used as Azure gives them.
    """
    kind = kind_of(path)
    while kind:
        if found := PINS.get(kind):
            return found
        kind = kind.rpartition("/")[0]
    return ()


def pinning_policy() -> Any:
    """A pipeline policy that gives each request the version of its kind.

    It stands above the retries, and works for lists too: the SDK puts its own version into the URL
    of every further page.
    """
    from azure.core.pipeline.policies import HTTPPolicy

    class PinningPolicy(HTTPPolicy):
        def __init__(self) -> None:
            super().__init__()
            # How many of the first versions of these pins were refused.
            self._passed: dict[tuple[str, ...], int] = {}

        def send(self, request: Any) -> Any:
            if request.context.options.pop(AS_GIVEN, False):
                return self.next.send(request)
            pins = pins_of(_path(request.http_request.url))
            if not pins:
                return self.next.send(request)
            # Policies below take their options out; a second request needs them again.
            options = dict(request.context.options)
            while True:
                passed = self._passed.get(pins, 0)
                _set_version(request.http_request, pins[passed])
                response = self.next.send(request)
                if passed == len(pins) - 1 or not _is_unknown_version(response.http_response):
                    return response
                self._passed[pins] = passed + 1
                request.context.options.update(options)
                # Resource Manager repeats its answer to a request that it has seen before.
                request.http_request.headers.pop("x-ms-client-request-id", None)

    return PinningPolicy()


def _set_version(request: Any, version: str) -> None:
    request.url = _IN_QUERY.sub(f"api-version={version}", request.url)


def _path(url: str) -> str:
    return url.partition("?")[0].partition("://")[2].partition("/")[2]


def _is_unknown_version(response: Any) -> bool:
    if response.status_code != 400:
        return False
    response.read()  # the SDK may not have done so yet
    try:
        return json.loads(response.text())["error"]["code"] in _UNKNOWN_VERSION
    except (ValueError, KeyError, TypeError):
        return False
