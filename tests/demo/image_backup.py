"""The second half of the demo: image backups, of a machine that is lost with all it had in Azure."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from account import Account, DemoError, Player, plural, size

from local_azure.launcher import LocalAzure
from support import images
from support.arm import COMPUTE, Arm
from support.machines import Machine, MachineDisk, Machines
from support.rehearsal import GROUP

NAME = "mail"
INVENTORY = Path(__file__).with_name("image_backup.yml")
_DISKS = "2024-03-02"


class ImageBackup:
    """The steps, in their order."""

    def __init__(self, local: LocalAzure, directory: Path, account: Account) -> None:
        self.local = local
        self.account = account
        self.directory = directory
        self.machines = Machines(local.control, directory)
        self.player = Player(local, account, INVENTORY, {NAME})
        self.arm = Arm(local)

    def run(self) -> None:
        machine = self.make_machine()
        self.back_up("full")
        machine = self.let_the_guest_work(machine)
        incremental = self.back_up("incremental", image_backup_verify="true")
        self.lose_the_machine(machine)
        self.restore_the_machine(machine, incremental)
        self.restore_a_disk(machine)

    def make_machine(self) -> Machine:
        storage = self.local.storage
        if storage is None:
            raise DemoError("There is no storage account.")
        self.account.step(f"A machine to archive, and a storage account at {storage.blob_endpoint}")
        machine = self.machines.create(GROUP, NAME, data_disks=1, seed=3)
        self.account.detail(
            NAME, f"{plural(len(machine.disks), 'disk')} of 1 GiB: {machine.file_count} files"
        )
        return machine

    def back_up(self, level: str, **variables: Any) -> str:
        """One image backup; its id."""
        modules = ["disk_snapshot_backup", *(["backup_verify"] if variables else [])]
        backup, *verified = [
            found[NAME] for found in self.player.play("image_backup", *modules, **variables)
        ]
        if backup["level"] != level:
            raise DemoError(f"The backup is {backup['level']}, not {level}: {backup}")
        for disk in backup["disks"]:
            self.account.detail(NAME, f"{disk['name']}: {disk['level']}, {_told(disk['bytes'])}")
        self.account.detail(
            NAME,
            f"backup {backup['backup_id']}: {size(backup['stored_bytes'])} added to the repository,"
            " compressed and encrypted",
        )
        for found in verified:
            self.account.detail(
                NAME,
                f"verified: {found['packs_read']} of {plural(found['packs'], 'pack')} read"
                f" ({size(found['bytes_read'])}), {found['chunks']} chunks, no damage",
            )
        return backup["backup_id"]

    def let_the_guest_work(self, machine: Machine) -> Machine:
        """The machine as it is afterwards."""
        self.account.step("The guest goes on working")
        disks, written = [], 0
        for disk in machine.disks:
            after = disk.image.with_suffix(".after")
            images.damage_image(disk.image, after, disk.files, seed=7)
            written += self.local.control.guest_sync(machine.id, disk.lun, disk.image, after)
            disks.append(MachineDisk(disk.lun, after, images.read_files(after)))
        self.account.detail(NAME, f"files deleted, replaced and added: {size(written)} written")
        return Machine(machine.id, machine.name, disks)

    def lose_the_machine(self, machine: Machine) -> None:
        self.account.step("The machine is deleted, with its disks and snapshots")
        self._delete("virtualMachines", COMPUTE, [machine.name])
        disks = [disk["name"] for disk in self.arm.list_compute("disks")]
        self._delete("disks", _DISKS, [name for name in disks if name.startswith(NAME)])
        snapshots = [snapshot["name"] for snapshot in self.arm.list_compute("snapshots")]
        self._delete("snapshots", _DISKS, snapshots)
        self.account.detail(
            NAME, f"{plural(len(machine.disks), 'disk')}, {plural(len(snapshots), 'snapshot')} gone"
        )

    def _delete(self, kind: str, version: str, names: list[str]) -> None:
        """Delete resources and wait until they are gone."""
        place = f"resourceGroups/{GROUP}/providers/Microsoft.Compute/{kind}"
        for name in names:
            self.arm.call("DELETE", f"{place}/{name}", version)
        until = time.monotonic() + 30
        while {one["name"] for one in self.arm.list_compute(kind)} & set(names):
            if time.monotonic() > until:
                raise DemoError(f"{', '.join(names)} cannot be deleted.")
            time.sleep(0.05)

    def restore_the_machine(self, machine: Machine, backup_id: str) -> None:
        [found] = self.player.play("restore", "vm_restore", restore_target="new_vm")
        result = found[NAME]
        if result["backup"]["id"] != backup_id:
            raise DemoError(f"Another backup was restored: {result['backup']}")
        equal = self.machines.check(machine, result["vm"]["id"])
        self.account.detail(
            NAME,
            f"came back as a new machine, {result['vm']['name']}, {result['vm']['power_state']},"
            f" from backup {backup_id}",
        )
        self.account.detail(
            result["vm"]["name"],
            f"{plural(len(machine.disks), 'file system')} without a fault (e2fsck -fn),"
            f" {equal} of {machine.file_count} files equal, none added",
        )

    def restore_a_disk(self, machine: Machine) -> None:
        folder = self.directory / "restored"
        [found] = self.player.play(
            "restore", "vm_restore", restore_target="files", restore_directory=str(folder)
        )
        [file] = found[NAME]["files"]
        path, disk = Path(file["path"]), machine.disks[-1]
        images.check_image(path, disk.files)
        self.account.detail(
            NAME,
            f"{path.name}: {size(file['size_bytes'])}, of which"
            f" {size(path.stat().st_blocks * 512)} take space; accepted by e2fsck -fn,"
            f" {len(disk.files)} files equal",
        )


def _told(counted: dict[str, int]) -> str:
    """What reading a disk came to; ``counted`` in bytes."""
    read = counted["read"] - counted["audited"]
    basis = f"{size(counted['allocated'])} in use"
    if counted["audited"]:
        basis = f"{size(counted['changed'] + counted['cleared'])} changed"
    again = f", {size(counted['audited'])} read to check the rest" if counted["audited"] else ""
    return f"{basis}, {size(read)} read, {size(counted['stored'])} stored{again}"
