"""Metadata of the cloud, OpenID configuration, tokens, and their check."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import uuid
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from .arm.resources import new_guid
from .arm.router import Call, Router
from .clock import Clock
from .config import Config
from .errors import ArmError
from .federation import Federation
from .http_types import Request, Response
from .storage.blob_errors import StorageError

DISK_AUDIENCE = "https://disk.azure.com/"


def _plain_json(status: int, body: Any) -> Response:
    return Response(
        status, {"Content-Type": "application/json; charset=utf-8"}, json.dumps(body).encode()
    )


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _form(request: Request) -> dict[str, str]:
    """The first value of each field of a form."""
    text = request.body.decode(errors="replace")
    return {key: values[0] for key, values in parse_qs(text).items()}


def object_id(client: str) -> str:
    """The id of an application's service principal, which is another one than its client id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, client))


class Identity:
    """The token service of one tenant. ``clients`` maps a client id to its secrets and their expiry."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._key = os.urandom(32)
        self.base_url = ""
        self.msi_header = new_guid()
        self.clients: dict[str, dict[str, datetime | None]] = {
            config.client_id: {config.secret: None}
        }
        self.federation = Federation(config.client_id, clock)

    def routes(self, router: Router) -> None:
        router.add("GET", "/metadata/endpoints", self._metadata)
        router.add("GET", "/msi/token", self._managed_identity)
        router.add("GET", "/common/discovery/instance", self._discovery)
        for prefix in ("/{tenant}/v2.0", "/{tenant}"):
            router.add("GET", f"{prefix}/.well-known/openid-configuration", self._openid)
        for path in ("/{tenant}/oauth2/v2.0/token", "/{tenant}/oauth2/token"):
            router.add("POST", path, self._token)

    @property
    def audience(self) -> str:
        return f"{self.base_url}/"

    def _metadata(self, call: Call) -> Response:
        host = self.base_url.removeprefix("https://")
        authentication = {
            "loginEndpoint": self.base_url,
            "audiences": [self.audience, self.base_url],
            "tenant": self._config.tenant,
            "identityProvider": "AAD",
        }
        if call.api_version == "2015-01-01":
            body: Any = {
                "galleryEndpoint": f"{self.base_url}/gallery",
                "graphEndpoint": f"{self.base_url}/graph",
                "portalEndpoint": f"{self.base_url}/portal",
                "authentication": {
                    "loginEndpoint": f"{self.base_url}/",
                    "audiences": [self.audience],
                },
            }
            return _plain_json(200, body)
        cloud = {
            "name": "LocalAzure",
            "portal": f"{self.base_url}/portal",
            "authentication": authentication,
            "resourceManager": self.base_url,
            "activeDirectoryDataLake": self.audience,
            "batch": self.audience,
            "gallery": f"{self.base_url}/gallery",
            "graph": f"{self.base_url}/graph",
            "graphAudience": f"{self.base_url}/graph",
            "microsoftGraphResourceId": f"{self.base_url}/graph",
            "media": f"{self.base_url}/media",
            "sqlManagement": f"{self.base_url}/sql",
            "vmImageAliasDoc": f"{self.base_url}/aliases.json",
            "suffixes": {"storage": host, "keyVaultDns": host, "acrLoginServer": host},
        }
        return _plain_json(200, cloud if call.api_version >= "2022-09-01" else [cloud])

    def _openid(self, call: Call) -> Response:
        tenant = call["tenant"]
        version = "/v2.0" if "/v2.0/" in call.request.path else ""
        base = f"{self.base_url}/{tenant}/oauth2{version}"
        body = {
            "issuer": f"{self.base_url}/{self._config.tenant}{version}",
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "device_authorization_endpoint": f"{base}/devicecode",
            "jwks_uri": f"{self.base_url}/{tenant}/discovery/keys",
            "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "tenant_region_scope": None,
        }
        return _plain_json(200, body)

    def _discovery(self, call: Call) -> Response:  # noqa: ARG002 - a handler
        endpoint = f"{self.base_url}/{self._config.tenant}/v2.0/.well-known/openid-configuration"
        return _plain_json(
            200, {"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": []}
        )

    def _token(self, call: Call) -> Response:
        form = _form(call.request)
        client, secret = self._client(form, call.request)
        refusal = self._refusal(call["tenant"], form, client, secret)
        if refusal:
            return refusal
        scope = form.get("scope", "").split(" ")[0].removesuffix("/.default")
        return _plain_json(200, self._answer(client, form.get("resource") or scope))

    @staticmethod
    def _client(form: dict[str, str], request: Request) -> tuple[str, str]:
        authorization = request.headers.get("authorization", "")
        if authorization.lower().startswith("basic "):
            try:
                text = base64.b64decode(authorization[6:]).decode()
            except ValueError:
                return "", ""
            client, _colon, secret = text.partition(":")
            return client, secret
        return form.get("client_id", ""), form.get("client_secret", "")

    def _refusal(
        self, tenant: str, form: dict[str, str], client: str, secret: str
    ) -> Response | None:
        if tenant.lower() not in (self._config.tenant.lower(), "common", "organizations"):
            return self._deny(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
        if form.get("grant_type") != "client_credentials":
            return self._deny(
                400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."
            )
        secrets = self.clients.get(client)
        if secrets is None:
            text = (
                f"Application with identifier '{client}' was not found in the directory '{tenant}'."
            )
            return self._deny(400, "unauthorized_client", 700016, text)
        if "client_assertion" in form:
            refused = self.federation.refusal(client, form)
            return self._deny(*refused) if refused else None
        if secret not in secrets:
            text = (
                "Invalid client secret provided. Ensure the secret being sent in the request is the"
                " client secret value, not the client secret ID, for a secret added to app"
                f" '{client}'."
            )
            return self._deny(401, "invalid_client", 7000215, text)
        expiry = secrets[secret]
        if expiry is not None and expiry <= self._clock.now():
            text = f"The provided client secret keys for app '{client}' are expired."
            return self._deny(401, "invalid_client", 7000222, text)
        return None

    def _deny(self, status: int, error: str, number: int, text: str) -> Response:
        now = self._clock.now().strftime("%Y-%m-%d %H:%M:%SZ")
        trace = new_guid()
        body = {
            "error": error,
            "error_description": f"AADSTS{number}: {text} Trace ID: {trace}"
            f" Correlation ID: {trace} Timestamp: {now}",
            "error_codes": [number],
            "timestamp": now,
            "trace_id": trace,
            "correlation_id": trace,
        }
        return _plain_json(status, body)

    def _answer(self, client: str, audience: str) -> dict[str, Any]:
        seconds = self._config.token_seconds
        return {
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "expires_on": str(int(self._clock.now().timestamp()) + seconds),
            "resource": audience,
            "access_token": self._issue(client, audience, seconds),
        }

    def _managed_identity(self, call: Call) -> Response:
        if call.request.headers.get("x-identity-header") != self.msi_header:
            return _plain_json(
                401, {"statusCode": 401, "message": "X-IDENTITY-HEADER is wrong or missing."}
            )
        return _plain_json(
            200, self._answer(self._config.client_id, call.request.query.get("resource", ""))
        )

    def _issue(self, client: str, audience: str, seconds: int) -> str:
        now = int(self._clock.now().timestamp())
        claims = {
            "aud": audience,
            "iss": f"{self.base_url}/{self._config.tenant}/",
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "appid": client,
            "idtyp": "app",
            "oid": object_id(client),
            "sub": object_id(client),
            "tid": self._config.tenant,
            "ver": "1.0",
        }
        head = _b64(json.dumps({"typ": "JWT", "alg": "HS256"}).encode())
        text = f"{head}.{_b64(json.dumps(claims).encode())}"
        return f"{text}.{self._sign(text)}"

    def _sign(self, text: str) -> str:
        return _b64(hmac.digest(self._key, text.encode(), hashlib.sha256))

    def check_disk(self, request: Request) -> dict[str, Any]:
        """Refuse a request for a disk's data without a token for that; what the token says.

        The challenge is the one that the storage SDKs follow, and the audience has its slash at the
        end (AzCopy: "the service checks explicitly").

        Raises:
            StorageError: 401 with a challenge.
        """
        kind, _space, token = request.headers.get("authorization", "").partition(" ")
        claims = self._claims(token) if kind.lower() == "bearer" else None
        challenge = (
            f'Bearer authorization_uri="{self.base_url}/{self._config.tenant}/oauth2/authorize",'
            f' resource_id="{DISK_AUDIENCE}"'
        )
        if not token:
            raise StorageError(
                "NoAuthenticationInformation", headers={"WWW-Authenticate": challenge}
            )
        late = claims is not None and claims["exp"] <= self._clock.now().timestamp()
        if claims is None or late or claims["aud"] != DISK_AUDIENCE:
            raise StorageError("InvalidAuthenticationInfo", headers={"WWW-Authenticate": challenge})
        return claims

    def _claims(self, token: str) -> dict[str, Any] | None:
        """What a token of ours says, None for any other."""
        text, _dot, signature = token.rpartition(".")
        if not text or not hmac.compare_digest(signature.encode(), self._sign(text).encode()):
            return None
        payload = text.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))

    def check(self, request: Request) -> dict[str, Any]:
        """Refuse a management request without a valid token.

        Returns:
            The claims of the token: whose it is.

        Raises:
            ArmError: Azure's 401 with its WWW-Authenticate header.
        """
        kind, _space, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise self._unauthorized(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
            )
        claims = self._claims(token)
        if claims is None:
            raise self._unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
        if claims["exp"] <= self._clock.now().timestamp():
            raise self._unauthorized(
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.",
            )
        if claims["aud"].rstrip("/") != self.base_url:
            raise self._unauthorized(
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for wrong audience or resource.",
            )
        return claims

    def _unauthorized(self, code: str, message: str) -> ArmError:
        challenge = (
            f'Bearer authorization_uri="{self.base_url}/{self._config.tenant}", error="invalid_token",'
            f' error_description="{message}"'
        )
        return ArmError(401, code, message, gateway=True, headers={"WWW-Authenticate": challenge})
