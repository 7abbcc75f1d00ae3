# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restored machine has in the end, as Azure tells it."""

from __future__ import annotations

from collections.abc import Iterable

from .._arm.client import ArmClient
from .._compute.disks import get_disk
from .._compute.ids import ResourceId
from .._compute.storage_profile import attached_disks, disk_id
from .._compute.virtual_machines import get_vm, power_state
from .plan import Raw, RestoredDisk, SourceDisk
from .request import Outcome


def read_back(
    arm: ArmClient, outcome: Outcome, sources: Iterable[SourceDisk], vm: Raw | None = None
) -> Raw:
    """Put into the outcome what Azure has now.

    Args:
        sources: the disks that were restored, in the order of the result.
        vm: as it was just read, with its power state.

    Returns:
        The machine.
    """
    if vm is None:
        parsed = ResourceId.parse(outcome.vm_id or "")
        vm = get_vm(arm, parsed.group, parsed.name, instance_view=True)
    attached = attached_disks(vm)
    outcome.disks = []
    for source in sources:
        if entry := attached.get(source.lun):
            seen = get_disk(arm, disk_id(entry))
            outcome.disks.append(RestoredDisk(source, disk_id(entry), seen, entry))
    outcome.power_state = power_state(vm)
    return vm
