# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifies a repository: that all that backups refer to is there, and, as asked, what it holds."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .._errors import ObjectNotFound, ObjectTooLarge, VmguardError
from .._repository import keys, manifest, names, segments
from .._repository.codec import parse_json
from .._repository.errors import DamagedObject, RepositoryError
from .._repository.manifest import DiskImage, Manifest
from .._repository.packs import (
    MOST_PACK_SIZE,
    MOST_RECORD,
    Directory,
    DirectoryCache,
    Ref,
    fetch,
    find_directory,
    parse_directory,
    read_directory,
)
from .._repository.repository import Repository
from .._repository.tree import FANOUT, PAGE_LIMIT, Entries, Tree, chunk_count, read_page

_READERS = 4
_RECORDS_HELD = 1 << 17
_LIMIT = 16 << 20


@dataclass
class Report:
    """What was verified, and what is wrong.

    Args:
        objects: damaged or missing objects, with the problem.
        backups: backups that cannot be restored whole: id, vm, disks, problem.
    """

    objects: dict[str, str] = field(default_factory=dict)
    backups: list[dict[str, Any]] = field(default_factory=list)
    verified_backups: int = 0
    packs: int = 0
    packs_read: int = 0
    bytes_read: int = 0
    chunks: int = 0

    @property
    def sound(self) -> bool:
        return not self.objects and not self.backups


class Verifier:
    """One verification. Reads only.

    Args:
        percent: of the packs, how many are read whole, 0 to 100.
    """

    def __init__(self, repository: Repository, percent: float, source: random.Random) -> None:
        self._repository = repository
        self._percent = percent
        self._random = source
        self._sizes: dict[bytes, int] = {}
        self._bad: dict[bytes, set[bytes] | None] = {}
        self._proved: set[bytes] = set()
        self._directories = DirectoryCache(_RECORDS_HELD)
        self._pages: dict[bytes, str | None] = {}
        self._readable: set[str] = set()
        self.report = Report()

    def run(self, wanted: list[str]) -> Report:
        """Verify the repository's own objects and the manifests of these names.

        Raises:
            StorageError: the storage does not answer; that says nothing about what it holds.
        """
        self._small_objects()
        for found in self._repository.store.list(names.PACKS):
            if pack := names.pack_id(found.name):
                self._sizes[pack] = found.size
        self.report.packs = len(self._sizes)
        self._read_packs()
        for name, found in manifest.read_all(self._repository, wanted):
            self._backup(name, found)
        # A foreign object that has the id of a backup is damage, but not of that backup.
        self.report.backups = [
            one for one in self.report.backups if one["vm"] or one["id"] not in self._readable
        ]
        return self.report

    def _damaged(self, error: DamagedObject) -> None:
        self.report.objects.setdefault(error.name, error.what)

    # -- what is no pack

    def _small_objects(self) -> None:
        store = self._repository.store
        for found in store.list(names.KEYS):
            try:
                keys.parse(found.name, parse_json(found.name, store.get(found.name, _LIMIT)))
            except ObjectNotFound:
                continue  # the passphrase was changed meanwhile
            except ObjectTooLarge:
                self.report.objects[found.name] = "it is not a key"
            except DamagedObject as error:
                self._damaged(error)
        for prefix in (names.LEASES, names.LEDGERS, names.SEGMENTS):
            for found in store.list(prefix):
                try:
                    self._small(found.name)
                except ObjectNotFound:
                    continue  # released or merged meanwhile
                except (DamagedObject, ObjectTooLarge) as error:
                    self.report.objects[found.name] = getattr(error, "what", "it is too large")

    def _small(self, name: str) -> None:
        limit = segments.SEGMENT_LIMIT
        stored = self._repository.store.get(name, limit)
        plain = self._repository.codec.unseal(name, stored, limit)
        if name.startswith(names.SEGMENTS):
            segments.decode(plain, name)

    # -- packs

    def _read_packs(self) -> None:
        packs = sorted(self._sizes)
        if self._percent < 100:
            packs = self._random.sample(packs, math.ceil(len(packs) * self._percent / 100))
        with ThreadPoolExecutor(_READERS) as pool:
            for pack, bad in zip(packs, pool.map(self._read_pack, packs), strict=True):
                self.report.packs_read += 1
                self.report.bytes_read += self._sizes[pack]
                self._proved.add(pack)
                if bad is None or bad:
                    self._bad[pack] = bad

    def _read_pack(self, pack: bytes) -> set[bytes] | None:
        """The names of the records that are damaged; None when it cannot be told."""
        name = names.pack(pack)
        repository = self._repository
        try:
            content = repository.store.get(name, MOST_PACK_SIZE)
            place = find_directory(repository, pack, len(content))
            end = place.offset + place.length
            directory = parse_directory(repository, place, content[place.offset : end])
        except (ObjectNotFound, ObjectTooLarge):
            self.report.objects[name] = "it is missing or too large"
            return None
        except DamagedObject as error:
            self._damaged(error)
            return None
        view = memoryview(content)
        box = repository.codec.box(name)
        bad = set()
        for ref in directory.records.values():
            try:
                box.open(view[ref.offset : ref.offset + ref.length], ref.name, MOST_RECORD)
            except DamagedObject as error:
                self._damaged(error)
                bad.add(ref.name)
        digest = repository.codec.digest()
        digest.update(view[: place.offset])
        if digest.hexdigest() != directory.digest:
            self.report.objects.setdefault(name, "its bytes are not those that were stored")
        return bad

    def _directory(self, pack: bytes) -> Directory | None:
        """A pack's directory, None where it is damaged."""
        known, directory = self._directories.get(pack)
        if known:
            return directory
        try:
            place = find_directory(self._repository, pack, self._sizes[pack])
            directory = read_directory(self._repository, place)
        except DamagedObject as error:
            self._damaged(error)
        except ObjectNotFound:
            self.report.objects.setdefault(names.pack(pack), "it is missing")
        self._directories.put(pack, directory)
        return directory

    # -- backups

    def _backup(self, name: str, found: Manifest | VmguardError) -> None:
        backup_id = name.rpartition("/")[2]
        if isinstance(found, ObjectNotFound):
            return
        if isinstance(found, RepositoryError):
            if isinstance(found, DamagedObject):
                self._damaged(found)
            self._note(backup_id, None, [], found.message)
            return
        if isinstance(found, VmguardError):
            raise found
        self.report.verified_backups += 1
        self._readable.add(found.id)
        broken = [(disk.name, problem) for disk in found.disks if (problem := self._disk(disk))]
        if broken:
            problem = "; ".join(f"{disk}: {problem}" for disk, problem in broken)
            self._note(found.id, found.vm, [disk for disk, _problem in broken], problem)

    def _note(
        self, backup_id: str, vm: dict[str, Any] | None, disks: list[str], problem: str
    ) -> None:
        self.report.backups.append(
            {"id": backup_id, "vm": (vm or {}).get("name"), "disks": disks, "problem": problem}
        )

    def _disk(self, disk: DiskImage) -> str | None:
        """The first problem of a disk, None when it can be restored as far as was looked."""
        count = chunk_count(disk.size, self._repository.chunk_size)
        first: str | None = None
        try:
            for number, ref, entries in self._leaves(disk):
                problem = self._page(ref, entries)
                first = first or problem
                if entries and number * FANOUT + max(entries) >= count:
                    first = first or "its index points behind its end"
        except DamagedObject as error:
            self._damaged(error)
            return first or error.message
        return first

    def _leaves(self, disk: DiskImage) -> Iterator[tuple[int, Ref, Entries]]:
        tree = Tree(self._repository, disk.roots)
        for root in disk.roots.values():
            self._record(root)
        for number, ref in tree.leaves():
            self._record(ref)
            yield number, ref, read_page(self._repository, ref)

    def _record(self, ref: Ref) -> None:
        if problem := self._ref(ref, PAGE_LIMIT):
            raise DamagedObject(names.pack(ref.pack), problem)

    def _page(self, ref: Ref, entries: Entries) -> str | None:
        """The first problem of what an index page refers to; each page is looked at once."""
        if ref.name not in self._pages:
            # All are looked at: each may be damaged in an object of its own.
            problems = [self._ref(one, self._repository.chunk_size) for one in entries.values()]
            self._pages[ref.name] = next((one for one in problems if one), None)
            self.report.chunks += len(entries)
        return self._pages[ref.name]

    def _ref(self, ref: Ref, limit: int) -> str | None:
        """What is wrong with a record that is referred to."""
        name = names.pack(ref.pack)
        size = self._sizes.get(ref.pack)
        if size is None:
            self.report.objects.setdefault(name, "it is missing")
            return f"the pack {name} is missing"
        if ref.offset + ref.length > size:
            self.report.objects.setdefault(name, "it is too short")
            return f"the pack {name} is too short"
        bad = self._bad.get(ref.pack, set())
        directory = None if bad is None else self._directory(ref.pack)
        if directory is None:
            return self._read(ref, limit)
        if directory.records.get(ref.name) != ref:
            # The same content may lie in a pack twice; the record itself decides.
            return self._read(ref, limit)
        if bad and ref.name in bad:
            return f"a chunk in {name} is damaged"
        return None

    def _read(self, ref: Ref, limit: int) -> str | None:
        try:
            stored = fetch(self._repository, [ref])[ref]
            self._repository.codec.box(names.pack(ref.pack)).open(stored, ref.name, limit)
        except DamagedObject as error:
            self._damaged(error)
            return error.message
        return None
