# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP below azure-storage-blob, made for many threads, large bodies and slow lines."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from .._errors import WriteRefused
from .interface import MAX_OBJECT

# Connections that are kept for the next request; more threads than this would throw theirs away.
CONNECTIONS = 32
# Bytes. A time-out is for the sending of one piece: for a whole body, a slow line needs longer.
PIECE = 256 << 10
# Bytes. What is read at a time; a whole object, since all pieces would be copied into one again.
READ_BLOCK = MAX_OBJECT + 1
# Seconds to connect and to send one piece, and to wait for an answer or its next bytes.
CONNECT_SECONDS = 20
READ_SECONDS = 60
# How often a request is sent again: until there was a first answer (an address may be mistyped), and
# after it (a line may be down for two minutes).
FIRST_RETRIES = 3
RETRIES = 8
# Seconds before the second try; each further wait is three times as long, up to the longest.
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0

_READS = ("GET", "HEAD", "OPTIONS")


def blob_transport(*, read_only: bool = False, connect_seconds: float = CONNECT_SECONDS) -> Any:
    """An azure-core transport for one storage account, for use from many threads.

    CAs and proxies are those of the environment (REQUESTS_CA_BUNDLE, HTTPS_PROXY).

    Args:
        read_only: raise WriteRefused for every request that is not a read.
        connect_seconds: to connect, and for sending each piece of a body.
    """
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    class Adapter(HTTPAdapter):
        def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            if read_only and request.method not in _READS:
                path = request.url.partition("?")[0]
                raise WriteRefused(f"Check mode: {request.method} {path} was not sent.")
            if isinstance(request.body, bytes) and len(request.body) > PIECE:
                request.body = _Pieces(request.body)
            response = super().send(request, *args, **kwargs)
            response.raw.stream = _without_unpacking(response.raw.stream)
            return response

    class Session(requests.Session):
        environment: dict[str, Any] | None = None

        def merge_environment_settings(
            self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
        ) -> dict[str, Any]:
            if self.environment is None:
                with requests.Session() as fresh:
                    self.environment = dict(
                        fresh.merge_environment_settings(url, proxies or {}, False, verify, cert)
                    )
            return {**self.environment, "stream": stream}

    session = Session()
    # The environment is the same for all requests, and reading it costs as much as a request. A netrc
    # file would even replace the login.
    session.trust_env = False
    session.headers["Accept-Encoding"] = "identity"
    # The pipeline retries; below it, a failure is a failure.
    never = Retry(total=False, redirect=False, raise_on_status=False)
    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter(pool_maxsize=CONNECTIONS, max_retries=never))
    return RequestsTransport(
        session=session,
        connection_timeout=connect_seconds,
        read_timeout=READ_SECONDS,
        connection_data_block_size=READ_BLOCK,
    )


def _without_unpacking(stream: Callable[..., Iterator[bytes]]) -> Callable[..., Iterator[bytes]]:
    """Bytes as they are stored: who says that they are compressed may be lying.

    It also saves a copy, which urllib3 makes of everything that it might have to unpack.
    """

    def raw(amount: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        del decode_content
        return stream(amount, decode_content=False)

    return raw


def retry_policy(retries: int = RETRIES) -> Any:
    """azure-storage's retries, with waits of ours, and none where they are of no use.

    The SDK's own would ask for a refused token again and again, and wait 28 s in the midst.
    """
    from azure.core.exceptions import ClientAuthenticationError
    from azure.storage.blob import ExponentialRetry

    class Patience(ExponentialRetry):
        answered = False

        def send(self, request: Any) -> Any:
            response = super().send(request)
            self.answered = True
            return response

        def increment(
            self,
            settings: dict[str, Any],
            request: Any,
            response: Any = None,
            error: Any = None,
            **more: Any,
        ) -> bool:
            if isinstance(error, ClientAuthenticationError):
                return False
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                return False
            self.answered = self.answered or response is not None
            if not self.answered and settings["count"] >= FIRST_RETRIES:
                return False
            return super().increment(settings, request, response=response, error=error, **more)

        def get_backoff_time(self, settings: dict[str, Any]) -> float:
            wait = min(LONGEST_WAIT, FIRST_WAIT * 3 ** (settings["count"] - 1))
            # Many threads that failed at one moment do not come back at one moment.
            return wait * random.uniform(0.8, 1.2)  # noqa: S311

    each = dict.fromkeys(("retry_total", "retry_connect", "retry_read", "retry_status"), retries)
    return Patience(**each)


class _Pieces:
    """A body as an iterable: each piece is sent with a time-out of its own, and none is copied."""

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)

    def __iter__(self) -> Iterator[memoryview]:
        for start in range(0, len(self._body), PIECE):
            yield self._body[start : start + PIECE]
