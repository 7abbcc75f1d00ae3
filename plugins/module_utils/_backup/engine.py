# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One backup of one machine: capture, read, commit, and only then delete what is not needed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from .._arm.client import ArmClient
from .._clock import SystemClock
from .._compute.disk_access import ArmAccess
from .._compute.status import iso_time
from .._disk.http import HttpPool
from .._errors import InputError, ObjectNotFound, OperationTimeout, VmguardError
from .._image.reader import DiskReader
from .._image.throttle import Throttle
from .._repository import manifest, names, quarantine
from .._repository.admin import clear_leftovers
from .._repository.chunk_index import ChunkIndex
from .._repository.lease import Lease
from .._repository.manifest import DiskImage, Manifest
from .._repository.packs import PackWriter
from .._repository.quarantine import Quarantine
from .._repository.repository import Repository
from . import capture, housekeeping, unfinished
from .capture import Captured
from .history import History
from .ledger import MADE, OPENED, Ledger, left_open
from .levels import FULL, Decision, DiskHistory, decide
from .machine import BackupDisk, Machine, configuration, read_machine
from .ownership import Claim, Owner
from .recent import recent
from .request import RESTORE_POINT, SNAPSHOT, BackupRequest
from .together import Interruptible, Together
from .transfer import Transfer

UNDO_SECONDS = 900.0
Write = Callable[..., Any]


@dataclass
class Outcome:
    """What a backup did, or would do.

    Args:
        backup: the backup; None where it is only predicted.
        planned: the level of each disk by its unique id, and why.
        before: the newest backup that there was.
    """

    machine: Machine
    backup: Manifest | None
    made: bool
    planned: dict[str, Decision] = field(default_factory=dict)
    captured: Captured | None = None
    deleted: list[str] = field(default_factory=list)
    stored: int = 0
    warnings: list[str] = field(default_factory=list)
    before: Manifest | None = None


class Backup:
    """One run.

    Args:
        write: runs what changes something, or, in check mode, does not.
    """

    def __init__(
        self,
        arm: ArmClient,
        repository: Repository,
        request: BackupRequest,
        clock: SystemClock,
        write: Write,
    ) -> None:
        request.check()
        self._arm = arm
        self._repository = repository
        self._request = request
        self._clock = clock
        self._write = write
        self._warnings: list[str] = []
        self._accesses: list[ArmAccess] = []
        self._begun: str | None = None
        self._index_id = ""
        self._captured = False

    def run(self) -> Outcome:
        """Back up the machine, unless ``max_age`` is given and a recent backup is as requested.

        Raises:
            InputError, NotFound: it cannot be done as asked; nothing was changed.
            LeaseHeld: another backup of the machine is under way.
            VmguardError: it failed; nothing is committed, and earlier backups are as they were.
        """
        machine = read_machine(self._arm, self._request)
        owner = Owner(self._arm, self._repository, machine.id, machine.vm_id)
        history = History(self._repository, owner.key)
        disks = {disk.unique_id for disk in machine.disks}
        now = self._clock.now()
        enough = recent(history.backwards(), disks, self._request, now)
        if enough is not None:
            return Outcome(machine, enough, made=False, warnings=history.warnings, before=enough)
        several = len(machine.disks) > 1 and not machine.at_rest
        if several and self._request.source == SNAPSHOT and self._request.require_consistency:
            raise _of_several_moments(machine)
        planned = self._plan(machine, owner, history, now)
        before = history.newest()
        predicted = Outcome(machine, None, made=True, planned=planned, warnings=history.warnings)
        outcome = self._write(lambda: self._locked(machine, owner), predicted)
        outcome.before = before
        return outcome

    def _plan(
        self, machine: Machine, owner: Owner, history: History, now: datetime
    ) -> dict[str, Decision]:
        """The level of each disk."""
        histories = history.of_disks(machine.disks)
        damaged = quarantine.load(self._repository)
        return {
            disk.unique_id: self._decide(disk, owner, histories[disk.unique_id], now, damaged)
            for disk in machine.disks
        }

    def _decide(
        self,
        disk: BackupDisk,
        owner: Owner,
        history: DiskHistory,
        now: datetime,
        damaged: Quarantine,
    ) -> Decision:
        decision = decide(
            self._request.level,
            history,
            size=disk.size,
            kind=self._request.source,
            full_every=self._request.full_every,
            now=now,
        )
        base = decision.base
        if base and damaged.names_disk(base.backup.id, base.image.role):
            reason = f"backup_verify found the disk damaged in backup {base.backup.id}"
            return Decision(FULL, fallback=reason)
        if base and (why := self._unusable(owner, base.image.source)):
            return Decision(FULL, fallback=why)
        return decision

    def _unusable(self, owner: Owner, source: str) -> str | None:
        """Why a base cannot be used; None when it can. Who named it may have lied."""
        name = source.rpartition("/")[2]
        try:
            claim = owner.judge(source)
        except InputError:
            claim = Claim.FOREIGN
        if claim is Claim.FOREIGN:
            return f"Azure does not confirm that a backup made the base snapshot {name}"
        if claim is Claim.ABSENT or not capture.exists(self._arm, source):
            return f"the base snapshot {name} is gone"
        return None

    # -- doing it

    def _locked(self, machine: Machine, owner: Owner) -> Outcome:
        now = self._clock.now()
        entropy = os.urandom(2)
        run = names.new_backup_id(now, entropy)
        subject = f"the backup of {machine.name}"
        with Lease(self._repository, owner.key, subject, run, self._clock) as lease:
            # What was planned may be old: another run may have committed or been killed since.
            history = History(self._repository, owner.key)
            newest = history.newest()
            run = names.new_backup_id(now, entropy, after=newest.id if newest else "")
            clear_leftovers(self._repository)
            ledger = self._take_over(machine, owner, history, run, now)
            # A dead run of that id may have left segments of its index.
            self._index_id, run = run, self._begun or run
            planned = self._plan(machine, owner, history, now)
            # By now its manifests were read.
            self._warnings += history.warnings
            try:
                outcome = self._make(machine, owner, run, planned, ledger, lease)
            except BaseException as error:
                _tell_left(error, self._undo_or_keep(machine, run, ledger, error))
                raise
            self._commit(outcome.backup, ledger)
            outcome.deleted = self._prune(history, owner, outcome, lease)
            self._warnings += ledger.close()
        return outcome

    def _take_over(
        self, machine: Machine, owner: Owner, history: History, run: str, now: datetime
    ) -> Ledger:
        """Clear away what dead runs left, but for what this one goes on with; the run's ledger."""
        repository, newest = self._repository, history.newest()
        found = left_open(repository, owner.key)
        begun = unfinished.find(
            owner, machine, self._request, found, newest.id if newest else "", now
        )
        self._begun = begun
        self._warnings += housekeeping.clear_after_killed(
            owner, repository, history.ids, found, going_on=begun
        )
        if begun is None:
            return Ledger(repository, owner.key, run)
        self._warnings.append(
            f"The backup goes on with the snapshots that the run {begun} had begun: the disks are as"
            f" they were on {iso_time(names.moment(begun) or now)}."
        )
        ledger = Ledger(repository, owner.key, begun, [entry.name for entry in found[begun]])
        for entry in found[begun]:
            if entry.kind == MADE:
                ledger.made.extend(entry.resources)
        return ledger

    def _undo_or_keep(
        self, machine: Machine, run: str, ledger: Ledger, error: BaseException
    ) -> list[housekeeping.Kept]:
        """Take away what a failed run made, unless the next one can go on with it; what is left."""
        too_slow = isinstance(error, OperationTimeout) and not self._captured
        if too_slow and unfinished.can_go_on(machine, self._request):
            unfinished.explain(error, run, self._clock.now())
            return []
        return self._undo(ledger)

    def _undo(self, ledger: Ledger) -> list[housekeeping.Kept]:
        """Take away what a failed run made in Azure. What cannot be taken away stays in the ledger."""
        self._arm.deadline.ensure(UNDO_SECONDS)
        failed = housekeeping.remove_all(self._arm, ledger.made)
        still = {one.resource_id for one in self._accesses if one.outstanding}
        failed += housekeeping.revoke_all(self._arm, still.intersection(ledger.opened))
        if not failed:
            ledger.close()
        return failed

    def _commit(self, backup: Manifest, ledger: Ledger) -> None:
        """Write the manifest. Where the storage did not confirm it, look whether it is there.

        Raises:
            VmguardError: it is not, or nobody can tell; then the snapshots stay, and so does the
                ledger, by which the machine's next backup does what is right.
        """
        try:
            manifest.write(self._repository, backup)
        except BaseException as error:
            committed = self._is_committed(backup)
            if committed is False:
                _tell_left(error, self._undo(ledger))
            elif committed is None and isinstance(error, VmguardError):
                error.hint = (
                    f"Whether the backup {backup.id} is committed cannot be told while the storage"
                    " does not answer; backup_info will show it. The next backup of the machine"
                    " clears away what is not needed."
                )
            if not (committed and isinstance(error, VmguardError)):
                raise

    def _is_committed(self, backup: Manifest) -> bool | None:
        """Whether exactly this backup is in the repository; None where that cannot be told."""
        repository = self._repository
        name = names.manifest(manifest.vm_key(repository, backup.vm["id"]), backup.id)

        def plain(one: Manifest) -> Any:
            return json.loads(json.dumps(one.body(repository.chunk_size)))

        try:
            return plain(manifest.read(repository, name)) == plain(backup)
        except ObjectNotFound:
            return False
        except VmguardError:
            return None

    def _make(
        self,
        machine: Machine,
        owner: Owner,
        run: str,
        planned: dict[str, Decision],
        ledger: Ledger,
        lease: Lease,
    ) -> Outcome:
        """All but the commit: the outcome with the backup that is to be committed."""
        described = configuration(self._arm, machine, self._warnings)
        captured = self._capture(machine, owner, run, ledger)
        self._captured = True
        bases = [one.base.image.source for one in planned.values() if one.base]
        if bases:
            ledger.note(OPENED, bases)
        images, stored = self._read(machine, run, planned, captured, lease)
        for image in images:
            if image.fallback:
                self._warnings.append(
                    f"{image.name} was backed up in full, not {_wished(image)}: {image.fallback}."
                )
        request = self._request
        backup = Manifest(
            id=run,
            vm=machine.identity(request.group, self._arm.subscription_id),
            started=iso_time(names.moment(run) or self._clock.now()),
            finished=iso_time(self._clock.now()),
            source={
                "kind": captured.kind,
                "restore_point": captured.point,
                "consistency": captured.consistency,
                "requested_consistency": request.consistency_mode,
                "same_moment": captured.same_moment,
                "indications": list(captured.indications),
            },
            configuration=described,
            disks=images,
            excluded_disks=machine.excluded,
            warnings=list(self._warnings),
            made_by="vmguard.azure",
        )
        lease.check()
        return Outcome(
            machine, backup, True, planned, captured, stored=stored, warnings=self._warnings
        )

    def _capture(self, machine: Machine, owner: Owner, run: str, ledger: Ledger) -> Captured:
        arm, request = self._arm, self._request
        if request.source == RESTORE_POINT:
            point = capture.point_id(arm, machine, request, owner.point_name(run))
            self._note_made(ledger, [point])
            return capture.take_point(arm, machine, request, point, self._clock)
        ids = capture.snapshot_ids(arm, machine, request, run)
        self._note_made(ledger, list(ids.values()))
        captured = capture.take_snapshots(
            arm, machine, ids, owner, run, request, going_on=bool(self._begun)
        )
        if request.require_consistency and not captured.same_moment:
            raise _of_several_moments(machine)  # it was started since it was looked at
        return captured

    def _note_made(self, ledger: Ledger, resources: list[str]) -> None:
        if not self._begun:  # else they are written down
            ledger.note(MADE, resources)

    def _read(
        self,
        machine: Machine,
        run: str,
        planned: dict[str, Decision],
        captured: Captured,
        lease: Lease,
    ) -> tuple[list[DiskImage], int]:
        """Read all disks; the images, and the bytes that were stored for them."""
        request, repository = self._request, self._repository
        index = ChunkIndex(repository, self._index_id, now=self._clock.now())
        packs = PackWriter(repository, on_stored=index.stored)
        at_once = min(request.disks_at_once, len(machine.disks))
        together = Together(at_once, lease.check)
        with (
            HttpPool(request.workers) as http,
            ThreadPoolExecutor(request.workers, thread_name_prefix="read") as pool,
        ):
            reader = DiskReader(
                repository, packs, index, pool,
                workers=max(2, request.workers // at_once),
                throttle=Throttle(request.bandwidth, Interruptible(self._clock, together.check)),
                check=together.check,
            )  # fmt: skip
            transfer = Transfer(
                self._access, self._clock, repository, reader, http, run, together.check,
                self._arm.deadline.seconds,
            )  # fmt: skip
            try:
                images = together.run(
                    partial(
                        transfer.read,
                        disk,
                        request.level,
                        planned[disk.unique_id],
                        captured.sources[disk.unique_id],
                        captured.sizes[disk.unique_id],
                        with_token=disk.unique_id in captured.with_token,
                    )
                    for disk in machine.disks
                )
                packs.flush()
                index.write()
                index.merge()
            finally:
                packs.close()
        self._warnings += index.warnings + transfer.warnings
        return images, packs.stored_bytes

    def _access(self, source: str, with_token: bool) -> ArmAccess:
        access = ArmAccess(
            self._arm, source, clock=self._clock, seconds=self._request.sas_seconds,
            with_token=with_token,
        )  # fmt: skip
        self._accesses.append(access)
        return access

    # -- afterwards

    def _prune(self, history: History, owner: Owner, outcome: Outcome, lease: Lease) -> list[str]:
        """Delete the snapshots that no later backup needs. A failure is a warning: the next tries again."""
        if self._request.keep == "all":
            return []
        self._arm.deadline.ensure(UNDO_SECONDS)
        try:
            found = self._not_needed(history, owner, outcome)
            # Without the lease another backup may be making what was found.
            failed = housekeeping.remove_all(self._arm, found, lease.check)
        except VmguardError as error:
            self._warnings.append(f"Old snapshots were not looked for or deleted: {error.message}")
            return []
        self._warnings += [kept.why for kept in failed]
        left = {kept.resource for kept in failed}
        return [one for one in found if one not in left]

    def _not_needed(self, history: History, owner: Owner, outcome: Outcome) -> list[str]:
        backup, machine, request = outcome.backup, outcome.machine, self._request
        sources = history.sources() | {disk.source for disk in backup.disks}
        groups, collections = housekeeping.places_of(sources)
        groups.add(request.snapshot_group or request.group)
        collections.add(capture.collection_id(self._arm, machine, request))
        made = housekeeping.find_made(owner, groups, collections)
        needed: set[str] = set()
        if request.keep == "needed":
            needed = housekeeping.needed_sources(history, backup, made, machine.left_out)
        return housekeeping.not_needed(made, backup.id, needed)


def _of_several_moments(machine: Machine) -> InputError:
    """Crash consistency of a machine is more than that of each of its disks."""
    return InputError(
        f"{machine.name} is running and has {len(machine.disks)} disks: their snapshots are of different"
        " moments, so each disk is crash-consistent and the machine is not, which"
        " require_consistency demands.",
        code="ConsistencyNotAchieved",
        resource=machine.id,
        hint="Use source: restore_point, which takes all disks at one moment, or stop the VM.",
    )


def _wished(image: DiskImage) -> str:
    return "incremental" if image.asked == "auto" else image.asked


def _tell_left(error: BaseException, left: list[housekeeping.Kept]) -> None:
    """Add to a failure what the run made in Azure and could not take away again."""
    if left and isinstance(error, VmguardError):
        error.message = (
            f"{error.message.rstrip('.')}. Of what the run had made,"
            f" {' '.join(kept.why for kept in left)} The machine's next backup tries again."
        )
