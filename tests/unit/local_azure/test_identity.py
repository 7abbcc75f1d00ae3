"""Who gets a token, and what a token is good for: over real HTTPS."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from https_world import Client, client


@pytest.fixture
def azure() -> Iterator[Client]:
    with client() as made:
        yield made


def refused(azure: Client, status: int, number: int, **changes: str) -> None:
    answer = azure.ask_token(**changes)
    assert answer.status == status
    assert answer.body["error_codes"] == [number]
    assert f"AADSTS{number}: " in answer.body["error_description"]


def test_right_secret_gets_a_token_that_works(azure: Client) -> None:
    answer = azure.ask_token()
    assert answer.status == 200
    assert answer.body["token_type"] == "Bearer"
    assert answer.body["expires_in"] == 3600
    assert azure.make_group().status == 201


def test_wrong_secret(azure: Client) -> None:
    refused(azure, 401, 7000215, client_secret="wrong")


def test_secret_of_another_client(azure: Client) -> None:
    azure.local.control.call("POST", "credentials", {"client_id": "other", "secret": "theirs"})
    assert azure.ask_token(client_id="other", client_secret="theirs").status == 200
    refused(azure, 401, 7000215, client_id="other")


def test_unknown_client(azure: Client) -> None:
    refused(azure, 400, 700016, client_id="nobody")


def test_unknown_tenant(azure: Client) -> None:
    refused(azure, 400, 90002, tenant="nowhere")


def test_unsupported_grant(azure: Client) -> None:
    refused(azure, 400, 70003, grant_type="password")


def test_secret_expires_with_the_clock(azure: Client) -> None:
    body = {"client_id": "short", "secret": "lived", "expires_in": 60}
    azure.local.control.call("POST", "credentials", body)
    assert azure.ask_token(client_id="short", client_secret="lived").status == 200
    azure.local.control.advance(61)
    refused(azure, 401, 7000222, client_id="short", client_secret="lived")


def test_token_expires_with_the_clock(azure: Client) -> None:
    assert azure.call("GET", "resourceGroups").status == 200
    azure.local.control.advance(3601)
    answer = azure.call("GET", "resourceGroups")
    assert (answer.status, answer.code) == (401, "ExpiredAuthenticationToken")
    azure.token = ""
    assert azure.call("GET", "resourceGroups").status == 200


def test_wrong_audience(azure: Client) -> None:
    answer = azure.ask_token(scope="https://storage.azure.com/.default")
    azure.token = answer.body["access_token"]
    answer = azure.call("GET", "resourceGroups")
    assert (answer.status, answer.code) == (401, "InvalidAuthenticationTokenAudience")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "a..", "\xe4.\xf6.\xfc"])
def test_malformed_token(azure: Client, token: str) -> None:
    target = f"{azure.subscription}/resourceGroups?api-version=2021-04-01"
    answer = azure.raw("GET", target, headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 401
    assert azure.local.url in answer.headers["www-authenticate"]
    assert answer.headers["x-ms-failure-cause"] == "gateway"


def test_tampered_token(azure: Client) -> None:
    head, claims, signature = azure.ask_token().body["access_token"].split(".")
    text = base64.urlsafe_b64decode(claims + "==").replace(b'"exp": 1', b'"exp": 9')
    forged = base64.urlsafe_b64encode(text).decode().rstrip("=")
    azure.token = f"{head}.{forged}.{signature}"
    assert azure.call("GET", "resourceGroups").code == "InvalidAuthenticationToken"


def test_no_token_at_all(azure: Client) -> None:
    answer = azure.raw("GET", f"{azure.subscription}/resourceGroups?api-version=2021-04-01")
    assert (answer.status, answer.code) == (401, "AuthenticationFailed")


def test_a_token_of_another_local_azure_is_refused(azure: Client) -> None:
    with client() as other:
        azure.token = other.ask_token().body["access_token"]
        assert azure.call("GET", "resourceGroups").code == "InvalidAuthenticationToken"


def test_missing_api_version(azure: Client) -> None:
    azure.call("GET", "resourceGroups")
    headers = {"Authorization": f"Bearer {azure.token}"}
    answer = azure.raw("GET", f"{azure.subscription}/resourceGroups", headers=headers)
    assert (answer.status, answer.code) == (400, "MissingApiVersionParameter")


def test_another_subscription(azure: Client) -> None:
    azure.call("GET", "resourceGroups")
    azure.subscription = "/subscriptions/11111111-0000-4000-8000-000000000000"
    answer = azure.call("GET", "resourceGroups")
    assert (answer.status, answer.code) == (404, "SubscriptionNotFound")


@pytest.mark.parametrize("text", ["client:local-azure-secret", "not base64 at all"])
def test_basic_authorization_with_wrong_values(azure: Client, text: str) -> None:
    encoded = base64.b64encode(text.encode()).decode() if ":" in text else text
    form = {"grant_type": "client_credentials", "scope": f"{azure.local.url}/.default"}
    path = f"/{azure.local.config.tenant}/oauth2/v2.0/token"
    answer = azure.raw("POST", path, urlencode(form), {"Authorization": f"Basic {encoded}"})
    assert answer.status == 400
    assert answer.body["error_codes"] == [700016]


def test_basic_authorization(azure: Client) -> None:
    config = azure.local.config
    encoded = base64.b64encode(f"{config.client_id}:{config.secret}".encode()).decode()
    form = {"grant_type": "client_credentials", "resource": f"{azure.local.url}/"}
    path = f"/{config.tenant}/oauth2/token"
    answer = azure.raw("POST", path, urlencode(form), {"Authorization": f"Basic {encoded}"})
    azure.token = answer.body["access_token"]
    assert azure.call("GET", "resourceGroups").status == 200


def test_managed_identity_needs_its_header(azure: Client) -> None:
    path = f"/msi/token?resource={azure.local.url}"
    assert azure.raw("GET", path).status == 401
    header = {"X-IDENTITY-HEADER": azure.local.app.identity.msi_header}
    answer = azure.raw("GET", path, headers=header)
    azure.token = answer.body["access_token"]
    assert azure.call("GET", "resourceGroups").status == 200


@pytest.mark.parametrize("version", ["2015-01-01", "2019-05-01", "2022-09-01"])
def test_metadata_names_this_server(azure: Client, version: str) -> None:
    body = azure.raw("GET", f"/metadata/endpoints?api-version={version}").body
    cloud = body[0] if isinstance(body, list) else body
    assert isinstance(body, list) == (version == "2019-05-01")
    assert cloud["authentication"]["loginEndpoint"].rstrip("/") == azure.local.url
    assert cloud["authentication"]["audiences"][0] == f"{azure.local.url}/"


@pytest.mark.parametrize("middle", ["", "/v2.0"])
def test_openid_configuration_leads_to_the_token(azure: Client, middle: str) -> None:
    tenant = azure.local.config.tenant
    body = azure.raw("GET", f"/{tenant}{middle}/.well-known/openid-configuration").body
    assert body["token_endpoint"] == f"{azure.local.url}/{tenant}/oauth2{middle}/token"
    assert tenant in body["issuer"]
