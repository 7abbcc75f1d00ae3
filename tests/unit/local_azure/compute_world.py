"""A local Azure without sockets: its state, a router, a VM put in place by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local_azure.arm.operations import Operations
from local_azure.arm.resources import Resource, Resources, new_guid
from local_azure.arm.router import Router
from local_azure.clock import Clock
from local_azure.compute.disk_model import attach, new_disk
from local_azure.compute.disk_restore_points import DiskRestorePoints
from local_azure.compute.disks import Disks
from local_azure.compute.restore_point_collections import RestorePointCollections
from local_azure.compute.restore_points import RestorePoints
from local_azure.compute.snapshots import Snapshots
from local_azure.config import Config
from local_azure.errors import ArmError
from local_azure.http_types import Headers, Request
from local_azure.state import State
from local_azure.storage.disk_store import DiskStore
from local_azure.storage.image import Image
from local_azure.storage.sas import SasRegistry

SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"
GROUP_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/MyGroup"
COMPUTE = f"{GROUP_ID}/providers/Microsoft.Compute"
API = "2024-11-01"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: Any = field(default=None)

    @property
    def error(self) -> str:
        return self.body["error"]["code"]

    @property
    def message(self) -> str:
        return self.body["error"]["message"]


class World:
    def __init__(self, path: Path) -> None:
        clock = Clock()
        self.clock = clock
        self.state = State(
            Config(),
            clock,
            Resources(),
            Operations(clock),
            DiskStore(path),
            SasRegistry(clock, "https://127.0.0.1:1"),
        )
        self.config = self.state.config
        self.state.operations.base_url = "https://127.0.0.1:1"
        self.router = Router()
        self.state.operations.routes(self.router)
        for provider in (
            Disks,
            Snapshots,
            RestorePointCollections,
            RestorePoints,
            DiskRestorePoints,
        ):
            provider(self.state).routes(self.router)
        group = {"id": GROUP_ID, "name": "MyGroup", "location": "westus", "properties": {}}
        self.state.resources.put(Resource(GROUP_ID, "Microsoft.Resources/resourceGroups", group))

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        api: str = API,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        if target.startswith("https:"):
            parts = urlsplit(target)
            target = f"{parts.path}?{parts.query}"
        else:
            target = f"{target}{'&' if '?' in target else '?'}api-version={api}"
        raw = (
            body
            if isinstance(body, bytes)
            else json.dumps(body).encode()
            if body is not None
            else b""
        )
        request = Request(method, target, Headers((headers or {}).items()), raw)
        self.state.operations.settle()
        try:
            found = self.router.find(request)
            assert found, target
            response = found[0](found[1])
        except ArmError as error:
            response = error.response()
        assert isinstance(response.body, bytes)
        parsed = json.loads(response.body) if response.body else None
        return Answer(response.status, dict(response.headers), parsed)

    def poll(self, answer: Answer) -> dict[str, Any]:
        """What the operation of a 201 or 202 says now."""
        assert answer.status in (201, 202), answer
        return self.call("GET", answer.headers["Azure-AsyncOperation"]).body

    def done(self, method: str, target: str, body: Any = None) -> dict[str, Any]:
        """Do it, and see the operation through."""
        result = self.poll(self.call(method, target, body))
        assert result["status"] == "Succeeded", result
        return result

    def get(self, target: str) -> dict[str, Any]:
        answer = self.call("GET", target)
        assert answer.status == 200, answer
        return answer.body

    def image(self, target: str) -> Image:
        found = self.state.resources.get(target)
        assert found is not None
        return found.hidden["image"]

    def disk(self, name: str, *, location: str = "westus", **more: Any) -> Resource:
        size = more.pop("size_gb", 1)
        return new_disk(
            self.state,
            subscription=SUBSCRIPTION,
            group="MyGroup",
            name=name,
            location=location,
            image=self.state.store.create(1 << 20),
            size_gb=size,
            creation_data={"createOption": "Empty"},
            **more,
        )

    def vm(
        self,
        name: str,
        data: int = 1,
        *,
        system: str = "Linux",
        power: str = "running",
        location: str = "westus",
    ) -> Resource:
        identity = f"{COMPUTE}/virtualMachines/{name}"
        system_disk = self.disk(f"{name}-os", location=location, os_type=system)
        data_disks = [self.disk(f"{name}-data{lun}", location=location) for lun in range(data)]
        for disk in (system_disk, *data_disks):
            attach(self.state, disk, identity, reserved=power == "deallocated")
        properties = {
            "vmId": new_guid(),
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {
                "osDisk": {"osType": system, **_entry(system_disk)},
                "dataDisks": [{"lun": lun, **_entry(disk)} for lun, disk in enumerate(data_disks)],
            },
            "osProfile": {"computerName": name},
            "securityProfile": {"securityType": "TrustedLaunch"},
            "provisioningState": "Succeeded",
        }
        body = {"name": name, "id": identity, "location": location, "properties": properties}
        hidden = {"power": power, "agent": True}
        return self.state.resources.put(
            Resource(identity, "Microsoft.Compute/virtualMachines", body, hidden)
        )

    def collection(self, name: str, source: str, location: str = "westus") -> str:
        target = f"{COMPUTE}/restorePointCollections/{name}"
        body = {"location": location, "properties": {"source": {"id": source}}}
        assert self.call("PUT", target, body).status == 201
        return target


def _entry(disk: Resource) -> dict[str, Any]:
    return {
        "name": disk.name,
        "createOption": "Attach",
        "caching": "ReadOnly",
        "managedDisk": {"storageAccountType": "Standard_LRS", "id": disk.id},
        "diskSizeGB": 1,
    }
