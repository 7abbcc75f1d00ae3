"""The Azure CLI, unchanged, against local Azure registered as a cloud."""

from __future__ import annotations

import json
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from environments import program

from local_azure.launcher import LocalAzure

GROUP = "cli"


class AzError(Exception):
    """The CLI refused; the text is what it printed."""


class Az:
    """The CLI with a configuration directory of its own."""

    def __init__(self, azure: LocalAzure, home: Path) -> None:
        self._program = str(program("az", "az"))
        self._environment = {
            **azure.process_environment(),
            "HOME": str(home),
            "AZURE_CONFIG_DIR": str(home / "azure"),
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "AZURE_CORE_NO_COLOR": "true",
            "AZURE_CORE_ONLY_SHOW_ERRORS": "true",
        }

    def __call__(self, command: str, *more: str) -> Any:
        """Run one command and answer its JSON.

        Raises:
            AzError: when it fails.
        """
        done = subprocess.run(
            [self._program, *command.split(), *more, "--output", "json"],
            env=self._environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if done.returncode:
            raise AzError(done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture(scope="module")
def az(azure: LocalAzure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """The CLI with local Azure as its cloud, logged in."""
    cli, url, config = Az(azure, tmp_path_factory.mktemp("az")), azure.url, azure.config
    cli(
        "cloud register --name LocalAzure", "--endpoint-resource-manager", url,
        "--endpoint-active-directory", url, "--endpoint-active-directory-resource-id", f"{url}/",
        "--endpoint-active-directory-graph-resource-id", f"{url}/graph",
        "--endpoint-microsoft-graph-resource-id", f"{url}/graph",
    )  # fmt: skip
    cli("cloud set --name LocalAzure")
    login = f"login --service-principal --username {config.client_id} --tenant {config.tenant}"
    with pytest.raises(AzError, match="AADSTS7000215"):
        cli(login, "--password", "wrong")
    accounts = cli(login, "--password", config.secret)
    assert [account["id"] for account in accounts] == [config.subscription]
    yield cli
    cli("logout")


@pytest.fixture
def vm(azure: LocalAzure, image: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A running machine with one data disk, named after the test."""
    name = request.node.name.replace("test_", "").replace("_", "-")[:30]
    data = [{"lun": 0, "image": str(image), "name": f"{name}-data"}]
    return azure.control.create_vm(GROUP, name, {"image": str(image)}, data)


def read(azure: LocalAzure, url: str, length: int) -> bytes:
    request = urllib.request.Request(url, headers={"Range": f"bytes=0-{length - 1}"})
    context = ssl.create_default_context(cafile=str(azure.ca_file))
    with urllib.request.urlopen(request, context=context) as response:
        return response.read()


def power_state(az: Az, name: str) -> str:
    view = az(f"vm get-instance-view --resource-group {GROUP} --name {name}")["instanceView"]
    return view["statuses"][1]["code"]


def test_groups_and_networks(az: Az) -> None:
    made = az("group create --name network --location westeurope --tags a=b")
    assert made["properties"]["provisioningState"] == "Succeeded"
    assert az("group exists --name network") is True
    az(
        "network vnet create --resource-group network --name net --address-prefixes 10.9.0.0/16"
        " --subnet-name default --subnet-prefixes 10.9.1.0/24"
    )
    nic = az(
        "network nic create --resource-group network --name nic --vnet-name net --subnet default"
    )["NewNIC"]
    assert nic["ipConfigurations"][0]["privateIPAddress"] == "10.9.1.4"
    with pytest.raises(AzError, match="InUseSubnetCannotBeDeleted"):
        az("network vnet subnet delete --resource-group network --vnet-name net --name default")
    az("network nic delete --resource-group network --name nic")
    az("group delete --name network --yes")
    assert az("group exists --name network") is False


def test_disks_and_snapshots(az: Az, azure: LocalAzure, vm: dict[str, Any], image: Path) -> None:
    made = az(f"disk create --resource-group {GROUP} --name empty --size-gb 4 --sku Standard_LRS")
    assert made["diskState"] == "Unattached"
    az(f"disk delete --resource-group {GROUP} --name empty --yes")
    names = [disk["name"] for disk in az(f"disk list --resource-group {GROUP}")]
    assert "empty" not in names
    with pytest.raises(AzError, match="NotFound"):
        az(f"disk show --resource-group {GROUP} --name empty")

    disk = vm["properties"]["storageProfile"]["dataDisks"][0]["managedDisk"]["id"]
    snapshot = az(
        f"snapshot create --resource-group {GROUP} --name near --incremental --source", disk
    )
    assert snapshot["incremental"] is True
    where = f"--resource-group {GROUP} --name near"
    grant = az(f"snapshot grant-access {where} --duration-in-seconds 600")
    content = image.read_bytes()
    assert read(azure, grant["accessSAS"], len(content)) == content
    az(f"snapshot revoke-access {where}")
    far = az(
        f"snapshot create --resource-group {GROUP} --name far --incremental --copy-start"
        " --location northeurope --source", snapshot["id"],
    )  # fmt: skip
    assert far["location"] == "northeurope"
    copy = az(f"disk create --resource-group {GROUP} --name copy --source", snapshot["id"])
    grant = az(f"disk grant-access --resource-group {GROUP} --name copy --duration-in-seconds 600")
    assert read(azure, grant["accessSAS"], len(content)) == content
    az(f"disk revoke-access --resource-group {GROUP} --name copy")
    assert copy["creationData"]["sourceResourceId"] == snapshot["id"]
    az(f"snapshot delete {where}")


def test_a_machine_is_stopped_changed_and_started(az: Az, vm: dict[str, Any]) -> None:
    name = vm["name"]
    where = f"--resource-group {GROUP} --name {name}"
    assert az(f"vm show --show-details {where}")["powerState"] == "VM running"
    az(f"vm deallocate {where}")
    assert power_state(az, name) == "PowerState/deallocated"
    az(f"vm disk attach --resource-group {GROUP} --vm-name {name} --name more --new --size-gb 4")
    disks = az(f"vm show {where}")["storageProfile"]["dataDisks"]
    assert [(disk["lun"], disk["name"]) for disk in disks] == [(0, f"{name}-data"), (1, "more")]
    source = vm["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"]
    new = az(
        f"disk create --resource-group {GROUP} --name swapped --os-type Linux --source", source
    )
    az(f"vm update {where} --os-disk", new["id"])
    assert az(f"vm show {where}")["storageProfile"]["osDisk"]["name"] == "swapped"
    az(f"vm start {where}")
    assert power_state(az, name) == "PowerState/running"
    az(f"vm disk detach --resource-group {GROUP} --vm-name {name} --name more")
    az(f"vm stop {where}")
    assert [item["name"] for item in az(f"vm list --resource-group {GROUP}")].count(name) == 1
    az(f"vm delete {where} --yes")
    state = az(f"disk show --resource-group {GROUP} --name swapped")["diskState"]
    assert state == "Unattached"


def test_a_restore_point_and_what_is_made_of_it(
    az: Az, azure: LocalAzure, vm: dict[str, Any], image: Path
) -> None:
    collection = f"--resource-group {GROUP} --collection-name points"
    az(f"restore-point collection create {collection} --source-id", vm["id"])
    point = az(f"restore-point create {collection} --name one")
    assert point["provisioningState"] == "Succeeded"
    shown = az(f"restore-point show {collection} --name one --instance-view")
    disk = shown["sourceMetadata"]["storageProfile"]["dataDisks"][0]["diskRestorePoint"]["id"]
    restored = az(f"disk create --resource-group {GROUP} --name restored --source", disk)
    assert restored["creationData"]["createOption"] == "Restore"
    exported = image.with_name("restored.img")
    azure.control.export_disk(exported, id=restored["id"])
    with exported.open("rb") as file:
        assert file.read(image.stat().st_size) == image.read_bytes()
    expanded = az(f"restore-point collection show {collection} --restore-points")
    assert [item["name"] for item in expanded["restorePoints"]] == ["one"]
    az(f"restore-point delete {collection} --name one --yes")
    az(f"restore-point collection delete {collection} --yes")
    assert az(f"restore-point collection list --resource-group {GROUP}") == []
