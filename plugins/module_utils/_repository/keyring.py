# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects in ``keys/``: which of them a passphrase opens, and which belong to no repository."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from .._errors import ObjectNotFound, ObjectTooLarge, StorageUnavailable
from .._storage.interface import Store
from . import keys, names
from .codec import parse_json
from .errors import DamagedObject, RepositoryError, WrongPassphrase

if TYPE_CHECKING:
    from .repository import Settings

# Bytes of a key object.
KEY_LIMIT = 64 << 10
MOST_KEYS = 64
# Of all keys that are tried at one opening together, as keys.work counts: so many of the usual ones.
_MOST_WORK = 64 * keys.USUAL_WORK
# A key that is just being replaced is there in the listing and gone when it is read.
_ATTEMPTS = 5


@dataclass(frozen=True)
class Unlocked:
    """A repository's master key.

    Args:
        name: the key object that opened.
        warnings: what was passed over, as sentences.
    """

    master: bytes
    name: str
    warnings: list[str] = field(default_factory=list)


@dataclass
class KeyObjects:
    """What lies in ``keys/``.

    Args:
        found: what can be tried, the cheapest first: a key that somebody put there must not delay
            the others.
        damaged: what cannot.
        orphans: names of keys that were made for another repository, one whose creation was not
            finished: they open nothing here.
        complete: False where one was deleted between the listing and the reading.
    """

    found: list[keys.WrappedKey] = field(default_factory=list)
    damaged: list[RepositoryError] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    complete: bool = True

    def opened_by(self, passphrase: str, settings: Settings) -> dict[str, bytes]:
        """The master key by the names of the objects that the passphrase opens.

        Those beyond the work that one opening may cost count as not opened.
        """
        opened = {}
        for key in self.affordable():
            try:
                opened[key.name] = keys.unwrap(key, passphrase, settings.canonical())
            except WrongPassphrase:
                continue
        return opened

    def affordable(self) -> list[keys.WrappedKey]:
        """Those that may be tried at one opening."""
        spent, chosen = 0, []
        for key in self.found:
            spent += key.work
            if spent > _MOST_WORK:
                break
            chosen.append(key)
        return chosen


def read_keys(store: Store, settings: Settings) -> KeyObjects:
    """The key objects of a repository; of more than MOST_KEYS, the first by name.

    Raises:
        StorageError: they cannot be listed or read.
    """
    held = KeyObjects()
    for one in list(islice(store.list(names.KEYS), MOST_KEYS)):
        try:
            body = parse_json(one.name, store.get(one.name, KEY_LIMIT))
            key = keys.parse(one.name, body)
        except ObjectNotFound:
            held.complete = False
        except ObjectTooLarge:
            held.damaged.append(DamagedObject(one.name, f"it has more than {KEY_LIMIT} bytes"))
        except DamagedObject as error:
            held.damaged.append(error)
        else:
            if key.repository not in (None, settings.id):
                held.orphans.append(one.name)
            else:
                held.found.append(key)
    held.found.sort(key=lambda key: (key.work, key.name))
    return held


def read_settled(store: Store, settings: Settings) -> KeyObjects:
    """The key objects, read again while somebody replaces them."""
    held = read_keys(store, settings)
    for _attempt in range(_ATTEMPTS):
        if held.complete and held.found:
            break
        held = read_keys(store, settings)
    return held


def unlock(store: Store, settings: Settings, passphrase: str) -> Unlocked:
    """The master key; keys that are damaged are passed over while another one opens.

    Raises:
        WrongPassphrase: no key opens with the passphrase.
        DamagedObject: there is no key that could be tried.
        StorageError: they cannot be read.
    """
    held = read_settled(store, settings)
    for key in held.affordable():
        try:
            master = keys.unwrap(key, passphrase, settings.canonical())
        except WrongPassphrase:
            continue
        return Unlocked(master, key.name, [error.message for error in held.damaged])
    if not held.found:
        raise next(iter(held.damaged), None) or DamagedObject(names.KEYS, "there is no key in it")
    raise wrong_passphrase(held)


def wrong_passphrase(held: KeyObjects) -> WrongPassphrase:
    """The error where no key opens; it names what may be the reason."""
    passed = [error.name for error in held.damaged if isinstance(error, DamagedObject)]
    passed += [key.name for key in held.found[len(held.affordable()) :]]
    hint = "Give the passphrase that the repository was created with, or last changed to."
    if passed:
        hint += (
            f" If it is the right one, its key may be what could not be tried ({', '.join(passed)}):"
            " put back a copy of what is damaged, and remove keys that nobody of yours made."
        )
    return WrongPassphrase("The passphrase is not that of the repository.", hint=hint)


def write_key(store: Store, settings: Settings, master: bytes, passphrase: str) -> str:
    """Store a new key object, and read it back; its name.

    Raises:
        InputError: the passphrase is empty.
        DamagedObject: what can be read is not what was written.
        StorageError: it cannot be written or read.
    """
    body = keys.wrap(master, passphrase, settings.canonical(), settings.id)
    text = json.dumps(body, indent=1).encode()
    name = f"{names.KEYS}{os.urandom(16).hex()}.json"
    try:
        store.put(name, text)
    except StorageUnavailable as error:
        error.hint = (
            f"Whether {name} was written cannot be told; if it was, this passphrase opens the repository"
            f" as well. Run the task again. {error.hint or ''}".strip()
        )
        raise
    if store.get(name, KEY_LIMIT) != text:
        raise DamagedObject(name, "it is not what was written a moment ago")
    return name
