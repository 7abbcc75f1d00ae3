#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_repository
short_description: Manage a repository of image backups
version_added: 0.1.0
description:
  - Creates the repository into which M(vmguard.azure.disk_snapshot_backup) backs up, in a container
    of a storage account or in a folder.
  - Opens one that exists, which proves the passphrase, and changes its passphrase.
  - Deletes a repository with all its backups.
author:
  - vmguard contributors (@vmguard)
options:
  chunk_size:
    description:
      - The size of the pieces in which disks are compared and stored. Smaller ones store less where
        little changes, larger ones make the repository's index smaller.
      - V(64KiB) for a repository that is created without it.
      - It cannot be changed. Another one than that of a repository that exists is a failure.
    type: str
    choices: [64KiB, 128KiB, 256KiB, 512KiB, 1MiB]
  new_passphrase:
    description:
      - The passphrase that opens the repository from now on, in place of that in
        O(repository.passphrase). What is stored stays as it is.
      - If it opens the repository already, and O(repository.passphrase) does not, nothing is changed.
      - The new passphrase is proved to open the repository before the old one ceases to. A change that
        was interrupted leaves both, and running the task again finishes it.
      - Of several tasks that change it at once, one succeeds; those with another new passphrase fail.
        Backups that are running go on.
      - Keys that neither passphrase opens are left, with a warning.
      - Whoever read the repository before with the old passphrase can still decrypt what was copied
        then. Only a new repository helps against that.
    type: str
  force:
    description:
      - Delete the repository with all its backups.
      - They cannot be brought back.
    type: bool
    default: false
  state:
    description:
      - Whether the repository exists.
      - V(absent) needs O(force=true), and for an encrypted repository O(repository.passphrase). A
        repository into which somebody is backing up is not deleted.
    type: str
    choices: [present, absent]
    default: present
notes:
  - The folder or container itself stays when its repository is deleted, with whatever else is in it.
  - Snapshots and restore points that the backups kept in Azure for later incremental backups stay
    there when the repository is deleted. The snapshots have the tag C(vmguard-repository) with the
    repository's id.
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.repository
  - vmguard.azure.attributes
  - vmguard.azure.attributes.action_group
seealso:
  - module: vmguard.azure.backup_repository_info
  - module: vmguard.azure.disk_snapshot_backup
"""

EXAMPLES = r"""
- name: Have an encrypted repository in a storage account
  vmguard.azure.backup_repository:
    repository:
      type: azure_blob
      account_url: https://contosobackups.blob.core.windows.net
      container: vm-backups
      prefix: shop
      passphrase: "{{ vault_backup_passphrase }}"

- name: Have one in a folder
  vmguard.azure.backup_repository:
    repository:
      type: folder
      path: /srv/backups/shop

- name: Change the passphrase
  vmguard.azure.backup_repository:
    repository:
      type: folder
      path: /srv/backups/secret
      passphrase: "{{ vault_backup_passphrase }}"
    new_passphrase: "{{ vault_next_backup_passphrase }}"

- name: Delete a repository and every backup in it
  vmguard.azure.backup_repository:
    repository:
      type: folder
      path: /srv/backups/shop
    state: absent
    force: true
"""

RETURN = r"""
repository:
  description: The repository. V(null) if it is absent.
  returned: success
  type: dict
  contains:
    id:
      description: Its unique id. V(null) in check mode for one that is new.
      type: str
      sample: 5f0c3a94c2f24b1f8f3c5b7a6d1e9b20
    location:
      description: Where it is.
      type: str
      sample: container vm-backups (prefix shop/) of storage account contosobackups
    created:
      description: When it was created, in UTC. V(null) in check mode for one that is new.
      type: str
      sample: "2026-09-01T10:00:00+00:00"
    encrypted:
      description: Whether it has a passphrase.
      type: bool
      sample: true
    chunk_size:
      description: The size of its chunks, as O(chunk_size) takes it.
      type: str
      sample: 64KiB
    chunk_size_bytes:
      description: The same in bytes.
      type: int
      sample: 65536
    format_version:
      description: The version of its format.
      type: int
      sample: 1
"""

from typing import Any

from ..module_utils._module import Task, run_module
from ..module_utils._repository import admin
from ..module_utils._repository.repository import CHUNK_SIZES
from ..module_utils._spec import REPOSITORY_SPEC

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "chunk_size": {"type": "str", "choices": list(CHUNK_SIZES)},
    "new_passphrase": {"type": "str", "no_log": True},
    "force": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    **REPOSITORY_SPEC,
}


def present(task: Task) -> admin.Change:
    return admin.ensure_present(
        task.store,
        passphrase=task.params["repository"]["passphrase"],
        new_passphrase=task.params["new_passphrase"],
        chunk_size=task.params["chunk_size"],
        clock=task.clock,
        write=task.write,
    )


def absent(task: Task) -> admin.Change:
    return admin.ensure_absent(
        task.store,
        passphrase=task.params["repository"]["passphrase"],
        force=task.params["force"],
        clock=task.clock,
        write=task.write,
    )


def act(task: Task) -> dict[str, Any]:
    change = present(task) if task.params["state"] == "present" else absent(task)
    for warning in change.warnings:
        task.warn(warning)
    task.diff(change.before, change.after)
    return {"repository": change.after}


def main() -> None:
    run_module(act, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
