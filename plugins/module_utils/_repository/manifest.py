# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests: what a backup is. Written last, and the only commit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._errors import InputError, ObjectNotFound, StorageUnavailable, VmguardError
from . import names
from .codec import is_whole
from .errors import BackupNotFound, DamagedObject, RepositoryError
from .repository import Repository
from .tree import FANOUT, MOST_DISK_SIZE, Entries, chunk_count, decode, encode
from .workers import in_order

FORMAT = "vmguard-backup"
VERSION = 1
LIMIT = 16 << 20
_MOST_DISKS = 256
_READERS = 8


@dataclass
class DiskImage:
    """One disk of a backup.

    Args:
        role: ``os``, or ``lun0`` and so on.
        size: bytes.
        unique_id: Azure's id of the disk's life; a disk made again has another.
        level: full, incremental or differential, as done; ``asked`` as asked for.
        fallback: why it became a full; None otherwise.
        base: the id of the backup that changes were read since.
        full: the id of the disk's last full backup, its own for a full.
        source: the id of the snapshot or disk restore point that was read.
        facts: what is needed to make the disk again (SKU, caching and the like).
        stats: bytes: allocated, changed, read, new, stored; seconds.
    """

    role: str
    name: str
    lun: int | None
    size: int
    unique_id: str
    source_id: str
    source: str
    level: str
    asked: str
    fallback: str | None
    base: str | None
    full: str
    roots: Entries
    facts: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        plain = {key: value for key, value in vars(self).items() if key != "roots"}
        return {**plain, "index": encode(self.roots)}


@dataclass
class Manifest:
    """A backup of a virtual machine.

    Args:
        vm: id, name, resource group, subscription, location and vm_id of the machine.
        source: kind (snapshot or restore_point), consistency achieved and asked for.
        configuration: the machine, its disks and network interfaces as Azure described them.
    """

    id: str
    vm: dict[str, Any]
    started: str
    finished: str
    source: dict[str, Any]
    configuration: dict[str, Any]
    disks: list[DiskImage]
    excluded_disks: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    made_by: str = ""

    def body(self, chunk_size: int) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            **vars(self),
            "chunk_size": chunk_size,
            "disks": [disk.body() for disk in self.disks],
        }

    def disk(self, unique_id: str) -> DiskImage | None:
        return next((disk for disk in self.disks if disk.unique_id == unique_id), None)


def vm_key(repository: Repository, vm_id: str) -> str:
    """The name under which the backups of a machine lie: a keyed hash of its resource id."""
    return repository.codec.key_of(vm_id.rstrip("/").lower())


def write(repository: Repository, manifest: Manifest) -> None:
    """Commit a backup.

    Where the answer was lost, what is stored tells whether it is committed.

    Raises:
        StorageError: it is not committed; or that cannot be told, and the hint says so.
    """
    name = names.manifest(vm_key(repository, manifest.vm["id"]), manifest.id)
    sealed = repository.seal(name, manifest.body(repository.chunk_size))
    try:
        repository.store.put(name, sealed)
    except StorageUnavailable as error:
        try:
            committed = repository.store.get(name, len(sealed)) == sealed
        except ObjectNotFound:
            committed = False
        except VmguardError:
            committed = False
            error.hint = (
                f"Whether the backup {manifest.id} is committed cannot be told: backup_info shows it"
                f" if it is. {error.hint or ''}".strip()
            )
        if not committed:
            raise


def parse(repository: Repository, name: str, body: Any) -> Manifest:
    """A manifest from what is stored.

    Raises:
        DamagedObject, RepositoryError: it is none, newer, or claims what cannot be.
    """
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise DamagedObject(name, "it is no backup")
    if names.moment(name.rpartition("/")[2]) is None:
        raise DamagedObject(name, "its name is not the time of a backup")
    if is_whole(body.get("version")) and body["version"] > VERSION:
        raise RepositoryError(
            f"The backup {name} has format {body['version']}, and this release reads up to {VERSION}.",
            code="NewerFormat",
            hint="Update the collection vmguard.azure.",
        )
    try:
        _check_kinds(name, "the backup", body, {**_KEYS, "version": (int,), "disks": (list,)})
        key, backup_id = names.manifest_parts(name) or ("", "")
        sound = body["id"] == backup_id and body["chunk_size"] == repository.chunk_size
        sound = sound and body["version"] == VERSION
        if not sound or vm_key(repository, body["vm"]["id"]) != key:
            raise DamagedObject(name, "it is not the backup that its name says")
        _check_parts(name, body)
        disks = [_disk(name, disk, repository.chunk_size) for disk in body["disks"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedObject(name, "parts of it are missing") from error
    if not 0 < len({disk.role for disk in disks}) == len(disks):
        raise DamagedObject(name, "its disks are none, or not distinct")
    return Manifest(**{key: body[key] for key in _KEYS}, disks=disks)


_TEXT, _OPTIONAL = (str,), (str, type(None))
_KEYS: dict[str, tuple[type, ...]] = {
    "id": _TEXT, "vm": (dict,), "started": _TEXT, "finished": _TEXT, "source": (dict,),
    "configuration": (dict,), "excluded_disks": (list,), "warnings": (list,), "made_by": _TEXT,
}  # fmt: skip
_DISK_KEYS: dict[str, tuple[type, ...]] = {
    "role": _TEXT, "name": _TEXT, "lun": (int, type(None)), "size": (int,), "unique_id": _TEXT,
    "source_id": _TEXT, "source": _TEXT, "level": _TEXT, "asked": _TEXT, "fallback": _OPTIONAL,
    "base": _OPTIONAL, "full": _TEXT, "facts": (dict,), "stats": (dict,),
}  # fmt: skip
_SOURCE_KEYS: dict[str, tuple[type, ...]] = {
    "kind": _OPTIONAL, "restore_point": _OPTIONAL, "consistency": _OPTIONAL,
    "requested_consistency": _OPTIONAL, "same_moment": (bool, type(None)),
}  # fmt: skip
_ROLE = re.compile(r"os|lun[0-9]{1,3}")


def _check_kinds(
    where: str, what: str, body: dict[str, Any], kinds: dict[str, tuple[type, ...]]
) -> None:
    """Exact kinds: ``true`` is no number here."""
    for key, kind in kinds.items():
        if type(body[key]) not in kind:
            raise DamagedObject(where, f"{key} of {what} is not what it should be")


def _check_parts(where: str, body: dict[str, Any]) -> None:
    """What is used without another look: names, times, lists."""
    vm = body["vm"]
    times = [datetime.fromisoformat(body[key]) for key in ("started", "finished")]
    sound = (
        isinstance(vm["name"], str)
        and all(isinstance(value, _OPTIONAL) for value in vm.values())
        and all(time.tzinfo is not None for time in times)
        and all(isinstance(one, str) for one in body["warnings"])
        and _is_source(body["source"])
        and all(isinstance(one, dict) for one in body["excluded_disks"])
        and len(body["disks"]) <= _MOST_DISKS
    )
    if not sound:
        raise DamagedObject(where, "parts of it are not what they should be")


def _is_source(body: dict[str, Any]) -> bool:
    indications = body.get("indications") or []
    return (
        all(type(body.get(key)) in kinds for key, kinds in _SOURCE_KEYS.items())
        and isinstance(indications, list)
        and all(isinstance(one, str) for one in indications)
    )


def _disk(where: str, body: Any, chunk_size: int) -> DiskImage:
    _check_kinds(where, "a disk", body, _DISK_KEYS)
    if not _ROLE.fullmatch(body["role"]):
        raise DamagedObject(where, "role of a disk is not what it should be")
    size = body["size"]
    if not 0 < size <= MOST_DISK_SIZE or size % 512:
        raise DamagedObject(where, f"it claims a disk of {size} bytes")
    most = chunk_count(chunk_count(size, chunk_size), FANOUT * FANOUT)
    roots = decode(body["index"], where, most)
    return DiskImage(**{key: body[key] for key in _DISK_KEYS}, roots=roots)


def read(repository: Repository, name: str) -> Manifest:
    """A manifest by the name of its object.

    Raises:
        ObjectNotFound, DamagedObject, RepositoryError, StorageError: it cannot be read.
    """
    return parse(repository, name, repository.read(name, LIMIT))


def listed(repository: Repository, key: str | None = None) -> list[str]:
    """The names of the manifests, of one machine or of all, oldest first.

    Whoever may write to the storage can put in names that are no times, or of the far future: only
    reading a manifest tells that it is one.
    """
    prefix = f"{names.MANIFESTS}{key}/" if key else names.MANIFESTS
    found = [one.name for one in repository.store.list(prefix) if names.manifest_parts(one.name)]
    return sorted(found, key=lambda name: name.rpartition("/")[2])


def read_all(
    repository: Repository, found: list[str]
) -> Iterator[tuple[str, Manifest | VmguardError]]:
    """Manifests by name, or why they cannot be read; in the order given."""

    def one(name: str) -> Manifest | VmguardError:
        try:
            return read(repository, name)
        except VmguardError as error:
            return error

    with ThreadPoolExecutor(_READERS) as pool:
        yield from zip(found, in_order(pool, 2 * _READERS, one, found), strict=True)


def find(repository: Repository, backup_id: str) -> Manifest:
    """A backup by its id.

    Raises:
        BackupNotFound: there is none.
    """
    try:
        return read(repository, locate(repository, backup_id))
    except ObjectNotFound as error:
        raise _no_backup(repository, backup_id) from error


def locate(repository: Repository, backup_id: str) -> str:
    """The name of a backup's manifest.

    Raises:
        BackupNotFound: there is none.
        InputError: several machines have a backup of this id.
    """
    found = located(repository, backup_id)
    if len(found) == 1:
        return found[0]
    read = [one for _name, one in read_all(repository, found)]
    if not any(isinstance(one, Manifest) for one in read):
        return found[0]
    vms = ", ".join(sorted(one.vm["id"] for one in read if isinstance(one, Manifest)))
    raise InputError(
        f"Backups of several machines have the id {backup_id}: {vms}.",
        hint="Name the machine and the time of the backup instead of its id.",
    )


def located(repository: Repository, backup_id: str) -> list[str]:
    """The names of the manifests of this id: those that are what their names say, if any is.

    Whoever may write to the storage can put an object of a backup's id under another machine.

    Raises:
        BackupNotFound: there is none.
        StorageError: the storage does not answer.
    """
    backup_id = names.check_backup_id(backup_id)
    found = [name for name in listed(repository) if name.endswith(f"/{backup_id}")]
    if not found:
        raise _no_backup(repository, backup_id)
    if len(found) == 1:
        return found
    genuine = []
    for name, one in read_all(repository, found):
        if isinstance(one, (DamagedObject, ObjectNotFound)):
            continue
        if isinstance(one, VmguardError) and not isinstance(one, RepositoryError):
            raise one
        genuine.append(name)
    return genuine or found


def _no_backup(repository: Repository, backup_id: str) -> BackupNotFound:
    return BackupNotFound(
        f"There is no backup {backup_id} in {repository.store.description}.",
        resource=backup_id,
        hint="backup_info lists the backups of a repository.",
    )
