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
from typing import Any

from .._errors import InputError, missing_library
from .codec import is_whole
from .errors import DamagedObject, WrongPassphrase

# scrypt (RFC 7914): 64 MiB and a fraction of a second for every guess.
SCRYPT = {"n": 1 << 16, "r": 8, "p": 1}
_MOST_MEMORY = 256 << 20
_SALT_SIZE = 16
_NONCE_SIZE = 12


def derive(master: bytes, purpose: str) -> bytes:
    """A key for one purpose: HMAC-SHA-256 of its name."""
    return hmac.digest(master, f"vmguard {purpose}".encode(), "sha256")


def wrap(master: bytes, passphrase: str, binding: bytes) -> dict[str, Any]:
    """A key object: the master key, encrypted by the passphrase.

    Args:
        binding: what the key belongs to (the repository's settings); with others it does not open.

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
    }
    return {**body, "check": _check(body)}


def unwrap(name: str, body: Any, passphrase: str, binding: bytes) -> bytes:
    """The master key.

    Raises:
        DamagedObject: the key object is not what was stored, or asks for absurd amounts of memory.
        WrongPassphrase: it does not open.
    """
    from cryptography.exceptions import InvalidTag

    salt, nonce, wrapped, cost = parse(name, body)
    try:
        return _cipher(passphrase, salt, cost).decrypt(nonce, wrapped, binding)
    except InvalidTag as error:
        raise WrongPassphrase(
            "The passphrase is not that of the repository.",
            hint="Give the passphrase that the repository was created with, or last changed to.",
        ) from error


def parse(name: str, body: Any) -> tuple[bytes, bytes, bytes, dict[str, int]]:
    """Salt, nonce, wrapped key and cost of a key object.

    Raises:
        DamagedObject: it is not what was stored, or asks for absurd amounts of memory.
    """
    try:
        known = {key: value for key, value in body.items() if key != "check"}
        if body["check"] != _check(known) or body["kdf"] != "scrypt":
            raise DamagedObject(name, "its checksum is wrong")
        cost = {key: body[key] for key in SCRYPT}
        salt, nonce, wrapped = (bytes.fromhex(body[key]) for key in ("salt", "nonce", "wrapped"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedObject(name, "it is not a key") from error
    if len(nonce) != _NONCE_SIZE or not all(map(is_whole, cost.values())):
        raise DamagedObject(name, "it is not a key")
    if not _affordable(**cost):
        raise DamagedObject(name, "it asks for too much memory")
    return salt, nonce, wrapped, cost


def _affordable(n: int, r: int, p: int) -> bool:
    """Whether scrypt can be asked for this: n is a power of two, and the work is bounded."""
    power = n > 1 and n & (n - 1) == 0
    return power and 0 < r <= 32 and 0 < p <= 16 and n * r * 128 <= _MOST_MEMORY


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
