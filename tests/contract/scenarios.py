"""Scenarios of the project's own: every step of the table of expected shapes, with our requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from changes import CHANGES
from entries import (
    DISK,
    GROUP,
    MONITOR,
    NETWORK,
    POLL,
    SUBSCRIPTION,
    VM,
    Entry,
    created,
    resource_id,
)
from lifecycles import LIFECYCLES
from player import DISK_RESTORE_POINT, Step
from refused import REFUSED
from shapes import Shape

_COLLECTION = "restorePointCollections/collection-1"
_POINT = f"{_COLLECTION}/restorePoints/point-1"
_EXTENSION = f"{VM}/extensions/extension-1"
_SNAPSHOT = "snapshots/snapshot-1"


def _collection(location: str, source: str, **more: Any) -> dict[str, Any]:
    return {"location": location, "properties": {"source": resource_id(source)}, **more}


def _access(path: str) -> Entry:
    return ("POST", f"{path}/beginGetAccess", {"access": "Read", "durationInSeconds": 600})


def _power(action: str) -> list[Entry]:
    return [("POST", f"{VM}/{action}"), POLL, MONITOR]


def _copy_of_point(target: str) -> Entry:
    body = {"properties": {"sourceRestorePoint": resource_id(_POINT)}}
    return ("PUT", f"restorePointCollections/{target}/restorePoints/point-2", body)


_WINDOWS_VM = {
    "location": "eastus",
    "properties": {
        "hardwareProfile": {"vmSize": "Standard_D2_v2"},
        "storageProfile": {
            "imageReference": {
                "publisher": "MicrosoftWindowsServer", "offer": "WindowsServer",
                "sku": "any", "version": "latest",
            },
            "osDisk": {
                "name": "os-1", "createOption": "FromImage", "caching": "ReadWrite",
                "managedDisk": {"storageAccountType": "Standard_LRS"},
            },
            "dataDisks": [
                {"lun": lun, "createOption": "Empty", "diskSizeGB": 8} for lun in (0, 1)
            ],
        },
        "osProfile": {
            "computerName": "one", "adminUsername": "me", "adminPassword": "Not-a-secret-1",
            "windowsConfiguration": {"enableAutomaticUpdates": True},
        },
        "networkProfile": NETWORK,
    },
}  # fmt: skip
_EXTENSION_BODY = {
    "location": "eastus",
    "properties": {"publisher": "A", "type": "B", "typeHandlerVersion": "1.0"},
}
_SAME_VM = {"properties": {"networkProfile": NETWORK}}
_EXPAND_POINTS = "?$expand=restorePoints"

# The api-version of each scenario and its steps, in the order of their numbers.
SCENARIOS: dict[str, tuple[str, list[Entry]]] = {
    **CHANGES,
    **LIFECYCLES,
    **REFUSED,
    "disk_from_disk_restore_point": (
        "2023-04-02",
        [
            ("GET", f"{_POINT}?api-version=2024-11-01"),
            (
                "PUT",
                DISK,
                {
                    "location": "westus",
                    "sku": {"name": "Premium_LRS"},
                    "tags": {},
                    "properties": created("Restore", DISK_RESTORE_POINT, diskSizeGB=3),
                },
            ),
            POLL,
            POLL,
            ("GET", DISK),
        ],
    ),
    "restore_point_collection_delete": ("2022-11-01", [("DELETE", _COLLECTION), POLL]),
    "restore_point_create": (
        "2023-09-01",
        [
            ("PUT", _COLLECTION, _collection("eastus2euap", VM)),
            ("PUT", _POINT, {"properties": {"consistencyMode": "CrashConsistent"}}),
            POLL,
            POLL,
            ("GET", _POINT),
            ("GET", f"{_COLLECTION}{_EXPAND_POINTS}"),
            ("DELETE", _POINT),
            POLL,
            POLL,
        ],
    ),
    "restore_point_cross_region_copy": (
        "2023-07-01",
        [
            ("PUT", _COLLECTION, _collection("westus", VM)),
            ("PUT", "restorePointCollections/collection-2", _collection("eastus", _COLLECTION)),
            ("PUT", _POINT, {}),
            POLL,
            POLL,
            ("GET", _POINT),
            _copy_of_point("collection-2"),
            POLL,
            POLL,
            ("GET", "restorePointCollections/collection-2/restorePoints/point-2"),
        ],
    ),
    "restore_point_exclude_disks_instance_view_404": (
        "2021-11-01",
        [
            ("PUT", _COLLECTION, _collection("centraluseuap", VM, tags={"a": "1"})),
            (
                "PUT",
                "restorePointCollections/collection-2",
                _collection("centraluseuap", VM, tags={"a": "1"}),
            ),
            (
                "PUT",
                "restorePointCollections/collection-3",
                _collection("eastus2euap", _COLLECTION, tags={"a": "1"}),
            ),
            ("PATCH", _COLLECTION, {"tags": {"b": "2"}}),
            ("GET", "restorePointCollections"),
            ("GET", "subscription:restorePointCollections"),
            ("PUT", _POINT, {"properties": {"excludeDisks": [resource_id(DISK)]}}),
            POLL,
            POLL,
            ("GET", _POINT),
            ("GET", _COLLECTION),
            ("GET", f"{_COLLECTION}{_EXPAND_POINTS}"),
            _copy_of_point("collection-3"),
            POLL,
            ("GET", "restorePointCollections/collection-3/restorePoints/point-2"),
            (
                "GET",
                "restorePointCollections/collection-3/restorePoints/point-2?$expand=instanceView",
            ),
            ("DELETE", _POINT),
            POLL,
            MONITOR,
            ("DELETE", "restorePointCollections/collection-3/restorePoints/point-2"),
            POLL,
            ("GET", _POINT),
            ("DELETE", _COLLECTION),
            POLL,
            ("GET", _COLLECTION),
        ],
    ),
    "sdk_disks_and_grant_access": (
        "2019-03-01",
        [
            ("PUT", DISK, {"location": "eastus", "properties": created("Empty", diskSizeGB=4)}),
            POLL,
            ("GET", DISK),
            ("GET", DISK),
            ("PATCH", DISK, {"properties": {"diskSizeGB": 4}}),
            POLL,
            POLL,
            ("GET", DISK),
            _access(DISK),
            POLL,
            MONITOR,
            ("POST", f"{DISK}/endGetAccess"),
            POLL,
            MONITOR,
            ("DELETE", DISK),
            POLL,
            POLL,
        ],
    ),
    "sdk_snapshots": (
        "2022-07-02",
        [
            ("PUT", DISK, {"location": "eastus", "properties": created("Empty", diskSizeGB=4)}),
            POLL,
            POLL,
            ("GET", DISK),
            (
                "PUT",
                _SNAPSHOT,
                {
                    "location": "eastus",
                    "properties": {
                        "creationData": {"createOption": "Copy", "sourceUri": f"{GROUP}/{DISK}"}
                    },
                },
            ),
            POLL,
            POLL,
            ("GET", _SNAPSHOT),
            POLL,
            POLL,
            ("GET", _SNAPSHOT),
            POLL,
            POLL,
            ("PATCH", _SNAPSHOT, {}),
            POLL,
            ("GET", _SNAPSHOT),
            _access(_SNAPSHOT),
            POLL,
            MONITOR,
            ("POST", f"{_SNAPSHOT}/endGetAccess"),
            POLL,
            MONITOR,
            POLL,
            POLL,
            ("DELETE", _SNAPSHOT),
            POLL,
            POLL,
        ],
    ),
    "sdk_virtual_machine_and_extension": (
        "2022-11-01",
        [
            ("PUT", VM, _WINDOWS_VM),
            POLL,
            POLL,
            ("GET", VM),
            ("PUT", _EXTENSION, _EXTENSION_BODY),
            POLL,
            POLL,
            ("GET", _EXTENSION),
            ("GET", f"{VM}/instanceView"),
            ("GET", _EXTENSION),
            ("GET", "subscription:locations/eastus/runCommands/RunPowerShellScript"),
            ("GET", f"{VM}/extensions"),
            ("GET", VM),
            ("POST", f"{VM}/runCommand", {"commandId": "RunPowerShellScript"}),
            POLL,
            MONITOR,
            *_power("restart"),
            *_power("powerOff?skipShutdown=false"),
            *_power("start"),
            ("PATCH", _EXTENSION, {"properties": {"autoUpgradeMinorVersion": True}}),
            POLL,
            POLL,
            ("GET", _EXTENSION),
            ("DELETE", _EXTENSION),
            POLL,
            POLL,
            *_power("powerOff?skipShutdown=false"),
            *_power("reapply"),
            *_power("redeploy"),
            ("PATCH", VM, _SAME_VM),
            ("GET", VM),
            ("POST", f"{VM}/generalize"),
            *_power("deallocate"),
            ("DELETE", VM),
            POLL,
            POLL,
        ],
    ),
    "snapshot_copy_start": (
        "2023-04-02",
        [
            ("GET", _SNAPSHOT),
            (
                "PUT",
                "group-2:snapshots/snapshot-2",
                {
                    "location": "eastus",
                    "sku": {"name": "Standard_LRS"},
                    "tags": {},
                    "properties": created("CopyStart", f"{GROUP}/{_SNAPSHOT}", incremental=True),
                },
            ),
            POLL,
            POLL,
            ("GET", "group-2:snapshots/snapshot-2"),
            ("GET", "group-2:snapshots/snapshot-2?api-version=2022-03-02"),
        ],
    ),
    "snapshot_errors_404": (
        "2023-10-02",
        [
            ("GET", _SNAPSHOT),
            (
                "PUT",
                "snapshots/snapshot-2",
                {"location": "eastus", "properties": created("Copy", f"{GROUP}/{DISK}")},
            ),
        ],
    ),
    "snapshot_grant_revoke_access": (
        "2022-03-02",
        [
            POLL,
            ("GET", _SNAPSHOT),
            _access(_SNAPSHOT),
            POLL,
            MONITOR,
            ("GET", _SNAPSHOT),
            ("PATCH", _SNAPSHOT, {"tags": {"a": "1"}}),
            POLL,
            ("GET", _SNAPSHOT),
            ("POST", f"{_SNAPSHOT}/endGetAccess"),
            POLL,
            MONITOR,
            ("GET", _SNAPSHOT),
        ],
    ),
    "swagger_examples_disk_restore_point": (
        "2023-04-02",
        [
            ("GET", DISK_RESTORE_POINT),
            _access(DISK_RESTORE_POINT),
            MONITOR,
        ],
    ),
}


def _absolute(path: str, version: str) -> str:
    scope, colon, rest = path.partition(":")
    if path.startswith(("/", "@")):
        full = path
    elif colon and scope == "subscription":
        full = f"{SUBSCRIPTION}/providers/Microsoft.Compute/{rest}"
    elif colon:
        full = f"{GROUP.replace('group-1', scope)}/{rest}"
    else:
        full = f"{GROUP}/{path}"
    if "api-version=" in full:
        return full
    return f"{full}{'&' if '?' in full else '?'}api-version={version}"


def steps(scenario: str, expected: Mapping[int, Shape], subscription: str) -> list[Step]:
    """The steps of a scenario; ``expected`` are their shapes by number.

    Raises:
        ValueError: when the table and the scenario do not have the same steps.
    """
    version, entries = SCENARIOS[scenario]
    if sorted(expected) != list(range(len(entries))):
        raise ValueError(f"{scenario} has {len(entries)} steps, the table {len(expected)}.")
    text = "/subscriptions/"
    found = []
    for number, entry in enumerate(entries):
        if entry in (POLL, MONITOR):
            found.append(Step(number, expected[number], entry[0]))
            continue
        method, path = (
            entry[0],
            _absolute(entry[1], version).replace(f"{text}@", text + subscription),
        )
        body = None
        if len(entry) > 2:
            body = json.loads(json.dumps(entry[2]).replace(f"{text}@", text + subscription))
        found.append(Step(number, expected[number], "request", method, path, body))
    return found
