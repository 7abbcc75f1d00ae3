# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which level a disk is backed up at: pure functions of what is asked, what there is, and now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from .._repository.manifest import DiskImage, Manifest

FULL, INCREMENTAL, DIFFERENTIAL, AUTO = "full", "incremental", "differential", "auto"
# Changes cannot be computed across this size (Azure: restrictions of incremental snapshots). Bytes.
_BOUNDARY = 4 << 40


class Earlier(NamedTuple):
    """A disk in an earlier backup."""

    backup: Manifest
    image: DiskImage


@dataclass
class DiskHistory:
    """The last backup of a disk, and its last full one.

    Args:
        full: None also where the last backup names a full one that is gone or cannot be read.
        replaced: there is an earlier image of this place (OS, LUN), of another disk.
    """

    last: Earlier | None = None
    full: Earlier | None = None
    replaced: bool = False

    def full_began(self) -> datetime | None:
        """When the last full backup began; None where there is none, or nothing tells."""
        if self.full:
            return datetime.fromisoformat(self.full.backup.started)
        return _began(self.last.image.full) if self.last else None


class Decision(NamedTuple):
    """The level, what it is based on, and why it is not what could be expected."""

    level: str
    base: Earlier | None = None
    fallback: str | None = None


def decide(
    asked: str,
    history: DiskHistory,
    *,
    size: int,
    kind: str,
    full_every: int | None,
    now: datetime,
) -> Decision:
    """The level of one disk.

    Args:
        size: bytes of the disk now.
        kind: what is read, snapshot or restore_point.
        full_every: seconds after which ``auto`` makes a full.
    """
    if asked == FULL:
        return Decision(FULL)
    base = history.full if asked == DIFFERENTIAL else history.last
    if asked == AUTO and history.last and full_every is not None:
        began = history.full_began()
        if began is None or now - began >= timedelta(seconds=full_every):
            return Decision(FULL)
    if base is None:
        return Decision(FULL, fallback=_without_base(asked, history))
    if reason := _unusable(base, size, kind):
        return Decision(FULL, fallback=reason)
    return Decision(DIFFERENTIAL if asked == DIFFERENTIAL else INCREMENTAL, base)


def _began(backup_id: str) -> datetime | None:
    """When a backup began, to the second, as its id says; None where it says no time."""
    try:
        moment = datetime.strptime(backup_id.partition("-")[0], "%Y%m%dt%H%M%Sz")
    except ValueError:
        return None
    return moment.replace(tzinfo=timezone.utc)


def _without_base(asked: str, history: DiskHistory) -> str | None:
    if history.last:
        return f"its last full backup {history.last.image.full} is gone or cannot be read"
    if history.replaced:
        return "the disk was made again since the last backup (it has another unique id)"
    if asked == AUTO:
        return None
    return "there is no earlier backup of the disk"


def _unusable(base: Earlier, size: int, kind: str) -> str | None:
    if base.backup.source.get("kind") != kind:
        return f"the last backup was read from a {base.backup.source.get('kind')}, this one from a {kind}"
    if base.image.size > size:
        return f"the disk is smaller ({size} bytes) than in the last backup ({base.image.size})"
    if base.image.size <= _BOUNDARY < size:
        return "the disk grew across 4 TiB, and Azure computes no changes across that size"
    return None
