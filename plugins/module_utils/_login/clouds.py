# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Azure's clouds and their endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .._azure_errors import from_azure
from .._errors import AzureError, InputError, missing_library

METADATA_VERSION = "2022-09-01"
# All that some releases of Azure Stack Hub know.
OLD_METADATA_VERSION = "2015-01-01"

# Seconds; azure-core would wait 300 for each connection that nobody answers.
PATIENCE = {"connection_timeout": 10, "read_timeout": 30}

Fetch = Callable[[str], Any]


@dataclass(frozen=True)
class Cloud:
    """Where one Azure is, without slashes at the ends.

    Attributes:
        name: as in ``az cloud list``; for a cloud known by its metadata, what that says.
        resource_manager: base URL of Azure Resource Manager.
        authority: base URL of the login service.
        audience: what tokens for Resource Manager are made out to.
        storage_suffix: end of the storage accounts' host names, "" where unknown.
        is_known: one of Microsoft's clouds, whose login service Microsoft vouches for.
        tenant: the tenant that this cloud prescribes ("adfs"), None where the user has one.
    """

    name: str
    resource_manager: str
    authority: str
    audience: str
    storage_suffix: str = ""
    is_known: bool = False
    tenant: str | None = None

    @property
    def scope(self) -> str:
        """What to ask a token for."""
        return f"{self.audience}/.default"


# Source: azure-mgmt-core's get_arm_endpoints, and 'az cloud list' for login and storage.
KNOWN: dict[str, Cloud] = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            "AzureCloud",
            "https://management.azure.com",
            "https://login.microsoftonline.com",
            "https://management.azure.com",
            "core.windows.net",
            is_known=True,
        ),
        Cloud(
            "AzureUSGovernment",
            "https://management.usgovcloudapi.net",
            "https://login.microsoftonline.us",
            "https://management.core.usgovcloudapi.net",
            "core.usgovcloudapi.net",
            is_known=True,
        ),
        Cloud(
            "AzureChinaCloud",
            "https://management.chinacloudapi.cn",
            "https://login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn",
            "core.chinacloudapi.cn",
            is_known=True,
        ),
    )
}
PUBLIC = KNOWN["AzureCloud"]
# Other names that users bring from Azure PowerShell, Terraform and the SDKs.
_ALIASES = {
    "azurepubliccloud": "AzureCloud",
    "public": "AzureCloud",
    "azureusgovernmentcloud": "AzureUSGovernment",
    "usgovernment": "AzureUSGovernment",
    "azurechina": "AzureChinaCloud",
    "china": "AzureChinaCloud",
}


def resolve_cloud(value: str | None, *, fetch: Fetch | None = None) -> Cloud:
    """The cloud that a name or the URL of a metadata endpoint means; without one the public one.

    Args:
        value: ``AzureCloud``, ``AzureUSGovernment``, ``AzureChinaCloud``, or an https URL.
        fetch: GET a URL and return its JSON; for tests.

    Raises:
        InputError: no such cloud, or a URL that is not https.
        ConnectionFailed, AzureError: the metadata endpoint does not answer, or not as one does.
    """
    if not value:
        return PUBLIC
    if "://" not in value:
        return _named(value)
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname:
        raise InputError(
            f"cloud_environment must be an https URL, not {value}: tokens never travel in clear."
        )
    base = f"https://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    for known in KNOWN.values():
        if base == known.resource_manager:
            return known
    return _parse(base, _metadata(base, fetch or fetch_json))


def _named(name: str) -> Cloud:
    wanted = name.strip().lower()
    wanted = _ALIASES.get(wanted, wanted).lower()
    for cloud in KNOWN.values():
        if cloud.name.lower() == wanted:
            return cloud
    raise InputError(
        f"There is no cloud_environment {name!r}.",
        hint=f"Use {', '.join(KNOWN)}, or the https URL of a metadata endpoint.",
    )


def _metadata(base: str, fetch: Fetch) -> Any:
    """The answer in the newest version that the endpoint knows."""
    address = f"{base}/metadata/endpoints?api-version="
    try:
        return fetch(address + METADATA_VERSION)
    except AzureError as error:
        # An old endpoint refuses a version it does not know with 400 or 404.
        if error.status not in (400, 404):
            raise
    return fetch(address + OLD_METADATA_VERSION)


def _parse(base: str, answer: Any) -> Cloud:
    """A Cloud from any shape of metadata: a list of clouds, one cloud, or the form of 2015."""
    found = _pick(base, answer)
    login = found.get("authentication") if found else None
    if not isinstance(login, dict) or not login.get("loginEndpoint"):
        raise _no_metadata(base)
    manager = found.get("resourceManager") or found.get("resourceManagerEndpoint") or base
    audiences = login.get("audiences") or [manager]
    authority, tenant = login["loginEndpoint"].rstrip("/"), None
    if authority.lower().endswith("/adfs"):
        # Azure Stack with AD FS: the login library takes "adfs" as the tenant.
        authority, tenant = authority[: -len("/adfs")], "adfs"
    for url in (authority, manager):
        if urlsplit(url).scheme != "https":
            raise InputError(f"The metadata of {base} name an endpoint that is not https: {url}.")
    suffixes = found.get("suffixes") or {}
    return Cloud(
        name=found.get("name") or urlsplit(base).hostname or base,
        resource_manager=manager.rstrip("/"),
        authority=authority,
        audience=audiences[0].rstrip("/"),
        storage_suffix=suffixes.get("storage") or "",
        tenant=tenant,
    )


def _pick(base: str, answer: Any) -> dict[str, Any] | None:
    """The cloud whose Resource Manager was asked, or the only one there is."""
    clouds = [
        item
        for item in (answer if isinstance(answer, list) else [answer])
        if isinstance(item, dict)
    ]
    host = urlsplit(base).netloc
    for item in clouds:
        if urlsplit(item.get("resourceManager") or "").netloc == host:
            return item
    return clouds[0] if len(clouds) == 1 else None


def _no_metadata(base: str) -> AzureError:
    return AzureError(
        f"{base} answers, but not with the metadata of a cloud.",
        code="NoCloudMetadata",
        operation="read cloud metadata",
        resource=base,
        hint="cloud_environment takes the URL of a Resource Manager, such as"
        " https://management.local.azurestack.external.",
    )


def fetch_json(url: str) -> Any:
    """GET without a token, with retries, proxies and CA file as in every other request.

    Raises:
        ConnectionFailed, AzureError, MissingLibrary.
    """
    try:
        from azure.core import PipelineClient
        from azure.core.exceptions import AzureError as CoreError
        from azure.core.exceptions import HttpResponseError
        from azure.core.pipeline import policies
        from azure.core.rest import HttpRequest
    except ImportError as error:
        raise missing_library("azure-core", "to talk to Azure") from error
    base = url.partition("/metadata")[0]
    chain = [policies.UserAgentPolicy(), policies.RetryPolicy(retry_total=3, retry_connect=2)]
    try:
        with PipelineClient(base, policies=chain, **PATIENCE) as client:
            response = client.send_request(HttpRequest("GET", url))
            if response.status_code != 200:
                raise HttpResponseError(response=response)
            text = response.text()
    except CoreError as error:
        raise from_azure(error, operation="read cloud metadata", resource=base) from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise _no_metadata(base) from error
