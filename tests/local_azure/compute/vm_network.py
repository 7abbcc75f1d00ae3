"""The interfaces that a request wants a virtual machine to have."""

from __future__ import annotations

import secrets
from typing import Any

from ..arm.resources import Resource, same_id
from ..errors import ArmError, missing_parameter
from ..network_model import (
    NIC_TYPE,
    attach_nic,
    missing_reference,
    new_nic,
    release_nic,
    user_of,
)
from ..state import State
from .vm_storage import Machine


def plan_network(state: State, machine: Machine, asked: dict[str, Any]) -> dict[str, Any]:
    """Check the interfaces asked for; ``attach_network`` attaches and makes them.

    Raises:
        ArmError: for an interface that does not exist or belongs to another machine.
    """
    given = asked.get("networkInterfaces") or []
    described = asked.get("networkInterfaceConfigurations") or []
    if not given and not described:
        raise missing_parameter("networkProfile")
    if described and not asked.get("networkApiVersion"):
        raise missing_parameter("networkProfile.networkApiVersion")
    for item in given:
        _free_nic(state, machine, item.get("id") or "")
    return {"networkInterfaces": given, "networkInterfaceConfigurations": described}


def _free_nic(state: State, machine: Machine, nic_id: str) -> Resource:
    nic = state.resources.get(nic_id)
    if nic is None or nic.type != NIC_TYPE or nic.location.lower() != machine.location.lower():
        raise missing_reference(nic_id, machine.id)
    owner = user_of(nic)
    if owner and not same_id(owner, machine.id):
        raise ArmError(
            400, "NicInUse", f"Network Interface {nic.id} is used by existing resource {owner}."
            " In order to delete the network interface, it must be dissociated from the resource."
            " To learn more, see aka.ms/deletenic.",
        )  # fmt: skip
    return nic


def attach_network(state: State, machine: Machine, plan: dict[str, Any]) -> dict[str, Any]:
    """Attach the interfaces, and answer the network profile that the machine shows."""
    shown = []
    for item in plan["networkInterfaces"]:
        nic = _free_nic(state, machine, item["id"])
        shown.append(_shown(nic, item.get("properties") or {}, first=not shown))
    for item in plan["networkInterfaceConfigurations"]:
        nic = _described_nic(state, machine, item)
        shown.append(_shown(nic, item.get("properties") or {}, first=not shown))
    for item in shown:
        nic = state.resources.need(item["id"])
        attach_nic(nic, machine.id, primary=item["properties"]["primary"])
    return {"networkInterfaces": [_trimmed(item, len(shown)) for item in shown]}


def _shown(nic: Resource, asked: dict[str, Any], *, first: bool) -> dict[str, Any]:
    properties = {"primary": bool(asked.get("primary", first))}
    given = asked.get("primary") is not None
    if asked.get("deleteOption"):
        properties["deleteOption"] = asked["deleteOption"]
    return {"id": nic.id, "properties": properties, "given": given}


def _trimmed(item: dict[str, Any], count: int) -> dict[str, Any]:
    """The service shows ``primary`` when it was asked for, or where there are several."""
    properties = dict(item["properties"])
    if not item["given"] and count == 1:
        del properties["primary"]
    return {"id": item["id"], **({"properties": properties} if properties else {})}


def _described_nic(state: State, machine: Machine, described: dict[str, Any]) -> Resource:
    properties = dict(described.get("properties") or {})
    configurations = [
        {"name": item.get("name"), "properties": dict(item.get("properties") or {})}
        for item in properties.get("ipConfigurations") or []
    ]
    for item in configurations:  # a public address that is described, not named, is not made
        public = item["properties"].pop("publicIPAddressConfiguration", None)
        del public
    properties["ipConfigurations"] = configurations
    subscription, group = machine.id.split("/")[2], machine.id.split("/")[4]
    name = f"{described.get('name') or 'nic'}-{secrets.token_hex(4)}"
    return new_nic(
        state, subscription=subscription, group=group, name=name, location=machine.location,
        properties=properties,
    )  # fmt: skip


def change_network(state: State, vm: Resource, machine: Machine, asked: dict[str, Any]) -> None:
    """Let an existing machine have these interfaces instead of those it has."""
    plan = plan_network(state, machine, asked)
    before = {item["id"].lower() for item in vm.properties["networkProfile"]["networkInterfaces"]}
    vm.properties["networkProfile"] = attach_network(state, machine, plan)
    after = {item["id"].lower() for item in vm.properties["networkProfile"]["networkInterfaces"]}
    for gone in before - after:
        nic = state.resources.get(gone)
        if nic is not None:
            release_nic(nic)


def drop_network(state: State, vm: Resource) -> None:
    """Release the interfaces of a machine that is deleted, and delete those that go with it."""
    for item in vm.properties["networkProfile"]["networkInterfaces"]:
        nic = state.resources.get(item["id"])
        if nic is None:
            continue
        release_nic(nic)
        if str(item.get("properties", {}).get("deleteOption")).lower() == "delete":
            state.resources.remove(nic.id)
