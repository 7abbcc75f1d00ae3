"""The servers that the benchmark talks to, each in a process of its own, and what is asked of them."""

from __future__ import annotations

import contextlib
import http.client
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local_azure.azurite import Azurite
from local_azure.config import Config
from local_azure.control_client import ControlClient

from .image import GIB, PIECE, Disk, Range, joined
from .measure import TESTS, BenchError

GROUP = "bench"
LUN = 0
SAS_SECONDS = 6 * 3600
_EXPORT = re.compile(r"^export (\w+)=(.*)$")
_RANGE = re.compile(
    r"<(PageRange|ClearRange)><Start>(\d+)</Start><End>(\d+)</End></(?:PageRange|ClearRange)>"
)
_MARKER = re.compile(r"<NextMarker>([^<]+)</NextMarker>")


@dataclass(frozen=True)
class Machine:
    """A virtual machine whose data disk at LUN 0 holds the benchmark's disk.

    Attributes:
        id: the machine's.
        name: its last part.
        disk_id: the data disk's.
        disk_size: bytes, whole GiB.
    """

    id: str
    name: str
    disk_id: str
    disk_size: int


class World:
    """A local Azure, and Azurites as they are asked for; both write below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None
        self._azurites = 0

    def __enter__(self) -> World:
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(TESTS),
            "TMPDIR": str(self.folder),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local_azure", "--no-storage"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        try:
            self._read_variables(self._process)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _read_variables(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if found := _EXPORT.match(line):
                self.variables[found[1]] = shlex.split(found[2])[0]
            if line.startswith("Interrupt"):
                return
        raise BenchError("Local Azure did not start.")

    def close(self) -> None:
        """Stop local Azure; it removes what it kept."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    # -- Azure

    @property
    def url(self) -> str:
        return self.variables["AZURE_CLOUD_ENVIRONMENT"]

    @property
    def ca_file(self) -> str:
        return self.variables["REQUESTS_CA_BUNDLE"]

    @cached_property
    def control(self) -> ControlClient:
        subscription = self.variables["AZURE_SUBSCRIPTION_ID"]
        return ControlClient(self.url, Path(self.ca_file), subscription)

    @cached_property
    def compute(self) -> Any:
        """An unmodified ComputeManagementClient that polls fast."""
        from azure.identity import ClientSecretCredential
        from azure.mgmt.compute import ComputeManagementClient

        config = Config()
        credential = ClientSecretCredential(
            config.tenant, config.client_id, config.secret, authority=self.url,
            disable_instance_discovery=True, connection_verify=self.ca_file,
        )  # fmt: skip
        return ComputeManagementClient(
            credential, config.subscription, base_url=self.url, polling_interval=0,
            credential_scopes=[f"{self.url}/.default"], connection_verify=self.ca_file,
        )  # fmt: skip

    def make_machine(self, name: str, disk: Disk) -> Machine:
        """A running machine with the base image as its data disk."""
        gigabytes = -(-disk.size // GIB)
        data = [{"lun": LUN, "image": str(disk.base), "size_gb": gigabytes}]
        vm = self.control.create_vm(GROUP, name, {"size_gb": 1}, data)
        held = vm["properties"]["storageProfile"]["dataDisks"][0]["managedDisk"]["id"]
        return Machine(vm["id"], name, held, gigabytes * GIB)

    def change(self, machine: Machine, disk: Disk) -> None:
        """Let the guest write what the second image has, each piece by itself."""
        with disk.changed.open("rb") as image:
            for at in disk.pieces:
                image.seek(at)
                self.control.guest_write(machine.id, LUN, at, image.read(PIECE))

    def snapshot(self, machine: Machine, name: str) -> str:
        """An incremental snapshot of the data disk; returns its name."""
        body = {
            "location": Config().location,
            "properties": {
                "incremental": True,
                "creationData": {"createOption": "Copy", "sourceResourceId": machine.disk_id},
            },
        }
        self.compute.snapshots.begin_create_or_update(GROUP, name, body).result()
        return name

    def drop_machine(self, machine: Machine, *snapshots: str) -> None:
        """Delete a machine, its data disk and these snapshots; their bytes go with them."""
        for snapshot in snapshots:
            self.compute.snapshots.begin_delete(GROUP, snapshot).result()
        self.compute.virtual_machines.begin_delete(GROUP, machine.name).result()
        self.compute.disks.begin_delete(GROUP, machine.disk_id.rpartition("/")[2]).result()

    def read_access(self, snapshot: str) -> str:
        """A signed URL to a snapshot's bytes."""
        body = {"access": "Read", "durationInSeconds": SAS_SECONDS}
        return self.compute.snapshots.begin_grant_access(GROUP, snapshot, body).result().access_sas

    def end_access(self, snapshot: str) -> None:
        self.compute.snapshots.begin_revoke_access(GROUP, snapshot).result()

    def upload_disk(self, name: str, size: int) -> str:
        """A new disk of ``size`` bytes, opened for upload; returns the signed URL to write to."""
        body = {
            "location": Config().location,
            "properties": {
                "creationData": {"createOption": "Upload", "uploadSizeBytes": size + 512}
            },
        }
        self.compute.disks.begin_create_or_update(GROUP, name, body).result()
        access = {"access": "Write", "durationInSeconds": SAS_SECONDS}
        return self.compute.disks.begin_grant_access(GROUP, name, access).result().access_sas

    def upload_digest(self, name: str) -> str:
        """End an upload; the digest of the disk that it became."""
        self.compute.disks.begin_revoke_access(GROUP, name).result()
        return self.control.digest(id=self.compute.disks.get(GROUP, name).id)

    def drop_upload(self, name: str) -> None:
        """Delete a disk whose upload is of no more use."""
        from azure.core.exceptions import HttpResponseError

        # The end of access wants a footer; a disk that nobody needs has none.
        with contextlib.suppress(HttpResponseError):
            self.compute.disks.begin_revoke_access(GROUP, name).result()
        self.compute.disks.begin_delete(GROUP, name).result()

    def page_ranges(self, url: str, since: str | None = None) -> list[Range]:
        """What a snapshot holds, or what changed since another one, without the VHD footer."""
        found: list[Range] = []
        headers = {"x-ms-version": "2021-12-02"}
        if since:
            headers["x-ms-previous-snapshot-url"] = since
        marker = ""
        while True:
            target = f"{url}&comp=pagelist" + (f"&marker={marker}" if marker else "")
            text, size = _get(target, self.ca_file, headers)
            found += [
                (int(start), min(int(end) + 1, size - 512))
                for kind, start, end in _RANGE.findall(text)
                if kind == "PageRange" and int(start) < size - 512
            ]
            following = _MARKER.search(text)
            if following is None:
                return joined(found)
            marker = following[1]

    # -- storage

    @contextlib.contextmanager
    def azurite(self) -> Iterator[Azurite]:
        """An empty storage account, gone with all its bytes afterwards."""
        self._azurites += 1
        folder = self.folder / f"azurite-{self._azurites}"
        try:
            with Azurite(folder) as azurite:
                yield azurite
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def account_sas(azurite: Azurite) -> str:
    """The query of a SAS that may do everything with an account's blobs."""
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    now = datetime.now(timezone.utc)
    return generate_account_sas(
        azurite.account_name,
        azurite.account_key,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(
            read=True, write=True, delete=True, list=True, add=True, create=True, update=True
        ),
        expiry=now + timedelta(seconds=SAS_SECONDS),
        start=now - timedelta(minutes=5),
    )


def make_container(azurite: Azurite, name: str) -> None:
    from azure.storage.blob import BlobServiceClient

    with BlobServiceClient.from_connection_string(azurite.connection_string) as service:
        service.create_container(name)


def stored_in(azurite: Azurite, container: str) -> int:
    """The bytes of all blobs in a container; 0 where there is none."""
    from azure.core.exceptions import ResourceNotFoundError
    from azure.storage.blob import ContainerClient

    client = ContainerClient.from_connection_string(azurite.connection_string, container)
    with client:
        try:
            return sum(blob.size for blob in client.list_blobs())
        except ResourceNotFoundError:
            return 0


def stored_below(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _get(url: str, ca_file: str, headers: dict[str, str]) -> tuple[str, int]:
    """The text of a page list, and the blob's size."""
    parts = urlsplit(url)
    context = ssl.create_default_context(cafile=ca_file)
    connection = http.client.HTTPSConnection(parts.netloc, context=context, timeout=60)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        response = connection.getresponse()
        text = response.read().decode("utf-8-sig")
    finally:
        connection.close()
    if response.status != 200:
        raise BenchError(f"A page list was refused with status {response.status}.")
    return text, int(response.headers["x-ms-blob-content-length"])
