# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes secrets out of texts: signatures, tokens, keys. Private to this collection."""

from __future__ import annotations

import re

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
