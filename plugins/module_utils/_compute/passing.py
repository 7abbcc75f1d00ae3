# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refusals of the compute and disk providers that pass by themselves, and waiting for that."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TypeVar

from .._arm.client import ArmClient
from .._arm.waiting import Pauses
from .._errors import AzureError, ConnectionFailed, Throttled, VmguardError

_Result = TypeVar("_Result")
_PRECONDITION_FAILED = 412
# Code, and words of the message where the code says too little.
#
# Another operation on the same thing: Azure Backup, Site Recovery and policies work on it as well
# (ConflictingConcurrentWriteNotAllowed: bosh-azure-cpi-release#762). Of restore points: Microsoft's
# "Troubleshoot restore point failures".
_PASSING = (
    ("Conflict", ""),
    ("ConflictingConcurrentWriteNotAllowed", ""),
    ("VMRestorePointClientError", "concurrent"),
    ("VMRestorePointInternalError", ""),
    ("OperationNotAllowed", "changes were made to the virtual machine"),
    ("OperationNotAllowed", "another operation is in progress"),
)
# A conflict that stays as long as the machine runs (AzureStorageExplorer#6654).
_IN_USE = "currently attached to running vm"


def passing(error: AzureError) -> bool:
    """Whether the same request may be taken a little later: nothing is wrong with it.

    412: the entity tag is another by now; 409 while another operation is under way; 429.
    """
    if error.status == _PRECONDITION_FAILED or isinstance(error, Throttled):
        return True
    text = error.message.lower()
    known = any(error.code == code and words in text for code, words in _PASSING)
    return known and _IN_USE not in text


def may_repeat(error: VmguardError) -> bool:
    """Whether a request that changes something may be sent again, after another look.

    What passes by itself, and what came to nothing known: the answer was lost, or is 408 or 5xx.
    """
    if isinstance(error, ConnectionFailed):
        return True
    unknown = isinstance(error, AzureError) and (error.status == 408 or (error.status or 0) >= 500)
    return unknown or (isinstance(error, AzureError) and passing(error))


def wait_out(arm: ArmClient, act: Callable[[], _Result], most: int | None = None) -> _Result:
    """Do it again while the refusal passes by itself, up to the deadline.

    Args:
        most: how often it is tried at the most; None for no other end than the deadline.

    Raises:
        VmguardError: as ``act``, when the deadline has passed or the refusal stays.
    """
    pauses = Pauses()
    for attempt in itertools.count(1):
        try:
            return act()
        except AzureError as error:
            pause = max(error.retry_after or 0.0, pauses.next())
            if not passing(error) or attempt == most or pause >= arm.deadline.remaining:
                raise
            arm.deadline.pause(pause)
    raise AssertionError
