# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore to disks that are attached to nothing."""

from __future__ import annotations

from ..._arm.client import ArmClient
from ..._clock import SystemClock
from ..fit import security_type
from ..plan import Point, RestoredDisk, identity
from ..prepare import (
    choose_disks,
    need_group,
    plan_disks,
    read_disks,
    read_source_vm,
    zones_here,
)
from ..request import ALREADY_RESTORED, Outcome, Request, Write
from .making import MakingRun, journal_of, look


def restore_disks(
    arm: ArmClient, point: Point, request: Request, write: Write, clock: SystemClock, run: str
) -> Outcome:
    """Make disks of a restore point or backup.

    Raises:
        InputError, NotFound: it cannot be done as asked; nothing was changed.
        RestoreHeld: another restore makes disks of these names.
        RestoreFailed: it failed; the message says what is left.
    """
    source_vm = read_source_vm(arm, point, request)
    source_name = source_vm["name"] if source_vm else request.vm or "vm"
    group = request.new_group or request.group or point.group
    need_group(arm, group)
    chosen, excluded = choose_disks(point, request)
    restore_id = identity(point.id, "disks", f"{group}/{request.disk_name_pattern or ''}")
    notes: list[str] = []
    planned = plan_disks(
        arm, point, request, read_disks(arm, point, chosen, notes),
        group=group, vm=source_name, source_vm=source_name,
        zones=zones_here(request, source_vm, point),
        security_type=security_type(point.metadata), restore_id=restore_id, notes=notes,
    )  # fmt: skip
    making = look(arm, planned, restore_id, run, clock, earlier=True)
    standings = making.standings
    outcome = Outcome(point, "disks", excluded=excluded, ready=True, warnings=notes + making.notes)
    outcome.disks = [
        RestoredDisk(one.plan.source, one.plan.id, one.predicted()) for one in standings
    ]
    outcome.message = f"{len(standings)} disks hold the content of {point.name}."
    outcome.before = {"disks": [one.plan.id for one in standings if one.ready]}
    outcome.after = {"disks": [one.plan.id for one in standings]}
    if making.dead is None and not making.others and all(one.ready for one in standings):
        outcome.reason = ALREADY_RESTORED
        return outcome
    journal = journal_of(making, run=run, restore_id=restore_id, target="disks", vm="", clock=clock)
    work = MakingRun(arm, point, clock, making, journal, lambda: None)

    def act() -> Outcome:
        seen = work.go()
        outcome.warnings += work.warnings
        outcome.disks = [
            RestoredDisk(one.plan.source, one.plan.id, disk)
            for one, disk in zip(standings, seen, strict=True)
        ]
        return outcome

    return write(act, outcome)
