"""Start and stop a private local Azure, for tests, the demo and ``make azure``."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from .app import App
from .azurite import Azurite
from .config import Config
from .control_client import ControlClient
from .http_server import Server
from .tls import server_context, write_certificates


class LocalAzure:
    """One local Azure in this process, in a directory that is removed with it.

    Args:
        config: its settings; those of the default profile when not given.
        storage: start Azurite beside it.
        port: where it listens; a free port when 0.
    """

    def __init__(
        self, config: Config | None = None, *, storage: bool = False, port: int = 0
    ) -> None:
        self.config = config or Config()
        self._with_storage = storage
        self._port = port
        self.storage: Azurite | None = None

    def start(self) -> LocalAzure:
        self.directory = Path(tempfile.mkdtemp(prefix="local-azure-"))
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        return self

    def _start(self) -> None:
        self.ca_file, server_file = write_certificates(self.directory)
        self.app = App(self.config, self.directory / "disks")
        self._server = Server(self.app.handle, server_context(server_file), self._port)
        self.url = self._server.url
        self.app.bind(self.url)
        self._server.start()
        self.control = ControlClient(self.url, self.ca_file, self.config.subscription)
        if self._with_storage:
            self.storage = Azurite(self.directory / "azurite")
            self.storage.start()

    def stop(self) -> None:
        if self.storage is not None:
            self.storage.stop()
        self._server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> LocalAzure:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        """The variables with which clients, the collection among them, reach this local Azure."""
        variables = {
            "AZURE_SUBSCRIPTION_ID": self.config.subscription,
            "AZURE_TENANT": self.config.tenant,
            "AZURE_CLIENT_ID": self.config.client_id,
            "AZURE_SECRET": self.config.secret,
            "AZURE_CLOUD_ENVIRONMENT": self.url,
            "REQUESTS_CA_BUNDLE": str(self.ca_file),
        }
        if self.storage is not None:
            variables["AZURE_STORAGE_CONNECTION_STRING"] = self.storage.connection_string
        return variables

    def process_environment(self) -> dict[str, str]:
        """This process's environment without any other Azure's variables, and with these."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AZURE_", "ARM_", "ANSIBLE_AZURE_"))
        }
        return {**kept, **self.environment()}
