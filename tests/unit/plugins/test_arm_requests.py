"""How requests to Azure Resource Manager are sent: in which version, how often, and what is never sent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._arm import versions
from ansible_collections.vmguard.azure.plugins.module_utils._arm.client import ArmClient
from ansible_collections.vmguard.azure.plugins.module_utils._arm.throttling import RETRIES
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    AzureError,
    Conflict,
    ConnectionFailed,
    Throttled,
)
from restore_bench import Bench, open_bench

EMPTY = {
    "location": "westeurope",
    "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1},
}
OS_DISK = "vm1_OsDisk_1"
READ = {"access": "Read", "durationInSeconds": 60}


@pytest.fixture(scope="module")
def opened() -> Iterator[Bench]:
    with open_bench() as one:
        one.machine(group="rg")
        yield one


@pytest.fixture
def bench(opened: Bench) -> Iterator[Bench]:
    opened.clock.slept.clear()
    yield opened
    opened.control.clear_faults()


def make_disk(arm: ArmClient, name: str, **more: Any) -> Any:
    return arm.run("disks.begin_create_or_update", name, "rg", name, body=EMPTY, **more)


def sent(bench: Bench, act: Any) -> list[dict[str, Any]]:
    """The audited requests to Resource Manager of what was just done."""
    last = len(bench.control.audit()["requests"])
    act()
    found = bench.control.audit(last)["requests"]
    return [one for one in found if one["path"].startswith("/subscriptions")]


def version_of(request: dict[str, Any]) -> str:
    found = re.findall(r"[?&]api-version=([^&]*)", request["target"])
    assert len(found) == 1
    return found[0]


# -- versions

COMPUTE, DISKS, NETWORK = "2024-11-01", "2025-01-02", "2022-11-01"


def test_the_pinned_versions() -> None:
    """Another version is a decision: read what it changes, and change local Azure with it."""
    assert {kind: pins[0] for kind, pins in versions.PINS.items()} == {
        "subscriptions": "2022-12-01",
        "subscriptions/resourcegroups": "2021-04-01",
        "microsoft.compute/virtualmachines": COMPUTE,
        "microsoft.compute/restorepointcollections": COMPUTE,
        "microsoft.compute/restorepointcollections/restorepoints/diskrestorepoints": DISKS,
        "microsoft.compute/disks": DISKS,
        "microsoft.compute/snapshots": DISKS,
        "microsoft.network/networkinterfaces": NETWORK,
        "microsoft.network/virtualnetworks": NETWORK,
    }


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/subscriptions/s", "2022-12-01"),
        ("/subscriptions/s/resourceGroups/rg", "2021-04-01"),
        ("/subscriptions/s/providers/Microsoft.Compute/disks", DISKS),
        ("{}/Microsoft.Compute/virtualMachines/vm/start", COMPUTE),
        ("{}/microsoft.compute/DISKS/d/beginGetAccess", DISKS),
        ("{}/Microsoft.Compute/restorePointCollections/c/restorePoints/p", COMPUTE),
        (
            "{}/Microsoft.Compute/restorePointCollections/c/restorePoints/p/diskRestorePoints/d/begin",
            DISKS,
        ),
        ("{}/Microsoft.Network/virtualNetworks/n/subnets/one", NETWORK),
        # A group may have any name.
        ("/subscriptions/s/resourceGroups/providers/providers/Microsoft.Compute/disks/d", DISKS),
        ("/subscriptions/s/providers/Microsoft.Compute/locations/l/DiskOperations/o", None),
        ("{}/Microsoft.Storage/storageAccounts/a", None),
    ],
)
def test_the_version_of_a_path(path: str, version: str | None) -> None:
    path = path.format("/subscriptions/s/resourceGroups/rg/providers")
    assert versions.pins_of(path)[:1] == ((version,) if version else ())


def every_kind_of_call(arm: ArmClient, vm: str) -> None:
    """At least one call of each operation group that the collection uses, and of each verb."""
    arm.read("virtual_machines.get", "vm1", "rg", "vm1", expand="instanceView")
    arm.run("virtual_machines.begin_update", "vm1", "rg", "vm1", body={"tags": {"a": "b"}})
    source = {"location": "westeurope", "properties": {"source": {"id": vm}}}
    arm.put("restore_point_collections.create_or_update", "c", "rg", "c", body=source)
    made = arm.run("restore_points.begin_create", "p", "rg", "c", "p", body={})
    profile = made["properties"]["sourceMetadata"]["storageProfile"]
    point = profile["osDisk"]["diskRestorePoint"]["id"].rsplit("/", 1)[1]
    arm.read("disk_restore_point.get", point, "rg", "c", "p", point)
    for word in ("grant", "revoke"):
        arm.run(
            f"disk_restore_point.begin_{word}_access", point, "rg", "c", "p", point,
            **({"body": READ, "final_state_via": "location"} if word == "grant" else {}),
        )  # fmt: skip
    make_disk(arm, "versions")
    arm.list("disks.list", "disks")
    arm.list("snapshots.list_by_resource_group", "snapshots", "rg")
    arm.run("disks.begin_delete", "versions", "rg", "versions")


def test_every_request_has_the_version_of_its_kind(bench: Bench) -> None:
    """Whichever SDK is installed: `make oldest` runs this with the oldest one."""
    vm = bench.control.vm_id("rg", "vm1")
    found = sent(bench, lambda: every_kind_of_call(bench.arm(), vm))
    seen = {}
    for one in found:
        if "/locations/" not in one["path"]:
            kind = versions.kind_of(one["path"])
            seen[kind] = version_of(one)
            assert (version_of(one),) == versions.pins_of(one["path"])[:1], one["target"]
    collections = "microsoft.compute/restorepointcollections"
    assert seen["microsoft.compute/virtualmachines"] == COMPUTE
    assert seen[f"{collections}/restorepoints"] == COMPUTE
    assert seen[f"{collections}/restorepoints/diskrestorepoints/begingetaccess"] == DISKS
    assert seen["microsoft.compute/disks"] == seen["microsoft.compute/snapshots"] == DISKS


def test_further_pages_are_read_in_the_same_version(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from local_azure.compute.virtual_machines import VirtualMachines

    monkeypatch.setattr(VirtualMachines, "page_size", 1)
    for number in range(2):
        bench.control.create_vm("rg", f"paged{number}", {"size_gb": 1})
    found = sent(bench, lambda: bench.arm().list("virtual_machines.list", "vms", "rg"))
    assert [version_of(one) for one in found] == [COMPUTE] * 3


def test_urls_of_operations_are_used_as_azure_gives_them(bench: Bench) -> None:
    bench.control.configure(durations={"disk_write": 5})
    found = sent(bench, lambda: make_disk(bench.arm(), "polled"))
    bench.control.configure(durations={})
    polled = [one for one in found if "DiskOperations" in one["path"]]
    assert polled and all(len(re.findall("api-version", one["target"])) == 1 for one in polled)


def unknown_version(bench: Bench, word: str, times: int = 1) -> None:
    bench.control.fault(
        f"{word} .*/disks/[^/]*api-version={DISKS}",
        status=400,
        code="NoRegisteredProviderFound",
        times=times,
    )


@pytest.mark.parametrize("word", ["PUT", "GET"])
def test_a_region_that_does_not_know_the_version_yet(bench: Bench, word: str) -> None:
    unknown_version(bench, word, times=0)
    arm = bench.arm()
    name = f"older-{word.lower()}"

    def act() -> None:
        make_disk(arm, name, once=True)
        assert arm.read("disks.get", name, "rg", name)["name"] == name

    found = [one for one in sent(bench, act) if name in one["path"] and one["method"] == word]
    assert [version_of(one) for one in found][:2] == [DISKS, "2024-03-02"]
    # It is asked once in a task.
    assert [version_of(one) for one in found][2:] == ["2024-03-02"] * (len(found) - 2)


def test_a_region_that_knows_none_of_the_versions(bench: Bench) -> None:
    bench.control.fault("GET .*/disks/", status=400, code="NoRegisteredProviderFound", times=0)
    with pytest.raises(AzureError, match="read disk") as failed:
        bench.arm().read("disks.get", OS_DISK, "rg", OS_DISK)
    assert failed.value.code == "NoRegisteredProviderFound"


# -- throttling


@pytest.mark.parametrize("retry_after", [0, None])
def test_throttling_without_a_time_to_wait_is_waited_out_ever_longer(
    bench: Bench, retry_after: int | None
) -> None:
    times = RETRIES + 3
    bench.control.fault("GET .*/disks/", status=429, retry_after=retry_after, times=times)
    assert bench.arm(timeout=600).read("disks.get", OS_DISK, "rg", OS_DISK)["name"] == OS_DISK
    assert bench.clock.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_throttling_lasts_no_longer_than_the_deadline(bench: Bench) -> None:
    bench.control.fault("GET .*/disks/", status=429, retry_after=0, times=0)
    with pytest.raises(Throttled, match=r"answers 429, .* due in 16 s, but only 5 s .* are left"):
        bench.arm(timeout=20).read("disks.get", OS_DISK, "rg", OS_DISK)
    assert bench.clock.slept == [1, 2, 4, 8]


@pytest.mark.parametrize("word", ["POST", "PATCH"])
@pytest.mark.parametrize("retry_after", [3, 0, None])
def test_what_was_throttled_is_sent_again_whatever_the_method(
    bench: Bench, word: str, retry_after: int | None
) -> None:
    arm = bench.arm()
    make_disk(arm, "granted")
    bench.clock.slept.clear()
    bench.control.fault(f"{word} .*/disks/", status=429, retry_after=retry_after, times=2)
    if word == "PATCH":
        arm.run("disks.begin_update", "granted", "rg", "granted", body={"tags": {"c": "d"}})
    else:
        arm.run("disks.begin_grant_access", "granted", "rg", "granted", body=READ,
                final_state_via="location")  # fmt: skip
        arm.run("disks.begin_revoke_access", "granted", "rg", "granted")
    assert bench.clock.slept[:2] == ([3, 3] if retry_after else [1, 2])


def test_a_passing_fault_that_is_none_of_throttling_is_tried_eight_times(bench: Bench) -> None:
    bench.control.fault("GET .*/disks/", status=503, retry_after=0, times=0)

    def act() -> None:
        with pytest.raises(AzureError):
            bench.arm().read("disks.get", OS_DISK, "rg", OS_DISK)

    assert [one["status"] for one in sent(bench, act)] == [503] * (RETRIES + 1)


# -- once


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 429, "retry_after": 5}, Throttled),
        ({"status": 429}, Throttled),
        ({"status": 500}, AzureError),
        ({"status": 503, "retry_after": 1}, AzureError),
        ({"status": 409, "retry_after": 1}, Conflict),
        ({"kind": "reset"}, ConnectionFailed),
        ({"kind": "lost_answer"}, ConnectionFailed),
        ({"kind": "truncate"}, ConnectionFailed),
    ],
)
def test_what_is_to_be_sent_once_is_sent_once(
    bench: Bench, fault: dict[str, Any], error: type[Exception]
) -> None:
    name = f"once-{fault.get('status', fault.get('kind'))}-{fault.get('retry_after')}".replace(
        "_", "-"
    )
    bench.control.fault(f"PUT .*/disks/{name}", **fault)

    def act() -> None:
        with pytest.raises(error) as failed:
            make_disk(bench.arm(), name, once=True)
        assert getattr(failed.value, "retry_after", None) == fault.get("retry_after")

    assert [one["method"] for one in sent(bench, act)] == ["PUT"]
    assert bench.clock.slept == []


def test_what_follows_a_request_that_is_sent_once_is_tried_again(bench: Bench) -> None:
    bench.control.configure(durations={"disk_write": 5})
    bench.control.fault("GET .*/DiskOperations/", status=503, times=3)
    assert make_disk(bench.arm(), "followed", once=True)["name"] == "followed"
    bench.control.configure(durations={})


# -- resource providers


def test_no_resource_provider_is_registered_by_itself(bench: Bench) -> None:
    bench.control.fault(
        "PUT .*/disks/", status=409, code="MissingSubscriptionRegistration", times=0,
        message="The subscription is not registered to use namespace 'Microsoft.Compute'.",
    )  # fmt: skip

    def act() -> None:
        with pytest.raises(Conflict, match="is not registered to use namespace") as failed:
            make_disk(bench.arm(), "unregistered")
        assert "az provider register" in (failed.value.hint or "")

    assert [one["method"] for one in sent(bench, act)] == ["PUT"]
