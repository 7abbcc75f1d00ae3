# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes managed disks of images: chunks stream from the repository straight into the disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from .._arm.client import ArmClient
from .._clock import SystemClock
from .._compute.disk_access import ArmAccess
from .._compute.disks import put_disk
from .._disk.http import HttpPool
from .._disk.page_blob import PageBlob
from .._disk.vhd import footer
from .._errors import InputError
from .._image.reader import Stats
from .._image.restorer import DiskWriter
from .._image.throttle import Throttle
from .._repository.repository import Repository
from .plan import TargetDisk

SAS_SECONDS = 4 * 3600
_PATIENCE = 600.0


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
        self._writer = DiskWriter(
            repository, self._pool, workers=workers, throttle=Throttle(bandwidth, clock)
        )

    def __enter__(self) -> Uploader:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._http.close()

    def fill(self, arm: ArmClient, disk: TargetDisk) -> None:
        """Make a disk in Azure and write its image into it.

        The VHD footer goes last, and without it Azure takes no upload for a disk: what is not whole
        never looks whole.

        Raises:
            DamagedObject: the repository does not hold what was stored.
            VmguardError: the disk cannot be made or written; what there is of it is to be deleted.
        """
        image = disk.source.image
        if image is None:
            raise InputError(f"There is no image of the disk {disk.source.name}.")
        arm.deadline.ensure(_PATIENCE)
        put_disk(arm, disk.id, disk.body)
        with ArmAccess(
            arm, disk.id, clock=self._clock, seconds=SAS_SECONDS, access="Write"
        ) as access:
            blob = PageBlob(access, self._http, self._clock)
            self._writer.write(image, blob, Stats())
            blob.write(image.size, footer(image.size, uuid4(), self._clock.now()))
        if disk.finish:
            arm.deadline.ensure(_PATIENCE)
            body = {
                key: value for key, value in disk.body.items() if key in ("location", "sku", "tags")
            }
            put_disk(arm, disk.id, {**body, "properties": disk.finish})
