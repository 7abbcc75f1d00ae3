# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups as results show them: facts of the repository, with the contract of what takes time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .._compute.status import PROGRESSING, READY, conditions, is_ready
from .._image import report
from .._repository.manifest import Manifest
from .._repository.repository import Repository
from .engine import Outcome
from .levels import DIFFERENTIAL, FULL, Decision
from .machine import BackupDisk, Machine
from .request import BackupRequest

_SOURCE = ("kind", "restore_point", "consistency", "requested_consistency", "same_moment")
_VM = ("id", "name", "resource_group", "subscription_id", "location", "vm_id")


def describe(backup: Manifest, configuration: bool = False) -> dict[str, Any]:
    """A backup that is in a repository.

    Args:
        configuration: include that of the machine.
    """
    disks = [report.disk(image) for image in backup.disks]
    shaped = {
        "id": backup.id,
        "vm": {key: backup.vm.get(key) for key in _VM},
        "level": report.level_of(disk["level"] for disk in disks),
        "started": backup.started,
        "finished": backup.finished,
        "seconds": _seconds(backup),
        "source": {key: backup.source.get(key) for key in _SOURCE},
        "disks": disks,
        "warnings": list(backup.warnings),
        **_contract(
            disks,
            backup.excluded_disks,
            conditions(READY, "Committed", "It can be restored from.", backup.finished),
            list(backup.source.get("indications") or []),
        ),
    }
    return {**shaped, "configuration": backup.configuration} if configuration else shaped


def _seconds(backup: Manifest) -> float:
    begun, ended = (datetime.fromisoformat(text) for text in (backup.started, backup.finished))
    return (ended - begun).total_seconds()


def _contract(
    disks: list[dict[str, Any]],
    excluded: list[dict[str, Any]],
    found: list[dict[str, Any]],
    indications: list[str],
) -> dict[str, Any]:
    return {
        "ready_to_use": is_ready(found),
        "conditions": found,
        "indications": indications,
        "included_disks": [report.included(disk) for disk in disks],
        "excluded_disks": report.excluded(excluded),
        "failure_deadline": None,
    }


def of(
    outcome: Outcome, repository: Repository, request: BackupRequest, subscription: str
) -> dict[str, Any]:
    """The result of ``disk_snapshot_backup``, with the same keys whether made or foretold."""
    if outcome.backup is not None:
        shaped = describe(outcome.backup)
    else:
        shaped = _foretold(outcome, request, subscription)
    return {
        "backup_id": shaped.pop("id"),
        "repository_id": repository.id or None,
        "requested_level": request.level,
        "stored_bytes": outcome.stored,
        "deleted_snapshots": outcome.deleted,
        **{key: value for key, value in shaped.items() if key != "warnings"},
    }


def _foretold(outcome: Outcome, request: BackupRequest, subscription: str) -> dict[str, Any]:
    machine = outcome.machine
    disks = [
        _foretold_disk(disk, outcome.planned[disk.unique_id], request) for disk in machine.disks
    ]
    source = {"kind": request.source, "requested_consistency": request.consistency_mode}
    return {
        "id": None,
        "vm": _identity(machine, request, subscription),
        "level": report.level_of(disk["level"] for disk in disks),
        "started": None,
        "finished": None,
        "seconds": None,
        "source": {key: source.get(key) for key in _SOURCE},
        "disks": disks,
        **_contract(
            disks, machine.excluded, conditions(PROGRESSING, "CheckMode", "It would be made."), []
        ),
    }


def _identity(machine: Machine, request: BackupRequest, subscription: str) -> dict[str, Any]:
    told = machine.identity(request.group, subscription)
    return {key: told.get(key) for key in _VM}


def _foretold_disk(disk: BackupDisk, decision: Decision, request: BackupRequest) -> dict[str, Any]:
    base = decision.base
    full = None
    if base is not None and decision.level != FULL:
        full = base.backup.id if decision.level == DIFFERENTIAL else base.image.full
    return report.disk_shape(
        name=disk.name,
        role=disk.role,
        lun=disk.lun,
        size_bytes=disk.size,
        level=decision.level,
        requested_level=request.level,
        fallback=decision.fallback,
        base_backup=base.backup.id if base else None,
        full_backup=full,
        source_disk_id=disk.id,
        unique_id=disk.unique_id,
        snapshot_id=None,
        seconds=None,
        facts=disk.facts(),
    )


def warnings_of(outcome: Outcome, request: BackupRequest) -> list[str]:
    """What a person should know; of a prediction also which disks would be read in full, and why."""
    if outcome.backup is not None:
        return outcome.warnings
    wished = "incremental" if request.level == "auto" else request.level
    return outcome.warnings + [
        f"{disk.name} would be backed up in full, not {wished}: {decision.fallback}."
        for disk in outcome.machine.disks
        if (decision := outcome.planned[disk.unique_id]).fallback
    ]


def summary(described: Manifest | dict[str, Any] | None) -> dict[str, Any] | None:
    """A backup as a diff shows it.

    Args:
        described: a backup, or a result of ``of``.
    """
    if described is None:
        return None
    if isinstance(described, Manifest):
        told = describe(described)
        told["backup_id"] = told["id"]
    else:
        told = described
    return {
        "backup": told["backup_id"],
        "started": told["started"],
        "disks": {disk["name"]: disk["level"] for disk in told["disks"]},
    }
