# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retries on throttling and passing faults, within the task's deadline."""

from __future__ import annotations

from typing import Any

from .._clock import Deadline
from .._errors import Throttled

RETRIES = 8
LONGEST_BACKOFF = 60.0


def retry_policy(deadline: Deadline) -> Any:
    """azure-core's retry policy, sleeping by the task's clock and never beyond its deadline.

    It obeys Retry-After, which Azure sets up to 1,200 s. Raises Throttled instead of a sleep that
    would outlast the deadline.
    """
    from azure.core.pipeline.policies import RetryPolicy

    class DeadlineRetryPolicy(RetryPolicy):
        def sleep(
            self,
            settings: dict[str, Any],
            transport: Any,  # noqa: ARG002 - the base class passes it
            response: Any = None,
        ) -> None:
            asked = self.get_retry_after(response) if response is not None else None
            wanted = self.get_backoff_time(settings) if asked is None else asked
            if wanted > deadline.remaining:
                if asked is not None:
                    told = f"Azure asks to wait {wanted:.0f} s before the next attempt"
                else:
                    status = (
                        response.http_response.status_code if response is not None else "nothing"
                    )
                    told = f"Azure answers {status}, and the next attempt is due in {wanted:.0f} s"
                raise Throttled(
                    f"{told}, but only {deadline.remaining:.0f} s of wait_timeout are left.",
                    code="Throttled",
                    hint="Run again later, or give the task a longer wait_timeout.",
                )
            deadline.pause(wanted)

    return DeadlineRetryPolicy(
        retry_total=RETRIES, retry_status=RETRIES, retry_backoff_max=LONGEST_BACKOFF
    )
