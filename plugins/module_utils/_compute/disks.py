# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Managed disks, by id: the disks of one VM may lie in several resource groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .._arm.client import ArmClient
from .._errors import InputError, NotFound
from .ids import ResourceId
from .storage_profile import disk_entries, disk_id

Raw = dict[str, Any]

DISK_TYPE = "disks"


def get_disk(arm: ArmClient, disk_id: str) -> Raw:
    """One disk.

    Raises:
        InputError: the id is no disk's, or of another subscription.
        NotFound: there is no such disk.
    """
    group, name = _address(arm, disk_id)
    return arm.read("disks.get", disk_id, group, name)


def find_disk(arm: ArmClient, disk_id: str) -> Raw | None:
    """Like ``get_disk``, but None where there is no such disk."""
    try:
        return get_disk(arm, disk_id)
    except NotFound:
        return None


def list_disks(arm: ArmClient, group: str | None = None) -> list[Raw]:
    """All disks of a resource group, or of the subscription.

    Raises:
        NotFound: there is no such group.
    """
    subscription = f"/subscriptions/{arm.subscription_id}"
    if group is None:
        return arm.list("disks.list", subscription)
    return arm.list("disks.list_by_resource_group", f"{subscription}/resourceGroups/{group}", group)


def put_disk(arm: ArmClient, disk_id: str, body: Raw, wait: bool = True) -> Raw:
    """Create a disk, or make it what ``body`` says.

    Returns:
        The disk as Azure has it then; without ``wait`` its first answer.

    Raises:
        InputError: as ``get_disk``.
        OperationFailed: Azure could not.
        OperationTimeout: it is not ready yet, and the deadline has passed.
    """
    group, name = _address(arm, disk_id)
    return arm.run("disks.begin_create_or_update", disk_id, group, name, body=body, wait=wait)


def create_disk(arm: ArmClient, disk_id: str, body: Raw, answered: Callable[[Any], None]) -> Raw:
    """Send the request that creates a disk, once, and wait for its end.

    Azure takes it for a disk that exists as well, and then changes that one.

    Args:
        answered: given the answer's headers.

    Raises: as ``put_disk``; for no answer, and for what passes by itself, too.
    """
    group, name = _address(arm, disk_id)
    return arm.run(
        "disks.begin_create_or_update", disk_id, group, name, body=body,
        raw_response_hook=lambda answer: answered(answer.http_response.headers), once=True,
    )  # fmt: skip


def update_disk(
    arm: ArmClient,
    disk_id: str,
    body: Raw,
    *,
    once: bool = False,
    answered: Callable[[Any], None] = lambda _headers: None,
) -> Raw:
    """Change what ``body`` names (a DiskUpdate: tags, sku, size, network access) and nothing else.

    Args:
        once: it is worked out from what was read: azure-core does not repeat it.
        answered: given the headers of the first answer.

    Raises:
        NotFound: there is no such disk.
        And as ``put_disk``.
    """
    group, name = _address(arm, disk_id)
    return arm.run(
        "disks.begin_update", disk_id, group, name, body=body,
        raw_response_hook=lambda answer: answered(answer.http_response.headers),
        once=once,
    )  # fmt: skip


def delete_disk(arm: ArmClient, disk_id: str, wait: bool = True) -> None:
    """Delete a disk, whether it is still there or not. Raises: as ``put_disk``."""
    group, name = _address(arm, disk_id)
    try:
        arm.run("disks.begin_delete", disk_id, group, name, wait=wait)
    except NotFound:
        return


def disk_ids(vm: Raw) -> list[str]:
    """The ids of a VM's managed disks: the OS disk's, then the data disks' by LUN."""
    found = (disk_id(entry) for entry in disk_entries(vm.get("properties")))
    return [one for one in found if one]


def disks_of(arm: ArmClient, vms: Iterable[Raw]) -> dict[str, Raw]:
    """The disk resources of VMs, by id in lower case; one that is gone is not in it.

    One VM costs a request for each of its disks; more VMs cost the list of the subscription's
    disks, once, because disks may be in other resource groups than their VM.
    """
    per_vm = [disk_ids(vm) for vm in vms]
    wanted = {disk_id.lower(): disk_id for ids in per_vm for disk_id in ids}
    if len(per_vm) <= 1:
        found = [(key, find_disk(arm, disk_id)) for key, disk_id in wanted.items()]
        return {key: disk for key, disk in found if disk is not None}
    listed = {disk["id"].lower(): disk for disk in list_disks(arm)} if wanted else {}
    return {key: listed[key] for key in wanted if key in listed}


def _address(arm: ArmClient, disk_id: str) -> tuple[str, str]:
    """Resource group and name, of a disk that this client can reach."""
    parsed = ResourceId.parse(disk_id)
    shape = (parsed.provider.lower(), parsed.type.lower(), parsed.child_names)
    if shape != ("microsoft.compute", DISK_TYPE, ()):
        raise InputError(f"{disk_id!r} is not the id of a managed disk.")
    if parsed.subscription.lower() != arm.subscription_id.lower():
        raise InputError(
            f"Disk {disk_id} is in another subscription than the task's ({arm.subscription_id}).",
            hint="Set subscription_id to the disk's subscription.",
        )
    return parsed.group, parsed.name
