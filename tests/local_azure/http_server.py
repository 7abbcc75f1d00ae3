"""Sockets: HTTPS with keep-alive in front of one application, and faults on the wire."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .http_types import Headers, Request, Response


@dataclass
class Delivery:
    """An answer and what is to go wrong while it is sent: ``reset``, ``truncate`` or nothing."""

    response: Response
    fault: str | None = None


Application = Callable[[Request], Delivery]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    server: Server

    def setup(self) -> None:
        # The handshake belongs to the connection's own thread: a silent client must not stop others.
        self.request.settimeout(600)
        self.request.do_handshake()
        super().setup()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunked()
        request = Request(self.command, self.path, Headers(self.headers.items()), body)
        delivery = self.server.application(request)
        if delivery.fault == "reset":
            self._reset()
            return
        self._send(delivery)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _chunked(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return b""
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _send(self, delivery: Delivery) -> None:
        response = delivery.response
        headers = Headers(response.headers.items())
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if "date" not in headers:
            self.send_header("Date", self.date_time_string())
        if "content-length" not in headers and response.status != 204:
            self.send_header("Content-Length", str(len(response.body)))  # type: ignore[arg-type]
        self.end_headers()
        if self.command == "HEAD":
            return
        if delivery.fault == "truncate":
            self._truncate(response)
            return
        body = response.body
        for piece in (body,) if isinstance(body, bytes) else body:
            self.wfile.write(piece)

    def _truncate(self, response: Response) -> None:
        whole = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        self.wfile.write(whole[: len(whole) // 2])
        self.wfile.flush()
        self._hang_up()

    def _reset(self) -> None:
        # The client sees a reset, and nothing of what may still be on its way.
        linger = struct.pack("ii", 1, 0)
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *args: object) -> None:
        """Nothing: the audit is the log."""


class Server(ThreadingHTTPServer):
    """Listens on a free port of 127.0.0.1 until stopped."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, application: Application, context: ssl.SSLContext, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.application = application
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        threading.Thread(
            target=self.serve_forever, args=(0.05,), name="local-azure", daemon=True
        ).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is its own affair."""
