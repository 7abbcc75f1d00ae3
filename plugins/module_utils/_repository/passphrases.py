# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the passphrase of a repository.

The one way in which a repository can be lost at once is to delete the keys that open it. So:

- Only who has the repository's lease for keys changes them.
- The new key is written, read back and opened with the new passphrase before any other goes.
- Of the others, those go that the old passphrase opened, by name, and while the new one is there.
- A key that neither passphrase opens is somebody's: it stays, and is named.

So even two that believe to have the lease delete no key but that of the old passphrase. What a
change leaves that was killed, a key for each of both, is what the next run of the task finishes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .._errors import InputError, ObjectNotFound, StorageDenied, VmguardError
from .._storage.interface import Store
from . import keyring, keys
from .codec import parse_json
from .errors import LeaseHeld, RepositoryError, WrongPassphrase
from .keyring import KEY_LIMIT
from .lease import KEYS_SCOPE, TIME_TO_LIVE, Clock, Lease
from .repository import Repository, Settings, codec_of

Write = Callable[..., Any]
# Seconds to wait for another change: as long as one may need that was killed elsewhere.
_PATIENCE = TIME_TO_LIVE + 30


@dataclass(frozen=True)
class _Found:
    """The keys by who opens them.

    Args:
        new, old: names by passphrase; a key that both open counts as new.
        others: names of those that neither opens, damaged ones among them.
        master: the master key, None where neither passphrase opens any.
    """

    new: list[str]
    old: list[str]
    others: list[str]
    master: bytes | None


@dataclass(frozen=True)
class _Done:
    """Names of the old keys that could not be deleted, and of those that neither passphrase opens."""

    left: list[str]
    others: list[str]


class _NothingDone(Exception):
    """Nothing was to be done any more, or nothing may be done: the task has changed nothing."""

    def __init__(self, done: _Done) -> None:
        super().__init__()
        self.done = done


def change(
    store: Store, settings: Settings, old: str | None, new: str, clock: Clock, write: Write
) -> list[str]:
    """Let ``new`` open the repository in place of ``old``; what is to be told, as sentences.

    Args:
        write: runs what changes something, or, in check mode, returns its second argument.

    Raises:
        InputError: the repository has no passphrase, or the old one is not given and is needed.
        WrongPassphrase: neither opens it.
        LeaseHeld: somebody else is changing its keys.
        RepositoryError: another change came first; neither opens it now.
        LeaseLost, StorageError: it was broken off; the old passphrase opens as before, or the new
            one does.
    """
    if not settings.encrypted:
        raise InputError(
            "The repository is not encrypted, so it has no passphrase to change.",
            hint="Create an encrypted repository in another place and back up into it.",
        )
    found = _look(store, settings, old, new)
    if found.master is None and not old:
        raise InputError(
            f"The repository in {store.description} is encrypted: give its passphrase."
        )
    master = found.master or keyring.unlock(store, settings, old or "").master
    if found.new and not found.old:
        return _told(_Done([], found.others))
    repository = Repository(store, settings, codec_of(master))

    def act() -> _Done:
        with _leased(repository, clock) as lease:
            return _change(repository, master, old, new, lease)

    try:
        done = write(act, _Done([], found.others))
    except _NothingDone as nothing:
        done = nothing.done
    return _told(done)


def _look(store: Store, settings: Settings, old: str | None, new: str) -> _Found:
    held = keyring.read_settled(store, settings)
    by_new = held.opened_by(new, settings)
    by_old = held.opened_by(old, settings) if old and old != new else {}
    names = [key.name for key in held.found]
    opened = {**by_old, **by_new}
    return _Found(
        new=list(by_new),
        old=[name for name in by_old if name not in by_new],
        others=[name for name in names if name not in opened]
        + [error.resource for error in held.damaged if error.resource],
        master=next(iter(opened.values()), None),
    )


@contextmanager
def _leased(repository: Repository, clock: Clock) -> Iterator[Lease]:
    """The lease for keys, taken as soon as whoever has it is finished, within _PATIENCE."""
    run = f"passphrase-{os.urandom(4).hex()}"
    end = clock.monotonic() + _PATIENCE
    while True:
        lease = Lease(repository, KEYS_SCOPE, "a change of the passphrase", run, clock)
        try:
            lease.acquire()
            break
        except LeaseHeld:
            if clock.monotonic() >= end:
                raise
            # Two that gave way to each other must not meet again.
            clock.sleep(random.uniform(0.1, 0.5))  # noqa: S311 - no secret
    try:
        yield lease
    finally:
        lease.release()


def _change(
    repository: Repository, master: bytes, old: str | None, new: str, lease: Lease
) -> _Done:
    """With the lease: write the new key, and delete the old ones."""
    store, settings = repository.store, repository.settings
    found = _look(store, settings, old, new)
    if found.master is None:
        raise RepositoryError(
            f"Another run changed the passphrase of the repository in {store.description} meanwhile:"
            " neither repository.passphrase nor new_passphrase opens it.",
            code="PassphraseChanged",
            hint="Give the passphrase that the other run set.",
        )
    if found.new and not found.old:
        raise _NothingDone(_Done([], found.others))  # another run did the same
    written = None if found.new else keyring.write_key(store, settings, master, new)
    try:
        left = _replace(repository, written or found.new[0], found.old, master, new, lease)
    except VmguardError as error:
        if written and error.code != "KeyNotKept":
            error.hint = (
                f"{written} is stored, with which the new passphrase opens the repository as well:"
                f" run the task again to finish the change, or delete it. {error.hint or ''}".strip()
            )
        raise
    if left and not written and len(left) == len(found.old):
        raise _NothingDone(_Done(left, found.others))
    known = {*found.new, *found.old, written}
    names = [key.name for key in keyring.read_keys(store, settings).found]
    return _Done(left, [name for name in names if name not in known])


def _replace(
    repository: Repository, new_key: str, old_keys: list[str], master: bytes, new: str, lease: Lease
) -> list[str]:
    """Delete the old keys, while the new one opens. Returns those that may not be deleted."""
    store = repository.store
    proved = _prove(repository, new_key, master, new)
    left = []
    for name in old_keys:
        lease.check()
        try:
            store.delete(name)
        except StorageDenied:
            left.append(name)
        _keep(repository, new_key, proved, master, new)
    return left


def _prove(repository: Repository, name: str, master: bytes, new: str) -> bytes:
    """Open a key that is stored; its bytes.

    Raises:
        RepositoryError: it does not open the repository; no other key was deleted.
    """
    text = repository.store.get(name, KEY_LIMIT)
    try:
        key = keys.parse(name, parse_json(name, text))
        if keys.unwrap(key, new, repository.settings.canonical()) == master:
            return text
    except WrongPassphrase:
        pass
    raise RepositoryError(
        f"The key {name} for the new passphrase does not open the repository, so that no other key"
        " was deleted.",
        code="KeyNotKept",
    )


def _keep(repository: Repository, name: str, proved: bytes, master: bytes, new: str) -> None:
    """Look again after a deletion, while this process still knows the master key.

    Raises:
        RepositoryError: somebody took the new key away. If no key was left, there is another now.
    """
    store = repository.store
    try:
        if store.get(name, KEY_LIMIT) == proved:
            return
    except ObjectNotFound:
        pass
    again = ""
    if not keyring.read_keys(store, repository.settings).found:
        written = keyring.write_key(store, repository.settings, master, new)
        again = f", and no other was left. {written} was written for it"
    raise RepositoryError(
        f"Somebody took away the key {name} for the new passphrase{again}.",
        code="KeyNotKept",
        hint="Find out who deletes keys, and open the repository with the new passphrase to see"
        " whether it does.",
    )


def _told(done: _Done) -> list[str]:
    told = []
    if done.left:
        which = ", ".join(done.left)
        told.append(
            f"The old passphrase still opens the repository, because {which} cannot be deleted."
        )
    if done.others:
        which = ", ".join(done.others)
        told.append(
            f"Neither passphrase opens {which}; another one may. If nobody of yours made it, delete it."
        )
    return told
