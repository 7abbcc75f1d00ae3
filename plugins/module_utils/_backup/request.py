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
OURS = "vmguard-"
# Azure allows 50; three are ours.
MOST_TAGS = 47
_NOT_IN_NAMES = frozenset("<>%&\\?/")


@dataclass(frozen=True)
class BackupRequest:
    """The options of a backup.

    Args:
        full_every, max_age: seconds, None for never.
        bandwidth: bytes per second, None for no limit.
        workers: transfers at once; ``disks_at_once``: disks that are read at once.
        keep: which snapshots stay after the backup: needed, all or none.
        tags: of the snapshots, and of the collection of restore points where it is made.
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
    tags: dict[str, str] = field(default_factory=dict)
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
        self._check_tags()
        limits = {"parallel_transfers": self.workers, "parallel_disks": self.disks_at_once}
        for option, value in limits.items():
            if not 1 <= value <= MOST_PARALLEL:
                raise InputError(f"{option} is {value}; it can be 1 to {MOST_PARALLEL}.")
        if self.bandwidth is not None and self.bandwidth <= 0:
            raise InputError("bandwidth_limit must be more than 0 MiB/s.")

    def _check_tags(self) -> None:
        """By Azure's rules for tags, and without those that are ours."""
        if len(self.tags) > MOST_TAGS:
            raise InputError(
                f"tags has {len(self.tags)} tags; it can have {MOST_TAGS}, beside those of vmguard."
            )
        seen: set[str] = set()
        for name, value in self.tags.items():
            if name.lower().startswith(OURS):
                raise InputError(f"tags has {name!r}: names that begin with {OURS} are vmguard's.")
            if not name or len(name) > 512 or set(name) & _NOT_IN_NAMES or len(value) > 256:
                raise InputError(
                    f"tags has {name!r}, which Azure does not allow: a name has 1 to 512 characters and"
                    f" none of {' '.join(sorted(_NOT_IN_NAMES))}, a value has 256 at most."
                )
            if name.lower() in seen:
                raise InputError(
                    f"tags has {name!r} twice: case makes no difference in names of tags."
                )
            seen.add(name.lower())
