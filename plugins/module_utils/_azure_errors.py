# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the Azure packages' exceptions to ours. Private to this collection."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from ._errors import (
    AuthError,
    AzureError,
    Conflict,
    ConnectionFailed,
    NotFound,
    OperationFailed,
    Throttled,
    VmguardError,
)
from ._permissions import DOCUMENT, missing
from ._secrets import scrub

_RENEW = (
    "Create a new client secret for the application in Microsoft Entra ID (App registrations,"
    " Certificates & secrets) and give its value to the option secret, to AZURE_SECRET or to the"
    " credential file."
)
_CHECK_TENANT = (
    "Check the option tenant (AZURE_TENANT), and that cloud_environment is the right cloud."
)
_NO_FEDERATION = (
    "The application does not trust the token of this workload.",
    "Give it a federated credential with what the message names, letter by letter.",
)
_LOGIN_AGAIN = "Run 'az login' as the user that runs the task."

# Microsoft Entra ID's codes, what they mean to our users, and what to do.
# Source: https://learn.microsoft.com/entra/identity-platform/reference-error-codes
ENTRA: dict[str, tuple[str, str]] = {
    "7000215": (
        "The client secret is wrong.",
        "Give the secret's value, which Azure shows once when it is created, not the secret's ID.",
    ),
    "7000222": ("The client secret has expired.", _RENEW),
    "7000218": ("The login sent neither a client secret nor a certificate.", _RENEW),
    "700016": (
        "The application (client_id) is unknown in this tenant.",
        "Check client_id (AZURE_CLIENT_ID) and tenant (AZURE_TENANT): they belong together.",
    ),
    "90002": ("The tenant is unknown.", _CHECK_TENANT),
    "900023": ("The tenant is neither an id nor a domain name.", _CHECK_TENANT),
    "700027": (
        "The certificate is not one of the application's.",
        "Name the file of a certificate that the application has in Microsoft Entra ID.",
    ),
    "700024": (
        "The login's signature is outside its period of validity.",
        "Set this machine's clock: it differs from Azure's.",
    ),
    "70021": _NO_FEDERATION,
    "700211": _NO_FEDERATION,
    "700212": _NO_FEDERATION,
    "700213": _NO_FEDERATION,
    "7002138": _NO_FEDERATION,
    "7000112": (
        "The application is disabled in this tenant.",
        "Enable it in Microsoft Entra ID (Enterprise applications, Properties).",
    ),
    "7000229": (
        "The application has no service principal in this tenant.",
        "Create it with 'az ad sp create --id <client_id>'.",
    ),
    "500011": (
        "This tenant does not know the cloud's Resource Manager.",
        "Check that cloud_environment and tenant belong to the same cloud.",
    ),
    "50076": ("Azure asks for a second factor.", _LOGIN_AGAIN),
    "50079": ("Azure asks for a second factor to be set up.", _LOGIN_AGAIN),
    "50173": ("The login was revoked.", _LOGIN_AGAIN),
    "70043": ("The login has expired.", _LOGIN_AGAIN),
    "700082": ("The login has expired: it was not used for too long.", _LOGIN_AGAIN),
    "53003": (
        "A conditional access policy of the tenant forbids this login.",
        "Ask the tenant's administrator to allow this principal from this network.",
    ),
}

_GIVE_ROLE = (
    "Give the principal a role that allows the action named in the message, on this scope; a new"
    f" role takes some minutes to be in force. {DOCUMENT} has a role for each job."
)
_OTHER_TENANT = (
    "What the request names lies in a subscription that this tenant's logins do not reach, or that"
    " does not exist: check the ids that were given."
)
# Azure Resource Manager's codes for which there is something better to say than the message.
# Source: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
HINTS: dict[str, str] = {
    "AuthorizationFailed": _GIVE_ROLE,
    "LinkedAuthorizationFailed": _GIVE_ROLE,
    "DenyAssignmentAuthorizationFailed": (
        "A role does not help against a deny assignment: its owner has to take it away."
    ),
    "ScopeLocked": "Remove the lock, or ask its owner to.",
    "SubscriptionNotFound": "Check subscription_id, and that the principal has a role in it.",
    "InvalidSubscriptionId": "Check subscription_id: it is an id, not a name.",
    "InvalidAuthenticationTokenTenant": (
        "The subscription belongs to another tenant than the login: check tenant and"
        " subscription_id."
    ),
    "ExpiredAuthenticationToken": "Set this machine's clock: it may differ from Azure's.",
    "InvalidAuthenticationToken": "Check that cloud_environment is the cloud of the login.",
    "InvalidAuthenticationTokenAudience": "Check that cloud_environment is the cloud of the login.",
    "ResourceGroupNotFound": "Check resource_group and subscription_id.",
    "MissingSubscriptionRegistration": (
        "Register the resource provider: 'az provider register --namespace Microsoft.Compute'."
    ),
    "ReadOnlyDisabledSubscription": "The subscription is disabled: enable it in the portal.",
    "RequestDisallowedByPolicy": "A policy forbids this: the message names it.",
    "TooManyRequests": "Run again later, or let fewer hosts run at a time.",
}

_ENTRA_CODE = re.compile(
    r"AADSTS(\d+)\b:?\s*(.*?)(?=\s*Trace ID:|\s*Correlation ID:|[\r\n]|$)", re.S
)
_TRACE_ID = re.compile(r"(?:Trace ID|trace_id\"?):\s*\"?([0-9a-f-]{36})", re.I)
_UNKNOWN_AUTHORITY = re.compile(r"Unable to get authority configuration for (\S+?)\.?\s")

_NETWORK_HINT = "Check the network, the proxy (HTTPS_PROXY, NO_PROXY) and cloud_environment."
_OWN_CA = (
    "If a proxy or a private cloud signs with a CA of its own, name a file with that CA's"
    " certificate in REQUESTS_CA_BUNDLE."
)
_NO_NAME = "name or service not known|failed to resolve|nodename nor|failure in name|getaddrinfo"
_CUT = "connection reset|remote end closed|connection aborted|incomplete|broken pipe"
# What a lower layer's text means, and what to do; the first match wins.
_CAUSES: tuple[tuple[str, str, str], ...] = (
    (
        "certificate.verify.failed.*(hostname|ip address) mismatch|doesn.t match|not valid for",
        "its TLS certificate is for another name",
        "Check the host's name in cloud_environment.",
    ),
    (
        "certificate.verify.failed|unable to get local issuer|self.signed certificate",
        "its TLS certificate is not trusted by this machine",
        _OWN_CA,
    ),
    (r"\bssl\b|\btls\b|wrong version number", "the TLS handshake failed", _NETWORK_HINT),
    (_NO_NAME, "its name cannot be resolved", _NETWORK_HINT),
    ("tunnel connection failed|proxyerror|to proxy", "the proxy refuses", _NETWORK_HINT),
    ("connection refused", "the connection is refused", _NETWORK_HINT),
    ("timed out|timeout", "it does not answer in time", _NETWORK_HINT),
    ("network is unreachable|no route to host", "there is no route to it", _NETWORK_HINT),
    (_CUT, "it closed the connection before the answer was complete", "Run again."),
)
_MSI_HINT = (
    "auth_source msi works on Azure only, on a machine with a managed identity; where there are"
    " several, name one in client_id."
)
# azure-identity's words for having no token on this machine, our code, what it means, what to do.
_UNAVAILABLE: tuple[tuple[str, str, str, str], ...] = (
    (
        "CLI not found|Failed to execute",
        "CliNotFound",
        "The Azure CLI (az) is not installed, or not on the PATH of the task.",
        "Install it, or give client_id, secret and tenant.",
    ),
    ("az login|az account set", "CliNotLoggedIn", "The Azure CLI is not logged in.", _LOGIN_AGAIN),
    (
        "Failed to invoke",
        "CliFailed",
        "The Azure CLI does not answer.",
        "Try 'az account get-access-token' by hand.",
    ),
    (
        "managed.?identity|IMDS|identity unavailable",
        "ManagedIdentityUnavailable",
        "This machine has no managed identity that can be used.",
        _MSI_HINT,
    ),
)


def from_azure(
    error: Exception,
    *,
    operation: str,
    resource: str | None = None,
    secrets: Iterable[str | None] = (),
) -> VmguardError:
    """Turn an error of the Azure packages into one of ours (to be raised ``from error``).

    Args:
        error: an ``azure.core.exceptions.AzureError``; one of ours is returned as it is.
        operation: what was being done, as a verb phrase: ``create restore point``.
        resource: the resource's id or name.
        secrets: literal values that must not appear in the result.
    """
    if isinstance(error, VmguardError):
        return error
    return _translate(error, operation, resource, tuple(secrets))


def _translate(
    error: Exception, operation: str, resource: str | None, secrets: tuple[str | None, ...]
) -> VmguardError:
    from azure.core import exceptions as azure

    details: dict[str, Any] = {"operation": operation, "resource": resource, "secrets": secrets}
    what = f"{operation} of {resource} failed" if resource else f"{operation} failed"
    if lost := next((item for item in _chain(error) if _is_connection(item)), None):
        return _connection_failed(lost, what, details)
    if isinstance(error, azure.ClientAuthenticationError) and _arm_error(error) == (None, None):
        return _not_logged_in(error, what, details)
    if isinstance(error, azure.HttpResponseError):
        return _refused(error, what, details)
    return VmguardError(f"{what}: {_one_line(error)}", **details)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was raised from; azure-identity hides a lost connection there."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def _is_connection(error: BaseException) -> bool:
    from azure.core import exceptions as azure

    if isinstance(error, azure.DecodeError):
        return error.status_code is None or error.status_code < 400
    if isinstance(error, azure.HttpResponseError) and error.response is None:
        # azure-core's word for an answer that broke off, when it is not an IncompleteReadError.
        return error.inner_exception is not None
    return isinstance(error, azure.ServiceRequestError | azure.ServiceResponseError)


def _connection_failed(
    error: BaseException, what: str, details: dict[str, Any]
) -> ConnectionFailed:
    url = _url(error)
    text = str(error)
    where = url or "Azure"
    for pattern, cause, hint in _CAUSES:
        if re.search(pattern, text, re.I):
            return ConnectionFailed(
                f"{what}: no connection to {where}: {cause}.", hint=hint, **details
            )
    message = f"{what}: no connection to {where}: {_one_line(error)}"
    return ConnectionFailed(message, hint=_NETWORK_HINT, **details)


def _url(error: BaseException) -> str | None:
    """Scheme, host and path of the request that got no answer; never its query."""
    request = getattr(getattr(error, "inner_exception", None), "request", None)
    url = getattr(request, "url", None)
    if url:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    host = re.search(r"host='([^']+)', port=(\d+)", str(error))
    return f"https://{host.group(1)}:{host.group(2)}" if host else None


def _not_logged_in(error: Any, what: str, details: dict[str, Any]) -> AuthError:
    text = "\n".join(str(item) for item in _chain(error))
    found = _ENTRA_CODE.search(text)
    if found:
        number, told = found.groups()
        trace = _TRACE_ID.search(text)
        sentence, hint = ENTRA.get(number, ("Microsoft Entra ID refuses the login.", None))
        return AuthError(
            f"{what}: {sentence} Azure says: AADSTS{number}: {_one_line(told)}",
            code=f"AADSTS{number}",
            request_id=trace.group(1) if trace else None,
            hint=hint,
            **details,
        )
    if unknown := _UNKNOWN_AUTHORITY.search(text):
        # msal hides the code behind this sentence: it asked for the tenant's OpenID configuration.
        sentence, hint = ENTRA["90002"]
        return AuthError(
            f"{what}: {sentence} There is no {unknown.group(1)}.",
            code="AADSTS90002",
            hint=hint,
            **details,
        )
    return _unavailable(text, what, details)


def _unavailable(text: str, what: str, details: dict[str, Any]) -> AuthError:
    """No token for a reason on this machine: no Azure CLI, no managed identity."""
    for pattern, code, sentence, hint in _UNAVAILABLE:
        if re.search(pattern, text, re.I):
            return AuthError(f"{what}: {sentence}", code=code, hint=hint, **details)
    return AuthError(f"{what}: {_one_line(text)}", **details)


def _refused(error: Any, what: str, details: dict[str, Any]) -> VmguardError:
    """An answer with an error status, or an operation that ended as failed."""
    code, told = _arm_error(error)
    status = error.status_code
    headers = getattr(error.response, "headers", None) or {}
    details["request_id"] = headers.get("x-ms-request-id") or headers.get(
        "x-ms-correlation-request-id"
    )
    reason = told or (error.reason if status else _one_line(error)) or "no reason given"
    named = f"{code}: {reason}" if code else (f"HTTP {status}: {reason}" if status else reason)
    details["code"] = code or (f"HTTP{status}" if status else None)
    details["hint"] = HINTS.get(code or "")
    if right := missing(" ".join((told or "").split())):
        details["hint"] = right.hint()
        named = f"{code}: {right.sentence()}"
    elif code == "LinkedAuthorizationFailed" and "linked subscription" in (told or ""):
        details["hint"] = _OTHER_TENANT
    message = f"{what}: {_one_line(named)}"
    if status == 401:
        return AuthError(message, **details)
    if status == 404 and code == "SubscriptionNotFound":
        # Not a missing resource: with a mistyped subscription nothing may pass for absent.
        return AzureError(message, status=status, **details)
    kind = {404: NotFound, 409: Conflict, 412: Conflict, 429: Throttled}.get(status, AzureError)
    if status is not None and status < 400:
        kind = OperationFailed
    if kind is Throttled:
        details["hint"] = details["hint"] or HINTS["TooManyRequests"]
    return kind(message, status=status, retry_after=_seconds(headers.get("Retry-After")), **details)


def _arm_error(error: Any) -> tuple[str | None, str | None]:
    """Azure's code and message from the body of the answer, None where there is none.

    Storage answers in XML and repeats its code in a header.
    """
    response = getattr(error, "response", None)
    if response is None:
        return None, None
    try:
        body = json.loads(response.text())
    except Exception:  # noqa: BLE001 - a body that was not read, is no text or no JSON is no body
        body = None
    found = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(found, dict):
        code, message = found.get("code"), found.get("message")
        if code or message:
            return _with_details(code, message, found)
    headers = getattr(response, "headers", None) or {}
    code = headers.get("x-ms-error-code")
    return (code, error.reason) if code else (None, None)


def _with_details(
    code: str | None, message: str | None, found: dict[str, Any]
) -> tuple[str | None, str | None]:
    """The message, followed by those in ``details`` that say something new."""
    parts = [message] if message else []
    for item in found.get("details") or []:
        told = item.get("message") if isinstance(item, dict) else None
        if told and told not in parts:
            parts.append(told)
    return code, " ".join(parts) or None


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _one_line(text: object) -> str:
    return scrub(" ".join(str(text).split()))
