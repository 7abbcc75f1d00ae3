"""Refusals and operations that fail: what they presuppose, and the project's own requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from arrange import (
    COMPUTE,
    DISK,
    World,
    linux,
    make_disk,
    make_group,
    make_nic,
    make_vm,
    resource,
    snapshot_of,
    windows,
)
from entries import GROUP, POLL, SUBSCRIPTION, VM, Entry
from player import Player

_NO_BODY: dict[str, Any] = {"location": "eastus", "properties": {}}
_USER = {"computerName": "one", "adminUsername": "me", "adminPassword": "Not-a-secret-1"}


def _machine(group: int, **more: Any) -> dict[str, Any]:
    """A PUT of a machine from an image, in place of one whose body was not recorded."""
    nic = (
        f"/subscriptions/@/resourceGroups/group-{group}/providers/Microsoft.Network"
        f"/networkInterfaces/nic-{group}"
    )
    properties = {
        "hardwareProfile": {"vmSize": "Standard_DS1_v2"},
        "storageProfile": {
            "imageReference": {"publisher": "a", "offer": "b", "sku": "c", "version": "latest"},
            "osDisk": {"createOption": "FromImage"},
        },
        "osProfile": _USER,
        "networkProfile": {"networkInterfaces": [{"id": nic}]},
        **more.pop("properties", {}),
    }
    return {"location": "eastus", "properties": properties, **more}


_ERROR_BODIES: dict[int, Any] = {
    4: _machine(5, properties={"osProfile": {"computerName": "one"}}),
    5: _machine(6, properties={"osProfile": {**_USER, "secrets": [{"sourceVault": {"id": "a"}}]}}),
    6: _machine(7, plan={"publisher": "no-such-publisher", "product": "b", "name": "c"}),
    **dict.fromkeys((7, 8, 9, 12), _NO_BODY),
    19: _machine(19),
}


def _groups_of_refusals(player: Player) -> None:
    """A group for each recording that one of the refusals is from, and two machines."""
    for number in range(1, 24):
        make_group(player, "eastus", f"group-{number}")
    spot = {"priority": "Spot", "billingProfile": {"maxPrice": 1000.0}}
    for number, extra in ((1, spot), (2, {})):
        make_vm(player, "eastus", windows(), number=number, name="vm-1", extra=extra)
    for number in (5, 6, 7, 19):
        make_nic(player, "eastus", f"nic-{number}", f"group-{number}")


def _evict(player: Player) -> None:
    """A machine that is gone."""
    make_vm(player, "eastus", linux(key=True), number=4, name="vm-3")
    player.arrange("DELETE", resource(player, "virtualMachines", "vm-3", COMPUTE, "group-4"))


def _gone_disk(player: Player) -> None:
    make_disk(player, "eastus", "disk-1", group="group-21")
    player.arrange("DELETE", resource(player, "disks", "disk-1", DISK, "group-21"))


def _gone_snapshot(player: Player) -> None:
    disk = make_disk(player, "eastus", "disk-9", group="group-22")
    path = resource(player, "snapshots", "snapshot-1", DISK, "group-22")
    player.arrange("PUT", path, snapshot_of(disk, "eastus", incremental=False))
    player.arrange("DELETE", path)


def _answer(status: int, code: str) -> Callable[[Player], None]:
    """Let the next request be answered so."""
    return lambda player: player.local.control.fault(
        "^PUT ", status=status, code=code, message="As told.", times=1
    )


def _fail_next(player: Player) -> None:
    """The next machine is accepted, and fails later."""
    player.local.control.fault(
        "^PUT .*virtualMachines/vm-3", "fail_operation", code="ImageBlobNotFound", message="None.",
        times=1,
    )  # fmt: skip


def _groups_of_failures(player: Player) -> None:
    for number in range(1, 5):
        make_group(player, "eastus", f"group-{number}")
    make_nic(player, "eastus", "nic-4", "group-4")


REFUSED_WORLDS = {
    "errors_gateway_and_compute": World(
        _groups_of_refusals,
        {
            3: _evict,
            18: _answer(503, "ServerTimeout"),
            19: _answer(403, "LinkedAuthorizationFailed"),
            23: _gone_disk,
            24: _gone_snapshot,
        },
        _ERROR_BODIES,
    ),
    "operations_failed": World(_groups_of_failures, {6: _fail_next}, {4: _NO_BODY, 6: _machine(4)}),
}


def _other(number: int, path: str, *, lower: bool = False) -> str:
    """The path of a resource of another provider."""
    word = "resourcegroups" if lower else "resourceGroups"
    return f"{SUBSCRIPTION}/{word}/group-{number}/providers/Microsoft.{path}"


_DEPLOYMENT = "Resources/deployments/deployment-1"
_NEAR = "proximityPlacementGroups/near"

REFUSED: dict[str, tuple[str, list[Entry]]] = {
    "errors_gateway_and_compute": (
        "2022-11-01",
        [
            ("PATCH", VM, {"properties": {"billingProfile": {"maxPrice": 1500.0}}}),
            (
                "PATCH",
                "group-2:virtualMachines/vm-1",
                {"properties": {"proximityPlacementGroup": {"id": f"{GROUP}/{_NEAR}"}}},
            ),
            ("POST", "group-4:virtualMachines/vm-2/simulateEviction"),
            ("GET", "group-4:virtualMachines/vm-3"),
            ("PUT", "group-5:virtualMachines/vm-4", _ERROR_BODIES[4]),
            ("PUT", "group-6:virtualMachines/vm-5", _ERROR_BODIES[5]),
            ("PUT", "group-7:virtualMachines/vm-6", _ERROR_BODIES[6]),
            ("PUT", "group-8:virtualMachineScaleSets/set-1", _NO_BODY),
            ("POST", _other(9, f"{_DEPLOYMENT}/validate", lower=True), _NO_BODY),
            ("PUT", _other(10, _DEPLOYMENT, lower=True), _NO_BODY),
            ("GET", _other(11, f"{_DEPLOYMENT}/operationStatuses/1", lower=True)),
            ("PUT", _other(12, "VirtualMachineImages/imageTemplates/one"), _NO_BODY),
            ("PUT", _other(14, "ContainerInstance/containerGroups/one"), _NO_BODY),
            ("GET", _other(15, "ClassicStorage/storageAccounts/one", lower=True)),
            ("PUT", _other(16, "Devices/IotHubs/one"), _NO_BODY),
            ("PUT", _other(17, "DevTestLab/schedules/one"), _NO_BODY),
            ("GET", _other(9, "RecoveryServices/vaults/one/backupJobs/1")),
            ("PUT", _other(9, "Media/mediaservices/one"), _NO_BODY),
            ("PUT", _other(18, "Network/publicIPAddresses/one"), _NO_BODY),
            ("PUT", "group-19:virtualMachines/vm-8", _ERROR_BODIES[19]),
            *(("PUT", f"group-20:{_NEAR}", _NO_BODY),) * 3,
            ("GET", "group-21:disks/disk-1?api-version=2019-07-01"),
            ("GET", "group-22:snapshots/snapshot-1?api-version=2019-07-01"),
            ("DELETE", "group-23:virtualMachines/vm-9"),
            ("DELETE", "group-23:disks/disk-2?api-version=2019-07-01"),
        ],
    ),
    "operations_failed": (
        "2022-11-01",
        [
            ("PUT", f"{VM}/extensions/one", _NO_BODY),
            POLL,
            ("PUT", "group-2:virtualMachineScaleSets/set-1", _NO_BODY),
            POLL,
            ("PUT", "group-3:virtualMachines/vm-2/extensions/one", _NO_BODY),
            POLL,
            ("PUT", "group-4:virtualMachines/vm-3", _machine(4)),
            POLL,
        ],
    ),
}
