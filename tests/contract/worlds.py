"""What each scenario presupposes: resource groups, disks, virtual machines and what is theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from player import REPLICATION_SECONDS, Player

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


def _make_group(player: Player, location: str, name: str = "group-1") -> None:
    path = f"/subscriptions/{player.subscription}/resourceGroups/{name}?api-version={GROUP}"
    player.arrange("PUT", path, {"location": location})


def _make_nic(player: Player, location: str, name: str = "nic-1", group: str = "group-1") -> str:
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


def _make_disk(
    player: Player,
    location: str,
    name: str = "disk-1",
    *,
    group: str = "group-1",
    premium: bool = False,
    **more: Any,
) -> str:
    path = resource(player, "disks", name, DISK, group)
    properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1, **more}
    body: dict[str, Any] = {"location": location, "properties": properties}
    if premium:
        body |= {"sku": {"name": "Premium_LRS"}, "tags": {"a": "1"}}
    player.arrange("PUT", path, body)
    return identity(path)


def _linux(*, key: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {"disablePasswordAuthentication": key}
    if key:
        entry = {"path": "/home/me/.ssh/authorized_keys", "keyData": "ssh-rsa AAAA"}
        settings["ssh"] = {"publicKeys": [entry]}
    login = {} if key else {"adminPassword": "Not-a-secret-1"}
    return {"adminUsername": "me", **login, "linuxConfiguration": settings}


def _windows() -> dict[str, Any]:
    return {
        "adminUsername": "me",
        "adminPassword": "Not-a-secret-1",
        "windowsConfiguration": {"enableAutomaticUpdates": True},
    }


def _make_vm(
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
    **more: Any,
) -> None:
    group = f"group-{number}"
    data: list[dict[str, Any]] = []
    if attached:
        data = [{"lun": 0, "createOption": "Attach", "managedDisk": {"id": attached}}]
    if empty:
        data = [{"lun": 2, "name": empty, "createOption": "Empty", "diskSizeGB": 2}]
    nic = _make_nic(player, location, f"nic-{number}", group)
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": "Standard_DS1_v2"},
        "storageProfile": {
            "imageReference": {
                "publisher": publisher, "offer": offer, "sku": "any", "version": "latest"
            },
            "osDisk": {
                "createOption": "FromImage",
                "caching": "ReadWrite",
                "managedDisk": {"storageAccountType": "Premium_LRS"},
            },
            "dataDisks": data,
        },
        "osProfile": {"computerName": "one", **profile},
        "networkProfile": {"networkInterfaces": [{"id": nic}]},
    }  # fmt: skip
    if diagnostics:
        properties["diagnosticsProfile"] = {"bootDiagnostics": {"enabled": True}}
    if os_disk:
        properties["storageProfile"]["osDisk"]["name"] = os_disk
    path = resource(player, "virtualMachines", f"vm-{number}", COMPUTE, group)
    player.arrange("PUT", path, {"location": location, "properties": properties, **more})


def _make_collection(player: Player, location: str, **more: Any) -> str:
    source = identity(resource(player, "virtualMachines", "vm-1", COMPUTE))
    path = resource(player, "restorePointCollections", "collection-1", COMPUTE)
    body = {"location": location, "properties": {"source": {"id": source}}, **more}
    player.arrange("PUT", path, body)
    return identity(path)


def _make_point(player: Player, collection: str, point: str, **properties: Any) -> str:
    path = f"{collection}/restorePoints/{point}"
    body = {"properties": properties} if properties else {}
    player.arrange("PUT", f"{path}?api-version={COMPUTE}", body)
    return path


def _snapshot_of(source: str, location: str, *, incremental: bool) -> dict[str, Any]:
    properties = {
        "creationData": {"createOption": "Copy", "sourceResourceId": source},
        "incremental": incremental,
    }
    return {"location": location, "properties": properties}


# -- one function for each scenario


def _disk_from_point(player: Player) -> None:
    _make_group(player, "westus")
    _make_vm(player, "westus", _linux(key=True), attached=_make_disk(player, "westus", "disk-0"))
    _make_point(player, _make_collection(player, "westus"), "point-1")


def _empty_collection(player: Player) -> None:
    _make_group(player, "westus")
    _make_vm(player, "westus", _linux(key=True))
    _make_collection(player, "westus")


def _machine_with_password(player: Player) -> None:
    _make_group(player, "eastus2euap")
    _make_vm(player, "eastus2euap", _linux(key=False))


def _machine_with_key(player: Player) -> None:
    _make_group(player, "westus")
    _make_vm(player, "westus", _linux(key=True))


def _machine_with_tags(player: Player) -> None:
    _make_group(player, "westus")
    _make_vm(player, "westus", _linux(key=False), os_disk="disk-1", tags={})


def _two_machines(player: Player) -> None:
    for number, disks in (
        (1, {"os_disk": "disk-1"}),
        (2, {"os_disk": "disk-4", "empty": "disk-3"}),
    ):
        _make_group(player, "westus", f"group-{number}")
        _make_vm(player, "westus", _linux(key=False), number=number, tags={}, **disks)


def _machine_to_swap(player: Player) -> None:
    _make_group(player, "westus")
    _make_vm(player, "westus", _linux(key=True), os_disk="disk-2", tags={})


def _machine_with_identity(player: Player) -> None:
    _make_group(player, "westus")
    group = f"/subscriptions/{player.subscription}/resourceGroups/group-1"
    user = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/identity-2"
    both = {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {user: {}}}
    _make_vm(player, "westus", _linux(key=True), os_disk="disk-1", tags={}, identity=both)


def _windows_machine(player: Player) -> None:
    _make_group(player, "centraluseuap")
    disk = _make_disk(player, "centraluseuap")
    windows = {"publisher": "MicrosoftWindowsServer", "offer": "WindowsServer"}
    _make_vm(player, "centraluseuap", _windows(), attached=disk, diagnostics=True, **windows)


def _group_only(player: Player) -> None:
    _make_group(player, "eastus")


def _group_and_machine(player: Player) -> None:
    _make_group(player, "eastus")
    _make_vm(player, "eastus", _linux(key=True))


def _interface_only(player: Player) -> None:
    _make_group(player, "eastus")
    _make_nic(player, "eastus")


def _incremental_snapshot(player: Player) -> None:
    _make_group(player, "westus")
    _make_group(player, "eastus", "group-2")
    disk = _make_disk(player, "westus")
    body = {**_snapshot_of(disk, "westus", incremental=True), "tags": {}}
    player.arrange("PUT", resource(player, "snapshots", "snapshot-1", DISK), body)


def _disk_elsewhere(player: Player) -> None:
    _make_group(player, "westus")
    _make_disk(player, "westus")


def _disk(player: Player) -> None:
    _make_group(player, "eastus2")
    _make_disk(player, "eastus2", osType="Linux")


def _disks_to_change(player: Player) -> None:
    """A Premium SSD in each of the groups of the recording, but for the one that it makes."""
    places = ("westus", "westus", "westus", "westus", "centraluseuap", "eastus2euap")
    disks = ("disk-1", "disk-2", "disk-3", "disk-2", "disk-4")
    sizes = (1, 5, 20, 5, 10)
    for number, location in enumerate(places, start=1):
        _make_group(player, location, f"group-{number}")
    for number, (disk, size) in enumerate(zip(disks, sizes, strict=True), start=1):
        _make_disk(
            player, places[number - 1], disk, group=f"group-{number}", premium=True,
            diskSizeGB=size, hyperVGeneration="V1",
        )  # fmt: skip


def _copied_point(player: Player) -> None:
    _machine_with_key(player)
    collection = _make_collection(player, "westus")
    point = _make_point(player, collection, "point-1")
    path = resource(player, "restorePointCollections", "collection-2", COMPUTE)
    body = {"location": "eastus", "properties": {"source": {"id": collection}}}
    player.arrange("PUT", path, body)
    _make_point(player, identity(path), "point-2", sourceRestorePoint={"id": point})
    player.local.control.advance(REPLICATION_SECONDS)


# -- what happens between two steps without having been recorded


def _start_snapshot(player: Player) -> None:
    disk = identity(resource(player, "disks", "disk-1", DISK))
    path = resource(player, "snapshots", "snapshot-1", "2022-03-02")
    body = _snapshot_of(disk, "eastus2", incremental=False)
    player.arrange("PUT", path, body, finish=False)


def _delete_snapshot(player: Player) -> None:
    player.arrange("DELETE", resource(player, "snapshots", "snapshot-1", DISK))
    player.local.control.advance(60)  # its provider has forgotten it, Resource Manager answers


def _start_compute_operation(player: Player) -> None:
    """An operation of the compute provider, whichever: only its polls are looked at."""
    path = resource(player, "virtualMachines", "vm-1/reapply", COMPUTE)
    player.arrange("POST", path, finish=False)


def _end_operation(player: Player) -> None:
    """Its polls were left out of the recording."""
    player.local.control.advance(REPLICATION_SECONDS)


@dataclass
class World:
    """What is there at first, and what happens before the steps of these numbers."""

    prepare: Callable[[Player], None]
    hooks: Mapping[int, Callable[[Player], None]] = field(default_factory=dict)


WORLDS = {
    "disk_from_disk_restore_point": World(_disk_from_point),
    "disk_update_by_put": World(_disks_to_change, dict.fromkeys((2, 4, 7, 9, 11), _end_operation)),
    "restore_point_collection_delete": World(_empty_collection),
    "restore_point_create": World(_machine_with_password),
    "restore_point_cross_region_copy": World(_machine_with_key),
    "restore_point_exclude_disks_instance_view_404": World(_windows_machine),
    "sdk_disks_and_grant_access": World(_group_only),
    "sdk_snapshots": World(
        _group_and_machine,
        dict.fromkeys((8, 11, 22), _start_compute_operation),
    ),
    "sdk_virtual_machine_and_extension": World(_interface_only),
    "snapshot_copy_start": World(_incremental_snapshot),
    "snapshot_errors_404": World(_disk_elsewhere),
    "snapshot_grant_revoke_access": World(_disk, {0: _start_snapshot, 12: _delete_snapshot}),
    "swagger_examples_disk_restore_point": World(_copied_point),
    "vm_data_disk_attach_detach": World(
        _two_machines, dict.fromkeys((5, 6, 8, 9, 10), _end_operation)
    ),
    "vm_identity_patch": World(_machine_with_identity, dict.fromkeys((5, 7, 9), _end_operation)),
    "vm_os_disk_swap": World(_machine_to_swap),
    "vm_put_tags_only": World(_machine_with_tags),
}
