# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes images into managed disks: chunks stream from the repository straight into the disk."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from .._arm.client import ArmClient
from .._clock import SystemClock
from .._compute.disk_access import ArmAccess, takes_token
from .._compute.disks import get_disk
from .._disk.governor import Governor
from .._disk.http import HttpPool
from .._disk.page_blob import PageBlob
from .._disk.vhd import footer
from .._image.reader import Stats
from .._image.restorer import DiskWriter
from .._image.throttle import Throttle
from .._repository.manifest import DiskImage
from .._repository.repository import Repository

# Nobody has recorded whether access to a disk that is being uploaded to can be asked for again, so the
# first one lasts for a slow upload: the least, twice the time at the slowest disk's rate, Azure's most.
_LEAST_SECONDS = 4 * 3600
_SLOWEST = 30 << 20  # bytes per second
_MOST_SECONDS = 5_184_000
_PATIENCE = 600.0


def access_seconds(size: int) -> int:
    """For how long write access to a disk of so many bytes is asked."""
    return min(max(_LEAST_SECONDS, 2 * size // _SLOWEST), _MOST_SECONDS)


class Uploader:
    """Fills disks, with a bounded number of transfers for all of them. A context manager.

    Args:
        workers: transfers at once.
        bandwidth: bytes per second, None for no limit.
    """

    def __init__(
        self,
        repository: Repository,
        clock: SystemClock,
        *,
        workers: int = 8,
        bandwidth: float | None = None,
    ) -> None:
        self._clock = clock
        self._http = HttpPool(workers)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="restore")
        self._repository = repository
        self._workers = workers
        self._throttle = Throttle(bandwidth, clock)

    def __enter__(self) -> Uploader:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._http.close()

    def fill(
        self, arm: ArmClient, disk_id: str, image: DiskImage, check: Callable[[], None]
    ) -> None:
        """Write an image into a disk that was made for it.

        The VHD footer goes last, and without it Azure takes no upload for a disk: what is not whole
        never looks whole.

        Args:
            check: raises when the work is to end.

        Raises:
            DamagedObject: the repository does not hold what was stored.
            VmguardError: the disk cannot be written; what there is of it is to be deleted.
        """
        arm.deadline.ensure(_PATIENCE)
        # A policy of Azure may demand a token of every disk.
        with_token = takes_token(get_disk(arm, disk_id))
        with ArmAccess(
            arm, disk_id, clock=self._clock, seconds=access_seconds(image.size), access="Write",
            with_token=with_token,
        ) as access:  # fmt: skip
            governor = Governor(self._clock, arm.deadline.seconds)
            blob = PageBlob(access, self._http, self._clock, check=check, governor=governor)
            writer = DiskWriter(
                self._repository, self._pool,
                workers=self._workers, throttle=self._throttle, check=check,
            )  # fmt: skip
            writer.write(image, blob, Stats())
            check()
            blob.write(image.size, footer(image.size, uuid4(), self._clock.now()))
        arm.deadline.ensure(_PATIENCE)
