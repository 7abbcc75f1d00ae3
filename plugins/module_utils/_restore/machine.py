# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks in requests for virtual machines: of a new one, or other disks for an existing one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .._compute.ids import same_id
from .._compute.storage_profile import Lun, attached_disks, disk_id, role
from .._errors import VmguardError
from .journal import Place
from .plan import DiskPlan, Raw

# Newer versions of the API take IOPS and MB/s as a wish: what was read before may be old by then.
_OF_THE_DISK = ("diskSizeGB", "toBeDetached", "diskIOPSReadWrite", "diskMBpsReadWrite")


def storage_profile(disks: list[DiskPlan]) -> Raw:
    """All disks attached as the restore point had them: LUN, caching, write accelerator."""
    profile: Raw = {"dataDisks": []}
    for disk in disks:
        entry = attachment(disk)
        if disk.source.lun is None:
            profile["osDisk"] = {"osType": disk.source.os_type, **entry}
        else:
            profile["dataDisks"].append({"lun": disk.source.lun, **entry})
    return profile


def attachment(disk: DiskPlan) -> Raw:
    entry: Raw = {
        "name": disk.name,
        "createOption": "Attach",
        "caching": disk.source.caching,
        "managedDisk": {"id": disk.id},
        "deleteOption": "Detach",
    }
    if disk.source.write_accelerator:
        entry["writeAcceleratorEnabled"] = True
    return entry


class MachineChanged(VmguardError):
    """Somebody else changed the disks that a restore swaps."""

    default_code = "MachineChanged"


def restored_entry(disk: DiskPlan, old: Raw) -> Raw:
    """How a restored disk is attached in place: as the point had it; with the machine it goes as the
    disk before it did.

    Args:
        old: the entry of the disk that it replaces, empty for none.
    """
    entry = attachment(disk)
    if disk.source.lun is not None:
        entry["lun"] = disk.source.lun
    if old.get("deleteOption"):
        entry["deleteOption"] = old["deleteOption"]
    return entry


def original_entry(place: Place) -> Raw:
    """How the disk that was replaced was attached."""
    entry = {
        "name": place.old.rsplit("/", 1)[1],
        "createOption": "Attach",
        "managedDisk": {"id": place.old},
        **place.entry,
    }
    return entry if place.lun is None else {"lun": place.lun, **entry}


def remembered(entry: Raw) -> Raw:
    """What is kept of how a disk is attached, to attach it in the same way again."""
    names = ("caching", "writeAcceleratorEnabled", "deleteOption")
    return {name: entry[name] for name in names if entry.get(name)}


def swap_update(
    vm: Raw, places: Iterable[Place], entries: Mapping[Lun, Raw], *, back: bool = False
) -> Raw | None:
    """The next update that brings the places to their new disks, or back to their old ones.

    Azure lets an update change the disk behind the OS disk of a deallocated machine, but not the one
    behind a LUN; so a LUN is emptied by one update and filled by the next. All other disks are sent as
    the machine has them.

    Args:
        vm: as it was just read.
        entries: by LUN, the entries of the disks that are to be there.

    Returns:
        The body of a PATCH; None where nothing is left to do.

    Raises:
        MachineChanged: a place holds a disk that is none of the two, or the disk is somewhere else.
    """
    have = attached_disks(vm)
    leaving, arriving = [], {}
    for place in places:
        goal, other = (place.old, place.new) if back else (place.new, place.old)
        there = disk_id(have.get(place.lun))
        if same_id(there, goal):
            continue
        _check_place(vm, place, there, goal, other, have)
        if there:
            leaving.append(place.lun)
        if goal:
            arriving[place.lun] = entries[place.lun]
    if not leaving and not arriving:
        return None
    return _storage_update(have, leaving, arriving)


def _check_place(
    vm: Raw, place: Place, there: str, goal: str, other: str, have: dict[Lun, Raw]
) -> None:
    where = f"{role(place.lun)} of {vm['name']}"
    if there and not same_id(there, other):
        raise MachineChanged(
            f"{where} now holds {there.rsplit('/', 1)[1]}, which somebody attached since the restore"
            " began.",
            resource=vm["id"],
            hint="Detach it, or attach it elsewhere, then run the task again.",
        )
    for lun, entry in have.items():
        if goal and same_id(disk_id(entry), goal):
            raise MachineChanged(
                f"The disk {goal.rsplit('/', 1)[1]}, which belongs at {where}, is attached at"
                f" {role(lun)} now.",
                resource=vm["id"],
                hint="Detach it there, then run the task again.",
            )
        if entry.get("toBeDetached"):
            raise MachineChanged(
                f"The disk {entry['name']} of {vm['name']} is being detached by somebody.",
                resource=vm["id"],
                hint="Run the task again when it is detached.",
            )


def _storage_update(have: dict[Lun, Raw], leaving: list[Lun], arriving: dict[Lun, Raw]) -> Raw:
    data_leaving = [lun for lun in leaving if lun is not None]
    data = [
        _sendable(entry) for lun, entry in have.items() if lun not in leaving and lun is not None
    ]
    profile: Raw = {}
    if None in arriving:
        profile["osDisk"] = _os_entry(have[None], arriving[None])
    if not data_leaving:
        data += [entry for lun, entry in arriving.items() if lun is not None]
    if data_leaving or any(lun is not None for lun in arriving):
        profile["dataDisks"] = sorted(data, key=lambda entry: entry["lun"])
    return {"properties": {"storageProfile": profile}}


def _os_entry(held: Raw, arriving: Raw) -> Raw:
    # How the machine got its first OS disk (createOption) cannot be changed; which disk it is, can.
    fixed = {key: held[key] for key in ("createOption", "osType") if key in held}
    # What a PATCH leaves out stays as it is.
    if held.get("writeAcceleratorEnabled") and not arriving.get("writeAcceleratorEnabled"):
        fixed["writeAcceleratorEnabled"] = False
    return {**arriving, **fixed}


def _sendable(entry: Raw) -> Raw:
    """An attachment that Azure takes back: size, SKU and speed belong to the disk, not to the request."""
    kept = {key: value for key, value in entry.items() if key not in _OF_THE_DISK}
    kept["managedDisk"] = {"id": disk_id(entry)}
    return kept
