#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_restore
short_description: Restore an Azure virtual machine from a restore point or an image backup
version_added: 0.1.0
description:
  - Brings a virtual machine back from a restore point or from an image backup, as a new machine, in place, or as
    disks alone. An image backup can also be restored into image files, with no Azure at all.
  - An image backup streams from its repository straight into the new disks. Each chunk is proved to be what was
    stored before it is written. One wrong byte fails the restore and what it had made is deleted.
  - What the restore point or backup knows of the machine is restored. That is its size, its disks on their LUNs with
    caching and write accelerator, sector sizes, hyper-V generation, security type, license type, boot diagnostics, and
    what its OS disk can do. What only the source machine and its disks know (tags, zone, plan, subnet, user data, disk
    controller, IOPS, throughput, tier and bursting) is taken from them while they exist. An image backup knows it, too.
  - A new machine does not get a managed identity, extensions, an availability set, placement, a dedicated host, reserved
    capacity, Spot priority, more than one network interface, public and static addresses or places behind load balancers.
    What the source has of it is a warning that names it, before anything is made. In place, the machine keeps it all.
  - A machine with Trusted Launch comes back with Trusted Launch. From an image backup it gets a new vTPM, and what the
    guest sealed to the old one (the keys of BitLocker) needs its recovery key.
  - Confidential machines are refused. So are disks under Azure Disk Encryption, unless for O(target=disks), disks whose
    sectors the SKU does not have, and OS disks that Azure does not swap. They are refused before anything is made or
    stopped, and M(vmguard.azure.vm_info) names them beforehand.
  - A restore is recognised by tags that it leaves on what it makes, so the same task run again changes nothing.
  - When a restore fails, what it had made is deleted, and a machine that was to be restored in place gets its
    original disks back and is started again if it ran. What a killed run left is finished or undone by the next one.
  - While it works, its record is in tags (C(vmguard-restore-journal)) of the machine that is restored in place, or of
    the first new disk. Another restore of the same machine or disks is refused meanwhile.
author:
  - vmguard contributors (@vmguard)
options:
  resource_group:
    description:
      - The resource group of the source machine O(vm), also that of O(collection) and of what is
        restored where no other is given.
    type: str
  vm:
    description:
      - The source virtual machine. For O(target=in_place) the one that is rolled back.
      - Without O(collection), all restore point collections of this machine are looked into.
    type: str
  collection:
    description: The restore point collection, by name or id.
    type: str
  collection_resource_group:
    description: The resource group of O(collection), when it is another than O(resource_group).
    type: str
  restore_point:
    description:
      - The restore point, by id, by its name in the collection, or V(latest) for the newest that is ready.
      - The safety restore points of earlier restores, whose names begin with C(before-restore-), are found by
        id and by name, but neither by V(latest) nor by O(at).
      - With O(source=restore_point), exactly one of this and O(at) is needed.
    type: str
  at:
    description:
      - An ISO 8601 time. The newest ready restore point, or backup, that is not younger than this time is taken.
      - A time without an offset is UTC.
    type: str
  target:
    description:
      - V(new_vm) makes a new virtual machine.
      - V(in_place) swaps the disks of the machine that the restore point was taken of.
      - V(disks) makes disks that are attached to nothing.
      - V(files) writes image files into O(directory), from an image backup only. No Azure login is needed, unless the
        repository is a container that the login opens.
    type: str
    choices: [new_vm, in_place, disks, files]
    required: true
  tags:
    description: Tags for the new machine and its disks, added to those of the source.
    type: dict
  disk_name_pattern:
    description:
      - The names of the new disks, with the placeholders V({vm}) (the new machine, or the one in place),
        V({source_vm}), V({disk}) (the source disk), V({role}) (V(os), V(lun0) and so on), V({point}) (the
        restore point) and V({time}) (its time).
      - The default is V({vm}_{role}) for O(target=new_vm), V({vm}_{role}_{time}) for O(target=in_place) and
        V({disk}_{time}) for O(target=disks).
    type: str
  disk_sku:
    description: The SKU of the new disks, for example V(Premium_LRS). By default that of each source disk.
    type: str
  disk_encryption_set_id:
    description: The disk encryption set for the new disks.
    type: str
  exclude_disks:
    description:
      - Disks of the restore point to leave out, by name, LUN, id, or V(os).
      - In place, a disk that is left out stays attached as it is.
    type: list
    elements: str
    default: []
  allow_stop:
    description: Whether a machine that runs may be stopped to be restored in place.
    type: bool
    default: false
  safety_restore_point:
    description:
      - Whether a restore point of the machine is taken before it is stopped and its disks are swapped, in the
        collection that is restored from; for a backup, in the machine's own. It is deleted when the restore fails.
    type: bool
    default: true
  old_disks:
    description:
      - What becomes of the disks that were swapped out. They are deleted only after the machine was
        restored and, if it ran, started.
    type: str
    choices: [keep, delete]
    default: keep
  force:
    description:
      - Restore in place again, although the machine's disks already are those of this restore.
      - With O(target=files), write the files again and replace those that are there. The old ones stay until all of
        the new ones are whole, so there has to be space for both; when it fails, they are what remains. Files of an
        earlier restore that are not among the new ones are kept, with a warning.
    type: bool
    default: false
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.repository.optional
  - vmguard.azure.new_machine
  - vmguard.azure.from_backup
  - vmguard.azure.wait
  - vmguard.azure.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
seealso:
  - module: vmguard.azure.restore_point
  - module: vmguard.azure.restore_point_info
  - module: vmguard.azure.disk_snapshot_backup
  - module: vmguard.azure.backup_info
"""

EXAMPLES = r"""
- name: Bring the machine back as a new one
  vmguard.azure.vm_restore:
    resource_group: production
    vm: db01
    restore_point: latest
    target: new_vm
    new_name: db01-restored

- name: Roll a machine back in place to the last point before an incident
  vmguard.azure.vm_restore:
    resource_group: production
    vm: web01
    at: "2026-09-01T10:00:00Z"
    target: in_place
    allow_stop: true

- name: Make disks of one restore point, without the operating system's
  vmguard.azure.vm_restore:
    resource_group: production
    collection: db01-restore-points
    restore_point: before-upgrade
    target: disks
    new_resource_group: forensics
    exclude_disks:
      - os
    disk_name_pattern: "evidence-{disk}"

- name: Bring a machine back from its last image backup, in another region
  vmguard.azure.vm_restore:
    source: backup
    repository:
      type: azure_blob
      account_url: https://contosobackups.blob.core.windows.net
      container: backups
      passphrase: "{{ vault_backup_passphrase }}"
    resource_group: production
    vm: db01
    backup: latest
    target: new_vm
    new_name: db01-restored
    new_resource_group: recovery
    location: northeurope
    subnet_id: "{{ recovery_subnet_id }}"

- name: Write the disks of a backup into files, with no Azure at all
  vmguard.azure.vm_restore:
    source: backup
    repository:
      type: folder
      path: /srv/backups
    backup: 20260901t010000z-1f0c93ab
    target: files
    directory: /srv/restored/db01
    format: qcow2
"""

RETURN = r"""
vm:
  description: The virtual machine that was made or restored; none for O(target=disks).
  returned: success
  type: dict
  contains:
    id:
      description: Its resource id.
      type: str
      returned: always
    name:
      description: Its name.
      type: str
      returned: always
    power_state:
      description: The power state that it is left in.
      type: str
      returned: always
      sample: running
target:
  description: The kind of restore.
  returned: success
  type: str
  sample: new_vm
backup:
  description: The image backup that was restored from, and what it knows of the guest; none for O(source=restore_point).
  returned: success
  type: dict
  sample:
    id: 20260901t010000z-1f0c93ab
    name: 20260901t010000z-1f0c93ab
    time: "2026-09-01T01:00:00+00:00"
    consistency_mode: CrashConsistent
    location: westeurope
    computer_name: db01
    admin_username: azureuser
files:
  description: The image files.
  returned: success, with O(target=files)
  type: list
  elements: dict
  sample:
    - role: os
      lun:
      source_disk: db01-os
      source_disk_id: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/production/providers/Microsoft.Compute/disks/db01-os
      path: /srv/restored/db01/db01-os.qcow2
      format: qcow2
      size_bytes: 34359738368
configuration_file:
  description: The file with the configuration of the machine.
  returned: success, with O(target=files)
  type: str
  sample: /srv/restored/db01/vmguard-restore.json
restore_point:
  description: The restore point that was restored from, and what it knows of the guest; none for O(source=backup).
  returned: success
  type: dict
  sample:
    id: /subscriptions/xxxx/resourceGroups/production/providers/Microsoft.Compute/restorePointCollections/db01-restore-points/restorePoints/nightly
    name: nightly
    time: "2026-09-01T01:00:00.123456+00:00"
    consistency_mode: FileSystemConsistent
    location: westeurope
    computer_name: db01
    admin_username: azureuser
disks:
  description: Each restored disk, the operating system's first, then by LUN.
  returned: success
  type: list
  elements: dict
  contains:
    role:
      description: V(os), or V(lun0) and so on.
      type: str
      returned: always
    lun:
      description: The LUN; none for the operating system disk.
      type: int
      returned: always
    source_disk:
      description: The name of the disk that the restore point was taken of.
      type: str
      returned: always
    source_disk_id:
      description: Its id.
      type: str
      returned: always
    source_disk_restore_point:
      description: The id of the disk restore point; none for O(source=backup).
      type: str
      returned: always
    target_disk:
      description: The name of the new disk.
      type: str
      returned: always
    target_disk_id:
      description: Its id.
      type: str
      returned: always
    caching:
      description: The host caching that it is attached with.
      type: str
      returned: always
    write_accelerator:
      description: Whether it is attached with the write accelerator.
      type: bool
      returned: always
    size_gb:
      description: Its size in GiB, as Azure has it.
      type: int
      returned: always
    sku:
      description: Its SKU.
      type: str
      returned: always
    network_access_policy:
      description: Who may read it from outside; beside it, C(public_network_access).
      type: str
      returned: always
excluded_disks:
  description: Disks that are not restored, with the reason.
  returned: success
  type: list
  elements: dict
  sample:
    - id: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/production/providers/Microsoft.Compute/disks/db01-scratch
      name: db01-scratch
      reason: ExcludedFromRestorePoint
deleted_disks:
  description: Ids of the old disks that were deleted.
  returned: success
  type: list
  elements: str
  sample: []
kept_disks:
  description: Ids of the old disks that were swapped out and kept.
  returned: success
  type: list
  elements: str
  sample:
    - /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/production/providers/Microsoft.Compute/disks/web01-os
safety_restore_point:
  description: The id of the restore point taken before the disks were swapped.
  returned: success
  type: str
  sample: /subscriptions/xxxx/resourceGroups/production/.../restorePointCollections/web01-restore-points/restorePoints/before-restore-20260901T120000-1f0c93ab
ready_to_use:
  description: Whether the restored machine or disks can be used.
  returned: success
  type: bool
  sample: true
restore_time:
  description: When the restore was finished.
  returned: success
  type: str
  sample: "2026-09-01T12:01:30+00:00"
conditions:
  description: The state of the restore, as C(Progressing), C(Ready) and C(Failure).
  returned: success
  type: list
  elements: dict
  sample:
    - type: Ready
      status: "True"
      reason: Restored
      message: db01-restored was made of nightly.
      last_transition_time: "2026-09-01T12:01:30+00:00"
failure:
  description: What failed, on what, and what to do about it.
  returned: failure
  type: dict
  sample:
    code: StopNotAllowed
    message: The virtual machine web01 is running, and a restore in place has to stop it; say allow_stop, or stop it first.
    operation:
    resource: /subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/production/providers/Microsoft.Compute/virtualMachines/web01
    request_id:
    hint:
"""

from ..module_utils._module import Task, run_module
from ..module_utils._restore.engine import restore
from ..module_utils._restore.options import ARGUMENT_SPEC, bandwidth, check, request_of
from ..module_utils._restore.request import Outcome, Telling
from ..module_utils._restore.source.backup import BackupWanted, find_backup
from ..module_utils._restore.source.restore_point import PointWanted
from ..module_utils._restore.targets.files import FilesRequest, restore_files
from ..module_utils._restore.uploader import Uploader


def _backup_wanted(task: Task, **more: object) -> BackupWanted:
    params = task.params
    return BackupWanted(
        task.repository(),
        group=params["resource_group"],
        vm=params["vm"],
        backup=params["backup"],
        at=params["at"],
        location=params["location"],
        **more,
    )


def _from_backup(task: Task, write: Telling) -> Outcome:
    params = task.params
    with Uploader(
        task.repository(),
        task.clock,
        workers=params["parallel_transfers"],
        bandwidth=bandwidth(params),
    ) as uploader:
        wanted = _backup_wanted(task, fill=uploader.fill, subscription=task.arm.subscription_id)
        return restore(task.arm, wanted, request_of(params), write, task.clock)


def _from_restore_point(task: Task, write: Telling) -> Outcome:
    params = task.params
    wanted = PointWanted(
        group=params["resource_group"],
        vm=params["vm"],
        collection=params["collection"],
        collection_group=params["collection_resource_group"],
        restore_point=params["restore_point"],
        at=params["at"],
    )
    return restore(task.arm, wanted, request_of(params), write, task.clock)


def _to_files(task: Task) -> dict:
    params = task.params
    request = FilesRequest(
        directory=params["directory"],
        format=params["format"],
        exclude_disks=params["exclude_disks"],
        sizes=params["disk_sizes"] or {},
        force=params["force"],
        workers=params["parallel_transfers"],
        bandwidth=bandwidth(params),
    )
    point = find_backup(_backup_wanted(task))
    outcome = restore_files(task.repository(), point, request, task.clock, task.write)
    result = outcome.result(task.clock.now())
    for warning in outcome.warnings:
        task.warn(warning)
    task.diff(None if outcome.made else result["files"], result["files"])
    return result


def _act(task: Task) -> dict:
    check(task.params)
    if task.params["target"] == "files":
        return _to_files(task)
    backup = task.params["source"] == "backup"
    write = Telling(task.write, task.warn)
    outcome = _from_backup(task, write) if backup else _from_restore_point(task, write)
    write.tell(outcome.warnings)
    task.diff(outcome.before, outcome.after)
    return outcome.result(task.clock.now())


def main() -> None:
    run_module(
        _act,
        ARGUMENT_SPEC,
        waits=True,
        required_one_of=[("restore_point", "backup", "at")],
        mutually_exclusive=[
            ("restore_point", "backup", "at"),
            ("network_interfaces", "subnet_id"),
        ],
        required_if=[
            ("source", "backup", ("repository",)),
            ("target", "new_vm", ("new_name",)),
            ("target", "in_place", ("vm", "resource_group")),
            ("target", "files", ("directory",)),
        ],
    )


if __name__ == "__main__":
    main()
