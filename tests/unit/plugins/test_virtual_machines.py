"""Virtual machines, their disks and their selection, against local Azure."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._arm.client import ArmClient
from ansible_collections.vmguard.azure.plugins.module_utils._compute import disks as disks_api
from ansible_collections.vmguard.azure.plugins.module_utils._compute import virtual_machines as vms
from ansible_collections.vmguard.azure.plugins.module_utils._compute.ids import resource_id
from ansible_collections.vmguard.azure.plugins.module_utils._compute.vm_selection import (
    describe_vms,
    select_vms,
)
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    AzureError,
    Conflict,
    InputError,
    NotFound,
    WriteRefused,
)
from ansible_collections.vmguard.azure.plugins.module_utils._login.login import resolve_login
from ansible_collections.vmguard.azure.plugins.module_utils._policy.selection import Selection

from local_azure.launcher import LocalAzure

SHOP, BACK = "shop", "back-office"


@pytest.fixture(scope="module")
def azure() -> Iterator[LocalAzure]:
    with LocalAzure() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment().items():
            patch.setenv(name, value)
        make = running.control.create_vm
        data = [{"lun": 3, "size_gb": 1}, {"lun": 0, "size_gb": 1, "caching": "ReadOnly"}]
        make(SHOP, "web", {"size_gb": 1}, data, tags={"backup": "daily"})
        make(SHOP, "test-web", {"size_gb": 1}, running=False)
        make(SHOP, "db", {"size_gb": 1}, agent=False)
        make(BACK, "web", {"size_gb": 1}, location="northeurope", zones=["2"])
        yield running


@pytest.fixture(scope="module")
def arm(azure: LocalAzure) -> ArmClient:
    assert azure.url
    return ArmClient(resolve_login({}, os.environ), wait_timeout=60)


class Requests:
    """The Azure requests that are sent inside a ``with`` block, as ``METHOD last/parts``."""

    def __init__(self, azure: LocalAzure) -> None:
        self._control = azure.control
        self.sent: list[str] = []

    def __enter__(self) -> list[str]:
        self._before = len(self._control.audit()["requests"])
        return self.sent

    def __exit__(self, *_unused: object) -> None:
        entries = self._control.audit()["requests"][self._before :]
        self.sent += [
            f"{entry['method']} {'/'.join(entry['path'].split('/')[-2:])}"
            for entry in entries
            if entry["area"] == "arm"
        ]


def found(arm: ArmClient, group: str | None = None, **options) -> list[tuple[str, str]]:
    vms_found = select_vms(arm, Selection.of(**options), group)
    return [(vm["id"].split("/")[4].lower(), vm["name"]) for vm in vms_found]


def test_one_vm(arm) -> None:
    plain = vms.get_vm(arm, SHOP, "web")
    assert vms.power_state(plain) is None
    assert vms.power_state(vms.get_vm(arm, SHOP, "web", True)) == "running"
    assert vms.power_state(vms.get_vm(arm, SHOP, "test-web", True)) == "deallocated"


def test_a_vm_that_is_unknown_comes_with_those_that_are_known(arm) -> None:
    with pytest.raises(NotFound) as caught:
        vms.get_vm(arm, SHOP, "wbe")
    assert str(caught.value).startswith(
        "There is no virtual machine 'wbe' in resource group 'shop'"
    )
    assert caught.value.hint == "There are: db, test-web, web."
    assert caught.value.failure()["request_id"]


def test_find_says_none(arm) -> None:
    assert vms.find_vm(arm, SHOP, "gone") is None
    assert vms.find_vm(arm, "gone", "web") is None
    assert vms.find_vm(arm, SHOP, "web")["name"] == "web"


def test_a_refusal_is_not_an_absence(azure, arm) -> None:
    azure.control.fault(
        "virtualMachines/gone", "status", status=403, code="AuthorizationFailed", message="No."
    )
    try:
        with pytest.raises(AzureError, match=r"No\."):
            vms.find_vm(arm, SHOP, "gone")
    finally:
        azure.control.clear_faults()


def test_lists(arm) -> None:
    assert [vm["name"] for vm in vms.list_vms(arm, BACK)] == ["web"]
    assert len(vms.list_vms(arm)) == 4


def test_names_of_vms_end_a_sentence() -> None:
    assert vms.names_in([]) == "There are none there."
    many = [{"name": f"vm{number:02}"} for number in range(23)]
    assert vms.names_in(many).endswith("vm19 and 3 more.")


def test_selection_by_name(arm) -> None:
    assert found(arm, SHOP, names=["WEB"]) == [(SHOP, "web")]
    assert found(arm, names=["web"]) == [(BACK, "web"), (SHOP, "web")]
    assert found(arm, SHOP, names=[]) == found(arm, names=[]) == []


def test_selection_by_pattern_and_tag(arm) -> None:
    everything = [(SHOP, "db"), (SHOP, "test-web"), (BACK, "web"), (SHOP, "web")]
    assert found(arm) == everything
    assert found(arm, SHOP, include=".*web", exclude="test.*") == [(SHOP, "web")]
    assert found(arm, include=".*web", exclude="test.*", names=["test-web"]) == everything[1:]
    assert found(arm, tags=["backup:daily"]) == [(SHOP, "web")]


@pytest.mark.parametrize("group", [None, SHOP])
def test_every_unknown_name_is_named(arm, group) -> None:
    with pytest.raises(NotFound) as caught:
        found(arm, group, names=["web", "no1", "no2"], include=".*")
    assert str(caught.value).startswith("There are no virtual machines 'no1', 'no2' in ")
    assert "test-web" in (caught.value.hint or "")


def test_named_vms_cost_a_request_each_and_their_disks_one_each(azure, arm) -> None:
    with Requests(azure) as sent:
        describe_vms(arm, select_vms(arm, Selection.of(["web"]), SHOP))
    names = ["web_OsDisk_1", "web_DataDisk_0", "web_DataDisk_3"]
    expected = ["GET virtualMachines/web", *(f"GET disks/{name}" for name in names)]
    assert sorted(sent) == sorted(expected)


def test_many_vms_cost_a_list_a_look_each_and_one_list_of_disks(azure, arm) -> None:
    with Requests(azure) as sent:
        described = describe_vms(arm, select_vms(arm, Selection.of(include=".*web")))
    assert len(described) == 3
    looks = ["GET virtualMachines/test-web", *["GET virtualMachines/web"] * 2]
    lists = ["GET Microsoft.Compute/virtualMachines", "GET Microsoft.Compute/disks"]
    assert sorted(sent) == sorted([*looks, *lists])


def test_both_ways_to_read_disks_agree(arm) -> None:
    alone = describe_vms(arm, select_vms(arm, Selection.of(["web"]), SHOP))
    together = describe_vms(arm, select_vms(arm, Selection.of(), SHOP))
    assert [vm for vm in together if vm["name"] == "web"] == alone
    assert [disk["lun"] for disk in alone[0]["data_disks"]] == [0, 3]
    states = {vm["name"]: vm["agent"]["status"] for vm in together}
    assert states == {"db": "not_reporting", "test-web": "not_running", "web": "ready"}
    assert {vm["os_disk"]["sku"] for vm in together} == {"Premium_LRS"}, "also when deallocated"


def test_power(azure, arm) -> None:
    azure.control.create_vm("power", "engine", {"size_gb": 1})

    def state() -> str | None:
        return vms.power_state(vms.get_vm(arm, "power", "engine", True))

    vms.power_off(arm, "power", "engine")
    assert state() == "stopped"
    vms.deallocate(arm, "power", "engine")
    assert state() == "deallocated"
    vms.start(arm, "power", "engine")
    assert state() == "running"


def test_change_and_delete(azure, arm) -> None:
    azure.control.create_vm("short", "lived", {"size_gb": 1})
    vm = vms.get_vm(arm, "short", "lived")
    changed = vms.update_vm(arm, "short", "lived", {"tags": {"colour": "red"}}, etag=vm["etag"])
    assert changed["tags"] == {"colour": "red"}
    with pytest.raises(Conflict) as refused:
        vms.update_vm(arm, "short", "lived", {"tags": {"colour": "blue"}}, etag=vm["etag"])
    assert refused.value.status == 412
    with pytest.raises(Conflict) as refused:
        vms.create_vm(arm, "short", "lived", {"location": "westeurope", "properties": {}})
    assert refused.value.status == 412
    vms.delete_vm(arm, "short", "lived")
    vms.delete_vm(arm, "short", "lived")
    assert vms.find_vm(arm, "short", "lived") is None


def test_a_disk_comes_and_goes(arm) -> None:
    disk_id = resource_id(arm.subscription_id, SHOP, "disks", "spare")
    with pytest.raises(NotFound):
        disks_api.get_disk(arm, disk_id)
    body = {
        "location": "westeurope",
        "sku": {"name": "Premium_LRS"},
        "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 4},
    }
    made = disks_api.put_disk(arm, disk_id, body)
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert disks_api.get_disk(arm, disk_id.upper().replace("SUBSCRIPTIONS", "subscriptions"))
    assert "spare" in [disk["name"] for disk in disks_api.list_disks(arm, SHOP)]
    disks_api.delete_disk(arm, disk_id)
    disks_api.delete_disk(arm, disk_id)
    assert disks_api.find_disk(arm, disk_id) is None


def test_ids_that_name_no_disk_of_this_subscription(arm) -> None:
    with pytest.raises(InputError, match="not the id of a managed disk"):
        disks_api.get_disk(arm, vms.vm_id(arm, SHOP, "web"))
    with pytest.raises(InputError, match="another subscription"):
        disks_api.get_disk(arm, resource_id("other", SHOP, "disks", "a"))


def test_in_check_mode_no_write_leaves(azure, arm) -> None:
    reader = ArmClient(arm.login, read_only=True)
    before = len(azure.control.writes())
    for act in (vms.start, vms.power_off, vms.deallocate, vms.delete_vm):
        with pytest.raises(WriteRefused):
            act(reader, SHOP, "web")
    assert len(azure.control.writes()) == before


@pytest.mark.parametrize("act", [vms.list_vms, lambda arm, group: vms.get_vm(arm, group, "web")])
def test_a_group_that_is_unknown(azure, arm, act) -> None:
    said = {"code": "ResourceGroupNotFound", "message": "Resource group 'gone' could not be found."}
    azure.control.fault("resourceGroups/gone/", "status", status=404, **said)
    try:
        with pytest.raises(NotFound, match="no resource group 'gone' in subscription"):
            act(arm, "gone")
    finally:
        azure.control.clear_faults()
