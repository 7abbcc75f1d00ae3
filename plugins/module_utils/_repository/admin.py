# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates and deletes repositories, and changes their passphrases."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._errors import InputError, ObjectExists, ObjectNotFound, StorageDenied, StorageError
from .._storage.interface import Store, StoredObject
from .._storage.read_only import ReadOnlyStore
from . import keyring, names, passphrases
from .codec import Codec
from .errors import DamagedObject, LeaseHeld, NotARepository, RepositoryError
from .lease import Clock, held, read_state, scopes
from .repository import (
    CHUNK_SIZES,
    DEFAULT_CHUNK_SIZE,
    VERSION,
    Repository,
    Settings,
    occupied,
    read_settings,
)

Write = Callable[..., Any]
_DELETERS = 8
_NAMED = 5


@dataclass
class Change:
    """What was done to a repository, as facts before and after; None where there is none."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None
    warnings: list[str] = field(default_factory=list)


def facts(store: Store, settings: Settings) -> dict[str, Any]:
    """A repository, for people; ``chunk_size`` as its option, and in bytes."""
    size = settings.chunk_size
    return {
        "id": settings.id,
        "location": store.description,
        "created": settings.created,
        "encrypted": settings.encrypted,
        "chunk_size": next((name for name, value in CHUNK_SIZES.items() if value == size), None),
        "chunk_size_bytes": size,
        "format_version": VERSION,
    }


def find_settings(store: Store) -> Settings | None:
    """The settings of the repository there; None where nothing is.

    Raises:
        NotARepository: something else is there.
        DamagedObject, RepositoryError, StorageError: it cannot be read.
    """
    try:
        return read_settings(store)
    except NotARepository:
        if store.exists() and occupied(store):
            return read_settings(store)  # raises again, unless somebody has just created it
        return None


def ensure_present(
    store: Store,
    *,
    passphrase: str | None,
    new_passphrase: str | None,
    chunk_size: str | None,
    clock: Clock,
    write: Write,
) -> Change:
    """Create a repository, or open the one there is and change its passphrase if asked to.

    Args:
        chunk_size: one of CHUNK_SIZES; None takes what there is, or the default.
        write: runs what changes something, or, in check mode, returns its second argument.

    Raises:
        InputError: the options contradict each other or what there is.
        NotARepository, WrongPassphrase, RepositoryError, StorageError: it cannot be opened.
    """
    for option, value in (
        ("repository.passphrase", passphrase),
        ("new_passphrase", new_passphrase),
    ):
        if value == "":
            raise InputError(
                f"{option} is empty.", hint="Leave it out for a repository without encryption."
            )
    settings = find_settings(store)
    if settings is None:
        if new_passphrase is not None:
            raise InputError(
                f"There is no repository in {store.description} whose passphrase could be changed.",
                hint="Create it without new_passphrase.",
            )
        now = clock.now()
        if made := _create(store, passphrase, chunk_size or DEFAULT_CHUNK_SIZE, now, write):
            return made
        settings = read_settings(store)
    if chunk_size is not None and CHUNK_SIZES[chunk_size] != settings.chunk_size:
        raise InputError(
            f"The repository in {store.description} has chunks of {settings.chunk_size} bytes, and"
            f" chunk_size is {chunk_size}: it cannot be changed.",
            hint="Leave chunk_size out, or create a repository in another place.",
        )
    before = facts(store, settings)
    if new_passphrase is not None:
        warnings = passphrases.change(store, settings, passphrase, new_passphrase, clock, write)
        return Change(before, before, warnings)
    repository = Repository.open(store, passphrase)
    if keyring.read_keys(store, settings).orphans:
        write(lambda: clear_orphans(repository))
    return Change(before, before, repository.warnings)


def _create(
    store: Store, passphrase: str | None, chunk_size: str, now: datetime, write: Write
) -> Change | None:
    """A new repository; None where somebody else was quicker."""
    size = CHUNK_SIZES[chunk_size]

    def create() -> Settings:
        made = Repository.create(store, chunk_size=size, passphrase=passphrase, now=now)
        clear_orphans(made)
        return made.settings

    foretold = Settings("", "", size, passphrase is not None, None)
    try:
        settings = write(create, foretold)
    except (ObjectExists, ObjectNotFound, NotARepository):
        # Who was quicker wrote the settings, and may have cleared our key away.
        if find_settings(store) is None:
            raise
        return None
    after = facts(store, settings)
    if settings is foretold:
        after |= {"id": None, "created": None}
    return Change(None, after)


def clear_leftovers(repository: Repository) -> None:
    """Clear away what writers left that are dead: unfinished files, and keys that open nothing.

    For whoever writes to the repository next. What cannot be cleared now stays for the one after.
    """
    with contextlib.suppress(StorageError):
        repository.store.remove_leftovers()
        clear_orphans(repository)


def clear_orphans(repository: Repository) -> list[str]:
    """Delete the keys that creations left which were killed, or were not the first; their names.

    Nothing can be opened with them: each says for which repository it was made. Where deleting is
    refused they stay.
    """
    orphans = keyring.read_keys(repository.store, repository.settings).orphans
    try:
        for name in orphans:
            repository.store.delete(name)
    except StorageDenied:
        return []
    return orphans


# -- deleting


def ensure_absent(
    store: Store, *, passphrase: str | None, force: bool, clock: Clock, write: Write
) -> Change:
    """Delete a repository with all its backups; what is not part of it stays.

    Raises:
        InputError: it is there, and ``force`` is not set.
        LeaseHeld: somebody is backing up into it.
        NotARepository: something else is there.
        WrongPassphrase, RepositoryError, StorageError: it cannot be opened or deleted.
    """
    settings = find_settings(store)
    if settings is None:
        return Change(None, None)
    if any(_of_folders(store)):
        _refuse_while_used(Repository.open(store, passphrase), clock)
    backups = _count_backups(store)
    if not force:
        raise InputError(
            f"The repository in {store.description} holds {backups} backup(s), which would be lost.",
            code="ForceNeeded",
            hint="Set force to true to delete it with all of them.",
        )
    foreign = [one.name for one in store.list() if not _is_ours(one.name)]
    foreign += store.foreign_objects()
    write(lambda: _delete(store))
    return Change(facts(store, settings), None, _foreign(store, foreign))


def _of_folders(store: Store) -> Iterator[StoredObject]:
    for folder in names.FOLDERS:
        yield from store.list(folder)


def _is_ours(name: str) -> bool:
    return name == names.CONFIG or name.startswith(names.FOLDERS)


def _count_backups(store: Store) -> int:
    return sum(1 for one in store.list(names.MANIFESTS) if names.manifest_parts(one.name))


def _refuse_while_used(repository: Repository, clock: Clock) -> None:
    states = []
    for scope in scopes(repository):
        with contextlib.suppress(DamagedObject):
            state = read_state(repository, scope)
            states += [state] if state else []
    for state in held(repository, states, clock):
        until = state.until.isoformat(timespec="seconds")
        raise LeaseHeld(
            f"The repository in {repository.store.description} is in use: {state.subject}, by run"
            f" {state.holder.run} on {state.holder.host} since {state.since}, until {until} at least.",
            hint="Wait until it is finished.",
        )


def _delete(store: Store) -> None:
    with ThreadPoolExecutor(_DELETERS) as pool:
        for folder in names.FOLDERS:
            found = [one.name for one in store.list(folder)]
            for _done in pool.map(store.delete, found):
                pass
    store.delete(names.CONFIG)
    store.remove_leftovers(everything=True)


def _foreign(store: Store, found: list[str]) -> list[str]:
    if not found:
        return []
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    which = ", ".join(found[:_NAMED]) + more
    return [f"What is not part of the repository was left in {store.description}: {which}."]


# -- check mode


class _Vacant(ReadOnlyStore):
    """A place in which nothing is yet."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:  # noqa: ARG002 - the interface's
        return iter(())


def foretold(store: Store) -> Repository | None:
    """An empty repository in place of one that an earlier task would have created.

    Returns:
        None where a repository, or something else, is there.

    Raises:
        DamagedObject, StorageError: that cannot be told.
    """
    try:
        if find_settings(store) is not None:
            return None
    except NotARepository:
        return None
    except RepositoryError:
        return None
    settings = Settings("", "", CHUNK_SIZES[DEFAULT_CHUNK_SIZE], False, None)
    return Repository(_Vacant(store), settings, Codec(bytes(32), None))
