"""Clouds by name and by the metadata of their endpoint, in every shape that is served."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    AzureError,
    ConnectionFailed,
    InputError,
)
from ansible_collections.vmguard.azure.plugins.module_utils._login import clouds
from azure.core.pipeline.transport import RequestsTransport

from local_azure.launcher import LocalAzure

STACK = "https://management.stack.example"


def one(**more: Any) -> dict[str, Any]:
    login = {"loginEndpoint": "https://login.stack.example/", "audiences": ["https://a.example/"]}
    return {
        "name": "Stack",
        "resourceManager": f"{STACK}/",
        "authentication": login,
        "suffixes": {"storage": "stack.example"},
        **more,
    }


def resolve(answer: Any, url: str = STACK) -> clouds.Cloud:
    return clouds.resolve_cloud(url, fetch=lambda _url: answer)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "AzureCloud"), ("", "AzureCloud"), ("AzureCloud", "AzureCloud"),
        ("azurecloud", "AzureCloud"), ("AzurePublicCloud", "AzureCloud"),
        ("AzureUSGovernment", "AzureUSGovernment"), ("AzureUSGovernmentCloud", "AzureUSGovernment"),
        ("AzureChinaCloud", "AzureChinaCloud"),
        ("https://management.azure.com/", "AzureCloud"),
        ("https://management.chinacloudapi.cn", "AzureChinaCloud"),
    ],
)  # fmt: skip
def test_known_clouds_need_no_request(value: str | None, name: str) -> None:
    cloud = clouds.resolve_cloud(value, fetch=pytest.fail)
    assert cloud is clouds.KNOWN[name] and cloud.is_known


def test_endpoints_are_those_of_the_sdk() -> None:
    from azure.core import AzureClouds
    from azure.mgmt.core.tools import get_arm_endpoints

    for name, cloud in (
        ("AzureCloud", AzureClouds.AZURE_PUBLIC_CLOUD),
        ("AzureUSGovernment", AzureClouds.AZURE_US_GOVERNMENT),
        ("AzureChinaCloud", AzureClouds.AZURE_CHINA_CLOUD),
    ):
        theirs, ours = get_arm_endpoints(cloud), clouds.KNOWN[name]
        assert theirs["resource_manager"].rstrip("/") == ours.resource_manager
        assert theirs["credential_scopes"] == [ours.scope]


@pytest.mark.parametrize("value", ["AzureMoon", "http://management.stack.example", "https://"])
def test_no_such_cloud(value: str) -> None:
    with pytest.raises(InputError, match="cloud_environment"):
        clouds.resolve_cloud(value, fetch=pytest.fail)


@pytest.mark.parametrize(
    "answer",
    [
        one(),
        [one()],
        [one(resourceManager="https://management.azure.com/", name="AzureCloud"), one()],
    ],
)
def test_shapes_of_2019_and_later(answer: Any) -> None:
    assert resolve(answer) == clouds.Cloud(
        name="Stack",
        resource_manager=STACK,
        authority="https://login.stack.example",
        audience="https://a.example",
        storage_suffix="stack.example",
    )


def test_shape_of_2015_has_no_resource_manager() -> None:
    asked: list[str] = []

    def fetch(url: str) -> Any:
        asked.append(url)
        if "2022-09-01" in url:
            raise AzureError("no such version", status=400)
        login = {"loginEndpoint": "https://adfs.stack.example/adfs/", "audiences": ["https://a/x"]}
        return {"galleryEndpoint": "https://g", "authentication": login}

    cloud = clouds.resolve_cloud(f"{STACK}/", fetch=fetch)
    assert [url.rpartition("=")[2] for url in asked] == ["2022-09-01", "2015-01-01"]
    assert cloud.resource_manager == STACK
    assert (cloud.authority, cloud.tenant) == ("https://adfs.stack.example", "adfs")
    assert cloud.scope == "https://a/x/.default"


@pytest.mark.parametrize(
    "answer", [{}, [], None, "text", {"authentication": {}}, [one(resourceManager=""), {}]]
)
def test_no_metadata(answer: Any) -> None:
    with pytest.raises(AzureError, match="not with the metadata of a cloud"):
        resolve(answer, "https://other.example")


@pytest.mark.parametrize(
    "answer",
    [
        one(resourceManager="http://management.stack.example"),
        one(authentication={"loginEndpoint": "http://login", "audiences": []}),
    ],
)
def test_endpoints_in_clear_are_refused(answer: Any) -> None:
    with pytest.raises(InputError, match="not https"):
        resolve(answer)


def test_other_failures_are_not_taken_for_an_old_version() -> None:
    def fetch(_url: str) -> Any:
        raise AzureError("busy", status=503)

    with pytest.raises(AzureError, match="busy"):
        clouds.resolve_cloud(STACK, fetch=fetch)


@pytest.fixture(scope="module")
def azure():
    with LocalAzure() as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestsTransport, "sleep", lambda _self, _seconds: None)


def test_over_https(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(azure.ca_file))
    cloud = clouds.resolve_cloud(azure.url)
    assert cloud.resource_manager == cloud.authority == cloud.audience == azure.url
    for version in ("2022-09-01", "2019-05-01", "2015-01-01"):
        answer = clouds.fetch_json(f"{azure.url}/metadata/endpoints?api-version={version}")
        assert (
            clouds.resolve_cloud(azure.url, fetch=lambda _url, a=answer: a).authority == azure.url
        )


def test_untrusted_certificate(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    with pytest.raises(ConnectionFailed, match="not trusted") as caught:
        clouds.resolve_cloud(azure.url)
    assert azure.url in caught.value.message and "REQUESTS_CA_BUNDLE" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("url", "says"),
    [("https://127.0.0.1:1", "refused"), ("https://nowhere.invalid", "cannot be resolved")],
)
def test_unreachable(url: str, says: str) -> None:
    with pytest.raises(ConnectionFailed, match=says) as caught:
        clouds.resolve_cloud(url)
    assert url in caught.value.message
