# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk restore points, by id: what a restore point holds of one disk."""

from __future__ import annotations

from typing import Any

from .._arm.client import ArmClient
from .ids import ResourceId

Raw = dict[str, Any]


def find_disk_restore_point(arm: ArmClient, point_id: str) -> Raw | None:
    """One disk restore point; None where there is none.

    Raises:
        InputError: the id is no resource's.
    """
    parsed = ResourceId.parse(point_id)
    return arm.find(
        "disk_restore_point.get", point_id, parsed.group, parsed.name, *parsed.child_names
    )
