# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that lie in files: the credential file and the Azure CLI's profile."""

from __future__ import annotations

import configparser
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import InputError
from .clouds import KNOWN, Cloud

DEFAULT_PROFILE = "default"


def credential_file(value: str | None, home: Path) -> Path:
    """Where the credential file is: the given path, or ``~/.azure/credentials``."""
    if not value:
        return home / ".azure" / "credentials"
    return home / value[2:] if value.startswith("~/") else Path(value)


def credential_profiles(path: str | Path) -> list[str]:
    """The names of the profiles in a credential file, as they stand there; none without a file.

    Raises:
        InputError: the file cannot be read, or is no ini file.
    """
    return _parse(Path(path)).sections()


def read_profile(path: str | Path, name: str) -> dict[str, str]:
    """One profile of a credential file, by option name; empty values are left out.

    Raises:
        InputError: no such file or profile, or the file cannot be read.
    """
    path = Path(path)
    parser = _parse(path)
    if not parser.has_section(name):
        raise _no_profile(path, name, parser.sections())
    return {key: value for key, value in parser.items(name) if value}


def _no_profile(path: Path, name: str, names: list[str]) -> InputError:
    if not path.exists():
        return InputError(
            f"There is no credential file {path}, in which to find the profile {name!r}.",
            code="ProfileNotFound",
            hint="Create it, or name another one in credential_file (AZURE_CREDENTIAL_FILE).",
        )
    there = ", ".join(names) if names else "none at all"
    return InputError(
        f"There is no profile {name!r} in the credential file {path}: it has {there}.",
        code="ProfileNotFound",
    )


def _parse(path: Path) -> configparser.ConfigParser:
    # "DEFAULT" in capitals is no magic section here, and "%" in a secret is just a character.
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        pass
    except configparser.Error as error:
        # Its text quotes the line, which may hold a secret.
        line = getattr(error, "lineno", None)
        at = f" (line {line})" if line else ""
        raise InputError(f"The credential file {path} is no ini file{at}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The credential file {path} cannot be read: {error}.") from error
    return parser


@dataclass(frozen=True)
class CliAccount:
    """A subscription that the Azure CLI is logged in to."""

    subscription_id: str
    name: str | None
    tenant: str | None
    cloud: str
    user: str | None


def cli_folder(environ: Mapping[str, str], home: Path) -> Path:
    """Where the Azure CLI keeps its state."""
    value = environ.get("AZURE_CONFIG_DIR")
    return Path(value) if value else home / ".azure"


def cli_account(folder: Path, wanted: str | None) -> CliAccount | None:
    """The wanted subscription of the Azure CLI, by id or name; its default one without a wish.

    None when the CLI is not logged in or does not know the subscription. The file is the one
    behind ``az account list``; it holds no token.
    """
    try:
        found = json.loads((folder / "azureProfile.json").read_text(encoding="utf-8-sig"))
        subscriptions = found["subscriptions"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    for item in subscriptions:
        chosen = item.get("isDefault")
        if wanted:
            chosen = wanted.lower() in (str(item.get("id")).lower(), str(item.get("name")).lower())
        if chosen:
            return _account(item)
    return None


def _account(item: Mapping[str, Any]) -> CliAccount:
    return CliAccount(
        subscription_id=item["id"],
        name=item.get("name"),
        tenant=item.get("tenantId"),
        cloud=item.get("environmentName") or "AzureCloud",
        user=(item.get("user") or {}).get("name"),
    )


def cli_cloud(folder: Path, name: str) -> Cloud | str:
    """A cloud that was registered with ``az cloud register``; else the name as it is."""
    if name in KNOWN:
        return name
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string((folder / "clouds.config").read_text(encoding="utf-8-sig"))
        section = parser[name]
        manager = section["endpoint_resource_manager"].rstrip("/")
        authority = section["endpoint_active_directory"].rstrip("/")
    except (OSError, KeyError, configparser.Error, UnicodeDecodeError):
        return name
    return Cloud(
        name=name,
        resource_manager=manager,
        authority=authority,
        audience=section.get("endpoint_active_directory_resource_id", manager).rstrip("/"),
        storage_suffix=section.get("suffix_storage_endpoint", ""),
    )
