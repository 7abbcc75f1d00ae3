"""A local Azure without sockets that has virtual machines, networks and resource groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compute_world import COMPUTE, GROUP_ID, SUBSCRIPTION, Answer, World

from local_azure.arm.resources import Resource
from local_azure.compute.virtual_machines import VirtualMachines, create_vm_directly
from local_azure.network import Network
from local_azure.resource_groups import ResourceGroups

NETWORK = f"{GROUP_ID}/providers/Microsoft.Network"
SUBNET = f"{NETWORK}/virtualNetworks/net/subnets/default"
GIB = 1 << 30
PASSWORD = "Not-a-secret-1"


class VmWorld(World):
    """The world of the disks, and virtual machines in it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.machines = VirtualMachines(self.state)
        for provider in (self.machines, Network(self.state), ResourceGroups(self.state)):
            provider.routes(self.router)

    def direct(self, name: str = "vm1", luns: tuple[int, ...] = (0, 1), **more: Any) -> Resource:
        """A machine as the control interface makes it."""
        given: dict[str, Any] = {"location": "westus", "size": "Standard_D8s_v5", **more}
        return create_vm_directly(
            self.state, subscription=SUBSCRIPTION, group="MyGroup", name=name, os_type="Linux",
            os_image=self.state.store.create(GIB), os_gb=1,
            data=[{"lun": lun, "image": self.state.store.create(GIB), "size_gb": 1}
                  for lun in luns],
            **given,
        )  # fmt: skip

    def subnet(self) -> str:
        body = {
            "location": "westus",
            "properties": {
                "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
                "subnets": [{"name": "default", "properties": {"addressPrefix": "10.1.0.0/24"}}],
            },
        }
        assert self.call("PUT", f"{NETWORK}/virtualNetworks/net", body).status in (200, 201)
        return SUBNET

    def nic(self, name: str, location: str = "westus") -> str:
        target = f"{NETWORK}/networkInterfaces/{name}"
        answer = self.call("PUT", target, nic_body(self.subnet(), location))
        assert answer.status in (200, 201), answer
        return target

    def request(self, name: str, **properties: Any) -> dict[str, Any]:
        """What creates a machine from an image with an interface of its own."""
        return {
            "location": "westus",
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                "storageProfile": {
                    "imageReference": {"publisher": "Canonical", "offer": "x", "sku": "server"},
                    "osDisk": {"createOption": "FromImage"},
                },
                "osProfile": {
                    "computerName": name,
                    "adminUsername": "me",
                    "adminPassword": PASSWORD,
                },
                "networkProfile": {"networkInterfaces": [{"id": self.nic(f"{name}-nic")}]},
                **properties,
            },
        }

    def put_vm(self, name: str, body: dict[str, Any]) -> Answer:
        return self.call("PUT", vm_path(name), body)

    def power_state(self, name: str) -> str:
        return self.get(f"{vm_path(name)}/instanceView")["statuses"][1]["code"]

    def disk_state(self, identity: str) -> str:
        return self.get(identity)["properties"]["diskState"]


def vm_path(name: str) -> str:
    return f"{COMPUTE}/virtualMachines/{name}"


def nic_body(subnet: str, location: str = "westus", **properties: Any) -> dict[str, Any]:
    configuration = {"name": "one", "properties": {"subnet": {"id": subnet}, **properties}}
    return {"location": location, "properties": {"ipConfigurations": [configuration]}}


def attached(disk: Resource, **more: Any) -> dict[str, Any]:
    """An entry that attaches a disk."""
    return {"createOption": "Attach", "managedDisk": {"id": disk.id}, **more}
