# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With what a storage account is entered, and what may be said about that."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .._errors import InputError

KEY = "key"
SAS = "sas"
TOKEN = "token"  # noqa: S105 - a kind of login

_SHOW = "Take it from 'az storage account show-connection-string'."
_URL = "It looks like https://<account>.blob.core.windows.net."


@dataclass(frozen=True)
class BlobLogin:
    """A way into a storage account.

    Args:
        account: the account's name.
        kind: KEY, SAS or TOKEN.
        description: what it is, in a sentence: ``the account key``.
        secrets: literal values that must appear nowhere.
        credential: what the SDK takes; None where a connection string holds it.
    """

    account: str
    kind: str
    description: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    credential: Any = field(default=None, repr=False)


def blob_login(
    account_url: str, account_key: str | None, sas: str | None, credential: Any
) -> BlobLogin:
    """The login with a key, else a SAS, else a credential of azure-identity.

    Raises:
        InputError: one of them is malformed.
    """
    account = _account_of(account_url)
    if account_key:
        _check_key(account_key, "account_key")
        given = {"account_name": account, "account_key": account_key}
        return BlobLogin(account, KEY, "the account key", (account_key,), given)
    if sas:
        from azure.core.credentials import AzureSasCredential

        description = f"the SAS{_describe_sas(sas, 'sas')}"
        sas = sas.lstrip("?")
        return BlobLogin(account, SAS, description, (sas,), AzureSasCredential(sas))
    return BlobLogin(account, TOKEN, "the task's Azure login", (), credential)


def connection_string_login(text: str) -> BlobLogin:
    """The login that a connection string holds, with a key or a SAS.

    Raises:
        InputError: it is malformed, or holds neither.
    """
    pairs = (item.strip().partition("=") for item in text.split(";") if item.strip())
    values = {name.lower(): value for name, _equals, value in pairs}
    key, sas = values.get("accountkey"), values.get("sharedaccesssignature")
    parts = urlsplit(values.get("blobendpoint", ""))
    account = values.get("accountname") or parts.path.strip("/") or parts.netloc.partition(".")[0]
    if not account or not (key or sas):
        raise InputError(
            "connection_string does not hold an account and its key or SAS.", hint=_SHOW
        )
    if key:
        _check_key(key, "connection_string")
        return BlobLogin(account, KEY, "the key in connection_string", (text, key))
    said = _describe_sas(sas or "", "SharedAccessSignature in connection_string")
    description = f"the SAS in connection_string{said}"
    return BlobLogin(account, SAS, description, (text, sas or ""))


def malformed_connection_string() -> InputError:
    return InputError("connection_string is malformed.", hint=_SHOW)


def _account_of(account_url: str) -> str:
    """The account's name, from a URL that is one of an account and of nothing more."""
    try:
        parts = urlsplit(account_url)
        host = parts.hostname or ""
    except ValueError:
        raise InputError("account_url is not a URL.", hint=_URL) from None
    if parts.query:
        raise InputError(
            "account_url goes on after a question mark.", hint="A SAS goes into the option sas."
        )
    numeric, loopback = _address(host)
    secure = parts.scheme == "https" or (parts.scheme == "http" and loopback)
    if not host or not secure or "@" in parts.netloc:
        raise InputError("account_url is not an https URL.", hint=_URL)
    path = parts.path.strip("/")
    # Where the host has no name, the account is the first part of the path; elsewhere that would
    # be a container.
    if bool(path) != numeric or "/" in path:
        raise InputError("account_url is not the URL of a storage account alone.", hint=_URL)
    return path if numeric else host.partition(".")[0]


def _address(host: str) -> tuple[bool, bool]:
    """Whether a host is an address (or localhost), and whether that is this machine's own."""
    if host == "localhost":
        return True, True
    try:
        return True, ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False, False


def _check_key(key: str, where: str) -> None:
    try:
        if not base64.b64decode(key, validate=True):
            raise binascii.Error
    except ValueError:
        raise InputError(f"The account key in {where} is not base64: it is not a key.") from None


def _describe_sas(sas: str, where: str) -> str:
    """What a SAS says about itself, which is no secret: until when it is valid, and for what."""
    fields = {name: values[0] for name, values in parse_qs(sas.lstrip("?")).items()}
    if "sig" not in fields or "://" in sas:
        raise InputError(
            f"{where} is not a shared access signature.",
            hint="It is what follows the question mark in a SAS URL, without the URL itself.",
        )
    said = [f"valid until {fields['se']}"] if "se" in fields else []
    said += [f"permissions {fields['sp']}"] if "sp" in fields else []
    return f" ({', '.join(said)})" if said else ""
