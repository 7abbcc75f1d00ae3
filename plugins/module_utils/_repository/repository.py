# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository: its settings, its keys, and whole objects in it (docs/repository-format.md)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .._errors import (
    InputError,
    ObjectExists,
    ObjectNotFound,
    ObjectTooLarge,
    StorageDenied,
    StorageError,
    StorageUnavailable,
    VmguardError,
)
from .._storage.interface import Store
from . import keyring, keys, names
from .codec import Codec, is_whole, parse_json
from .errors import DamagedObject, NotARepository, RepositoryError

FORMAT = "vmguard-repository"
VERSION = 1
CHUNK_SIZES = {"64KiB": 1 << 16, "128KiB": 1 << 17, "256KiB": 1 << 18, "512KiB": 1 << 19,
               "1MiB": 1 << 20}  # fmt: skip
DEFAULT_CHUNK_SIZE = "64KiB"
_CONFIG_LIMIT = 64 << 10


@dataclass(frozen=True)
class Settings:
    """What a repository was created with; nothing of it ever changes."""

    id: str
    created: str
    chunk_size: int
    encrypted: bool
    chunk_key: str | None

    def body(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "id": self.id,
            "created": self.created,
            "chunk_size": self.chunk_size,
            "hash": "blake3-keyed",
            "compression": "zstd",
            "encryption": "aes-256-gcm" if self.encrypted else None,
            "chunk_key": self.chunk_key,
        }

    def canonical(self) -> bytes:
        """The same bytes for the same settings: what the wrapped keys are bound to."""
        return _canonical(self.body())

    def possible(self) -> bool:
        """Whether each is of its kind; the checksum alone can be made by anybody."""
        key = isinstance(self.chunk_key, str) or (self.encrypted and self.chunk_key is None)
        return (
            isinstance(self.id, str)
            and isinstance(self.created, str)
            and re.fullmatch(r"[0-9a-f]{32}", self.id) is not None
            and is_whole(self.chunk_size)
            and self.chunk_size in CHUNK_SIZES.values()
            and key
        )

    @classmethod
    def parse(cls, text: bytes) -> Settings:
        """Settings from ``vmguard.json``.

        Raises:
            NotARepository, RepositoryError, DamagedObject: they are none, newer, or damaged.
        """
        body = parse_json(names.CONFIG, text)
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise NotARepository(
                f"{names.CONFIG} there does not describe a repository of vmguard.",
                hint="Name another folder, container or prefix.",
            )
        version = body.get("version")
        if isinstance(version, int) and version > VERSION:
            raise RepositoryError(
                f"The repository has format {version}, and this release reads formats up to {VERSION}.",
                code="NewerFormat",
                hint="Update the collection vmguard.azure.",
            )
        check = body.pop("check", None)
        try:
            settings = cls(
                id=body["id"],
                created=body["created"],
                chunk_size=body["chunk_size"],
                encrypted=body["encryption"] is not None,
                chunk_key=body["chunk_key"],
            )
        except KeyError as error:
            raise DamagedObject(names.CONFIG, "settings are missing") from error
        # Nothing may be there that is not looked at: as text, 1 and 1.0 and true differ.
        if _canonical(body) != settings.canonical() or check != _check(settings):
            raise DamagedObject(names.CONFIG, "its checksum is wrong")
        if not settings.possible():
            raise DamagedObject(names.CONFIG, "its settings cannot be")
        return settings


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def _check(settings: Settings) -> str:
    return hashlib.sha256(settings.canonical()).hexdigest()


class Repository:
    """An open repository.

    Args:
        store: where its objects are.
        settings: what it was created with.
        codec: how its bytes are stored.
    """

    def __init__(
        self, store: Store, settings: Settings, codec: Codec, warnings: Iterable[str] = ()
    ) -> None:
        self.store = store
        self.settings = settings
        self.codec = codec
        # What was passed over when it was opened, as sentences.
        self.warnings = list(warnings)

    @property
    def id(self) -> str:
        return self.settings.id

    @property
    def chunk_size(self) -> int:
        """Bytes."""
        return self.settings.chunk_size

    @classmethod
    def open(cls, store: Store, passphrase: str | None) -> Repository:
        """Open what is there.

        Raises:
            NotARepository: there is none.
            WrongPassphrase, InputError: the passphrase is wrong, missing, or one too many.
            DamagedObject, RepositoryError, StorageError: it cannot be read.
        """
        settings = read_settings(store)
        if not settings.encrypted:
            if passphrase:
                raise InputError(
                    f"The repository in {store.description} is not encrypted, and a passphrase is given.",
                    hint="Leave the passphrase out, or create an encrypted repository elsewhere.",
                )
            return cls(store, settings, Codec(_chunk_key(settings), None))
        if not passphrase:
            raise InputError(
                f"The repository in {store.description} is encrypted: give its passphrase."
            )
        unlocked = keyring.unlock(store, settings, passphrase)
        return cls(store, settings, codec_of(unlocked.master), unlocked.warnings)

    @classmethod
    def create(
        cls, store: Store, *, chunk_size: int, passphrase: str | None, now: datetime
    ) -> Repository:
        """Make a repository in an empty place.

        Of several who do so at once one succeeds: the settings are one object, written once.

        Raises:
            NotARepository: the place holds other things.
            ObjectExists: somebody else made a repository there at the same moment.
            DamagedObject, StorageError: what was written cannot be read.
        """
        store.prepare()
        if first := occupied(store):
            raise NotARepository(
                f"{store.description} is not empty (it holds {first}) and is not a repository.",
                hint="Name an empty folder, or another prefix.",
            )
        settings = Settings(
            id=os.urandom(16).hex(),
            created=now.astimezone(timezone.utc).isoformat(timespec="seconds"),
            chunk_size=chunk_size,
            encrypted=passphrase is not None,
            chunk_key=None if passphrase is not None else os.urandom(32).hex(),
        )
        text = json.dumps({**settings.body(), "check": _check(settings)}, indent=1).encode()
        if passphrase is None:
            store.put(names.CONFIG, text)
            return cls(store, settings, Codec(_chunk_key(settings), None))
        master = os.urandom(32)
        key = keyring.write_key(store, settings, master, passphrase)
        try:
            # The settings come last: without them nothing here is a repository.
            store.put(names.CONFIG, text)
        except ObjectExists:
            with contextlib.suppress(VmguardError):
                store.delete(key)
            raise
        store.get(key, keyring.KEY_LIMIT)  # nobody deleted it together with what was there before
        return cls(store, settings, codec_of(master))

    def seal(self, name: str, content: Any) -> bytes:
        """A JSON object as it is stored under a name; not twice the same where it is encrypted."""
        return self.codec.seal(name, json.dumps(content, separators=(",", ":")).encode())

    def write(self, name: str, content: Any) -> bytes:
        """Store a JSON object; what was stored."""
        sealed = self.seal(name, content)
        self.store.put(name, sealed)
        return sealed

    def read(self, name: str, limit: int) -> Any:
        """A stored JSON object of at most ``limit`` bytes.

        Raises:
            DamagedObject, StorageError: it cannot be read.
        """
        try:
            stored = self.store.get(name, limit)
        except ObjectTooLarge as error:
            raise DamagedObject(name, f"it has more than {limit} bytes") from error
        return parse_json(name, self.codec.unseal(name, stored, limit))


def read_settings(store: Store) -> Settings:
    """The settings of the repository in a store.

    Raises:
        NotARepository: there is none.
    """
    there = "it does not exist"
    try:
        text = _stored_settings(store)
    except ObjectTooLarge as error:
        raise DamagedObject(names.CONFIG, f"it has more than {_CONFIG_LIMIT} bytes") from error
    except ObjectNotFound:
        text, first = None, held(store)
        there = f"it holds other things ({first})" if first else "it is empty"
    if text is not None:
        return Settings.parse(text)
    raise NotARepository(
        f"There is no repository in {store.description}: {there}.",
        hint="Create one with backup_repository, or correct the path, container or prefix;"
        " check that a folder's file system is mounted.",
    )


def _stored_settings(store: Store) -> bytes | None:
    """What is stored as settings; None where the place is not there."""
    try:
        return store.get(names.CONFIG, _CONFIG_LIMIT)
    except (ObjectNotFound, ObjectTooLarge, StorageDenied, StorageUnavailable):
        raise
    except StorageError:
        # A place that is not there is a plain StorageError.
        if not store.exists():
            return None
        return store.get(names.CONFIG, _CONFIG_LIMIT)  # somebody may just have made the place


def held(store: Store) -> str | None:
    """The name of something in a place, whatever it is; None where nothing is."""
    names_there = (one.name for one in store.list())
    return next(names_there, None) or next(store.foreign_objects(), None)


def occupied(store: Store) -> str | None:
    """The name of something that keeps a repository from being made in a place.

    Keys alone do not: a creation that was killed leaves one, which nothing needs.
    """
    others = (one.name for one in store.list() if not names.is_key(one.name))
    return next(others, None) or next(store.foreign_objects(), None)


def _chunk_key(settings: Settings) -> bytes:
    try:
        key = bytes.fromhex(settings.chunk_key or "")
    except ValueError:
        key = b""
    if len(key) != 32:
        raise DamagedObject(names.CONFIG, "its chunk key is not one")
    return key


def codec_of(master: bytes) -> Codec:
    """What stores and opens the bytes of an encrypted repository with this master key."""
    return Codec(keys.derive(master, "chunk names"), keys.derive(master, "data"))
