# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a restore that is under way: what it is, and how it is written in tags. Pure.

The record lies in Azure, on the machine that is restored in place, or on the first disk that is
made. It is written before anything else and removed as the last step, so whoever finds one found
a restore that works, or one that was killed.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from .._errors import VmguardError
from .._repository.lease import Holder
from .plan import TAG_LIMIT, TAG_VALUE_LIMIT, Raw

JOURNAL_TAG = "vmguard-restore-journal"

# In the order in which a run goes through them; from SWAPPED on a killed run is finished, never undone.
FILLING, PROTECTING, SWAPPING, SWAPPED = "filling", "protecting", "swapping", "swapped"
UNDOING = "undoing"
_PHASES = (FILLING, PROTECTING, SWAPPING, SWAPPED, UNDOING)
# Nothing of the machine itself was changed yet.
UNTOUCHED = (FILLING, PROTECTING)

# How long a run is believed to be alive after its last word: it renews the record every minute while
# disks are filled; of what comes afterwards, each step is shorter than the second figure.
RENEWED_EVERY = 60.0
ALIVE_FILLING = 300.0
ALIVE_STEPS = 900.0
# Until a disk that is uploaded to has taken its first renewal: nobody has recorded whether Azure lets
# its tags be changed meanwhile. As long as the first signed access to it lasts.
ALIVE_UNRENEWED = 4 * 3600.0

_VERSION = 1
_MOST_TEXT = 1 << 20


class JournalUnreadable(VmguardError):
    """There are tags of a restore that is under way, and they are not what was written."""

    default_code = "RestoreRecordUnreadable"


@dataclass(frozen=True)
class Place:
    """A place of a machine whose disk is swapped.

    Args:
        lun: None for the OS disk.
        old: the id of the disk that is there before; empty where there is none.
        new: the id of the disk that takes its place.
        entry: how the old disk is attached (caching, write accelerator, deleteOption).
        old_size: its size in GiB, None where it is not known.
    """

    lun: int | None
    old: str
    new: str
    entry: Raw = field(default_factory=dict)
    old_size: int | None = None


@dataclass(frozen=True)
class Journal:
    """What is known of a run.

    Args:
        restore_id: what is restored to where (``plan.identity``).
        target: in_place, new_vm or disks.
        ran: whether the machine ran before.
        places: what is swapped, in place.
        made: the ids of the disks that the run makes.
        vm: the id of the machine that it makes or changes, empty for disks alone.
        old_disks: keep or delete.
        safety: the id of the safety restore point, empty for none.
        until: when the run is no longer believed to be alive, if it does not renew the record.
        booted: whether the machine may have been started with the new disks before it was undone.
        process: of the process that works; it is on what that makes, and not in the record. Empty for
            whatever the run made, in whichever process.
    """

    run: str
    restore_id: str
    target: str
    holder: Holder
    since: str
    until: datetime
    phase: str = FILLING
    ran: bool = False
    places: tuple[Place, ...] = ()
    made: tuple[str, ...] = ()
    vm: str = ""
    old_disks: str = "keep"
    safety: str = ""
    booted: bool = False
    process: str = ""

    def alive(self, now: datetime) -> bool:
        """Whether its process may still work: known to be gone only on the same host."""
        return now < self.until and not self.holder.dead

    def renewed(self, now: datetime, phase: str | None = None, **changes: Any) -> Journal:
        """The same run, alive at ``now``."""
        phase = phase or self.phase
        seconds = ALIVE_FILLING if phase == FILLING else ALIVE_STEPS
        changes = {"until": now + timedelta(seconds=seconds), **changes}
        return replace(self, phase=phase, **changes)

    def who(self) -> str:
        """Whose it is, for a sentence."""
        until = self.until.astimezone(timezone.utc).isoformat(timespec="seconds")
        return (
            f"run {self.run} on {self.holder.host} (process {self.holder.pid}), which began at"
            f" {self.since} and gives way at {until} unless it goes on"
        )


def write_tags(tags: dict[str, str], journal: Journal) -> dict[str, str]:
    """Tags with a record among them, in place of an earlier one.

    Raises:
        VmguardError: Azure has no room for so many tags.
    """
    packed = base64.b64encode(zlib.compress(_body(journal), 9)).decode()
    parts = [packed[at : at + TAG_VALUE_LIMIT] for at in range(0, len(packed), TAG_VALUE_LIMIT)]
    until = journal.until.astimezone(timezone.utc).isoformat(timespec="seconds")
    head = f"{_VERSION} {journal.run} {journal.phase} {until} {len(parts)}"
    kept = strip_tags(tags)
    written = {**kept, JOURNAL_TAG: head}
    written |= {f"{JOURNAL_TAG}-{number}": part for number, part in enumerate(parts, 1)}
    if len(written) > TAG_LIMIT:
        raise VmguardError(
            f"It has {len(kept)} tags, and the record of the restore needs {len(written) - len(kept)}"
            f" more for as long as it works; Azure allows {TAG_LIMIT}.",
            code="TooManyTags",
            hint=f"Remove {len(written) - TAG_LIMIT} tags until the restore is done.",
        )
    return written


def strip_tags(tags: dict[str, str]) -> dict[str, str]:
    """Tags without a record."""
    return {name: value for name, value in tags.items() if not name.startswith(JOURNAL_TAG)}


def read_tags(resource_id: str, tags: dict[str, str] | None) -> Journal | None:
    """The record among a resource's tags, None where there is none.

    Raises:
        JournalUnreadable: there is something that cannot be read.
    """
    tags = tags or {}
    head = tags.get(JOURNAL_TAG)
    if head is None:
        return None
    try:
        version, run, phase, until, count = head.split(" ")
        if int(version) > _VERSION:
            raise JournalUnreadable(
                f"A newer release of vmguard.azure restores {resource_id}.",
                resource=resource_id,
                hint="Update the collection vmguard.azure, then run the task again.",
            )
        packed = "".join(tags[f"{JOURNAL_TAG}-{number}"] for number in range(1, int(count) + 1))
        inflated = zlib.decompressobj().decompress(base64.b64decode(packed), _MOST_TEXT)
        return _parse(json.loads(inflated), run, phase, until)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, zlib.error) as error:
        raise JournalUnreadable(
            f"The tags {JOURNAL_TAG}* of {resource_id} are the record of an unfinished restore, and"
            " cannot be read.",
            resource=resource_id,
            hint="Look at the machine's disks yourself, then remove these tags and run the task again.",
        ) from error


def _body(journal: Journal) -> bytes:
    holder = journal.holder
    folder = _folder(journal.vm)
    new = tuple(place.new for place in journal.places)
    body = {
        "restore": journal.restore_id,
        "target": journal.target,
        "host": holder.host,
        "pid": holder.pid,
        "place": holder.place,
        "since": journal.since,
        "ran": journal.ran,
        "places": [
            [
                one.lun,
                one.old.removeprefix(folder),
                one.new.removeprefix(folder),
                one.entry,
                one.old_size,
            ]
            for one in journal.places
        ],
        "made": [one.removeprefix(folder) for one in journal.made if one not in new],
        "vm": journal.vm,
        "old_disks": journal.old_disks,
        "safety": journal.safety,
        "booted": journal.booted,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _folder(vm: str) -> str:
    """What the ids of disks beside a machine begin with: they are written as names."""
    return f"{vm.rpartition('/virtualMachines/')[0]}/disks/" if vm else "/"


def _parse(body: Raw, run: str, phase: str, until: str) -> Journal:
    if phase not in _PHASES:
        raise ValueError(phase)
    moment = datetime.fromisoformat(until)
    if moment.tzinfo is None:
        raise ValueError(until)
    folder = _folder(str(body["vm"]))

    def whole(text: str) -> str:
        return text if not text or text.startswith("/") else f"{folder}{text}"

    places = tuple(
        Place(lun, whole(str(old)), whole(str(new)), dict(entry), size)
        for lun, old, new, entry, size in body["places"]
    )
    made = tuple(whole(str(one)) for one in body["made"])
    return Journal(
        run=run,
        restore_id=str(body["restore"]),
        target=str(body["target"]),
        holder=Holder(run, str(body["host"]), int(body["pid"]), str(body["place"])),
        since=str(body["since"]),
        until=moment,
        phase=phase,
        ran=bool(body["ran"]),
        places=places,
        made=(*(place.new for place in places), *made),
        vm=str(body["vm"]),
        old_disks=str(body["old_disks"]),
        safety=str(body["safety"]),
        booted=bool(body.get("booted")),
    )
