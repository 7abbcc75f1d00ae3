# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the disks of a restore that are missing, and give them their last properties."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from .._arm.client import ArmClient
from .._compute.disks import create_disk, find_disk, get_disk, update_disk
from .._compute.ids import same_id
from .._compute.passing import may_repeat
from .._compute.status import parse_time
from .._errors import AzureError, ConnectionFailed, InputError, VmguardError, WaitInterrupted
from . import journal as records
from .disks import UPLOADING, Standing, State, differs, lacking, remove_disk, state_of
from .journal import Journal
from .lock import SETTLE, same_disk
from .plan import (
    CONTENT_TAG,
    FILLING,
    IDENTITY_TAG,
    RUN_TAG,
    TAG_LIMIT,
    DiskPlan,
    Fill,
    Raw,
    foreign_tags,
    made_by_run,
    run_tag,
    tags_of,
)

AT_ONCE = 4
_MOST_CHANGES = 15
_MOST_CREATES = 8
# Seconds that Azure may take between creating a disk and answering the request for it.
_OLDER = 60.0
_PAUSE = 2.0


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


class Maker:
    """Makes what is missing of the disks, several at once; the first failure ends the others.

    Args:
        process: tells what this process makes from what an earlier one of the same run made.
        hold: raises where another run has taken over; asked before each request that changes a disk.
        carrier: the id of the disk that bears the record of the run, empty where a machine does.
        journal: the record that the carrier is made with.
        guard: held while tags are written, which the renewal of the record writes as well.
        fill: writes images; None for restore points.
    """

    def __init__(
        self,
        arm: ArmClient,
        run: str,
        process: str,
        hold: Callable[[], None],
        *,
        fill: Fill | None,
        carrier: str = "",
        journal: Callable[[], Journal] | None = None,
        guard: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._arm = arm
        self._run = run
        self._process = process
        self._hold = hold
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
            self._hold()
            remove_disk(self._arm, planned.id)
        body = {**planned.body, "tags": self._tags(planned)}
        took, arrived = self._create(planned, body)
        # Who is quicker than that is met by the one who came first (lock.settle).
        self._need_new(planned, body["tags"], arrived if took > SETTLE else None)
        return replace(standing, begun=True)

    def _create(self, planned: DiskPlan, body: Raw) -> tuple[float, datetime | None]:
        """Send the request, and look again before each further one.

        Returns:
            The seconds between the last look and the answer, and when Azure answered, by its own clock.

        Raises:
            Overtaken: there is a disk of this name that is not of this process.
        """
        arrived: list[datetime] = []
        began, took = self._arm.deadline.now, 0.0

        def answered(headers: Any) -> None:
            nonlocal took
            took = self._arm.deadline.now - began
            with contextlib.suppress(KeyError, TypeError, ValueError):
                arrived.append(parsedate_to_datetime(headers["Date"]))

        for attempt in range(1, _MOST_CREATES + 1):
            self._check()
            began = self._arm.deadline.now
            found = find_disk(self._arm, planned.id)
            if found is not None:
                if attempt == 1 or tags_of(found).get(RUN_TAG) != body["tags"][RUN_TAG]:
                    raise _overtaken(planned, found)
                break  # The answer was lost.
            if not same_id(planned.id, self._carrier):
                self._hold()
            try:
                create_disk(self._arm, planned.id, body, answered)
                break
            except (AzureError, ConnectionFailed) as error:
                if not may_repeat(error) or attempt == _MOST_CREATES:
                    raise
                pause = max(getattr(error, "retry_after", None) or 0.0, _PAUSE * attempt)
                if pause >= self._arm.deadline.remaining:
                    raise
                self._arm.deadline.pause(pause)
        return took, arrived[-1] if arrived else None

    def _need_new(self, planned: DiskPlan, tags: dict[str, str], arrived: datetime | None) -> None:
        """Whether the disk is the one that was just asked for, and not one that this changed.

        Raises:
            Overtaken: another run made it between the look and the request.
            AzureError: it cannot be made, or is gone again.
        """
        seen = self.wait(planned)
        if seen is None or state_of(seen) is State.FAILED:
            what = "is gone again" if seen is None else "ended in the state Failed"
            raise AzureError(
                f"The disk {planned.name} was begun and {what}.",
                code="DiskNotMade",
                resource=planned.id,
            )
        created = seen["properties"].get("timeCreated")
        older = bool(
            arrived and created and (arrived - parse_time(created)).total_seconds() > _OLDER
        )
        upload = planned.source.image is not None
        filled = upload and seen["properties"].get("diskState") not in UPLOADING
        if older or filled:
            disown(self._arm, seen, tags[RUN_TAG])
            error = _overtaken(planned, seen)
            error.message = (
                f"The disk {planned.name} is older than the request that was to make it, or filled"
                " already: it may be somebody else's. It is left without this restore's tags; delete it if"
                " nobody else made it."
            )
            raise error
        if tags_of(seen).get(RUN_TAG) != tags[RUN_TAG]:
            raise _overtaken(planned, seen)

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
                    self._hold()
                    fresh = get_disk(self._arm, planned.id)
                    update_disk(self._arm, planned.id, _unfinished(planned, fresh), once=True)
            except (AzureError, ConnectionFailed) as error:
                if not may_repeat(error) or attempt == _MOST_CHANGES:
                    raise
                self._arm.deadline.pause(_PAUSE)
            before, seen = seen, get_disk(self._arm, planned.id)
            if not same_disk(before, seen):
                disown(self._arm, seen, tags_of(before).get(RUN_TAG, ""))
                raise _overtaken(planned, seen)
        raise AzureError(
            f"Azure accepted the properties of the disk {planned.name}, but it does not have them.",
            code="DiskNotFinished",
            resource=planned.id,
        )

    def confirm(self, standings: list[Standing], disks: list[Raw]) -> list[Raw]:
        """The disks as they are at the very end, with this restore's tags.

        A late request of another run may have changed the tags of a disk that it took for its own.

        Raises:
            AzureError: a disk is not the one that was made.
        """
        return [self._confirmed(one.plan, disk) for one, disk in zip(standings, disks, strict=True)]

    def _confirmed(self, planned: DiskPlan, disk: Raw) -> Raw:
        fresh = find_disk(self._arm, planned.id)
        if fresh is None or not same_disk(fresh, disk):
            raise AzureError(
                f"The disk {planned.name} was {'deleted' if fresh is None else 'replaced by another'}"
                " while the restore worked.",
                code="DiskChanged",
                resource=planned.id,
            )
        ours, tags = planned.body["tags"], tags_of(fresh)
        if tags.get(IDENTITY_TAG) == ours[IDENTITY_TAG]:
            return fresh
        self._hold()
        tags = {**tags, **ours, RUN_TAG: self._tags(planned)[RUN_TAG]}
        tags.pop(CONTENT_TAG, None)
        update_disk(self._arm, planned.id, {"tags": tags})
        return get_disk(self._arm, planned.id)

    def _tags(self, planned: DiskPlan) -> dict[str, str]:
        carried = self._carrier.rsplit("/", 1)[-1]
        tags = {**planned.body["tags"], RUN_TAG: run_tag(self._run, carried, self._process)}
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


def disown(arm: ArmClient, seen: Raw, tag: str) -> None:
    """Take this process's tags off a disk of somebody else that its late request changed."""
    tags = tags_of(seen)
    if tags.get(RUN_TAG) != tag:
        return
    left = foreign_tags(seen)
    with contextlib.suppress(VmguardError):
        update_disk(arm, seen["id"], {"tags": left}, once=True)


def _overtaken(planned: DiskPlan, found: Raw) -> Overtaken:
    error = Overtaken(
        f"The disk {planned.name} was made by somebody else at the same time.",
        resource=planned.id,
        hint="Run the task again: it takes that disk into account.",
    )
    error.seen = found
    return error


def _unfinished(planned: DiskPlan, seen: Raw) -> Raw:
    """What is left to change of a disk whose content is whole, as a DiskUpdate."""
    body: Raw = {}
    if properties := lacking(planned, seen):
        body["properties"] = properties
    tags = tags_of(seen)
    if CONTENT_TAG in tags:
        body["tags"] = {name: text for name, text in tags.items() if name != CONTENT_TAG}
    return body
