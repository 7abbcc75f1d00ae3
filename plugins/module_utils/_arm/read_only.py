# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate at the transport: in check mode nothing that writes leaves this machine."""

from __future__ import annotations

from typing import Any

from .._errors import WriteRefused

READS = frozenset(("GET", "HEAD", "OPTIONS"))


def read_only_policy() -> Any:
    """A pipeline policy that raises WriteRefused for every request that is not a read.

    It sits below the retries, so that nothing another policy sends on its own gets past it.
    """
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class ReadOnlyPolicy(SansIOHTTPPolicy):
        def on_request(self, request: Any) -> None:
            method = request.http_request.method
            if method not in READS:
                path = request.http_request.url.partition("?")[0]
                raise WriteRefused(f"Check mode: {method} {path} was not sent.")

    return ReadOnlyPolicy()
