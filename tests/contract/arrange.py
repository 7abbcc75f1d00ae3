"""Makes resource groups, disks, virtual machines and what is theirs, before a scenario begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from player import Player

COMPUTE = "2024-03-01"
DISK = "2023-04-02"
NETWORK = "2024-05-01"
GROUP = "2021-04-01"


def resource(player: Player, kind: str, name: str, version: str, group: str = "group-1") -> str:
    """Path and query of a resource of one of the providers."""
    provider = "Network" if version == NETWORK else "Compute"
    return (
        f"/subscriptions/{player.subscription}/resourceGroups/{group}/providers"
        f"/Microsoft.{provider}/{kind}/{name}?api-version={version}"
    )


def identity(path: str) -> str:
    """The resource id in a path and query."""
    return path.split("?", maxsplit=1)[0]


def make_group(player: Player, location: str, name: str = "group-1") -> None:
    path = f"/subscriptions/{player.subscription}/resourceGroups/{name}?api-version={GROUP}"
    player.arrange("PUT", path, {"location": location})


def make_nic(player: Player, location: str, name: str = "nic-1", group: str = "group-1") -> str:
    network = resource(player, "virtualNetworks", "net-1", NETWORK, group)
    prefixes = {"addressPrefix": "10.0.0.0/24"}
    body: dict[str, Any] = {
        "location": location,
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "default", "properties": prefixes}],
        },
    }
    player.arrange("PUT", network, body)
    subnet = {"id": f"{identity(network)}/subnets/default"}
    configuration = {"name": "one", "properties": {"subnet": subnet}}
    nic = resource(player, "networkInterfaces", name, NETWORK, group)
    body = {"location": location, "properties": {"ipConfigurations": [configuration]}}
    player.arrange("PUT", nic, body)
    return identity(nic)


def make_disk(
    player: Player,
    location: str,
    name: str = "disk-1",
    *,
    group: str = "group-1",
    premium: bool = False,
    envelope: dict[str, Any] | None = None,
    **more: Any,
) -> str:
    path = resource(player, "disks", name, DISK, group)
    properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1, **more}
    body: dict[str, Any] = {"location": location, "properties": properties}
    if premium:
        body |= {"sku": {"name": "Premium_LRS"}, "tags": {"a": "1"}}
    body |= envelope or {}
    player.arrange("PUT", path, body)
    return identity(path)


def linux(*, key: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {"disablePasswordAuthentication": key}
    if key:
        entry = {"path": "/home/me/.ssh/authorized_keys", "keyData": "ssh-rsa AAAA"}
        settings["ssh"] = {"publicKeys": [entry]}
    login = {} if key else {"adminPassword": "Not-a-secret-1"}
    return {"adminUsername": "me", **login, "linuxConfiguration": settings}


def windows() -> dict[str, Any]:
    return {
        "adminUsername": "me",
        "adminPassword": "Not-a-secret-1",
        "windowsConfiguration": {"enableAutomaticUpdates": True},
    }


def make_vm(
    player: Player,
    location: str,
    profile: dict[str, Any],
    *,
    publisher: str = "Canonical",
    offer: str = "ubuntu",
    attached: str | None = None,
    diagnostics: bool = False,
    os_disk: str | None = None,
    empty: str | None = None,
    number: int = 1,
    name: str | None = None,
    sku: str = "Premium_LRS",
    extra: dict[str, Any] | None = None,
    user_data: str | None = None,
    **more: Any,
) -> None:
    group = f"group-{number}"
    data: list[dict[str, Any]] = []
    if attached:
        data = [{"lun": 0, "createOption": "Attach", "managedDisk": {"id": attached}}]
    if empty:
        data = [{"lun": 2, "name": empty, "createOption": "Empty", "diskSizeGB": 2}]
    nic = make_nic(player, location, f"nic-{name or number}", group)
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": "Standard_DS1_v2"},
        "storageProfile": {
            "imageReference": {
                "publisher": publisher, "offer": offer, "sku": "any", "version": "latest"
            },
            "osDisk": {
                "createOption": "FromImage",
                "caching": "ReadWrite",
                "managedDisk": {"storageAccountType": sku},
            },
            "dataDisks": data,
        },
        "osProfile": {"computerName": "one", **profile},
        "networkProfile": {"networkInterfaces": [{"id": nic}]},
    }  # fmt: skip
    if diagnostics:
        properties["diagnosticsProfile"] = {"bootDiagnostics": {"enabled": True}}
    if user_data:
        properties["userData"] = user_data
    if os_disk:
        properties["storageProfile"]["osDisk"]["name"] = os_disk
    properties |= extra or {}
    path = resource(player, "virtualMachines", name or f"vm-{number}", COMPUTE, group)
    player.arrange("PUT", path, {"location": location, "properties": properties, **more})


def make_collection(player: Player, location: str, **more: Any) -> str:
    source = identity(resource(player, "virtualMachines", "vm-1", COMPUTE))
    path = resource(player, "restorePointCollections", "collection-1", COMPUTE)
    body = {"location": location, "properties": {"source": {"id": source}}, **more}
    player.arrange("PUT", path, body)
    return identity(path)


def make_point(player: Player, collection: str, point: str, **properties: Any) -> str:
    path = f"{collection}/restorePoints/{point}"
    body = {"properties": properties} if properties else {}
    player.arrange("PUT", f"{path}?api-version={COMPUTE}", body)
    return path


def snapshot_of(source: str, location: str, *, incremental: bool) -> dict[str, Any]:
    properties = {
        "creationData": {"createOption": "Copy", "sourceResourceId": source},
        "incremental": incremental,
    }
    return {"location": location, "properties": properties}


@dataclass
class World:
    """What is there at first, and what happens before the steps of these numbers.

    ``bodies`` are those of requests whose own were not recorded.
    """

    prepare: Callable[[Player], None]
    hooks: Mapping[int, Callable[[Player], None]] = field(default_factory=dict)
    bodies: Mapping[int, Any] = field(default_factory=dict)
