# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be wrong with a repository."""

from __future__ import annotations

from typing import Any

from .._errors import VmguardError


class RepositoryError(VmguardError):
    """The repository cannot be used, or not like this."""

    default_code = "RepositoryError"


class NotARepository(RepositoryError):
    """Nothing there, or something that is not ours."""

    default_code = "NotARepository"


class WrongPassphrase(RepositoryError):
    """No key of the repository opens with the passphrase."""

    default_code = "WrongPassphrase"


# What to do about a damaged object, by what its name begins with. Without the first two nothing
# opens the repository, backup_verify as little as anything else.
_REMEDIES = {
    "vmguard.json": "Put back a copy of it, from an earlier version of the file or blob or from a copy"
    " of the repository: it never changes after the creation.",
    "keys/": "Put back a copy of what is in keys/, from an earlier version or from a copy of the"
    " repository; without a key nothing can be decrypted.",
    "leases/": "If nothing works on the repository, delete it.",
    "": "backup_verify shows which backups are affected.",
}


class DamagedObject(RepositoryError):
    """A stored object is not what was stored.

    Args:
        name: the object's name in the repository.
        what: what is wrong with it, as the end of a sentence.
    """

    default_code = "DamagedObject"

    def __init__(self, name: str, what: str) -> None:
        super().__init__(
            f"The object {name} of the repository is damaged: {what}.",
            resource=name,
            hint=next(hint for start, hint in _REMEDIES.items() if name.startswith(start)),
        )
        self.name = name
        self.what = what


class LeaseHeld(RepositoryError):
    """Somebody else works on it."""

    default_code = "LeaseHeld"


class LeaseLost(RepositoryError):
    """Our lease ended, or somebody took it over: the work has to stop."""

    default_code = "LeaseLost"


class BackupNotFound(RepositoryError):
    """There is no such backup."""

    default_code = "BackupNotFound"


class DamageFound(RepositoryError):
    """A verification found damage.

    Args:
        result: what was found.
    """

    default_code = "DamageFound"

    def __init__(self, message: str, result: dict[str, Any], **details: Any) -> None:
        super().__init__(message, **details)
        self.result = result
