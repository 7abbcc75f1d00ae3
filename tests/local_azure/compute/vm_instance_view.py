"""The instance view: what a virtual machine does right now."""

from __future__ import annotations

from typing import Any

from ..arm.resources import Resource
from ..clock import wire_time
from ..state import State

_PROVISIONING = {
    "Creating": "Creating", "Updating": "Updating", "Deleting": "Deleting",
    "Succeeded": "Provisioning succeeded", "Failed": "Provisioning failed",
}  # fmt: skip
_AGENT = {"Windows": "2.7.41491.1075", "Linux": "2.11.1.4"}
_SYSTEM = {
    "Windows": ("Windows Server 2022 Datacenter", "10.0.20348.2527"),
    "Linux": ("ubuntu", "22.04"),
}


def instance_view(state: State, vm: Resource) -> dict[str, Any]:
    """What ``/instanceView`` answers, and ``$expand=instanceView`` adds."""
    body: dict[str, Any] = {}
    running = vm.hidden["power"] == "running" and vm.hidden.get("transition") in (None, "running")
    agent = running and vm.hidden.get("agent", True)
    if agent:
        body |= _guest(state, vm)
    elif running:
        body["vmAgent"] = _silent_agent(state)
    body["disks"] = _disks(state, vm)
    if "bootDiagnostics" in vm.properties.get("diagnosticsProfile", {}):
        body["bootDiagnostics"] = {}
    body["hyperVGeneration"] = vm.hidden.get("generation", "V2")
    body["statuses"] = [_provisioning(state, vm), _power(vm)]
    return body


def _guest(state: State, vm: Resource) -> dict[str, Any]:
    os_type = vm.properties["storageProfile"]["osDisk"]["osType"]
    name, version = _SYSTEM.get(os_type, _SYSTEM["Linux"])
    computer = vm.properties.get("osProfile", {}).get("computerName", vm.name)
    return {
        "computerName": computer,
        "osName": name,
        "osVersion": version,
        "vmAgent": {
            "vmAgentVersion": _AGENT.get(os_type, _AGENT["Linux"]),
            "statuses": [
                {
                    "code": "ProvisioningState/succeeded",
                    "level": "Info",
                    "displayStatus": "Ready",
                    "message": "Guest Agent is running",
                    "time": wire_time(state.clock.now()),
                }
            ],
            "extensionHandlers": [],
        },
    }


def _silent_agent(state: State) -> dict[str, Any]:
    """What a running machine shows whose agent says nothing, as recorded."""
    status = {
        "code": "ProvisioningState/Unavailable", "level": "Warning", "displayStatus": "Not Ready",
        "message": "VM status blob is found but not yet populated.",
        "time": wire_time(state.clock.now()),
    }  # fmt: skip
    return {"vmAgentVersion": "Unknown", "statuses": [status]}


def _disks(state: State, vm: Resource) -> list[dict[str, Any]]:
    storage = vm.properties["storageProfile"]
    time = vm.hidden.get("changed") or wire_time(state.clock.now())
    status = {
        "code": "ProvisioningState/succeeded", "level": "Info",
        "displayStatus": "Provisioning succeeded", "time": time,
    }  # fmt: skip
    entries = (storage["osDisk"], *storage["dataDisks"])
    return [
        {"name": entry["name"], "statuses": [dict(status)]} for entry in entries if "name" in entry
    ]


def _provisioning(state: State, vm: Resource) -> dict[str, Any]:
    shown = vm.properties["provisioningState"]
    error = vm.hidden.get("failure")
    failed = shown == "Failed" and error is not None
    status: dict[str, Any] = {
        "code": f"ProvisioningState/{shown.lower()}{f'/{error.code}' if failed else ''}",
        "level": "Error" if shown == "Failed" else "Info",
        "displayStatus": _PROVISIONING.get(shown, shown),
    }
    if failed:
        status["message"] = error.message
    status["time"] = vm.hidden.get("changed") or wire_time(state.clock.now())
    return status


def _power(vm: Resource) -> dict[str, Any]:
    shown = vm.hidden.get("transition") or vm.hidden["power"]
    return {"code": f"PowerState/{shown}", "level": "Info", "displayStatus": f"VM {shown}"}
