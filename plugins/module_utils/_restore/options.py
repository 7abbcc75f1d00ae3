# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a restore: what there is, what contradicts, and what the engine is told."""

from __future__ import annotations

from typing import Any

from .._errors import InputError
from .._spec import OPTIONAL_REPOSITORY_SPEC
from .plan import IDENTITY_TAG
from .request import Request
from .targets.files import FORMATS

Params = dict[str, Any]

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **OPTIONAL_REPOSITORY_SPEC,
    "source": {
        "type": "str", "choices": ["restore_point", "backup"], "default": "restore_point",
    },
    "backup": {"type": "str"},
    "resource_group": {"type": "str"},
    "vm": {"type": "str"},
    "collection": {"type": "str"},
    "collection_resource_group": {"type": "str"},
    "restore_point": {"type": "str"},
    "at": {"type": "str"},
    "target": {
        "type": "str", "required": True, "choices": ["new_vm", "in_place", "disks", "files"],
    },
    "directory": {"type": "path"},
    "format": {"type": "str", "choices": list(FORMATS), "default": "raw"},
    "location": {"type": "str"},
    "disk_sizes": {"type": "dict"},
    "bandwidth_limit": {"type": "float"},
    "parallel_transfers": {"type": "int", "default": 8},
    "new_name": {"type": "str"},
    "new_resource_group": {"type": "str"},
    "size": {"type": "str"},
    "plan": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "product": {"type": "str", "required": True},
            "publisher": {"type": "str", "required": True},
            "promotion_code": {"type": "str"},
        },
    },
    "network_interfaces": {"type": "list", "elements": "str"},
    "subnet_id": {"type": "str"},
    "tags": {"type": "dict"},
    "start": {"type": "bool", "default": True},
    "zone": {"type": "str"},
    "disk_name_pattern": {"type": "str"},
    "disk_sku": {"type": "str"},
    "disk_encryption_set_id": {"type": "str"},
    "exclude_disks": {"type": "list", "elements": "str", "default": []},
    "allow_stop": {"type": "bool", "default": False},
    "safety_restore_point": {"type": "bool", "default": True},
    "old_disks": {"type": "str", "choices": ["keep", "delete"], "default": "keep"},
    "force": {"type": "bool", "default": False},
}  # fmt: skip
_OF_POINTS = ("restore_point", "collection", "collection_resource_group")
_OF_BACKUPS = ("backup", "repository", "directory", "location", "bandwidth_limit")


def check(params: Params) -> None:
    """Refuse options of the other source, and numbers that cannot be.

    Raises:
        InputError: naming the option.
    """
    backup = params["source"] == "backup"
    for option in _OF_POINTS if backup else _OF_BACKUPS:
        if params[option] is not None:
            other = "restore_point" if backup else "backup"
            raise InputError(f"{option} is for source: {other}, and source is {params['source']}.")
    for name in params["tags"] or {}:
        if name.lower().startswith(IDENTITY_TAG):
            raise InputError(f"tags: {name!r} is a name that vmguard.azure keeps for itself.")
    if params["target"] == "files" and not backup:
        raise InputError("target: files restores image backups: it needs source: backup.")
    if not 1 <= params["parallel_transfers"] <= 64:
        raise InputError(
            f"parallel_transfers is {params['parallel_transfers']}; it can be 1 to 64."
        )
    if params["bandwidth_limit"] is not None and params["bandwidth_limit"] <= 0:
        raise InputError("bandwidth_limit must be more than 0 MiB/s.")


def request_of(params: Params) -> Request:
    """The options as the engine takes them."""
    same = (
        "target", "vm", "new_name", "size", "subnet_id", "start", "zone", "disk_name_pattern",
        "disk_sku", "disk_encryption_set_id", "exclude_disks", "allow_stop",
        "safety_restore_point", "old_disks", "force", "wait",
    )  # fmt: skip
    return Request(
        group=params["resource_group"],
        new_group=params["new_resource_group"],
        network_interfaces=params["network_interfaces"] or [],
        tags={name: str(value) for name, value in (params["tags"] or {}).items()},
        disk_sizes=params["disk_sizes"] or {},
        plan=_plan(params["plan"]),
        **{name: params[name] for name in same},
    )


def _plan(asked: Params | None) -> Params | None:
    """A marketplace plan as Azure names its members."""
    names = {"promotion_code": "promotionCode"}
    return asked and {
        names.get(name, name): value for name, value in asked.items() if value is not None
    }


def bandwidth(params: Params) -> float | None:
    """Bytes per second, None for no limit."""
    limit = params["bandwidth_limit"]
    return None if limit is None else limit * (1 << 20)
