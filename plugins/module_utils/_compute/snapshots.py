# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of managed disks, by id: they may lie in another resource group than their disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._arm.client import ArmClient
from .._errors import InputError, NotFound
from .ids import ResourceId
from .passing import wait_out
from .storage_profile import access_properties

Raw = dict[str, Any]

SNAPSHOT_TYPE = "snapshots"


def get_snapshot(arm: ArmClient, snapshot_id: str) -> Raw:
    """One snapshot.

    Raises:
        InputError: the id is no snapshot's, or of another subscription.
        NotFound: there is no such snapshot.
    """
    group, name = _address(arm, snapshot_id)
    return arm.read("snapshots.get", snapshot_id, group, name)


def find_snapshot(arm: ArmClient, snapshot_id: str) -> Raw | None:
    """Like ``get_snapshot``, but None where there is no such snapshot."""
    try:
        return get_snapshot(arm, snapshot_id)
    except NotFound:
        return None


def list_snapshots(arm: ArmClient, group: str | None = None) -> list[Raw]:
    """All snapshots of a resource group, or of the subscription (its ids have upper-case groups).

    Raises:
        NotFound: there is no such group.
    """
    subscription = f"/subscriptions/{arm.subscription_id}"
    if group is None:
        return arm.list("snapshots.list", subscription)
    where = f"{subscription}/resourceGroups/{group}"
    return arm.list("snapshots.list_by_resource_group", where, group)


def put_snapshot(arm: ArmClient, snapshot_id: str, body: Raw, wait: bool = True) -> Raw:
    """Create a snapshot, or change what can be changed about it.

    What passes by itself, such as another change of the same disk, is waited out.

    Returns:
        The snapshot as Azure has it then; without ``wait`` its first answer.

    Raises:
        InputError: as ``get_snapshot``.
        OperationFailed: Azure could not.
        OperationTimeout: it is not ready yet, and the deadline has passed.
    """
    group, name = _address(arm, snapshot_id)

    def put() -> Raw:
        return arm.run(
            "snapshots.begin_create_or_update", snapshot_id, group, name, body=body, wait=wait
        )

    return wait_out(arm, put)


def delete_snapshot(arm: ArmClient, snapshot_id: str, wait: bool = True) -> None:
    """Delete a snapshot, whether it is still there or not.

    Raises:
        Conflict: somebody has access to it (``disk_access.revoke`` ends that).
        OperationFailed, OperationTimeout: as ``put_snapshot``.
    """
    group, name = _address(arm, snapshot_id)
    try:
        arm.run("snapshots.begin_delete", snapshot_id, group, name, wait=wait)
    except NotFound:
        return


def snapshot_body(
    disk: Raw, tags: Mapping[str, str] | None = None, *, incremental: bool = True
) -> Raw:
    """The request for a snapshot of a disk: beside it, and as well guarded.

    It names no SKU: Azure's default is zone-redundant storage where the region has zones, at the price
    of the locally redundant (https://learn.microsoft.com/azure/virtual-machines/disks-incremental-snapshots).

    Args:
        disk: as Azure shows it.
    """
    held = disk.get("properties") or {}
    properties: Raw = {
        "creationData": {"createOption": "Copy", "sourceResourceId": disk["id"]},
        "incremental": incremental,
        # Azure does not take over from a disk who may read it: without these, its snapshot would be
        # open to export where the disk is not.
        **access_properties(held),
    }
    encryption = held.get("encryption") or {}
    if encryption.get("diskEncryptionSetId"):
        properties["encryption"] = dict(encryption)
    body: Raw = {"location": disk["location"], "properties": properties}
    if disk.get("extendedLocation"):
        body["extendedLocation"] = disk["extendedLocation"]
    if tags:
        body["tags"] = dict(tags)
    return body


def _address(arm: ArmClient, snapshot_id: str) -> tuple[str, str]:
    """Resource group and name, of a snapshot that this client can reach."""
    parsed = ResourceId.parse(snapshot_id)
    shape = (parsed.provider.lower(), parsed.type.lower(), parsed.child_names)
    if shape != ("microsoft.compute", SNAPSHOT_TYPE, ()):
        raise InputError(f"{snapshot_id!r} is not the id of a snapshot.")
    if parsed.subscription.lower() != arm.subscription_id.lower():
        raise InputError(
            f"Snapshot {snapshot_id} is in another subscription than the task's"
            f" ({arm.subscription_id}).",
            hint="Set subscription_id to the snapshot's subscription.",
        )
    return parsed.group, parsed.name
