"""The Azure SDKs for Python, unchanged, against local Azure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.storage.blob import BlobClient

from local_azure.launcher import LocalAzure

GROUP = "sdk"
EMPTY = {"createOption": "Empty"}


@pytest.fixture(scope="module")
def compute(azure: LocalAzure) -> Iterator[ComputeManagementClient]:
    config = azure.config
    tls = {"connection_verify": str(azure.ca_file)}
    credential = ClientSecretCredential(
        config.tenant, config.client_id, config.secret,
        authority=azure.url, disable_instance_discovery=True, **tls,
    )  # fmt: skip
    with ComputeManagementClient(
        credential, config.subscription, base_url=azure.url,
        credential_scopes=[f"{azure.url}/.default"], polling_interval=0.1, **tls,
    ) as client:  # fmt: skip
        yield client


@pytest.fixture
def vm(azure: LocalAzure, image: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A running machine with one data disk, named after the test."""
    name = request.node.name.replace("test_", "").replace("_", "-")[:40]
    data = [{"lun": 0, "image": str(image), "name": f"{name}-data", "sku": "Standard_LRS"}]
    return azure.control.create_vm(GROUP, name, {"image": str(image)}, data)


def resource(location: str, **properties: Any) -> dict[str, Any]:
    return {"location": location, "properties": properties}


def read(azure: LocalAzure, url: str, length: int | None = None) -> bytes:
    with BlobClient.from_blob_url(url, connection_verify=str(azure.ca_file)) as blob:
        return blob.download_blob(offset=0, length=length).readall()


def read_snapshot(
    azure: LocalAzure, compute: ComputeManagementClient, name: str, length: int
) -> bytes:
    grant = {"access": "Read", "durationInSeconds": 600}
    access = compute.snapshots.begin_grant_access(GROUP, name, grant).result()
    try:
        return read(azure, access.access_sas, length)
    finally:
        compute.snapshots.begin_revoke_access(GROUP, name).result()


def test_a_wrong_secret_is_refused(azure: LocalAzure) -> None:
    credential = ClientSecretCredential(
        azure.config.tenant, azure.config.client_id, "wrong", authority=azure.url,
        disable_instance_discovery=True, connection_verify=str(azure.ca_file),
    )  # fmt: skip
    with pytest.raises(HttpResponseError, match="AADSTS7000215"):
        credential.get_token(f"{azure.url}/.default")


def test_disks_come_and_go(compute: ComputeManagementClient, vm: dict[str, Any]) -> None:
    body = resource(vm["location"], creationData=EMPTY, diskSizeGB=4) | {"tags": {"a": "b"}}
    made = compute.disks.begin_create_or_update(GROUP, "empty", body).result()

    assert (made.disk_size_gb, made.disk_state, made.tags) == (4, "Unattached", {"a": "b"})
    larger = compute.disks.begin_update(GROUP, "empty", {"properties": {"diskSizeGB": 8}}).result()
    assert larger.disk_size_gb == 8
    assert "empty" in {disk.name for disk in compute.disks.list_by_resource_group(GROUP)}
    compute.disks.begin_delete(GROUP, "empty").result()
    with pytest.raises(ResourceNotFoundError):
        compute.disks.get(GROUP, "empty")


def test_snapshots_hold_the_bytes(
    azure: LocalAzure, compute: ComputeManagementClient, vm: dict[str, Any], image: Path
) -> None:
    content = image.read_bytes()
    disk = vm["properties"]["storageProfile"]["dataDisks"][0]["managedDisk"]["id"]
    source = {"createOption": "Copy", "sourceResourceId": disk}
    for name, incremental in (("full", False), ("incremental", True)):
        body = resource(vm["location"], creationData=source, incremental=incremental)
        made = compute.snapshots.begin_create_or_update(GROUP, name, body).result()
        assert made.incremental is incremental
        assert read_snapshot(azure, compute, name, len(content)) == content
    source = {"createOption": "CopyStart", "sourceResourceId": made.id}
    body = resource("northeurope", creationData=source, incremental=True)
    compute.snapshots.begin_create_or_update(GROUP, "far", body).result()
    far = compute.snapshots.get(GROUP, "far")

    assert (far.location, far.completion_percent) == ("northeurope", 100)
    assert read_snapshot(azure, compute, "far", len(content)) == content
    for name in ("full", "incremental", "far"):
        compute.snapshots.begin_delete(GROUP, name).result()


def test_a_machine_is_stopped_changed_and_started(
    compute: ComputeManagementClient, vm: dict[str, Any]
) -> None:
    name = vm["name"]
    machines = compute.virtual_machines
    machines.begin_deallocate(GROUP, name).result()
    view = machines.instance_view(GROUP, name)
    assert view.statuses[1].code == "PowerState/deallocated"
    assert view.vm_agent is None
    disk = compute.disks.begin_create_or_update(
        GROUP, f"{name}-more",
        resource(vm["location"], creationData=EMPTY, diskSizeGB=4),
    ).result()  # fmt: skip
    machine = machines.get(GROUP, name)
    machine.storage_profile.data_disks.append(
        {"lun": 3, "createOption": "Attach", "managedDisk": {"id": disk.id}}
    )
    changed = machines.begin_create_or_update(GROUP, name, machine).result()

    assert [item.lun for item in changed.storage_profile.data_disks] == [0, 3]
    assert compute.disks.get(GROUP, disk.name).disk_state == "Reserved"
    machines.begin_start(GROUP, name).result()
    machines.begin_power_off(GROUP, name).result()
    machines.begin_start(GROUP, name).result()
    expanded = machines.get(GROUP, name, expand="instanceView")
    assert expanded.instance_view.vm_agent.statuses[0].display_status == "Ready"
    machines.begin_delete(GROUP, name).result()
    assert compute.disks.get(GROUP, disk.name).disk_state == "Unattached"


def test_a_machine_is_created_on_copied_disks(
    compute: ComputeManagementClient, vm: dict[str, Any]
) -> None:
    storage = vm["properties"]["storageProfile"]
    source = storage["osDisk"]["managedDisk"]["id"]
    copy = {"createOption": "Copy", "sourceResourceId": source}
    body = resource(vm["location"], creationData=copy, osType="Linux")
    disk = compute.disks.begin_create_or_update(GROUP, "copy-os", body).result()
    home = vm["id"].split("/providers/")[0]
    subnet = f"{home}/providers/Microsoft.Network/virtualNetworks/{GROUP}-vnet/subnets/default"
    configuration = {
        "name": "eth0",
        "properties": {
            "primary": True,
            "ipConfigurations": [{"name": "one", "properties": {"subnet": {"id": subnet}}}],
        },
    }
    made = compute.virtual_machines.begin_create_or_update(
        GROUP, "copy",
        {
            "location": vm["location"],
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                "storageProfile": {
                    "osDisk": {"createOption": "Attach", "osType": "Linux",
                               "managedDisk": {"id": disk.id}},
                },
                "networkProfile": {
                    "networkApiVersion": "2020-11-01",
                    "networkInterfaceConfigurations": [configuration],
                },
            },
        },
    ).result()  # fmt: skip

    assert made.provisioning_state == "Succeeded"
    assert made.storage_profile.os_disk.name == "copy-os"
    assert made.network_profile.network_interfaces[0].id
    names = {item.name for item in compute.virtual_machines.list(GROUP)}
    assert {"copy", vm["name"]} <= names


def test_a_restore_point_and_what_is_made_of_it(
    azure: LocalAzure, compute: ComputeManagementClient, vm: dict[str, Any], image: Path
) -> None:
    collections, points = compute.restore_point_collections, compute.restore_points
    body = resource(vm["location"], source={"id": vm["id"]})
    collection = collections.create_or_update(GROUP, "points", body)
    point = points.begin_create(GROUP, "points", "one", {}).result()
    assert (point.provisioning_state, point.consistency_mode) == (
        "Succeeded", "FileSystemConsistent",
    )  # fmt: skip
    data = point.source_metadata.storage_profile.data_disks[0].disk_restore_point.id
    read_disk_point(azure, compute, data, image.read_bytes())
    restore = {"createOption": "Restore", "sourceResourceId": data}
    disk = compute.disks.begin_create_or_update(
        GROUP, "restored", resource(vm["location"], creationData=restore)
    ).result()
    restored = image.with_name("restored.img")
    azure.control.export_disk(restored, id=disk.id)
    with restored.open("rb") as file:
        assert file.read(image.stat().st_size) == image.read_bytes()

    far = resource("northeurope", source={"id": collection.id})
    collections.create_or_update(GROUP, "far-points", far)
    copy = {"properties": {"sourceRestorePoint": {"id": point.id}}}
    points.begin_create(GROUP, "far-points", "one", copy).result()
    view = points.get(GROUP, "far-points", "one", expand="instanceView").instance_view
    assert view.disk_restore_points[0].replication_status.completion_percent == 100
    assert [item.name for item in collections.list(GROUP)] == ["points", "far-points"]
    points.begin_delete(GROUP, "far-points", "one").result()
    collections.begin_delete(GROUP, "far-points").result()
    collections.begin_delete(GROUP, "points").result()
    assert list(collections.list(GROUP)) == []


def read_disk_point(
    azure: LocalAzure, compute: ComputeManagementClient, disk_point: str, content: bytes
) -> None:
    parts = disk_point.split("/")
    where = (parts[4], parts[8], parts[10], parts[12])
    shown = compute.disk_restore_point.get(*where)
    assert shown.source_resource_id
    grant = {"access": "Read", "durationInSeconds": 600}
    access = compute.disk_restore_point.begin_grant_access(*where, grant).result()
    try:
        assert read(azure, access.access_sas, len(content)) == content
    finally:
        compute.disk_restore_point.begin_revoke_access(*where).result()


def test_the_second_of_two_changes_is_refused(
    compute: ComputeManagementClient, vm: dict[str, Any]
) -> None:
    """The header is given as such: the name of the parameter changed between releases."""
    read_by_both = compute.virtual_machines.get(GROUP, vm["name"]).etag
    condition = {"If-Match": read_by_both}
    first = {"tags": {"by": "first"}}
    compute.virtual_machines.begin_update(GROUP, vm["name"], first, headers=condition).result()

    for method in (
        compute.virtual_machines.begin_update,
        compute.virtual_machines.begin_create_or_update,
    ):
        body = {"location": vm["location"], "tags": {"by": "second"}}
        with pytest.raises(HttpResponseError, match="does not match etag") as caught:
            method(GROUP, vm["name"], body, headers=dict(condition))
        assert caught.value.status_code == 412
        assert caught.value.error.code == "PreconditionFailed"
    held = compute.virtual_machines.get(GROUP, vm["name"])
    assert held.tags == {"by": "first"} and held.etag != read_by_both


def test_all_disks_are_exchanged_by_updates(
    compute: ComputeManagementClient, vm: dict[str, Any]
) -> None:
    name, machines = vm["name"], compute.virtual_machines
    storage = vm["properties"]["storageProfile"]
    for old in (storage["osDisk"], storage["dataDisks"][0]):
        source = {"createOption": "Copy", "sourceResourceId": old["managedDisk"]["id"]}
        body = resource(vm["location"], creationData=source)
        compute.disks.begin_create_or_update(GROUP, f"{old['name']}-new", body).result()
    machines.begin_deallocate(GROUP, name).result()
    new_os = compute.disks.get(GROUP, f"{storage['osDisk']['name']}-new")
    new_data = compute.disks.get(GROUP, f"{name}-data-new")

    def update(**profile: Any) -> Any:
        condition = {"If-Match": machines.get(GROUP, name).etag}
        body = {"properties": {"storageProfile": profile}}
        return machines.begin_update(GROUP, name, body, headers=condition).result()

    os_disk = {"name": new_os.name, "managedDisk": {"id": new_os.id}}
    entry = {"lun": 0, "createOption": "Attach", "managedDisk": {"id": new_data.id}}
    update(osDisk=os_disk, dataDisks=[])
    made = update(dataDisks=[entry])

    assert made.storage_profile.os_disk.name == new_os.name
    assert [disk.name for disk in made.storage_profile.data_disks] == [new_data.name]
    assert compute.disks.get(GROUP, new_os.name).managed_by == made.id
    assert compute.disks.get(GROUP, f"{name}-data").managed_by is None
