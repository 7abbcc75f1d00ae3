# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository holds of a machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .._errors import ObjectNotFound
from .._repository import manifest
from .._repository.errors import DamagedObject
from .._repository.manifest import DiskImage, Manifest
from .._repository.repository import Repository
from .levels import DiskHistory, Earlier
from .machine import BackupDisk


class History:
    """The backups of one machine, read from the newest backwards as far as is needed.

    A damaged manifest is passed over, with a warning: it is as if that backup did not exist.
    """

    def __init__(self, repository: Repository, key: str) -> None:
        self._repository = repository
        self._names = manifest.listed(repository, key)
        self._read: dict[str, Manifest | None] = {}
        self.warnings: list[str] = []

    @property
    def ids(self) -> set[str]:
        """The ids of all backups."""
        return {name.rpartition("/")[2] for name in self._names}

    def sources(self) -> set[str]:
        """What the disks were read from, in the backups that were looked at: those in use are among them."""
        return {disk.source for backup in self._read.values() if backup for disk in backup.disks}

    def newest(self) -> Manifest | None:
        return next(self.backwards(), None)

    def of_disks(self, disks: Iterable[BackupDisk]) -> dict[str, DiskHistory]:
        """The history of each disk, by its unique id."""
        found = {disk.unique_id: DiskHistory() for disk in disks}
        missing = dict.fromkeys(found)
        roles = {disk.role: disk.unique_id for disk in disks}
        for backup in self.backwards():
            for image in backup.disks:
                if image.unique_id in missing:
                    del missing[image.unique_id]
                    self._fill(found[image.unique_id], backup, image)
                elif image.role in roles and roles[image.role] in missing:
                    found[roles[image.role]].replaced = True
            if not missing:
                break
        return found

    def _fill(self, history: DiskHistory, backup: Manifest, image: DiskImage) -> None:
        history.last = Earlier(backup, image)
        full = backup if image.full == backup.id else self.backup(image.full)
        if full and (held := full.disk(image.unique_id)):
            history.full = Earlier(full, held)

    def image(self, backup_id: str, unique_id: str) -> DiskImage | None:
        """A disk in one of the backups; None where there is none."""
        found = self.backup(backup_id)
        return found.disk(unique_id) if found else None

    def backup(self, backup_id: str) -> Manifest | None:
        """A backup by its id; None where there is none, or none that can be read."""
        name = next((one for one in self._names if one.endswith(f"/{backup_id}")), None)
        return self._get(name) if name else None

    def backwards(self) -> Iterator[Manifest]:
        """The backups that can be read, the newest first."""
        for name in reversed(self._names):
            if found := self._get(name):
                yield found

    def _get(self, name: str) -> Manifest | None:
        if name not in self._read:
            try:
                self._read[name] = manifest.read(self._repository, name)
            except ObjectNotFound:
                self._read[name] = None
            except DamagedObject as error:
                self.warnings.append(
                    f"The backup {name.rpartition('/')[2]} is passed over: {error.message}"
                )
                self._read[name] = None
        return self._read[name]
