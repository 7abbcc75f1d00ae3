# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore to a new virtual machine."""

from __future__ import annotations

from dataclasses import replace

from ..._arm.client import ArmClient
from ..._clock import SystemClock
from ..._compute.disks import find_disk
from ..._compute.ids import ResourceId, resource_id, same_id
from ..._compute.storage_profile import disk_id, os_disk
from ..._compute.virtual_machines import create_vm, deallocate, find_vm, get_vm, power_state
from ..._errors import Conflict, InputError, OperationFailed
from ..._repository.lease import Holder
from ..._secrets import HIDDEN
from ..facts import Facts
from ..fit import need_fitting_body, security_type
from ..journal import Journal
from ..lock import Lock, OnDisk, held
from ..losses import machine_losses
from ..network import plan_network
from ..new_machine import Source, new_body
from ..plan import (
    RUN_TAG,
    DiskPlan,
    Point,
    Raw,
    RestoredDisk,
    SourceDisk,
    foreign_tags,
    identity,
    identity_tags,
    made_by_restore,
    made_by_run,
    run_tag,
)
from ..prepare import (
    check_vm_name,
    choose_disks,
    need_group,
    plan_disks,
    read_disks,
    read_source_vm,
    zones_here,
)
from ..read_back import read_back
from ..request import ALREADY_RESTORED, Outcome, Request, Write
from ..steps import close_record, settled_vm
from .making import MakingRun, journal_of, look

_UNDER_WAY = ("Creating", "Updating")


def restore_new_vm(
    arm: ArmClient, point: Point, request: Request, write: Write, clock: SystemClock, run: str
) -> Outcome:
    """Make a new virtual machine of a restore point or backup.

    Raises:
        InputError, NotFound: it cannot be done as asked; nothing was changed.
        RestoreHeld: another restore makes this machine or its disks.
        RestoreFailed: it failed; the message says what is left.
    """
    source_vm = read_source_vm(arm, point, request)
    group = request.new_group or request.group or point.group
    chosen, excluded = choose_disks(point, request)
    if chosen[0].lun is not None:
        raise InputError(
            f"A virtual machine needs its OS disk, and the {point.noun} has none to restore."
        )
    name = check_vm_name(request.new_name or "", chosen[0].os_type)
    vm_id = resource_id(arm.subscription_id, group, "virtualMachines", name)
    restore_id = identity(point.id, "new_vm", vm_id)
    need_group(arm, group)
    outcome = Outcome(point, "new_vm", excluded=excluded, vm_id=vm_id)
    there = find_vm(arm, group, name, instance_view=True)
    if there is not None:
        return _there_already(arm, there, restore_id, outcome, chosen, request, write, clock)
    known = read_disks(arm, point, chosen, outcome.warnings)
    source = Source(point, source_vm, known[0][1])
    zones = _zones(request, source, [facts for _disk, facts in known])
    network = plan_network(arm, request, source_vm, point, name, outcome.warnings)
    outcome.warnings += machine_losses(source, name, zones=zones)
    source_name = source_vm["name"] if source_vm else request.vm or "vm"
    planned = plan_disks(
        arm, point, request, known,
        group=group, vm=name, source_vm=source_name, zones=zones,
        security_type=security_type(point.metadata), restore_id=restore_id,
        notes=outcome.warnings,
    )  # fmt: skip
    making = look(arm, planned, restore_id, run, clock, earlier=False)
    outcome.warnings += making.notes
    journal = journal_of(
        making, run=run, restore_id=restore_id, target="new_vm", vm=vm_id, clock=clock,
        start=request.start,
    )  # fmt: skip
    plans = [one.plan for one in making.standings]
    tags = {**foreign_tags(source_vm), **request.tags, **identity_tags(point, restore_id)}
    body = new_body(
        source, plans,
        size=request.size, network=network, zones=zones, plan=request.plan,
        tags={**tags, RUN_TAG: run_tag(journal.run, plans[0].name, journal.process)},
    )  # fmt: skip
    _predict(outcome, plans, body, request)
    work = MakingRun(
        arm, point, clock, making, journal, lambda: _make_vm(arm, vm_id, body, journal, request)
    )

    def act() -> Outcome:
        work.go()
        outcome.warnings += work.warnings
        return _read_back(arm, outcome, chosen)

    return write(act, outcome)


def _predict(outcome: Outcome, plans: list[DiskPlan], body: Raw, request: Request) -> None:
    outcome.disks = [RestoredDisk(plan.source, plan.id, plan.predicted()) for plan in plans]
    outcome.power_state = "running" if request.start else "deallocated"
    outcome.ready = True
    outcome.message = f"{(outcome.vm_id or '').rsplit('/', 1)[1]} was made of {outcome.point.name}."
    shown = {name: value for name, value in body["tags"].items() if name != RUN_TAG}
    properties = dict(body["properties"])
    if "userData" in properties:
        properties["userData"] = HIDDEN  # people keep secrets there
    outcome.after = {
        "vm": {**body, "tags": shown, "properties": properties},
        "disks": [plan.id for plan in plans],
    }


def _zones(request: Request, source: Source, known: list[Facts]) -> list[str] | None:
    """Those of the machine; where it is gone, its disks may know."""
    if source.vm is None and not request.zone:
        return next((facts.zones for facts in known if facts.zones), None)
    return zones_here(request, source.vm, source.point)


def _make_vm(arm: ArmClient, vm_id: str, body: Raw, journal: Journal, request: Request) -> None:
    """Make the machine of its disks. Not waited for, it is made all the same: the disks are its own."""
    parsed = ResourceId.parse(vm_id)
    waits = request.wait or not request.start
    need_fitting_body(arm, parsed.name, body)
    try:
        create_vm(arm, parsed.group, parsed.name, body, wait=waits)
    except Conflict:
        found = find_vm(arm, parsed.group, parsed.name)
        if not made_by_run(found, journal.run):
            raise
        # It is ours: the answer to the first request was lost.
    if waits:
        _need_made(settled_vm(arm, vm_id))
    if not request.start:
        deallocate(arm, parsed.group, parsed.name, wait=request.wait)


def _need_made(vm: Raw) -> None:
    """Raises OperationFailed where the machine could not be made."""
    if (state := vm["properties"].get("provisioningState")) != "Succeeded":
        raise OperationFailed(
            f"The virtual machine {vm['name']} was made and ended in the state {state}.",
            operation="create virtual machine",
            resource=vm["id"],
        )


def _read_back(arm: ArmClient, outcome: Outcome, chosen: list[SourceDisk]) -> Outcome:
    """Put into the outcome what Azure has now, and whether the machine is whole."""
    vm = read_back(arm, outcome, chosen)
    outcome.ready = vm["properties"].get("provisioningState") == "Succeeded"
    return outcome


def _there_already(
    arm: ArmClient,
    vm: Raw,
    restore_id: str,
    outcome: Outcome,
    chosen: list[SourceDisk],
    request: Request,
    write: Write,
    clock: SystemClock,
) -> Outcome:
    """The outcome of the same restore done earlier; any other machine of that name is not touched.

    Raises:
        InputError: the machine is of something else, or it failed.
        RestoreHeld: the restore that makes it still works.
    """
    _refuse_other(vm, restore_id)
    left = _record_of(arm, vm)
    if left is not None and left.alive(clock.now()):
        raise held(left, vm["id"])
    if request.wait and vm["properties"].get("provisioningState") in _UNDER_WAY:
        vm = settled_vm(arm, vm["id"])
    state = vm["properties"].get("provisioningState")
    if state == "Failed":
        raise InputError(
            f"The virtual machine {vm['name']} of this restore is in the state Failed;"
            " delete it and run the task again.",
            code="VmFailed",
            resource=vm["id"],
        )
    outcome.reason = ALREADY_RESTORED
    outcome.message = f"{vm['name']} was made of {outcome.point.name} by an earlier run."
    _read_back(arm, outcome, chosen)
    if left is None or state in _UNDER_WAY:
        return outcome
    outcome.reason = "Restored"
    if not left.ran and not request.start:
        outcome.power_state = "deallocated"
    return write(lambda: _complete(arm, outcome, left, chosen, request, clock), outcome)


def _refuse_other(vm: Raw, restore_id: str) -> None:
    if not made_by_restore(vm, restore_id):
        raise InputError(
            f"The virtual machine {vm['name']} exists in resource group {ResourceId.parse(vm['id']).group}"
            " and was not made by this restore; restoring over it is refused.",
            code="VmExists",
            resource=vm["id"],
            hint="Give another new_name, or use target: in_place to roll a machine back.",
        )


def _record_of(arm: ArmClient, vm: Raw) -> Journal | None:
    """The record of the run that made the machine, where that run has not ended."""
    bearer_id = disk_id(os_disk(vm["properties"]))
    journal = OnDisk(arm, bearer_id).journal(find_disk(arm, bearer_id))
    return journal if journal is not None and same_id(journal.vm, vm["id"]) else None


def _complete(
    arm: ArmClient,
    outcome: Outcome,
    left: Journal,
    chosen: list[SourceDisk],
    request: Request,
    clock: SystemClock,
) -> Outcome:
    """The last steps of a run that was killed, or did not wait, after it had made the machine."""
    lock = Lock(OnDisk(arm, left.made[0]), replace(left, holder=Holder.here(left.run)), clock)
    lock.claim(expected=left.run)
    parsed = ResourceId.parse(left.vm)
    vm = get_vm(arm, parsed.group, parsed.name, instance_view=True)
    # One that was made to run may be in use by now: another run of the task does not stop it.
    if not left.ran and not request.start and power_state(vm) != "deallocated":
        deallocate(arm, parsed.group, parsed.name, wait=request.wait)
    if record := close_record(arm, lock.commit):
        outcome.warnings.append(f"The restore is done. {record}")
    return _read_back(arm, outcome, chosen)
