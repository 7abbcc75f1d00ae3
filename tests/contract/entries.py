"""What the requests of scenarios are made of. ``@`` stands for the subscription."""

from __future__ import annotations

from typing import Any

# A request is (method, path, body or nothing); the other two ask for the operation started last.
POLL = ("poll",)
MONITOR = ("monitor",)
Entry = tuple[Any, ...]

SUBSCRIPTION = "/subscriptions/@"
GROUP = f"{SUBSCRIPTION}/resourceGroups/group-1/providers/Microsoft.Compute"
VM = "virtualMachines/vm-1"
DISK = "disks/disk-1"


def resource_id(path: str) -> dict[str, str]:
    """A reference to a resource of the compute provider."""
    return {"id": f"{GROUP}/{path}"}


def created(option: str, source: str | None = None, **more: Any) -> dict[str, Any]:
    """The properties of a disk or a snapshot."""
    creation = {"createOption": option}
    if source:
        creation["sourceResourceId"] = source
    return {"creationData": creation, **more}


NETWORK = {
    "networkInterfaces": [
        {
            "id": f"{GROUP}/networkInterfaces/nic-1".replace("Compute", "Network"),
            "properties": {"primary": True},
        }
    ]
}
