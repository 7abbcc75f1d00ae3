# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups of a machine by its name, without knowing its resource id."""

from __future__ import annotations

from .._errors import InputError
from . import manifest, names
from .manifest import Manifest
from .repository import Repository


def of_vm(repository: Repository, vm: str, group: str | None) -> list[str]:
    """The names of the manifests of a machine that is named, oldest first.

    Reads one manifest of each machine, not all of them.

    Args:
        group: its resource group, to tell machines of one name apart.

    Raises:
        InputError: several machines have this name.
    """
    newest = {name.split("/")[1]: name for name in _of_time(manifest.listed(repository))}
    matching: dict[str, str] = {}
    for name, outcome in manifest.read_all(repository, list(newest.values())):
        key = name.split("/")[1]
        found = outcome if isinstance(outcome, Manifest) else _readable(repository, key)
        if found is None or str(found.vm.get("name")).lower() != vm.lower():
            continue
        held = str(found.vm.get("resource_group"))
        if group is None or held.lower() == group.lower():
            matching[key] = f"{found.vm.get('subscription_id')}/{held}"
    if len(matching) > 1:
        places = ", ".join(sorted(matching.values()))
        raise InputError(
            f"The repository has backups of several machines {vm}, in {places}.",
            hint="Say with resource_group which one is meant, or name a backup by its id.",
        )
    return [name for key in matching for name in _of_time(manifest.listed(repository, key))]


def _of_time(found: list[str]) -> list[str]:
    """Without what no backup is called: garbage, which must not pass for the latest one."""
    return [name for name in found if names.moment(name.rpartition("/")[2])]


def _readable(repository: Repository, key: str) -> Manifest | None:
    """Any backup of a machine that can be read."""
    found = manifest.read_all(repository, manifest.listed(repository, key))
    return next((one for _name, one in found if isinstance(one, Manifest)), None)
