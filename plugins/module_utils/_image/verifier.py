# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifies a repository: that all that backups refer to is there, and, as asked, what it holds."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .._errors import ObjectNotFound, ObjectTooLarge, VmguardError
from .._repository import keys, manifest, names, quarantine, segments
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
from .._repository.records import Copies
from .._repository.repository import Repository
from .._repository.tree import FANOUT, PAGE_LIMIT, Entries, chunk_count, read_page
from .._repository.workers import in_order
from .remembered import PackSizes, Seen

_READERS = 4
_RECORDS_HELD = 1 << 17
_NODES_HELD = 4
_VERDICTS_HELD = 10_000
_LIMIT = 16 << 20
_NODE, _LEAF = 1, 2


@dataclass
class Report:
    """What was verified, and what is wrong.

    Args:
        objects: damaged or missing objects, with the problem.
        quarantined: those of them that were in quarantine before.
        backups: backups that cannot be restored whole: id, vm, disks, problem.
        recovered: backups that refer to damaged data and restore whole, since the same data lies
            elsewhere too: id, vm, disks.
        packs: how many there are; ``packs_read`` of them were read, of ``bytes_read`` bytes.
        chunks: those that the backups refer to, each counted once.
        damaged_packs: the ids of packs that are damaged or missing.
        damaged_disks: the roles of the damaged disks, by the ids of their backups.
    """

    objects: dict[str, str] = field(default_factory=dict)
    quarantined: set[str] = field(default_factory=set)
    backups: list[dict[str, Any]] = field(default_factory=list)
    recovered: list[dict[str, Any]] = field(default_factory=list)
    verified_backups: int = 0
    packs: int = 0
    packs_read: int = 0
    bytes_read: int = 0
    chunks: int = 0
    damaged_packs: list[bytes] = field(default_factory=list)
    damaged_disks: dict[str, list[str]] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Every backup restores whole, and what is damaged is in quarantine already."""
        return not self.backups and self.objects.keys() <= self.quarantined


class Verdict(NamedTuple):
    """What is wrong with data; ``recovered``: it is damaged in its place, and whole elsewhere."""

    problem: str | None = None
    recovered: bool = False

    def plus(self, other: Verdict) -> Verdict:
        return Verdict(self.problem or other.problem, self.recovered or other.recovered)


_GOOD = Verdict()


class Verifier:
    """One verification. Reads only.

    Args:
        percent: of the packs, how many are read whole, 0 to 100.
    """

    def __init__(self, repository: Repository, percent: float, source: random.Random) -> None:
        self._repository = repository
        self._percent = percent
        self._random = source
        self._sizes = PackSizes(())
        self._bad: set[bytes] = set()
        self._directories = DirectoryCache(_RECORDS_HELD)
        self._readable: set[str] = set()
        self._copies = Copies(repository)
        self._nodes: OrderedDict[Ref, Entries] = OrderedDict()
        self._good = Seen()
        self._verdicts: OrderedDict[tuple[int, Ref], Verdict] = OrderedDict()
        self.report = Report()

    def run(self, wanted: list[str]) -> Report:
        """Verify the repository's own objects and the manifests of these names.

        Raises:
            StorageError: the storage does not answer; that says nothing about what it holds.
        """
        self._small_objects()
        self._sizes = PackSizes(self._repository.store.list(names.PACKS))
        self.report.packs = len(self._sizes)
        self._read_packs()
        for name, found in manifest.read_all(self._repository, wanted):
            self._backup(name, found)
        # A foreign object that has the id of a backup is damage, but not of that backup.
        self.report.backups = [
            one for one in self.report.backups if one["vm"] or one["id"] not in self._readable
        ]
        known = quarantine.load(self._repository).packs
        for name in self.report.objects:
            pack = names.pack_id(name)
            if pack in known:
                self.report.quarantined.add(name)
            if pack is not None:
                self.report.damaged_packs.append(pack)
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
        for prefix in (names.LEASES, names.LEDGERS, names.SEGMENTS, names.QUARANTINE):
            for found in store.list(prefix):
                try:
                    self._small(found.name)
                except ObjectNotFound:
                    continue  # released or merged meanwhile
                except (DamagedObject, ObjectTooLarge) as error:
                    self.report.objects[found.name] = getattr(error, "what", "it is too large")

    def _small(self, name: str) -> None:
        if name.startswith(names.QUARANTINE):
            quarantine.read(self._repository, name)
            return
        limit = segments.SEGMENT_LIMIT
        stored = self._repository.store.get(name, limit)
        plain = self._repository.codec.unseal(name, stored, limit)
        if name.startswith(names.SEGMENTS):
            segments.decode(plain, name)

    # -- packs

    def _read_packs(self) -> None:
        count = math.ceil(len(self._sizes) * self._percent / 100)
        drawn = self._sizes.sample(count, self._random)
        with ThreadPoolExecutor(_READERS) as pool:
            for pack, size, bad in in_order(pool, 2 * _READERS, self._read_pack, drawn):
                self.report.packs_read += 1
                self.report.bytes_read += size
                if bad:
                    self._bad.add(pack)

    def _read_pack(self, pack: bytes) -> tuple[bytes, int, bool]:
        """The pack, bytes of it, and whether a record in it is damaged or cannot be told."""
        return pack, self._sizes.get(pack) or 0, self._records_damaged(pack)

    def _records_damaged(self, pack: bytes) -> bool:
        name = names.pack(pack)
        repository = self._repository
        try:
            content = repository.store.get(name, MOST_PACK_SIZE)
            place = find_directory(repository, pack, len(content))
            end = place.offset + place.length
            directory = parse_directory(repository, place, content[place.offset : end])
        except (ObjectNotFound, ObjectTooLarge):
            self.report.objects[name] = "it is missing or too large"
            return True
        except DamagedObject as error:
            self._damaged(error)
            return True
        view = memoryview(content)
        box = repository.codec.box(name)
        bad = False
        for ref in directory.records.values():
            try:
                box.open(view[ref.offset : ref.offset + ref.length], ref.name, MOST_RECORD)
            except DamagedObject as error:
                self._damaged(error)
                bad = True
        digest = repository.codec.digest()
        digest.update(view[: place.offset])
        if digest.hexdigest() != directory.digest:
            self.report.objects.setdefault(name, "its bytes are not those that were stored")
        return bad

    def _directory(self, pack: bytes, size: int) -> Directory | None:
        """A pack's directory, None where it is damaged."""
        known, directory = self._directories.get(pack)
        if known:
            return directory
        try:
            place = find_directory(self._repository, pack, size)
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
        verdicts = [(disk, self._disk(disk)) for disk in found.disks]
        broken = [(disk, verdict.problem) for disk, verdict in verdicts if verdict.problem]
        if broken:
            problem = "; ".join(f"{disk.name}: {problem}" for disk, problem in broken)
            self._note(found.id, found.vm, [disk.name for disk, _problem in broken], problem)
            self.report.damaged_disks[found.id] = [disk.role for disk, _problem in broken]
        elif saved := [disk.name for disk, verdict in verdicts if verdict.recovered]:
            self.report.recovered.append(
                {"id": found.id, "vm": found.vm.get("name"), "disks": saved}
            )

    def _note(
        self, backup_id: str, vm: dict[str, Any] | None, disks: list[str], problem: str
    ) -> None:
        self.report.backups.append(
            {"id": backup_id, "vm": (vm or {}).get("name"), "disks": disks, "problem": problem}
        )

    def _disk(self, disk: DiskImage) -> Verdict:
        """The first problem of a disk; none when it can be restored as far as was looked."""
        last_leaf = (chunk_count(disk.size, self._repository.chunk_size) - 1) // FANOUT
        verdict = _GOOD
        for root, ref in sorted(disk.roots.items()):
            # All before the last are full of places that the disk has.
            if root < last_leaf // FANOUT:
                verdict = verdict.plus(self._remembered(_NODE, ref, self._node))
            else:
                verdict = verdict.plus(self._last_node(disk, root, ref))
        return verdict

    def _last_node(self, disk: DiskImage, root: int, ref: Ref) -> Verdict:
        """A node of which a part may lie behind the end of the disk."""
        last = chunk_count(disk.size, self._repository.chunk_size) - 1
        verdict, entries = self._page(ref)
        for position, leaf in sorted(entries.items()):
            number = root * FANOUT + position
            verdict = verdict.plus(self._remembered(_LEAF, leaf, self._leaf))
            behind = number > last // FANOUT
            if number == last // FANOUT:
                _verdict, chunks = self._page(leaf)
                behind = max(chunks, default=0) > last % FANOUT
            if behind:
                return verdict.plus(Verdict("its index points behind its end"))
        return verdict

    def _remembered(self, level: int, ref: Ref, look: Callable[[Ref], Verdict]) -> Verdict:
        """The verdict on a page and all below it; no page is looked at twice."""
        if self._good.has(level, ref):
            return _GOOD
        verdict = self._verdicts.get((level, ref))
        if verdict is None:
            verdict = look(ref)
            if verdict == _GOOD:
                self._good.add(level, ref)
            else:
                self._verdicts[level, ref] = verdict
                if len(self._verdicts) > _VERDICTS_HELD:
                    self._verdicts.popitem(last=False)
        return verdict

    def _node(self, ref: Ref) -> Verdict:
        verdict, entries = self._page(ref)
        # All are looked at: each may be damaged in an object of its own.
        for _position, leaf in sorted(entries.items()):
            verdict = verdict.plus(self._remembered(_LEAF, leaf, self._leaf))
        return verdict

    def _leaf(self, ref: Ref) -> Verdict:
        verdict, entries = self._page(ref)
        for one in dict.fromkeys(entries.values()):
            verdict = verdict.plus(self._ref(one, self._repository.chunk_size))
        self.report.chunks += len(entries)
        return verdict

    def _page(self, ref: Ref) -> tuple[Verdict, Entries]:
        """A page itself, and what it refers to: nothing, where it cannot be read."""
        verdict = self._ref(ref, PAGE_LIMIT)
        if verdict.problem:
            return verdict, {}
        if ref not in self._nodes:
            try:
                self._nodes[ref] = read_page(self._repository, ref)
            except DamagedObject as error:
                self._damaged(error)
                try:
                    return Verdict(None, True), read_page(self._repository, ref, self._copies)
                except DamagedObject:
                    return Verdict(error.message), {}
            if len(self._nodes) > _NODES_HELD:
                self._nodes.popitem(last=False)
        return verdict, self._nodes[ref]

    def _ref(self, ref: Ref, limit: int) -> Verdict:
        """A record that is referred to: in its place, or, where it is damaged there, elsewhere."""
        problem = self._problem(ref, limit)
        if problem is None:
            return _GOOD
        whole = self._copies.read(ref, limit) is not None
        return Verdict(None, True) if whole else Verdict(problem)

    def _problem(self, ref: Ref, limit: int) -> str | None:
        """What is wrong with a record in its place."""
        name = names.pack(ref.pack)
        size = self._sizes.get(ref.pack)
        if size is None:
            self.report.objects.setdefault(name, "it is missing")
            return f"the pack {name} is missing"
        if ref.offset + ref.length > size:
            self.report.objects.setdefault(name, "it is too short")
            return f"the pack {name} is too short"
        directory = None if ref.pack in self._bad else self._directory(ref.pack, size)
        # The same content may lie in a pack twice; the record itself decides.
        if directory is None or directory.records.get(ref.name) != ref:
            return self._read(ref, limit)
        return None

    def _read(self, ref: Ref, limit: int) -> str | None:
        try:
            stored = fetch(self._repository, [ref])[ref]
            self._repository.codec.box(names.pack(ref.pack)).open(stored, ref.name, limit)
        except DamagedObject as error:
            self._damaged(error)
            return error.message
        return None
