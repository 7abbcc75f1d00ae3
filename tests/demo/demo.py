"""Protects two virtual machines, loses data, and brings it back: all on this machine.

Real playbooks of the collection talk HTTPS to a local Azure. What comes back is checked with
e2fsck and by the digest of every file. Nothing is left behind, however it ends.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local_azure.launcher import LocalAzure
from support.images import ImageDamaged
from support.machines import Machine, Machines
from support.playbook import PlaybookRun, run_playbook
from support.rehearsal import GROUP, MACHINES
from tools import tree

INVENTORY = Path(__file__).with_name("inventory.yml")
MIB = 1 << 20


class DemoError(Exception):
    """Something is not as it should be; the message is for whoever runs the demo."""


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


@dataclass
class Account:
    """What is told, with the seconds since the beginning."""

    began: float = field(default_factory=time.monotonic)

    def step(self, text: str) -> None:
        print(f"\n{self.seconds():6.1f} s  {text}", flush=True)

    def detail(self, who: str, text: str) -> None:
        print(f"{'':10}{who:13} {text}", flush=True)

    def seconds(self) -> float:
        return time.monotonic() - self.began


class Demo:
    """The steps, in their order."""

    def __init__(self, local: LocalAzure, directory: Path, account: Account) -> None:
        self.local = local
        self.account = account
        self.machines = Machines(local.control, directory)
        self.known: dict[str, Machine] = {}

    def run(self) -> None:
        self.make_machines()
        self.protect()
        self.lose_data()
        restored = self.restore()
        self.check(restored)
        self.check_audit()

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

    def play(self, name: str, module: str) -> Mapping[str, dict[str, Any]]:
        """Run one of the collection's playbooks on both machines; the module's result by host."""
        playbook = tree.fqcn(name)
        inventory = INVENTORY.relative_to(tree.ROOT)
        self.account.step(f"ansible-playbook {playbook} --inventory {inventory}")
        run = run_playbook(playbook, self.local, "--inventory", str(INVENTORY))
        results = run.results(module)
        if run.rc or run.failed or results.keys() != self.known.keys():
            raise DemoError(f"{playbook} failed:\n{run.stdout}")
        return _changed(run, results)

    def protect(self) -> None:
        for name, result in sorted(self.play("snapshot", "restore_point").items()):
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
        restored = {}
        for name, result in sorted(self.play("restore", "vm_restore").items()):
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

    def check_audit(self) -> None:
        audit = self.local.control.audit()
        if audit["crashes"] or audit["active_sas"] or audit["operations_in_progress"]:
            raise DemoError(f"Local Azure was left in disorder: {audit}")
        requests = [entry for entry in audit["requests"] if entry["area"] != "identity"]
        writes = sum(entry["write"] for entry in requests)
        self.account.step(
            f"Done. Azure had {len(requests)} requests, {writes} of them writes;"
            f" {len(audit['active_sas'])} SAS active."
        )


def _changed(run: PlaybookRun, results: dict[str, dict[str, Any]]) -> Mapping[str, dict[str, Any]]:
    idle = [host for host in results if not run.stats[host]["changed"]]
    if idle:
        raise DemoError(f"Nothing was done on {', '.join(idle)}:\n{run.stdout}")
    return results


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo; 0 when everything came back."""
    signal.signal(signal.SIGTERM, _terminate)
    account = Account()
    print("vmguard.azure: protect two virtual machines, lose data, bring it back.")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="vmguard-demo-") as name,
            LocalAzure() as local,
        ):
            Demo(local, Path(name), account).run()
    except (DemoError, ImageDamaged, FileNotFoundError) as error:
        print(f"\nThe demo failed after {account.seconds():.1f} s. {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
