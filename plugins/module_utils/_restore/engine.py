# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One restore: find the point, then do what the target asks for."""

from __future__ import annotations

from datetime import datetime

from .._arm.client import ArmClient
from .._errors import InputError
from .backup_source import BackupWanted, find_backup
from .in_place import restore_in_place
from .new_vm import Write, restore_disks, restore_new_vm
from .request import Outcome, Request
from .source import Wanted, find_point


def restore(
    arm: ArmClient, wanted: Wanted | BackupWanted, request: Request, write: Write, now: datetime
) -> Outcome:
    """Restore what is wanted as requested.

    Args:
        write: runs what changes something, or, in check mode, does not.
        now: the time, for the name of a safety restore point.

    Raises:
        InputError, NotFound: it cannot be done as asked; nothing was changed.
        RestoreFailed: it failed; the message says what was undone.
    """
    point = find_backup(wanted) if isinstance(wanted, BackupWanted) else find_point(arm, wanted)
    if not point.disks:
        raise InputError(
            f"The {point.noun} {point.name} holds no disks.", code="NoDisks", resource=point.id
        )
    if request.target == "in_place":
        return restore_in_place(arm, point, request, write, now)
    if request.target == "disks":
        return restore_disks(arm, point, request, write)
    return restore_new_vm(arm, point, request, write)
