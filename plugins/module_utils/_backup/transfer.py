# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads one disk into the repository: the changes, or all of it where changes cannot be trusted."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from .._clock import SystemClock
from .._disk.governor import PATIENCE, Governor
from .._disk.http import HttpPool
from .._disk.page_blob import Access, PageBlob
from .._disk.page_ranges import Changed, DiffUnavailable, PageRanges
from .._disk.ranges import Range
from .._errors import AzureError, VmguardError
from .._image import audit
from .._image.reader import DiskReader, Stats
from .._image.work import chunk_runs
from .._repository.errors import DamagedObject
from .._repository.manifest import DiskImage
from .._repository.repository import Repository
from .._repository.tree import Tree, chunk_count
from .capture import ANY_SIZE, Sizes
from .levels import FULL, INCREMENTAL, Decision
from .machine import BackupDisk
from .together import Interruptible

OpenAccess = AbstractContextManager[Access]


class _NotTrusted(Exception):
    """The changes that Azure tells are not all."""


@dataclass
class Transfer:
    """What reading disks needs; shared by the disks of a run.

    Args:
        open_access: access to the bytes of a snapshot or disk restore point, given back on exit;
            with an Entra token or without.
        check: called before each request; raises when the work has to end.
        patience: seconds for which Azure may refuse all requests to a disk as too many.
        warnings: what the user should know of the disks that were read.
    """

    open_access: Callable[[str, bool], OpenAccess]
    clock: SystemClock
    repository: Repository
    reader: DiskReader
    http: HttpPool
    run: str
    check: Callable[[], None] = lambda: None
    patience: float = PATIENCE
    warnings: list[str] = field(default_factory=list)

    def read(
        self,
        disk: BackupDisk,
        asked: str,
        decision: Decision,
        source: str,
        sizes: Sizes = ANY_SIZE,
        *,
        with_token: bool = False,
    ) -> DiskImage:
        """Read a disk at the level that was decided, or in full where that cannot be done.

        Args:
            sizes: the bytes that Azure says it has, at least and at most.
            with_token: reading takes an Entra token beside the signature.

        Raises:
            VmguardError: it cannot be read or stored.
        """
        began = self.clock.monotonic()
        image = DiskImage(
            role=disk.role, name=disk.name, lun=disk.lun, size=disk.size,
            unique_id=disk.unique_id, source_id=disk.id, source=source,
            level=decision.level, asked=asked, fallback=decision.fallback,
            base=None, full=self.run, roots={}, facts=disk.facts(),
        )  # fmt: skip
        stats = Stats()
        sums = {"allocated": 0, "changed": 0, "cleared": 0}
        clock = Interruptible(self.clock, self.check)
        governor = Governor(clock, self.patience)
        with (
            self.open_access(source, with_token) as access,
            PageRanges(clock, check=self.check, governor=governor) as ranges,
        ):
            blob = PageBlob(access, self.http, clock, check=self.check, governor=governor)
            image.size = blob.disk_size()
            _check_size(access.name, image.size, sizes)
            if decision.level != FULL:
                try:
                    self._changes(
                        image, decision, blob, access, ranges, stats, sums, with_token=with_token
                    )
                except (DiffUnavailable, DamagedObject, _NotTrusted) as error:
                    image.level, image.base, image.full = FULL, None, self.run
                    ranges.untold = 0
                    image.fallback = getattr(error, "message", str(error))
            if image.level == FULL:
                self._full(image, blob, access, ranges, stats, sums)
            untold = ranges.untold
        if untold:
            self.warnings.append(
                f"Azure did not tell in time which bytes of {image.name} are allocated or changed:"
                f" {-(-untold >> 20)} MiB were read as if they were."
            )
        seconds = round(self.clock.monotonic() - began, 3)
        counted = {
            "audited": stats.audited, "read": stats.read, "new": stats.new, "stored": stats.stored
        }  # fmt: skip
        image.stats = {**sums, **counted, "seconds": seconds}
        return image

    def _full(
        self,
        image: DiskImage,
        blob: PageBlob,
        access: Access,
        ranges: PageRanges,
        stats: Stats,
        sums: dict[str, Any],
    ) -> None:
        sums["allocated"] = 0
        found = self._count(ranges.allocated(access, Range(0, image.size)), sums)
        everything = (Changed(start, end, False) for start, end in found)
        runs = chunk_runs(everything, self.repository.chunk_size, image.size)
        image.roots, touched = self.reader.read(blob, image.size, runs, None, stats)
        count = chunk_count(image.size, self.repository.chunk_size)
        source = random.Random(self.run)  # noqa: S311 - draws a sample, keeps no secret
        chunks = audit.choose_unallocated(touched, count, source)
        different = self.reader.first_difference(blob, image.size, None, chunks, stats)
        if different is not None:
            at = different * self.repository.chunk_size
            self.warnings.append(
                f"Azure calls the bytes of {image.name} from {at} on unallocated, and they are not"
                " zeros: the whole disk was read."
            )
            runs = chunk_runs(
                [Changed(0, image.size, False)], self.repository.chunk_size, image.size
            )
            image.roots, _touched = self.reader.read(blob, image.size, runs, None, stats)

    def _changes(
        self,
        image: DiskImage,
        decision: Decision,
        blob: PageBlob,
        access: Access,
        ranges: PageRanges,
        stats: Stats,
        sums: dict[str, Any],
        *,
        with_token: bool,
    ) -> None:
        base = decision.base
        if base is None or base.image.size % self.repository.chunk_size:
            raise _NotTrusted("the last backup does not end with a whole chunk")
        tree = Tree(self.repository, base.image.roots)

        def counted(older: Access) -> Any:
            for change in ranges.changed(access, older, Range(0, image.size)):
                self.check()
                sums["cleared" if change.cleared else "changed"] += change.end - change.start
                yield change

        with self.open_access(base.image.source, with_token) as older:
            try:
                older.url()
            except VmguardError as error:
                raise DiffUnavailable(
                    f"the last backup's {older.name} cannot be read: {error.message}"
                ) from error
            runs = chunk_runs(counted(older), self.repository.chunk_size, image.size)
            image.roots, touched = self.reader.read(blob, image.size, runs, tree, stats)
        untold = ranges.untold
        source = random.Random(self.run)  # noqa: S311 - draws a sample, keeps no secret
        chunks = audit.choose(
            self._count(ranges.allocated(access, Range(0, image.size)), sums),
            touched,
            self.repository.chunk_size,
            source,
        )
        different = self.reader.first_difference(blob, image.size, tree, chunks, stats)
        # Of the whole list, only samples were read.
        ranges.untold = untold
        if different is not None:
            at = different * self.repository.chunk_size
            raise _NotTrusted(
                f"Azure calls the bytes from {at} on unchanged since backup {base.backup.id},"
                " and they are not"
            )
        image.base = base.backup.id
        image.full = base.image.full if decision.level == INCREMENTAL else base.backup.id

    def _count(self, found: Any, sums: dict[str, Any]) -> Any:
        for start, end in found:
            self.check()
            sums["allocated"] += end - start
            yield start, end


def _check_size(name: str, size: int, told: Sizes) -> None:
    """Refuse an image that is not of the disk that Azure describes.

    Raises:
        AzureError: it is not.
    """
    least, most = told
    if least <= size <= most:
        return
    expected = f"{most} bytes" if least == most else f"{most >> 30} GiB"
    raise AzureError(
        f"Azure gives {name} as a disk of {size} bytes, and says itself that it has {expected}: it was"
        " not read.",
        code="WrongImageSize",
        operation="read the disk",
        hint="Run the task again. If it stays so, ask Azure's support: what would be stored is not the"
        " disk.",
    )
