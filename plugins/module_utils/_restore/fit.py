# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a restored OS disk fits its machine, by the rules of Azure for attaching and swapping one.

Sources: Azure's document on swapping OS disks (linux/os-disk-swap); "Security type of VM is not
compatible with the security type of attached OS Disk" (azure-cli#28457).
"""

from __future__ import annotations

from collections.abc import Iterable

from .._arm.client import ArmClient
from .._compute.disks import get_disk
from .._compute.ids import same_id
from .._compute.storage_profile import Lun, disk_id, os_disk
from .._errors import InputError
from .disk_request import TRUSTED_LAUNCH
from .journal import Place
from .plan import DiskPlan, Raw
from .refusals import refuse_encrypted_machine

_STANDARD = "Standard"


def security_type(described: Raw | None) -> str | None:
    """The security type of a machine's or disk's properties; None for a plain one."""
    told = ((described or {}).get("securityProfile") or {}).get("securityType")
    return None if told == _STANDARD else told


def fit_os_disk(
    planned: DiskPlan, vm: Raw, current: dict[Lun, Raw | None], held: str | None, notes: list[str]
) -> DiskPlan:
    """An OS disk that Azure takes in the place of today's: of its size, keys and security type.

    Args:
        current: the machine's disks by LUN.
        held: the security type that the disk restore point tells, None where it tells none.

    Raises:
        InputError: it cannot be one.
    """
    today_disk = current.get(None)
    if planned.source.lun is not None or today_disk is None:
        return planned
    refuse_encrypted_machine(vm, list(current.values()))
    if held == TRUSTED_LAUNCH and security_type(vm["properties"]) is None:
        raise _unfit(
            f"The OS disk of {vm['name']} would become one of Trusted Launch, and the machine is a plain one"
            " now: switch Trusted Launch on while it is deallocated, or use target: new_vm.",
            vm,
        )
    has = today_disk["properties"]
    set_id = (has.get("encryption") or {}).get("diskEncryptionSetId")
    if not same_id(planned.encryption_set_id, set_id):
        raise _unfit(
            f"The OS disk of {vm['name']} has the disk encryption set {set_id or 'none'}, the restored one"
            f" would have {planned.encryption_set_id or 'none'}, and Azure swaps OS disks only within one:"
            " say it with disk_encryption_set_id, or use target: new_vm.",
            vm,
        )
    return _of_todays_size(planned, vm, has.get("diskSizeGB"), notes)


def _of_todays_size(planned: DiskPlan, vm: Raw, today: int | None, notes: list[str]) -> DiskPlan:
    size = planned.properties.get("diskSizeGB") or planned.source.size_gb
    if not today or size == today:
        return planned
    if size > today:
        raise _unfit(
            f"The OS disk of {vm['name']} has {today} GiB, the restored one would have {size}, and Azure"
            " swaps only OS disks of one size: grow today's OS disk first, or use target: new_vm.",
            vm,
        )
    notes.append(
        f"The restored OS disk gets {today} GiB in place of {size}, as the one that it replaces has:"
        " Azure swaps only OS disks of one size."
    )
    return planned.of_size(today)


def _unfit(sentence: str, vm: Raw) -> InputError:
    return InputError(sentence, code="OSDiskSwapNotSupported", resource=vm["id"])


def need_fitting(arm: ArmClient, vm: Raw, places: Iterable[Place]) -> None:
    """Look at the new OS disk before the machine is stopped for it.

    Raises:
        InputError: Azure made it with another security type than the machine has.
    """
    for place in places:
        if place.lun is None:
            _need_type(get_disk(arm, place.new), vm["properties"], vm["name"])


def need_fitting_body(arm: ArmClient, name: str, body: Raw) -> None:
    """Look at the OS disk before a new machine is made of it. Raises: as ``need_fitting``."""
    _need_type(get_disk(arm, disk_id(os_disk(body["properties"]))), body["properties"], name)


def _need_type(disk: Raw, machine: Raw, name: str) -> None:
    wanted, has = security_type(machine), security_type(disk["properties"])
    option = (disk["properties"].get("supportedCapabilities") or {}).get("supportedSecurityOption")
    supports = wanted == TRUSTED_LAUNCH and str(option or "").startswith(TRUSTED_LAUNCH)
    if wanted == has or (has is None and supports):
        return
    raise InputError(
        f"Azure made the OS disk {disk['name']} with the security type {has or _STANDARD}, and {name} has"
        f" {wanted or _STANDARD}: a machine and its OS disk have one security type.",
        code="SecurityTypeDiffers",
        resource=disk["id"],
        hint="Use target: disks, and make a machine of that security type of them.",
    )
