# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup has in Azure while it runs, written down before it is made, without signatures.

Whoever holds the machine's lease next reads what a run that was killed has left, and clears it away.
"""

from __future__ import annotations

from typing import NamedTuple

from .._errors import ObjectNotFound, StorageDenied, StorageError
from .._repository import names
from .._repository.errors import DamagedObject
from .._repository.repository import Repository

MADE, OPENED = "made", "opened"
_LIMIT = 4 << 20
_CLOSED = "closed"


class Entry(NamedTuple):
    """One object of a ledger.

    Args:
        name: of the object.
        kind: ``MADE`` or ``OPENED``.
        problem: why it cannot be read, as a sentence; None when it was read.
    """

    name: str
    kind: str
    resources: list[str]
    problem: str | None = None


class Ledger:
    """The ledger of one run.

    Args:
        key: of the machine.
        run: the id of the backup.
        written: the objects of a run that is dead.
    """

    def __init__(
        self, repository: Repository, key: str, run: str, written: list[str] | None = None
    ) -> None:
        self._repository = repository
        self._stem = f"{names.LEDGERS}{key}/{run}"
        self._written = written or []
        self.made: list[str] = []
        self.opened: list[str] = []

    def note(self, kind: str, resource_ids: list[str]) -> None:
        """Write resources down before they are made or opened.

        Args:
            kind: ``MADE`` (to be deleted if the backup is not committed) or ``OPENED``.

        Raises:
            StorageError: it is not known to be written; nothing may be made or opened then.
        """
        name = f"{self._stem}.{len(self._written) + 1}"
        # It counts as written before the answer comes: one that was lost says nothing.
        self._written.append(name)
        self._repository.write(name, {"kind": kind, "resources": resource_ids})
        (self.made if kind == MADE else self.opened).extend(resource_ids)

    def close(self) -> list[str]:
        """Say that nothing is left. Where nothing may be deleted, a closing object says so.

        Returns:
            A sentence if that failed: the next run looks once more for what was left.
        """
        try:
            try:
                for name in self._written:
                    self._repository.store.delete(name)
            except StorageDenied:
                self._repository.write(f"{self._stem}.{_CLOSED}", {})
        except StorageError as error:
            return [f"The ledger {self._stem} could not be closed: {error.message}"]
        return []


def left_open(repository: Repository, key: str) -> dict[str, list[Entry]]:
    """The ledgers that were not closed, by run."""
    found: dict[str, list[str]] = {}
    closed = set()
    for one in repository.store.list(f"{names.LEDGERS}{key}/"):
        run, _dot, part = one.name.rpartition("/")[2].partition(".")
        found.setdefault(run, []).append(one.name)
        if part == _CLOSED:
            closed.add(run)
    return {
        run: [entry for name in parts if (entry := _read(repository, name))]
        for run, parts in found.items()
        if run not in closed
    }


def _read(repository: Repository, name: str) -> Entry | None:
    """What an object holds; None when it is gone meanwhile."""
    try:
        body = repository.read(name, _LIMIT)
    except ObjectNotFound:
        return None
    except DamagedObject as error:
        return Entry(name, "", [], error.message)
    resources = body.get("resources") if isinstance(body, dict) else None
    if (
        not isinstance(resources, list)
        or not all(isinstance(one, str) for one in resources)
        or body.get("kind") not in (MADE, OPENED)
    ):
        return Entry(name, "", [], "It is not what a ledger should be.")
    return Entry(name, body["kind"], resources)
