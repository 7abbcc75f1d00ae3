# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Creates and deletes repositories, and changes their passphrases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Any

from .._errors import InputError, ObjectExists, ObjectNotFound, ObjectTooLarge, StorageDenied
from .._storage.interface import Store, StoredObject
from .._storage.read_only import ReadOnlyStore
from . import keys, names
from .codec import Codec, parse_json
from .errors import DamagedObject, LeaseHeld, NotARepository, RepositoryError, WrongPassphrase
from .lease import read_state, scopes
from .repository import (
    CHUNK_SIZES,
    DEFAULT_CHUNK_SIZE,
    VERSION,
    Repository,
    Settings,
    read_settings,
)

Write = Callable[..., Any]
_DELETERS = 8
_NAMED = 5
_KEY_LIMIT = 64 << 10
# What a creation that was killed leaves is its own after this time.
_CREATION = timedelta(minutes=1)


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
        if store.exists() and not _leftover(store):
            raise
        return None


def _leftover(store: Store) -> bool:
    """Whether nothing is there, or what a creation leaves that was killed before its end."""
    found = list(islice(store.list(), _NAMED + 1))
    ours = len(found) <= _NAMED and all(one.name.startswith(names.KEYS) for one in found)
    return ours and next(store.strangers(), None) is None


def ensure_present(
    store: Store,
    *,
    passphrase: str | None,
    new_passphrase: str | None,
    chunk_size: str | None,
    now: datetime,
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
        return _create(store, passphrase, chunk_size or DEFAULT_CHUNK_SIZE, now, write)
    if chunk_size is not None and CHUNK_SIZES[chunk_size] != settings.chunk_size:
        raise InputError(
            f"The repository in {store.description} has chunks of {settings.chunk_size} bytes, and"
            f" chunk_size is {chunk_size}: it cannot be changed.",
            hint="Leave chunk_size out, or create a repository in another place.",
        )
    before = facts(store, settings)
    if new_passphrase is None:
        Repository.open(store, passphrase)
        return Change(before, before)
    warnings = _change_passphrase(store, settings, passphrase, new_passphrase, write)
    return Change(before, before, warnings)


def _create(
    store: Store, passphrase: str | None, chunk_size: str, now: datetime, write: Write
) -> Change:
    size = CHUNK_SIZES[chunk_size]
    # Keys of a creation that was killed; find_settings has seen that there is nothing else.
    left = list(store.list(names.KEYS)) if store.exists() else []
    if any(now - one.modified < _CREATION for one in left):
        raise NotARepository(
            f"A repository is being created in {store.description}, or that was interrupted.",
            hint="Run the task again in a minute.",
        )

    def create() -> Settings:
        for one in left:
            store.delete(one.name)
        try:
            made = Repository.create(store, chunk_size=size, passphrase=passphrase, now=now)
        except ObjectExists:
            # Somebody else created it at the same moment.
            made = Repository.open(store, passphrase)
        return made.settings

    foretold = Settings("", "", size, passphrase is not None, None)
    settings = write(create, foretold)
    after = facts(store, settings)
    if settings is foretold:
        after |= {"id": None, "created": None}
    return Change(None, after)


# -- the passphrase


def _change_passphrase(
    store: Store, settings: Settings, old: str | None, new: str, write: Write
) -> list[str]:
    """Let the new passphrase open the repository, and no other; what could not be done, if any."""
    if not settings.encrypted:
        raise InputError(
            "The repository is not encrypted, so it has no passphrase to change.",
            hint="Create an encrypted repository in another place and back up into it.",
        )
    opened, others = _keys_by(store, settings, new)
    if not opened:
        repository = Repository.open(store, old)
        left = write(lambda: repository.change_passphrase(old or "", new), [])
        return _still_open(left)
    left = []
    for name in others:
        try:
            write(lambda name=name: store.delete(name))
        except StorageDenied:
            left.append(name)
    return _still_open(left)


def _still_open(left: list[str]) -> list[str]:
    if not left:
        return []
    which = ", ".join(left)
    return [f"The old passphrase still opens the repository, because {which} cannot be deleted."]


def _keys_by(store: Store, settings: Settings, passphrase: str) -> tuple[list[str], list[str]]:
    """The key objects that a passphrase opens, and the others."""
    opened, others = [], []
    for found in list(store.list(names.KEYS)):
        try:
            body = parse_json(found.name, store.get(found.name, _KEY_LIMIT))
            keys.unwrap(found.name, body, passphrase, settings.canonical())
            opened.append(found.name)
        except (WrongPassphrase, DamagedObject, ObjectTooLarge):
            others.append(found.name)
        except ObjectNotFound:
            continue
    return opened, others


# -- deleting


def ensure_absent(
    store: Store, *, passphrase: str | None, force: bool, now: datetime, write: Write
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
        _refuse_while_used(Repository.open(store, passphrase), now)
    backups = _count_backups(store)
    if not force:
        raise InputError(
            f"The repository in {store.description} holds {backups} backup(s), which would be lost.",
            code="ForceNeeded",
            hint="Set force to true to delete it with all of them.",
        )
    foreign = [one.name for one in store.list() if not _is_ours(one.name)]
    foreign += store.strangers()
    write(lambda: _delete(store, now))
    return Change(facts(store, settings), None, _foreign(store, foreign))


def _of_folders(store: Store) -> Iterator[StoredObject]:
    for folder in names.FOLDERS:
        yield from store.list(folder)


def _is_ours(name: str) -> bool:
    return name == names.CONFIG or name.startswith(names.FOLDERS)


def _count_backups(store: Store) -> int:
    return sum(1 for one in store.list(names.MANIFESTS) if names.manifest_parts(one.name))


def _refuse_while_used(repository: Repository, now: datetime) -> None:
    for scope in scopes(repository):
        try:
            state = read_state(repository, scope)
        except DamagedObject:
            continue
        if state and state.live(now):
            until = state.until.astimezone(timezone.utc).isoformat(timespec="seconds")
            raise LeaseHeld(
                f"The repository in {repository.store.description} is in use: {state.subject}, by run"
                f" {state.holder.run} on {state.holder.host}, until {until} at least.",
                hint="Wait until it is finished.",
            )


def _delete(store: Store, now: datetime) -> None:
    with ThreadPoolExecutor(_DELETERS) as pool:
        for folder in names.FOLDERS:
            found = [one.name for one in store.list(folder)]
            for _done in pool.map(store.delete, found):
                pass
    store.delete(names.CONFIG)
    store.remove_leftovers(now)


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
