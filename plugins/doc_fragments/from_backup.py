# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The options of a restore that are about image backups."""

    DOCUMENTATION = r"""
options:
  source:
    description:
      - What to restore from.
      - V(restore_point) is a restore point in Azure.
      - V(backup) is an image backup in O(repository). The source machine, its subscription and
        its snapshots need not exist any more.
    type: str
    choices: [restore_point, backup]
    default: restore_point
  backup:
    description:
      - The image backup, by its id, or V(latest) for the newest of O(vm).
      - With O(source=backup), exactly one of this and O(at) is needed.
    type: str
  directory:
    description:
      - The folder for O(target=files), an absolute path. The folder above it must exist.
      - Each disk becomes a file with the name of the disk. The configuration of the machine is in
        C(vmguard-restore.json) beside them, which is written last and says what the files are.
      - The files get their names together, when all of them are whole. Until then they are in the
        folder C(.vmguard-restore.partial) in this directory. What a killed task left there is
        removed, or finished if all was whole, by the next one for this directory.
      - The same task run again changes nothing while the files are what was written. A file whose
        size, time of change or inode is another than C(vmguard-restore.json) says is read and
        compared. If its content differs, for example because a machine was started from it, the
        task fails and names it. Other backups, formats, disks and sizes are refused in a directory
        that holds files of a restore, unless O(force=true).
      - Two tasks do not write into one directory at once. The second one fails and says which
        process works there. That takes a file system with locks. On NFS they work between hosts
        unless it is mounted with C(nolock) or C(local_lock).
    type: path
  format:
    description:
      - The format of the image files.
      - V(vhd) is the fixed format that Azure takes for an upload. V(qcow2) needs C(qemu-img)
        where the task runs, and for a time the space of a raw file as well.
    type: str
    choices: [raw, vhd, qcow2]
    default: raw
  location:
    description:
      - The region to restore an image backup in, when it is another than that of the source. Then
        O(subnet_id) or O(network_interfaces) say where in that region.
    type: str
  disk_sizes:
    description:
      - Larger sizes for the new disks or files, in GiB, by the name, LUN or id of the source
        disk, or V(os).
      - File systems are not grown.
    type: dict
  bandwidth_limit:
    description:
      - How many MiB of disk content to write in a second at most, from an image backup. By
        default there is no limit.
    type: float
  parallel_transfers:
    description: How many transfers run at once, from an image backup.
    type: int
    default: 8
"""
