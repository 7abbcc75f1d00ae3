"""Protects virtual machines, loses data and one of them, and brings all back: all on this machine.

Real playbooks of the collection talk HTTPS to a local Azure. What comes back is checked with
e2fsck and by the digest of every file. Nothing is left behind, however it ends.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from account import MIB, Account, DemoError, Player, plural
from image_backup import ImageBackup

from local_azure.launcher import LocalAzure
from support.images import ImageDamaged
from support.machines import Machine, Machines
from support.rehearsal import GROUP, MACHINES

INVENTORY = Path(__file__).with_name("inventory.yml")


class Demo:
    """Restore points: the steps, in their order."""

    def __init__(self, local: LocalAzure, directory: Path, account: Account) -> None:
        self.local = local
        self.account = account
        self.machines = Machines(local.control, directory)
        self.player = Player(local, account, INVENTORY, set(MACHINES))
        self.known: dict[str, Machine] = {}

    def run(self) -> None:
        self.make_machines()
        self.protect()
        self.lose_data()
        restored = self.restore()
        self.check(restored)

    def make_machines(self) -> None:
        self.account.step(f"Two virtual machines in a local Azure at {self.local.url}")
        for name, options in MACHINES.items():
            machine = self.machines.create(GROUP, name, **options)
            self.known[name] = machine
            held = sum(disk.image.stat().st_blocks * 512 for disk in machine.disks)
            self.account.detail(
                name,
                f"{plural(len(machine.disks), 'disk')} of 1 GiB, each with an ext4 file system:"
                f" {machine.file_count} files, {held // MIB} MiB",
            )

    def protect(self) -> None:
        [found] = self.player.play("snapshot", "restore_point")
        for name, result in sorted(found.items()):
            point = result["restore_point"]
            disks = len(point["included_disks"])
            if not point["ready_to_use"] or disks != len(self.known[name].disks):
                raise DemoError(f"The restore point of {name} is not complete: {point}")
            self.account.detail(
                name,
                f"restore point {point['name']}: {plural(disks, 'disk')},"
                f" {point['consistency_mode']}",
            )

    def lose_data(self) -> None:
        self.account.step("The guests lose data, as with ransomware")
        for name, machine in self.known.items():
            damages = self.machines.damage(machine)
            deleted = sum(len(damage.deleted) for damage in damages)
            overwritten = sum(len(damage.overwritten) for damage in damages)
            notes = sum(len(damage.added) for damage in damages)
            self.account.detail(
                name,
                f"{deleted} files deleted, {overwritten} overwritten, {plural(notes, 'note')} left",
            )
            self._be_sure_of_the_loss(machine)

    def _be_sure_of_the_loss(self, machine: Machine) -> None:
        """A check that finds nothing wrong now would prove nothing later."""
        for disk in machine.disks:
            try:
                self.machines.check_disk(disk, vm=machine.id, lun=disk.lun)
            except ImageDamaged:
                continue
            raise DemoError(f"{machine.name} lost nothing on disk {disk.lun}.")

    def restore(self) -> dict[str, dict[str, Any]]:
        """Bring both back; the machine that each one's disks are on now."""
        [found] = self.player.play("restore", "vm_restore")
        restored = {}
        for name, result in sorted(found.items()):
            restored[name] = result["vm"]
            how = {"in_place": "rolled back in place", "new_vm": "came back as a new machine,"}
            target = result["target"]
            where = "" if target == "in_place" else f" {result['vm']['name']}"
            self.account.detail(
                name,
                f"{how[target]}{where}: {plural(len(result['disks']), 'disk')},"
                f" {result['vm']['power_state']}",
            )
        return restored

    def check(self, restored: dict[str, dict[str, Any]]) -> None:
        self.account.step("Checked: e2fsck -fn on every disk, SHA-256 of every file")
        for name, vm in restored.items():
            machine = self.known[name]
            equal = self.machines.check(machine, vm["id"])
            self.account.detail(
                vm["name"],
                f"{plural(len(machine.disks), 'file system')} without a fault,"
                f" {equal} of {machine.file_count} files equal, none added",
            )


def check_audit(local: LocalAzure, account: Account) -> None:
    """Be sure that nothing crashed and nothing is left open, and tell what Azure had to do."""
    audit = local.control.audit()
    if audit["crashes"] or audit["active_sas"] or audit["operations_in_progress"]:
        raise DemoError(f"Local Azure was left in disorder: {audit}")
    requests = [entry for entry in audit["requests"] if entry["area"] != "identity"]
    writes = sum(entry["write"] for entry in requests)
    account.step(
        f"Done. Azure had {len(requests)} requests, {writes} of them writes;"
        f" {len(audit['active_sas'])} SAS active."
    )


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo; 0 when everything came back."""
    signal.signal(signal.SIGTERM, _terminate)
    account = Account()
    print("vmguard.azure: protect virtual machines, lose data, bring it back.")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="vmguard-demo-") as name,
            LocalAzure(storage=True) as local,
        ):
            Demo(local, Path(name), account).run()
            ImageBackup(local, Path(name), account).run()
            check_audit(local, account)
    except (DemoError, ImageDamaged, FileNotFoundError) as error:
        print(f"\nThe demo failed after {account.seconds():.1f} s. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
