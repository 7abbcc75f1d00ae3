# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the option ``repository`` of the modules to a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._errors import InputError
from .azure_blob import AzureBlobStore
from .folder import FolderStore
from .interface import Store
from .read_only import ReadOnlyStore

_BLOB_OPTIONS = (
    "account_url",
    "container",
    "prefix",
    "connection_string",
    "account_key",
    "sas",
)
_LOGINS = ("account_key", "sas", "connection_string")


def open_store(
    options: Mapping[str, Any],
    *,
    credential: Callable[[], Any] | None,
    read_only: bool,
) -> Store:
    """The store that the option ``repository`` names; nothing is read or sent yet.

    Args:
        options: its sub-options; absent, None and empty are the same.
        credential: makes the task's Azure login; called only where a storage account is given
            without a key, a SAS and a connection string.
        read_only: refuse every write.

    Raises:
        InputError: an option is missing, or two contradict each other.
        MissingLibrary: azure-storage-blob is needed and not installed.
        VmguardError: whatever ``credential`` raises.
    """
    given = {name: value for name, value in options.items() if value not in (None, "")}
    kind = given.get("type")
    if kind == "folder":
        store: Store = _folder(given)
    elif kind == "azure_blob":
        store = _azure_blob(given, credential, read_only)
    else:
        raise InputError(
            f"repository.type is {kind!r}; it must be azure_blob or folder."
            if kind
            else "repository.type is missing; it must be azure_blob or folder."
        )
    return ReadOnlyStore(store) if read_only else store


def _folder(given: Mapping[str, Any]) -> FolderStore:
    if foreign := [name for name in _BLOB_OPTIONS if name in given]:
        raise InputError(f"repository.{foreign[0]} has no meaning with type folder.")
    if "path" not in given:
        raise InputError("repository.path is missing; type folder needs it.")
    return FolderStore(given["path"])


def _azure_blob(
    given: Mapping[str, Any], credential: Callable[[], Any] | None, read_only: bool
) -> AzureBlobStore:
    if "path" in given:
        raise InputError("repository.path has no meaning with type azure_blob.")
    if "container" not in given:
        raise InputError("repository.container is missing; type azure_blob needs it.")
    logins = [name for name in _LOGINS if name in given]
    if len(logins) > 1:
        raise InputError(f"repository.{logins[0]} and repository.{logins[1]} exclude each other.")
    if ("account_url" in given) == ("connection_string" in given):
        raise InputError("repository needs either account_url or connection_string, and not both.")
    login = None
    if not logins:
        if credential is None:
            raise InputError(
                "repository has neither account_key nor sas nor connection_string,"
                " and there is no Azure login to use in their place."
            )
        login = credential()
    values = {name: given[name] for name in _BLOB_OPTIONS if name in given}
    return AzureBlobStore(**values, credential=login, read_only=read_only)
