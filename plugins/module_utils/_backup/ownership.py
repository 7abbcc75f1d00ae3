# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which snapshots and restore points belong to a machine's backups in a repository, by Azure's own word.

A snapshot says it by its tags. A restore point can have none, but neither can its name be changed: it
ends with a keyed hash of repository, machine and backup, which nobody else's restore point has.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from .._arm.client import ArmClient
from .._compute.ids import COLLECTION_TYPE, ResourceId, same_id
from .._compute.restore_point_collections import get_collection, source_id
from .._compute.restore_points import get_point
from .._compute.snapshots import SNAPSHOT_TYPE, find_snapshot
from .._errors import InputError
from .._repository import manifest
from .._repository.repository import Repository

REPOSITORY_TAG = "vmguard-repository"
MACHINE_TAG = "vmguard-vm"
BACKUP_TAG = "vmguard-backup"
_BACKUP_ID = re.compile(r"[0-9]{8}t[0-9]{6}z-[0-9a-f]{8}")
_POINT_NAME = re.compile(rf"vmguard-({_BACKUP_ID.pattern})-[0-9a-f]{{16}}")
Raw = dict[str, Any]


class Claim(Enum):
    """What Azure says to the claim that a backup made a resource."""

    CONFIRMED = "confirmed"
    FOREIGN = "foreign"
    ABSENT = "absent"


class Owner:
    """The backups of one machine in one repository, as the owner of resources in Azure.

    Args:
        machine_id: the machine's resource id.
        vm_id: Azure's id of the machine's life (``vmId``), None where it is not told.

    Attributes:
        key: the machine's key in the repository.
    """

    def __init__(
        self, arm: ArmClient, repository: Repository, machine_id: str, vm_id: str | None
    ) -> None:
        self.arm = arm
        self.key = manifest.vm_key(repository, machine_id)
        self._repository = repository
        self._machine_id = machine_id
        self._vm_id = vm_id

    def tags(self, run: str) -> dict[str, str]:
        """The tags of a backup's snapshots."""
        return {REPOSITORY_TAG: self._repository.id, MACHINE_TAG: self.key, BACKUP_TAG: run}

    def point_name(self, run: str) -> str:
        """The name of a backup's restore point."""
        return f"vmguard-{run}-{self._repository.codec.key_of(f'{self.key}/{run}')[:16]}"

    def run_of_snapshot(self, snapshot: Raw) -> str | None:
        """The id of the backup that made a snapshot; None where it is no backup of this owner's.

        Further tags, as Azure Policy adds them, make no difference.
        """
        tags = snapshot.get("tags") or {}
        run = str(tags.get(BACKUP_TAG) or "")
        if _BACKUP_ID.fullmatch(run) and self.tags(run).items() <= tags.items():
            return run
        return None

    def run_of_point(self, name: str) -> str | None:
        """The id of the backup that made the restore point of this name, None as above."""
        found = _POINT_NAME.fullmatch(name)
        return found[1] if found and self.point_name(found[1]) == name else None

    def holds(self, collection: Raw) -> bool:
        """Whether a restore point collection is one of this machine."""
        return same_id(source_id(collection), self._machine_id)

    def judge(self, resource: str, run: str | None = None) -> Claim:
        """Whether Azure confirms that a backup made a snapshot, restore point or a disk of one.

        Args:
            resource: its id; whoever named it may have lied.
            run: the id of the backup; None for any backup of the owner.

        Raises:
            InputError: the id is of something else, or of another subscription.
            AzureError, ConnectionFailed: Azure cannot be asked.
        """
        parsed = ResourceId.parse(resource)
        kind = parsed.type.lower() if parsed.provider.lower() == "microsoft.compute" else ""
        if kind == SNAPSHOT_TYPE and not parsed.child_names:
            found = find_snapshot(self.arm, resource)
            made_by = self.run_of_snapshot(found) if found else None
        elif kind == COLLECTION_TYPE.lower() and 1 <= len(parsed.child_names) <= 2:
            if parsed.subscription.lower() != self.arm.subscription_id.lower():
                raise InputError(f"{resource!r} is in another subscription than the task's.")
            found = get_point(self.arm, parsed.group, parsed.name, parsed.child_names[0])
            made_by = self._run_of_raw_point(parsed, found) if found else None
        else:
            raise InputError(f"{resource!r} is the id of no snapshot and of no restore point.")
        if found is None:
            return Claim.ABSENT
        same = made_by is not None and run in (None, made_by)
        return Claim.CONFIRMED if same else Claim.FOREIGN

    def _run_of_raw_point(self, parsed: ResourceId, point: Raw) -> str | None:
        """By its name, in a collection of this machine, and of this very machine's disks."""
        run = self.run_of_point(parsed.child_names[0])
        told = (point["properties"].get("sourceMetadata") or {}).get("vmId")
        if run is None or (told and self._vm_id and told.lower() != self._vm_id.lower()):
            return None
        collection = get_collection(self.arm, parsed.group, parsed.name)
        return run if collection is not None and self.holds(collection) else None
