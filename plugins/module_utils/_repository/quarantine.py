# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs that were found damaged, and the backups that need them: what nothing new may refer to.

A verification writes it. A backup that comes upon a chunk in such a pack stores the chunk anew, and
takes no backup as a base that is named here. What is damaged stays where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from .._errors import ObjectExists, ObjectNotFound
from . import names
from .errors import DamagedObject
from .packs import PACK_ID_SIZE
from .repository import Repository

LIMIT = 16 << 20
# Packs that one object names at most: 36 bytes each.
_PACKS_EACH = 100_000


@dataclass
class Quarantine:
    """All that the repository has in quarantine.

    Args:
        packs: ids of packs that are damaged somewhere.
        backups: the roles of the disks that are damaged, by the ids of their backups.
        warnings: objects that could not be read.
    """

    packs: set[bytes] = field(default_factory=set)
    backups: dict[str, set[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def names_disk(self, backup_id: str, role: str) -> bool:
        """Whether a disk of a backup was found damaged."""
        return role in self.backups.get(backup_id, ())

    def lacks(
        self, packs: Iterable[bytes], backups: Mapping[str, Iterable[str]]
    ) -> tuple[list[bytes], dict[str, list[str]]]:
        """What of these is not in it yet, sorted."""
        new = {
            one: more
            for one, roles in sorted(backups.items())
            if (more := sorted(set(roles) - self.backups.get(one, set())))
        }
        return sorted(set(packs) - self.packs), new


def load(repository: Repository) -> Quarantine:
    """What is in quarantine; objects that are damaged are passed over, with a warning.

    Raises:
        StorageError: the storage does not answer.
    """
    found = Quarantine()
    for one in repository.store.list(names.QUARANTINE):
        try:
            packs, backups = read(repository, one.name)
        except ObjectNotFound:
            continue
        except DamagedObject as error:
            found.warnings.append(str(error))
            continue
        found.packs |= packs
        for backup_id, roles in backups.items():
            found.backups.setdefault(backup_id, set()).update(roles)
    return found


def read(repository: Repository, name: str) -> tuple[set[bytes], dict[str, set[str]]]:
    """The packs and backups that one object names.

    Raises:
        DamagedObject: it is not what was stored.
        ObjectNotFound, StorageError: it cannot be read.
    """
    body = repository.read(name, LIMIT)
    try:
        packs = {bytes.fromhex(one) for one in body["packs"]}
        backups = {_text(one): set(map(_text, roles)) for one, roles in body["backups"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedObject(name, "it names no packs and backups") from error
    if not all(len(one) == PACK_ID_SIZE for one in packs):
        raise DamagedObject(name, "it names packs that cannot be")
    return packs, backups


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def add(
    repository: Repository, packs: Iterable[bytes], backups: Mapping[str, Iterable[str]]
) -> list[str]:
    """Put packs and backups into quarantine, what is there already not again.

    The name of an object comes from what it holds, so that two verifications that find the same
    write one object, and one that was killed is done again.

    Returns:
        The names of the objects that hold them.

    Raises:
        StorageError: it cannot be written, and nothing of it may be there.
        DamagedObject: an object of that name is there and says something else.
    """
    new, damaged = load(repository).lacks(packs, backups)
    written = []
    rest = iter(new)
    while (some := list(islice(rest, _PACKS_EACH))) or damaged:
        body = {"packs": [one.hex() for one in some], "backups": damaged}
        written.append(_put(repository, body))
        damaged = {}
    return written


def _put(repository: Repository, body: dict[str, Any]) -> str:
    parts = [*body["packs"], *(f"{one} {' '.join(of)}" for one, of in body["backups"].items())]
    name = f"{names.QUARANTINE}{repository.codec.key_of(chr(10).join(parts))}"
    try:
        repository.write(name, body)
    except ObjectExists:
        if repository.read(name, LIMIT) != body:
            raise DamagedObject(name, "it says something else than its name") from None
    return name
