# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that tells of every change, so that a failed task can say whether it changed something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._errors import ObjectExists, StorageDenied
from .interface import Store


class NoticingStore:
    """Everything goes to the store within.

    Args:
        notice: called when an object was written or deleted, or when that is not known.
        passing: beginnings of the names of objects that no task leaves behind, which do not count.
    """

    def __init__(self, store: Store, notice: Callable[[], None], passing: tuple[str, ...]) -> None:
        self._store = store
        self._notice = notice
        self._passing = passing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, name: str, data: bytes | memoryview) -> None:
        self._change(name, lambda: self._store.put(name, data))

    def delete(self, name: str) -> None:
        self._change(name, lambda: self._store.delete(name))

    def _change(self, name: str, act: Callable[[], None]) -> None:
        changed = True
        try:
            act()
        except (ObjectExists, StorageDenied):
            changed = False
            raise
        finally:
            if changed and not name.startswith(self._passing):
                self._notice()
