# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting: for operations by their headers, for resources by their state, against the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from .._clock import Deadline
from .._errors import OperationTimeout

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 10.0
_GROWTH = 1.6


class Pauses:
    """Growing pauses between two looks, where the service does not say how long to wait."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def next(self) -> float:
        """Seconds."""
        pause = self._next
        self._next = min(LONGEST_PAUSE, pause * _GROWTH)
        return pause


def timed_out(
    operation: str, resource: str, seconds: float, operation_url: str = ""
) -> OperationTimeout:
    """The error of a wait that came to its end; it names the operation for the next run."""
    operation_id = urlsplit(operation_url).path.rsplit("/", 1)[-1]
    named = f" (operation {operation_id})" if operation_id else ""
    return OperationTimeout(
        f"{operation} of {resource}{named} is not finished after {seconds:.0f} s; it goes on in Azure.",
        code="OperationTimeout",
        operation=operation_id or operation,
        resource=resource,
        hint="Run the same task again: it picks this operation up and starts no other."
        " A longer wait_timeout waits longer.",
    )


def operation_polling(
    deadline: Deadline, *, operation: str, resource: str, final_state_via: str | None = None
) -> Any:
    """azure-mgmt-core's polling of 201 and 202 answers, paced by Retry-After and the task's clock.

    Azure-AsyncOperation, Location and the state in the body are followed as azure-mgmt-core does.

    Args:
        final_state_via: ``location`` where only the Location URL has the result (beginGetAccess).
    """
    from azure.mgmt.core.polling.arm_polling import ARMPolling

    class DeadlinePolling(ARMPolling):
        def __init__(self) -> None:
            options = {"final-state-via": final_state_via} if final_state_via else None
            super().__init__(lro_options=options)
            self._pauses = Pauses()

        def _delay(self) -> None:
            if deadline.passed:
                raise timed_out(
                    operation, resource, deadline.seconds, self._operation.get_polling_url()
                )
            asked = self._pipeline_response.http_response.headers.get("Retry-After") or ""
            seconds = float(asked) if asked.isdigit() else 0.0
            # 0 s is no pace: Azure would be asked without a pause until the deadline.
            deadline.pause(seconds or self._pauses.next())

    return DeadlinePolling()


def wait_until(
    look: Callable[[], Any],
    done: Callable[[Any], bool],
    deadline: Deadline,
    *,
    operation: str,
    resource: str,
) -> Any:
    """Look again and again until ``done`` is true; what was seen then.

    Raises:
        OperationTimeout: when the deadline has passed.
    """
    pauses = Pauses()
    while not done(seen := look()):
        if deadline.passed:
            raise timed_out(operation, resource, deadline.seconds)
        deadline.pause(pauses.next())
    return seen
