# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a backup that there is makes another one needless (``max_age``): pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from .._compute.status import CRASH, achieves
from .._repository.manifest import Manifest
from .levels import AUTO, DIFFERENTIAL, FULL, INCREMENTAL
from .request import APPLICATION, RESTORE_POINT, BackupRequest

# The levels that satisfy a request: those that read as much of the disks, or more.
_ENOUGH = {
    FULL: {FULL},
    DIFFERENTIAL: {FULL, DIFFERENTIAL},
    INCREMENTAL: {FULL, DIFFERENTIAL, INCREMENTAL},
    AUTO: {FULL, DIFFERENTIAL, INCREMENTAL},
}


def recent(
    newest_first: Iterable[Manifest], disks: set[str], request: BackupRequest, now: datetime
) -> Manifest | None:
    """The newest backup that is as requested and was begun less than ``max_age`` ago.

    Args:
        newest_first: the machine's backups.
        disks: the unique ids of the disks that would be backed up.
    """
    if request.max_age is None:
        return None
    for backup in newest_first:
        if now - datetime.fromisoformat(backup.started) >= timedelta(seconds=request.max_age):
            return None
        if satisfies(backup, disks, request):
            return backup
    return None


def satisfies(backup: Manifest, disks: set[str], request: BackupRequest) -> bool:
    """Whether a backup is of exactly these disks, and read and consistent as requested."""
    source = backup.source
    asked = (source.get("requested_consistency") or APPLICATION) if _may_ask(request) else None
    wished = (request.consistency_mode or APPLICATION) if _may_ask(request) else None
    return (
        {image.unique_id for image in backup.disks} == disks
        and all(image.level in _ENOUGH[request.level] for image in backup.disks)
        and source.get("kind") == request.source
        and asked == wished
        and achieves(_together(backup), request.require_consistency)
    )


def _may_ask(request: BackupRequest) -> bool:
    return request.source == RESTORE_POINT


def _together(backup: Manifest) -> str | None:
    """What all disks together are: crash-consistent disks of several moments are no such machine."""
    consistency = backup.source.get("consistency")
    if not isinstance(consistency, str):
        return None
    return None if consistency == CRASH and not backup.source.get("same_moment") else consistency
