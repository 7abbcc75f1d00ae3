#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_verify
short_description: Verify image backups
version_added: 0.1.0
description:
  - Proves that everything that backups refer to is in their repository, and, as far as
    O(read_data) says, that it is what was stored.
  - Names every damaged object, and every backup and disk that cannot be restored whole.
  - Data that is damaged where a backup refers to it, and lies whole elsewhere in the repository, is no loss, since
    a restore takes it from there. Such backups are told in RV(recovered_backups).
  - Changes nothing, unless O(quarantine=true).
  - With a repository in a folder, or a key or signature of its storage account, it needs no login to
    Azure.
author:
  - vmguard contributors (@vmguard)
options:
  vm:
    description:
      - Verify the backups of this VM only, by its name or id. By default all are.
      - The repository's own objects and its packs are verified in any case.
    type: str
  resource_group:
    description: Verify the backups of VMs of this resource group only.
    type: str
  backup:
    description: Verify this backup only, by its id.
    type: str
  read_data:
    description:
      - How much of the stored data is read and compared with what was stored.
      - V(none) only looks whether it is there, V(all) reads everything, and a percentage such as
        V(10%) reads that many of the packs, chosen at random in each run.
    type: str
    default: none
  quarantine:
    description:
      - Put the packs that are found damaged into quarantine, so that later backups do not refer to what is in
        them any more, but store it anew. Without, even a full backup refers to damaged data which it finds in the
        repository by its name.
      - A disk that is found damaged in a backup is read in full by the next backup of its VM, whatever level that is
        asked for. If it still has what is damaged, earlier backups are whole again too, and the next verification
        tells them in RV(recovered_backups). What the disk does not have any more stays lost; delete those backups.
      - Needs O(read_data). Nothing is deleted, and nothing is read again by this module.
    type: bool
    default: false
  fail_on_damage:
    description: Fail if there is damage. Otherwise RV(sound) tells.
    type: bool
    default: true
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.repository
  - vmguard.azure.attributes
  - vmguard.azure.attributes.action_group
seealso:
  - module: vmguard.azure.backup_info
  - module: vmguard.azure.disk_snapshot_backup
"""

EXAMPLES = r"""
- name: Look every night whether all is there, and read a tenth of it
  vmguard.azure.backup_verify:
    repository: &shop
      type: folder
      path: /srv/backups/shop
    read_data: 10%

- name: Read everything once a month, and let the next backups store anew what is damaged
  vmguard.azure.backup_verify:
    repository: *shop
    read_data: all
    quarantine: true

- name: Read one backup whole before it is needed
  vmguard.azure.backup_verify:
    repository: *shop
    backup: 20260901t100000z-1f0c93ab
    read_data: all
"""

RETURN = r"""
sound:
  description:
    - Whether all backups that were verified can be restored whole, and nothing is damaged but what was in
      quarantine before. This and the others are also returned by a failure.
  returned: success
  type: bool
  sample: true
verified_backups:
  description: How many backups were verified.
  returned: success
  type: int
  sample: 14
damaged_backups:
  description: The backups that cannot be restored whole.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The id of the backup.
      type: str
    vm:
      description: The name of its VM, V(null) if that cannot be read.
      type: str
    disks:
      description: The names of the disks that are damaged, empty if that cannot be read.
      type: list
      elements: str
    problem:
      description: What is wrong, as a sentence.
      type: str
  sample:
    - id: 20260901t100000z-1f0c93ab
      vm: web01
      disks: [web01-data]
      problem: "web01-data: the pack packs/4b/4bd8f1a2c35e47d09a1be3b2f6c7d801 is missing"
recovered_backups:
  description:
    - The backups that refer to damaged data and can be restored whole all the same, since the same data lies
      elsewhere in the repository too.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The id of the backup.
      type: str
    vm:
      description: The name of its VM.
      type: str
    disks:
      description: The names of the disks that refer to damaged data.
      type: list
      elements: str
  sample: []
damaged_objects:
  description: The objects of the repository that are damaged or missing.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The name of the object.
      type: str
    problem:
      description: What is wrong, as the end of a sentence.
      type: str
    quarantined:
      description: Whether it was in quarantine before, so that no later backup refers to it.
      type: bool
  sample:
    - object: packs/4b/4bd8f1a2c35e47d09a1be3b2f6c7d801
      problem: it is missing
      quarantined: false
quarantined_packs:
  description: How many packs were put into quarantine, or would be in check mode. Zero without O(quarantine=true).
  returned: success
  type: int
  sample: 0
packs:
  description: How many packs, which hold the data of the disks, the repository has.
  returned: success
  type: int
  sample: 190
packs_read:
  description: How many of them were read.
  returned: success
  type: int
  sample: 19
bytes_read:
  description: How many bytes these have.
  returned: success
  type: int
  sample: 321912832
chunks:
  description: How many pieces of disks the verified backups refer to, each counted once.
  returned: success
  type: int
  sample: 81920
"""

import random
from typing import Any

from ..module_utils._errors import InputError
from ..module_utils._image import report
from ..module_utils._image.verifier import Report, Verifier
from ..module_utils._module import Task, run_module
from ..module_utils._repository import quarantine
from ..module_utils._repository.repository import Repository
from ..module_utils._spec import REPOSITORY_SPEC

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "vm": {"type": "str"},
    "resource_group": {"type": "str"},
    "backup": {"type": "str"},
    "read_data": {"type": "str", "default": "none"},
    "quarantine": {"type": "bool", "default": False},
    "fail_on_damage": {"type": "bool", "default": True},
    **REPOSITORY_SPEC,
}


def percentage(text: str) -> float:
    """What ``read_data`` says, 0 to 100."""
    words = {"none": 0.0, "all": 100.0}
    text = text.strip().lower()
    try:
        percent = words[text] if text in words else float(text.removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 <= percent <= 100:
        raise InputError(f"read_data is {text!r}; it can be none, all, or a percentage like 10%.")
    return percent


def verify(task: Task) -> dict[str, Any]:
    params = task.params
    percent = percentage(params["read_data"])
    if params["quarantine"] and not percent:
        raise InputError(
            "quarantine is true, and no data would be read.",
            hint="Set read_data to all, or to a percentage.",
        )
    repository = task.repository()
    vm, group = params["vm"], params["resource_group"]
    found = report.find(repository, vm=vm, group=group, backup=params["backup"])
    if (vm or group) and not found.names:
        raise report.no_backup_of(repository, vm, group)
    done = Verifier(repository, percent, random.Random()).run(found.names)  # noqa: S311 - a sample
    put = _quarantine(task, repository, done) if params["quarantine"] else 0
    if not done.sound and params["fail_on_damage"]:
        raise report.damage_found(repository, done, put)
    return report.verification(done, put)


def _quarantine(task: Task, repository: Repository, done: Report) -> int:
    """Put what is damaged into quarantine; how many packs were not in it before."""
    packs, backups = quarantine.load(repository).lacks(done.damaged_packs, done.damaged_disks)
    if packs or backups:
        task.write(lambda: quarantine.add(repository, packs, backups))
        task.diff(None, {"packs": [one.hex() for one in packs], "backups": backups})
    return len(packs)


def main() -> None:
    run_module(
        verify,
        ARGUMENT_SPEC,
        mutually_exclusive=[("backup", "vm"), ("backup", "resource_group")],
    )


if __name__ == "__main__":
    main()
