"""Network interfaces and subnets as the virtual machines see them."""

from __future__ import annotations

import ipaddress
import secrets
from typing import Any

from .arm.resources import Resource, new_guid
from .arm.router import Call
from .errors import ArmError
from .state import State

VNET_TYPE = "Microsoft.Network/virtualNetworks"
SUBNET_TYPE = "Microsoft.Network/virtualNetworks/subnets"
NIC_TYPE = "Microsoft.Network/networkInterfaces"

_RESERVED_ADDRESSES = 4  # the network itself, the gateway and two for DNS


def network_id(subscription: str, group: str, kind: str, name: str) -> str:
    """The id of a resource of Microsoft.Network."""
    home = f"/subscriptions/{subscription}/resourceGroups/{group}"
    return f"{home}/providers/Microsoft.Network/{kind}/{name}"


def new_etag() -> str:
    return f'W/"{new_guid()}"'


def touch(resource: Resource) -> None:
    """Give a resource that changed a new etag."""
    resource.body["etag"] = new_etag()


def check_etag(call: Call, held: Resource | None) -> None:
    """Refuse a change by somebody who has read something else; assumed for ``If-None-Match``.

    Code and status are quoted in cloud-provider-azure#9729, the words are those of the compute
    provider.

    Raises:
        ArmError: 412.
    """
    wanted, unwanted = (call.request.headers.get(name) for name in ("if-match", "if-none-match"))
    etag = None if held is None else held.body.get("etag")
    if wanted is not None and (held is None or wanted not in ("*", etag)):
        text = f"Etag provided in if-match header {wanted} does not match etag {etag} of resource."
        raise ArmError(412, "PreconditionFailed", text)
    if unwanted == "*" and held is not None:
        text = f"If-None-Match is '*', and {held.id} exists."
        raise ArmError(412, "PreconditionFailed", text)


# Name, priority, direction, source, destination, access.
_DEFAULT_RULES = (
    ("AllowVnetInBound", 65000, "Inbound", "VirtualNetwork", "VirtualNetwork", "Allow"),
    ("AllowAzureLoadBalancerInBound", 65001, "Inbound", "AzureLoadBalancer", "*", "Allow"),
    ("DenyAllInBound", 65500, "Inbound", "*", "*", "Deny"),
    ("AllowVnetOutBound", 65000, "Outbound", "VirtualNetwork", "VirtualNetwork", "Allow"),
    ("AllowInternetOutBound", 65001, "Outbound", "*", "Internet", "Allow"),
    ("DenyAllOutBound", 65500, "Outbound", "*", "*", "Deny"),
)


def default_rules(group_id: str) -> list[dict[str, Any]]:
    """The rules that every network security group has."""
    return [
        {
            "name": name, "id": f"{group_id}/defaultSecurityRules/{name}", "etag": new_etag(),
            "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
            "properties": {
                "provisioningState": "Succeeded", "protocol": "*", "access": access,
                "priority": priority, "direction": direction, "sourcePortRange": "*",
                "destinationPortRange": "*", "sourceAddressPrefix": source,
                "destinationAddressPrefix": destination,
            },
        }
        for name, priority, direction, source, destination, access in _DEFAULT_RULES
    ]  # fmt: skip


def prefixes(subnet: Resource) -> list[str]:
    """The address prefixes of a subnet, in whichever of the two ways it was given them."""
    one = subnet.properties.get("addressPrefix")
    return [one] if one else subnet.properties.get("addressPrefixes", [])


def interfaces_in(state: State, subnet_id: str) -> list[tuple[Resource, dict[str, Any]]]:
    """The interfaces in a subnet, with the IP configuration that is in it."""
    return [
        (nic, configuration)
        for nic in state.resources.of_type(NIC_TYPE)
        for configuration in nic.properties["ipConfigurations"]
        if configuration["properties"].get("subnet", {}).get("id", "").lower() == subnet_id.lower()
    ]


def missing_reference(wanted: str, by: str) -> ArmError:
    """The network provider's refusal of an id that leads nowhere, or into another region."""
    return ArmError(
        400, "InvalidResourceReference",
        f"Resource {wanted} referenced by resource {by} was not found. Please make sure that the"
        " referenced resource exists, and that both resources are in the same region.",
    )  # fmt: skip


def new_nic(
    state: State,
    *,
    subscription: str,
    group: str,
    name: str,
    location: str,
    properties: dict[str, Any],
    tags: dict[str, str] | None = None,
) -> Resource:
    """Make or replace a network interface.

    Raises:
        ArmError: for a subnet that does not exist, or an address that it cannot have.
    """
    identity = network_id(subscription, group, "networkInterfaces", name)
    old = state.resources.get(identity)
    wanted = properties.get("ipConfigurations") or []
    if not wanted:
        raise ArmError(
            400, "NetworkInterfaceMustHaveAtLeastOneIpConfiguration",
            f"Network interface {identity} must have at least one IP configuration.",
        )  # fmt: skip
    configurations = [
        _ip_configuration(state, identity, location, number, item)
        for number, item in enumerate(wanted)
    ]
    body: dict[str, Any] = {
        "name": name, "id": identity, "etag": new_etag(), "type": NIC_TYPE, "location": location,
        "tags": tags, "kind": "Regular",
        "properties": _nic_properties(properties, configurations, old),
    }  # fmt: skip
    body = {key: value for key, value in body.items() if value is not None}
    return state.resources.put(Resource(identity, NIC_TYPE, body))


def _nic_properties(
    asked: dict[str, Any], configurations: list[dict[str, Any]], old: Resource | None
) -> dict[str, Any]:
    kept = old.properties if old else {}
    made: dict[str, Any] = {
        "provisioningState": "Succeeded",
        "resourceGuid": kept.get("resourceGuid") or new_guid(),
        "ipConfigurations": configurations,
        "dnsSettings": {
            "dnsServers": [],
            "appliedDnsServers": [],
            **(asked.get("dnsSettings") or {}),
        },
        "macAddress": kept.get("macAddress") or _mac_address(),
        "enableAcceleratedNetworking": bool(asked.get("enableAcceleratedNetworking")),
        "enableIPForwarding": bool(asked.get("enableIPForwarding")),
        "disableTcpStateTracking": False,
        "hostedWorkloads": [],
        "tapConfigurations": [],
        "nicType": "Standard",
        "vnetEncryptionSupported": False,
    }
    if asked.get("networkSecurityGroup"):
        made["networkSecurityGroup"] = {"id": asked["networkSecurityGroup"]["id"]}
    for name in ("virtualMachine", "primary"):
        if name in kept:
            made[name] = kept[name]
    return made


def _mac_address() -> str:
    return "00-0D-3A-" + "-".join(f"{byte:02X}" for byte in secrets.token_bytes(3))


def _ip_configuration(
    state: State, nic_id: str, location: str, number: int, asked: dict[str, Any]
) -> dict[str, Any]:
    name = asked.get("name") or f"ipconfig{number + 1}"
    identity = f"{nic_id}/ipConfigurations/{name}"
    given = asked.get("properties") or {}
    subnet = _subnet(state, (given.get("subnet") or {}).get("id"), identity, location)
    static = str(given.get("privateIPAllocationMethod") or "").lower() == "static"
    wanted = given.get("privateIPAddress") if static else None
    properties: dict[str, Any] = {
        "provisioningState": "Succeeded",
        "privateIPAddress": _address(state, subnet, identity, wanted),
        "privateIPAllocationMethod": "Static" if static else "Dynamic",
        "subnet": {"id": subnet.id},
        "primary": bool(given.get("primary", number == 0)),
        "privateIPAddressVersion": given.get("privateIPAddressVersion") or "IPv4",
    }
    if (given.get("publicIPAddress") or {}).get("id"):
        properties["publicIPAddress"] = {"id": given["publicIPAddress"]["id"]}
    return {
        "name": name, "id": identity, "etag": new_etag(),
        "type": f"{NIC_TYPE}/ipConfigurations", "properties": properties,
    }  # fmt: skip


def _subnet(state: State, subnet_id: str | None, by: str, location: str) -> Resource:
    if not subnet_id:
        raise ArmError(
            400, "SubnetIsRequired", f"Subnet reference is required for ipconfiguration {by}."
        )
    subnet = state.resources.get(subnet_id)
    if subnet is None or subnet.type != SUBNET_TYPE:
        raise missing_reference(subnet_id, by)
    vnet = state.resources.need(subnet.id.rsplit("/", 2)[0])
    if vnet.location.lower() != location.lower():
        raise missing_reference(vnet.id, by)
    return subnet


def _address(state: State, subnet: Resource, by: str, wanted: str | None) -> str:
    """The address of an IP configuration: the one asked for, the one it has, or a free one."""
    used = {
        item["id"].lower(): item["properties"]["privateIPAddress"]
        for _interface, item in interfaces_in(state, subnet.id)
    }
    own = used.pop(by.lower(), None)
    network = ipaddress.ip_network(prefixes(subnet)[0], strict=False)
    if wanted:
        return _static_address(network, subnet, used, wanted, by)
    if own:
        return own
    taken = set(used.values())
    for number in range(_RESERVED_ADDRESSES, network.num_addresses - 1):
        candidate = str(network[number])
        if candidate not in taken:
            return candidate
    raise ArmError(
        400, "SubnetIsFull",
        f"Subnet {subnet.name} with address prefix {network} does not have enough capacity for 1 IP"
        " addresses.",
    )  # fmt: skip


def _static_address(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    subnet: Resource,
    used: dict[str, str],
    wanted: str,
    by: str,
) -> str:
    try:
        inside = ipaddress.ip_address(wanted) in network
    except ValueError:
        inside = False
    if not inside:
        raise ArmError(
            400, "PrivateIPAddressNotInSubnet",
            f"Private static IP address {wanted} does not belong to the range of subnet prefix"
            f" {prefixes(subnet)[0]}.",
        )  # fmt: skip
    holder = next((key for key, address in used.items() if address == wanted), None)
    if holder:
        raise ArmError(
            400, "PrivateIPAddressInUse",
            f"IP configuration {by} is using the private IP address {wanted} which is already"
            f" allocated to resource {holder}.",
        )  # fmt: skip
    return wanted


def attach_nic(nic: Resource, vm_id: str, *, primary: bool) -> None:
    """Give an interface to a virtual machine."""
    nic.properties["virtualMachine"] = {"id": vm_id}
    nic.properties["primary"] = primary
    touch(nic)


def release_nic(nic: Resource) -> None:
    """Take an interface from its virtual machine."""
    nic.properties.pop("virtualMachine", None)
    nic.properties.pop("primary", None)
    touch(nic)


def user_of(nic: Resource) -> str | None:
    """The id of the virtual machine that an interface belongs to."""
    return nic.properties.get("virtualMachine", {}).get("id")


def new_subnet(state: State, vnet: Resource, name: str, asked: dict[str, Any]) -> Resource:
    """Make or replace a subnet.

    Raises:
        ArmError: when its prefix is missing, malformed or outside the network.
    """
    identity = f"{vnet.id}/subnets/{name}"
    check_subnet(vnet.name, name, asked, vnet.properties["addressSpace"]["addressPrefixes"])
    properties = {
        "provisioningState": "Succeeded",
        **{
            key: value
            for key, value in asked.items()
            if key not in ("ipConfigurations", "provisioningState")
        },
    }
    properties.setdefault("delegations", [])
    properties.setdefault("privateEndpointNetworkPolicies", "Disabled")
    properties.setdefault("privateLinkServiceNetworkPolicies", "Enabled")
    body = {
        "name": name, "id": identity, "etag": new_etag(), "properties": properties,
        "type": SUBNET_TYPE,
    }  # fmt: skip
    return state.resources.put(Resource(identity, SUBNET_TYPE, body))


def _network(prefix: str, where: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A prefix as a network.

    Raises:
        ArmError: when it is none.
    """
    try:
        return ipaddress.ip_network(prefix)
    except ValueError as error:
        raise ArmError(
            400, "InvalidCIDRNotation",
            f"The address prefix {prefix} in resource {where} is invalid: {error}.",
        ) from error  # fmt: skip


def check_subnet(vnet: str, name: str, asked: dict[str, Any], space: list[str]) -> None:
    """Refuse a subnet whose prefixes are missing, malformed or outside the space of its network.

    Raises:
        ArmError: 400.
    """
    given = [asked["addressPrefix"]] if asked.get("addressPrefix") else asked.get("addressPrefixes")
    if not given:
        raise ArmError(
            400,
            "InvalidRequestFormat",
            f"Subnet {name} has neither addressPrefix nor addressPrefixes.",
        )
    for prefix in given:
        _check_prefix(vnet, name, prefix, space)


def _check_prefix(vnet: str, name: str, prefix: str, space: list[str]) -> None:
    network = _network(prefix, f"{vnet}/subnets/{name}")
    ranges = [_network(item, vnet) for item in space]
    if not any(item.version == network.version and network.subnet_of(item) for item in ranges):  # type: ignore[arg-type]
        raise ArmError(
            400,
            "NetcfgInvalidSubnet",
            f"Subnet '{name}' is not valid in virtual network '{vnet}'.",
        )


def new_vnet(
    state: State,
    *,
    subscription: str,
    group: str,
    name: str,
    location: str,
    address_prefixes: list[str],
    extra: dict[str, Any] | None = None,
    tags: dict[str, str] | None = None,
) -> Resource:
    """Make or replace a virtual network, without its subnets."""
    identity = network_id(subscription, group, "virtualNetworks", name)
    for prefix in address_prefixes:
        _network(prefix, identity)
    old = state.resources.get(identity)
    guid = old.properties["resourceGuid"] if old else new_guid()
    properties = {
        "provisioningState": "Succeeded", "resourceGuid": guid,
        "addressSpace": {"addressPrefixes": address_prefixes},
        **(extra or {}), "virtualNetworkPeerings": [], "enableDdosProtection": False,
    }  # fmt: skip
    body: dict[str, Any] = {
        "name": name, "id": identity, "etag": new_etag(), "type": VNET_TYPE, "location": location,
        "tags": tags, "properties": properties,
    }  # fmt: skip
    body = {key: value for key, value in body.items() if value is not None}
    return state.resources.put(Resource(identity, VNET_TYPE, body))
