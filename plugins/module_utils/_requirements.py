# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python packages that modules import, and what to say when they are missing or too old."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable

from ._errors import MissingLibrary

# By name on PyPI: the oldest version that works, and what is imported. As in requirements.txt.
PACKAGES: dict[str, tuple[str, str]] = {
    "azure-identity": ("1.20.0", "azure.identity"),
    "azure-mgmt-compute": ("33.0.0", "azure.mgmt.compute"),
    "azure-storage-blob": ("12.20.0", "azure.storage.blob"),
    "blake3": ("1.0.0", "blake3"),
    "cryptography": ("42.0.0", "cryptography"),
    "jmespath": ("1.0.1", "jmespath"),
    "zstandard": ("0.22.0", "zstandard"),
}

_CODE = "MissingLibraries"


def require(*names: str) -> None:
    """Refuse to begin what would fail, or go wrong, for want of a package.

    Args:
        names: the packages that are needed, of those in ``PACKAGES``.

    Raises:
        MissingLibrary: naming all packages of the collection that are missing or too old.
    """
    if _wrong(names):
        raise _error("")


def complete(error: MissingLibrary) -> MissingLibrary:
    """The error for one package, made that for all of them: nobody is to install one after another."""
    if error.code == _CODE or not _wrong(PACKAGES):
        return error
    return _error(f"{error.message} ")


def _error(reason: str) -> MissingLibrary:
    wrong = _wrong(PACKAGES)
    listed = ", ".join(f"{name} ({how})" for name, how in wrong.items())
    wanted = " ".join(shlex.quote(f"{name}>={PACKAGES[name][0]}") for name in wrong)
    return MissingLibrary(
        f"{reason}Python packages that this collection needs are missing or too old"
        f" for {sys.executable}: {listed}.",
        code=_CODE,
        hint=f"Install them with: {shlex.quote(sys.executable)} -m pip install {wanted}",
    )


def _wrong(names: Iterable[str]) -> dict[str, str]:
    """The packages that are missing or too old, and which of both."""
    found = {}
    for name in names:
        oldest, _module = PACKAGES[name]
        installed = _installed(name)
        if installed is None:
            found[name] = "not installed"
        elif installed and _release(installed) < _release(oldest):
            found[name] = f"{installed} is installed, {oldest} or newer is needed"
    return found


def _installed(name: str) -> str | None:
    """Its version; "" where it is there without one, as of some operating systems; None: not there."""
    from importlib import metadata, util

    try:
        return metadata.version(name) or ""
    except metadata.PackageNotFoundError:
        pass
    try:
        return None if util.find_spec(PACKAGES[name][1]) is None else ""
    except ImportError:
        return None


def _release(version: str) -> tuple[int, ...]:
    """1.23.0b1 counts as 1.23, as 1.23.0 does."""
    found = re.match(r"\d+(\.\d+)*", version)
    parts = [int(part) for part in found[0].split(".")] if found else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
