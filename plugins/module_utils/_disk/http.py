# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole HTTP exchanges on connections that are kept: what the bytes of disks travel through.

There is no pipeline here: a disk is read in hundreds of thousands of requests, and each of them
should cost little more than its socket. Only what goes through a proxy is left to urllib3.
"""

from __future__ import annotations

import http.client
import logging
import os
import select
import ssl
import threading
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from .._errors import InputError, VmguardError, missing_library
from .._secrets import scrub

CONNECT_SECONDS, READ_SECONDS = 20.0, 60.0
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_CA_HINT = (
    "If a proxy or a private cloud signs with a CA of its own, name a file with that CA's"
    " certificate in REQUESTS_CA_BUNDLE."
)
_NETWORK_HINT = "Check the network and the proxy (HTTPS_PROXY, NO_PROXY)."
_IN_TIME = "it does not answer in time"
# What exceptions on the way mean, by the name of their class; the first that fits wins.
_CAUSES = (
    ("ProxyError", "the proxy refuses"),
    ("SSLError", "the TLS connection failed"),
    ("gaierror", "its name cannot be resolved"),
    ("NameResolutionError", "its name cannot be resolved"),
    ("TimeoutError", _IN_TIME),
    ("ConnectionRefusedError", "the connection is refused"),
    ("IncompleteRead", "the answer broke off before its end"),
    ("ConnectionError", "it closed the connection before the answer was complete"),
)


class TransferFailed(VmguardError):
    """No answer, or half of one, over the network.

    Args:
        passing: whether another attempt may go better; an untrusted certificate stays untrusted.
        slow: whether the other side did not answer in time.
    """

    default_code = "TransferFailed"

    def __init__(
        self, message: str, *, passing: bool = True, slow: bool = False, **details: Any
    ) -> None:
        super().__init__(message, **details)
        self.passing = passing
        self.slow = slow


class Answer(NamedTuple):
    """Status, headers (``headers.get`` looks up in any casing), and the whole body."""

    status: int
    headers: Any
    body: bytes


class HttpPool:
    """Requests over connections that are kept and shared by threads.

    Args:
        size: connections that are kept for a host; use as many as there are threads.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._hosts: dict[tuple[str, str], _Direct | _Proxied] = {}
        self._context: ssl.SSLContext | None = None

    def request(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None = None
    ) -> Answer:
        """One exchange; redirects are not followed, and nothing is tried again.

        Raises:
            TransferFailed: no complete answer.
            InputError: the certificates that the environment names cannot be read.
        """
        parts = urlsplit(url)
        place = (parts.scheme, parts.netloc)
        host = self._hosts.get(place) or self._host(*place)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        try:
            return host.exchange(method, target, headers, body)
        except host.failures as error:
            raise failed(parts.hostname, error) from error

    def close(self) -> None:
        """Close the connections that are not in use; a later request opens new ones."""
        with self._lock:
            hosts, self._hosts = self._hosts, {}
        for host in hosts.values():
            host.close()

    def __enter__(self) -> HttpPool:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _host(self, scheme: str, netloc: str) -> _Direct | _Proxied:
        with self._lock:
            if (scheme, netloc) not in self._hosts:
                if self._context is None:
                    self._context = _tls_context()
                proxy = _proxy_for(scheme, netloc)
                self._hosts[scheme, netloc] = (
                    _Proxied(f"{scheme}://{netloc}", proxy, self._size, self._context)
                    if proxy
                    else _Direct(scheme, netloc, self._size, self._context)
                )
            return self._hosts[scheme, netloc]


class _Direct:
    """One host, reached without a proxy."""

    failures = (http.client.HTTPException, OSError)

    def __init__(self, scheme: str, netloc: str, size: int, context: ssl.SSLContext) -> None:
        self._scheme, self._netloc, self._context = scheme, netloc, context
        self._size = size
        self._idle: deque[http.client.HTTPConnection] = deque()

    def exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None
    ) -> Answer:
        connection = self._take()
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            data = response.read()
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < self._size:
            self._idle.append(connection)
        else:
            connection.close()
        return Answer(response.status, response.headers, data)

    def _take(self) -> http.client.HTTPConnection:
        """The connection that was used last, unless the other side has closed it; or a new one."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._connect()
            if connection.sock is not None and not _readable(connection.sock):
                return connection
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection
        if self._scheme == "https":
            connection = http.client.HTTPSConnection(
                self._netloc, timeout=CONNECT_SECONDS, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(self._netloc, timeout=CONNECT_SECONDS)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        connection.sock.settimeout(READ_SECONDS)
        return connection

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


class _Proxied:
    """One host behind a proxy."""

    def __init__(self, base: str, proxy: str, size: int, context: ssl.SSLContext) -> None:
        try:
            import urllib3
        except ImportError as error:
            raise missing_library("urllib3", "to read disks through a proxy") from error
        self.failures = (urllib3.exceptions.HTTPError,)
        self._base = base
        parts = urlsplit(proxy)
        login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        self._manager = urllib3.ProxyManager(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
            maxsize=size,
            block=True,
            ssl_context=context,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            proxy_headers=urllib3.make_headers(proxy_basic_auth=login) if parts.username else None,
        )
        # It writes whole URLs into its log.
        for name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.poolmanager"):
            logging.getLogger(name).addFilter(_scrub_record)

    def exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None
    ) -> Answer:
        response = self._manager.request(
            method, self._base + target, body=body, headers=headers, retries=False,
            redirect=False, decode_content=False, enforce_content_length=True,
        )  # fmt: skip
        return Answer(response.status, response.headers, response.data)

    def close(self) -> None:
        self._manager.clear()


def _readable(sock: Any) -> bool:
    """Whether an idle connection has something to say: that it is closed."""
    watch = select.poll()
    watch.register(sock, select.POLLIN)
    return bool(watch.poll(0))


def _scrub_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = scrub(record.getMessage()), ()
    return True


def _proxy_for(scheme: str, netloc: str) -> str:
    """The proxy's URL as the environment has it, "" for none."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all") or ""
    if not proxy or proxy_bypass(netloc):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _tls_context() -> ssl.SSLContext:
    """TLS that trusts the environment's certificates, else certifi's, else the system's."""
    for variable in CA_VARIABLES:
        if not (named := os.environ.get(variable)):
            continue
        where = {"capath": named} if Path(named).is_dir() else {"cafile": named}
        try:
            return ssl.create_default_context(**where)
        except OSError as error:
            raise InputError(
                f"The certificates that {variable} names cannot be read from {named}.",
                hint=f"Name a file with certificates in PEM in {variable}, or unset it.",
            ) from error
    try:
        import certifi
    except ImportError:
        return ssl.create_default_context()
    return ssl.create_default_context(cafile=certifi.where())


def failed(host: str | None, error: BaseException) -> TransferFailed:
    """Our error for an exception of a lower layer (to be raised ``from error``)."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        nested = next((one for one in link.args if isinstance(one, BaseException)), None)
        link = nested or link.__cause__ or link.__context__
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    cause = next((text for name, text in _CAUSES if name in names), "the connection failed")
    untrusted = "SSLCertVerificationError" in names
    if untrusted:
        cause = "its TLS certificate is not trusted by this machine"
    return TransferFailed(
        f"No complete answer from {host}: {cause}.",
        passing=not untrusted,
        slow=cause == _IN_TIME,
        hint=_CA_HINT if untrusted else _NETWORK_HINT,
    )
