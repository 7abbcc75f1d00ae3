# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clears away what runs that were killed have left, and the snapshots that no later backup needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .._arm.client import ArmClient
from .._compute.disk_access import revoke
from .._compute.ids import COLLECTION_TYPE, ResourceId, resource_id
from .._compute.restore_point_collections import get_collection
from .._compute.restore_points import delete_point, disk_restore_points, get_point, list_points
from .._compute.snapshots import SNAPSHOT_TYPE, delete_snapshot, find_snapshot, list_snapshots
from .._errors import AzureError, Conflict, InputError, NotFound, VmguardError
from .._repository.manifest import DiskImage, Manifest
from .._repository.repository import Repository
from . import ledger
from .history import History
from .ownership import Claim, Owner

Raw = dict[str, Any]
# Of a restore point: somebody has access to one of its disks.
_IN_USE = "DiskRestorePointUsedByCustomer"
# The states of a snapshot that somebody has, or had, access to; None where Azure tells none.
_READ = (None, "ActiveSAS", "ActiveSASFrozen")


class Kept(NamedTuple):
    """A resource that should be gone and is not, or to which there may still be access."""

    resource: str
    why: str


# -- removing


def remove(arm: ArmClient, resource: str) -> None:
    """Delete a snapshot or restore point of ours, whether it is there or not, with the access to it.

    Raises:
        VmguardError: it could not be.
    """
    try:
        _delete(arm, resource)
    except AzureError as error:
        # Azure refuses while somebody has access; it is ended only then.
        if not isinstance(error, Conflict) and error.code != _IN_USE:
            raise
        for one in readable(arm, resource):
            revoke(arm, one)
        _delete(arm, resource)


def _delete(arm: ArmClient, resource: str) -> None:
    parsed = ResourceId.parse(resource)
    if parsed.type.lower() == SNAPSHOT_TYPE:
        delete_snapshot(arm, resource)
    else:
        delete_point(arm, parsed.group, parsed.name, parsed.child_names[0])


def readable(arm: ArmClient, resource: str) -> list[str]:
    """What of a resource access is given to: itself, or a restore point's disk restore points."""
    parsed = ResourceId.parse(resource)
    if parsed.type.lower() == SNAPSHOT_TYPE or len(parsed.child_names) != 1:
        return [resource]
    raw = get_point(arm, parsed.group, parsed.name, parsed.child_names[0])
    return disk_restore_points(raw) if raw else []


def remove_all(
    arm: ArmClient, resources: Iterable[str], check: Callable[[], None] = lambda: None
) -> list[Kept]:
    """Remove what can be removed; what cannot, with a sentence.

    Args:
        check: called before each; what it raises ends the removing.
    """
    failed = []
    for resource in resources:
        check()
        try:
            remove(arm, resource)
        except VmguardError as error:
            why = f"{resource.rpartition('/')[2]} could not be deleted: {error.message}"
            failed.append(Kept(resource, why))
    return failed


def revoke_all(arm: ArmClient, resources: Iterable[str]) -> list[Kept]:
    """End the access to snapshots and restore points; those where that failed, with a sentence.

    A snapshot says whether there is any; a disk restore point does not.
    """
    failed = []
    for resource in resources:
        try:
            for one in readable(arm, resource):
                if _may_be_read(arm, one):
                    revoke(arm, one)
        except VmguardError as error:
            why = f"Access to {resource} could not be revoked: {error.message}"
            failed.append(Kept(resource, why))
    return failed


def _may_be_read(arm: ArmClient, resource: str) -> bool:
    if ResourceId.parse(resource).type.lower() != SNAPSHOT_TYPE:
        return True
    found = find_snapshot(arm, resource)
    return found is not None and found["properties"].get("diskState") in _READ


# -- what a killed run left


def clear_after_killed(
    owner: Owner,
    repository: Repository,
    committed: set[str],
    ledgers: dict[str, list[ledger.Entry]],
    going_on: str | None = None,
) -> list[str]:
    """Revoke and delete what the ledgers of dead runs name. The caller holds the machine's lease.

    Whoever can write to a repository in the clear can forge a ledger. So nothing is touched that
    Azure does not confirm to be of the run; what exists and is not confirmed keeps the ledger open.

    Args:
        committed: the ids of the backups there are; their snapshots stay.
        ledgers: those that were not closed.
        going_on: the run whose snapshots are used by the caller, who has its ledger then.

    Returns:
        A sentence for each thing that could not be cleared away.
    """
    problems = []
    for run, entries in ledgers.items():
        failed = []
        for entry in entries:
            if run != going_on or entry.kind != ledger.MADE:
                failed += _clear(owner, run, entry, run in committed)
        if not failed and run != going_on:
            names = [entry.name for entry in entries]
            failed += ledger.Ledger(repository, owner.key, run, names).close()
        problems += failed
    return problems


def _clear(owner: Owner, run: str, entry: ledger.Entry, committed: bool) -> list[str]:
    if entry.problem:
        what = (
            f"The ledger {entry.name} cannot be read, and what its run left in Azure is not known"
        )
        then = f"Look for snapshots with the tag vmguard-backup={run}, then delete that object."
        return [f"{what}: {entry.problem} {then}"]
    deletes = entry.kind == ledger.MADE and not committed
    problems, confirmed = [], []
    for resource in entry.resources:
        try:
            # What was opened are the base snapshots, of whichever backup.
            claim = owner.judge(resource, run if entry.kind == ledger.MADE else None)
        except VmguardError as error:
            problems.append(f"The ledger {entry.name} names {resource!r}: {error.message}")
            continue
        if claim is Claim.CONFIRMED:
            confirmed.append(resource)
        elif claim is Claim.FOREIGN:
            problems.append(
                f"The ledger {entry.name} names {resource}, and Azure does not confirm that a backup"
                " of this machine into this repository made it: it was left as it is. If nothing"
                " of that run is left in Azure, delete this object of the repository."
            )
    act = remove_all if deletes else revoke_all
    return problems + [kept.why for kept in act(owner.arm, confirmed)]


# -- what no later backup needs


class Found(NamedTuple):
    """A snapshot or restore point that a backup of this owner made.

    Args:
        run: the id of the backup.
        sources: ids in lower case, as images name what they were read from.
    """

    id: str
    run: str
    sources: frozenset[str]


def find_made(owner: Owner, groups: Iterable[str], collections: Iterable[str]) -> list[Found]:
    """The snapshots and restore points that backups of this owner have made and that are still there.

    Args:
        groups: the resource groups to look for snapshots in.
        collections: the ids of the restore point collections to look in.

    Raises:
        AzureError, ConnectionFailed: Azure cannot be asked.
    """
    found = []
    for group in _distinct(groups):
        try:
            listed = list_snapshots(owner.arm, group)
        except NotFound:
            continue
        for snapshot in listed:
            if run := owner.run_of_snapshot(snapshot):
                sources = frozenset({snapshot["id"].lower()})
                found.append(Found(snapshot["id"], run, sources))
    for collection in _distinct(collections):
        found += _points(owner, ResourceId.parse(collection))
    return found


def _points(owner: Owner, collection: ResourceId) -> list[Found]:
    try:
        raw = get_collection(owner.arm, collection.group, collection.name)
        if raw is None or not owner.holds(raw):
            return []
        listed = list_points(owner.arm, collection.group, collection.name)
    except NotFound:
        return []
    return [
        Found(point["id"], run, frozenset(one.lower() for one in disk_restore_points(point)))
        for point in listed
        if (run := owner.run_of_point(point["name"]))
    ]


def _distinct(texts: Iterable[str]) -> list[str]:
    return sorted({text.lower(): text for text in texts}.values())


def places_of(sources: Iterable[str]) -> tuple[set[str], set[str]]:
    """Where snapshots and disk restore points are: resource groups, and ids of collections.

    Args:
        sources: ids, as manifests name them; what is none is passed over.
    """
    groups, collections = set(), set()
    for source in sources:
        try:
            parsed = ResourceId.parse(source)
        except InputError:
            continue
        groups.add(parsed.group)
        if parsed.type.lower() == COLLECTION_TYPE.lower():
            collections.add(
                resource_id(parsed.subscription, parsed.group, COLLECTION_TYPE, parsed.name)
            )
    return groups, collections


def needed_sources(
    history: History, backup: Manifest, made: Iterable[Found], left_out: Iterable[str]
) -> set[str]:
    """What the next incremental and differential backup are computed against; ids in lower case.

    Args:
        backup: the newest.
        made: what there is in Azure.
        left_out: the unique ids of the machine's disks that are not in the newest backup; what the
            last backup of each was read from is needed as well.
    """
    images = {disk.unique_id: disk for disk in backup.disks}
    wanted = set(left_out) - set(images)
    for run in sorted({one.run for one in made}, reverse=True):
        earlier = history.backup(run) if wanted else None
        for image in earlier.disks if earlier else []:
            if image.unique_id in wanted:
                wanted.remove(image.unique_id)
                images[image.unique_id] = image
    needed = {image.source.lower() for image in images.values()}
    return needed | {full.source.lower() for full in _fulls(history, backup, images.values())}


def _fulls(history: History, backup: Manifest, images: Iterable[DiskImage]) -> list[DiskImage]:
    """The last full images of disks of which the newest backup is none."""
    found = [
        history.image(image.full, image.unique_id) for image in images if image.full != backup.id
    ]
    return [image for image in found if image]


def not_needed(made: Iterable[Found], newest: str, needed: set[str]) -> list[str]:
    """The ids of what can be deleted: what no backup needs, of the newest backup or earlier ones.

    Args:
        newest: the id of the newest backup; what another run makes meanwhile is not its to delete.
    """
    return [one.id for one in made if one.run <= newest and not one.sources & needed]
