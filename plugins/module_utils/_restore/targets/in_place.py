# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan a restore in place: what the machine is to become, and what a killed run has left on it.

``in_place_run`` then does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..._arm.client import ArmClient
from ..._clock import SystemClock
from ..._compute.disks import find_disk
from ..._compute.ids import ResourceId, same_id, same_location
from ..._compute.status import parse_time
from ..._compute.storage_profile import Lun, attached_disks, by_place, disk_id, role
from ..._compute.virtual_machines import get_vm, power_state
from ..._errors import InputError
from ..._repository.lease import Holder
from ..disks import Reconciler, Standing, State, differs, state_of, was_used
from ..fit import fit_os_disk, security_type
from ..journal import SWAPPED, SWAPPING, UNDOING, UNTOUCHED, Journal, Place
from ..lock import OnMachine, held
from ..machine import original_entry, remembered
from ..plan import (
    RUN_TAG,
    DiskPlan,
    Point,
    Raw,
    RestoredDisk,
    SourceDisk,
    ended_tag,
    identity,
    made_by_restore,
    made_by_run,
    tags_of,
)
from ..prepare import choose_disks, plan_disks, read_disks
from ..read_back import read_back
from ..request import ALREADY_RESTORED, Outcome, Request, Write
from ..safety import check_safety, safety_id
from .in_place_run import InPlaceRun
from .settle import remove_record, settle

Attachments = dict[Lun, Raw]


@dataclass(frozen=True)
class Basis:
    """The machine as it is once a run that was killed is finished or undone.

    Args:
        vm: as it was read.
        dead: the record of such a run.
        over: a record of a run that has ended, which somebody wrote back.
        attached: its disks then.
        ran: whether it is to run in the end.
        used: whether somebody may have used the machine with disks that the killed run had swapped in.
    """

    vm: Raw
    dead: Journal | None
    attached: Attachments
    ran: bool
    over: Journal | None = None
    used: bool = False


def restore_in_place(
    arm: ArmClient, point: Point, request: Request, write: Write, clock: SystemClock, run: str
) -> Outcome:
    """Bring a machine back to a restore point or backup.

    Raises:
        InputError: it cannot be done as asked; nothing was changed.
        RestoreHeld: another restore of the machine works.
        RestoreFailed: it failed and was undone; the message says what state the machine is in.
    """
    vm = _read_vm(arm, point, request)
    basis = _basis(arm, vm, clock)
    chosen, excluded = choose_disks(point, request)
    restore_id = identity(point.id, "in_place", vm["id"])
    outcome = Outcome(point, "in_place", excluded=excluded, vm_id=vm["id"])
    current = {lun: find_disk(arm, disk_id(one)) for lun, one in basis.attached.items()}
    done = all(made_by_restore(current.get(disk.lun), restore_id) for disk in chosen)
    if done and not request.force:
        return _done_before(arm, basis, outcome, chosen, request, write, clock, restore_id)
    _check_power(vm, request)
    _check_moved(vm, chosen, basis.attached)
    if power_state(vm) == "stopped":
        outcome.warnings.append(
            f"{vm['name']} is stopped and allocated; the restore deallocates it."
        )
    known = read_disks(arm, point, chosen, outcome.warnings, current)
    planned = plan_disks(
        arm, point, request, known,
        group=request.new_group or ResourceId.parse(vm["id"]).group,
        vm=vm["name"], source_vm=vm["name"], zones=vm.get("zones"),
        security_type=security_type(vm["properties"]), restore_id=restore_id,
        notes=outcome.warnings,
    )  # fmt: skip
    planned = [
        fit_os_disk(one, vm, current, security_type(facts.kept), outcome.warnings)
        for one, (_disk, facts) in zip(planned, known, strict=True)
    ]
    process = run
    standings = _taken_over(arm, basis, planned, restore_id)
    goes_on = standings is not None and basis.dead is not None
    if standings is None:
        reconciler = Reconciler(
            arm, restore_id, run, earlier=False, gone=_gone(arm, basis.dead),
            known=basis.dead.made if basis.dead else (),
        )  # fmt: skip
        standings = reconciler.look(planned)
        outcome.warnings += reconciler.notes
    elif basis.dead is not None:
        run = basis.dead.run
    journal = _journal(basis, standings, current, request, run, restore_id, clock)
    journal = replace(journal, process=process)
    if goes_on and basis.dead is not None:
        undoing = basis.dead.phase == UNDOING
        journal = replace(journal, phase=SWAPPING if undoing else basis.dead.phase)
    if request.safety_restore_point:
        journal = replace(journal, safety=safety_id(point, vm, clock.now(), run))
        check_safety(arm, journal.safety, vm)
    _predict(outcome, basis, journal, standings, request)
    work = InPlaceRun(arm, point, request, clock, journal, standings)

    def act() -> Outcome:
        if basis.dead is not None and not goes_on:
            settled = settle(arm, basis.dead, clock, request.old_disks)
            if told := settled.sentence():
                outcome.warnings.append(told)
            work.go(outcome, None, basis.over)
            outcome.kept_disks = [*outcome.kept_disks, *settled.kept]
            return outcome
        return work.go(outcome, basis.dead if goes_on else None, basis.over)

    return write(act, outcome)


def _read_vm(arm: ArmClient, point: Point, request: Request) -> Raw:
    if not (request.group and request.vm):
        raise InputError("A restore in place needs vm and resource_group.")
    vm = get_vm(arm, request.group, request.vm, instance_view=True)
    if vm["properties"].get("vmId", "").lower() != point.metadata.get("vmId", "").lower():
        raise InputError(
            f"The {point.noun} {point.name} was taken of another virtual machine than today's"
            f" {request.vm}; use target: new_vm.",
            code="OtherVm",
            resource=vm["id"],
        )
    if not same_location(vm["location"], point.location):
        raise InputError(
            f"The {point.noun} {point.name} is in {point.location} and {request.vm} in"
            f" {vm['location']}; in place needs one of the machine's own region.",
            code="WrongRegion",
            resource=vm["id"],
        )
    return vm


def _basis(arm: ArmClient, vm: Raw, clock: SystemClock) -> Basis:
    """What there is to start from.

    Raises:
        RestoreHeld: another restore works on the machine.
        JournalUnreadable: what a run left cannot be read.
        InputError: it was killed amid the swap, and somebody used the machine since.
    """
    attached, ran = attached_disks(vm), _runs(vm)
    dead = OnMachine(arm, vm["id"]).journal(vm)
    if dead is None:
        return Basis(vm, None, attached, ran)
    if dead.alive(clock.now()):
        raise held(dead, vm["id"])
    if dead.phase not in UNTOUCHED:
        first = find_disk(arm, dead.places[0].new)
        if tags_of(first).get(RUN_TAG) == ended_tag(dead.run):
            return Basis(vm, None, attached, ran, over=dead)
    used = dead.phase in (SWAPPING, UNDOING) and _was_used(arm, vm, dead, attached)
    if used and _all_swapped(dead, attached):
        dead = replace(dead, phase=SWAPPED)
    if dead.phase in (SWAPPING, UNDOING):
        for place in dead.places:
            there = disk_id(attached.get(place.lun))
            if there and not same_id(there, place.new):
                continue
            if place.old:
                attached[place.lun] = original_entry(place)
            elif there:
                del attached[place.lun]
    return Basis(vm, dead, attached, dead.ran or ran, used=used)


def _was_used(arm: ArmClient, vm: Raw, dead: Journal, attached: Attachments) -> bool:
    """Whether somebody may have used the machine since a run was killed that had stopped it to swap.

    The run deallocates it. A machine in another state, or one that was stopped or started long after
    (which is what Azure keeps as the time of a disk's last change of owner), may have written to its disks.
    """
    swapped = any(same_id(disk_id(attached.get(place.lun)), place.new) for place in dead.places)
    # Also of disks that are detached again: somebody may have put the original ones back.
    times = [
        parse_time(told)
        for place in dead.places
        if (disk := find_disk(arm, place.new))
        and made_by_run(disk, dead.run)
        and (told := disk["properties"].get("LastOwnershipUpdateTime"))
    ]
    running = swapped and power_state(vm) != "deallocated"
    return running or any(moment > dead.until for moment in times)


def _all_swapped(dead: Journal, attached: Attachments) -> bool:
    return all(same_id(disk_id(attached.get(place.lun)), place.new) for place in dead.places)


def _gone(arm: ArmClient, dead: Journal | None) -> tuple[str, ...]:
    """The disks that are deleted before this run makes its own: not those that were attached."""
    if dead is None or dead.phase == SWAPPED:
        return ()
    found = {one: find_disk(arm, one) for one in dead.made}
    return tuple(one for one, disk in found.items() if disk is None or not was_used(disk))


def _runs(vm: Raw) -> bool:
    return power_state(vm) not in ("deallocated", "stopped")


def _check_power(vm: Raw, request: Request) -> None:
    if _runs(vm) and not request.allow_stop:
        raise InputError(
            f"The virtual machine {vm['name']} is {power_state(vm) or 'running'}, and a restore in"
            " place has to stop it; say allow_stop: true, or stop it first.",
            code="StopNotAllowed",
            resource=vm["id"],
        )


def _check_moved(vm: Raw, chosen: list[SourceDisk], attached: Attachments) -> None:
    """Refuse to attach a copy of a disk beside the disk itself."""
    for disk in chosen:
        for lun, entry in attached.items():
            if lun != disk.lun and disk.source_id and same_id(disk_id(entry), disk.source_id):
                raise InputError(
                    f"The disk {disk.name} was at {role(disk.lun)} and is at {role(lun)} of"
                    f" {vm['name']} now; its restored copy would be attached beside it. Move it back,"
                    f" or leave it out with exclude_disks: [{disk.name}].",
                    code="DiskMoved",
                    resource=vm["id"],
                )


def _taken_over(
    arm: ArmClient, basis: Basis, planned: list[DiskPlan], restore_id: str
) -> list[Standing] | None:
    """The disks of a killed run that this one goes on with; None where it begins anew.

    It goes on where it is the same restore of the same places. Where a swap was begun, all of its
    disks must be as they are wanted now.
    """
    dead = basis.dead
    if dead is None or dead.restore_id != restore_id or basis.used:
        return None
    if dead.phase not in (*UNTOUCHED, SWAPPING) and not (dead.phase == UNDOING and not dead.booted):
        return None
    places = {place.lun: place for place in dead.places}
    if places.keys() != {plan.source.lun for plan in planned}:
        return None
    standings = []
    for one in planned:
        place = places[one.source.lun]
        if not same_id(disk_id(basis.attached.get(place.lun)), place.old):
            return None
        plan = replace(one, id=place.new)
        found = find_disk(arm, plan.id)
        if found is not None and not made_by_run(found, dead.run):
            return None
        if found is not None and dead.phase in UNTOUCHED and was_used(found):
            return None
        standing = Standing(plan, state_of(found), found)
        whole = standing.state is State.READY and differs(plan, found or {}) is None
        if dead.phase not in UNTOUCHED and not whole:
            return None
        standings.append(standing)
    return standings


def _journal(
    basis: Basis,
    standings: list[Standing],
    current: dict[Lun, Raw | None],
    request: Request,
    run: str,
    restore_id: str,
    clock: SystemClock,
) -> Journal:
    now = clock.now()
    places = []
    for one in standings:
        lun = one.plan.source.lun
        entry, disk = basis.attached.get(lun) or {}, current.get(lun) or {}
        size = (disk.get("properties") or {}).get("diskSizeGB")
        places.append(Place(lun, disk_id(entry), one.plan.id, remembered(entry), size))
    return Journal(
        run=run,
        restore_id=restore_id,
        target="in_place",
        holder=Holder.here(run),
        since=now.isoformat(timespec="seconds"),
        until=now,
        ran=basis.ran,
        places=tuple(places),
        made=tuple(one.plan.id for one in standings),
        vm=basis.vm["id"],
        old_disks=request.old_disks,
    )


def _predict(
    outcome: Outcome,
    basis: Basis,
    journal: Journal,
    standings: list[Standing],
    request: Request,
) -> None:
    outcome.disks = [
        RestoredDisk(one.plan.source, one.plan.id, one.predicted()) for one in standings
    ]
    name_replaced(outcome, journal, request.old_disks)
    outcome.safety_restore_point = journal.safety or None
    outcome.power_state = "running" if journal.ran else "deallocated"
    outcome.ready = True
    outcome.message = f"{basis.vm['name']} is back at {outcome.point.name}."
    wanted = dict(basis.attached)
    for place in journal.places:
        wanted[place.lun] = {"managedDisk": {"id": place.new}}
    outcome.before = {"disks": _listing(basis.attached)}
    outcome.after = {"disks": _listing(wanted)}


def name_replaced(outcome: Outcome, journal: Journal, old_disks: str) -> None:
    """Name the disks that a run replaces, as those to be deleted or kept."""
    replaced = [place.old for place in journal.places if place.old]
    if old_disks == "delete":
        outcome.deleted_disks = replaced
    else:
        outcome.kept_disks = replaced


def _listing(disks: Attachments) -> dict[str, str]:
    return {role(lun): disk_id(disks[lun]) for lun in sorted(disks, key=by_place)}


def _done_before(
    arm: ArmClient,
    basis: Basis,
    outcome: Outcome,
    chosen: list[SourceDisk],
    request: Request,
    write: Write,
    clock: SystemClock,
    restore_id: str,
) -> Outcome:
    """The machine has the disks of this restore; what a killed run has left is finished or undone."""
    dead = basis.dead
    outcome.ready, outcome.reason = True, ALREADY_RESTORED
    outcome.message = (
        "The machine's disks are those of this restore; force: true restores once more."
    )
    over = basis.over
    if dead is None:
        if over is not None:
            write(lambda: remove_record(arm, over, clock))
        read_back(arm, outcome, chosen, basis.vm)
        if outcome.power_state != "running":
            outcome.message += f" It is {outcome.power_state}."
        return outcome
    outcome.power_state = "running" if basis.ran else "deallocated"
    ours = dead.phase == SWAPPED and dead.restore_id == restore_id
    if ours:
        outcome.reason = "Restored"
        outcome.message = (
            f"{basis.vm['name']} is back at {outcome.point.name}; an earlier run began it."
        )
        dead = replace(dead, old_disks=request.old_disks)
        name_replaced(outcome, dead, request.old_disks)

    def act() -> Outcome:
        settled = settle(arm, dead, clock, request.old_disks)
        if ours:
            outcome.deleted_disks = settled.gone
            outcome.kept_disks = [str(one) for one in settled.left]
            outcome.warnings += [one for one in (settled.why, settled.no_room) if one]
        elif told := settled.sentence():
            outcome.warnings.append(told)
            outcome.kept_disks = [*outcome.kept_disks, *settled.kept]
        read_back(arm, outcome, chosen)
        return outcome

    return write(act, outcome)
