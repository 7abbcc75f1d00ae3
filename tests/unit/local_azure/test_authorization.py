"""Logins with roles: what they may do, and Resource Manager's 403."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from https_world import DISKS, Answer, Client, client

from local_azure.arm.authorization import Asked, Role, asked_for, below, linked_scopes
from local_azure.control_client import ControlError
from local_azure.http_types import Request
from local_azure.identity import object_id

CLIENT, SECRET = "11111111-0000-4000-8000-000000000001", "made up for a test"
SUB = "/subscriptions/s"
GROUP = f"{SUB}/resourceGroups/g"
COMPUTE = f"{GROUP}/providers/Microsoft.Compute"
NETWORK = f"{GROUP}/providers/Microsoft.Network"
SUBNET = f"{NETWORK}/virtualNetworks/n/subnets/default"


@pytest.fixture
def azure() -> Iterator[Client]:
    with client() as made:
        made.make_group()
        yield made


def may(azure: Client, *actions: str, scope: str = "", **lists: Any) -> Client:
    """The client with a login that may do this, in the subscription if nothing else is said."""
    role = {"name": "r", "actions": list(actions), "scope": scope or azure.subscription, **lists}
    azure.local.control.login(CLIENT, SECRET, [role])
    azure.token = azure.ask_token(client_id=CLIENT, client_secret=SECRET).body["access_token"]
    return azure


def refused(answer: Answer, action: str, scope: str) -> None:
    """The whole answer, as recorded (azure-cli, test_backup_csr)."""
    oid = object_id(CLIENT)
    assert answer.status == 403
    assert answer.headers["x-ms-failure-cause"] == "gateway"
    assert answer.body == {
        "error": {
            "code": "AuthorizationFailed",
            "message": f"The client '{oid}' with object id '{oid}' does not have authorization to perform"
            f" action '{action}' over scope '{scope}' or the scope is invalid. If access was recently"
            " granted, please refresh your credentials.",
        }
    }


def disk(azure: Client, name: str = "disk") -> str:
    return f"{azure.subscription}/resourceGroups/group/providers/Microsoft.Compute/disks/{name}"


def test_the_default_login_may_do_everything(azure: Client) -> None:
    assert azure.put_disk().status == 202
    assert azure.local.control.call("GET", "roles") == {}


def test_a_login_without_the_action_is_refused_and_nothing_has_changed(azure: Client) -> None:
    may(azure, "Microsoft.Compute/disks/read")
    refused(azure.put_disk(), "Microsoft.Compute/disks/write", disk(azure))
    assert azure.get_disk().status == 404


def test_who_has_no_role_at_all_may_do_nothing(azure: Client) -> None:
    may(azure)
    azure.local.control.call("PUT", "roles", {"client_id": CLIENT, "roles": []})
    refused(azure.get_disk(), "Microsoft.Compute/disks/read", disk(azure))


def test_403_comes_before_404(azure: Client) -> None:
    """Recorded: the group of azure-powershell#12115 is mistyped, and the answer is 403."""
    may(azure, "Microsoft.Compute/virtualMachines/read")
    refused(azure.get_disk("gone"), "Microsoft.Compute/disks/read", disk(azure, "gone"))
    path = "resourceGroups/gone/providers/Microsoft.Compute/disks/d"
    scope = f"{azure.subscription}/{path}"
    refused(azure.call("GET", path, version=DISKS), "Microsoft.Compute/disks/read", scope)
    may(azure, "Microsoft.Compute/disks/read")
    assert azure.get_disk("gone").status == 404
    assert azure.call("GET", path, version=DISKS).code == "ResourceGroupNotFound"


def test_another_subscription_is_not_found_whoever_asks(azure: Client) -> None:
    may(azure)
    azure.subscription = "/subscriptions/11111111-0000-4000-8000-000000000000"
    assert azure.call("GET", "resourceGroups").code == "SubscriptionNotFound"


def test_a_wrong_token_is_still_401(azure: Client) -> None:
    may(azure)
    azure.token = "x"
    assert azure.get_disk().status == 401


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("*", True),
        ("Microsoft.Compute/*", True),
        ("Microsoft.Compute/*/read", True),
        ("*/read", True),
        ("MICROSOFT.compute/DISKS/read", True),
        ("Microsoft.Compute/disks/*", True),
        ("Microsoft.Compute/disk/read", False),
        ("Microsoft.Compute/disks/re", False),
        ("Microsoft.Compute/*/write", False),
        ("Microsoft.Network/*", False),
    ],
)
def test_wildcards(azure: Client, pattern: str, allowed: bool) -> None:
    may(azure, pattern)
    assert azure.get_disk().status == (404 if allowed else 403)


def test_not_actions_take_away_what_the_role_gives_and_no_other_role(azure: Client) -> None:
    taken = ["Microsoft.Compute/disks/read"]
    may(azure, "*", notActions=taken)
    assert azure.get_disk().status == 403
    give = {"name": "a", "actions": ["*"], "notActions": taken, "scope": "/"}
    other = {"name": "b", "actions": taken, "scope": azure.subscription}
    azure.local.control.call("PUT", "roles", {"client_id": CLIENT, "roles": [give, other]})
    assert azure.get_disk().status == 404


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("/", True),
        ("{sub}", True),
        ("{sub}/resourcegroups/GROUP", True),
        ("{sub}/resourceGroups/group/providers/Microsoft.Compute/disks/disk", True),
        ("{sub}/resourceGroups/group/providers/Microsoft.Compute/disks/dis", False),
        ("{sub}/resourceGroups/grou", False),
        ("{sub}/resourceGroups/other", False),
    ],
)
def test_scopes(azure: Client, scope: str, allowed: bool) -> None:
    may(azure, "*", scope=scope.format(sub=azure.subscription))
    assert azure.get_disk().status == (404 if allowed else 403)


def test_a_list_is_shorter_for_who_may_see_a_part(azure: Client) -> None:
    for name in ("one", "two"):
        azure.poll(azure.put_disk(name))
    where = "resourceGroups/group/providers/Microsoft.Compute/disks"
    may(azure, "Microsoft.Compute/disks/read", scope=disk(azure, "one"))
    for path in (where, "providers/Microsoft.Compute/disks"):
        answer = azure.call("GET", path, version=DISKS)
        assert [one["name"] for one in answer.body["value"]] == ["one"]
    assert azure.call("GET", "resourceGroups").status == 403
    may(azure, "Microsoft.Compute/snapshots/read")
    group = f"{azure.subscription}/resourceGroups/group"
    refused(
        azure.call("GET", where, version=DISKS),
        "Microsoft.Compute/disks/read", f"{group}/providers/Microsoft.Compute",
    )  # fmt: skip
    refused(
        azure.call("GET", "providers/Microsoft.Compute/disks", version=DISKS),
        "Microsoft.Compute/disks/read", azure.subscription,
    )  # fmt: skip


def test_following_an_operation_is_a_right_in_the_subscription(azure: Client) -> None:
    begun = azure.put_disk()
    may(azure, "*", scope=f"{azure.subscription}/resourceGroups/group")
    answer = azure.poll(begun)
    assert (answer.status, answer.code) == (403, "AuthorizationFailed")
    assert "'Microsoft.Compute/locations/DiskOperations/read'" in answer.body["error"]["message"]
    may(azure, "Microsoft.Compute/locations/diskOperations/read")
    assert azure.poll(begun).status == 200


def test_a_linked_scope_is_named_with_its_action(azure: Client) -> None:
    azure.poll(azure.put_disk())
    may(azure, "Microsoft.Compute/snapshots/write")
    body = {
        "location": "westeurope",
        "properties": {"creationData": {"createOption": "Copy", "sourceResourceId": disk(azure)}},
    }
    path = "resourceGroups/group/providers/Microsoft.Compute/snapshots/s"
    answer = azure.call("PUT", path, body, DISKS)
    oid = object_id(CLIENT)
    assert (answer.status, answer.code) == (403, "LinkedAuthorizationFailed")
    assert answer.headers["x-ms-failure-cause"] == "gateway"
    assert answer.body["error"]["message"] == (
        f"The client '{oid}' with object id '{oid}' has permission to perform action"
        f" 'Microsoft.Compute/snapshots/write' on scope '{azure.subscription}/{path}'; however, it does not"
        " have permission to perform action(s) 'Microsoft.Compute/disks/beginGetAccess/action' on the"
        f" linked scope(s) '{disk(azure)}' (respectively) or the linked scope(s) are invalid."
    )
    may(azure, "Microsoft.Compute/snapshots/write", "Microsoft.Compute/disks/beginGetAccess/action")
    assert azure.call("PUT", path, body, DISKS).status == 202


def ask(method: str, path: str, body: str = "") -> Request:
    return Request(method, f"{path}?api-version=1", body=body.encode())


ACTIONS = [
    ("GET", SUB, "Microsoft.Resources/subscriptions/read", SUB),
    ("GET", f"{SUB}/resourceGroups", "Microsoft.Resources/subscriptions/resourceGroups/read", SUB),
    ("GET", GROUP, "Microsoft.Resources/subscriptions/resourceGroups/read", GROUP),
    ("HEAD", GROUP, "Microsoft.Resources/subscriptions/resourceGroups/read", GROUP),
    ("PUT", GROUP, "Microsoft.Resources/subscriptions/resourceGroups/write", GROUP),
    ("DELETE", GROUP, "Microsoft.Resources/subscriptions/resourceGroups/delete", GROUP),
    ("GET", f"{SUB}/locations", "Microsoft.Resources/subscriptions/locations/read", SUB),
    ("POST", f"{SUB}/providers/Microsoft.Compute/register", "Microsoft.Compute/register/action", SUB),
    ("PATCH", f"{COMPUTE}/disks/d", "Microsoft.Compute/disks/write", f"{COMPUTE}/disks/d"),
    (
        "POST", f"{COMPUTE}/disks/d/beginGetAccess",
        "Microsoft.Compute/disks/beginGetAccess/action", f"{COMPUTE}/disks/d",
    ),
    (
        "POST", f"{COMPUTE}/virtualMachines/v/start",
        "Microsoft.Compute/virtualMachines/start/action", f"{COMPUTE}/virtualMachines/v",
    ),
    (
        "GET", f"{COMPUTE}/virtualMachines/v/instanceView",
        "Microsoft.Compute/virtualMachines/instanceView/read", f"{COMPUTE}/virtualMachines/v",
    ),
    (
        "DELETE", f"{COMPUTE}/restorePointCollections/c/restorePoints/p",
        "Microsoft.Compute/restorePointCollections/restorePoints/delete",
        f"{COMPUTE}/restorePointCollections/c/restorePoints/p",
    ),
    (
        "POST", f"{COMPUTE}/restorePointCollections/c/restorePoints/p/diskRestorePoints/d/endGetAccess",
        "Microsoft.Compute/restorePointCollections/restorePoints/diskRestorePoints/endGetAccess/action",
        f"{COMPUTE}/restorePointCollections/c/restorePoints/p/diskRestorePoints/d",
    ),
    (
        "GET", f"{SUB}/providers/Microsoft.Compute/locations/westeurope/operations/o",
        "Microsoft.Compute/locations/operations/read",
        f"{SUB}/providers/Microsoft.Compute/locations/westeurope/operations/o",
    ),
    ("GET", SUBNET, "Microsoft.Network/virtualNetworks/subnets/read", SUBNET),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "action", "scope"), ACTIONS)
def test_the_action_of_a_request(method: str, path: str, action: str, scope: str) -> None:
    found = asked_for(ask(method, path))
    assert found is not None
    assert (found.action, found.scope) == (action, scope)


@pytest.mark.parametrize("path", ["/tenants", "/subscriptions"])
def test_what_everybody_may_ask(path: str) -> None:
    assert asked_for(ask("GET", path)) is None


VM = "Microsoft.Compute/virtualMachines/write"
JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"
NIC = f"{NETWORK}/networkInterfaces/i"
KEY = f"{COMPUTE}/diskEncryptionSets/k"
ME = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/me"
RULES = f"{NETWORK}/networkSecurityGroups/r"
ADDRESS = f"{NETWORK}/publicIPAddresses/a"
DISK_WRITE = "Microsoft.Compute/disks/write"
OWN_SUBNET = {"properties": {"subnet": {"id": SUBNET}}}
OWN_INTERFACE = {
    "properties": {"networkSecurityGroup": {"id": RULES}, "ipConfigurations": [OWN_SUBNET]}
}
ENCRYPTED = {"managedDisk": {"diskEncryptionSet": {"id": KEY}}}
ADDRESSED = {"properties": {"subnet": {"id": SUBNET}, "publicIPAddress": {"id": ADDRESS}}}
LINKS: list[tuple[str, Any, list[tuple[str, str]]]] = [
    (
        VM,
        {"properties": {"networkProfile": {"networkInterfaces": [{"id": NIC}]}}},
        [("Microsoft.Network/networkInterfaces/join/action", NIC)],
    ),
    (
        VM,
        {"properties": {"networkProfile": {"networkInterfaceConfigurations": [OWN_INTERFACE]}}},
        [(JOIN, SUBNET), ("Microsoft.Network/networkSecurityGroups/join/action", RULES)],
    ),
    (
        VM,
        {"identity": {"userAssignedIdentities": {ME: {}, "gone": None}}},
        [("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", ME)],
    ),
    (
        VM,
        {"properties": {"storageProfile": {"dataDisks": [ENCRYPTED]}}},
        [("Microsoft.Compute/diskEncryptionSets/read", KEY)],
    ),
    (VM, {"tags": {"a": "b"}}, []),
    (
        DISK_WRITE,
        {"properties": {"encryption": {"diskEncryptionSetId": KEY}}},
        [("Microsoft.Compute/diskEncryptionSets/read", KEY)],
    ),
    (
        "Microsoft.Network/networkInterfaces/write",
        {"properties": {"ipConfigurations": [ADDRESSED]}},
        [(JOIN, SUBNET), ("Microsoft.Network/publicIPAddresses/join/action", ADDRESS)],
    ),
    (DISK_WRITE, {"properties": {"creationData": 5, "encryption": []}}, []),
    (DISK_WRITE, [], []),
    (VM, {"identity": 5, "properties": []}, []),
]


@pytest.mark.parametrize(("action", "body", "links"), LINKS)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_a_body_links_to(
    method: str, action: str, body: Any, links: list[tuple[str, str]]
) -> None:
    found = linked_scopes(ask(method, "/x", json.dumps(body)), Asked(action, "/x"))
    assert sorted(found) == sorted(links)


def test_a_body_that_is_no_json_links_to_nothing() -> None:
    assert linked_scopes(ask("PUT", "/x", "no JSON"), Asked(DISK_WRITE, "/x")) == []


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        (5, "a list"),
        ([5], "an object"),
        ([{"name": "a", "actions": ["*"]}], "scope"),
        ([{"name": "a", "scope": "sub"}], "begins with '/'"),
        ([{"name": "a", "scope": "/", "actions": "*"}], "list of strings"),
        ([{"name": "a", "scope": "/", "Actions": ["*"]}], "'Actions'"),
    ],
)
def test_what_is_no_role_is_refused(azure: Client, roles: Any, says: str) -> None:
    with pytest.raises(ControlError, match=says):
        azure.local.control.call("PUT", "roles", {"client_id": CLIENT, "roles": roles})
    assert azure.local.control.call("GET", "roles") == {}


def test_roles_are_shown_and_forgotten(azure: Client) -> None:
    may(azure, "*/read", dataActions=["Microsoft.Compute/disks/download/action"])
    (shown,) = azure.local.control.call("GET", "roles")[CLIENT]
    assert (shown["actions"], shown["notActions"]) == (["*/read"], [])
    download = "Microsoft.Compute/disks/download/action"
    allows = azure.local.app.authorization.allows
    assert allows(CLIENT, download, disk(azure), data=True)
    assert not allows(CLIENT, download, disk(azure))
    assert not allows(CLIENT, "Microsoft.Compute/disks/upload/action", disk(azure), data=True)
    azure.local.control.call("DELETE", "roles", client_id=CLIENT)
    assert azure.put_disk().status == 202


def test_a_scope_lies_in_another() -> None:
    assert below(GROUP, SUB) and below(GROUP, GROUP.upper()) and below(GROUP, "/")
    assert not below(SUB, GROUP) and not below(f"{GROUP}2", GROUP)
    assert Role.read({"name": "a", "scope": "/"}).covers("/anything")


def test_the_object_id_is_not_the_client_id(azure: Client) -> None:
    assert object_id(CLIENT) not in (CLIENT, object_id(azure.local.config.client_id))


def test_a_missing_api_version_is_told_before_a_missing_right(azure: Client) -> None:
    may(azure)
    headers = {"Authorization": f"Bearer {azure.token}"}
    assert azure.raw("GET", disk(azure), headers=headers).code == "MissingApiVersionParameter"
