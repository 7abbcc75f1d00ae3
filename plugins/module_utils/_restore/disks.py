# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the disks of a restore, and take them away again when it fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from .._arm.client import ArmClient
from .._compute.disk_access import revoke
from .._compute.disks import delete_disk, find_disk, put_disk
from .._errors import Conflict, InputError, VmguardError
from .plan import DISK_NAME_LIMIT, IDENTITY_TAG, TargetDisk, tagged

AT_ONCE = 4
ATTEMPTS = 3
_UPLOADING = ("ReadyToUpload", "ActiveUpload", "ActiveUploadAbandoned")

_Result = TypeVar("_Result")


def settle_names(arm: ArmClient, disks: list[TargetDisk], mark: str, *, adopt: bool) -> list[str]:
    """Give every target disk a name that is free; what had to give way.

    A disk of an earlier run of this restore is taken over when it was never attached to anything
    (a run that was interrupted); one that was may have been written to since. Where the disks
    themselves are what is restored (``adopt``), those of the same restore count as there.

    Raises:
        InputError: a disk of that name exists and belongs to something else.
    """
    notes = []
    for disk in disks:
        found = find_disk(arm, disk.id)
        if found is None:
            continue
        if IDENTITY_TAG not in (found.get("tags") or {}):
            raise InputError(
                f"The disk {disk.name} exists in resource group {disk.group} and is not of this restore;"
                " delete it, or name the new disks otherwise with disk_name_pattern.",
                code="DiskExists",
                resource=disk.id,
            )
        if _half_made(found, mark):
            disk.stale = True
            continue
        if _ours(found, mark, adopt=adopt):
            disk.exists = True
            continue
        taken = disk.name
        _rename(arm, disk, mark, adopt=adopt)
        if not disk.exists:
            notes.append(
                f"The disk {taken} of an earlier restore exists and is not touched;"
                f" {disk.name} is made in its place."
            )
    return notes


def _ours(found: dict[str, Any], mark: str, *, adopt: bool) -> bool:
    return tagged(found, mark) and (adopt or _untouched(found))


def _half_made(found: dict[str, Any], mark: str) -> bool:
    """Whether it is of this restore, and its upload was not finished: a run that was killed."""
    return tagged(found, mark) and found["properties"].get("diskState") in _UPLOADING


def _untouched(found: dict[str, Any]) -> bool:
    """Whether a disk was never attached: only then does Azure not know when its owner changed."""
    properties = found["properties"]
    return (
        properties.get("diskState") == "Unattached"
        and properties.get("provisioningState") == "Succeeded"
        and not properties.get("LastOwnershipUpdateTime")
    )


def _rename(arm: ArmClient, disk: TargetDisk, mark: str, *, adopt: bool) -> None:
    """Number the name until it is free, or that of a disk of this restore."""
    stem, base = disk.name, disk.id.rsplit("/", 1)[0]
    for number in range(2, 1000):
        suffix = f"-{number}"
        disk.name = f"{stem[: DISK_NAME_LIMIT - len(suffix)]}{suffix}"
        disk.id = f"{base}/{disk.name}"
        found = find_disk(arm, disk.id)
        disk.exists = found is not None and _ours(found, mark, adopt=adopt)
        if found is None or disk.exists:
            return
    raise InputError(
        f"There are too many disks named like {stem}; delete those that are not needed."
    )


def create_disks(arm: ArmClient, disks: list[TargetDisk], created: list[TargetDisk]) -> None:
    """Make the disks that are not there; ``created`` grows as requests go out."""
    missing = [disk for disk in disks if not disk.exists]

    def create(disk: TargetDisk) -> None:
        created.append(disk)
        if disk.stale:
            _delete(arm, disk.id)
        if disk.fill:
            disk.fill(arm, disk)
        else:
            put_disk(arm, disk.id, disk.body)

    if missing:
        arm.compute  # noqa: B018 - built once, before threads share it
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            for done in [pool.submit(create, disk) for disk in missing]:
                done.result()


def _delete(arm: ArmClient, disk_id: str) -> None:
    """Delete a disk, also one that is being uploaded to."""
    try:
        delete_disk(arm, disk_id)
    except Conflict:
        # What was written of it is no disk, and ending the access says so.
        with contextlib.suppress(VmguardError):
            revoke(arm, disk_id)
        delete_disk(arm, disk_id)


def persist(act: Callable[[], _Result], attempts: int = ATTEMPTS) -> _Result:
    """Do something that must not be given up at the first failure.

    Raises:
        VmguardError: the last failure.
    """
    for _attempt in range(attempts - 1):
        try:
            return act()
        except VmguardError:
            continue
    return act()


def remove_disks(arm: ArmClient, disk_ids: list[str]) -> tuple[list[str], list[str]]:
    """Delete disks as far as possible: those that are gone, and those that could not be deleted."""
    gone, left = [], []
    for disk_id in disk_ids:
        try:
            persist(partial(_delete, arm, disk_id))
            gone.append(disk_id)
        except VmguardError:
            left.append(disk_id)
    return gone, left
