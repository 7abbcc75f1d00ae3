# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user asks a backup to be."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._errors import InputError

LEVELS = ("auto", "full", "incremental", "differential")
SNAPSHOT, RESTORE_POINT = "snapshot", "restore_point"
# What Azure takes where no consistency is asked for.
APPLICATION = "application"
MOST_PARALLEL = 64


@dataclass(frozen=True)
class BackupRequest:
    """The options of a backup.

    Args:
        full_every, max_age: seconds, None for never.
        bandwidth: bytes per second, None for no limit.
        workers: transfers at once; ``disks_at_once``: disks that are read at once.
        keep: which snapshots stay after the backup: needed, all or none.
    """

    group: str
    vm: str
    level: str = "auto"
    source: str = SNAPSHOT
    exclude_disks: list[str] = field(default_factory=list)
    full_every: int | None = None
    max_age: int | None = None
    keep: str = "needed"
    snapshot_group: str | None = None
    collection: str | None = None
    consistency_mode: str | None = None
    require_consistency: str | None = None
    bandwidth: float | None = None
    workers: int = 8
    disks_at_once: int = 4
    private_link: bool = False
    sas_seconds: int = 4 * 3600

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            InputError: naming the option.
        """
        if self.source == SNAPSHOT:
            for option in ("collection", "consistency_mode"):
                if getattr(self, option):
                    raise InputError(
                        f"{option} is for source: restore_point, and source is snapshot."
                    )
            if self.require_consistency not in (None, "crash"):
                raise InputError(
                    f"Snapshots of disks are crash-consistent, and require_consistency is"
                    f" {self.require_consistency}: use source: restore_point."
                )
        elif self.snapshot_group:
            raise InputError(
                "snapshot_resource_group is for source: snapshot, and source is restore_point."
            )
        limits = {"parallel_transfers": self.workers, "parallel_disks": self.disks_at_once}
        for option, value in limits.items():
            if not 1 <= value <= MOST_PARALLEL:
                raise InputError(f"{option} is {value}; it can be 1 to {MOST_PARALLEL}.")
        if self.bandwidth is not None and self.bandwidth <= 0:
            raise InputError("bandwidth_limit must be more than 0 MiB/s.")
