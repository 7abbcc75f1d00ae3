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
# Azure may ask to wait 0 s. Who then asks at once is told the same again.
SHORTEST_THROTTLED = 1.0
_TOO_MANY = 429


def retry_policy(deadline: Deadline) -> Any:
    """azure-core's retry policy, sleeping by the task's clock and never beyond its deadline.

    It obeys Retry-After, which Azure sets up to 1,200 s. Of a request that Azure refuses with 429
    nothing was done, so each is sent again, whatever its method, until the deadline. Other passing
    faults are tried eight times. A call with ``retry_total=0`` is sent once.

    Raises Throttled instead of a sleep that would outlast the deadline.
    """
    from azure.core.pipeline import PipelineResponse
    from azure.core.pipeline.policies import RetryPolicy

    class DeadlineRetryPolicy(RetryPolicy):
        def is_retry(self, settings: dict[str, Any], response: Any) -> bool:
            return _is_throttled(response) or super().is_retry(settings, response)

        def increment(
            self, settings: dict[str, Any], response: Any = None, error: Exception | None = None
        ) -> bool:
            throttled = isinstance(response, PipelineResponse) and _is_throttled(response)
            if throttled and settings["total"] > 0:
                # For the growth of pauses: super() would count it as one of the eight.
                settings["throttled"] = settings.get("throttled", 0) + 1
                return True
            return super().increment(settings, response, error)

        def sleep(
            self,
            settings: dict[str, Any],
            transport: Any,  # noqa: ARG002 - the base class passes it
            response: Any = None,
        ) -> None:
            asked = self.get_retry_after(response) if response is not None else None
            if not asked and response is not None and _is_throttled(response):
                wanted = _growing(settings["throttled"])
            else:
                wanted = self.get_backoff_time(settings) if asked is None else asked
            if wanted > deadline.remaining:
                raise _beyond(deadline, wanted, asked, response)
            deadline.pause(wanted)

    return DeadlineRetryPolicy(
        retry_total=RETRIES, retry_status=RETRIES, retry_backoff_max=LONGEST_BACKOFF
    )


def _is_throttled(response: Any) -> bool:
    return response.http_response.status_code == _TOO_MANY


def _growing(attempt: int) -> float:
    """Seconds: 1, 2, 4 and so on."""
    return min(LONGEST_BACKOFF, SHORTEST_THROTTLED * 2.0 ** min(attempt - 1, 10))


def _beyond(deadline: Deadline, wanted: float, asked: float | None, response: Any) -> Throttled:
    """There is no time for the pause before the next attempt."""
    if asked:
        told = f"Azure asks to wait {wanted:.0f} s before the next attempt"
    else:
        status = response.http_response.status_code if response is not None else "nothing"
        told = f"Azure answers {status}, and the next attempt is due in {wanted:.0f} s"
    return Throttled(
        f"{told}, but only {deadline.remaining:.0f} s of wait_timeout are left.",
        code="Throttled",
        retry_after=wanted,
        hint="Run again later, or give the task a longer wait_timeout.",
    )
