"""Logins: every source, who wins, every refusal, and tokens that run out."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    InputError,
    MissingLibrary,
)
from ansible_collections.vmguard.azure.plugins.module_utils._login import login as auth
from ansible_collections.vmguard.azure.plugins.module_utils._login import profiles
from ansible_collections.vmguard.azure.plugins.module_utils._login.layers import VARIABLES
from ansible_collections.vmguard.azure.plugins.module_utils._spec import AUTH_SPEC
from azure.core.pipeline.transport import RequestsTransport
from logins import (
    CLIENT,
    SECRET,
    SUBSCRIPTION,
    account,
    env,
    log_in_cli,
    resolve,
    values,
    write_profiles,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".azure").mkdir()
    return tmp_path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestsTransport, "sleep", lambda _self, _seconds: None)


def secret_of(login: auth.Login) -> str:
    return login.credential._client_credential


def kind_of(login: auth.Login) -> str:
    return type(login.credential).__name__


# Sources and who wins


@pytest.mark.parametrize("source", [None, "auto"])
def test_options_win(home: Path, source: str | None) -> None:
    write_profiles(home, default=values(3))
    log_in_cli(home, account(4))
    login = resolve(home, {**values(1), "auth_source": source}, env(2))
    assert (login.source, login.profile) == ("options", None)
    assert (login.subscription_id, login.tenant, login.client_id) == tuple(values(1).values())[:3]
    assert secret_of(login) == SECRET.format(1)
    assert kind_of(login) == "ClientSecretCredential" and login.cloud.name == "AzureCloud"


def test_environment_before_the_default_profile(home: Path) -> None:
    write_profiles(home, default=values(3))
    log_in_cli(home, account(4))
    login = resolve(home, {}, env(2))
    assert (login.source, login.client_id) == ("env", CLIENT.format(2))


def test_default_profile_before_the_cli(home: Path) -> None:
    write_profiles(home, default=values(3))
    log_in_cli(home, account(4))
    login = resolve(home)
    assert (login.source, login.profile) == ("credential_file", "default")
    assert secret_of(login) == SECRET.format(3)


def test_cli_comes_last(home: Path) -> None:
    log_in_cli(home, account(4, default=False), account(5))
    login = resolve(home)
    assert (login.source, login.subscription_id) == ("cli", SUBSCRIPTION.format(5))
    assert (login.tenant, login.client_id) == ("tenant-5", None)
    assert login.credential.subscription == SUBSCRIPTION.format(5)


@pytest.mark.parametrize("how", ["option", "environment"])
def test_named_profile_before_the_environment(home: Path, how: str) -> None:
    write_profiles(home, default=values(3), other=values(6))
    options = {"profile": "other"} if how == "option" else {}
    environ = {**env(2), **({} if how == "option" else {"AZURE_PROFILE": "other"})}
    login = resolve(home, options, environ)
    assert (login.source, login.profile, login.client_id) == (
        "credential_file",
        "other",
        CLIENT.format(6),
    )
    assert login.subscription_id == SUBSCRIPTION.format(6)


def test_single_option_over_environment_and_profile(home: Path) -> None:
    write_profiles(home, other=values(6))
    chosen = {"subscription_id": SUBSCRIPTION.format(9)}
    for options, environ in ((chosen, env(2)), ({**chosen, "profile": "other"}, {})):
        assert resolve(home, options, environ).subscription_id == SUBSCRIPTION.format(9)


def test_environment_fills_the_gaps_of_a_profile(home: Path) -> None:
    part = {key: value for key, value in values(6).items() if key != "subscription_id"}
    write_profiles(home, other=part)
    environ = {"AZURE_SUBSCRIPTION_ID": SUBSCRIPTION.format(2), "AZURE_PROFILE": "other"}
    assert resolve(home, {}, environ).subscription_id == SUBSCRIPTION.format(2)
    with pytest.raises(InputError, match="No subscription is given"):
        resolve(home, {}, {**environ, "AZURE_CLIENT_ID": CLIENT.format(2)})


def test_profile_gives_nothing_to_another_principal(home: Path) -> None:
    write_profiles(home, default=values(3))
    options = {key: value for key, value in values(1).items() if key != "subscription_id"}
    with pytest.raises(InputError, match="No subscription is given"):
        resolve(home, options)


def test_secret_of_the_environment_is_for_its_own_client(home: Path) -> None:
    with pytest.raises(InputError, match=r"secret \(AZURE_SECRET\) is missing.*another client_id"):
        resolve(home, {"client_id": CLIENT.format(1)}, env(2))
    login = resolve(home, {"client_id": CLIENT.format(1), "secret": "one"}, env(2))
    assert (login.client_id, login.tenant, secret_of(login)) == (
        CLIENT.format(1),
        "tenant-2",
        "one",
    )


def test_auth_source_env(home: Path) -> None:
    write_profiles(home, default=values(3), other=values(6))
    assert resolve(home, {"auth_source": "env"}, env(2)).client_id == CLIENT.format(2)
    named = resolve(home, {"auth_source": "env"}, {"AZURE_PROFILE": "other"})
    assert named.client_id == CLIENT.format(6)
    with pytest.raises(InputError, match="There is no login"):
        resolve(home, {"auth_source": "env"}, {})


def test_auth_source_credential_file(home: Path) -> None:
    write_profiles(home, default=values(3), other=values(6))
    options = {"auth_source": "credential_file"}
    assert resolve(home, options, env(2)).client_id == CLIENT.format(3)
    assert resolve(home, {**options, "profile": "other"}, env(2)).client_id == CLIENT.format(6)


def test_auth_source_from_the_environment(home: Path) -> None:
    write_profiles(home, default=values(3))
    environ = {**env(2), "ANSIBLE_AZURE_AUTH_SOURCE": "credential_file"}
    assert resolve(home, {}, environ).client_id == CLIENT.format(3)
    assert resolve(home, {"auth_source": "env"}, environ).client_id == CLIENT.format(2)
    with pytest.raises(InputError, match="no auth_source 'magic'"):
        resolve(home, {}, {"ANSIBLE_AZURE_AUTH_SOURCE": "magic"})


@pytest.mark.parametrize("how", ["option", "environment"])
def test_another_credential_file(home: Path, how: str) -> None:
    write_profiles(home, default=values(3))
    path = str(write_profiles(home, "elsewhere.ini", default=values(7)))
    options = {"credential_file": path} if how == "option" else {}
    environ = {} if how == "option" else {"AZURE_CREDENTIAL_FILE": path}
    assert resolve(home, options, environ).client_id == CLIENT.format(7)
    assert profiles.credential_file("~/x", home) == home / "x"


def test_msi(home: Path) -> None:
    login = resolve(home, {"auth_source": "msi"}, env(2, "secret"))
    assert (kind_of(login), login.source) == ("ManagedIdentityCredential", "msi")
    assert login.client_id == CLIENT.format(2)
    with pytest.raises(InputError, match="No subscription is given"):
        resolve(home, {"auth_source": "msi"})


# The names of the SDKs, and workload identity


def test_the_names_of_the_sdks_are_known(home: Path) -> None:
    environ = {**env(2, "tenant", "secret"), "AZURE_TENANT_ID": "t", "AZURE_CLIENT_SECRET": "s"}
    login = resolve(home, {}, environ)
    assert (login.source, login.tenant, secret_of(login)) == ("env", "t", "s")
    login = resolve(home, {}, {**environ, **env(2)})
    assert (login.tenant, secret_of(login)) == ("tenant-2", SECRET.format(2))
    with pytest.raises(InputError, match=r"secret \(AZURE_SECRET\) is missing.*another client_id"):
        resolve(home, {"client_id": CLIENT.format(1)}, environ)


@pytest.fixture
def workload(tmp_path: Path) -> dict[str, str]:
    """What a cluster sets in a pod with workload identity."""
    (tmp_path / "token").write_text("a.b.c")
    return {
        "AZURE_CLIENT_ID": CLIENT.format(8),
        "AZURE_TENANT_ID": "tenant-8",
        "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token"),
        "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
        "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION.format(8),
    }


@pytest.mark.parametrize("source", ["auto", "env", "workload_identity"])
def test_workload_identity(home: Path, workload: dict[str, str], source: str) -> None:
    login = resolve(home, {"auth_source": source}, workload)
    assert kind_of(login) == "WorkloadIdentityCredential"
    assert login.source == ("workload_identity" if source == "workload_identity" else "env")
    assert (login.client_id, login.tenant) == (CLIENT.format(8), "tenant-8")
    assert login.subscription_id == SUBSCRIPTION.format(8)


def test_a_secret_goes_before_workload_identity(home: Path, workload: dict[str, str]) -> None:
    environ = {**workload, "AZURE_SECRET": "s"}
    assert kind_of(resolve(home, {}, environ)) == "ClientSecretCredential"
    assert kind_of(resolve(home, {"secret": "s"}, workload)) == "ClientSecretCredential"
    login = resolve(home, {"auth_source": "workload_identity"}, environ)
    assert kind_of(login) == "WorkloadIdentityCredential"


def test_the_workload_of_another_client(home: Path, workload: dict[str, str]) -> None:
    other = {"client_id": CLIENT.format(1), "tenant": "t"}
    login = resolve(home, {**other, "auth_source": "workload_identity"}, workload)
    assert (login.client_id, login.tenant) == (CLIENT.format(1), "t")
    with pytest.raises(InputError, match="is for another client_id"):
        resolve(home, other, workload)


def test_no_workload_identity(home: Path, workload: dict[str, str]) -> None:
    with pytest.raises(InputError) as caught:
        resolve(home, {"auth_source": "workload_identity"})
    assert "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_FEDERATED_TOKEN_FILE are not set" in str(
        caught.value
    )
    for text, told in ((None, "No such file or directory"), (" ", "it is empty")):
        path = Path(workload["AZURE_FEDERATED_TOKEN_FILE"])
        path.write_text(text) if text else path.unlink()
        with pytest.raises(InputError, match=f"cannot be read from {path}: {told}") as caught:
            resolve(home, {}, workload)
        assert "service account" in (caught.value.hint or "")


@pytest.mark.parametrize("wanted", [SUBSCRIPTION.format(4), "name 4"])
def test_cli_subscription_by_id_or_name(home: Path, wanted: str) -> None:
    log_in_cli(home, account(4, default=False), account(5))
    login = resolve(home, {"auth_source": "cli", "subscription_id": wanted}, env(2))
    assert (login.subscription_id, login.tenant) == (SUBSCRIPTION.format(4), "tenant-4")


def test_cli_with_a_subscription_that_it_does_not_list(home: Path) -> None:
    log_in_cli(home, account(5))
    options = {"auth_source": "cli", "subscription_id": SUBSCRIPTION.format(9), "tenant": "t"}
    login = resolve(home, options)
    assert login.subscription_id == SUBSCRIPTION.format(9)
    assert (login.credential.subscription, login.credential.tenant_id) == (None, "t")


def test_cli_clouds(home: Path) -> None:
    log_in_cli(home, account(5, cloud="AzureChinaCloud"))
    assert resolve(home).cloud.name == "AzureChinaCloud"
    assert resolve(home, {}, {"AZURE_CLOUD_ENVIRONMENT": "AzureCloud"}).cloud.name == "AzureCloud"
    log_in_cli(home, account(5, cloud="Mine"))
    with pytest.raises(InputError, match="no cloud_environment 'Mine'"):
        resolve(home)
    (home / ".azure" / "clouds.config").write_text(
        "[Mine]\nendpoint_resource_manager = https://rm.example/\n"
        "endpoint_active_directory = https://login.example/\n"
        "endpoint_active_directory_resource_id = https://a.example/\n"
    )
    assert resolve(home).cloud.scope == "https://a.example/.default"


def test_cli_folder_from_the_environment(home: Path, tmp_path: Path) -> None:
    log_in_cli(home, account(5))
    environ = {"AZURE_CONFIG_DIR": str(home / ".azure")}
    assert resolve(tmp_path / "nobody", {}, environ).source == "cli"


@pytest.mark.parametrize(
    ("cloud", "authority", "discovery"),
    [
        ("AzureCloud", "https://login.microsoftonline.com", True),
        ("AzureUSGovernment", "https://login.microsoftonline.us", False),
        ("AzureChinaCloud", "https://login.chinacloudapi.cn", False),
    ],
)
def test_clouds(home: Path, cloud: str, authority: str, discovery: bool) -> None:
    credential = resolve(home, {**values(1), "cloud_environment": cloud}).credential
    assert credential._authority == authority
    assert credential._instance_discovery is discovery


def test_tenant_of_the_cloud(home: Path) -> None:
    login = {"loginEndpoint": "https://adfs.example/adfs", "audiences": ["https://a"]}
    options = {**values(1), "tenant": None, "cloud_environment": "https://rm.example"}
    found = resolve(home, options, fetch=lambda _url: {"authentication": login})
    assert found.tenant == "adfs"


# Certificates


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, str]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path / "application.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path, made.fingerprint(hashes.SHA1()).hex(":").upper()


def test_certificate(home: Path, certificate: tuple[Path, str]) -> None:
    path, thumbprint = certificate
    options = {**values(1), "secret": None, "x509_certificate_path": str(path)}
    assert kind_of(resolve(home, options)) == "CertificateCredential"
    assert kind_of(resolve(home, {**options, "thumbprint": thumbprint})) == "CertificateCredential"
    with pytest.raises(InputError, match="thumbprint is not that of"):
        resolve(home, {**options, "thumbprint": "AB:CD"})


def test_option_certificate_before_the_secret_of_the_environment(
    home: Path, certificate: tuple[Path, str]
) -> None:
    login = resolve(home, {"x509_certificate_path": str(certificate[0])}, env(2))
    assert kind_of(login) == "CertificateCredential"


def test_bad_certificates(home: Path) -> None:
    options = {**values(1), "secret": None, "x509_certificate_path": str(home / "none.pem")}
    with pytest.raises(InputError, match="cannot be read: No such file"):
        resolve(home, options)
    (home / "none.pem").write_text("no certificate")
    with pytest.raises(InputError, match="cannot be used"):
        resolve(home, options)


# What is missing or wrong


@pytest.mark.parametrize("missing", ["client_id", "tenant", "secret"])
def test_missing_piece_is_named(home: Path, missing: str) -> None:
    with pytest.raises(InputError) as caught:
        resolve(home, {}, env(2, missing))
    assert f"{missing} ({VARIABLES[missing]}) is missing" in caught.value.message
    assert "the task's options and the environment" in caught.value.message
    assert caught.value.code == "LoginIncomplete"


def test_several_missing_pieces(home: Path) -> None:
    with pytest.raises(InputError, match=r"tenant \(AZURE_TENANT\) and secret .* are missing"):
        resolve(home, {"client_id": CLIENT.format(1)})


def test_nothing_at_all(home: Path) -> None:
    with pytest.raises(InputError, match=r"There is no login: .*azureProfile\.json") as caught:
        resolve(home)
    assert caught.value.code == "LoginMissing" and "az login" in (caught.value.hint or "")


def test_missing_profiles(home: Path) -> None:
    with pytest.raises(InputError, match="There is no credential file"):
        resolve(home, {"profile": "other"})
    write_profiles(home, default=values(3), spare=values(4))
    with pytest.raises(InputError, match="it has default, spare") as caught:
        resolve(home, {"profile": "other"})
    assert caught.value.code == "ProfileNotFound"


def test_profiles_are_listed(home: Path) -> None:
    path = write_profiles(home, zeta=values(1), DEFAULT=values(2), alpha=values(3))
    assert profiles.credential_profiles(path) == ["zeta", "DEFAULT", "alpha"]
    assert profiles.credential_profiles(home / "none") == []


def test_percent_in_a_secret(home: Path) -> None:
    write_profiles(home, default={**values(3), "secret": "a%b%(c)s"})
    assert secret_of(resolve(home)) == "a%b%(c)s"


def test_broken_credential_file(home: Path) -> None:
    path = home / ".azure" / "credentials"
    path.write_text(f"secret = {SECRET.format(1)}\n")
    with pytest.raises(InputError, match="is no ini file") as caught:
        resolve(home)
    assert SECRET.format(1) not in str(caught.value) + repr(caught.value.__cause__)
    assert resolve(home, {}, env(2)).source == "env", "a file nobody needs breaks nothing"
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="cannot be read"):
        resolve(home)


@pytest.mark.parametrize("source", ["cli", "msi", "workload_identity"])
@pytest.mark.parametrize("option", ["secret", "profile", "x509_certificate_path"])
def test_contradictory_options(home: Path, source: str, option: str) -> None:
    with pytest.raises(InputError, match=f"{option} has no place"):
        resolve(home, {"auth_source": source, option: "x"})


def test_two_logins_in_one_task(home: Path) -> None:
    write_profiles(home, other=values(6))
    with pytest.raises(InputError, match="names two logins"):
        resolve(home, {"profile": "other", "client_id": CLIENT.format(1)})
    with pytest.raises(InputError, match="profile has no place"):
        resolve(home, {"profile": "other", "auth_source": "env"})


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("subscription_id", "Production", "no subscription id"),
        ("tenant", "a b", "malformed"),
        ("cloud_environment", "Moon", "no cloud_environment"),
    ],
)
def test_malformed_options(home: Path, option: str, value: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        resolve(home, {**values(1), option: value})
    assert caught.value.code not in auth.NOT_FOUND_CODES
    assert SECRET.format(1) not in str(caught.value)


def test_ca_file_that_does_not_exist(home: Path) -> None:
    with pytest.raises(InputError, match=r"REQUESTS_CA_BUNDLE names /none\.pem"):
        resolve(home, values(1), {"REQUESTS_CA_BUNDLE": "/none.pem"})


def test_without_azure_identity(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import azure

    monkeypatch.delattr(azure, "identity", raising=False)
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(MissingLibrary, match="azure-identity"):
        resolve(home, values(1))


def test_login_shows_no_secret(home: Path) -> None:
    assert SECRET.format(1) not in repr(resolve(home, values(1)))


def test_secret_is_the_only_hidden_option() -> None:
    assert [name for name, option in AUTH_SPEC.items() if option.get("no_log")] == ["secret"]
    assert not any("default" in option for option in AUTH_SPEC.values())
