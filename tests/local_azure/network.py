"""Just enough of Microsoft.Network for the interfaces of virtual machines, all synchronous."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .arm.resources import Resource, need_group, new_guid
from .arm.router import GROUP, SUBSCRIPTION, Call, Router
from .errors import ArmError
from .http_types import Response, json_response
from .network_model import (
    NIC_TYPE,
    SUBNET_TYPE,
    VNET_TYPE,
    check_etag,
    check_subnet,
    default_rules,
    interfaces_in,
    network_id,
    new_etag,
    new_nic,
    new_subnet,
    new_vnet,
    touch,
    user_of,
)
from .state import State

PROVIDER = "/providers/Microsoft.Network"
_VNET = f"{GROUP}{PROVIDER}/virtualNetworks/{{vnet}}"
_PLAIN = ("networkSecurityGroups", "publicIPAddresses")


class Network:
    """Virtual networks, subnets, interfaces; security groups and public addresses as they come."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self, router: Router) -> None:
        self._tracked(router, "virtualNetworks", self._put_vnet, self._delete_vnet)
        self._tracked(router, "networkInterfaces", self._put_nic, self._delete_nic)
        for kind in _PLAIN:
            self._tracked(router, kind, self._plain_put(kind), self._plain_delete(kind))
        subnet = f"{_VNET}/subnets/{{name}}"
        router.add("GET", f"{_VNET}/subnets", self._list_subnets)
        router.add("PUT", subnet, self._put_subnet)
        router.add("GET", subnet, self._get_subnet)
        router.add("DELETE", subnet, self._delete_subnet)

    def _tracked(
        self,
        router: Router,
        kind: str,
        put: Callable[[Call], Response],
        delete: Callable[[Call], Response],
    ) -> None:
        """The routes that every tracked resource of the provider has."""
        path = f"{GROUP}{PROVIDER}/{kind}/{{name}}"

        def get(call: Call) -> Response:
            return json_response(200, self._answer(self._need(call, kind)))

        def patch(call: Call) -> Response:
            found = self._need(call, kind)
            check_etag(call, found)
            found.body["tags"] = call.body().get("tags") or {}
            touch(found)
            return json_response(200, self._answer(found))

        def items(call: Call) -> Response:
            found = self._state.resources.of_type(
                f"Microsoft.Network/{kind}",
                subscription=call["subscription"],
                group=call.params.get("group"),
            )
            return json_response(200, {"value": [self._answer(item) for item in found]})

        for method, handler in (("PUT", put), ("GET", get), ("PATCH", patch), ("DELETE", delete)):
            router.add(method, path, handler)
        router.add("GET", f"{GROUP}{PROVIDER}/{kind}", items)
        router.add("GET", f"{SUBSCRIPTION}{PROVIDER}/{kind}", items)

    def _id(self, call: Call, kind: str) -> str:
        return network_id(call["subscription"], call["group"], kind, call["name"])

    def _need(self, call: Call, kind: str) -> Resource:
        return self._state.resources.need(self._id(call, kind))

    def _begin_put(self, call: Call, kind: str) -> tuple[dict[str, Any], Resource | None]:
        """The body of a PUT with its location, and what is there already."""
        group = need_group(self._state.resources, call["subscription"], call["group"])
        body = call.body()
        if not body.get("location"):
            raise ArmError(
                400, "LocationRequired", "The location property is required for this definition.",
                gateway=True,
            )  # fmt: skip
        body["location"] = body["location"].replace(" ", "").lower()
        call.params["group"] = group.name
        old = self._state.resources.get(self._id(call, kind))
        check_etag(call, old)
        return body, old

    def _answer(self, resource: Resource) -> dict[str, Any]:
        body = resource.answer()
        if resource.type == VNET_TYPE:
            body["properties"]["subnets"] = [self._answer(item) for item in self._subnets(resource)]
        if resource.type == SUBNET_TYPE:
            users = [
                {"id": item["id"]} for _interface, item in interfaces_in(self._state, resource.id)
            ]
            if users:
                body["properties"]["ipConfigurations"] = users
        if resource.type.endswith("/publicIPAddresses"):
            configuration = self._configuration_with(resource.id)
            if configuration is not None:
                body["properties"]["ipConfiguration"] = {"id": configuration}
        return body

    def _subnets(self, vnet: Resource) -> list[Resource]:
        return [item for item in self._state.resources.below(vnet.id) if item.type == SUBNET_TYPE]

    # -- virtual networks and subnets

    def _put_vnet(self, call: Call) -> Response:
        body, old = self._begin_put(call, "virtualNetworks")
        asked = dict(body.get("properties") or {})
        space = (asked.pop("addressSpace", None) or {}).get("addressPrefixes")
        subnets = asked.pop("subnets", None)
        if not space:
            raise ArmError(
                400,
                "InvalidRequestFormat",
                "Virtual network must have at least one address prefix.",
            )
        for name in ("provisioningState", "resourceGuid", "virtualNetworkPeerings"):
            asked.pop(name, None)
        kept = {item["name"].lower() for item in subnets or []}
        gone = [item for item in self._subnets(old) if item.name.lower() not in kept] if old else []
        if subnets is None:
            gone = []  # assumed: left out, they stay
        for item in gone:
            self._check_unused(item)
        for item in subnets or []:
            check_subnet(call["name"], item["name"], item.get("properties") or {}, space)
        vnet = new_vnet(
            self._state, subscription=call["subscription"], group=call["group"], name=call["name"],
            location=body["location"], address_prefixes=space, extra=asked, tags=body.get("tags"),
        )  # fmt: skip
        for item in gone:
            self._state.resources.remove(item.id)
        for item in subnets or []:
            new_subnet(self._state, vnet, item["name"], item.get("properties") or {})
        return json_response(200 if old else 201, self._answer(vnet))

    def _check_unused(self, subnet: Resource) -> None:
        users = [item["id"] for _interface, item in interfaces_in(self._state, subnet.id)]
        if users:
            raise ArmError(
                400, "InUseSubnetCannotBeDeleted",
                f"Subnet {subnet.name} is in use by {users[0]} and cannot be deleted. In order to"
                " delete the subnet, delete all the resources within the subnet. See"
                " aka.ms/deletesubnet.",
            )  # fmt: skip

    def _delete_vnet(self, call: Call) -> Response:
        vnet = self._state.resources.get(self._id(call, "virtualNetworks"))
        if vnet is None:
            return Response(204)
        subnets = self._subnets(vnet)
        for subnet in subnets:
            self._check_unused(subnet)
        for item in (*subnets, vnet):
            self._state.resources.remove(item.id)
        return Response(200)

    def _vnet(self, call: Call) -> Resource:
        return self._state.resources.need(
            network_id(call["subscription"], call["group"], "virtualNetworks", call["vnet"])
        )

    def _subnet(self, call: Call) -> Resource | None:
        return self._state.resources.get(f"{self._vnet(call).id}/subnets/{call['name']}")

    def _list_subnets(self, call: Call) -> Response:
        subnets = self._subnets(self._vnet(call))
        return json_response(200, {"value": [self._answer(item) for item in subnets]})

    def _put_subnet(self, call: Call) -> Response:
        old = self._subnet(call)
        asked = call.body().get("properties") or {}
        check_etag(call, old)
        subnet = new_subnet(self._state, self._vnet(call), call["name"], asked)
        return json_response(200 if old else 201, self._answer(subnet))

    def _get_subnet(self, call: Call) -> Response:
        found = self._subnet(call)
        if found is None:
            raise ArmError(
                404, "NotFound",
                f"Resource {self._vnet(call).id}/subnets/{call['name']} not found.",
            )  # fmt: skip
        return json_response(200, self._answer(found))

    def _delete_subnet(self, call: Call) -> Response:
        found = self._subnet(call)
        if found is None:
            return Response(204)
        self._check_unused(found)
        self._state.resources.remove(found.id)
        return Response(200)

    # -- interfaces

    def _put_nic(self, call: Call) -> Response:
        body, old = self._begin_put(call, "networkInterfaces")
        nic = new_nic(
            self._state, subscription=call["subscription"], group=call["group"], name=call["name"],
            location=body["location"], properties=body.get("properties") or {},
            tags=body.get("tags"),
        )  # fmt: skip
        return json_response(200 if old else 201, self._answer(nic))

    def _delete_nic(self, call: Call) -> Response:
        nic = self._state.resources.get(self._id(call, "networkInterfaces"))
        if nic is None:
            return Response(204)
        if user_of(nic):
            raise ArmError(
                400, "NicInUse",
                f"Network Interface {nic.id} is used by existing resource {user_of(nic)}. In order"
                " to delete the network interface, it must be dissociated from the resource. To"
                " learn more, see aka.ms/deletenic.",
            )  # fmt: skip
        self._state.resources.remove(nic.id)
        return Response(200)

    # -- security groups and public addresses

    def _plain_put(self, kind: str) -> Callable[[Call], Response]:
        def put(call: Call) -> Response:
            body, old = self._begin_put(call, kind)
            identity = self._id(call, kind)
            kept = {key: body[key] for key in ("tags", "sku", "zones") if body.get(key)}
            answer: dict[str, Any] = {
                "name": call["name"], "id": identity, "etag": new_etag(),
                "type": f"Microsoft.Network/{kind}", "location": body["location"], **kept,
            }  # fmt: skip
            if kind == "publicIPAddresses":
                answer["sku"] = {"name": "Standard", "tier": "Regional", **(body.get("sku") or {})}
            guid = old.properties["resourceGuid"] if old else new_guid()
            answer["properties"] = {
                **_plain_defaults(kind, identity, body), **(body.get("properties") or {}),
                "provisioningState": "Succeeded", "resourceGuid": guid,
            }  # fmt: skip
            made = self._state.resources.put(
                Resource(identity, f"Microsoft.Network/{kind}", answer)
            )
            return json_response(200 if old else 201, self._answer(made))

        return put

    def _plain_delete(self, kind: str) -> Callable[[Call], Response]:
        code = {
            "networkSecurityGroups": "InUseNetworkSecurityGroupCannotBeDeleted",
            "publicIPAddresses": "PublicIPAddressCannotBeDeleted",
        }[kind]

        def delete(call: Call) -> Response:
            identity = self._id(call, kind)
            found = self._state.resources.get(identity)
            if found is None:
                return Response(204)
            user = self._user(identity)
            if user:
                raise ArmError(
                    400, code, f"{found.name} cannot be deleted because it is in use by {user}."
                )
            self._state.resources.remove(identity)
            return Response(200)

        return delete

    def _configuration_with(self, identity: str) -> str | None:
        """The IP configuration that has a public address."""
        for nic in self._state.resources.of_type(NIC_TYPE):
            for item in nic.properties["ipConfigurations"]:
                held = item["properties"].get("publicIPAddress") or {}
                if held.get("id", "").lower() == identity.lower():
                    return item["id"]
        return None

    def _user(self, identity: str) -> str | None:
        """The interface that refers to a security group or a public address."""
        for nic in self._state.resources.of_type(NIC_TYPE):
            references = [nic.properties.get("networkSecurityGroup")]
            references += [
                item["properties"].get("publicIPAddress")
                for item in nic.properties["ipConfigurations"]
            ]
            if any(item and item["id"].lower() == identity.lower() for item in references):
                return nic.id
        return None


def _plain_defaults(kind: str, identity: str, body: dict[str, Any]) -> dict[str, Any]:
    if kind == "networkSecurityGroups":
        return {"securityRules": [], "defaultSecurityRules": default_rules(identity)}
    properties = body.get("properties") or {}
    made = {"publicIPAllocationMethod": "Dynamic", "publicIPAddressVersion": "IPv4",
            "idleTimeoutInMinutes": 4, "ipTags": []}  # fmt: skip
    if str(properties.get("publicIPAllocationMethod", "")).lower() == "static":
        made["ipAddress"] = "203.0.113.10"
    return made
