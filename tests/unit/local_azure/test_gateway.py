"""What Resource Manager decides before a provider sees a request, over real HTTPS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from https_world import DISKS, GROUPS, Answer, Client, client

from local_azure.config import Config

COMPUTE = "resourceGroups/group/providers/Microsoft.Compute"
NETWORK = "resourceGroups/group/providers/Microsoft.Network"
DISK = f"{COMPUTE}/disks/d1"
VERSION = "2024-07-01"


@pytest.fixture(scope="module")
def one() -> Iterator[Client]:
    with client() as made:
        made.make_group()
        yield made


@pytest.fixture
def azure(one: Client) -> Iterator[Client]:
    """The same for all; what a test sets is set back."""
    yield one
    defaults: dict[str, Any] = {
        "locks": [], "denied": [], "modified": [], "unregistered": [], "disabled": False,
    }  # fmt: skip
    one.local.control.configure(
        governance=defaults, limits={"page_size": 1_000_000}, durations={"delete": 0}
    )


def disk(tags: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    properties = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1, **more}
    return {"location": "westeurope", "tags": tags or {}, "properties": properties}


def make(azure: Client, *names: str, tags: dict[str, str] | None = None) -> None:
    for name in names:
        answer = azure.call("PUT", f"{COMPUTE}/disks/{name}", disk(tags), DISKS)
        assert answer.status in (200, 202), answer.data


def refused(answer: Answer, status: int, code: str) -> str:
    assert (answer.status, answer.code) == (status, code), answer.data
    return answer.body["error"]["message"]


def by_gateway(answer: Answer, status: int, code: str) -> str:
    assert answer.headers["x-ms-failure-cause"] == "gateway"
    return refused(answer, status, code)


# -- api-versions


@pytest.mark.parametrize("version", ["2015-01-01", "2023-07-01", "2099-01-01"])
def test_api_versions_that_a_type_does_not_have(azure: Client, version: str) -> None:
    message = by_gateway(azure.call("GET", DISK, version=version), 400, "NoRegisteredProviderFound")

    assert message.startswith(
        f"No registered resource provider found for location 'westeurope' and API version"
        f" '{version}' for type 'disks'. The supported api-versions are '2016-04-30-preview, "
    )
    assert "2026-03-02'. The supported locations are '" in message
    listed = azure.call("GET", "providers/Microsoft.Compute/disks", version=version)
    assert f"for api version '{version}'" in by_gateway(listed, 400, "InvalidResourceType")


def test_disks_and_machines_have_versions_of_their_own(azure: Client) -> None:
    make(azure, "d1")
    vm = f"{COMPUTE}/virtualMachines/none"
    refused(azure.call("GET", vm, version=DISKS), 400, "NoRegisteredProviderFound")
    refused(azure.call("GET", vm, version=VERSION), 404, "ResourceNotFound")
    refused(azure.call("GET", DISK, version=VERSION), 400, "NoRegisteredProviderFound")
    points = f"{COMPUTE}/restorePointCollections/none"
    refused(azure.call("GET", points, version="2020-12-01"), 400, "NoRegisteredProviderFound")


@pytest.mark.parametrize("version", ["banana", "2024", ""])
def test_api_versions_that_are_none(azure: Client, version: str) -> None:
    for path in ("resourceGroups", DISK):
        answer = azure.call("GET", path, version=version)
        message = by_gateway(answer, 400, "InvalidApiVersionParameter")
        assert message.startswith(f"The api-version '{version}' is invalid. The supported versions")


def test_what_is_newer_than_all_known_versions_is_taken(azure: Client) -> None:
    today = azure.local.control.call("POST", "clock/advance", {"seconds": 0})["now"][:10]
    for path in ("resourceGroups", "providers/Microsoft.Compute/disks"):
        assert azure.call("GET", path, version=today).status == 200
        assert azure.call("GET", path, version="2031-01-01").status == 400


# -- paths, parameters, subscriptions


def test_an_empty_part_after_the_namespace(azure: Client) -> None:
    make(azure, "d1")
    path = "resourceGroups/group/providers/Microsoft.Compute//disks/d1"
    assert azure.call("GET", path, version=DISKS).body["name"] == "d1"


def test_names_of_parameters_in_any_casing(azure: Client) -> None:
    headers = {"Authorization": f"Bearer {azure.ask_token().body['access_token']}"}
    for text in ("API-VERSION=2021-04-01", "Api-Version=2021-04-01&%24Filter=name%20eq%20'x'"):
        target = f"{azure.subscription}/resourceGroups?{text}"
        assert azure.raw("GET", target, headers=headers).status == 200


def test_a_subscription_that_is_none(azure: Client) -> None:
    headers = {"Authorization": f"Bearer {azure.ask_token().body['access_token']}"}
    answer = azure.raw("GET", "/subscriptions/abc/resourceGroups?api-version=2021-04-01",
                       headers=headers)  # fmt: skip
    assert "'abc' is malformed" in by_gateway(answer, 400, "InvalidSubscriptionId")


@pytest.mark.parametrize("name", ["ends.", "ends-"])
def test_the_last_character_of_a_name(azure: Client, name: str) -> None:
    answer = azure.call("PUT", f"{COMPUTE}/disks/{name}", disk(), DISKS)
    assert "the last one a letter" in refused(answer, 400, "InvalidParameter")


def test_tags_that_differ_in_casing_only(azure: Client) -> None:
    answer = azure.call("PUT", f"{COMPUTE}/disks/tags", disk({"A": "1", "a": "2"}), DISKS)
    assert "same key" in by_gateway(answer, 400, "InvalidRequestContent")
    assert azure.call("GET", f"{COMPUTE}/disks/tags", version=DISKS).status == 404


# -- filters and pages


@pytest.fixture
def listed(azure: Client) -> Client:
    make(azure, "f1", tags={"owner": "me", "use": "test"})
    make(azure, "f2", tags={"owner": "you", "other": "me"})
    azure.call("PUT", f"{NETWORK}/networkSecurityGroups/f3", {"location": "northeurope"}, VERSION)
    return azure


def names(azure: Client, text: str, path: str = "resources") -> list[str]:
    answer = azure.call("GET", f"{path}?$filter={text.replace(' ', '%20')}")
    assert answer.status == 200, answer.data
    return sorted(item["name"] for item in answer.body["value"] if item["name"][0] == "f")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name eq 'nope'", []),
        ("name eq 'F1'", ["f1"]),
        ("name eq 'f1' or name eq 'f3'", ["f1", "f3"]),
        ("(name eq 'f1' or name eq 'f3') and location eq 'North Europe'", ["f3"]),
        ("resourceType eq 'microsoft.compute/disks' and name ne 'f2'", ["f1"]),
        ("tagname eq 'owner' and tagvalue eq 'me'", ["f1"]),
        ("tagName eq 'other' and tagValue eq 'me'", ["f2"]),
        ("tagName eq 'owner'", ["f1", "f2"]),
        ("startswith(tagName, 'ow')", ["f1", "f2"]),
        ("substringof('2', name)", ["f2"]),
        ("resourceGroup eq 'other'", []),
        ("", ["f1", "f2", "f3"]),
    ],
)
def test_filters_of_resources(listed: Client, text: str, found: list[str]) -> None:
    assert names(listed, text) == found
    assert names(listed, text, "resourceGroups/group/resources") == found


@pytest.mark.parametrize("text", ["name", "name is 'x'", "odd eq 'x'", "name eq 'x' and", "!"])
def test_filters_that_cannot_be_read(azure: Client, text: str) -> None:
    answer = azure.call("GET", f"resources?$filter={text.replace(' ', '%20')}")
    assert f"Invalid $filter '{text}'" in by_gateway(answer, 400, "InvalidFilterInQueryString")


def test_filters_of_groups(azure: Client) -> None:
    body = {"location": "westeurope", "tags": {"owner": "me"}}
    assert azure.call("PUT", "resourceGroups/fgroup", body).status in (200, 201)
    assert names(azure, "tagname eq 'owner' and tagvalue eq 'nobody'", "resourceGroups") == []
    assert names(azure, "tagname eq 'owner' and tagvalue eq 'me'", "resourceGroups") == ["fgroup"]


def walk(azure: Client, path: str, version: str = GROUPS) -> list[list[str]]:
    """The names on each page."""
    headers = {"Authorization": f"Bearer {azure.token}"}
    answer = azure.call("GET", path, version=version)
    pages = []
    while True:
        pages.append([item["name"] for item in answer.body["value"]])
        link = answer.body.get("nextLink")
        if link is None:
            return pages
        answer = azure.raw("GET", link.removeprefix(azure.local.url), headers=headers)


def test_every_list_pages_when_told_to(azure: Client) -> None:
    make(azure, "p1", "p2", "p3", "p4", "p5")
    disks = f"{COMPUTE}/disks"
    (whole,) = walk(azure, disks, DISKS)
    azure.local.control.configure(limits={"page_size": 2})
    pages = walk(azure, disks, DISKS)
    assert [name for page in pages for name in page] == whole
    assert {len(page) for page in pages[:-1]} == {2}
    assert len(walk(azure, "resources")) > 2
    kept = walk(azure, "resources?$filter=name%20eq%20'p1'%20or%20name%20eq%20'p2'"
                       "%20or%20name%20eq%20'p3'")  # fmt: skip
    assert kept == [["p1", "p2"], ["p3"]]


def test_top(azure: Client) -> None:
    make(azure, "p1", "p2", "p3")
    assert {len(page) for page in walk(azure, "resources?$top=1")} == {1}
    by_gateway(azure.call("GET", "resources?$top=no"), 400, "InvalidQueryParameterValue")
    by_gateway(azure.call("GET", "resources?$skiptoken=pageX"), 400, "InvalidSkipToken")


# -- several requests in one


def batch(azure: Client, *requests: Any) -> Answer:
    headers = {"Authorization": f"Bearer {azure.ask_token().body['access_token']}"}
    body = json.dumps({"requests": list(requests)})
    return azure.raw("POST", "/batch?api-version=2015-11-01", body, headers)


def test_a_batch(azure: Client) -> None:
    make(azure, "d1")
    path = f"{azure.subscription}/{DISK}?api-version={DISKS}"
    change = {"tags": {"by": "batch"}}
    answer = batch(
        azure,
        {"httpMethod": "PATCH", "url": path, "name": "a", "content": change},
        {"httpMethod": "GET", "url": path, "name": "b"},
        {"url": path.replace("d1", "none"), "name": "c"},
    )
    assert answer.status == 200
    first, second, third = answer.body["responses"]
    assert (first["name"], first["httpStatusCode"]) == ("a", 202)
    assert "Azure-AsyncOperation" in first["headers"]
    assert second["content"]["tags"] == {"by": "batch"}
    assert (third["httpStatusCode"], third["content"]["error"]["code"]) == (404, "ResourceNotFound")


def test_batches_that_cannot_be(azure: Client) -> None:
    nested = {"url": "/batch?api-version=2015-11-01", "httpMethod": "POST"}
    for wrong in ((), (5,), ({"url": 5},), (nested,)):
        by_gateway(batch(azure, *wrong), 400, "InvalidRequestContent")
    assert azure.raw("POST", "/batch?api-version=2015-11-01", "{}").status == 401


# -- what the owner decides


def test_a_group_that_is_being_deleted(azure: Client) -> None:
    azure.local.control.configure(durations={"delete": 30})
    azure.make_group("going")
    assert azure.call("DELETE", "resourceGroups/going").status == 202
    for path, version in (("going", GROUPS), ("going/providers/Microsoft.Compute/disks/d", DISKS)):
        answer = azure.call("PUT", f"resourceGroups/{path}", disk(), version)
        message = by_gateway(answer, 409, "ResourceGroupBeingDeleted")
        assert message == (
            "The resource group 'going' is in deprovisioning state and cannot perform this"
            " operation."
        )
    azure.local.control.advance(31)
    assert azure.call("GET", "resourceGroups/going").status == 404


@pytest.mark.parametrize("scope", ["", "resourceGroups/GROUP", DISK])
def test_a_lock_against_deletion(azure: Client, scope: str) -> None:
    make(azure, "d1")
    azure.local.control.configure(governance={"locks": [{"scope": scope, "level": "CanNotDelete"}]})
    answer = azure.call("DELETE", DISK, version=DISKS)
    message = by_gateway(answer, 409, "ScopeLocked")
    assert message.startswith(
        f"The scope '{azure.subscription}/{DISK}' cannot perform delete operation because following"
        f" scope(s) are locked: '{azure.subscription}"
    )
    refused(azure.call("DELETE", "resourceGroups/group"), 409, "ScopeLocked")
    make(azure, "d1")


def test_a_lock_against_writing(azure: Client) -> None:
    make(azure, "d1")
    azure.local.control.configure(governance={"locks": [{"scope": DISK, "level": "ReadOnly"}]})
    access = {"access": "Read", "durationInSeconds": 60}
    for method, path, body in (
        ("PUT", DISK, disk()),
        ("PATCH", DISK, {"tags": {}}),
        ("POST", f"{DISK}/beginGetAccess", access),
    ):
        answer = azure.call(method, path, body, DISKS)
        assert f"{DISK}' cannot perform write operation" in refused(answer, 409, "ScopeLocked")
    assert azure.call("GET", DISK, version=DISKS).status == 200
    make(azure, "d2")


def test_a_policy_that_denies(azure: Client) -> None:
    make(azure, "d1")
    rule = {"type": "Microsoft.Compute/disks", "policy": "private-disks",
            "field": "properties.networkAccessPolicy", "value": "AllowAll"}  # fmt: skip
    azure.local.control.configure(governance={"denied": [rule]})
    for name, body in (("new", disk(networkAccessPolicy="AllowAll")), ("d1", disk())):
        answer = azure.call("PUT", f"{COMPUTE}/disks/{name}", body, DISKS)
        message = refused(answer, 403, "RequestDisallowedByPolicy")
        assert message.startswith(
            f"Resource '{name}' was disallowed by policy. Policy identifiers:"
            ' \'[{"policyAssignment":{'
        )
        assert "private-disks" in message
    private = disk(networkAccessPolicy="DenyAll")
    assert azure.call("PUT", f"{COMPUTE}/disks/new", private, DISKS).status == 202
    assert azure.call("GET", f"{COMPUTE}/disks/new", version=DISKS).status == 200


def test_a_policy_that_changes_what_is_written(azure: Client) -> None:
    rules = [
        {"type": "Microsoft.Compute/disks", "field": "tags.cost", "value": "42"},
        {"type": "Microsoft.Compute/disks", "field": "properties.publicNetworkAccess",
         "value": "Disabled"},
    ]  # fmt: skip
    azure.local.control.configure(governance={"modified": rules})
    make(azure, "changed", tags={"a": "b"})
    held = azure.call("GET", f"{COMPUTE}/disks/changed", version=DISKS).body
    assert held["tags"] == {"a": "b", "cost": "42"}
    assert held["properties"]["publicNetworkAccess"] == "Disabled"


def test_a_provider_that_is_not_registered(azure: Client) -> None:
    azure.local.control.configure(governance={"unregistered": ["Microsoft.Compute"]})
    answer = azure.call("PUT", f"{COMPUTE}/disks/none", disk(), DISKS)
    message = by_gateway(answer, 409, "MissingSubscriptionRegistration")
    assert message.startswith("The subscription is not registered to use namespace 'Microsoft.Comp")
    assert answer.body["error"]["details"][0]["target"] == "Microsoft.Compute"
    assert azure.call("POST", "providers/Microsoft.Compute/register").status == 200


def test_a_subscription_that_can_be_read_only(azure: Client) -> None:
    azure.local.control.configure(governance={"disabled": True})
    answer = azure.call("PUT", "resourceGroups/new", {"location": "westeurope"})
    by_gateway(answer, 409, "ReadOnlyDisabledSubscription")
    assert azure.call("GET", "resourceGroups").status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"odd": 1},
        {"disabled": "yes"},
        {"unregistered": [5]},
        {"locks": [{"scope": "x"}]},
        {"locks": [{"scope": "x", "level": "Odd"}]},
        {"denied": [{"type": "x", "odd": 1}]},
        {"modified": {}},
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    config = Config()
    with pytest.raises(ValueError, match="governance"):
        config.update({"governance": wrong})
    assert config == Config()


# -- what local Azure has none of


@pytest.mark.parametrize(
    "kind",
    [
        "Microsoft.Compute/diskEncryptionSets", "Microsoft.Compute/virtualMachineScaleSets",
        "Microsoft.Authorization/locks", "Microsoft.RecoveryServices/vaults",
        "Microsoft.Storage/storageAccounts", "Microsoft.Network/loadBalancers",
    ],
)  # fmt: skip
def test_lists_of_other_types_are_empty(azure: Client, kind: str) -> None:
    for scope in ("", "resourceGroups/group/"):
        answer = azure.call("GET", f"{scope}providers/{kind}", version="2023-09-01")
        assert (answer.status, answer.body) == (200, {"value": []})
    one = f"resourceGroups/group/providers/{kind}/one"
    refused(azure.call("GET", one, version="2023-09-01"), 404, "ResourceNotFound")
    answer = azure.call("PUT", one, {"location": "westeurope"}, "2023-09-01")
    assert "Nothing in local Azure answers PUT /subscriptions/" in by_gateway(
        answer, 404, "InvalidResourceType"
    )


def test_what_remains_counts_down(azure: Client) -> None:
    name = "x-ms-ratelimit-remaining-subscription-reads"
    first, second = (azure.call("GET", "resourceGroups").headers[name] for _turn in range(2))
    assert int(second) == int(first) - 1


def test_providers_that_local_azure_has_nothing_of(azure: Client) -> None:
    for path in ("Microsoft.Devices/IotHubs/one", "Microsoft.Resources/deployments/one"):
        for method in ("PUT", "GET"):
            answer = azure.call(method, f"resourceGroups/group/providers/{path}", {}, "2022-11-01")
            by_gateway(answer, 404, "InvalidResourceType")
    answer = azure.call("GET", "providers/Microsoft.RecoveryServices/odd", version="2022-11-01")
    by_gateway(answer, 404, "InvalidResourceType")
