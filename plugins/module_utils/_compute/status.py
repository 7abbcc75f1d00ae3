# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of everything that takes time: conditions, indications, disks, deadlines.

Pure functions from what Azure answers to what a result says; docs/architecture.md states the contract.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from .._errors import InputError

CRASH, FILE_SYSTEM, APPLICATION = "CrashConsistent", "FileSystemConsistent", "ApplicationConsistent"
# What an option calls it, and how much each is worth.
CONSISTENCY = {"crash": CRASH, "filesystem": FILE_SYSTEM, "application": APPLICATION}
_WORTH = {CRASH: 1, FILE_SYSTEM: 2, APPLICATION: 3}

PROGRESSING, READY, FAILURE = "Progressing", "Ready", "Failure"


def parse_time(text: str) -> datetime:
    """A time of Azure's: up to seven fractional digits, any offset; UTC without one.

    Raises:
        InputError: when it is not an ISO 8601 time.
    """
    head, dot, tail = text.strip().replace("Z", "+00:00").partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        head = f"{head}.{digits[:6]:0<6}{tail[len(digits) :]}"
    try:
        moment = datetime.fromisoformat(head)
    except ValueError as error:
        raise InputError(f"{text!r} is not an ISO 8601 time.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def iso_time(moment: datetime) -> str:
    """UTC, to the second, as results show it: ``2026-09-01T10:00:00+00:00``."""
    return moment.astimezone(timezone.utc).isoformat(timespec="seconds")


def show_time(text: str | None) -> str | None:
    """A time of Azure's as results show it: in UTC, as exact as it was told."""
    return parse_time(text).astimezone(timezone.utc).isoformat() if text else None


def condition(
    kind: str, holds: bool, reason: str, message: str = "", moment: str | None = None
) -> dict[str, Any]:
    """One condition; ``moment`` is when it came to be so, None where Azure does not tell."""
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": reason,
        "message": message,
        "last_transition_time": moment,
    }


def conditions(
    phase: str, reason: str, message: str = "", moment: str | None = None
) -> list[dict[str, Any]]:
    """All three conditions of something that is in exactly one phase.

    Args:
        phase: PROGRESSING, READY or FAILURE.
    """
    return [
        condition(kind, kind == phase, reason, message if kind == phase else "", moment)
        for kind in (PROGRESSING, READY, FAILURE)
    ]


def is_ready(found: list[dict[str, Any]]) -> bool:
    """Whether the conditions say that it can be used."""
    return any(item["type"] == READY and item["status"] == "True" for item in found)


def failure_of(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The condition that says that it failed, None while it did not."""
    failed = (item for item in found if item["type"] == FAILURE and item["status"] == "True")
    return next(failed, None)


def indications(mode: str | None) -> list[str]:
    """How it was taken, as far as the achieved consistency tells.

    Only a running guest with an agent can flush its file systems or stop its applications. Crash
    consistency says that no agent took part, and nothing about whether the machine was running.
    """
    if mode is None:
        return []
    return ["NoGuestAgent", mode] if mode == CRASH else ["Online", "GuestAgent", mode]


def achieves(mode: str | None, required: str | None) -> bool:
    """Whether the achieved consistency is at least the required one (``None``: anything is)."""
    if required is None:
        return True
    return _WORTH.get(mode or "", 0) >= _WORTH[CONSISTENCY[required]]


def shortfall(mode: str | None, required: str | None) -> str | None:
    """What is missing, as a sentence; None when nothing is."""
    if achieves(mode, required):
        return None
    return (
        f"It is {mode or 'of unknown consistency'}, and {CONSISTENCY[required or '']} is required."
    )


def deadline_of(created: str | None, seconds: int | None) -> str | None:
    """The time after which something that is not ready has failed."""
    if created is None or seconds is None:
        return None
    return iso_time(parse_time(created) + timedelta(seconds=seconds))


def overdue(
    found: list[dict[str, Any]], deadline: str | None, now: datetime
) -> list[dict[str, Any]]:
    """The same conditions, or those of a failure when the deadline passed before it was ready."""
    if deadline is None or is_ready(found) or failure_of(found) or now <= parse_time(deadline):
        return found
    message = f"It was not ready by {deadline}."
    return conditions(FAILURE, "FailureDeadlineExceeded", message, deadline)


def replication(raw_view: dict[str, Any] | None) -> dict[str, Any] | None:
    """The progress of a copy from ``instanceView``; None where nothing is copied.

    The percentage of the whole is that of the disk that is furthest behind.
    """
    disks = [_disk_progress(item) for item in (raw_view or {}).get("diskRestorePoints") or []]
    disks = [disk for disk in disks if disk is not None]
    if not disks:
        return None
    percent = min(disk["percent"] for disk in disks)
    failed = any(disk["state"] == "failed" for disk in disks)
    state = "failed" if failed else "succeeded" if percent >= 100 else "replicating"
    return {"state": state, "percent": percent, "disks": disks}


def _disk_progress(item: dict[str, Any]) -> dict[str, Any] | None:
    told = item.get("replicationStatus")
    if not told:
        return None
    status = told.get("status") or {}
    state = status.get("code", "").rpartition("/")[2].lower()
    percent = told.get("completionPercent")
    if percent is None:
        percent = 100 if state == "succeeded" else 0
    return {
        "disk_restore_point": item["id"],
        "state": state or ("succeeded" if percent >= 100 else "replicating"),
        "percent": int(percent),
    }
