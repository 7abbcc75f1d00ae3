# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a restored virtual machine."""

from __future__ import annotations

from typing import Any

from .._arm.client import ArmClient
from .._compute.ids import ResourceId, same_id, same_location
from .._errors import InputError, NotFound, VmguardError
from . import new_machine
from .plan import Point
from .request import Request
from .source.backup import elsewhere

Raw = dict[str, Any]

# Members of an IP configuration, and what people call them.
_OF_ADDRESSES = {
    "publicIPAddress": "its public IP address",
    "loadBalancerBackendAddressPools": "its places behind load balancers",
    "loadBalancerInboundNatRules": "its inbound NAT rules",
    "applicationGatewayBackendAddressPools": "its places behind application gateways",
    "applicationSecurityGroups": "its application security groups",
}


def plan_network(
    arm: ArmClient,
    request: Request,
    source_vm: Raw | None,
    point: Point,
    name: str,
    notes: list[str],
) -> Raw:
    """The new machine's network: given interfaces, a given subnet, or the source machine's subnet.

    Args:
        notes: grows by what the machine had of a network, and does not get.
    """
    if request.network_interfaces:
        for one in request.network_interfaces:
            _check_interface(arm, one, point)
        return new_machine.interfaces(request.network_interfaces)
    nic = _source_interface(arm, request, source_vm, point, notes)
    here = bool(source_vm) and same_location((source_vm or {})["location"], point.location)
    subnet = request.subnet_id or (_subnet_of(nic) if here else None)
    if subnet is None:
        raise InputError(
            "The new machine needs a network: give subnet_id or network_interfaces (the source machine,"
            f" whose subnet would be taken, is gone or not in {point.location})."
        )
    _need_network(arm, subnet, "subnet")
    kept = _kept(nic, request, here=here)
    notes += _network_losses(source_vm, nic, kept, name)
    return new_machine.interface_in(subnet, name, kept)


def _kept(nic: Raw, request: Request, *, here: bool) -> Raw:
    """What a new interface takes over: what belongs to the old subnet, only where it is in it."""
    told, kept = nic["properties"], dict[str, Any]()
    if told.get("enableIPForwarding"):
        kept["enableIPForwarding"] = True
    # Not every size can.
    if told.get("enableAcceleratedNetworking") and not request.size:
        kept["enableAcceleratedNetworking"] = True
    group = (told.get("networkSecurityGroup") or {}).get("id")
    if group and here and same_id(request.subnet_id or _subnet_of(nic), _subnet_of(nic)):
        kept["networkSecurityGroup"] = {"id": group}
    return kept


def _network_losses(source_vm: Raw | None, nic: Raw, kept: Raw, name: str) -> list[str]:
    """A sentence that names what the new machine's one interface lacks, none where it lacks nothing."""
    if source_vm is None:
        return []
    told, lost = nic["properties"], list[str]()
    others = len(_interfaces_of(source_vm)) - 1
    if others > 0:
        lost.append(f"{others} more network interface{'s' if others > 1 else ''}")
    group = (told.get("networkSecurityGroup") or {}).get("id")
    if group and "networkSecurityGroup" not in kept:
        lost.append(f"the network security group {group.rsplit('/', 1)[1]}")
    if told.get("enableAcceleratedNetworking") and "enableAcceleratedNetworking" not in kept:
        lost.append("accelerated networking")
    if (told.get("dnsSettings") or {}).get("dnsServers"):
        lost.append("its own DNS servers")
    addresses = [one["properties"] for one in told.get("ipConfigurations") or []]
    if len(addresses) > 1:
        lost.append(f"{len(addresses) - 1} more IP configurations")
    lost += [
        words
        for member, words in _OF_ADDRESSES.items()
        if any(one.get(member) for one in addresses)
    ]
    static = [one for one in addresses if one.get("privateIPAllocationMethod") == "Static"]
    if static:
        lost.append(f"the static address {static[0].get('privateIPAddress')}")
    if not lost:
        return []
    sentence = (
        f"The network interface of {name} lacks, of what {source_vm['name']} has: {', '.join(lost)}."
        " network_interfaces takes interfaces that were made as they are to be."
    )
    return [sentence]


def _need_network(arm: ArmClient, given: str, what: str) -> dict[str, Any]:
    ResourceId.parse(given)
    try:
        return arm.get(given)
    except NotFound as error:
        raise NotFound(
            f"There is no {what} {given}.",
            code=error.code,
            resource=given,
            hint=f"Give the id of a {what} that exists in the region of the restore point.",
        ) from error


def _check_interface(arm: ArmClient, given: str, point: Point) -> None:
    found = _need_network(arm, given, "network interface")
    used_by = (found["properties"].get("virtualMachine") or {}).get("id")
    if used_by:
        raise InputError(
            f"The network interface {found['name']} belongs to {used_by.rsplit('/', 1)[1]};"
            " give one that is free, or a subnet_id.",
            code="NicInUse",
            resource=given,
        )
    if not same_location(found["location"], point.location):
        raise InputError(
            f"The network interface {found['name']} is in {found['location']}, the restore point in"
            f" {point.location}; they must be in one region.",
            resource=given,
        )


def _interfaces_of(source_vm: Raw) -> list[Raw]:
    return source_vm["properties"].get("networkProfile", {}).get("networkInterfaces") or []


def _source_interface(
    arm: ArmClient, request: Request, source_vm: Raw | None, point: Point, notes: list[str]
) -> Raw:
    """The source machine's primary interface; one without properties where it is not known.

    Args:
        notes: grows where it may not be read, and its subnet is not needed.
    """
    interfaces = _interfaces_of(source_vm) if source_vm else []
    primary = [
        one for one in interfaces if (one.get("properties") or {}).get("primary")
    ] or interfaces
    if not primary:
        return {"properties": {}}
    # It may have gone with its machine; a backup knows what it was.
    known = [one for one in point.interfaces if same_id(one.get("id"), primary[0]["id"])]
    nothing = known[0] if known else {"properties": {}}
    if elsewhere(point, arm.subscription_id):
        return nothing
    try:
        return arm.get(primary[0]["id"])
    except NotFound:
        return nothing
    except VmguardError as error:
        if not request.subnet_id:
            raise
        if not known:
            notes.append(
                "What the network interface of the source machine has (security group, addresses, accelerated"
                f" networking) is not known and does not come back: {error.message}"
            )
        return nothing


def _subnet_of(nic: Raw) -> str | None:
    for address in nic["properties"].get("ipConfigurations") or []:
        if subnet := (address["properties"].get("subnet") or {}).get("id"):
            return subnet
    return None
