"""From the option ``repository`` to a store, and the sentences for what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.vmguard.azure.plugins.doc_fragments.repository import ModuleDocFragment
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError, WriteRefused
from ansible_collections.vmguard.azure.plugins.module_utils._spec import REPOSITORY_SPEC
from ansible_collections.vmguard.azure.plugins.module_utils._storage.options import open_store

KEY = "bWFkZS11cCBrZXkgb2YgYW4gYWNjb3VudA=="
SAS = "sv=2025-01-05&sp=rl&se=2030-01-01T00:00:00Z&sr=c&sig=bWFkZS11cA%3D%3D"
URL = "https://contosobackups.blob.core.windows.net"
STRING = f"AccountName=contoso;AccountKey={KEY};EndpointSuffix=core.windows.net"
BLOB = {"type": "azure_blob", "container": "backups", "account_url": URL}


def opened(options: dict[str, Any], credential: Any = None, read_only: bool = False) -> Any:
    every = dict.fromkeys(REPOSITORY_SPEC["repository"]["options"])
    return open_store({**every, **options}, credential=credential, read_only=read_only)


class Credential:
    def get_token(self, *_scopes: str, **_options: Any) -> Any:
        raise AssertionError("nothing is sent yet")


@pytest.mark.parametrize(
    ("options", "description"),
    [
        ({"type": "folder", "path": "/srv/backups/"}, "folder /srv/backups"),
        ({**BLOB, "account_key": KEY}, "container backups of storage account contosobackups"),
        (
            {**BLOB, "sas": f"?{SAS}", "prefix": "/vm/Prod/"},
            "container backups (prefix vm/Prod/) of storage account contosobackups",
        ),
        (
            {"type": "azure_blob", "container": "backups", "connection_string": STRING},
            "container backups of storage account contoso",
        ),
        (
            {**BLOB, "account_url": "http://127.0.0.1:10000/local", "account_key": KEY},
            "container backups of storage account local",
        ),
        (
            {**BLOB, "account_url": "https://10.1.2.3/stack/", "account_key": KEY},
            "container backups of storage account stack",
        ),
    ],
)
def test_a_store_says_what_it_is(options: dict[str, Any], description: str) -> None:
    with opened(options) as store:
        assert store.description == description
        assert KEY not in repr(vars(store))


def test_the_login_is_asked_for_only_when_needed() -> None:
    asked: list[int] = []

    def credential() -> Credential:
        asked.append(1)
        return Credential()

    for more in ({"account_key": KEY}, {"sas": SAS}):
        opened({**BLOB, **more}, credential).close()
    opened({"type": "folder", "path": "/srv/backups"}, credential).close()
    assert asked == []
    opened(BLOB, credential).close()
    assert asked == [1]


def test_read_only_is_read_only(tmp_path: Path) -> None:
    store = opened({"type": "folder", "path": str(tmp_path)}, read_only=True)
    with pytest.raises(WriteRefused):
        store.put("one", b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "repository.type is missing"),
        ({"type": "s3"}, "repository.type is 's3'; it must be azure_blob or folder"),
        ({"type": "folder"}, "repository.path is missing"),
        ({"type": "folder", "path": ""}, "repository.path is missing"),
        ({"type": "folder", "path": "backups"}, "not an absolute path"),
        ({"type": "folder", "path": "/b", "container": "c"}, "repository.container has no meaning"),
        ({"type": "folder", "path": "/b", "sas": SAS}, "repository.sas has no meaning"),
        ({**BLOB, "path": "/srv"}, "repository.path has no meaning"),
        ({**BLOB, "container": None}, "repository.container is missing"),
        (
            {**BLOB, "account_url": None, "account_key": KEY},
            "either account_url or connection_string",
        ),
        ({**BLOB, "connection_string": STRING}, "either account_url or connection_string"),
        ({**BLOB, "account_key": KEY, "sas": SAS}, "account_key and repository.sas exclude"),
        (BLOB, "no Azure login"),
        ({**BLOB, "container": "Backups", "sas": SAS}, "'Backups' is not the name of a container"),
        ({**BLOB, "container": "a--b", "sas": SAS}, "is not the name of a container"),
        ({**BLOB, "container": "a\n", "sas": SAS}, "is not the name of a container"),
        ({**BLOB, "prefix": "../x", "sas": SAS}, "'../x' is not a prefix"),
        ({**BLOB, "prefix": "a//b", "sas": SAS}, "is not a prefix"),
        ({**BLOB, "sas": "made-up"}, "sas is not a shared access signature"),
        ({**BLOB, "sas": f"{URL}/c?{SAS}"}, "sas is not a shared access signature"),
        ({**BLOB, "account_key": "no key"}, "account_key is not base64"),
        ({**BLOB, "account_url": f"{URL}/?{SAS}", "sas": SAS}, "after a question mark"),
        ({**BLOB, "account_url": f"{URL}/backups", "sas": SAS}, "storage account alone"),
        ({**BLOB, "account_url": "http://contoso.blob.core.windows.net", "sas": SAS}, "https URL"),
        ({**BLOB, "account_url": "contoso", "sas": SAS}, "https URL"),
        ({**BLOB, "account_url": "https://[", "sas": SAS}, "not a URL"),
        ({**BLOB, "account_url": f"https://u:{KEY}@contoso.example", "sas": SAS}, "https URL"),
    ],
)
def test_what_is_wrong_is_said(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(options)
    assert sentence in caught.value.message
    assert "sig=" not in str(caught.value.failure())
    assert KEY not in str(caught.value.failure())


@pytest.mark.parametrize(
    "text",
    [
        "made-up",
        "UseDevelopmentStorage=true",
        "AccountName=contoso",
        f"AccountKey={KEY}",
        "AccountName=contoso;AccountKey=no key",
        f"AccountName=contoso;AccountKey={KEY};nothing",
        "BlobEndpoint=https://contoso.blob.core.windows.net;SharedAccessSignature=made-up",
    ],
)
def test_a_malformed_connection_string(text: str) -> None:
    options = {"type": "azure_blob", "container": "backups", "connection_string": text}
    with pytest.raises(InputError, match="connection_string") as caught:
        opened(options)
    assert KEY not in str(caught.value.failure())


def test_the_documentation_has_the_spec_s_options() -> None:
    spec = REPOSITORY_SPEC["repository"]["options"]
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]["repository"]
    assert list(documented["suboptions"]) == list(spec)
    for name, option in documented["suboptions"].items():
        assert {key: option.get(key) for key in ("type", "required", "choices")} == {
            key: spec[name].get(key) for key in ("type", "required", "choices")
        }


@pytest.mark.parametrize("name", ["connection_string", "account_key", "sas", "passphrase"])
def test_secrets_are_not_logged(name: str) -> None:
    assert REPOSITORY_SPEC["repository"]["options"][name]["no_log"] is True


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"type": "folder", "path": "/srv", "passphrase": "p"}, None),
        ({**BLOB, "prefix": "vm"}, None),
        ({**BLOB, "sas": SAS}, None),
        ({"type": "folder"}, "type is folder but all of the following are missing: path"),
        ({"type": "azure_blob", "account_url": URL}, "container"),
        ({"type": "azure_blob", "container": "c"}, "account_url, connection_string"),
        ({**BLOB, "sas": SAS, "account_key": KEY}, "mutually exclusive"),
        ({"type": "folder", "path": "/srv", "sas": SAS}, "mutually exclusive"),
        ({"path": "/srv"}, "missing required arguments: type"),
    ],
)
def test_ansible_checks_the_options_too(options: dict[str, Any], sentence: str | None) -> None:
    errors = ArgumentSpecValidator(REPOSITORY_SPEC).validate({"repository": options}).error_messages
    if sentence is None:
        assert errors == []
    else:
        assert sentence in " ".join(errors)
