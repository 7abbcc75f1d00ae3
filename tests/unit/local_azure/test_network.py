"""Networks, subnets, interfaces, and the resource groups that all of it is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compute_world import COMPUTE, GROUP_ID, SUBSCRIPTION
from vm_world import NETWORK, SUBNET, VmWorld, nic_body

VNET = f"{NETWORK}/virtualNetworks/net"
SUBSCRIPTION_ID = f"/subscriptions/{SUBSCRIPTION}"


@pytest.fixture
def world(tmp_path: Path) -> VmWorld:
    return VmWorld(tmp_path)


def test_a_network_shows_its_subnets_and_who_is_in_them(world: VmWorld) -> None:
    nic = world.nic("nic1")
    vnet = world.get(VNET)["properties"]

    assert vnet["provisioningState"] == "Succeeded"
    subnet = vnet["subnets"][0]
    assert subnet["id"] == SUBNET
    assert subnet["properties"]["ipConfigurations"] == [{"id": f"{nic}/ipConfigurations/one"}]
    assert world.get(f"{VNET}/subnets")["value"][0]["name"] == "default"


def test_an_interface_gets_an_address_and_keeps_it(world: VmWorld) -> None:
    target = world.nic("nic1")
    first = world.get(target)["properties"]
    world.nic("nic1")
    again = world.get(target)["properties"]

    assert first["ipConfigurations"][0]["properties"]["privateIPAddress"] == "10.1.0.4"
    assert first["macAddress"] == again["macAddress"]
    assert again["ipConfigurations"][0]["properties"]["privateIPAddress"] == "10.1.0.4"


def _static(world: VmWorld, name: str, address: str) -> Any:
    body = nic_body(world.subnet(), privateIPAllocationMethod="Static", privateIPAddress=address)
    return world.call("PUT", f"{NETWORK}/networkInterfaces/{name}", body)


def test_static_addresses(world: VmWorld) -> None:
    assert _static(world, "nic1", "10.1.0.40").status == 201
    assert _static(world, "nic2", "10.1.0.40").error == "PrivateIPAddressInUse"
    assert _static(world, "nic2", "10.9.0.1").error == "PrivateIPAddressNotInSubnet"
    assert _static(world, "nic2", "nonsense").error == "PrivateIPAddressNotInSubnet"


def test_a_full_subnet(world: VmWorld) -> None:
    world.subnet()
    tiny = f"{VNET}/subnets/tiny"
    assert world.call("PUT", tiny, {"properties": {"addressPrefix": "10.1.9.0/29"}}).status == 201
    answers = [
        world.call("PUT", f"{NETWORK}/networkInterfaces/nic{number}", nic_body(tiny))
        for number in range(4)
    ]

    assert [answer.status for answer in answers] == [201, 201, 201, 400]
    assert answers[-1].error == "SubnetIsFull"


def test_interfaces_that_cannot_be(world: VmWorld) -> None:
    target = f"{NETWORK}/networkInterfaces/nic1"
    subnet = world.subnet()

    assert world.call("PUT", target, {"location": "westus"}).status == 400
    assert world.call("PUT", target, nic_body("")).error == "LinkedInvalidPropertyId"
    without = {"location": "westus", "properties": {"ipConfigurations": [{"name": "one"}]}}
    assert world.call("PUT", target, without).error == "SubnetIsRequired"
    assert world.call("PUT", target, nic_body(f"{VNET}/subnets/no")).error == (
        "InvalidResourceReference"
    )
    assert world.call("PUT", target, nic_body(subnet, "eastus")).error == "InvalidResourceReference"
    body = nic_body(subnet)
    del body["location"]
    assert world.call("PUT", target, body).error == "LocationRequired"
    assert world.call("GET", target).error == "ResourceNotFound"


def test_what_is_in_use_cannot_be_deleted(world: VmWorld) -> None:
    world.direct()
    nic = f"{NETWORK}/networkInterfaces/vm1-nic"
    vnet = f"{NETWORK}/virtualNetworks/MyGroup-vnet"

    answer = world.call("DELETE", nic)
    assert (answer.status, answer.error) == (400, "NicInUse")
    assert world.call("DELETE", f"{vnet}/subnets/default").error == "InUseSubnetCannotBeDeleted"
    assert world.call("DELETE", vnet).error == "InUseSubnetCannotBeDeleted"
    world.done("DELETE", f"{COMPUTE}/virtualMachines/vm1")
    for target in (nic, f"{vnet}/subnets/default", vnet):
        assert world.call("DELETE", target).status == 200
        assert world.call("DELETE", target).status in (204, 404)


@pytest.mark.parametrize(
    ("space", "prefix", "code"),
    [
        ("10.0.0.0/16", "10.1.0.0/24", "NetcfgInvalidSubnet"),
        ("10.0.0.0/16", "10.0.0.1/24", "InvalidCIDRNotation"),
        ("nonsense", "10.0.0.0/24", "InvalidCIDRNotation"),
        (None, "10.0.0.0/24", "InvalidRequestFormat"),
        ("10.0.0.0/16", None, "InvalidRequestFormat"),
    ],
)
def test_bad_prefixes(world: VmWorld, space: str | None, prefix: str | None, code: str) -> None:
    body = {
        "location": "westus",
        "properties": {
            "addressSpace": {"addressPrefixes": [space] if space else []},
            "subnets": [{"name": "one", "properties": {"addressPrefix": prefix}}],
        },
    }
    answer = world.call("PUT", VNET, body)

    assert (answer.status, answer.error) == (400, code)


def test_plain_resources_come_and_go(world: VmWorld) -> None:
    group = f"{NETWORK}/networkSecurityGroups/nsg"
    public = f"{NETWORK}/publicIPAddresses/ip"
    for target in (group, public):
        assert world.call("PUT", target, {"location": "westus"}).status == 201
        assert world.call("PATCH", target, {"tags": {"a": "b"}}).body["tags"] == {"a": "b"}
    body = nic_body(world.subnet(), publicIPAddress={"id": public})
    body["properties"]["networkSecurityGroup"] = {"id": group}
    assert world.call("PUT", f"{NETWORK}/networkInterfaces/nic1", body).status == 201

    assert world.call("DELETE", group).error == "InUseNetworkSecurityGroupCannotBeDeleted"
    assert world.call("DELETE", public).error == "PublicIPAddressCannotBeDeleted"
    assert world.call("DELETE", f"{NETWORK}/networkInterfaces/nic1").status == 200
    assert world.call("DELETE", group).status == 200
    listed = world.get(f"{SUBSCRIPTION_ID}/providers/Microsoft.Network/publicIPAddresses")
    assert [item["name"] for item in listed["value"]] == ["ip"]


# -- resource groups


def test_a_resource_group_lives_and_dies(world: VmWorld) -> None:
    target = f"{SUBSCRIPTION_ID}/resourceGroups/new"
    body = {"location": "West US", "tags": {"a": "b"}}

    assert world.call("HEAD", target).status == 404
    assert world.call("PUT", target, body).status == 201
    assert world.call("PUT", target, body).status == 200
    assert world.call("HEAD", target).status == 204
    moved = world.call("PUT", target, {"location": "eastus"})
    assert (moved.status, moved.error) == (409, "InvalidResourceGroupLocation")
    assert world.call("PATCH", target, {"tags": {"c": "d"}}).body["tags"] == {"c": "d"}
    names = {item["name"] for item in world.get(f"{SUBSCRIPTION_ID}/resourceGroups")["value"]}
    assert names == {"MyGroup", "new"}
    answer = world.call("DELETE", target)
    assert (answer.status, answer.body) == (202, None)
    assert world.call("GET", answer.headers["Location"]).status == 200
    assert world.call("GET", target).error == "ResourceGroupNotFound"


@pytest.mark.parametrize("name", ["bad.", "b%20ad", "a" * 91])
def test_a_group_name_that_azure_refuses(world: VmWorld, name: str) -> None:
    answer = world.call("PUT", f"{SUBSCRIPTION_ID}/resourceGroups/{name}", {"location": "westus"})

    assert answer.error == "InvalidResourceGroupName"


def test_a_group_takes_everything_with_it_but_waits_for_signatures(world: VmWorld) -> None:
    world.direct(running=False)
    world.disk("loose")
    access = {"access": "Read", "durationInSeconds": 60}
    disk = f"{COMPUTE}/disks/loose"
    world.done("POST", f"{disk}/beginGetAccess", access)
    answer = world.call("DELETE", GROUP_ID)

    assert world.call("GET", answer.headers["Location"]).status == 202
    assert world.get(GROUP_ID)["properties"]["provisioningState"] == "Deleting"
    world.done("POST", f"{disk}/endGetAccess")
    world.clock.advance(2)
    assert world.call("GET", answer.headers["Location"]).status == 200
    assert world.call("GET", disk).status == 404
    assert world.state.resources.below(GROUP_ID) == []


def test_what_is_in_a_group(world: VmWorld) -> None:
    world.direct(luns=())
    found = {item["type"] for item in world.get(f"{GROUP_ID}/resources")["value"]}
    filtered = world.get(
        f"{SUBSCRIPTION_ID}/resources?$filter=resourceType%20eq%20'Microsoft.Compute/disks'"
    )

    assert found == {
        "Microsoft.Compute/disks", "Microsoft.Compute/virtualMachines",
        "Microsoft.Network/networkInterfaces", "Microsoft.Network/virtualNetworks",
    }  # fmt: skip
    assert [item["name"] for item in filtered["value"]] == ["vm1_OsDisk_1"]
    assert world.call("GET", f"{SUBSCRIPTION_ID}/resourceGroups/no/resources").status == 404


# -- the subscription


def test_the_subscription_and_what_it_offers(world: VmWorld) -> None:
    assert world.get("/subscriptions")["value"][0]["subscriptionId"] == SUBSCRIPTION
    assert world.get(SUBSCRIPTION_ID)["state"] == "Enabled"
    assert world.call("GET", "/subscriptions/other").error == "SubscriptionNotFound"
    assert world.get("/tenants")["value"][0]["tenantId"] == world.config.tenant
    locations = {item["name"] for item in world.get(f"{SUBSCRIPTION_ID}/locations")["value"]}
    assert {world.config.location, "eastus"} <= locations


def test_providers_are_registered(world: VmWorld) -> None:
    target = f"{SUBSCRIPTION_ID}/providers/microsoft.compute"
    answer = world.get(target)

    assert answer["registrationState"] == "Registered"
    assert answer["resourceTypes"][0]["apiVersions"]
    assert world.call("POST", f"{target}/register").status == 200
    assert len(world.get(f"{SUBSCRIPTION_ID}/providers")["value"]) == 3
    unknown = world.call("GET", f"{SUBSCRIPTION_ID}/providers/Microsoft.Nope")
    assert unknown.error == "InvalidResourceNamespace"


def public_address(world: VmWorld) -> str:
    target = f"{NETWORK}/publicIPAddresses/address"
    assert world.call("PUT", target, {"location": "westus"}).status == 201
    return target


def test_a_public_address_shows_who_has_it(world: VmWorld) -> None:
    address = public_address(world)
    assert "ipConfiguration" not in world.get(address)["properties"]
    body = nic_body(world.subnet(), publicIPAddress={"id": address.upper()})
    nic = f"{NETWORK}/networkInterfaces/nic1"
    assert world.call("PUT", nic, body).status == 201

    held = {"id": f"{nic}/ipConfigurations/one"}
    assert world.get(address)["properties"]["ipConfiguration"] == held
    listed = world.get(f"{NETWORK}/publicIPAddresses")["value"]
    assert listed[0]["properties"]["ipConfiguration"] == held
    again = world.call("PUT", address, {"location": "westus", "tags": {"a": "b"}})
    assert again.body["properties"]["ipConfiguration"] == held
    assert world.call("DELETE", nic).status == 200
    assert "ipConfiguration" not in world.get(address)["properties"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("kind", ["virtualNetworks/net", "publicIPAddresses/address"])
def test_a_change_of_what_has_changed(world: VmWorld, kind: str, method: str) -> None:
    world.subnet()
    public_address(world)
    target = f"{NETWORK}/{kind}"
    before = world.get(target)
    body = {**before, "tags": {"by": "me"}}
    stale = {"If-Match": 'W/"stale"'}
    for headers in (stale, {"If-None-Match": "*"}) if method == "PUT" else (stale,):
        answer = world.call(method, target, body, headers=headers)
        assert (answer.status, answer.error) == (412, "PreconditionFailed")
        assert world.get(target) == before
    for headers in ({"If-Match": before["etag"]}, {"If-Match": "*"}):
        assert world.call(method, target, body, headers=headers).status == 200
    assert world.get(target)["tags"] == {"by": "me"}


def test_a_change_of_what_is_not_there(world: VmWorld) -> None:
    world.subnet()
    body = {"properties": {"addressPrefix": "10.1.3.0/24"}}
    answer = world.call("PUT", f"{VNET}/subnets/new", body, headers={"If-Match": "*"})
    assert answer.error == "PreconditionFailed"
    assert world.call("GET", f"{VNET}/subnets/new").status == 404


def test_a_network_that_is_refused_is_as_it_was(world: VmWorld) -> None:
    """Nothing of it is written before all of it was looked at."""
    world.nic("nic1")
    before = world.get(VNET)
    space = {"addressPrefixes": ["10.1.0.0/16"]}
    right = {"name": "other", "properties": {"addressPrefix": "10.1.7.0/24"}}
    wrong = {"name": "wrong", "properties": {"addressPrefix": "10.9.0.0/24"}}
    for subnets in ([right, wrong], [right, {"name": "none"}], [right]):
        body = {"location": "westus", "properties": {"addressSpace": space, "subnets": subnets}}
        assert world.call("PUT", VNET, body).status == 400
        assert world.get(VNET) == before


def test_what_the_service_adds(world: VmWorld) -> None:
    rules = f"{NETWORK}/networkSecurityGroups/rules"
    made = world.call("PUT", rules, {"location": "westus"}).body["properties"]
    assert [rule["name"] for rule in made["defaultSecurityRules"]][2::3] == [
        "DenyAllInBound", "DenyAllOutBound",
    ]  # fmt: skip
    assert world.get(public_address(world))["sku"] == {"name": "Standard", "tier": "Regional"}
