# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is of the planned disks of a restore; and take a disk away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from .._arm.client import ArmClient
from .._compute.disk_access import revoke
from .._compute.disks import delete_disk, find_disk
from .._compute.ids import same_id
from .._errors import Conflict, InputError, VmguardError
from .journal import Journal
from .lock import OnDisk
from .plan import (
    CONTENT_TAG,
    FILLING,
    IDENTITY_TAG,
    RUN_TAG,
    DiskPlan,
    Raw,
    made_by_restore,
    made_by_run,
    tags_of,
)

UPLOADING = ("ReadyToUpload", "ActiveUpload", "ActiveUploadAbandoned")
_CHANGING = ("Creating", "Updating")
_MOST_NAMES = 1000


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


def state_of(disk: Raw | None) -> State:
    """The state of a disk that a restore made."""
    if disk is None:
        return State.ABSENT
    properties = disk["properties"]
    if properties.get("provisioningState") in ("Failed", "Canceled"):
        return State.FAILED
    if tags_of(disk).get(CONTENT_TAG) == FILLING or properties.get("diskState") in UPLOADING:
        return State.PARTIAL
    if properties.get("provisioningState") in _CHANGING:
        return State.BEING_MADE
    return State.READY


class Reconciler:
    """Finds out what there is of the planned disks.

    Args:
        run: whose disks are taken over: this run's, or those of the dead run that it goes on with.
        gone: the ids of disks that will be deleted before these are made.
        known: the ids of disks that a killed run has made: whatever their tags say by now.
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
        known: Iterable[str] = (),
    ) -> None:
        self._arm = arm
        self._restore_id = restore_id
        self._run = run
        self._earlier = earlier
        self._gone = {one.lower() for one in gone}
        self._known = {one.lower() for one in known}
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
            known = one.id.lower() in self._known or IDENTITY_TAG in tags_of(found)
            if one is planned and not known:
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
        run, carrier = [*tags_of(found).get(RUN_TAG, "").split("@"), ""][:2]
        bearers: dict[str, Raw | None] = {one.id.lower(): found}
        if carrier:
            carrier_id = f"{one.id.rsplit('/', 1)[0]}/{carrier}"
            if carrier_id.lower() not in bearers:
                bearers[carrier_id.lower()] = find_disk(self._arm, carrier_id)
        for bearer_id, bearer in bearers.items():
            if bearer_id in self._carriers:
                continue
            journal = OnDisk(self._arm, bearer_id).journal(bearer)
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


def was_used(disk: Raw) -> bool:
    """Whether a disk is or was attached to something, and may have been written to since it was made.

    Only then does Azure know when its owner changed (``LastOwnershipUpdateTime``).
    """
    has = disk["properties"]
    return bool(has.get("LastOwnershipUpdateTime") or disk.get("managedBy"))


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
