"""The server itself: connections, bodies, clients that misbehave, two servers side by side."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from https_world import Client, client

from local_azure.launcher import LocalAzure


@pytest.fixture
def azure() -> Iterator[Client]:
    with client() as made:
        yield made


def connect(azure: Client) -> socket.socket:
    host, _colon, port = azure.host.partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_only_its_own_authority_is_trusted(azure: Client) -> None:
    azure.context = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError):
        azure.raw("GET", "/metadata/endpoints?api-version=2022-09-01")


def test_silent_clients_do_not_stop_others(azure: Client) -> None:
    without_handshake = [connect(azure) for turn in range(5)]
    without_request = azure.context.wrap_socket(connect(azure), server_hostname="127.0.0.1")
    assert azure.make_group().status == 201
    for silent in (*without_handshake, without_request):
        silent.close()
    assert azure.call("GET", "resourceGroups").status == 200


def test_plain_text_is_no_harm(azure: Client) -> None:
    with connect(azure) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP")
    assert azure.make_group().status == 201


def test_a_connection_serves_many_requests(azure: Client) -> None:
    azure.make_group()
    headers = {"Authorization": f"Bearer {azure.token}"}
    target = f"{azure.subscription}/resourceGroups?api-version=2021-04-01"
    with azure.connection() as connection:
        connection.connect()
        used = connection.sock
        for turn in range(3):
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            assert (turn, response.status, bool(response.read())) == (turn, 200, True)
            assert connection.sock is used


def test_a_chunked_body(azure: Client) -> None:
    azure.make_group()
    headers = {"Authorization": f"Bearer {azure.token}", "Transfer-Encoding": "chunked"}
    target = f"{azure.subscription}/resourceGroups/other?api-version=2021-04-01"
    with azure.connection() as connection:
        pieces = iter([b'{"location": ', b'"westeurope"}'])
        connection.request("PUT", target, pieces, headers, encode_chunked=True)
        assert connection.getresponse().status == 201


def test_head_has_no_body(azure: Client) -> None:
    azure.make_group()
    answer = azure.call("HEAD", "resourceGroups/group")
    assert (answer.status, answer.data) == (204, b"")
    assert azure.call("HEAD", "resourceGroups/none").status == 404


def test_a_body_that_is_no_json(azure: Client) -> None:
    azure.make_group()
    for wrong in (b"{", b"[1]", b"\xff"):
        answer = azure.call("PUT", "resourceGroups/other", wrong)
        assert (answer.status, answer.code) == (400, "InvalidRequestContent")


def test_what_nobody_answers(azure: Client) -> None:
    azure.make_group()
    answer = azure.call("PUT", "resourceGroups/group/providers/Microsoft.Compute/odd/one", {})
    assert (answer.status, answer.code) == (404, "InvalidResourceType")
    answer = azure.call("GET", "resourceGroups/group/providers/Microsoft.Nonsense/odd/one")
    assert (answer.status, answer.code) == (404, "InvalidResourceNamespace")
    answer = azure.call("POST", "resourceGroups")
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")


def test_ids_of_requests(azure: Client) -> None:
    header = {"x-ms-client-request-id": "mine", "x-ms-correlation-request-id": "ours"}
    answer = azure.call("GET", "resourceGroups", **header)
    assert answer.headers["x-ms-client-request-id"] == "mine"
    assert answer.headers["x-ms-correlation-request-id"] == "ours"
    again = azure.call("GET", "resourceGroups")
    assert again.headers["x-ms-request-id"] != answer.headers["x-ms-request-id"]
    assert "date" in again.headers


def test_two_side_by_side_share_nothing(azure: Client) -> None:
    with client() as other:
        azure.make_group()
        assert other.call("GET", "resourceGroups").body["value"] == []
        other.local.control.advance(5000)
        assert azure.call("GET", "resourceGroups").status == 200
        assert other.call("GET", "resourceGroups").code == "ExpiredAuthenticationToken"
        assert azure.local.url != other.local.url
        assert azure.local.directory != other.local.directory


def test_nothing_is_left_behind() -> None:
    with LocalAzure() as local:
        directory, host = local.directory, Client(local).host.partition(":")
        assert directory.is_dir()
    assert not directory.exists()
    with pytest.raises(OSError):
        socket.create_connection((host[0], int(host[2])), timeout=30)


def test_many_clients_at_once(azure: Client) -> None:
    azure.make_group()
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(azure.call("GET", "resourceGroups").status))
        for turn in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 12
    numbers = [entry["number"] for entry in azure.requests()]
    assert numbers == list(range(1, len(numbers) + 1))
