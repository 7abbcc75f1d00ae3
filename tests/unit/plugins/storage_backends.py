"""Stores for the tests: each real backend, and wrappers that fail or refuse as storage does.

A test file that wants the fixtures says ``pytest_plugins = ["storage_backends"]``. It may import the
rest as well: there is no assertion here (PYTEST_DONT_REWRITE).
"""

from __future__ import annotations

import http.client
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    ObjectExists,
    StorageDenied,
    StorageUnavailable,
)
from ansible_collections.vmguard.azure.plugins.module_utils._storage.azure_blob import (
    AzureBlobStore,
)
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import (
    Store,
    StoredObject,
)

from local_azure.azurite import Azurite

BACKENDS = ("folder", "azure_blob")
WRITES = ("prepare", "put", "delete", "remove_leftovers")
READS = ("exists", "get", "get_range", "list")

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """One storage account for the tests of a file."""
    with Azurite(tmp_path_factory.mktemp("azurite")) as account:
        yield account


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens the same empty place of each kind, as often as it is called; made ready once."""
    if request.param == "folder":
        repository = {"type": "folder", "path": str(tmp_path / "repository")}
    else:
        repository = blob_repository(request.getfixturevalue("azurite"))
    opened: list[Store] = []

    def open_backend() -> Store:
        opened.append(open_repository(repository))
        return opened[-1]

    open_backend().prepare()
    yield open_backend
    for store in opened:
        store.close()


@pytest.fixture
def store(backend: Callable[[], Store]) -> Store:
    """An empty store, of each kind in turn."""
    return backend()


@pytest.fixture
def front(azurite: Azurite) -> Iterator[StorageFront]:
    with StorageFront(azurite) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def blob_repository(account: Azurite, prefix: str = "vm/first") -> dict[str, Any]:
    """The option ``repository`` for a container of its own, which is not there yet."""
    return {
        "type": "azure_blob",
        "connection_string": account.connection_string,
        "container": f"container-{next(_numbers)}",
        "prefix": prefix,
    }


def open_repository(repository: dict[str, Any]) -> Store:
    if repository["type"] == "folder":
        return FolderStore(repository["path"])
    return AzureBlobStore(**{key: repository[key] for key in repository if key != "type"})


class Wrapper(Store):
    """Passes everything on, through ``_call``."""

    def __init__(self, store: Store) -> None:
        self.within = store
        self.description = store.description

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        return getattr(self.within, method)(*args, **options)

    def exists(self) -> bool:
        return self._call("exists")

    def prepare(self) -> None:
        self._call("prepare")

    def put(self, name: str, data: bytes) -> None:
        self._call("put", name, data)

    def get(self, name: str, limit: int) -> bytes:
        return self._call("get", name, limit)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        return self._call("get_range", name, offset, length)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return self._call("list", prefix)

    def foreign_objects(self) -> Iterator[str]:
        return self._call("foreign_objects")

    def delete(self, name: str) -> None:
        self._call("delete", name)

    def remove_leftovers(self, *, everything: bool = False) -> int:
        return self._call("remove_leftovers", everything=everything)

    def close(self) -> None:
        self.within.close()


class FaultyStore(Wrapper):
    """Fails at the n-th call of the chosen methods.

    Args:
        fail_at: 1 for the first call; 0 never fails, and ``calls`` tells how many there are.
        error: what is raised, or a function that makes it.
        methods: those that are counted.
        lost_answer: do the work before raising.
        lasting: every later call of them fails as well, as if the storage were gone.
    """

    def __init__(
        self,
        store: Store,
        fail_at: int = 0,
        *,
        error: BaseException | Callable[[], BaseException] | None = None,
        methods: tuple[str, ...] = WRITES,
        lost_answer: bool = False,
        lasting: bool = False,
    ) -> None:
        super().__init__(store)
        self.fail_at = fail_at
        # (method, name of the object or None), in the order of the calls.
        self.calls: list[tuple[str, str | None]] = []
        self.failures = 0
        self._error = error
        self._methods = methods
        self._lost_answer = lost_answer
        self._lasting = lasting
        self._lock = threading.Lock()

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        if method not in self._methods:
            return super()._call(method, *args, **options)
        with self._lock:
            name = args[0] if args and isinstance(args[0], str) else None
            self.calls.append((method, name))
            number = len(self.calls)
            fails = number == self.fail_at or (self._lasting and 0 < self.fail_at < number)
            self.failures += fails
        if not fails:
            return super()._call(method, *args, **options)
        if self._lost_answer:
            super()._call(method, *args, **options)
        raise self._made_error(f"{method} {name or ''}".strip(), number)

    def _made_error(self, what: str, number: int) -> BaseException:
        if self._error is None:
            return StorageUnavailable(f"Made to fail: call {number}, {what}.")
        return self._error() if callable(self._error) else self._error


class AppendOnlyStore(Wrapper):
    """A place under an immutability policy: what was written once stays, and stays as it is.

    Stricter than a real one: also a put of the very same content is refused.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        # What somebody tried to change, in the order of the tries.
        self.refused: list[tuple[str, str]] = []

    def _is_there(self, name: str) -> bool:
        return any(found.name == name for found in self.within.list(name))

    def put(self, name: str, data: bytes) -> None:
        if self._is_there(name):
            self.refused.append(("put", name))
            raise ObjectExists(f"Object {name} is already in the {self.description}.")
        self.within.put(name, data)

    def delete(self, name: str) -> None:
        if self._is_there(name):
            self.refused.append(("delete", name))
            raise StorageDenied(f"Object {name} in the {self.description} is immutable.")
        self.within.delete(name)


class StorageFront(ThreadingHTTPServer):
    """Stands before Azurite, and does what Azurite never does.

    ``script`` holds what to do with the next requests of a method: None passes it on, "lost" passes
    it on and gives no answer, "cut" gives half of it; a status, a code and perhaps a message are
    the answer.
    """

    daemon_threads = True

    def __init__(self, account: Azurite) -> None:
        super().__init__(("127.0.0.1", 0), FrontHandler)
        self.account = account
        self.script: dict[str, list[Any]] = {}
        # The methods of the requests that came.
        self.seen: list[str] = []
        # Names of each page of a listing; for clients with a SAS only, which does not sign that.
        self.page_size: int | None = None
        self.url = f"http://127.0.0.1:{self.server_port}/{account.account_name}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away in the midst is what some tests are about.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class FrontHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StorageFront

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append(self.command)
        if self.server.page_size and "comp=list" in self.path:
            self.path += f"&maxresults={self.server.page_size}"
        script = self.server.script.get(self.command)
        action = script.pop(0) if script else None
        if isinstance(action, tuple):
            self._answer(*action)
            return
        answer, content = self.pass_on(body)
        if action == "lost":
            self.close_connection = True
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "keep-alive"}:
                self.send_header(name, value)
        if answer.getheader("Content-Length") is None and self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if action == "cut" else content)
        self.close_connection = action == "cut"

    do_GET = do_PUT = do_DELETE = do_HEAD = _handle

    def pass_on(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        target = urlsplit(self.server.account.blob_endpoint)
        connection = http.client.HTTPConnection(str(target.hostname), target.port)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, code: str, message: str = "No more is said.") -> None:
        xml = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        body = xml.encode() if code else b"<html>A page for people</html>"
        self.send_response_only(status, "Made up")
        if code:
            self.send_header("x-ms-error-code", code)
            self.send_header("x-ms-request-id", "made-up-request-id")
            self.send_header("x-ms-version", "2025-01-05")
        self.send_header("Content-Type", "application/xml" if code else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass
