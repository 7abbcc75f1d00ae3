# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who logs in, to which cloud and subscription.

Tokens last about an hour and are renewed by azure-identity and azure-core: each request asks the
credential again once less than five minutes of its token are left. So a ``Login`` holds for as
long as a run lasts; nothing here keeps a token.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._azure_errors import from_azure
from .._errors import InputError
from .._spec import AUTH_SOURCES
from .clouds import Cloud, Fetch, resolve_cloud
from .credentials import application_credential, cli_credential, machine_credential
from .layers import (
    PROOFS,
    SDK_VARIABLES,
    SOURCE_VARIABLE,
    TOKEN_FILE,
    VARIABLES,
    Layer,
    environment_layer,
    home_folder,
    login_layers,
    merge,
    options_layer,
    other_client,
)
from .profiles import cli_account, cli_cloud, cli_folder

# Codes of the InputErrors that say "there is no login", as opposed to "the options are wrong".
NOT_FOUND_CODES = frozenset(
    ("LoginMissing", "LoginIncomplete", "ProfileNotFound", "SubscriptionMissing")
)

_GUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.I)


@dataclass(frozen=True)
class Login:
    """A resolved login. Making one sends no credential anywhere.

    Attributes:
        credential: an azure-core ``TokenCredential``.
        subscription_id: None only where it was not required.
        tenant, client_id: None where the source does not know them (msi, cli).
        cloud: endpoints and scope.
        source: where the principal comes from: ``options``, ``env``, ``credential_file``,
            ``cli``, ``msi`` or ``workload_identity``.
        profile: the profile that was used, None without one.
    """

    credential: Any
    subscription_id: str | None
    tenant: str | None
    client_id: str | None
    cloud: Cloud
    source: str
    profile: str | None = None


def resolve_login(
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    home: str | Path | None = None,
    fetch: Fetch | None = None,
    require_subscription: bool = True,
) -> Login:
    """The login that a task's options, its environment and its files stand for.

    Args:
        options: those of ``_spec.AUTH_SPEC``; others are passed over, None is not set.
        environ: environment variables.
        home: the user's home folder; of the running user when not given.
        fetch: GET a URL and return its JSON, for the metadata of a cloud; for tests.
        require_subscription: whether to fail when no subscription is found.

    Raises:
        InputError: something is missing, contradictory or malformed.
        ConnectionFailed, AzureError: a metadata endpoint does not answer as one does.
        MissingLibrary: azure-identity is not installed.
    """
    home = home_folder(home, environ)
    _check_ca_file(environ)
    given = {key: value for key, value in options.items() if value not in (None, "")}
    auth_source = given.get("auth_source") or environ.get(SOURCE_VARIABLE) or "auto"
    if auth_source not in AUTH_SOURCES:
        raise InputError(
            f"There is no auth_source {auth_source!r}: it is one of {_or(AUTH_SOURCES)}."
        )
    if auth_source in ("cli", "msi", "workload_identity"):
        _refuse_foreign(given, auth_source)
        layers = [options_layer(given), environment_layer(environ)]
        if auth_source == "cli":
            return _cli_login(layers, environ, home, fetch, require_subscription)
        if auth_source == "workload_identity":
            return _workload_login(layers, fetch, require_subscription)
        return _msi_login(layers, fetch, require_subscription)
    layers = login_layers(auth_source, given, environ, home)
    values, principal = merge(layers)
    if principal is None:
        if auth_source == "auto":
            return _cli_login(layers, environ, home, fetch, require_subscription)
        raise _nothing_found(layers)
    return _application_login(values, principal, layers, fetch, require_subscription)


def _check_ca_file(environ: Mapping[str, str]) -> None:
    """requests raises a bare OSError for a CA file that is not there, in the middle of a call."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if value := environ.get(name):
            if not Path(value).exists():
                raise InputError(f"{name} names {value}, which does not exist.")
            return


def _refuse_foreign(given: Mapping[str, Any], auth_source: str) -> None:
    for name in ("secret", "x509_certificate_path", "profile"):
        if name in given:
            raise InputError(
                f"The option {name} has no place in a login with auth_source {auth_source}.",
                hint="Leave one of the two out.",
            )


def _nothing_found(layers: list[Layer]) -> InputError:
    return InputError(
        f"There is no login: {_none_of(layers)} names a client_id.",
        code="LoginMissing",
        hint="Give client_id, secret and tenant, name a profile, or log in with 'az login'.",
    )


def _application_login(
    values: Mapping[str, str],
    principal: Layer,
    layers: list[Layer],
    fetch: Fetch | None,
    require_subscription: bool,
) -> Login:
    """A service principal with a secret or a certificate."""
    cloud_name = values.get("cloud_environment")
    tenant_known = values.get("tenant") or (cloud_name and "://" in cloud_name)
    missing = [] if values.get("client_id") else ["client_id"]
    if not tenant_known:
        missing.append("tenant")
    if PROOFS.isdisjoint(values):
        missing.append("secret")
    if missing:
        raise _missing(missing, principal, layers)
    subscription = _subscription(values.get("subscription_id"), layers, require_subscription)
    cloud = resolve_cloud(cloud_name, fetch=fetch)
    tenant = values.get("tenant") or cloud.tenant
    if not tenant:
        raise _missing(["tenant"], principal, layers)
    credential = application_credential({**values, "tenant": tenant}, cloud)
    return Login(
        credential,
        subscription,
        tenant,
        values["client_id"],
        cloud,
        principal.source,
        principal.profile,
    )


def _workload_login(layers: list[Layer], fetch: Fetch | None, require_subscription: bool) -> Login:
    """The identity that a cluster gives to a workload; ``client_id`` chooses among several.

    The token is the workload's, not an application's: it counts for each that trusts it.
    """
    values, _principal = merge(layers)
    values = {key: value for key, value in values.items() if key not in PROOFS}
    if file := layers[1].values.get(TOKEN_FILE):
        values[TOKEN_FILE] = file
    return _application_login(
        values, Layer("workload_identity", "", values), layers, fetch, require_subscription
    )


def _missing(names: list[str], principal: Layer, layers: list[Layer]) -> InputError:
    if principal.source == "workload_identity":
        names = [TOKEN_FILE if name == "secret" else name for name in names]
        named = [SDK_VARIABLES.get(name, VARIABLES[name]) for name in names]
        return InputError(
            f"There is no workload identity: {_and(named)} {'is' if len(names) == 1 else 'are'}"
            " not set.",
            code="LoginIncomplete",
            hint="The cluster sets AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID and AZURE_TENANT_ID"
            " in a pod with workload identity; another one's can be named in client_id and tenant.",
        )
    looked = [f"{name} ({VARIABLES[name]})" for name in names]
    ours = "login" if principal.source == "options" else f"login from {principal.place}"
    hint = "An application logs in with client_id, secret (or x509_certificate_path) and tenant."
    if names == ["secret"]:
        hint += " For a managed identity set auth_source to msi."
    passed = [layer.place for layer in layers if other_client(principal.values, layer)]
    return InputError(
        f"The {ours} is incomplete: {_and(looked)} {'is' if len(names) == 1 else 'are'} missing."
        f" Looked in {_and([layer.place for layer in layers])}."
        + (f" But {_and(passed)} is for another client_id." if passed else ""),
        code="LoginIncomplete",
        hint=hint,
    )


def _subscription(value: str | None, layers: list[Layer], required: bool) -> str | None:
    if not value:
        if not required:
            return None
        raise InputError(
            "No subscription is given. Looked for subscription_id (AZURE_SUBSCRIPTION_ID) in"
            f" {_and([layer.place for layer in layers])}.",
            code="SubscriptionMissing",
            hint="Name the subscription's id in one of these places.",
        )
    if not _GUID.match(value):
        raise InputError(
            f"subscription_id {value!r} is no subscription id.",
            hint="It looks like 00000000-0000-0000-0000-000000000000: 'az account list -o table'"
            " shows ids and names.",
        )
    return value


def _msi_login(layers: list[Layer], fetch: Fetch | None, require_subscription: bool) -> Login:
    """The managed identity of the machine; ``client_id`` chooses among several."""
    values, _principal = merge(layers)
    subscription = _subscription(values.get("subscription_id"), layers, require_subscription)
    cloud = resolve_cloud(values.get("cloud_environment"), fetch=fetch)
    client_id = values.get("client_id")
    return Login(
        machine_credential(client_id), subscription, values.get("tenant"), client_id, cloud, "msi"
    )


def _cli_login(
    layers: list[Layer],
    environ: Mapping[str, str],
    home: Path,
    fetch: Fetch | None,
    require_subscription: bool,
) -> Login:
    """The login of the Azure CLI; its default subscription when none is given."""
    values, _principal = merge(layers)
    folder = cli_folder(environ, home)
    wanted = values.get("subscription_id")
    account = cli_account(folder, wanted)
    known = account or cli_account(folder, None)
    if known is None:
        raise InputError(
            f"There is no login: {_none_of(layers)} names a client_id, and the Azure CLI is not"
            f" logged in (no subscription in {folder / 'azureProfile.json'}).",
            code="LoginMissing",
            hint="Give client_id, secret and tenant, name a profile, or log in with 'az login'.",
        )
    named = values.get("cloud_environment") or cli_cloud(folder, known.cloud)
    cloud = named if isinstance(named, Cloud) else resolve_cloud(named, fetch=fetch)
    tenant = layers[0].values.get("tenant")
    credential = cli_credential(
        subscription=account.subscription_id if account else None,
        tenant=None if account else tenant,
    )
    subscription = account.subscription_id if account else wanted
    return Login(
        credential,
        _subscription(subscription, layers, require_subscription),
        (account.tenant if account else tenant),
        None,
        cloud,
        "cli",
    )


def token_claims(login: Login) -> dict[str, Any]:
    """Ask for a token, which proves the login, and return what it says about the principal.

    The token's signature is Azure's business: the claims are for showing (``appid``, ``oid``,
    ``upn``, ``tid``), not for decisions. Empty for a token that is opaque.

    Raises:
        AuthError, ConnectionFailed, AzureError.
    """
    from azure.core.exceptions import AzureError

    try:
        token = login.credential.get_token(login.cloud.scope).token
    except AzureError as error:
        raise from_azure(error, operation="login", resource=login.cloud.authority) from error
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _and(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _or(items: list[str]) -> str:
    return f"{', '.join(items[:-1])} or {items[-1]}"


def _none_of(layers: list[Layer]) -> str:
    return "neither " + " nor ".join(layer.place for layer in layers)
