# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One backup of one machine: capture, read, commit, and only then delete what is not needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._arm.client import ArmClient
from .._clock import SystemClock
from .._compute.disk_access import ArmAccess
from .._compute.ids import ResourceId
from .._compute.status import iso_time
from .._disk.http import HttpPool
from .._errors import VmguardError
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
from . import capture, housekeeping
from .capture import Captured
from .history import History
from .ledger import Ledger
from .levels import Decision, DiskHistory, decide
from .machine import BackupDisk, Machine, configuration, read_machine
from .request import RESTORE_POINT, BackupRequest
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

    def run(self) -> Outcome:
        """Back up the machine, unless there is a backup that is young enough.

        Raises:
            InputError, NotFound: it cannot be done as asked; nothing was changed.
            LeaseHeld: another backup of the machine is under way.
            VmguardError: it failed; nothing is committed, and earlier backups are as they were.
        """
        machine = read_machine(self._arm, self._request)
        key = manifest.vm_key(self._repository, machine.id)
        history = History(self._repository, key)
        young = self._young(history, machine)
        if young is not None:
            return Outcome(machine, young, made=False, warnings=history.warnings, before=young)
        now = self._clock.now()
        planned = self._plan(machine, history, now)
        predicted = Outcome(machine, None, made=True, planned=planned, warnings=history.warnings)
        outcome = self._write(lambda: self._locked(machine, key), predicted)
        outcome.before = history.newest()
        return outcome

    def _young(self, history: History, machine: Machine) -> Manifest | None:
        if self._request.max_age is None:
            return None
        newest = history.newest()
        if newest is None:
            return None
        age = (self._clock.now() - datetime.fromisoformat(newest.started)).total_seconds()
        whole = all(newest.disk(disk.unique_id) for disk in machine.disks)
        return newest if whole and age < self._request.max_age else None

    def _plan(self, machine: Machine, history: History, now: datetime) -> dict[str, Decision]:
        """The level of each disk."""
        histories = history.of_disks(machine.disks)
        damaged = quarantine.load(self._repository)
        return {
            disk.unique_id: self._decide(disk, histories[disk.unique_id], now, damaged)
            for disk in machine.disks
        }

    def _decide(
        self, disk: BackupDisk, history: DiskHistory, now: datetime, damaged: Quarantine
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
            return Decision("full", fallback=reason)
        if decision.base and not capture.exists(self._arm, decision.base.image.source):
            gone = decision.base.image.source.rpartition("/")[2]
            return Decision("full", fallback=f"the base snapshot {gone} is gone")
        return decision

    # -- doing it

    def _locked(self, machine: Machine, key: str) -> Outcome:
        now = self._clock.now()
        entropy = os.urandom(2)
        run = names.new_backup_id(now, entropy)
        subject = f"the backup of {machine.name}"
        with Lease(self._repository, key, subject, run, self._clock) as lease:
            # What was planned may be old: another run may have committed or been killed since.
            history = History(self._repository, key)
            newest = history.newest()
            run = names.new_backup_id(now, entropy, after=newest.id if newest else "")
            clear_leftovers(self._repository)
            self._warnings += housekeeping.clear_after_killed(
                self._arm, self._repository, key, history.ids
            )
            planned = self._plan(machine, history, now)
            self._warnings += history.warnings
            ledger = Ledger(self._repository, key, run)
            try:
                outcome = self._make(machine, key, run, planned, ledger, lease, now)
            except BaseException:
                self._undo(ledger)
                raise
            outcome.deleted = self._prune(history, key, outcome)
            ledger.close()
        return outcome

    def _undo(self, ledger: Ledger) -> None:
        """Take away what a failed run made in Azure. What cannot be taken away stays in the ledger."""
        self._arm.deadline.ensure(UNDO_SECONDS)
        failed = capture.remove_all(self._arm, ledger.made)
        failed += housekeeping.revoke_all(self._arm, ledger.opened)
        if not failed:
            ledger.close()

    def _make(
        self,
        machine: Machine,
        key: str,
        run: str,
        planned: dict[str, Decision],
        ledger: Ledger,
        lease: Lease,
        now: datetime,
    ) -> Outcome:
        described = configuration(self._arm, machine, self._warnings)
        captured = self._capture(machine, key, run, ledger)
        bases = [one.base.image.source for one in planned.values() if one.base]
        if bases:
            ledger.note("opened", bases)
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
            started=iso_time(now),
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
        manifest.write(self._repository, backup)
        return Outcome(
            machine, backup, True, planned, captured, stored=stored, warnings=self._warnings
        )

    def _capture(self, machine: Machine, key: str, run: str, ledger: Ledger) -> Captured:
        if self._request.source == RESTORE_POINT:
            point = capture.point_id(self._arm, machine, self._request, run)
            ledger.note("made", [point])
            return capture.take_point(self._arm, machine, self._request, point, self._clock)
        ids = capture.snapshot_ids(self._arm, machine, self._request, run)
        ledger.note("made", list(ids.values()))
        tags = capture.snapshot_tags(self._repository.id, key, run)
        return capture.take_snapshots(self._arm, machine, ids, tags)

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
        index = ChunkIndex(repository, run, now=self._clock.now())
        packs = PackWriter(repository, on_stored=index.stored)
        at_once = min(request.disks_at_once, len(machine.disks))
        with (
            HttpPool(request.workers) as http,
            ThreadPoolExecutor(request.workers, thread_name_prefix="read") as pool,
            ThreadPoolExecutor(at_once, thread_name_prefix="disk") as disks,
        ):
            reader = DiskReader(
                repository, packs, index, pool,
                workers=max(2, request.workers // at_once),
                throttle=Throttle(request.bandwidth, self._clock),
                check=lease.check,
            )  # fmt: skip
            transfer = Transfer(self._access, self._clock, repository, reader, http, run)
            try:
                jobs = [
                    disks.submit(
                        transfer.read,
                        disk,
                        request.level,
                        planned[disk.unique_id],
                        captured.sources[disk.unique_id],
                    )
                    for disk in machine.disks
                ]
                images = [job.result() for job in jobs]
                packs.flush()
                index.write()
                index.merge()
            finally:
                disks.shutdown(wait=True, cancel_futures=True)
                packs.close()
        self._warnings += index.warnings + transfer.warnings
        return images, packs.stored_bytes

    def _access(self, source: str) -> ArmAccess:
        return ArmAccess(self._arm, source, clock=self._clock, seconds=self._request.sas_seconds)

    # -- afterwards

    def _prune(self, history: History, key: str, outcome: Outcome) -> list[str]:
        """Delete the snapshots that no later backup needs. A failure is a warning: the next tries again."""
        backup, request = outcome.backup, self._request
        if request.keep == "all" or backup is None:
            return []
        self._arm.deadline.ensure(UNDO_SECONDS)
        keep: set[str] = set()
        if request.keep == "needed":
            keep = housekeeping.needed_sources(history, backup.disks, backup.id)
        try:
            found = self._superfluous(history, key, backup, keep)
        except VmguardError as error:
            self._warnings.append(f"Old snapshots could not be listed: {error.message}")
            return []
        failed = capture.remove_all(self._arm, found)
        self._warnings += failed
        return [one for one in found if not any(one.rpartition("/")[2] in text for text in failed)]

    def _superfluous(
        self, history: History, key: str, backup: Manifest, keep: set[str]
    ) -> list[str]:
        sources = history.sources() | {disk.source for disk in backup.disks}
        groups = {ResourceId.parse(one).group for one in sources}
        groups.add(self._request.snapshot_group or self._request.group)
        found = housekeeping.superfluous(self._arm, self._repository, key, keep, groups)
        point = backup.source.get("restore_point")
        if point:
            found += housekeeping.superfluous_points(self._arm, point, keep, history.ids)
            if self._request.keep == "none":
                found.append(point)
        return found


def _wished(image: DiskImage) -> str:
    return "incremental" if image.asked == "auto" else image.asked
