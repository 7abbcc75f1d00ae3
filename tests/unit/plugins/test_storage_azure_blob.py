"""A repository in a storage account: logins, refusals, lost answers, and what they are called."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    AuthError,
    ObjectExists,
    ObjectNotFound,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
    VmguardError,
    WriteRefused,
)
from ansible_collections.vmguard.azure.plugins.module_utils._storage.azure_blob import (
    AzureBlobStore,
)
from ansible_collections.vmguard.azure.plugins.module_utils._storage.options import open_store
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
    ContentSettings,
    generate_account_sas,
    generate_container_sas,
)
from storage_backends import FrontHandler, StorageFront

from local_azure.azurite import Azurite
from local_azure.tls import write_certificates

pytest_plugins = ["storage_backends"]

WRONG_KEY = base64.b64encode(b"a made-up key of another account").decode()
ROLE = "Storage Blob Data Contributor"
_numbers = itertools.count(1)


@pytest.fixture
def container(azurite: Azurite) -> str:
    """An empty container of this test alone."""
    name = f"backups-{next(_numbers)}"
    BlobServiceClient.from_connection_string(azurite.connection_string).create_container(name)
    return name


def within(account: Azurite, container: str) -> ContainerClient:
    return ContainerClient.from_connection_string(account.connection_string, container)


def opened(account: Azurite, container: str, **options: Any) -> AzureBlobStore:
    if not {"account_key", "sas", "credential"} & options.keys():
        options["account_key"] = account.account_key
    options.setdefault("account_url", account.blob_endpoint)
    return AzureBlobStore(container=container, retries=0, **options)


def sas_of(account: Azurite, container: str, permissions: str, hours: float = 1) -> str:
    return generate_container_sas(
        account.account_name,
        container,
        account_key=account.account_key,
        permission=permissions,
        start=datetime.now(timezone.utc) - timedelta(days=2),
        expiry=datetime.now(timezone.utc) + timedelta(hours=hours),
    )


def every_call(store: AzureBlobStore) -> list[Callable[[], object]]:
    return [
        store.exists,
        store.prepare,
        lambda: store.put("one", b"content"),
        lambda: store.get("one", 10),
        lambda: store.get_range("one", 0, 1),
        lambda: list(store.list()),
        lambda: store.delete("one"),
    ]


def refusal(attempt: Callable[[], object], kind: type[VmguardError], *secrets: str) -> VmguardError:
    """The error of an attempt; it holds none of the secrets, and is one line."""
    with pytest.raises(kind) as caught:
        attempt()
    told = f"{caught.value} {caught.value.failure()} {caught.value!r}"
    for secret in (*secrets, "sig="):
        assert secret not in told
    assert "\n" not in caught.value.message
    return caught.value


def test_a_wrong_key(azurite: Azurite, container: str) -> None:
    store = opened(azurite, container, account_key=WRONG_KEY)
    for attempt in every_call(store):
        error = refusal(attempt, StorageDenied, WRONG_KEY, azurite.account_key)
        assert f"Storage account {azurite.account_name} refuses to" in error.message
        assert f"with the account key. Azure says: {error.code}: Server failed" in error.message
        assert error.request_id
        assert "az storage account keys list" in str(error.hint)


def test_a_wrong_key_in_a_connection_string(azurite: Azurite, container: str) -> None:
    text = azurite.connection_string.replace(azurite.account_key, WRONG_KEY)
    store = AzureBlobStore(container=container, connection_string=text)
    error = refusal(lambda: store.put("one", b""), StorageDenied, WRONG_KEY)
    assert "with the key in connection_string" in error.message


def test_an_expired_sas(azurite: Azurite, container: str) -> None:
    sas = sas_of(azurite, container, "racwdl", hours=-1)
    signature = sas.rpartition("sig=")[2]
    for attempt in every_call(opened(azurite, container, sas=sas)):
        error = refusal(attempt, StorageDenied, signature, sas)
        assert "with the SAS (valid until 20" in error.message
        assert "permissions racwdl)" in error.message
        assert "Give a SAS that is valid" in str(error.hint)


def test_a_sas_for_reading(azurite: Azurite, container: str) -> None:
    opened(azurite, container).put("one", b"content")
    sas = sas_of(azurite, container, "rl")
    store = opened(azurite, container, sas=f"?{sas}")
    assert store.exists()
    store.prepare()
    assert store.get("one", 10) == b"content"
    assert [found.name for found in store.list()] == ["one"]
    for attempt in (lambda: store.put("two", b""), lambda: store.delete("one")):
        error = refusal(attempt, StorageDenied, sas)
        assert "permissions rl)" in error.message
        assert error.code == "AuthorizationPermissionMismatch"


def test_a_sas_of_the_container_is_enough(azurite: Azurite, container: str) -> None:
    sas = sas_of(azurite, container, "rcwdl")
    for login in (
        {"account_url": azurite.blob_endpoint, "sas": sas},
        {"connection_string": f"BlobEndpoint={azurite.blob_endpoint};SharedAccessSignature={sas}"},
    ):
        with AzureBlobStore(container=container, prefix="vm", **login) as store:
            assert azurite.account_name in store.description
            store.prepare()
            store.put("one", b"content")
            store.put("one", b"content")
            assert store.get("one", 10) == b"content"
            store.delete("one")
            assert list(store.list()) == []


def test_a_sas_that_may_not_create_a_container(azurite: Azurite) -> None:
    sas = sas_of(azurite, "none-yet", "rcwdl")
    error = refusal(opened(azurite, "none-yet", sas=sas).prepare, StorageDenied, sas)
    assert "refuses to create the container none-yet" in error.message


def test_a_sas_of_the_account_creates_a_container(azurite: Azurite) -> None:
    expiry = datetime.now(timezone.utc) + timedelta(hours=1)
    sas = generate_account_sas(
        azurite.account_name, azurite.account_key, "sco", "rwdlac", expiry=expiry
    )
    store = opened(azurite, "made-with-sas", sas=sas)
    assert not store.exists()
    store.prepare()
    assert store.exists()


def test_a_missing_container(azurite: Azurite) -> None:
    store = opened(azurite, "missing")
    assert not store.exists()
    for attempt in every_call(store)[2:]:
        error = refusal(attempt, StorageError, azurite.account_key)
        account = azurite.account_name
        assert error.message == f"There is no container missing in storage account {account}."
        assert error.code == "ContainerNotFound"
        assert not isinstance(error, ObjectNotFound)


def test_prefixes_do_not_meet(azurite: Azurite, container: str) -> None:
    stores = {prefix: opened(azurite, container, prefix=prefix) for prefix in ("", "vm", "vm2/A")}
    for prefix, store in stores.items():
        store.put("one", prefix.encode())
    assert [blob.name for blob in within(azurite, container).list_blobs()] == [
        "one",
        "vm/one",
        "vm2/A/one",
    ]
    for prefix in ("vm", "vm2/A"):
        assert stores[prefix].get("one", 10) == prefix.encode()
        assert [found.name for found in stores[prefix].list()] == ["one"]


def test_foreign_blobs_are_not_listed(azurite: Azurite, container: str) -> None:
    inside = within(azurite, container)
    for name in ("vm/README", "vm/a..b", "vm/.hidden", "vm/tmp/one", "vm", "vm/a/one"):
        inside.upload_blob(name, b"")
    inside.upload_blob("vm/folder", b"", metadata={"hdi_isfolder": "true"})
    store = opened(azurite, container, prefix="vm")
    assert [found.name for found in store.list()] == ["a/one"]
    assert sorted(store.foreign_objects()) == [".hidden", "README", "a..b", "tmp/one"]


def test_long_listings_come_in_pages(azurite: Azurite, container: str, front: StorageFront) -> None:
    names = [f"packs/{number:02}" for number in range(60)]
    for name in names:
        opened(azurite, container).put(name, b"")
    front.page_size = 7
    sas = sas_of(azurite, container, "l")
    store = opened(azurite, container, sas=sas, account_url=front.url)
    assert [found.name for found in store.list()] == names
    assert front.seen == ["GET"] * 9
    # The first pages are shown although the rest cannot be had.
    front.script = {"GET": [None, (403, "AuthorizationFailure")]}
    listing = store.list()
    assert next(listing).name == names[0]
    refusal(lambda: list(listing), StorageDenied, sas)


def test_many_threads_share_the_connections(
    azurite: Azurite, container: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened(azurite, container)
    with caplog.at_level("WARNING"), ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: store.put(f"packs/{number}", bytes(50_000)), range(100)))
    assert [record for record in caplog.records if "pool is full" in record.getMessage()] == []


def test_stored_bytes_are_never_unpacked(azurite: Azurite, container: str) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    settings = ContentSettings(content_encoding="gzip")
    within(azurite, container).upload_blob("bomb", bomb, content_settings=settings)
    store = opened(azurite, container)
    assert store.get("bomb", len(bomb)) == bomb
    assert store.get_range("bomb", 10, 100) == bomb[10:110]


def test_read_only_is_proved_at_the_transport(azurite: Azurite, container: str) -> None:
    opened(azurite, container).put("one", b"content")
    store = opened(azurite, container, read_only=True)
    assert store.get("one", 10) == b"content"
    for attempt in (
        lambda: store.put("two", b""),
        lambda: store.delete("one"),
        opened(azurite, "not-made", read_only=True).prepare,
    ):
        refusal(attempt, WriteRefused)
    wrapped = open_store(
        {
            "type": "azure_blob",
            "container": container,
            "connection_string": azurite.connection_string,
        },
        credential=None,
        read_only=True,
    )
    assert [found.name for found in wrapped.list()] == ["one"]
    refusal(lambda: wrapped.put("two", b""), WriteRefused)


class Credential:
    """Gives tokens as Microsoft Entra ID shapes them, or refuses as azure-identity does."""

    def __init__(self, audience: str = "https://storage.azure.com", refuses: bool = False) -> None:
        self.audience = audience
        self.refuses = refuses
        self.scopes: list[str] = []

    def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
        if self.refuses:
            raise ClientAuthenticationError("AADSTS7000222: The provided keys are expired.")
        self.scopes += scopes
        now = int(time.time())
        claims = {
            "aud": self.audience,
            "iss": "https://sts.windows.net/00000000-0000-4000-8000-000000000001/",
            "iat": now - 60,
            "nbf": now - 60,
            "exp": now + 3600,
            "ver": "1.0",
        }
        parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
        text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        return AccessToken(f"{text}.c2lnbmF0dXJl", now + 3600)


def test_the_azure_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca_file, server_file = write_certificates(tmp_path)
    with Azurite(tmp_path / "data", certificate=(server_file, server_file)) as account:
        repository = {
            "type": "azure_blob",
            "container": "backups",
            "account_url": account.blob_endpoint,
        }

        def login(credential: Credential) -> Any:
            return open_store(repository, credential=lambda: credential, read_only=False)

        error = refusal(
            opened(account, "backups", credential=Credential()).exists, StorageUnavailable
        )
        assert "its TLS certificate is not trusted by this machine" in error.message
        assert "REQUESTS_CA_BUNDLE" in str(error.hint)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
        credential = Credential()
        store = login(credential)
        store.prepare()
        store.put("one", b"content")
        assert store.get("one", 10) == b"content"
        assert credential.scopes[0] == "https://storage.azure.com/.default"
        error = refusal(lambda: login(Credential("https://other")).get("one", 1), StorageDenied)
        assert f"with the task's Azure login, which needs the role {ROLE}." in error.message
        assert ROLE in str(error.hint)
        error = refusal(lambda: login(Credential(refuses=True)).get("one", 1), AuthError)
        assert error.code == "AADSTS7000222"


@pytest.mark.parametrize("loss", ["lost", (503, "ServerBusy"), (500, "OperationTimedOut")])
def test_a_lost_answer_is_asked_for_again(
    azurite: Azurite, container: str, front: StorageFront, loss: Any
) -> None:
    store = AzureBlobStore(
        container=container, account_url=front.url, account_key=azurite.account_key, retries=2
    )
    front.script = {"PUT": [loss], "GET": [None, loss], "DELETE": [loss]}
    store.put("one", b"content")
    assert front.seen[:2] == ["PUT", "PUT"]
    assert store.get("one", 10) == b"content"
    store.delete("one")
    assert list(store.list()) == []


def test_an_answer_that_breaks_off_is_asked_for_again(
    azurite: Azurite, container: str, front: StorageFront
) -> None:
    data = bytes(range(256)) * 4096
    store = opened(azurite, container, account_url=front.url)
    store.put("one", data)
    front.script = {"GET": ["cut", None, "cut"]}
    assert store.get("one", len(data)) == data
    assert store.get_range("one", 1000, 500_000) == data[1000:501_000]
    front.script = {"GET": ["cut"] * 9}
    error = refusal(lambda: store.get("one", len(data)), StorageUnavailable)
    assert "before the answer was complete" in error.message


def test_a_lost_answer_to_another_s_write(
    azurite: Azurite, container: str, front: StorageFront
) -> None:
    opened(azurite, container).put("one", b"another")
    store = opened(azurite, container, account_url=front.url)
    front.script = {"PUT": [(412, "ConditionNotMet")]}
    refusal(lambda: store.put("one", b"content"), ObjectExists)
    front.script = {"PUT": [(409, "BlobImmutableDueToPolicy")] * 2}
    refusal(lambda: store.put("one", b"content"), ObjectExists)
    store.put("one", b"another")


@pytest.mark.parametrize(
    ("status", "code", "kind", "sentence", "hint"),
    [
        (
            409,
            "BlobImmutableDueToPolicy",
            StorageDenied,
            "refuses to delete",
            "immutability policy",
        ),
        (409, "SnapshotsPresent", StorageDenied, "refuses to delete", "has snapshots"),
        (412, "LeaseIdMissing", StorageDenied, "refuses to delete", "lease"),
        (403, "AuthorizationFailure", StorageDenied, "with the account key", "firewall"),
        (403, "KeyBasedAuthenticationNotPermitted", StorageDenied, "with the account key", ROLE),
        (403, "", StorageDenied, "HTTP 403", "keys list"),
        (507, "InsufficientStorage", StorageFull, "has no room to delete", "Make room"),
        (409, "AccountLimitExceeded", StorageFull, "has no room to delete", "Make room"),
        (503, "ServerBusy", StorageUnavailable, "does not delete object one", "again later"),
        (502, "", StorageUnavailable, "HTTP 502", "again later"),
        (409, "ContainerBeingDeleted", StorageUnavailable, "at present", "old container"),
        (400, "InvalidHeaderValue", StorageError, "says: InvalidHeaderValue: Made", ""),
    ],
)
def test_what_azure_refuses(
    azurite: Azurite, container: str, front: StorageFront, status: int, code: str,
    kind: type[VmguardError], sentence: str, hint: str,
) -> None:  # fmt: skip
    store = opened(azurite, container, account_url=front.url)
    front.script = {"DELETE": [(status, code, "Made up\nRequestId:1\nTime:2")]}
    error = refusal(lambda: store.delete("one"), kind, azurite.account_key)
    assert error.__class__ is kind
    assert sentence in error.message
    assert hint in str(error.hint)
    assert error.code == (code or f"HTTP{status}")
    assert error.request_id == ("made-up-request-id" if code else None)


def test_what_is_not_azure_storage(azurite: Azurite, container: str, front: StorageFront) -> None:
    store = opened(azurite, container, account_url=front.url)
    for attempt in every_call(store):
        front.script = {"GET": [(200, "")], "PUT": [(200, "")], "DELETE": [(200, "")]}
        refusal(attempt, StorageError)


def test_an_account_that_is_not_there(azurite: Azurite, container: str) -> None:
    # The port was free a moment ago, and is again.
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        url = f"http://127.0.0.1:{server.server_port}/{azurite.account_name}"
    for attempt in every_call(opened(azurite, container, account_url=url)):
        error = refusal(attempt, StorageUnavailable, azurite.account_key)
        assert "the connection is refused" in error.message
        assert "account_url" in str(error.hint)


def test_a_slow_line_takes_its_time(azurite: Azurite, container: str, front: StorageFront) -> None:
    """The whole body needs longer than the time-out, and no piece of it does."""
    original = FrontHandler.pass_on

    class Slow(FrontHandler):
        def _handle(self) -> None:
            left = int(self.headers.get("Content-Length") or 0)
            pieces = []
            while left:
                pieces.append(self.rfile.read(min(left, 4 << 20)))
                left -= len(pieces[-1])
                time.sleep(0.4)
            answer, _content = original(self, b"".join(pieces))
            self.send_response_only(answer.status, answer.reason)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PUT = _handle

    front.RequestHandlerClass = Slow
    data = bytes(32 << 20)
    opened(azurite, container, account_url=front.url, connect_seconds=2).put("one", data)
    assert opened(azurite, container).get("one", len(data)) == data
