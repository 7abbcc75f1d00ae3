# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the disks of a restore from what is there to what is planned, and take them away again."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from .._arm.client import ArmClient
from .._compute.disk_access import revoke
from .._compute.disks import delete_disk, find_disk, get_disk, put_disk, update_disk
from .._compute.ids import same_id
from .._compute.virtual_machines import is_passing
from .._errors import AzureError, Conflict, InputError, VmguardError, WaitInterrupted
from . import journal as records
from .journal import Journal
from .plan import (
    CONTENT_TAG,
    FILLING,
    IDENTITY_TAG,
    RUN_TAG,
    TAG_LIMIT,
    DiskPlan,
    Fill,
    Raw,
    made_by_restore,
    made_by_run,
    tags_of,
)

AT_ONCE = 4
_UPLOADING = ("ReadyToUpload", "ActiveUpload", "ActiveUploadAbandoned")
_CHANGING = ("Creating", "Updating")
_MOST_NAMES = 1000
_MOST_CHANGES = 15
_PAUSE = 2.0


class State(Enum):
    """What there is under the name of a planned disk."""

    ABSENT = "absent"
    PARTIAL = "partial"  # its content was not written to the end
    BEING_MADE = "being made"
    FAILED = "failed"
    READY = "ready"


@dataclass(frozen=True)
class Standing:
    """A planned disk, under the name it is to have, and what there is of it."""

    plan: DiskPlan
    state: State
    seen: Raw | None = None
    begun: bool = False

    def predicted(self) -> Raw:
        """The disk as it will be, as far as results show it."""
        return self.seen if self.seen and self.ready else self.plan.predicted()

    @property
    def ready(self) -> bool:
        """Whether nothing is left to do: it is there, with the planned properties."""
        return self.state is State.READY and not lacking(self.plan, self.seen or {})


class Stopped(VmguardError):
    """The work on a disk was ended because another one failed, or the run is interrupted."""

    default_code = "Stopped"


class Overtaken(VmguardError):
    """Somebody else made a disk of the same name, after it was found not to be there.

    Attributes:
        seen: that disk.
    """

    default_code = "DiskExists"
    seen: Raw | None = None


_ENDED = (Stopped, WaitInterrupted)


def state_of(disk: Raw | None) -> State:
    """The state of a disk that a restore made."""
    if disk is None:
        return State.ABSENT
    properties = disk["properties"]
    if properties.get("provisioningState") in ("Failed", "Canceled"):
        return State.FAILED
    if tags_of(disk).get(CONTENT_TAG) == FILLING or properties.get("diskState") in _UPLOADING:
        return State.PARTIAL
    if properties.get("provisioningState") in _CHANGING:
        return State.BEING_MADE
    return State.READY


class Reconciler:
    """Finds out what there is of the planned disks.

    Args:
        run: whose disks are taken over: this run's, or those of the dead run that it goes on with.
        gone: the ids of disks that will be deleted before these are made.
        earlier: whether disks that an earlier run of the same restore finished count as there
            (where the disks themselves are what is restored; else one may have been written to).
    """

    def __init__(
        self,
        arm: ArmClient,
        restore_id: str,
        run: str,
        *,
        earlier: bool,
        gone: Iterable[str] = (),
    ) -> None:
        self._arm = arm
        self._restore_id = restore_id
        self._run = run
        self._earlier = earlier
        self._gone = {one.lower() for one in gone}
        self._carriers: set[str] = set()
        self._chosen: set[str] = set()
        self.notes: list[str] = []
        self.open: list[Journal] = []

    def look(self, plans: list[DiskPlan]) -> list[Standing]:
        """What there is, without waiting and without changing anything.

        Raises:
            InputError: a disk of that name exists and is of no restore.
        """
        return [self._look(one) for one in plans]

    def _look(self, planned: DiskPlan) -> Standing:
        one = planned
        for number in range(2, _MOST_NAMES):
            if one.id.lower() in self._chosen:
                one = planned.numbered(number)
                continue
            found = None if one.id.lower() in self._gone else find_disk(self._arm, one.id)
            if found is not None:
                self._look_for_record(one, found)
            if found is None or self._ours(found):
                self._note(planned, one)
                self._chosen.add(one.id.lower())
                return self._compared(Standing(one, state_of(found), found))
            if one is planned and IDENTITY_TAG not in tags_of(found):
                raise InputError(
                    f"The disk {one.name} exists in resource group {one.group} and is not of this"
                    " restore; delete it, or name the new disks otherwise with disk_name_pattern.",
                    code="DiskExists",
                    resource=one.id,
                )
            one = planned.numbered(number)
        raise InputError(
            f"There are too many disks named like {planned.name}; delete those that are not needed.",
            resource=planned.id,
        )

    def _look_for_record(self, one: DiskPlan, found: Raw) -> None:
        """Keep the record of a run that has not ended, and makes or made this disk."""
        run, _at, carrier = tags_of(found).get(RUN_TAG, "").partition("@")
        bearers: dict[str, Raw | None] = {one.id.lower(): found}
        if carrier:
            carrier_id = f"{one.id.rsplit('/', 1)[0]}/{carrier}"
            if carrier_id.lower() not in bearers:
                bearers[carrier_id.lower()] = find_disk(self._arm, carrier_id)
        for bearer_id, bearer in bearers.items():
            if bearer_id in self._carriers:
                continue
            journal = records.read_tags(bearer_id, tags_of(bearer))
            mine = {made.lower() for made in journal.made} if journal else set()
            if journal and (journal.run == run or one.id.lower() in mine):
                self._carriers.add(bearer_id)
                self.open.append(journal)

    def _compared(self, standing: Standing) -> Standing:
        """The same, unless it is a whole disk of an earlier run that is not what is asked for."""
        if standing.state is State.READY and not made_by_run(standing.seen, self._run):
            planned = standing.plan
            if difference := differs(planned, standing.seen or {}):
                raise InputError(
                    f"The disk {planned.name} of an earlier run of this restore has {difference};"
                    " delete it, or name the new disks otherwise with disk_name_pattern.",
                    code="DiskDiffers",
                    resource=planned.id,
                )
        return standing

    def _ours(self, found: Raw) -> bool:
        if made_by_run(found, self._run):
            return not was_used(found)
        return self._earlier and made_by_restore(found, self._restore_id)

    def _note(self, planned: DiskPlan, chosen: DiskPlan) -> None:
        if chosen is not planned:
            self.notes.append(
                f"The disk {planned.name} of an earlier restore exists and is not touched;"
                f" {chosen.name} is made in its place."
            )


class Maker:
    """Makes what is missing of the disks, several at once; the first failure ends the others.

    Args:
        carrier: the id of the disk that bears the record of the run, empty where a machine does.
        journal: the record that the carrier is made with.
        guard: held while tags are written, which the renewal of the record writes as well.
        fill: writes images; None for restore points.
    """

    def __init__(
        self,
        arm: ArmClient,
        run: str,
        *,
        fill: Fill | None,
        carrier: str = "",
        journal: Callable[[], Journal] | None = None,
        guard: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._arm = arm
        self._run = run
        self._fill = fill
        self._carrier = carrier
        self._journal = journal
        self._guard = guard or contextlib.nullcontext()
        self._stopping = threading.Event()

    def make_all(self, standings: list[Standing]) -> list[Raw]:
        """Every disk as Azure has it in the end, in their order.

        Raises:
            VmguardError: the first failure; what was made so far is there.
        """
        self._arm.compute  # noqa: B018 - built once, before threads share it
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="disk")
        try:
            jobs = [pool.submit(self.make, one) for one in standings]
            done, _rest = wait(jobs, return_when=FIRST_EXCEPTION)
            failed = [error for job in done if (error := job.exception()) is not None]
            if failed:
                raise next((one for one in failed if not isinstance(one, _ENDED)), failed[0])
            return [job.result() for job in jobs]
        finally:
            self._stopping.set()
            self._arm.deadline.interrupt()
            pool.shutdown(wait=True, cancel_futures=True)
            self._arm.deadline.resume()

    def make(self, standing: Standing) -> Raw:
        """One disk: made where it is missing, waited for, compared with the plan, and finished.

        Raises:
            InputError: one of an earlier run is there, and is not what is asked for.
            VmguardError: it cannot be made.
        """
        self._check()
        planned = standing.plan
        if standing.begun:
            return self.complete(planned)
        seen = self.wait(planned) if standing.state is State.BEING_MADE else standing.seen
        state = state_of(seen)
        fits = differs(planned, seen or {}) is None or not made_by_run(seen, self._run)
        if state is State.READY and seen is not None and fits:
            return self._finish(planned, seen)
        return self.complete(self.begin(standing, state).plan)

    def begin(self, standing: Standing, state: State) -> Standing:
        """Send the request that makes a disk, in place of what is unfinished, and wait for its end.

        Raises:
            Overtaken: somebody else made a disk of this name meanwhile; it is left alone.
        """
        self._check()
        planned = standing.plan
        if state is not State.ABSENT:
            remove_disk(self._arm, planned.id)
        if found := find_disk(self._arm, planned.id):
            raise _overtaken(planned, found)
        put_disk(self._arm, planned.id, {**planned.body, "tags": self._tags(planned)})
        return replace(standing, begun=True)

    def complete(self, planned: DiskPlan) -> Raw:
        """Write the content of a disk that was begun, and give it its last properties."""
        image = planned.source.image
        if image is not None:
            if self._fill is None:
                raise InputError(f"There is no image of the disk {planned.source.name}.")
            self._fill(self._arm, planned.id, image, self._check)
        return self._finish(planned, get_disk(self._arm, planned.id))

    def _finish(self, planned: DiskPlan, seen: Raw) -> Raw:
        """Size and access as planned; the tag of unfinished content goes.

        Raises:
            AzureError: Azure takes it, and the disk is not so.
        """
        for attempt in range(1, _MOST_CHANGES + 1):
            self._check()
            if not _unfinished(planned, seen):
                return seen
            try:
                with self._guard:
                    fresh = get_disk(self._arm, planned.id)
                    update_disk(self._arm, planned.id, _unfinished(planned, fresh))
            except AzureError as error:
                if not is_passing(error) or attempt == _MOST_CHANGES:
                    raise
                self._arm.deadline.pause(_PAUSE)
            seen = get_disk(self._arm, planned.id)
        raise AzureError(
            f"Azure accepted the properties of the disk {planned.name}, but it does not have them.",
            code="DiskNotFinished",
            resource=planned.id,
        )

    def _tags(self, planned: DiskPlan) -> dict[str, str]:
        carried = self._carrier.rsplit("/", 1)[-1]
        tags = {**planned.body["tags"], RUN_TAG: f"{self._run}@{carried}"}
        if planned.source.image is not None:
            tags[CONTENT_TAG] = FILLING
        if self._journal is not None and same_id(planned.id, self._carrier):
            tags = records.write_tags(tags, self._journal())
        if len(tags) > TAG_LIMIT:
            raise InputError(
                f"The disk {planned.name} would have {len(tags)} tags, and Azure allows {TAG_LIMIT}.",
                resource=planned.id,
            )
        return tags

    def wait(self, planned: DiskPlan) -> Raw | None:
        return self._arm.wait_until(
            lambda: find_disk(self._arm, planned.id),
            lambda seen: state_of(seen) is not State.BEING_MADE,
            operation="create disk",
            resource=planned.id,
        )

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Stopped("The work on this disk was ended.")


def was_used(disk: Raw) -> bool:
    """Whether a disk is or was attached to something, and may have been written to since it was made.

    Only then does Azure know when its owner changed (``LastOwnershipUpdateTime``).
    """
    has = disk["properties"]
    return bool(has.get("LastOwnershipUpdateTime") or disk.get("managedBy"))


def _overtaken(planned: DiskPlan, found: Raw) -> Overtaken:
    error = Overtaken(
        f"The disk {planned.name} was made by somebody else at the same time.",
        resource=planned.id,
        hint="Run the task again: it takes that disk into account.",
    )
    error.seen = found
    return error


def differs(planned: DiskPlan, seen: Raw) -> str | None:
    """In what a disk that is there cannot become what is planned; None where it can."""
    sku = (seen.get("sku") or {}).get("name")
    if sku != planned.sku:
        return f"the SKU {sku}, not {planned.sku}"
    set_id = (seen["properties"].get("encryption") or {}).get("diskEncryptionSetId")
    if planned.encryption_set_id and not same_id(set_id, planned.encryption_set_id):
        return f"the disk encryption set {set_id}, not {planned.encryption_set_id}"
    zones = planned.body.get("zones")
    if zones and seen.get("zones") != zones:
        return f"the zones {seen.get('zones')}, not {zones}"
    return None


def _unfinished(planned: DiskPlan, seen: Raw) -> Raw:
    """What is left to change of a disk whose content is whole, as a DiskUpdate."""
    body: Raw = {}
    if properties := lacking(planned, seen):
        body["properties"] = properties
    tags = tags_of(seen)
    if CONTENT_TAG in tags:
        body["tags"] = {name: text for name, text in tags.items() if name != CONTENT_TAG}
    return body


def lacking(planned: DiskPlan, seen: Raw) -> Raw:
    """The planned properties that a disk does not have yet; one that is larger stays so."""
    has = seen.get("properties") or {}
    return {
        name: value
        for name, value in planned.properties.items()
        if (
            (has.get(name) or 0) < value
            if name == "diskSizeGB"
            else not _same(has.get(name), value)
        )
    }


def _same(one: object, other: object) -> bool:
    return str(one or "").lower() == str(other or "").lower()


def remove_disk(arm: ArmClient, disk_id: str) -> None:
    """Delete a disk, also one that is being uploaded to, and whether it is there or not.

    Raises:
        VmguardError: it cannot be deleted.
    """
    try:
        delete_disk(arm, disk_id)
    except Conflict:
        try:
            revoke(arm, disk_id)
        except VmguardError as error:
            if getattr(error, "status", None) == 403:
                raise  # who may not end the access cannot delete the disk
            # What was written of it is no disk, and ending the access says so.
        delete_disk(arm, disk_id)
