"""The disks that a request wants a virtual machine to have, and what is to be done for them."""

from __future__ import annotations

import copy
import uuid
from dataclasses import dataclass, field
from typing import Any

from ..arm.resources import Resource, same_id
from ..errors import ArmError, conflict, invalid_parameter, missing_parameter
from ..state import State
from .access import refresh
from .content import resized_down
from .disk_model import DISK_TYPE, GIB, attach, detach, disk_id, new_disk
from .sizes import capabilities, max_data_disks
from .tracked import change_refused, source_not_found

IMAGE_DISK_GB = 30
_LAST_LUN = 63


@dataclass
class Machine:
    """The virtual machine that disks are wanted for."""

    id: str
    location: str
    zones: list[str]
    size: str

    @property
    def name(self) -> str:
        return self.id.rsplit("/", 1)[1]


@dataclass
class StoragePlan:
    """``profile`` is what there is in the end; the rest is done at once or at the operation's end.

    ``leaving`` are the data disks that the machine shows until then, marked as to be detached.
    ``sizes`` are the GiB that attached disks are to have, by their ids.
    """

    profile: dict[str, Any]
    attached: list[Resource] = field(default_factory=list)
    wanted: list[dict[str, Any]] = field(default_factory=list)
    detached: list[Resource] = field(default_factory=list)
    leaving: list[dict[str, Any]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def meanwhile(self) -> dict[str, Any]:
        """What the machine shows while the operation runs."""
        return {**self.profile, "dataDisks": [*self.leaving, *self.profile["dataDisks"]]}

    def begin(self, state: State, machine: Machine, *, reserved: bool) -> None:
        """Attach the disks that exist, so that no other machine gets them."""
        for disk in self.attached:
            attach(state, disk, machine.id, reserved=reserved)

    def finish(self, state: State, machine: Machine, *, reserved: bool) -> None:
        """Make the disks that do not exist yet, and let go of those that are no longer wanted."""
        for number, entry in enumerate(self.wanted, start=1):
            made = _make(state, machine, entry, number, self.profile.get("imageReference"))
            attach(state, made, machine.id, reserved=reserved)
        self.wanted.clear()
        for disk in self.attached:
            self._grow(disk)
        for disk in self.detached:
            detach(state, disk)

    def _grow(self, disk: Resource) -> None:
        """An attached disk takes on the size that the request names, unless it is larger."""
        asked, held = self.sizes.get(disk.id), disk.properties["diskSizeGB"]
        if asked is None or asked == held:
            return
        if asked < held:
            raise resized_down()
        disk.hidden["image"].resize(asked * GIB)
        disk.properties.update(diskSizeGB=asked, diskSizeBytes=asked * GIB)
        for entry in (self.profile["osDisk"], *self.profile["dataDisks"]):
            if same_id(entry["managedDisk"].get("id", ""), disk.id):
                entry["diskSizeGB"] = asked

    def undo(self, state: State) -> None:
        """Let go of the disks that ``begin`` attached."""
        for disk in self.attached:
            detach(state, disk)


def plan_new(state: State, machine: Machine, asked: dict[str, Any]) -> StoragePlan:
    """The disks of a new machine.

    Raises:
        ArmError: for whatever the service refuses before it begins.
    """
    if not asked.get("osDisk"):
        raise missing_parameter("storageProfile.osDisk")
    profile = {}
    if asked.get("imageReference"):
        profile["imageReference"] = dict(asked["imageReference"])
        if profile["imageReference"].get("version") == "latest":
            profile["imageReference"]["exactVersion"] = "1.0.0"
    plan = StoragePlan(profile)
    profile["osDisk"] = _new_os_disk(state, machine, asked, plan)
    check_luns(machine, asked.get("dataDisks") or [])
    profile["dataDisks"] = [
        _new_data_disk(state, machine, entry, plan) for entry in asked.get("dataDisks") or []
    ]
    if asked.get("diskControllerType"):
        profile["diskControllerType"] = asked["diskControllerType"]
    return plan


def plan_change(
    state: State, machine: Machine, held: dict[str, Any], asked: dict[str, Any], *, running: bool
) -> StoragePlan:
    """The disks of a machine that exists; ``held`` is its storage profile now.

    Raises:
        ArmError: for whatever the service refuses before it begins.
    """
    plan = StoragePlan(copy.deepcopy(held))
    if asked.get("osDisk"):
        _change_os_disk(state, machine, plan, asked["osDisk"], running)
    if asked.get("dataDisks") is not None:
        _change_data_disks(state, machine, plan, asked["dataDisks"])
    for entry in (
        plan.profile["osDisk"],
        *plan.profile["dataDisks"],
    ):  # left over by a failed creation
        if "id" not in entry["managedDisk"] and not any(entry is item for item in plan.wanted):
            plan.wanted.append(entry)
    return plan


# -- the OS disk


def _new_os_disk(
    state: State, machine: Machine, asked: dict[str, Any], plan: StoragePlan
) -> dict[str, Any]:
    entry = asked["osDisk"]
    option = str(entry.get("createOption") or "").lower()
    if option == "attach":
        disk = _free_disk(state, machine, entry, "osDisk")
        os_type = entry.get("osType")
        if not os_type:
            raise missing_parameter("osDisk.osType")
        plan.attached.append(disk)
        _note_size(plan, disk, entry)
        return _entry(entry, "Attach", disk=disk, os_type=os_type, caching="ReadWrite")
    if option != "fromimage":
        raise invalid_parameter(
            f"The value '{entry.get('createOption')}' of parameter 'osDisk.createOption' is not"
            " valid."
        )
    if not asked.get("imageReference"):
        raise missing_parameter("storageProfile.imageReference")
    os_type = entry.get("osType") or os_of_image(asked["imageReference"])
    made = _entry(entry, "FromImage", os_type=os_type, caching="ReadWrite")
    made.setdefault("diskSizeGB", IMAGE_DISK_GB)
    plan.wanted.append(made)
    return made


def image_id(subscription: str, location: str, reference: dict[str, Any]) -> str:
    """The id of a marketplace image; its casing is the service's."""
    version = reference.get("exactVersion") or reference.get("version")
    return (
        f"/Subscriptions/{subscription}/Providers/Microsoft.Compute/Locations/{location}"
        f"/Publishers/{reference['publisher']}/ArtifactTypes/VMImage"
        f"/Offers/{reference.get('offer')}/Skus/{reference.get('sku')}/Versions/{version}"
    )


def os_of_image(reference: dict[str, Any]) -> str:
    """The operating system of a marketplace image, by its name."""
    text = " ".join(str(value) for value in reference.values()).lower()
    return "Windows" if "windows" in text else "Linux"


def _change_os_disk(
    state: State, machine: Machine, plan: StoragePlan, asked: dict[str, Any], running: bool
) -> None:
    held = plan.profile["osDisk"]
    for name in ("createOption", "osType"):
        if asked.get(name) and str(asked[name]).lower() != held[name].lower():
            raise change_refused(f"osDisk.{name}")
    wanted = (asked.get("managedDisk") or {}).get("id")
    held_id = held["managedDisk"].get("id", "")
    if wanted and not same_id(wanted, held_id):
        _swap_os_disk(state, machine, plan, asked, running)
    elif asked.get("name") and asked["name"].lower() != held.get("name", "").lower():
        raise change_refused("osDisk.name")
    for name in ("caching", "writeAcceleratorEnabled", "deleteOption"):
        if asked.get(name) is not None:
            plan.profile["osDisk"][name] = asked[name]


def _swap_os_disk(
    state: State, machine: Machine, plan: StoragePlan, asked: dict[str, Any], running: bool
) -> None:
    held = plan.profile["osDisk"]
    disk = _free_disk(state, machine, asked, "osDisk")
    if asked.get("name") and asked["name"].lower() != disk.name.lower():
        raise change_refused("osDisk.name")
    if running:  # the service's own words are not recorded
        raise conflict(
            "OperationNotAllowed",
            f"The OS disk of VM '{machine.name}' cannot be swapped while the VM is running. Stop or"
            " deallocate the VM and try again.",
        )
    old = state.resources.get(held["managedDisk"]["id"])
    if old is not None:
        _check_exchange(machine, held, old, disk)
    plan.profile["osDisk"] = _entry(
        {**held, "managedDisk": {}}, held["createOption"], disk=disk, os_type=held["osType"],
        caching=held["caching"],
    )  # fmt: skip
    plan.attached.append(disk)
    if old is not None:
        plan.detached.append(old)


def _check_exchange(machine: Machine, held: dict[str, Any], old: Resource, new: Resource) -> None:
    """Refuse an OS disk that cannot take the place of the present one.

    The code of the first is documented, the texts of all three are not recorded.
    """
    settings = (held.get("encryptionSettings"), old.properties.get("encryptionSettingsCollection"))
    if any((one or {}).get("enabled") for one in settings):
        raise conflict(
            "OSDiskSwapNotSupportedForVMsUsingDiskEncryption",
            f"The OS disk of VM '{machine.name}' cannot be swapped because the VM uses Azure Disk"
            " Encryption.",
        )
    sizes = [disk.properties["diskSizeGB"] for disk in (old, new)]
    if sizes[0] != sizes[1]:
        raise conflict(
            "OperationNotAllowed",
            f"The OS disk of VM '{machine.name}' has {sizes[0]} GB and cannot be swapped for disk"
            f" '{new.name}' of {sizes[1]} GB.",
        )
    keys = [disk.properties["encryption"].get("diskEncryptionSetId", "") for disk in (old, new)]
    if not same_id(*keys):
        raise conflict(
            "OperationNotAllowed",
            f"The OS disk of VM '{machine.name}' cannot be swapped for disk '{new.name}', which has"
            " another disk encryption set.",
        )


# -- data disks


def check_luns(machine: Machine, entries: list[dict[str, Any]]) -> None:
    """Refuse more data disks than a size takes, a size that there is not, and LUNs used twice.

    Raises:
        ArmError: 400 or 409.
    """
    if len(entries) > max_data_disks(machine.size):
        raise conflict(
            "OperationNotAllowed",
            "The maximum number of data disks allowed to be attached to a VM of this size is"
            f" {max_data_disks(machine.size)}.",
        )
    seen: set[int] = set()
    for entry in entries:
        lun = entry.get("lun")
        if lun is None:
            raise missing_parameter("dataDisk.lun")
        if not isinstance(lun, int) or not 0 <= lun <= _LAST_LUN:
            raise invalid_parameter(
                f"The value '{lun}' of parameter 'dataDisk.lun' is out of range."
            )
        if lun in seen:
            raise invalid_parameter(
                f"A disk named '{entry.get('name')}' already uses the same LUN: {lun}."
            )
        seen.add(lun)


def _new_data_disk(
    state: State, machine: Machine, entry: dict[str, Any], plan: StoragePlan
) -> dict[str, Any]:
    option = str(entry.get("createOption") or "").lower()
    if option == "attach":
        disk = _free_disk(state, machine, entry, "dataDisk")
        if any(item is disk for item in plan.attached):
            raise invalid_parameter(f"Disk '{disk.name}' appears more than once in the request.")
        plan.attached.append(disk)
        _note_size(plan, disk, entry)
        return _entry(entry, "Attach", disk=disk, caching="None")
    if option not in ("empty", "fromimage"):
        raise invalid_parameter(
            f"The value '{entry.get('createOption')}' of parameter 'dataDisk.createOption' is not"
            " valid."
        )
    if not entry.get("diskSizeGB"):
        raise missing_parameter("dataDisk.diskSizeGB")
    made = _entry(entry, "Empty" if option == "empty" else "FromImage", caching="None")
    plan.wanted.append(made)
    return made


def _change_data_disks(
    state: State, machine: Machine, plan: StoragePlan, asked: list[dict[str, Any]]
) -> None:
    """The list replaces the one there is. The service tells the disks apart by their LUN."""
    held = {entry["lun"]: entry for entry in plan.profile["dataDisks"]}
    forced = {
        entry.get("lun"): {"detachOption": entry["detachOption"]}
        for entry in asked
        if entry.get("toBeDetached") and entry.get("detachOption")
    }
    asked = [entry for entry in asked if not entry.get("toBeDetached")]
    check_luns(machine, asked)
    made = []
    for entry in asked:
        if entry["lun"] in held:
            made.append(_kept_data_disk(held[entry["lun"]], entry))
        else:
            made.append(_new_data_disk(state, machine, entry, plan))
    plan.profile["dataDisks"] = made
    luns = {entry["lun"] for entry in made}
    gone = [entry for lun, entry in held.items() if lun not in luns]
    plan.leaving = [
        {**entry, "toBeDetached": True, **forced.get(entry["lun"], {})} for entry in gone
    ]
    found = (state.resources.get(entry["managedDisk"].get("id", "")) for entry in gone)
    plan.detached += [disk for disk in found if disk is not None]


def _kept_data_disk(held: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """A disk that stays on its LUN; another disk cannot take its place in one request."""
    wanted = (asked.get("managedDisk") or {}).get("id")
    if wanted and not same_id(wanted, held["managedDisk"].get("id", "")):
        raise change_refused("dataDisk.managedDisk.id")
    if asked.get("name") and asked["name"].lower() != held.get("name", "").lower():
        raise change_refused("dataDisk.name")
    if asked.get("createOption") and asked["createOption"].lower() != held["createOption"].lower():
        raise change_refused("dataDisk.createOption")
    changes = ("caching", "writeAcceleratorEnabled", "deleteOption")
    return {**held, **{key: asked[key] for key in changes if asked.get(key) is not None}}


# -- what both have in common


def _free_disk(state: State, machine: Machine, entry: dict[str, Any], kind: str) -> Resource:
    """The disk to attach.

    Raises:
        ArmError: when it does not exist in this region and zone, or is not free.
    """
    wanted = (entry.get("managedDisk") or {}).get("id")
    if not wanted:
        raise missing_parameter(f"{kind}.managedDisk.id")
    disk = state.resources.get(wanted)
    if disk is None or disk.type != DISK_TYPE or disk.location.lower() != machine.location.lower():
        raise source_not_found(wanted)
    refresh(state, disk)
    _check_owner(disk, machine)
    _check_zone(disk, machine)
    if disk.properties["diskState"] not in ("Unattached", "Attached", "Reserved"):
        raise conflict(
            "Conflict",
            f"Disk {disk.id} cannot be attached to VM {machine.id} because its state is"
            f" {disk.properties['diskState']}.",
        )
    return disk


def _note_size(plan: StoragePlan, disk: Resource, entry: dict[str, Any]) -> None:
    if entry.get("diskSizeGB") is not None:
        plan.sizes[disk.id] = entry["diskSizeGB"]


def _check_owner(disk: Resource, machine: Machine) -> None:
    owner = disk.body.get("managedBy")
    if owner is None:
        return
    if same_id(owner, machine.id):
        raise conflict(
            "AttachDiskWhileBeingDetached",
            f"Cannot attach data disk '{disk.name}' to VM '{machine.name}' because the disk is"
            " currently being detached or the last detach operation failed. Please wait until the"
            " disk is completely detached and then try again or delete/detach the disk explicitly"
            " again.",
        )
    if disk.properties.get("maxShares", 1) <= 1:
        raise conflict(
            "ConflictingUserInput",
            f"Cannot attach the disk {disk.name} to VM {machine.id} because it is already attached"
            f" to VM {owner}. A disk can be attached to only one VM at a time.",
        )


def _check_zone(disk: Resource, machine: Machine) -> None:
    zonal = not disk.body["sku"]["name"].upper().endswith("_ZRS")
    zones = disk.body.get("zones") or []
    if zonal and zones != machine.zones:
        vm_zone, disk_zone = ("".join(item[:1]) for item in (machine.zones, zones))
        raise ArmError(
            400, "BadRequest",
            f"Disk {disk.id} cannot be attached to the VM because it is not in the same zone as the"
            f" VM. VM zone: '{vm_zone}'. Disk zone: '{disk_zone}'.",
        )  # fmt: skip


def _entry(
    asked: dict[str, Any],
    option: str,
    *,
    caching: str,
    disk: Resource | None = None,
    os_type: str | None = None,
) -> dict[str, Any]:
    """A disk in the storage profile, members in the service's order."""
    managed = {
        key: value
        for key, value in (asked.get("managedDisk") or {}).items()
        if key in ("storageAccountType", "diskEncryptionSet", "securityProfile") and value
    }
    sku = "Standard_LRS" if disk is None else disk.body["sku"]["name"]
    managed.setdefault("storageAccountType", sku)
    size = asked.get("diskSizeGB")
    if disk is not None:
        managed["id"] = disk.id
        size = disk.properties["diskSizeGB"]
    made: dict[str, Any] = {
        "lun": asked.get("lun") if os_type is None else None,
        "osType": os_type,
        "name": disk.name if disk is not None else asked.get("name"),
        "createOption": option,
        "caching": asked.get("caching") or caching,
        "writeAcceleratorEnabled": asked.get("writeAcceleratorEnabled"),
        "managedDisk": managed,
        "encryptionSettings": asked.get("encryptionSettings") if os_type else None,
        "deleteOption": asked.get("deleteOption") or "Detach",
        "diskSizeGB": size,
        "toBeDetached": False if os_type is None else None,
    }
    return {key: value for key, value in made.items() if value is not None}


def _make(
    state: State, machine: Machine, entry: dict[str, Any], number: int, image: dict[str, Any] | None
) -> Resource:
    """Make the disk of an entry, and write its name and id into the entry."""
    os_type = entry.get("osType")
    kind = "OsDisk_1" if os_type else f"disk{number}"
    entry_name = entry.get("name") or f"{machine.name}_{kind}_{uuid.uuid4().hex}"
    subscription, group = machine.id.split("/")[2], machine.id.split("/")[4]
    size = entry["diskSizeGB"]
    if os_type and size < IMAGE_DISK_GB:
        raise resized_down()
    if state.resources.get(disk_id(subscription, group, entry_name)) is not None:
        raise conflict(
            "ConflictingUserInput", f"Disk {entry_name} already exists in resource group {group}."
        )
    creation: dict[str, Any] = {"createOption": "FromImage" if os_type else "Empty"}
    if os_type and (image or {}).get("publisher"):
        creation["imageReference"] = {"id": image_id(subscription, machine.location, image)}
    managed = entry["managedDisk"]
    disk = new_disk(
        state, subscription=subscription, group=group, name=entry_name, location=machine.location,
        image=state.store.create(size * GIB), sku=managed["storageAccountType"], size_gb=size,
        os_type=os_type, zones=machine.zones or None, creation_data=creation,
        hyper_v_generation="V2" if os_type else None,
        extra={"supportedCapabilities": capabilities(machine.size)} if os_type else None,
    )  # fmt: skip
    rest = {key: value for key, value in entry.items() if key not in ("lun", "osType", "name")}
    first = {key: entry[key] for key in ("lun", "osType") if key in entry}
    entry.clear()
    entry.update({**first, "name": entry_name, **rest})
    entry["managedDisk"] = {**managed, "id": disk.id}
    return disk
