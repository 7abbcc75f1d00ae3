# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells of every write that Azure took, so that a failed task can say whether it changed something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .read_only import READS


def noticing_policy(notice: Callable[[], None]) -> Any:
    """A pipeline policy; ``notice`` is called for each write that was not refused.

    One whose answer was lost counts: what Azure did with it is not known.
    """
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class NoticingPolicy(SansIOHTTPPolicy):
        def on_response(self, request: Any, response: Any) -> None:
            if request.http_request.method not in READS:
                status = response.http_response.status_code
                if status < 400 or status >= 500:
                    notice()

        def on_exception(self, request: Any) -> None:
            if request.http_request.method not in READS:
                notice()

    return NoticingPolicy()
