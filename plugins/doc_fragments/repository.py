# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The option that names the repository in which image backups live."""

    DOCUMENTATION = r"""
options:
  repository:
    description:
      - The repository in which image backups live, which is a container of a storage account or a
        folder of the machine that runs the task.
    type: dict
    required: true
    suboptions:
      type:
        description:
          - Where the repository is.
          - V(azure_blob) is a container of a storage account.
          - V(folder) is a folder of the machine that runs the task, on a disk or a mounted share.
        type: str
        required: true
        choices:
          - azure_blob
          - folder
      path:
        description:
          - Absolute path of the folder. The folder above it must exist.
          - Required with O(repository.type=folder).
        type: path
      account_url:
        description:
          - URL of the storage account, such as V(https://contosobackups.blob.core.windows.net).
          - Either this or O(repository.connection_string) is required with
            O(repository.type=azure_blob).
          - With neither O(repository.account_key) nor O(repository.sas), the task's Azure login is
            used. It needs the role C(Storage Blob Data Contributor) on the container or the
            storage account; C(Storage Blob Data Reader) is enough for reading.
        type: str
      container:
        description:
          - Name of the container.
          - Required with O(repository.type=azure_blob).
        type: str
      prefix:
        description:
          - What the names of the repository's blobs begin with, before a slash. Several
            repositories can share a container, each with a prefix of its own.
        type: str
      connection_string:
        description:
          - Connection string of the storage account, with its key or a shared access signature.
        type: str
      account_key:
        description:
          - A key of the storage account.
        type: str
      sas:
        description:
          - A shared access signature (SAS) of the container or the storage account, with the
            permissions read, create, write and list, and delete where something is to be deleted.
            It is what follows the question mark in a SAS URL.
        type: str
      passphrase:
        description:
          - Encrypts the repository, when it is created with it. After that, everything that reads
            or writes the repository needs it.
          - It cannot be recovered. Without it, the backups of an encrypted repository are lost.
          - Without a passphrase the repository is stored in the clear. Whoever can read it can read
            the disks.
        type: str
requirements:
  - azure-storage-blob >= 12.20.0, for O(repository.type=azure_blob)
  - blake3 >= 1.0.0
  - cryptography >= 42.0.0, for O(repository.passphrase)
  - zstandard >= 0.22.0
"""


# The same where it is not required. Outside of the class, where linters look for texts only.
ModuleDocFragment.OPTIONAL = ModuleDocFragment.DOCUMENTATION.replace(
    "required: true", "required: false", 1
)
