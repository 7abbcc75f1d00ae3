"""Real HTTPS and real tokens of local Azure, and what connection_info says about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._arm.client import ArmClient
from ansible_collections.vmguard.azure.plugins.module_utils._arm.connection import (
    describe_connection,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    AuthError,
    ConnectionFailed,
    InputError,
)
from ansible_collections.vmguard.azure.plugins.module_utils._login import login as auth
from azure.core.pipeline.transport import RequestsTransport
from logins import (
    CLIENT,
    SECRET,
    SUBSCRIPTION,
    account,
    log_in_cli,
    resolve,
    values,
    write_profiles,
)

from local_azure.config import Config
from local_azure.identity import object_id
from local_azure.launcher import LocalAzure


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".azure").mkdir()
    return tmp_path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestsTransport, "sleep", lambda _self, _seconds: None)


# Against local Azure: real HTTPS, real tokens


@pytest.fixture(scope="module")
def azure() -> Iterator[LocalAzure]:
    with LocalAzure() as running:
        yield running


@pytest.fixture
def environ(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = azure.environment()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", found["REQUESTS_CA_BUNDLE"])
    return found


def test_token(azure: LocalAzure, environ: dict[str, str], home: Path) -> None:
    claims = auth.token_claims(resolve(home, {}, environ))
    assert (claims["appid"], claims["tid"]) == (azure.config.client_id, azure.config.tenant)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({"secret": SECRET.format("x")}, "AADSTS7000215", "The client secret is wrong."),
        ({"secret": "old-made-up-secret"}, "AADSTS7000222", "The client secret has expired."),
        (
            {"client_id": CLIENT.format(1), "secret": SECRET.format("x")},
            "AADSTS700016",
            "is unknown in this tenant",
        ),
        ({"tenant": "nowhere.example"}, "AADSTS90002", "The tenant is unknown."),
    ],
)
def test_wrong_credentials(
    azure: LocalAzure, environ: dict[str, str], home: Path, options: Any, code: str, says: str
) -> None:
    yesterday = datetime.now(timezone.utc) - timedelta(days=1)
    azure.app.identity.clients[azure.config.client_id]["old-made-up-secret"] = yesterday
    with pytest.raises(AuthError) as caught:
        auth.token_claims(resolve(home, options, environ))
    error = caught.value
    assert error.code == code and says in error.message and error.hint
    everything = str(error) + repr(error) + json.dumps(error.failure())
    assert options.get("secret", environ["AZURE_SECRET"]) not in everything
    result = describe_connection(options, environ, home=home)
    assert (result["connected"], result["failure"]["code"]) == (False, code)
    assert says in result["reason"] and error.hint in result["reason"]
    assert result["auth_source"] and result["cloud"] == "LocalAzure"


def test_login_service_out_of_reach(environ: dict[str, str], home: Path) -> None:
    login = {"loginEndpoint": "https://127.0.0.1:1", "audiences": ["https://a"]}
    found = resolve(home, {}, environ, fetch=lambda _url: {"authentication": login})
    with pytest.raises(ConnectionFailed, match=r"https://127\.0\.0\.1:1.*refused"):
        auth.token_claims(found)


@pytest.mark.parametrize(("seconds", "tokens"), [(3600, 1), (200, 3)])
def test_tokens_are_renewed(
    home: Path, monkeypatch: pytest.MonkeyPatch, seconds: int, tokens: int
) -> None:
    """Three requests with a long token need one; with less than 300 s left, one each."""
    with LocalAzure(Config(token_seconds=seconds)) as short:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(short.ca_file))
        client = ArmClient(resolve(home, {}, short.environment()))
        for _again in range(3):
            found = client.get(f"/subscriptions/{short.config.subscription}", "2022-12-01")
            assert found["displayName"] == short.config.subscription_name
        asked = [e for e in short.app.audit.entries() if e["path"].endswith("/token")]
    assert len(asked) == tokens


def test_cli_token(
    azure: LocalAzure, environ: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = auth.resolve_login({}, environ, home=home).credential.get_token(f"{azure.url}/.default")
    answer = json.dumps({"accessToken": token.token, "expires_on": token.expires_on})
    program = home / "az"
    program.write_text(f"#!/bin/sh\necho \"$@\" > {home}/asked\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")
    log_in_cli(home, {**account(1), "id": azure.config.subscription})
    cloud = {key: environ[key] for key in ("AZURE_CLOUD_ENVIRONMENT", "REQUESTS_CA_BUNDLE")}
    result = describe_connection({"auth_source": "cli"}, cloud, home=home)
    assert (result["connected"], result["auth_source"]) == (True, "cli")
    assert azure.config.subscription in (home / "asked").read_text()
    program.write_text("#!/bin/sh\necho \"Please run 'az login' to setup account.\" >&2\nexit 1\n")
    result = describe_connection({"auth_source": "cli"}, cloud, home=home)
    assert (result["connected"], result["failure"]["code"]) == (False, "CliNotLoggedIn")
    program.unlink()
    result = describe_connection({"auth_source": "cli"}, cloud, home=home)
    assert result["failure"]["code"] == "CliNotFound"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({}, None),
        ({"iss": "https://elsewhere.example/"}, "AADSTS700211"),
        ({"sub": "system:serviceaccount:default:other"}, "AADSTS700213"),
        ({"aud": "https://elsewhere.example/"}, "AADSTS700212"),
        ({"exp": 1}, "AADSTS700024"),
    ],
)
def test_workload_identity_token(
    azure: LocalAzure,
    environ: dict[str, str],
    home: Path,
    claims: dict[str, Any],
    code: str | None,
) -> None:
    (home / "token").write_text(azure.app.identity.federation.token(**claims))
    del environ["AZURE_SECRET"]
    environ["AZURE_TENANT_ID"] = environ.pop("AZURE_TENANT")
    environ["AZURE_FEDERATED_TOKEN_FILE"] = str(home / "token")
    result = describe_connection({"auth_source": "workload_identity"}, environ, home=home)
    assert (result["connected"], result["auth_source"]) == (code is None, "workload_identity")
    assert result["failure"].get("code") == code
    if code is None:
        assert result["principal"]["client_id"] == azure.config.client_id
    elif code != "AADSTS700024":
        assert "does not trust the token of this workload" in result["reason"]
        assert "federated credential" in result["reason"]


def test_msi_token(
    azure: LocalAzure, environ: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{azure.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", azure.app.identity.msi_header)
    result = describe_connection({"auth_source": "msi"}, environ, home=home)
    assert (result["connected"], result["auth_source"]) == (True, "msi")
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    result = describe_connection({"auth_source": "msi"}, environ, home=home)
    assert result["failure"]["code"] == "ManagedIdentityUnavailable"


# connection_info


def test_connected(azure: LocalAzure, environ: dict[str, str], home: Path) -> None:
    write_profiles(home, default=values(3), other=values(6))
    assert describe_connection({}, environ, home=home) == {
        "connected": True,
        "reason": "",
        "failure": {},
        "principal": {
            "client_id": azure.config.client_id,
            "object_id": object_id(azure.config.client_id),
            "name": None,
        },
        "tenant": azure.config.tenant,
        "subscription_id": azure.config.subscription,
        "subscription_name": "Local Azure",
        "subscription_state": "Enabled",
        "cloud": "LocalAzure",
        "resource_manager": azure.url,
        "auth_source": "env",
        "profile": None,
        "profiles": ["default", "other"],
    }


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"profile": "none"}, "ProfileNotFound"),
        ({"auth_source": "credential_file"}, "ProfileNotFound"),
        ({"subscription_id": SUBSCRIPTION.format("f")}, "SubscriptionNotFound"),
        ({"cloud_environment": "https://127.0.0.1:1"}, "ConnectionFailed"),
    ],
)
def test_not_connected(environ: dict[str, str], home: Path, options: Any, code: str) -> None:
    result = describe_connection(options, environ, home=home)
    assert (result["connected"], result["failure"]["code"]) == (False, code)
    assert result["reason"]


def test_without_login_or_subscription(environ: dict[str, str], home: Path) -> None:
    assert describe_connection({}, {}, home=home)["failure"]["code"] == "LoginMissing"
    part = {key: value for key, value in environ.items() if key != "AZURE_SUBSCRIPTION_ID"}
    result = describe_connection({}, part, home=home)
    assert result["failure"]["code"] == "SubscriptionMissing"
    assert result["principal"]["client_id"] == environ["AZURE_CLIENT_ID"]


def test_wrong_options_do_fail(environ: dict[str, str], home: Path) -> None:
    for options in ({"subscription_id": "x"}, {"auth_source": "cli", "secret": "x"}):
        with pytest.raises(InputError):
            describe_connection(options, environ, home=home)


def test_same_keys_in_every_case(environ: dict[str, str], home: Path) -> None:
    kept = describe_connection({}, environ, home=home).keys()
    assert describe_connection({}, {}, home=home).keys() == kept
    assert describe_connection({"secret": "x"}, environ, home=home).keys() == kept
