# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is there a connection to Azure, and whose? Private to this collection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import AuthError, AzureError, ConnectionFailed, InputError, VmguardError
from .._login.layers import profile_names
from .._login.login import NOT_FOUND_CODES, Login, resolve_login, token_claims
from .client import ArmClient

# Seconds for retries; whoever asks whether Azure is there does not want to wait for it.
PATIENCE = 60


def describe_connection(
    options: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    clock: Any = None,
    home: str | Path | None = None,
) -> dict[str, Any]:
    """Log in, read the subscription, and tell how that went.

    Args:
        options, environ, home: as in ``_login.login.resolve_login``.
        clock: the task's time.

    Returns:
        The result of ``connection_info``. Every key is always there.

    Raises:
        InputError: the options are contradictory or malformed.
        MissingLibrary: azure-identity is not installed.
    """
    result: dict[str, Any] = {
        "connected": False,
        "reason": "",
        "failure": {},
        "principal": {"client_id": None, "object_id": None, "name": None},
        "tenant": None,
        "subscription_id": None,
        "subscription_name": None,
        "subscription_state": None,
        "cloud": None,
        "resource_manager": None,
        "auth_source": None,
        "profile": None,
        "profiles": profile_names(options, environ, home=home),
    }
    try:
        login = resolve_login(options, environ, home=home, require_subscription=False)
        result.update(_of_login(login))
        result.update(_of_token(login, token_claims(login)))
        result.update(_of_subscription(login, clock))
    except InputError as error:
        if error.code not in NOT_FOUND_CODES:
            raise
        return {**result, **_refusal(error)}
    except (AuthError, AzureError, ConnectionFailed) as error:
        return {**result, **_refusal(error)}
    return {**result, "connected": True}


def _refusal(error: VmguardError) -> dict[str, Any]:
    reason = f"{error} {error.hint}" if error.hint else str(error)
    return {"reason": reason, "failure": error.failure()}


def _of_login(login: Login) -> dict[str, Any]:
    return {
        "principal": {"client_id": login.client_id, "object_id": None, "name": None},
        "tenant": login.tenant,
        "subscription_id": login.subscription_id,
        "cloud": login.cloud.name,
        "resource_manager": login.cloud.resource_manager,
        "auth_source": login.source,
        "profile": login.profile,
    }


def _of_token(login: Login, claims: Mapping[str, Any]) -> dict[str, Any]:
    principal = {
        # Tokens of version 2 call it azp.
        "client_id": claims.get("appid") or claims.get("azp") or login.client_id,
        "object_id": claims.get("oid"),
        "name": claims.get("upn") or claims.get("preferred_username"),
    }
    return {"principal": principal, "tenant": claims.get("tid") or login.tenant}


def _of_subscription(login: Login, clock: Any) -> dict[str, Any]:
    if login.subscription_id is None:
        raise InputError(
            "The login works, but no subscription is given.",
            code="SubscriptionMissing",
            hint="Name its id in subscription_id, AZURE_SUBSCRIPTION_ID or the profile.",
        )
    client = ArmClient(login, clock=clock, wait_timeout=PATIENCE, read_only=True)
    found = client.get(f"/subscriptions/{login.subscription_id}")
    return {
        "subscription_name": found.get("displayName"),
        "subscription_state": found.get("state"),
    }
