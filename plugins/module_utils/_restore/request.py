# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user asks a restore to do, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._compute import status
from .._errors import VmguardError
from .plan import Point, Raw, RestoredDisk

# Runs what changes something and gives its result; in check mode it does not, and gives the second.
Write = Callable[..., Any]

RESTORED, ALREADY_RESTORED = "Restored", "AlreadyRestored"


@dataclass(frozen=True)
class Request:
    """The options of a restore, checked for what can be checked without Azure."""

    target: str
    group: str | None
    vm: str | None
    new_name: str | None = None
    new_group: str | None = None
    size: str | None = None
    plan: Raw | None = None
    network_interfaces: list[str] = field(default_factory=list)
    subnet_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    start: bool = True
    zone: str | None = None
    disk_name_pattern: str | None = None
    disk_sku: str | None = None
    disk_encryption_set_id: str | None = None
    exclude_disks: list[str] = field(default_factory=list)
    allow_stop: bool = False
    safety_restore_point: bool = True
    old_disks: str = "keep"
    force: bool = False
    disk_sizes: Raw = field(default_factory=dict)
    wait: bool = True


@dataclass
class Outcome:
    """What a restore did, as it was read back; or in check mode would do."""

    point: Point
    target: str
    disks: list[RestoredDisk] = field(default_factory=list)
    excluded: list[Raw] = field(default_factory=list)
    vm_id: str | None = None
    power_state: str | None = None
    deleted_disks: list[str] = field(default_factory=list)
    kept_disks: list[str] = field(default_factory=list)
    safety_restore_point: str | None = None
    ready: bool = False
    reason: str = RESTORED
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    before: Raw | None = None
    after: Raw | None = None

    def result(self, now: datetime) -> Raw:
        """The module's result; ``now`` is when it was reached."""
        moment = status.iso_time(now)
        vm = None
        if self.vm_id:
            vm = {
                "id": self.vm_id,
                "name": self.vm_id.rsplit("/", 1)[1],
                "power_state": self.power_state,
            }
        os_profile = self.point.metadata.get("osProfile") or {}
        source = {
            "id": self.point.id,
            "name": self.point.name,
            "time": self.point.time,
            "consistency_mode": self.point.consistency,
            "location": self.point.location,
            "computer_name": os_profile.get("computerName"),
            "admin_username": os_profile.get("adminUsername"),
        }
        return {
            "vm": vm,
            "target": self.target,
            "restore_point": None if self.point.backup else source,
            "backup": {**source, "id": self.point.name} if self.point.backup else None,
            "disks": [disk.result() for disk in self.disks],
            "excluded_disks": self.excluded,
            "deleted_disks": self.deleted_disks,
            "kept_disks": self.kept_disks,
            "safety_restore_point": self.safety_restore_point,
            "ready_to_use": self.ready,
            "restore_time": moment,
            "conditions": status.conditions(
                status.READY if self.ready else status.PROGRESSING,
                self.reason,
                self.message,
                moment,
            ),
        }


class Telling:
    """A gate that says what a restore cannot bring back before anything is made.

    So it is said of a restore that fails as well. Each sentence is said once.
    """

    def __init__(self, write: Write, warn: Callable[[str], None]) -> None:
        self._write, self._warn = write, warn
        self._told: set[str] = set()

    def __call__(self, act: Callable[[], Any], predicted: Any = None) -> Any:
        self.tell(getattr(predicted, "warnings", []))
        return self._write(act, predicted)

    def tell(self, warnings: list[str]) -> None:
        """Say what was not said yet."""
        for warning in warnings:
            if warning not in self._told:
                self._told.add(warning)
                self._warn(warning)


class RestoreFailed(VmguardError):
    """A restore that came to nothing, and what was done about it."""

    default_code = "RestoreFailed"

    @classmethod
    def after(cls, cause: BaseException, undone: str, *, hint: str | None = None) -> RestoreFailed:
        """The error that tells the cause first and the state of things second."""
        if isinstance(cause, VmguardError):
            told = cause.failure()
            return cls(
                f"{cause.message.rstrip('.')}. {undone}",
                code=told["code"],
                operation=told["operation"],
                resource=told["resource"],
                request_id=told["request_id"],
                hint=hint or told["hint"],
            )
        if isinstance(cause, Exception):
            what = f"{type(cause).__name__}: {cause}"
            words = f"The restore ended with an error of vmguard.azure itself ({what})"
            return cls(f"{words}. {undone}", code="InternalError", hint=hint)
        return cls(f"The restore was interrupted. {undone}", code="Interrupted", hint=hint)
