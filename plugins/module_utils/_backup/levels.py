# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which level a disk is backed up at: pure functions of what is asked, what there is, and now."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
        namesake: an earlier image of a disk of this place (OS, LUN) that was another disk.
    """

    last: Earlier | None = None
    full: Earlier | None = None
    namesake: bool = False
    warnings: list[str] = field(default_factory=list)


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
    if asked == AUTO and history.full and full_every is not None:
        age = now - datetime.fromisoformat(history.full.backup.started)
        if age >= timedelta(seconds=full_every):
            return Decision(FULL)
    if base is None:
        return Decision(FULL, fallback=_without_base(asked, history))
    if reason := _unusable(base, size, kind):
        return Decision(FULL, fallback=reason)
    return Decision(DIFFERENTIAL if asked == DIFFERENTIAL else INCREMENTAL, base)


def _without_base(asked: str, history: DiskHistory) -> str | None:
    if history.namesake:
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
