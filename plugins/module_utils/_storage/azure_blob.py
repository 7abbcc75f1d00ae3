# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository's objects as blobs of a container, below a prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .._errors import InputError, VmguardError, missing_library
from . import blob_errors
from .blob_login import blob_login, connection_string_login, malformed_connection_string
from .blob_transport import CONNECT_SECONDS, RETRIES, blob_transport, retry_policy
from .interface import (
    MAX_OBJECT,
    Store,
    StoredObject,
    check_new_object,
    check_object_name,
    check_prefix,
    check_range,
    confirm_same,
    is_object_name,
    too_large,
    truncated,
)

_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class AzureBlobStore(Store):
    """One block blob for each object, created by one Put Blob that never overwrites."""

    # A request takes 10 ms and more, in which 1 MiB comes through one connection.
    request_cost = 1 << 20

    def __init__(
        self,
        *,
        container: str,
        prefix: str = "",
        account_url: str | None = None,
        account_key: str | None = None,
        sas: str | None = None,
        connection_string: str | None = None,
        credential: Any = None,
        read_only: bool = False,
        retries: int = RETRIES,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        """Nothing is sent yet.

        Args:
            container: its name.
            prefix: what the names of the blobs begin with, before a slash; may be empty.
            account_url: ``https://<account>.blob.core.windows.net``, with one of the next three.
            account_key: base64.
            sas: of the account or the container, with or without a question mark in front.
            credential: what azure-identity makes.
            connection_string: in place of account_url and these.
            read_only: refuse every write at the transport.
            retries: of each request.
            connect_seconds: to connect, and to send each piece of a body.

        Raises:
            InputError: one of them is malformed.
            MissingLibrary: azure-storage-blob is not installed.
        """
        prefix = prefix.strip("/")
        _check_names(container, prefix)
        try:
            from azure.storage.blob import ContainerClient
        except ImportError as error:
            purpose = "to keep a repository in a storage account"
            raise missing_library("azure-storage-blob", purpose) from error
        settings = {
            "transport": blob_transport(read_only=read_only, connect_seconds=connect_seconds),
            "retry_policy": retry_policy(retries),
            "max_single_put_size": MAX_OBJECT,
            "max_single_get_size": MAX_OBJECT + 1,
            "max_chunk_get_size": MAX_OBJECT + 1,
        }
        if connection_string:
            login = connection_string_login(connection_string)
            try:
                self._container = ContainerClient.from_connection_string(
                    connection_string, container, **settings
                )
            except ValueError:
                raise malformed_connection_string() from None
        else:
            login = blob_login(account_url or "", account_key, sas, credential)
            self._container = ContainerClient(
                account_url, container, credential=login.credential, **settings
            )
        below = f" (prefix {prefix}/)" if prefix else ""
        self.description = f"container {container}{below} of storage account {login.account}"
        self._prefix = f"{prefix}/" if prefix else ""
        self._place = blob_errors.Place(self.description, container, login)

    def exists(self) -> bool:
        from azure.core.exceptions import AzureError

        try:
            # Reading the container's properties is more than a SAS of the container may do.
            listing = self._container.list_blobs(
                name_starts_with=self._prefix or None, results_per_page=1
            )
            next(iter(listing), None)
        except (AzureError, ValueError) as error:
            if blob_errors.code_of(error) == "ContainerNotFound":
                return False
            raise self._failed(error, "list") from error
        return True

    def prepare(self) -> None:
        from azure.core.exceptions import AzureError

        if self.exists():
            return
        try:
            self._container.create_container()
        except (AzureError, ValueError) as error:
            if blob_errors.code_of(error) != "ContainerAlreadyExists":
                raise self._failed(error, "create") from error

    def put(self, name: str, data: bytes | memoryview) -> None:
        from azure.core.exceptions import AzureError

        check_new_object(name, data)
        data = bytes(data)
        try:
            self._container.upload_blob(
                self._prefix + name, data, length=len(data), overwrite=False
            )
        except (AzureError, ValueError) as error:
            if not blob_errors.is_taken(error):
                raise self._failed(error, "write", name) from error
        else:
            return
        confirm_same(self, name, data)

    def get(self, name: str, limit: int) -> bytes:
        check_object_name(name)
        data = self._download(name, 0, limit + 1, limit)
        return b"" if data is None else data

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        check_range(name, offset, length)
        data = self._download(name, offset, length, length)
        if data is None or len(data) < length:
            raise truncated(self, name, offset, length)
        return data

    def _download(self, name: str, offset: int, length: int, limit: int) -> bytes | None:
        """Up to ``length`` bytes, None when the blob has none there."""
        from azure.core.exceptions import AzureError

        try:
            stream = self._container.download_blob(
                self._prefix + name, offset=offset, length=length
            )
            if stream.size > limit:
                raise too_large(self, name, limit)
            # readall() would copy what one request has brought.
            return b"".join(stream.chunks())
        except (AzureError, ValueError) as error:
            if blob_errors.status_of(error) == 416:
                return None
            raise self._failed(error, "read", name) from error

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        check_prefix(prefix)
        return (found for found in self._walk(prefix) if is_object_name(found.name))

    def foreign_objects(self) -> Iterator[str]:
        return (found.name for found in self._walk("") if not is_object_name(found.name))

    def _walk(self, prefix: str) -> Iterator[StoredObject]:
        """All blobs whose names begin so, whatever these are."""
        from azure.core.exceptions import AzureError

        try:
            # The metadata tell folders from blobs, where the account has a hierarchical namespace.
            for blob in self._container.list_blobs(
                name_starts_with=self._prefix + prefix or None, include=["metadata"]
            ):
                name = blob.name[len(self._prefix) :]
                folder = (blob.metadata or {}).get("hdi_isfolder") == "true"
                if not folder:
                    yield StoredObject(name, blob.size, blob.last_modified)
        except (AzureError, ValueError) as error:
            raise self._failed(error, "list") from error

    def delete(self, name: str) -> None:
        from azure.core.exceptions import AzureError

        check_object_name(name)
        try:
            self._container.delete_blob(self._prefix + name)
        except (AzureError, ValueError) as error:
            if blob_errors.code_of(error) != "BlobNotFound":
                raise self._failed(error, "delete", name) from error

    def remove_leftovers(self, *, everything: bool = False) -> int:
        del everything  # one Put Blob leaves a whole object or nothing
        return 0

    def close(self) -> None:
        self._container.close()

    def _failed(self, error: Exception, operation: str, name: str | None = None) -> VmguardError:
        return blob_errors.translate(error, self._place, operation, name)


def _check_names(container: str, prefix: str) -> None:
    if _CONTAINER.fullmatch(container) is None:
        raise InputError(
            f"{container!r} is not the name of a container.",
            hint="It has 3 to 63 lower-case letters, digits and single hyphens between them.",
        )
    if prefix and (_PREFIX.fullmatch(prefix) is None or ".." in prefix or len(prefix) > 256):
        raise InputError(
            f"{prefix!r} is not a prefix for a repository.",
            hint="It has letters, digits, '.', '_' and '-', in parts joined with '/'.",
        )
