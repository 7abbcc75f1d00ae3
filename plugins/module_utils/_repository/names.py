# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the objects in a repository. Nothing read from a repository becomes a name unchecked."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime, timedelta, timezone

from .errors import BackupNotFound

CONFIG = "vmguard.json"
KEYS = "keys/"
PACKS = "packs/"
SEGMENTS = "chunk-index/"
MANIFESTS = "manifests/"
LEASES = "leases/"
LEDGERS = "ledgers/"
QUARANTINE = "quarantine/"
# In the order in which a repository is deleted: first what says that there is something to
# restore; what opens the rest last, so that a deletion that was interrupted can be done again.
FOLDERS = (MANIFESTS, LEDGERS, SEGMENTS, QUARANTINE, PACKS, LEASES, KEYS)

_BACKUP_ID = re.compile(r"\d{8}t\d{6}z-[0-9a-f]{8}")
_KEY = re.compile(rf"{KEYS}[0-9a-f]{{32}}\.json")


def is_key(name: str) -> bool:
    """Whether an object of this name is a wrapped key."""
    return _KEY.fullmatch(name) is not None


def pack(pack_id: bytes) -> str:
    """The name of a pack; its id is 16 random bytes."""
    text = pack_id.hex()
    return f"{PACKS}{text[:2]}/{text}"


def pack_id(name: str) -> bytes | None:
    """The id of the pack of this name, None when it is no pack's name."""
    text = name.rpartition("/")[2]
    if not re.fullmatch(r"[0-9a-f]{32}", text) or pack(bytes.fromhex(text)) != name:
        return None
    return bytes.fromhex(text)


def new_backup_id(now: datetime, entropy: bytes, after: str = "") -> str:
    """Ids sort by time: ``20260901t010000z-1f0c93ab``.

    Behind the seconds are the microseconds, in five hex digits, and three random ones.

    Args:
        entropy: two random bytes.
        after: an id that the new one sorts behind, whatever the clock says: that of the machine's
            newest backup which can be read. What is no id, or of the end of time, does not count.
    """
    now = now.astimezone(timezone.utc)
    with contextlib.suppress(OverflowError):
        if (newest := moment(after)) and newest >= now:
            now = newest + timedelta(microseconds=1)
    tail = now.microsecond << 12 | int.from_bytes(entropy[:2], "big") & 0xFFF
    return f"{now:%Y%m%dt%H%M%Sz}-{tail:08x}"


def moment(backup_id: str) -> datetime | None:
    """When a backup was begun, as its id says, in UTC; None for an id that no backup has."""
    if not _BACKUP_ID.fullmatch(backup_id):
        return None
    seconds, _dash, tail = backup_id.partition("-")
    try:
        begun = datetime.strptime(seconds, "%Y%m%dt%H%M%Sz").replace(tzinfo=timezone.utc)
        return begun.replace(microsecond=int(tail, 16) >> 12)
    except ValueError:
        return None


def check_backup_id(text: str) -> str:
    """An id of the right form, in lower case.

    Raises:
        BackupNotFound: for any other text.
    """
    text = text.lower()
    if not _BACKUP_ID.fullmatch(text):
        raise BackupNotFound(
            f"{text!r} is not the id of a backup; they look like 20260901t010000z-1f0c93ab.",
            hint="backup_info lists the backups of a repository.",
        )
    return text


def manifest(vm_key: str, backup_id: str) -> str:
    return f"{MANIFESTS}{vm_key}/{backup_id}"


def manifest_parts(name: str) -> tuple[str, str] | None:
    """VM key and backup id of a manifest's name, None for another name."""
    match = re.fullmatch(rf"{MANIFESTS}([0-9a-f]{{32}})/({_BACKUP_ID.pattern})", name)
    return (match[1], match[2]) if match else None
