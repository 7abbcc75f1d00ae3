"""Virtual machines in a local Azure whose disks hold file systems with known files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_azure.control_client import ControlClient

from . import images

Lun = int | str
OS: Lun = "os"


@dataclass
class MachineDisk:
    """A disk as it was when its machine was made."""

    lun: Lun
    image: Path
    files: dict[str, str]


@dataclass
class Machine:
    """One virtual machine, and what its disks held in the beginning."""

    id: str
    name: str
    disks: list[MachineDisk] = field(default_factory=list)

    @property
    def file_count(self) -> int:
        return sum(len(disk.files) for disk in self.disks)


class Machines:
    """Makes machines, damages their files as their guests would, and checks them."""

    def __init__(self, control: ControlClient, directory: Path) -> None:
        """Keep the images under ``directory``; machines with equal seeds share them."""
        self._control = control
        self._directory = directory

    def describe(self, group: str, name: str, *, data_disks: int = 2, seed: int = 1) -> Machine:
        """A machine that was or will be created with these arguments, and what its disks hold."""
        luns: list[Lun] = [OS, *range(data_disks)]
        disks = [self._disk(lun, seed * 100 + place) for place, lun in enumerate(luns)]
        return Machine(self._control.vm_id(group, name), name, disks)

    def create(
        self, group: str, name: str, *, data_disks: int = 2, seed: int = 1, **more: Any
    ) -> Machine:
        """A running machine with an OS disk, and data disks at LUN 0 and up."""
        machine = self.describe(group, name, data_disks=data_disks, seed=seed)
        disks = machine.disks
        self._control.create_vm(
            group,
            name,
            {"image": str(disks[0].image), "size_gb": 1},
            [{"lun": disk.lun, "image": str(disk.image), "size_gb": 1} for disk in disks[1:]],
            **more,
        )
        return machine

    def _disk(self, lun: Lun, seed: int) -> MachineDisk:
        image = self._directory / f"disk-{seed}.img"
        digests = image.with_suffix(".json")
        if not digests.exists():
            digests.write_text(json.dumps(images.make_image(image, seed)))
        return MachineDisk(lun, image, json.loads(digests.read_text()))

    def damage(self, machine: Machine, seed: int = 1) -> list[images.Damage]:
        """Delete, overwrite and add files on every disk of a running machine."""
        done = []
        for disk in machine.disks:
            copy = disk.image.with_suffix(f".{machine.name}.damaged")
            done.append(images.damage_image(disk.image, copy, disk.files, seed))
            self._control.guest_sync(machine.id, disk.lun, disk.image, copy)
            copy.unlink()
        return done

    def check(self, machine: Machine, vm_id: str | None = None) -> int:
        """Compare every file on every disk with the beginning; returns how many are equal.

        Args:
            vm_id: check this machine's disks instead, one restored from ``machine``.

        Raises:
            ImageDamaged: naming the machine and the disk.
        """
        for disk in machine.disks:
            self.check_disk(disk, vm=vm_id or machine.id, lun=disk.lun)
        return machine.file_count

    def check_disk(self, disk: MachineDisk, **where: Any) -> None:
        """The same for one disk in local Azure: ``id=``, or ``vm=`` and ``lun=``."""
        export = disk.image.with_suffix(".export")
        try:
            self._control.export_disk(export, **where)
            images.check_image(export, disk.files)
        except images.ImageDamaged as error:
            raise images.ImageDamaged(f"{where}: {error}") from error
        finally:
            export.unlink(missing_ok=True)
