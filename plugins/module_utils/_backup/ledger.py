# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup has in Azure while it runs, written down before it is made, without signatures.

Whoever holds the machine's lease next reads what a run that was killed has left, and clears it away.
"""

from __future__ import annotations

from typing import Any

from .._errors import StorageDenied
from .._repository import names
from .._repository.errors import DamagedObject
from .._repository.repository import Repository

_LIMIT = 4 << 20
_CLOSED = "closed"


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
            kind: ``made`` (to be deleted if the backup is not committed) or ``opened``.
        """
        name = f"{self._stem}.{len(self._written) + 1}"
        self._repository.write(name, {"kind": kind, "resources": resource_ids})
        self._written.append(name)
        (self.made if kind == "made" else self.opened).extend(resource_ids)

    def close(self) -> None:
        """Say that nothing is left. Where nothing may be deleted, a closing object says so."""
        try:
            for name in self._written:
                self._repository.store.delete(name)
        except StorageDenied:
            self._repository.write(f"{self._stem}.{_CLOSED}", {})


def left_open(repository: Repository, key: str) -> dict[str, list[tuple[str, Any]]]:
    """The ledgers that were not closed, by run: names of the objects and what is in them."""
    found: dict[str, list[str]] = {}
    for one in repository.store.list(f"{names.LEDGERS}{key}/"):
        run, _dot, part = one.name.rpartition("/")[2].partition(".")
        found.setdefault(run, []).append(one.name)
        if part == _CLOSED:
            found[run].insert(0, "")
    opened: dict[str, list[tuple[str, Any]]] = {}
    for run, parts in found.items():
        if "" not in parts:
            opened[run] = [(name, _read(repository, name)) for name in parts]
    return opened


def _read(repository: Repository, name: str) -> Any:
    try:
        return repository.read(name, _LIMIT)
    except DamagedObject:
        return {}
