"""A virtual machine at once, without requests: for the control interface."""

from __future__ import annotations

from typing import Any

from ..arm.resources import Resource, new_guid, same_id
from ..clock import wire_time
from ..network_model import (
    attach_nic,
    network_id,
    new_nic,
    new_subnet,
    new_vnet,
)
from ..resource_groups import new_group
from ..state import State
from ..storage.image import Image
from .disk_model import attach, disk_id, new_disk
from .sizes import capabilities, max_data_disks
from .vm_model import VM_TYPE, check_name, os_profile, vm_body, vm_id
from .vm_power import set_power

_ADDRESS_SPACE, _SUBNET = "10.0.0.0/16", "10.0.0.0/24"


def create_vm_directly(
    state: State,
    *,
    subscription: str,
    group: str,
    name: str,
    location: str,
    size: str,
    os_type: str,
    os_image: Image,
    os_gb: int,
    data: list[dict[str, Any]],
    zones: list[str] | None = None,
    tags: dict[str, str] | None = None,
    running: bool = True,
    agent: bool = True,
    hyper_v_generation: str = "V2",
    security_type: str | None = None,
) -> Resource:
    """A machine with its resource group, network, interface and disks.

    ``data`` holds ``lun`` and ``image`` of each data disk, and optionally ``size_gb``, ``caching``,
    ``sku``, ``name`` and ``write_accelerator``.

    Raises:
        ValueError: for a machine that exists, or disks that cannot be.
        ArmError: for a name or a size that the service refuses.
    """
    identity = vm_id(subscription, group, name)
    _check(state, identity, size, data)
    group = new_group(state, subscription, group, location).name
    identity = vm_id(subscription, group, name)
    security = {"securityType": security_type} if security_type else None
    common = {"subscription": subscription, "group": group, "location": location, "zones": zones}
    os_disk = new_disk(
        state, name=f"{name}_OsDisk_1", image=os_image, size_gb=os_gb, sku="Premium_LRS",
        os_type=os_type, hyper_v_generation=hyper_v_generation, security_profile=security,
        creation_data={"createOption": "FromImage"},
        extra={"supportedCapabilities": capabilities(size)}, **common,
    )  # fmt: skip
    disks = [_data_disk(state, name, item, common) for item in data]
    for disk in (os_disk, *disks):
        attach(state, disk, identity, reserved=not running)
    storage = {
        "osDisk": _entry(os_disk, {"caching": "ReadWrite"}, os_type=os_type),
        "dataDisks": [_entry(disk, item) for disk, item in zip(disks, data, strict=True)],
    }
    nic = _interface(state, subscription, group, name, location)
    attach_nic(nic, identity, primary=True)
    body = vm_body(
        identity=identity, location=location, request=_request(tags, zones, security_type),
        vm_guid=new_guid(), size=size, storage=storage,
        profile=os_profile(_user(name), name, os_type),
        network={"networkInterfaces": [{"id": nic.id, "properties": {"primary": True}}]},
        state="Succeeded", created=wire_time(state.clock.now()),
    )  # fmt: skip
    hidden = {"agent": agent, "created": True, "generation": hyper_v_generation}
    vm = state.resources.put(Resource(identity, VM_TYPE, body, hidden))
    set_power(state, vm, "running" if running else "deallocated")
    return vm


def _user(name: str) -> dict[str, Any]:
    return {"adminUsername": "azureuser", "computerName": name[:15]}


def _check(state: State, identity: str, size: str, data: list[dict[str, Any]]) -> None:
    name = identity.rsplit("/", 1)[1]
    check_name(name)
    if state.resources.get(identity) is not None:
        raise ValueError(f"There is a virtual machine {name} already.")
    luns = [item["lun"] for item in data]
    if len(set(luns)) != len(luns):
        raise ValueError(f"Two data disks of {name} have the same LUN.")
    if len(data) > max_data_disks(size):
        raise ValueError(
            f"A machine of size {size} takes at most {max_data_disks(size)} data disks."
        )
    taken = [item["name"] for item in data if "name" in item]
    subscription, group = identity.split("/")[2], identity.split("/")[4]
    for disk in taken:
        if state.resources.get(disk_id(subscription, group, disk)) is not None:
            raise ValueError(f"There is a disk {disk} already.")


def _request(
    tags: dict[str, str] | None, zones: list[str] | None, security_type: str | None
) -> dict[str, Any]:
    """What a client would have sent for such a machine."""
    properties: dict[str, Any] = {}
    if security_type:
        properties["securityProfile"] = {
            "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
            "securityType": security_type,
        }
    return {"tags": tags, "zones": zones, "properties": properties}


def _data_disk(
    state: State, vm_name: str, item: dict[str, Any], common: dict[str, Any]
) -> Resource:
    image: Image = item["image"]
    return new_disk(
        state, name=item.get("name") or f"{vm_name}_DataDisk_{item['lun']}", image=image,
        size_gb=item.get("size_gb") or -(-image.size // (1 << 30)),
        sku=item.get("sku") or "Premium_LRS", creation_data={"createOption": "Empty"}, **common,
    )  # fmt: skip


def _entry(disk: Resource, item: dict[str, Any], os_type: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "lun": item.get("lun"),
        "osType": os_type,
        "name": disk.name,
        "createOption": "FromImage" if os_type else "Attach",
        "caching": item.get("caching") or "None",
        "writeAcceleratorEnabled": item.get("write_accelerator"),
        "managedDisk": {"storageAccountType": disk.body["sku"]["name"], "id": disk.id},
        "deleteOption": "Detach",
        "diskSizeGB": disk.properties["diskSizeGB"],
        "toBeDetached": None if os_type else False,
    }
    return {key: value for key, value in made.items() if value is not None}


def _interface(
    state: State, subscription: str, group: str, vm_name: str, location: str
) -> Resource:
    """An interface in the resource group's network, which is made with its first machine."""
    where = {"subscription": subscription, "group": group, "location": location}
    vnet_name = f"{group}-vnet"
    vnet = state.resources.get(network_id(subscription, group, "virtualNetworks", vnet_name))
    if vnet is not None and not same_id(vnet.location, location):
        vnet_name, vnet = f"{group}-{location}-vnet", None
        vnet = state.resources.get(network_id(subscription, group, "virtualNetworks", vnet_name))
    if vnet is None:
        vnet = new_vnet(state, name=vnet_name, address_prefixes=[_ADDRESS_SPACE], **where)
    subnet = state.resources.get(f"{vnet.id}/subnets/default")
    if subnet is None:
        subnet = new_subnet(state, vnet, "default", {"addressPrefix": _SUBNET})
    configuration = {"name": "ipconfig1", "properties": {"subnet": {"id": subnet.id}}}
    properties = {"ipConfigurations": [configuration]}
    return new_nic(state, name=f"{vm_name}-nic", properties=properties, **where)
