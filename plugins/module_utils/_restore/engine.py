# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One restore: find the point, then do what the target asks for."""

from __future__ import annotations

import contextlib
import secrets

from .._arm.client import ArmClient
from .._clock import SystemClock
from .._compute.virtual_machines import find_vm
from .._errors import InputError, VmguardError
from .lock import OnMachine, PlanOutdated
from .plan import Point
from .request import Outcome, Request, Write
from .source.backup import BackupWanted, find_backup
from .source.restore_point import PointWanted, find_point
from .steps import describe_vm
from .targets.disks import restore_disks
from .targets.in_place import restore_in_place
from .targets.new_vm import restore_new_vm

# Somebody else may finish between planning and beginning.
_ATTEMPTS = 3
_TARGETS = {
    "in_place": restore_in_place,
    "new_vm": restore_new_vm,
    "disks": restore_disks,
}


def restore(
    arm: ArmClient,
    wanted: PointWanted | BackupWanted,
    request: Request,
    write: Write,
    clock: SystemClock,
) -> Outcome:
    """Restore what is wanted as requested.

    Args:
        write: runs what changes something, or, in check mode, does not.

    Raises:
        InputError, NotFound: it cannot be done as asked; nothing was changed.
        RestoreHeld: another restore works on the same machine or disks.
        RestoreFailed: it failed; the message says what was undone.
    """
    point = _find(arm, wanted, request)
    if not point.disks:
        raise InputError(
            f"The {point.noun} {point.name} holds no disks.", code="NoDisks", resource=point.id
        )
    for attempt in range(1, _ATTEMPTS + 1):
        run = f"{clock.now():%Y%m%dt%H%M%Sz}-{secrets.token_hex(4)}"
        try:
            return _TARGETS[request.target](arm, point, request, write, clock, run)
        except PlanOutdated:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError


def _find(arm: ArmClient, wanted: PointWanted | BackupWanted, request: Request) -> Point:
    """The point; where there is none, an unfinished restore of the machine is told as well."""
    try:
        return find_backup(wanted) if isinstance(wanted, BackupWanted) else find_point(arm, wanted)
    except VmguardError as error:
        if request.target == "in_place" and request.group and request.vm:
            with contextlib.suppress(VmguardError):
                vm = find_vm(arm, request.group, request.vm)
                left = OnMachine(arm, vm["id"]).journal(vm) if vm else None
                if left is not None:
                    error.message += (
                        f" On {request.vm} an earlier restore has not ended: {left.who()}."
                        f" {describe_vm(arm, left.vm)} A restore of another point finishes or undoes it."
                    )
        raise
