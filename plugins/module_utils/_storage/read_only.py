# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that refuses every write: what check mode, and whoever only looks, is given."""

from __future__ import annotations

from collections.abc import Iterator

from .._errors import WriteRefused
from .interface import Store, StoredObject, check_object_name


class ReadOnlyStore(Store):
    """Reads go to the store within; writes raise WriteRefused and reach nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.description = store.description
        self.request_cost = store.request_cost

    def _refused(self, what: str) -> WriteRefused:
        return WriteRefused(f"Check mode: {what} the {self.description} was not done.")

    def exists(self) -> bool:
        return self._store.exists()

    def prepare(self) -> None:
        raise self._refused("creating")

    def put(self, name: str, data: bytes | memoryview) -> None:  # noqa: ARG002 - the interface's
        check_object_name(name)
        raise self._refused(f"writing object {name} to")

    def get(self, name: str, limit: int) -> bytes:
        return self._store.get(name, limit)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        return self._store.get_range(name, offset, length)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return self._store.list(prefix)

    def foreign_objects(self) -> Iterator[str]:
        return self._store.foreign_objects()

    def delete(self, name: str) -> None:
        check_object_name(name)
        raise self._refused(f"deleting object {name} from")

    def remove_leftovers(self, *, everything: bool = False) -> int:  # noqa: ARG002 - the interface's
        raise self._refused("removing leftovers from")

    def close(self) -> None:
        self._store.close()
