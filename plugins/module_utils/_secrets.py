# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes secrets out of texts: signatures, tokens, keys. Private to this collection."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "***"

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S
        ),
        HIDDEN,
    ),
    # A shared access signature: the whole query goes, its other fields are of no use without it.
    (re.compile(r"\?[^\s\"'<>\\]*?\bsig(?:=|%3D)[^\s\"'<>\\]*", re.I), f"?{HIDDEN}"),
    (re.compile(r"(\b|%26|%3F)sig(=|%3D)[^&\s\"'<>\\;,]+", re.I), rf"\g<1>sig\g<2>{HIDDEN}"),
    # The signed parts of an operation's address: certificate, signature, hash.
    (re.compile(r"([?&][csh]=)[^&\s\"'<>\\]{20,}"), rf"\g<1>{HIDDEN}"),
    (re.compile(r"\b(Bearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.I), rf"\g<1>{HIDDEN}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), HIDDEN),
    (
        re.compile(
            r"(\\?[\"']?\b(?:client_secret|client_assertion|access_?token|refresh_?token|id_?token"
            r"|account_?key|shared_?access_?(?:key|signature)|azure_secret|azure_password"
            r"|encryption_?key)\\?[\"']?\s*[:=]\s*\\?[\"']?)"
            r"[^\s\"'&;,}\\]+",
            re.I,
        ),
        rf"\g<1>{HIDDEN}",
    ),
    # Words of everyday language only where they are clearly a key with a value.
    (
        re.compile(r"([\"'](?:secret|password|passphrase)[\"']\s*:\s*)([\"']).*?\2", re.I),
        rf"\g<1>\g<2>{HIDDEN}\g<2>",
    ),
    (re.compile(r"\b((?:secret|password|passphrase)=)[^\s\"'&;,}]+", re.I), rf"\g<1>{HIDDEN}"),
)


# Secrets that only their form gives away: the key of a storage account, and of an application.
_BARE = re.compile(
    r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==|(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,37}(?![\w~.-])"
)
_SIGNATURE = re.compile(r"\bsig=([^&\s\"'<>\\;,]+)", re.I)


def pasted(options: Any, spec: Mapping[str, Any]) -> set[str]:
    """Secrets in options that are not made for them: a SAS in a URL, a key in place of a name.

    Args:
        options: what a task gives, before it was looked at.
        spec: the argument spec.

    Returns:
        Texts that must not be shown; those of options with ``no_log`` are not among them.
    """
    found: set[str] = set()
    secret_names = [name for name, one in spec.items() if one.get("no_log")]
    for name, value in options.items() if isinstance(options, Mapping) else ():
        known = spec.get(name) or {}
        if isinstance(value, Mapping) and known.get("options"):
            found |= pasted(value, known["options"])
        elif not known and difflib.get_close_matches(str(name), secret_names):
            found |= {text for text in _texts(value) if text}  # the name is misspelt
        elif not known.get("no_log"):
            found |= {secret for text in _texts(value) for secret in _hidden_in(text)}
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)


def _hidden_in(text: str) -> set[str]:
    if scrub(text) == text and not _BARE.search(text):
        return set()
    query = text.partition("?")[2]
    return {text, *_BARE.findall(text), *_SIGNATURE.findall(text), *([query] if query else [])}


def scrub(text: str, *secrets: str | None) -> str:
    """Return the text without signatures, tokens, keys and the given literal secrets.

    Args:
        text: any text: a message, a URL, a response body.
        secrets: values known to the caller that must not appear, None and "" are passed over.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
