# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource ids and names. Ids compare case-insensitively (Azure changes their casing in lists)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .._errors import InputError

COLLECTION_TYPE = "restorePointCollections"
# Restore points cannot have tags, so those taken before a restore in place are known by their names.
SAFETY_PREFIX = "before-restore-"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?")


def same_id(one: str | None, other: str | None) -> bool:
    """Whether two ids name the same resource."""
    return (one or "").rstrip("/").lower() == (other or "").rstrip("/").lower()


@dataclass(frozen=True)
class ResourceId:
    """A parsed id of a resource, or of a child of one (``child_names`` below it)."""

    subscription: str
    group: str
    provider: str
    type: str
    name: str
    child_names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ResourceId:
        """Parse an id.

        Raises:
            InputError: when it is not the id of a resource in a resource group.
        """
        parts = text.strip().strip("/").split("/")
        shaped = (
            len(parts) >= 8
            and len(parts) % 2 == 0
            and all(parts)
            and [parts[0].lower(), parts[2].lower(), parts[4].lower()]
            == ["subscriptions", "resourcegroups", "providers"]
        )
        if not shaped:
            raise InputError(
                f"{text!r} is not a resource id: it should look like /subscriptions/<id>/resourceGroups/"
                "<group>/providers/<provider>/<type>/<name>."
            )
        return cls(parts[1], parts[3], parts[5], parts[6], parts[7], tuple(parts[9::2]))


def resource_id(subscription: str, group: str, resource_type: str, name: str) -> str:
    """The id of a Microsoft.Compute resource; ``resource_type`` is e.g. ``disks``."""
    return (
        f"/subscriptions/{subscription}/resourceGroups/{group}"
        f"/providers/Microsoft.Compute/{resource_type}/{name}"
    )


def restore_point_id(subscription: str, group: str, collection: str, name: str) -> str:
    return f"{resource_id(subscription, group, COLLECTION_TYPE, collection)}/restorePoints/{name}"


def check_name(name: str, what: str) -> str:
    """A name that Azure accepts for disks, snapshots, restore points and their collections.

    1 to 80 letters, digits, ``_``, ``.`` and ``-``, beginning with a letter or digit and ending with
    a letter, digit or ``_`` (naming rules of Microsoft.Compute).

    Raises:
        InputError: for any other name.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is not a name that Azure accepts for a {what}: 1 to 80 letters, digits, '_', '.'"
            " and '-', beginning with a letter or digit and ending with a letter, digit or '_'."
        )
    return name


def same_location(one: str, other: str) -> bool:
    """Regions compare without casing and spaces: ``West Europe`` is ``westeurope``."""
    return one.replace(" ", "").lower() == other.replace(" ", "").lower()
