"""The connections that disks are read over: trust, proxies, and servers that misbehave."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._disk.http import (
    CA_VARIABLES,
    HttpPool,
    TransferFailed,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError

from local_azure.launcher import LocalAzure
from local_azure.storage.page_blob import PageBlob

RANGE = {"x-ms-range": "bytes=0-8191"}


@pytest.fixture(scope="module")
def local() -> Iterator[LocalAzure]:
    with LocalAzure() as made:
        yield made


@pytest.fixture(scope="module")
def url(local: LocalAzure) -> str:
    image = local.app.state.store.create(1 << 20)
    image.write(0, b"content!" * 1024)
    return local.app.state.sas.grant("/disk", PageBlob(image), "Read", 3600).url


@pytest.fixture(autouse=True)
def environment(local: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", *CA_VARIABLES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(local.ca_file))


@pytest.fixture
def pool() -> Iterator[HttpPool]:
    with HttpPool(4) as made:
        yield made


def fetch(pool: HttpPool, url: str) -> bytes:
    answer = pool.request("GET", url, RANGE)
    assert answer.status == 206
    return answer.body


def test_headers_are_found_in_any_casing(pool: HttpPool, url: str) -> None:
    answer = pool.request("HEAD", url, {})
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers.get("content-LENGTH") == str((1 << 20) + 512)
    assert answer.headers.get("x-none") is None


def test_connections_are_kept_and_no_more_than_asked(url: str) -> None:
    with HttpPool(2) as pool:
        for _turn in range(5):
            fetch(pool, url)
        assert len(pool._hosts) == 1
        host = next(iter(pool._hosts.values()))
        assert len(host._idle) == 1
        threads = [threading.Thread(target=fetch, args=(pool, url)) for _turn in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 <= len(host._idle) <= 2
    assert len(host._idle) == 0
    with pool:
        fetch(pool, url)


# -- trust


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_certificates_of_the_environment(
    local: LocalAzure, url: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv(variable, str(local.ca_file))
    with HttpPool(1) as pool:
        assert len(fetch(pool, url)) == 8192


def test_an_untrusted_certificate(
    url: str, pool: HttpPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(TransferFailed, match="not trusted by this machine") as caught:
        fetch(pool, url)
    assert not caught.value.passing and "REQUESTS_CA_BUNDLE" in (caught.value.hint or "")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read(
    url: str, pool: HttpPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    named = tmp_path / "ca.pem"
    if content:
        named.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(named))
    with pytest.raises(InputError, match="that REQUESTS_CA_BUNDLE names cannot be read"):
        fetch(pool, url)


# -- servers that misbehave


def serve_once(answer: bytes, repeat: int = 1) -> str:
    """The URL of a server that sends these bytes, whatever it is asked, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _turn in range(repeat):
            connection, _peer = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
        listener.close()

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/blob?sig=secret"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed the connection before"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "broke off before its end"),
        (b"not HTTP at all\r\n\r\n", "the connection failed"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 500, "the connection failed"),
    ],
)
def test_half_an_answer(pool: HttpPool, answer: bytes, said: str) -> None:
    with pytest.raises(TransferFailed, match=said) as caught:
        pool.request("GET", serve_once(answer), {})
    assert caught.value.passing and "secret" not in str(caught.value.failure())


def test_redirects_are_not_followed(pool: HttpPool) -> None:
    url = serve_once(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n")
    assert pool.request("GET", url, {}).status == 302


def test_nobody_listens(pool: HttpPool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransferFailed, match=r"from 127\.0\.0\.1: the connection is refused"):
        pool.request("GET", f"https://127.0.0.1:{port}/?sig=x", {})


def test_a_name_that_does_not_exist(pool: HttpPool) -> None:
    with pytest.raises(TransferFailed, match="its name cannot be resolved") as caught:
        pool.request("GET", "https://host.invalid/?sig=x", {})
    assert caught.value.passing


# -- proxies


class Proxy:
    """A proxy that tunnels, and remembers what it was asked."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connected\r\n\r\n") -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.asked: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        self.asked.append(head.decode())
        client.sendall(self._answer)
        if b" 200 " not in self._answer:
            client.close()
            return
        host, port = head.split()[1].decode().split(":")
        server = socket.create_connection((host, int(port)))
        back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
        back.start()
        self._copy(client, server)

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.stop()


def test_through_a_proxy(
    url: str, pool: HttpPool, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass%40word@{proxy.place}")
    assert fetch(pool, url) == fetch(pool, url) == b"content!" * 1024
    (asked,) = proxy.asked
    assert asked.startswith("CONNECT 127.0.0.1:")
    assert base64.b64encode(b"me:pass@word").decode() in asked
    assert "sig=" not in caplog.text.replace("sig=***", "")


def test_no_proxy(url: str, pool: HttpPool, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.place)
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    fetch(pool, url)
    assert proxy.asked == []


def test_a_proxy_without_scheme(
    url: str, pool: HttpPool, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.place)
    fetch(pool, url)
    assert len(proxy.asked) == 1


def test_a_proxy_that_refuses(url: str, pool: HttpPool, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:word@{proxy.place}")
    with pytest.raises(TransferFailed, match="the proxy refuses") as caught:
        fetch(pool, url)
    assert "word" not in str(caught.value.failure()) and "sig" not in str(caught.value.failure())
    proxy.stop()


def test_the_answer_breaks_off_behind_a_proxy(
    local: LocalAzure, url: str, pool: HttpPool, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.place)
    local.control.fault("GET /md-", kind="truncate")
    with pytest.raises(TransferFailed, match="broke off before its end"):
        fetch(pool, url)
    assert len(fetch(pool, url)) == 8192
