"""Which request has a body of which form."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .body_models import Kind, Member, Shape, shape, shape_of

_TEXT, _FLAG, _NUMBER = Kind(str), Kind(bool), Kind(int)
_TEXTS = Kind(items=_TEXT, is_list=True)


@dataclass(frozen=True)
class Form:
    """The form of a body.

    Args:
        shape: its members; None where nothing is known of them.
        target: what the compute provider calls the resource in the targets of its errors.
        title: what it calls the type of the resource in its messages.
        provider: ``compute``, ``network`` or ``gateway`` (Resource Manager itself).
        has_envelope: it is a resource, with members that Resource Manager reads.
    """

    shape: Shape | None
    target: str = ""
    title: str = ""
    provider: str = "compute"
    has_envelope: bool = True


# Path below the provider, then the models of PUT and PATCH, and the name in targets and messages.
_COMPUTE = (
    ("disks/[^/]+", ("Disk", "DiskUpdate"), "disk", "Disk"),
    ("snapshots/[^/]+", ("Snapshot", "SnapshotUpdate"), "snapshot", "Snapshot"),
    ("restorePointCollections/[^/]+", ("RestorePointCollection", "RestorePointCollectionUpdate"),
     "restorePointCollection", "RestorePointCollection"),
    ("restorePointCollections/[^/]+/restorePoints/[^/]+", ("RestorePoint", "RestorePoint"),
     "restorePoint", "RestorePoint"),
    ("virtualMachines/[^/]+", ("VirtualMachine", "VirtualMachineUpdate"), "vm", "VirtualMachine"),
)  # fmt: skip
_RESOURCE = r"^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.{}/{}/?$"
_ACCESS = re.compile(r"/beginGetAccess/?$", re.IGNORECASE)
_GROUP = re.compile(r"^/subscriptions/[^/]+/resourceGroups/[^/]+/?$", re.IGNORECASE)


def _pattern(provider: str, path: str) -> re.Pattern[str]:
    return re.compile(_RESOURCE.format(provider, path), re.IGNORECASE)


_COMPUTE_FORMS = [(_pattern("Compute", path), *rest) for path, *rest in _COMPUTE]


def form_of(method: str, path: str) -> Form | None:
    """The form of the body of a request, or None for one whose body nobody looks at."""
    if method == "POST":
        known = _ACCESS.search(path) and "/microsoft.compute/" in path.lower()
        return _access() if known else None
    if method not in ("PUT", "PATCH"):
        return None
    for pattern, models, target, title in _COMPUTE_FORMS:
        if pattern.match(path):
            made = shape(models[0])
            if method == "PATCH":
                made = _merged(made, shape(models[1]))
            return Form(made, target, title)
    for pattern, made in _NETWORK_FORMS:
        if pattern.match(path):
            return Form(made, provider="network")
    return Form(_GROUP_SHAPE, provider="gateway") if _GROUP.match(path) else None


def _merged(whole: Shape | None, change: Shape | None) -> Shape | None:
    """The shape of a PATCH: what can change, and what is refused later because it cannot."""
    if whole is None or change is None:
        return change
    members = {**whole.members, **change.members}
    one, other = (item.members.get("properties") for item in (whole, change))
    if one is not None and other is not None:
        inner = _merged(shape_of(one.kind), shape_of(other.kind))
        if inner is not None:
            members["properties"] = Member(Kind(model=inner.name, own=inner))
    return Shape(change.name, members, change.is_complete)


def _access() -> Form:
    return Form(shape("GrantAccessData"), "grantAccessData", has_envelope=False)


# -- what the network provider reads; its package is not installed, so members may be missing


def _object(model: str, /, *required: str, **members: Kind) -> Kind:
    made = {key: Member(kind, key in required) for key, kind in members.items()}
    return Kind(model=model, own=Shape(model, made, is_complete=False))


def _list_of(kind: Kind) -> Kind:
    return Kind(items=kind, is_list=True)


_ENVELOPE = {"location": _TEXT, "tags": Kind(items=_TEXT, is_map=True), "zones": _TEXTS}
_ID = _object("SubResource", "id", id=_TEXT)
_SUBNET_PROPERTIES = _object(
    "SubnetPropertiesFormat", addressPrefix=_TEXT, addressPrefixes=_TEXTS,
    networkSecurityGroup=_ID, delegations=_list_of(_object("Delegation", "name", name=_TEXT)),
)  # fmt: skip
_SUBNET = _object("Subnet", name=_TEXT, id=_TEXT, properties=_SUBNET_PROPERTIES)
_SUBNET_INSIDE = _object("Subnet", "name", name=_TEXT, id=_TEXT, properties=_SUBNET_PROPERTIES)
_SPACE = _object("AddressSpace", addressPrefixes=_TEXTS)
_VNET_PROPERTIES = _object(
    "VirtualNetworkPropertiesFormat", addressSpace=_SPACE, subnets=_list_of(_SUBNET_INSIDE)
)
_CONFIGURATION_PROPERTIES = _object(
    "IPConfigurationPropertiesFormat", subnet=_ID, publicIPAddress=_ID, primary=_FLAG,
    privateIPAddress=_TEXT, privateIPAllocationMethod=_TEXT, privateIPAddressVersion=_TEXT,
)  # fmt: skip
_CONFIGURATION = _object(
    "IPConfiguration", name=_TEXT, id=_TEXT, properties=_CONFIGURATION_PROPERTIES
)
_NIC_PROPERTIES = _object(
    "NetworkInterfacePropertiesFormat", ipConfigurations=_list_of(_CONFIGURATION),
    networkSecurityGroup=_ID, enableAcceleratedNetworking=_FLAG, enableIPForwarding=_FLAG,
    dnsSettings=_object("DnsSettings", dnsServers=_TEXTS, internalDnsNameLabel=_TEXT),
)  # fmt: skip
_RULE_PROPERTIES = _object(
    "SecurityRulePropertiesFormat", protocol=_TEXT, access=_TEXT, direction=_TEXT,
    priority=_NUMBER, description=_TEXT, sourceAddressPrefix=_TEXT,
    destinationAddressPrefix=_TEXT,
)  # fmt: skip
_RULE = _object("SecurityRule", "name", name=_TEXT, id=_TEXT, properties=_RULE_PROPERTIES)
_NSG_PROPERTIES = _object("NetworkSecurityGroupPropertiesFormat", securityRules=_list_of(_RULE))
_ADDRESS_PROPERTIES = _object(
    "PublicIPAddressPropertiesFormat", publicIPAllocationMethod=_TEXT,
    publicIPAddressVersion=_TEXT, idleTimeoutInMinutes=_NUMBER,
    dnsSettings=_object("PublicIPAddressDnsSettings", domainNameLabel=_TEXT, fqdn=_TEXT),
)  # fmt: skip
_SKU = _object("Sku", name=_TEXT, tier=_TEXT)


def _resource(name: str, properties: Kind, **more: Kind) -> Shape | None:
    return _object(name, **_ENVELOPE, properties=properties, **more).own


_NETWORK_FORMS = [
    (_pattern("Network", f"{path}/[^/]+"), made)
    for path, made in (
        ("virtualNetworks", _resource("VirtualNetwork", _VNET_PROPERTIES)),
        ("virtualNetworks/[^/]+/subnets", _SUBNET.own),
        ("networkInterfaces", _resource("NetworkInterface", _NIC_PROPERTIES)),
        ("networkSecurityGroups", _resource("NetworkSecurityGroup", _NSG_PROPERTIES)),
        ("publicIPAddresses", _resource("PublicIPAddress", _ADDRESS_PROPERTIES, sku=_SKU)),
    )
]
_GROUP_SHAPE = _resource("ResourceGroup", _object("ResourceGroupProperties"), managedBy=_TEXT)
