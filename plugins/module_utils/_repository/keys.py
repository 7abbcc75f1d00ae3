# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a repository: one for all its data, wrapped by a key from the passphrase.

Changing the passphrase wraps the same key anew; nothing that is stored changes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from typing import Any

from .._errors import InputError, missing_library
from .codec import is_whole
from .errors import DamagedObject, WrongPassphrase

# scrypt (RFC 7914): 64 MiB and a fraction of a second for every guess.
SCRYPT = {"n": 1 << 16, "r": 8, "p": 1}
# What scrypt does for one guess grows with n * r * p. Fixed, whatever a test makes of SCRYPT.
USUAL_WORK = (1 << 16) * 8
_MOST_WORK = 8 * USUAL_WORK
_MOST_MEMORY = 256 << 20
_SALT_SIZE = 16
_NONCE_SIZE = 12


@dataclass(frozen=True)
class WrappedKey:
    """A key object that was read.

    Args:
        name: the object's.
        cost: n, r and p of scrypt.
        repository: the id of the repository that it was made for; None where it does not say.
    """

    name: str
    salt: bytes
    nonce: bytes
    wrapped: bytes
    cost: dict[str, int]
    repository: str | None

    @property
    def work(self) -> int:
        """What trying it costs, to be compared with USUAL_WORK."""
        return self.cost["n"] * self.cost["r"] * self.cost["p"]


def derive(master: bytes, purpose: str) -> bytes:
    """A key for one purpose: HMAC-SHA-256 of its name."""
    return hmac.digest(master, f"vmguard {purpose}".encode(), "sha256")


def wrap(master: bytes, passphrase: str, binding: bytes, repository: str) -> dict[str, Any]:
    """A key object: the master key, encrypted by the passphrase.

    Args:
        binding: what the key belongs to (the repository's settings); with others it does not open.
        repository: the id of the repository, so that a key of an unfinished creation can be told.

    Raises:
        InputError: the passphrase is empty.
    """
    if not passphrase:
        raise InputError("The passphrase of a repository cannot be empty.")
    salt, nonce = os.urandom(_SALT_SIZE), os.urandom(_NONCE_SIZE)
    body = {
        "kdf": "scrypt",
        **SCRYPT,
        "salt": salt.hex(),
        "nonce": nonce.hex(),
        "wrapped": _cipher(passphrase, salt, SCRYPT).encrypt(nonce, master, binding).hex(),
        "repository": repository,
    }
    return {**body, "check": _check(body)}


def unwrap(key: WrappedKey, passphrase: str, binding: bytes) -> bytes:
    """The master key.

    Raises:
        WrongPassphrase: it does not open.
    """
    from cryptography.exceptions import InvalidTag

    try:
        return _cipher(passphrase, key.salt, key.cost).decrypt(key.nonce, key.wrapped, binding)
    except InvalidTag as error:
        raise WrongPassphrase("The passphrase is not that of the repository.") from error


def parse(name: str, body: Any) -> WrappedKey:
    """A key object.

    Args:
        name: the object's.
        body: its JSON.

    Raises:
        DamagedObject: it is not what was stored, or asks for absurd amounts of memory or work.
    """
    try:
        known = {key: value for key, value in body.items() if key != "check"}
        if body["check"] != _check(known) or body["kdf"] != "scrypt":
            raise DamagedObject(name, "its checksum is wrong")
        cost = {key: body[key] for key in SCRYPT}
        salt, nonce, wrapped = (bytes.fromhex(body[key]) for key in ("salt", "nonce", "wrapped"))
        repository = body.get("repository")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedObject(name, "it is not a key") from error
    if len(nonce) != _NONCE_SIZE or not all(map(is_whole, cost.values())):
        raise DamagedObject(name, "it is not a key")
    if repository is not None and not isinstance(repository, str):
        raise DamagedObject(name, "it is not a key")
    if not _affordable(**cost):
        raise DamagedObject(name, "it asks for too much memory or work")
    return WrappedKey(name, salt, nonce, wrapped, cost, repository)


def _affordable(n: int, r: int, p: int) -> bool:
    """Whether scrypt can be asked for this: n is a power of two, and the work is bounded."""
    if not (n > 1 and n & (n - 1) == 0 and 0 < r <= 32 and 0 < p <= 16):
        return False
    return n * r * 128 <= _MOST_MEMORY and n * r * p <= _MOST_WORK


def _check(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _cipher(passphrase: str, salt: bytes, cost: dict[str, int]) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise missing_library("cryptography", "for an encrypted repository") from error
    key = hashlib.scrypt(
        passphrase.encode(),
        salt=salt,
        n=cost["n"],
        r=cost["r"],
        p=cost["p"],
        maxmem=_MOST_MEMORY + (1 << 20),
        dklen=32,
    )
    return AESGCM(key)
