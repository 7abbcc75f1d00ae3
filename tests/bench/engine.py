"""What the measuring processes call of the collection's engine; arguments and results are plain."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

WORKERS = 8
MACHINE = "/subscriptions/bench/resourceGroups/bench/providers/Microsoft.Compute/virtualMachines/vm"
DISK = "bench-disk"


class FixedAccess:
    """A signed URL that was given."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = url

    def url(self) -> str:
        return self._url

    def renew(self, _seen: str) -> str:
        return self._url

    def headers(self) -> dict[str, str]:
        return {}

    def challenged(self, _seen: dict[str, str]) -> bool:
        return False


def _module(name: str) -> Any:
    import importlib
    import sys

    # The servers of this project need it, users do not; the SDK imports it where it finds it.
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
    root = "ansible_collections.vmguard.azure.plugins.module_utils"
    return importlib.import_module(f"{root}.{name}")


def _open(options: dict[str, Any]) -> Any:
    store = _module("_storage.options").open_store(options, credential=None, read_only=False)
    return _module("_repository.repository").Repository.open(store, options.get("passphrase"))


def create(options: dict[str, Any], chunk_size: int) -> None:
    """Make the repository."""
    store = _module("_storage.options").open_store(options, credential=None, read_only=False)
    _module("_repository.repository").Repository.create(
        store,
        chunk_size=chunk_size,
        passphrase=options.get("passphrase"),
        now=datetime.now(timezone.utc),
    )


def back_up(
    options: dict[str, Any], size: int, source: str, urls: dict[str, str], base: str | None
) -> dict[str, Any]:
    """Read a snapshot, in full or since a backup, and commit.

    Args:
        source: the snapshot's name; ``urls`` are by snapshot.
        base: the id of the backup that changes are read since.
    """
    clock = _module("_clock").SystemClock()
    levels, manifests = _module("_backup.levels"), _module("_repository.manifest")
    repository = _open(options)
    run = _module("_repository.names").new_backup_id(clock.now(), os.urandom(4))
    index = _module("_repository.chunk_index").ChunkIndex(repository, run)
    packs = _module("_repository.packs").PackWriter(repository, on_stored=index.stored)
    began = clock.now().isoformat()
    with ThreadPoolExecutor(WORKERS) as pool, _module("_disk.http").HttpPool(WORKERS) as http:
        reader = _module("_image.reader").DiskReader(
            repository, packs, index, pool, workers=WORKERS,
            throttle=_module("_image.throttle").Throttle(None, clock), check=lambda: None,
        )  # fmt: skip

        @contextlib.contextmanager
        def access(name: str, _with_token: bool) -> Iterator[FixedAccess]:
            yield FixedAccess(name, urls[name])

        transfer = _module("_backup.transfer").Transfer(
            access, clock, repository, reader, http, run
        )
        decision = levels.Decision("full")
        if base:
            earlier = manifests.find(repository, base)
            decision = levels.Decision("incremental", levels.Earlier(earlier, earlier.disks[0]))
        disk = _module("_backup.machine").BackupDisk(DISK, DISK, 0, DISK, size, {}, {})
        image = transfer.read(disk, decision.level, decision, source)
        packs.flush()
        index.write()
        index.merge(clock.now())
    packs.close()
    backup = manifests.Manifest(
        id=run, vm={"id": MACHINE, "name": "vm"}, started=began,
        finished=clock.now().isoformat(), source={"kind": "snapshot"}, configuration={},
        disks=[image],
    )  # fmt: skip
    manifests.write(repository, backup)
    return {"id": run, "level": image.level, "fallback": image.fallback, **image.stats}


def verify(options: dict[str, Any]) -> dict[str, Any]:
    """Read all packs and prove every chunk."""
    repository = _open(options)
    verifier = _module("_image.verifier").Verifier(repository, 100, random.Random(1))
    report = verifier.run(_module("_repository.manifest").listed(repository))
    return {"sound": report.sound, "read": report.bytes_read}


def restore_disk(options: dict[str, Any], backup: str, url: str) -> int:
    """Stream a backup into a disk that is open for upload, its VHD footer last."""
    clock = _module("_clock").SystemClock()
    vhd = _module("_disk.vhd")
    with _module("_disk.http").HttpPool(WORKERS) as http:
        blob = _module("_disk.page_blob").PageBlob(FixedAccess("the disk", url), http, clock)
        image, written = _write(options, backup, lambda _size: blob)
        blob.write(image.size, vhd.footer(image.size, uuid4(), clock.now()))
    return written


def restore_file(options: dict[str, Any], backup: str, path: str) -> int:
    """Write a backup into a new sparse file."""
    sink = _module("_image.file_sink").FileSink
    _image, written = _write(options, backup, lambda size: sink(path, size))
    return written


def _write(options: dict[str, Any], backup: str, sink_of: Any) -> tuple[Any, int]:
    clock = _module("_clock").SystemClock()
    repository = _open(options)
    image = _module("_repository.manifest").find(repository, backup).disks[0]
    stats = _module("_image.reader").Stats()
    with ThreadPoolExecutor(WORKERS) as pool:
        writer = _module("_image.restorer").DiskWriter(
            repository, pool, workers=WORKERS,
            throttle=_module("_image.throttle").Throttle(None, clock),
        )  # fmt: skip
        writer.write(image, sink_of(image.size), stats)
    return image, stats.read


def repository_folder(path: Path) -> dict[str, Any]:
    return {"type": "folder", "path": str(path)}


def repository_container(connection: str, container: str) -> dict[str, Any]:
    return {"type": "azure_blob", "connection_string": connection, "container": container}
