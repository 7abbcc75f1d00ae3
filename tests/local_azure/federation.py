"""Workload identity: tokens of other issuers, with which an application logs in without a secret.

Their signatures are not checked, since their issuers publish no keys here. What is checked is what a
federated credential of an application says: issuer, subject and audience.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from .clock import Clock

AUDIENCE = "api://AzureADTokenExchange"
ISSUER = "https://oidc.local-azure.invalid/"
SUBJECT = "system:serviceaccount:default:vmguard"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SECONDS = 3600
_UNKNOWN = (
    "No matching federated identity record found for presented assertion {} '{}'. Check your federated"
    " identity credential Subject, Audience and Issuer against the presented assertion."
    " https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
)


def _b64(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def _claims(assertion: str) -> dict[str, Any] | None:
    try:
        payload = assertion.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return None
    return found if isinstance(found, dict) else None


class Federation:
    """The federated credentials; ``trusted`` maps a client id to its pairs of issuer and subject."""

    def __init__(self, client_id: str, clock: Clock) -> None:
        self._clock = clock
        self.trusted: dict[str, set[tuple[str, str]]] = {client_id: {(ISSUER, SUBJECT)}}

    def token(self, **claims: Any) -> str:
        """What a cluster would put into the file that AZURE_FEDERATED_TOKEN_FILE names."""
        now = int(self._clock.now().timestamp())
        body = {"iss": ISSUER, "sub": SUBJECT, "aud": [AUDIENCE], "iat": now, "nbf": now}
        return f"{_b64({'alg': 'RS256'})}.{_b64({**body, 'exp': now + _SECONDS, **claims})}.c2ln"

    def refusal(self, client: str, form: dict[str, str]) -> tuple[int, str, int, str] | None:
        """Status, error, number and text of Entra's refusal; None where the assertion counts.

        Source: Azure/azure-workload-identity#1200 (700211 and 700213), microsoft/Agents#202 (the
        status), https://learn.microsoft.com/entra/identity-platform/reference-error-codes (the rest).
        """
        claims = _claims(form["client_assertion"])
        if form.get("client_assertion_type") != JWT_BEARER or claims is None:
            text = "Client assertion is not within its valid form: it is malformed."
            return 401, "invalid_client", 50027, text
        if claims.get("exp", 0) <= self._clock.now().timestamp():
            text = "Client assertion is not within its valid time range."
            return 401, "invalid_client", 700024, text
        trusted = self.trusted.get(client, set())
        issuer, subject, audience = claims.get("iss"), claims.get("sub"), claims.get("aud")
        audiences = set(audience if isinstance(audience, list) else [audience])
        for number, name, value, fits in (
            (700211, "issuer", issuer, issuer in {one for one, _subject in trusted}),
            (700213, "subject", subject, (issuer, subject) in trusted),
            (700212, "audience", audience, AUDIENCE in audiences),
        ):
            if not fits:
                return 401, "invalid_client", number, _UNKNOWN.format(name, value)
        return None
