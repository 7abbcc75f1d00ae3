# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository and its backups are, as results show it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from .._errors import ObjectNotFound, VmguardError
from .._repository import manifest, names
from .._repository.errors import BackupNotFound, DamagedObject, DamageFound, RepositoryError
from .._repository.lease import read_state, scopes
from .._repository.manifest import DiskImage, Manifest
from .._repository.repository import Repository
from .verifier import Report

BYTES = ("allocated", "changed", "cleared", "read", "audited", "new", "stored")
# What a disk's own facts add to what every disk has.
_FACTS = (
    "sku", "size_gb", "location", "zones", "os_type", "hyper_v_generation", "caching",
    "write_accelerator", "sector_size", "encryption", "security_profile", "tags",
)  # fmt: skip
_LISTS, _DICTS = ("zones",), ("encryption", "security_profile", "tags")
_ID_TIME = "%Y%m%dt%H%M%Sz"


def disk_shape(**known: Any) -> dict[str, Any]:
    """A disk of a backup; every key is always there.

    Args:
        known: values by their keys, ``bytes`` by those of BYTES, and the disk's ``facts``.
    """
    stats, told = known.pop("bytes", {}), known.pop("facts", {})
    empty: dict[str, Any] = {key: [] for key in _LISTS} | {key: {} for key in _DICTS}
    return {
        **known,
        **{key: told.get(key, empty.get(key)) for key in _FACTS},
        "bytes": {key: stats.get(key, 0) for key in BYTES},
    }


def disk(image: DiskImage) -> dict[str, Any]:
    """A disk as it was backed up."""
    return disk_shape(
        name=image.name,
        role=image.role,
        lun=image.lun,
        size_bytes=image.size,
        level=image.level,
        requested_level=image.asked,
        fallback=image.fallback,
        base_backup=image.base,
        full_backup=image.full,
        source_disk_id=image.source_id,
        unique_id=image.unique_id,
        snapshot_id=image.source,
        seconds=image.stats.get("seconds"),
        bytes=image.stats,
        facts=image.facts,
    )


def included(shaped: dict[str, Any]) -> dict[str, Any]:
    """A disk of a backup as ``included_disks`` names it."""
    keys = ("name", "lun", "role", "size_gb", "sku", "caching", "write_accelerator")
    return {"id": shaped["source_disk_id"], **{key: shaped[key] for key in keys}}


def excluded(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The disks that were left out, with the reason as a word and as a sentence."""
    sentence = "It was left out on request."
    return [
        {key: one.get(key) for key in ("id", "name", "reason")}
        | {"message": one.get("message") or sentence}
        for one in entries
    ]


def level_of(levels: Iterable[str]) -> str:
    """The level of a backup: that of its disks, ``mixed`` where they differ."""
    found = set(levels)
    return found.pop() if len(found) == 1 else "mixed"


# -- choosing backups


@dataclass
class Found:
    """Backups that were looked for.

    Args:
        names: the manifests' names, oldest first, also of those that cannot be read.
        backups: those that can be read, oldest first.
        damaged: id and problem of those that cannot; ``damaged_names``: their manifests' names.
    """

    names: list[str] = field(default_factory=list)
    backups: list[Manifest] = field(default_factory=list)
    damaged: list[dict[str, str]] = field(default_factory=list)
    damaged_names: list[str] = field(default_factory=list)


def find(
    repository: Repository,
    *,
    vm: str | None = None,
    group: str | None = None,
    backup: str | None = None,
    after: datetime | None = None,
    before: datetime | None = None,
) -> Found:
    """The backups of a machine, or of all, or one by its id, begun in a span of time.

    One that cannot be read is among them unless it is known to be another machine's.

    Args:
        vm: name or id.
        after: the first moment that counts; ``before``: the first that does not count any more.

    Raises:
        BackupNotFound: there is no backup of this id.
        StorageError: the storage does not answer.
    """
    if backup is not None:
        wanted = manifest.located(repository, backup)
    else:
        key = manifest.vm_key(repository, vm) if vm and "/" in vm else None
        listed = manifest.listed(repository, key)
        wanted = [name for name in listed if _in_time(name, after, before)]
    return _chosen(repository, wanted, vm, group)


def _in_time(name: str, after: datetime | None, before: datetime | None) -> bool:
    begun = time_of(name)
    if begun is None:
        return True
    return (after is None or begun >= after) and (before is None or begun < before)


def time_of(name: str) -> datetime | None:
    """When a backup was begun, by its id or the name of its manifest; None where it says no time."""
    stamp = name.rpartition("/")[2].partition("-")[0]
    try:
        return datetime.strptime(stamp, _ID_TIME).replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def _chosen(repository: Repository, wanted: list[str], vm: str | None, group: str | None) -> Found:
    found = Found()
    of: dict[str, bool] = {}
    damaged: list[tuple[str, str]] = []
    for name, read in manifest.read_all(repository, wanted):
        key = name.split("/")[1]
        if isinstance(read, Manifest):
            of[key] = _is_meant(read, vm, group)
            if of[key]:
                found.names.append(name)
                found.backups.append(read)
        elif isinstance(read, RepositoryError):
            damaged.append((name, read.message))
        elif isinstance(read, VmguardError) and not isinstance(read, ObjectNotFound):
            raise read
    for name, problem in damaged:
        if of.get(name.split("/")[1], True):
            found.names.append(name)
            found.damaged_names.append(name)
            found.damaged.append({"id": name.rpartition("/")[2], "problem": problem})
    return found


def _is_meant(backup: Manifest, vm: str | None, group: str | None) -> bool:
    told = backup.vm
    if group and str(told.get("resource_group", "")).lower() != group.lower():
        return False
    if vm is None:
        return True
    known = told.get("id") if "/" in vm else told.get("name")
    return str(known).lower().rstrip("/") == vm.lower().rstrip("/")


def no_backup_of(repository: Repository, vm: str | None, group: str | None) -> BackupNotFound:
    """The error where a machine that was named has no backup."""
    where = f" in resource group {group}" if group else ""
    what = f"of {vm}" if vm else "of a virtual machine"
    return BackupNotFound(
        f"There is no backup {what}{where} in {repository.store.description}.",
        hint="backup_info lists the backups of a repository.",
    )


# -- the repository


def totals(repository: Repository) -> dict[str, int]:
    """How many objects a repository has, and of how many bytes; without what is not its own."""
    counted = dict.fromkeys(("objects", "bytes", "packs", "pack_bytes", "chunk_index_bytes"), 0)
    for one in repository.store.list():
        if one.name != names.CONFIG and not one.name.startswith(names.FOLDERS):
            continue
        counted["objects"] += 1
        counted["bytes"] += one.size
        if one.name.startswith(names.PACKS):
            counted["packs"] += 1
            counted["pack_bytes"] += one.size
        elif one.name.startswith(names.SEGMENTS):
            counted["chunk_index_bytes"] += one.size
    return counted


def contents(repository: Repository, now: datetime) -> dict[str, Any]:
    """Totals, machines, leases, and what of the manifests and leases cannot be read.

    Raises:
        StorageError: the storage does not answer.
    """
    found = find(repository)
    leases, damaged = _leases(repository, now)
    damaged += [
        {"object": name, "problem": one["problem"]}
        for name, one in zip(found.damaged_names, found.damaged, strict=True)
    ]
    vms = _vms(found.backups)
    count = len(found.backups) + len(found.damaged)
    return {
        "totals": {**totals(repository), "backups": count, "vms": len(vms)},
        "vms": vms,
        "leases": leases,
        "damaged": damaged,
    }


def _vms(backups: list[Manifest]) -> list[dict[str, Any]]:
    by_id: dict[str, list[Manifest]] = {}
    for one in backups:
        by_id.setdefault(str(one.vm["id"]).lower(), []).append(one)
    shaped = [
        {
            "name": held[-1].vm.get("name"),
            "id": held[-1].vm["id"],
            "resource_group": held[-1].vm.get("resource_group"),
            "backups": len(held),
            "first": held[0].started,
            "last": held[-1].started,
        }
        for held in by_id.values()
    ]
    return sorted(shaped, key=lambda vm: (str(vm["name"]), str(vm["id"])))


def _leases(
    repository: Repository, now: datetime
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """The leases that were not released, and those that cannot be read."""
    found, damaged = [], []
    for scope in scopes(repository):
        try:
            state = read_state(repository, scope)
        except DamagedObject as error:
            damaged.append({"object": error.name, "problem": error.message})
            continue
        if state and not state.released:
            found.append(
                {
                    "subject": state.subject,
                    "run": state.holder.run,
                    "host": state.holder.host,
                    "since": state.since,
                    "until": state.until.astimezone(timezone.utc).isoformat(timespec="seconds"),
                    "live": state.live(now),
                }
            )
    return found, damaged


# -- a verification


def verification(report: Report, quarantined: int = 0) -> dict[str, Any]:
    """What was verified, and what is wrong.

    Args:
        quarantined: packs that were put into quarantine afterwards.
    """
    return {
        "sound": report.sound,
        "verified_backups": report.verified_backups,
        "damaged_backups": report.backups,
        "recovered_backups": report.recovered,
        "damaged_objects": [
            {"object": name, "problem": problem, "quarantined": name in report.quarantined}
            for name, problem in report.objects.items()
        ],
        "quarantined_packs": quarantined,
        "packs": report.packs,
        "packs_read": report.packs_read,
        "bytes_read": report.bytes_read,
        "chunks": report.chunks,
    }


def damage_found(repository: Repository, report: Report, quarantined: int = 0) -> DamageFound:
    """The error that names what is damaged. Args: as for ``verification``."""
    where = repository.store.description
    if report.backups:
        which = "; ".join(_named(one) for one in report.backups)
        text = f"{len(report.backups)} backup(s) in {where} cannot be restored whole: {which}."
    else:
        new = [one for one in report.objects if one not in report.quarantined]
        text = (
            f"{len(new)} object(s) in {where} are damaged ({', '.join(new)}); the backups that were"
            " verified restore without them."
        )
    hint = "Backups that are not named were found whole, as far as they were read."
    if not quarantined:
        hint += (
            " backup_verify with read_data: all and quarantine: true makes the next backups store"
            " anew what is damaged."
        )
    return DamageFound(text, verification(report, quarantined), hint=hint)


def _named(one: dict[str, Any]) -> str:
    disks = f", {', '.join(one['disks'])}" if one["disks"] else ""
    return f"{one['id']} ({one['vm'] or 'unknown machine'}{disks})"
