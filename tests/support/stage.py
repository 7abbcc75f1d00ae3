"""A private local Azure with a few machines, and the variables that playbooks find them by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_azure.launcher import LocalAzure

from .arm import Arm
from .machines import Machine, Machines
from .playbook import PlaybookRun, run_playbook

OTHER_LOCATION = "northeurope"
# What a playbook that cleans up leaves none of; the frame's own machines have no snapshots.
LEFT_BY_NONE = ("restorePointCollections", "snapshots")


@dataclass
class Stage:
    """One local Azure with its machines, and the variables that playbooks find them by."""

    local: LocalAzure
    arm: Arm
    machines: Machines
    vm: Machine
    other_vm: Machine
    windows_vm: Machine
    variables: dict[str, Any]

    def run(self, playbook: Path | str, *options: str, **variables: Any) -> PlaybookRun:
        return run_playbook(
            playbook, self.local, *options, variables={**self.variables, **variables}
        )

    def empty_folder(self, name: str) -> str:
        """A folder for one run alone, which is removed with the rest."""
        folder = self.local.directory / name
        folder.mkdir()
        return str(folder)

    def last_request(self) -> int:
        """The audit's number of the last request so far."""
        return len(self.local.control.audit()["requests"])

    def writes(self, after: int = 0) -> list[str]:
        """The requests with PUT, POST, PATCH and DELETE since request ``after``, but for logins."""
        return [f"{entry['method']} {entry['path']}" for entry in self.local.control.writes(after)]

    def kept(self) -> list[str]:
        """The ids of everything that a playbook could have left behind, and of the disks."""
        kinds = (*LEFT_BY_NONE, "disks", "virtualMachines")
        return sorted(item["id"].lower() for kind in kinds for item in self.arm.list_compute(kind))

    def assert_sound(self) -> None:
        """Nothing in local Azure crashed, and no signature outlived its use."""
        audit = self.local.control.audit()
        assert audit["crashes"] == []
        assert audit["active_sas"] == []

    def assert_clean(self) -> None:
        """The same, and no recovery point is left."""
        self.assert_sound()
        left = [item["id"] for kind in LEFT_BY_NONE for item in self.arm.list_compute(kind)]
        assert left == []


def build_stage(local: LocalAzure, images: Path, word: str) -> Stage:
    """Two Linux machines with files, a Windows one, two resource groups, two subnets."""
    group, other_group = f"rg-{word}", f"rg-{word}-other"
    location = local.config.location
    arm = Arm(local)
    arm.make_group(group, location)
    arm.make_group(other_group, OTHER_LOCATION)
    machines = Machines(local.control, images)
    vm = machines.create(group, "vm-app", tags={"tier": "app"})
    other_vm = machines.create(group, "vm-db", data_disks=1, seed=2, tags={"tier": "db"})
    windows_vm = machines.create(group, "vm-win", data_disks=0, seed=2, os_type="Windows")
    variables = {
        "arm_token": arm.token,
        "arm_url": local.url,
        "ca_file": str(local.ca_file),
        "container": "backups",
        "control_url": f"{local.url}/_local",
        "folder": "",
        "location": location,
        "other_location": OTHER_LOCATION,
        "other_resource_group": other_group,
        "other_vm_id": other_vm.id,
        "other_vm_name": other_vm.name,
        "resource_group": group,
        "storage": local.storage.connection_string if local.storage else "",
        "subnet_id": arm.make_subnet(group, "net", location),
        "subscription_id": local.config.subscription,
        "vm_id": vm.id,
        "vm_name": vm.name,
        "windows_vm_id": windows_vm.id,
        "windows_vm_name": windows_vm.name,
    }
    stage = Stage(local, arm, machines, vm, other_vm, windows_vm, variables)
    variables["folder"] = stage.empty_folder("work")
    return stage
