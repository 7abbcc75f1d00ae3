#!/usr/bin/python
# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_info
short_description: What a backup needs to know of Azure virtual machines
version_added: 0.1.0
description:
  - Finds virtual machines by name, resource group, regular expression and tag.
  - Reports of each its identity, power state, agent and disks, and what makes a disk impossible
    to protect or to restore.
  - A VM in O(name) is always taken. Other VMs are taken if O(name) is not set, or if O(include) or
    O(tags) is; they have to match O(include), must not match O(exclude), and have all of O(tags).
  - Named VMs of a resource group cost one request each. Everything else costs one list, and one
    request for each VM that is selected. The disks of one VM cost a request each, those of several
    VMs one list of the subscription's disks.
author:
  - vmguard contributors (@vmguard)
options:
  name:
    description:
      - Names of VMs, whatever their casing.
      - A VM that does not exist is a failure.
      - Without O(resource_group), every VM of this name in the subscription.
      - An empty list selects none.
    type: list
    elements: str
    aliases: [names]
  resource_group:
    description:
      - The resource group to look in. Without it, the whole subscription.
    type: str
  include:
    description:
      - A regular expression (of Python) that the whole name of a VM has to match.
      - It minds the casing; V((?i\)web.*) does not.
    type: str
  exclude:
    description:
      - A regular expression (of Python) that the whole name of a VM must not match.
    type: str
  tags:
    description:
      - Tags that a VM has to have, each as V(key) or V(key:value).
      - The value minds the casing, the key does not.
    type: list
    elements: str
  consistency_mode:
    description:
      - Judge the disks for restore points of this consistency, too. V(crash) excludes more disks
        than V(application).
      - Without it, RV(vms[].protectable) tells what holds in both.
    type: str
    choices: [application, crash]
extends_documentation_fragment:
  - vmguard.azure.azure
  - vmguard.azure.query
  - vmguard.azure.attributes.info
  - vmguard.azure.attributes.action_group
seealso:
  - module: vmguard.azure.connection_info
"""

EXAMPLES = r"""
- name: Look at one VM
  vmguard.azure.vm_info:
    resource_group: shop
    name: web01
  register: found

- name: Stop where a disk cannot be protected
  ansible.builtin.assert:
    that: found.vms[0].protectable
    fail_msg: "{{ found.vms[0].data_disks | map(attribute='findings') | flatten }}"

- name: All production VMs of the subscription but the test machines, and one of those
  vmguard.azure.vm_info:
    include: .*prod.*
    exclude: test.*
    name: test-prod-db

- name: VMs that are to be backed up, by tag
  vmguard.azure.vm_info:
    resource_group: shop
    tags:
      - backup:daily

- name: Names of the VMs that crash-consistent restore points cannot hold completely
  vmguard.azure.vm_info:
    consistency_mode: crash
    query: vms[?!protectable].name
"""

RETURN = r"""
vms:
  description: The VMs that were found, by name and resource group.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The resource id.
      type: str
      sample: >-
        /subscriptions/5f3d1c2a-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/virtualMachines/web01
    name:
      description: The name.
      type: str
      sample: web01
    resource_group:
      description: The resource group.
      type: str
      sample: shop
    vm_id:
      description: The VM's own unique id, which no other VM of that name ever has.
      type: str
      sample: 8d0a3c4e-6d2f-4c3b-9a52-3a7f5f1c9d10
    location:
      description: The region.
      type: str
      sample: westeurope
    zones:
      description: Its availability zones, none for a regional VM.
      type: list
      elements: str
      sample: ["1"]
    size:
      description: The VM size.
      type: str
      sample: Standard_D2s_v5
    power_state:
      description:
        - V(running), V(deallocated), V(stopped) (off, and still billed), or what it is about to be
          (V(starting), V(stopping), V(deallocating)).
        - None where Azure does not know.
      type: str
      sample: running
    provisioning_state:
      description: What became of the last change to the VM.
      type: str
      sample: Succeeded
    agent:
      description: The VM agent, which application-consistent restore points need.
      type: dict
      contains:
        status:
          description:
            - V(ready), V(not_ready) (it reported once, and now it does not work), V(not_reporting)
              (it never did), or V(not_running) (the VM is off).
          type: str
          sample: ready
        version:
          description: Its version; none where it has not told it.
          type: str
          sample: 2.11.1.4
    os_type:
      description: V(Linux) or V(Windows).
      type: str
      sample: Linux
    hyper_v_generation:
      description: V(V1) or V(V2) (UEFI).
      type: str
      sample: V2
    security_type:
      description: V(TrustedLaunch), V(ConfidentialVM), V(Standard), or none.
      type: str
      sample: TrustedLaunch
    license_type:
      description: The licence that the VM brings along, or none.
      type: str
      sample: Windows_Server
    identity_type:
      description: The kind of its managed identity, or none.
      type: str
      sample: SystemAssigned
    tags:
      description: Its tags.
      type: dict
      sample: {backup: daily}
    network_interfaces:
      description: The ids of its network interfaces.
      type: list
      elements: str
      sample:
        - >-
          /subscriptions/5f3d1c2a-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Network/networkInterfaces/web01
    os_disk:
      description: The OS disk, described as in RV(vms[].data_disks).
      type: dict
      sample: {lun: null, name: web01-os, size_gb: 30, sku: Premium_LRS, protectable: true}
    data_disks:
      description: The data disks, by LUN.
      type: list
      elements: dict
      contains:
        lun:
          description: The logical unit number; none for the OS disk.
          type: int
          sample: 0
        name:
          description: The name.
          type: str
          sample: web01-data0
        id:
          description: The resource id; none for an unmanaged disk.
          type: str
          sample: >-
            /subscriptions/5f3d1c2a-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/disks/web01-data0
        size_gb:
          description: The size in GiB.
          type: int
          sample: 64
        size_bytes:
          description: The size in bytes.
          type: int
          sample: 68719476736
        sku:
          description: The SKU.
          type: str
          sample: Premium_LRS
        caching:
          description: The host's caching, V(None), V(ReadOnly) or V(ReadWrite).
          type: str
          sample: ReadOnly
        write_accelerator:
          description: Whether the write accelerator is on.
          type: bool
          sample: false
        encryption:
          description: Whose key encrypts the disk at rest.
          type: dict
          contains:
            type:
              description: The kind of encryption.
              type: str
              sample: EncryptionAtRestWithPlatformKey
            disk_encryption_set_id:
              description: The disk encryption set that holds the customer's key, or none.
              type: str
              sample: >-
                /subscriptions/5f3d1c2a-0000-4000-8000-000000000001/resourceGroups/shop/providers/Microsoft.Compute/diskEncryptionSets/keys
        network_access_policy:
          description: Who may export the disk, V(AllowAll), V(AllowPrivate) or V(DenyAll).
          type: str
          sample: AllowAll
        public_network_access:
          description: V(Enabled) or V(Disabled).
          type: str
          sample: Enabled
        data_access_auth_mode:
          description:
            - V(AzureActiveDirectory) where an export takes a token, too; else V(None), or none.
          type: str
          sample: AzureActiveDirectory
        max_shares:
          description: How many VMs can attach the disk at once.
          type: int
          sample: 1
        sector_size:
          description: The logical sector size in bytes.
          type: int
          sample: 512
        disk_state:
          description: The disk's state.
          type: str
          sample: Attached
        protectable:
          description:
            - Whether a restore point can hold the disk.
            - Where not, RV(vms[].data_disks[].findings) says why.
          type: bool
          sample: false
        findings:
          description:
            - What makes it impossible to take the disk into a restore point.
            - C(ConfidentialVM) is a finding of all disks of a confidential VM, which cannot be restored either.
          type: list
          elements: dict
          contains:
            reason:
              description: A word for programs.
              type: str
              sample: SharedDisk
            message:
              description: A sentence for people, with the remedy.
              type: str
              sample: >-
                Disk web01-data0 is shared (maxShares is 2), and restore points cannot hold shared
                disks: exclude it, or set maxShares to 1 while no VM uses it.
        exportable:
          description:
            - Whether the disk's blocks can be read, for an image backup.
          type: bool
          sample: false
        export_findings:
          description:
            - What keeps its blocks from being read, beside RV(vms[].data_disks[].findings).
            - A disk with C(AzureDiskEncryption) is not restored in place or to a new VM, from restore points
              either.
          type: list
          elements: dict
          contains:
            reason:
              description: A word for programs.
              type: str
              sample: NetworkAccessDenied
            message:
              description: A sentence for people, with the remedy.
              type: str
              sample: >-
                The network access policy of disk web01-data0 is DenyAll, so that nobody can read
                its blocks: set networkAccessPolicy to AllowAll, or to AllowPrivate with a disk
                access.
    protectable:
      description:
        - Whether a restore point can hold all disks of the VM.
        - Disks that it cannot hold can be excluded from it.
      type: bool
      sample: true
query_result:
  description: What O(query) yields.
  returned: when O(query) is set
  type: raw
  sample: [web01]
"""

from typing import Any

from ..module_utils._compute.vm_selection import describe_vms, select_vms
from ..module_utils._module import Task, run_module
from ..module_utils._policy.selection import Selection
from ..module_utils._query import apply_query
from ..module_utils._spec import QUERY_SPEC

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "name": {"type": "list", "elements": "str", "aliases": ["names"]},
    "resource_group": {"type": "str"},
    "include": {"type": "str"},
    "exclude": {"type": "str"},
    "tags": {"type": "list", "elements": "str"},
    "consistency_mode": {"type": "str", "choices": ["application", "crash"]},
    **QUERY_SPEC,
}


def describe(task: Task) -> dict[str, Any]:
    """The VMs that the task asks for."""
    wanted = task.params
    selection = Selection.of(wanted["name"], wanted["include"], wanted["exclude"], wanted["tags"])
    found = select_vms(task.arm, selection, wanted["resource_group"])
    vms = describe_vms(task.arm, found, wanted["consistency_mode"])
    return apply_query(wanted["query"], {"vms": vms})


def main() -> None:
    run_module(describe, ARGUMENT_SPEC)


if __name__ == "__main__":
    main()
