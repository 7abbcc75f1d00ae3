# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The options of a restore that are about a new virtual machine."""

    DOCUMENTATION = r"""
options:
  new_name:
    description: The name of the new virtual machine.
    type: str
  new_resource_group:
    description: The resource group for the new machine or disks. It must exist.
    type: str
  size:
    description:
      - The size of the new machine, when it is to be another than that of the source.
      - The disk controller (SCSI or NVMe) and accelerated networking are those of the source for
        its own size only.
    type: str
  plan:
    description:
      - The plan of the marketplace offer that the OS disk of the new machine comes from.
      - By default that of the source machine while it exists, else that of its OS disk.
    type: dict
    suboptions:
      name:
        description: The name of the plan.
        type: str
        required: true
      product:
        description: The offer.
        type: str
        required: true
      publisher:
        description: Who publishes it.
        type: str
        required: true
      promotion_code:
        description: The promotion code, if there is one.
        type: str
  network_interfaces:
    description:
      - Ids of existing network interfaces for the new machine. The first becomes the primary one.
    type: list
    elements: str
  subnet_id:
    description:
      - The subnet in which the new machine gets one network interface of its own.
      - Without this and O(network_interfaces), it is the subnet of the source machine's primary interface.
    type: str
  start:
    description: Whether the new machine is left running. If not, it is deallocated after its creation.
    type: bool
    default: true
  zone:
    description:
      - The availability zone of the new machine or disks.
      - By default that of the source machine, and for O(target=disks) that of each disk.
      - Disks of a ZRS SKU are in all zones.
    type: str
"""
