"""What each scenario presupposes, and what happens between its steps."""

from __future__ import annotations

from arrange import (
    COMPUTE,
    DISK,
    World,
    identity,
    linux,
    make_collection,
    make_disk,
    make_group,
    make_nic,
    make_point,
    make_vm,
    resource,
    snapshot_of,
    windows,
)
from player import REPLICATION_SECONDS, Player
from refused import REFUSED_WORLDS

# -- one function for each scenario


def _disk_from_point(player: Player) -> None:
    make_group(player, "westus")
    make_vm(player, "westus", linux(key=True), attached=make_disk(player, "westus", "disk-0"))
    make_point(player, make_collection(player, "westus"), "point-1")


def _empty_collection(player: Player) -> None:
    make_group(player, "westus")
    make_vm(player, "westus", linux(key=True))
    make_collection(player, "westus")


def _machine_with_password(player: Player) -> None:
    make_group(player, "eastus2euap")
    make_vm(player, "eastus2euap", linux(key=False))


def _machine_with_key(player: Player) -> None:
    make_group(player, "westus")
    make_vm(player, "westus", linux(key=True))


def _machine_with_tags(player: Player) -> None:
    make_group(player, "westus")
    make_vm(player, "westus", linux(key=False), os_disk="disk-1", tags={})


def _two_machines(player: Player) -> None:
    for number, disks in (
        (1, {"os_disk": "disk-1"}),
        (2, {"os_disk": "disk-4", "empty": "disk-3"}),
    ):
        make_group(player, "westus", f"group-{number}")
        make_vm(player, "westus", linux(key=False), number=number, tags={}, **disks)


def _machine_to_swap(player: Player) -> None:
    make_group(player, "westus")
    make_vm(player, "westus", linux(key=True), os_disk="disk-2", tags={})


def _machine_with_identity(player: Player) -> None:
    make_group(player, "westus")
    group = f"/subscriptions/{player.subscription}/resourceGroups/group-1"
    user = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/identity-2"
    both = {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {user: {}}}
    make_vm(player, "westus", linux(key=True), os_disk="disk-1", tags={}, identity=both)


def _windows_machine(player: Player) -> None:
    make_group(player, "centraluseuap")
    disk = make_disk(player, "centraluseuap")
    image = {"publisher": "MicrosoftWindowsServer", "offer": "WindowsServer"}
    make_vm(player, "centraluseuap", windows(), attached=disk, diagnostics=True, **image)


def _group_only(player: Player) -> None:
    make_group(player, "eastus")


def _group_and_machine(player: Player) -> None:
    make_group(player, "eastus")
    make_vm(player, "eastus", linux(key=True))


def _interface_only(player: Player) -> None:
    make_group(player, "eastus")
    make_nic(player, "eastus")


def _incremental_snapshot(player: Player) -> None:
    make_group(player, "westus")
    make_group(player, "eastus", "group-2")
    disk = make_disk(player, "westus")
    body = {**snapshot_of(disk, "westus", incremental=True), "tags": {}}
    player.arrange("PUT", resource(player, "snapshots", "snapshot-1", DISK), body)


def _disk_elsewhere(player: Player) -> None:
    make_group(player, "westus")
    make_disk(player, "westus")


def _disk(player: Player) -> None:
    make_group(player, "eastus2")
    make_disk(player, "eastus2", osType="Linux")


def _disks_to_change(player: Player) -> None:
    """A Premium SSD in each of the groups of the recording, but for the one that it makes."""
    places = ("westus", "westus", "westus", "westus", "centraluseuap", "eastus2euap")
    disks = ("disk-1", "disk-2", "disk-3", "disk-2", "disk-4")
    sizes = (1, 5, 20, 5, 10)
    for number, location in enumerate(places, start=1):
        make_group(player, location, f"group-{number}")
    for number, (disk, size) in enumerate(zip(disks, sizes, strict=True), start=1):
        make_disk(
            player, places[number - 1], disk, group=f"group-{number}", premium=True,
            diskSizeGB=size, hyperVGeneration="V1",
        )  # fmt: skip


def _copied_point(player: Player) -> None:
    _machine_with_key(player)
    collection = make_collection(player, "westus")
    point = make_point(player, collection, "point-1")
    path = resource(player, "restorePointCollections", "collection-2", COMPUTE)
    body = {"location": "eastus", "properties": {"source": {"id": collection}}}
    player.arrange("PUT", path, body)
    make_point(player, identity(path), "point-2", sourceRestorePoint={"id": point})
    player.local.control.advance(REPLICATION_SECONDS)


def _groups_of_disks(player: Player) -> None:
    """A resource group for each part of the recording, two of them with a disk."""
    places = ("eastus2", "eastus2euap", "westus", "eastus2", "eastus2")
    for number, location in enumerate(places, start=1):
        make_group(player, location, f"group-{number}")
    ultra = {"sku": {"name": "UltraSSD_LRS"}, "tags": {}}
    make_disk(
        player, "eastus2euap", "disk-2", group="group-2", envelope=ultra, hyperVGeneration="V1"
    )
    make_disk(player, "eastus2", "disk-1", group="group-4", premium=True, hyperVGeneration="V1")


def _group_for_uploads(player: Player) -> None:
    make_group(player, "southcentralus")


def _machine_with_user_data(player: Player) -> None:
    make_group(player, "westus")
    make_vm(player, "westus", linux(key=True), os_disk="disk-1", tags={}, user_data="aGVsbG8=")


def _machine_to_copy(player: Player) -> None:
    """A machine whose OS disk is copied, and a snapshot of a data disk."""
    make_group(player, "westus")
    make_vm(player, "westus", linux(key=True), os_disk="disk-1", tags={}, name="vm-0")
    disk = make_disk(player, "westus", "disk-0", hyperVGeneration="V1")
    path = resource(player, "snapshots", "snapshot-3", DISK)
    player.arrange("PUT", path, snapshot_of(disk, "westus", incremental=False))


def _attach_what_was_copied(player: Player) -> None:
    """What the template made that is left out here: a machine whose agent says nothing yet."""
    nic = make_nic(player, "westus", "nic-2")
    entries = [
        {"lun": 0, "createOption": "Empty", "diskSizeGB": 3},
        {"lun": 1, "createOption": "Attach", "managedDisk": {"id": _disk_id(player, "disk-3")}},
    ]
    system = {"createOption": "Attach", "osType": "Linux", "diskSizeGB": 100,
              "managedDisk": {"id": _disk_id(player, "disk-2")}}  # fmt: skip
    properties = {
        "hardwareProfile": {"vmSize": "Standard_DS1_v2"},
        "storageProfile": {"osDisk": system, "dataDisks": entries},
        "networkProfile": {"networkInterfaces": [{"id": nic}]},
    }
    path = resource(player, "virtualMachines", "vm-1", COMPUTE)
    player.arrange("PUT", path, {"location": "westus", "tags": {}, "properties": properties})
    player.local.control.call("PATCH", "vms", {"id": identity(path), "agent": False})


def _copy_data_disk(player: Player) -> None:
    source = identity(resource(player, "snapshots", "snapshot-3", DISK))
    creation = {"createOption": "Copy", "sourceResourceId": source}
    body = {"location": "westus", "tags": {}, "sku": {"name": "Premium_LRS"},
            "properties": {"creationData": creation, "hyperVGeneration": "V1"}}  # fmt: skip
    player.arrange("PUT", resource(player, "disks", "disk-3", DISK), body)


def _machines_with_extensions(player: Player) -> None:
    """The machines of the recording; the extensions are what local Azure lacks."""
    places = (("westus", False), ("westus", True), ("southcentralus", True))
    for number, (location, key) in enumerate(places, start=1):
        make_group(player, location, f"group-{number}")
        make_vm(player, location, linux(key=key), number=number, tags={})


def _machines_to_list(player: Player) -> None:
    """A Windows machine with an identity and a data disk, and a Linux machine beside it."""
    location, image = "southcentralus", {"publisher": "MicrosoftWindowsServer", "offer": "windows"}
    make_group(player, location)
    make_group(player, "eastus", "group-2")
    attached = make_disk(player, location, "disk-1")
    make_disk(player, location, "disk-3")
    make_vm(
        player, location, windows(), attached=attached, os_disk="disk-2", diagnostics=True,
        identity={"type": "SystemAssigned"}, tags={"a": "1"}, sku="Standard_LRS", **image,
    )  # fmt: skip
    disk = make_disk(player, location, "disk-4")
    make_vm(player, location, linux(key=False), attached=disk, name="vm-2")
    made = {"osType": "Linux", "hyperVGeneration": "V2"}
    source = make_disk(player, "eastus", "disk-0", group="group-2", **made)
    body = {**snapshot_of(source, "eastus", incremental=False), "tags": {}}
    body["properties"]["encryption"] = {"diskEncryptionSetId": source.replace("disk-0", "set-1")}
    body["sku"] = {"name": "Standard_ZRS"}
    player.arrange("PUT", resource(player, "snapshots", "snapshot-1", DISK, "group-2"), body)


def _disk_id(player: Player, name: str) -> str:
    return identity(resource(player, "disks", name, DISK))


# -- what happens between two steps without having been recorded


def _start_snapshot(player: Player) -> None:
    disk = identity(resource(player, "disks", "disk-1", DISK))
    path = resource(player, "snapshots", "snapshot-1", "2022-03-02")
    body = snapshot_of(disk, "eastus2", incremental=False)
    player.arrange("PUT", path, body, finish=False)


def _delete_snapshot(player: Player) -> None:
    player.arrange("DELETE", resource(player, "snapshots", "snapshot-1", DISK))
    player.local.control.advance(60)  # its provider has forgotten it, Resource Manager answers


def _start_compute_operation(player: Player) -> None:
    """An operation of the compute provider, whichever: only its polls are looked at."""
    path = resource(player, "virtualMachines", "vm-1/reapply", COMPUTE)
    player.arrange("POST", path, finish=False)


def _end_operation(player: Player) -> None:
    """Its polls were left out of the recording."""
    player.local.control.advance(REPLICATION_SECONDS)


WORLDS = {
    **REFUSED_WORLDS,
    "disk_from_disk_restore_point": World(_disk_from_point),
    "disk_ultra_zrs_zones_sectors": World(
        _groups_of_disks, dict.fromkeys((1, 3, 8, 13), _end_operation)
    ),
    "disk_upload_grant_write": World(_group_for_uploads, {7: _end_operation}),
    "disk_update_by_put": World(_disks_to_change, dict.fromkeys((2, 4, 7, 9, 11), _end_operation)),
    "reads_2024_2025": World(_machines_to_list),
    "restore_point_collection_delete": World(_empty_collection),
    "restore_point_create": World(_machine_with_password),
    "restore_point_cross_region_copy": World(_machine_with_key),
    "restore_point_exclude_disks_instance_view_404": World(_windows_machine),
    "sdk_disks_and_grant_access": World(_group_only),
    "sdk_snapshots": World(
        _group_and_machine,
        dict.fromkeys((8, 11, 22), _start_compute_operation),
    ),
    "sdk_virtual_machine_and_extension": World(_interface_only),
    "snapshot_copy_start": World(_incremental_snapshot),
    "snapshot_errors_404": World(_disk_elsewhere),
    "snapshot_grant_revoke_access": World(_disk, {0: _start_snapshot, 12: _delete_snapshot}),
    "swagger_examples_disk_restore_point": World(_copied_point),
    "vm_attach_os_disk_at_creation": World(
        _machine_to_copy,
        {4: _end_operation, 5: _end_operation, 6: _copy_data_disk, 10: _attach_what_was_copied},
    ),
    "vm_extension_lifecycle": World(_machines_with_extensions),
    "vm_run_command": World(_machine_with_key),
    "vm_user_data": World(_machine_with_user_data, dict.fromkeys((4, 7), _end_operation)),
    "vm_data_disk_attach_detach": World(
        _two_machines, dict.fromkeys((5, 6, 8, 9, 10), _end_operation)
    ),
    "vm_identity_patch": World(_machine_with_identity, dict.fromkeys((5, 7, 9), _end_operation)),
    "vm_os_disk_swap": World(_machine_to_swap),
    "vm_put_tags_only": World(_machine_with_tags),
}
