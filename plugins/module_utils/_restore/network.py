# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a restored virtual machine."""

from __future__ import annotations

from typing import Any

from .._arm.client import ArmClient
from .._compute.ids import ResourceId, same_id, same_location
from .._errors import InputError, NotFound
from . import machine
from .plan import Point
from .request import Request


def plan_network(
    arm: ArmClient, request: Request, source_vm: dict[str, Any] | None, point: Point, name: str
) -> dict[str, Any]:
    """The new machine's network: given interfaces, a given subnet, or the source machine's subnet."""
    if request.network_interfaces:
        for one in request.network_interfaces:
            _check_interface(arm, one, point)
        return machine.interfaces(request.network_interfaces)
    subnet = request.subnet_id or _source_subnet(arm, source_vm, point)
    if subnet is None:
        raise InputError(
            "The new machine needs a network: give subnet_id or network_interfaces (the source machine,"
            f" whose subnet would be taken, is gone or not in {point.location})."
        )
    _need_network(arm, subnet, "subnet")
    return machine.interface_in(subnet, name)


def _need_network(arm: ArmClient, given: str, what: str) -> dict[str, Any]:
    ResourceId.parse(given)
    try:
        return arm.get(given, machine.NETWORK_API_VERSION)
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


def _source_subnet(arm: ArmClient, source_vm: dict[str, Any] | None, point: Point) -> str | None:
    if source_vm is None or not same_location(source_vm["location"], point.location):
        return None
    interfaces = source_vm["properties"].get("networkProfile", {}).get("networkInterfaces") or []
    primary = [
        one for one in interfaces if (one.get("properties") or {}).get("primary")
    ] or interfaces
    if not primary:
        return None
    try:
        nic = arm.get(primary[0]["id"], machine.NETWORK_API_VERSION)
    except NotFound:
        # It went with its machine; a backup knows what it was.
        known = (one for one in point.interfaces if same_id(one.get("id"), primary[0]["id"]))
        nic = next(known, {"properties": {}})
    for address in nic["properties"].get("ipConfigurations") or []:
        if subnet := (address["properties"].get("subnet") or {}).get("id"):
            return subnet
    return None
