# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which chunks a repository already has: of this run, of all others, and of runs that were killed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import chain

from .._errors import ObjectExists, ObjectNotFound, ObjectTooLarge, StorageDenied
from .._storage.interface import StoredObject
from . import names, quarantine, segments
from .errors import DamagedObject
from .packs import (
    Directory,
    DirectoryCache,
    PackPlace,
    PackWriter,
    Ref,
    find_directory,
    read_directory,
)
from .repository import Repository
from .segments import Segment
from .workers import in_order

# Eight bytes each: 96 MiB. Beyond it the oldest segments are left out, and chunks stored twice.
MOST_ENTRIES = 12_000_000
# Entries of this run that are kept whole before they become a segment.
RECENT = 1 << 16
# Records of directories that are kept: about 300 bytes each.
MOST_RECORDS_HELD = 1 << 16
# How long a run goes on at most without putting the packs that it stored into a segment.
_UNDER_WAY = timedelta(days=1)
_READERS = 8
_MERGE_COUNT = 24
# How often segments are listed anew, when some vanish while they are read.
_LISTINGS = 5
_MERGE_ENTRIES = 500_000


class ChunkIndex:
    """Finds chunks by name. Thread-safe; reads the repository's segments when first asked.

    Args:
        run: an id for the segments that this run writes; they sort by it.
        now: when the run began. What lies a day in no segment is put into one.
    """

    def __init__(
        self,
        repository: Repository,
        run: str,
        most_entries: int = MOST_ENTRIES,
        now: datetime | None = None,
    ) -> None:
        self._repository = repository
        self._run = run
        self._most_entries = most_entries
        self._lost_before = now - _UNDER_WAY if now else None
        self._lock = threading.Lock()
        self._add_lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._loaded = False
        self._segments: list[Segment] = []
        self._live: dict[str, Segment] = {}
        self._recent: dict[bytes, Ref] = {}
        self._unwritten: list[tuple[int, PackPlace]] = []
        self._adopted: list[Segment] = []
        self._written = 0
        self._directories = DirectoryCache(MOST_RECORDS_HELD)
        self._quarantine: frozenset[bytes] | None = None
        self.warnings: list[str] = []

    # -- finding

    def find(self, wanted: Iterable[bytes]) -> dict[bytes, Ref]:
        """Where chunks lie that may be referred to; those that are not stored are not in it."""
        self._load()
        distrusted = self.distrusted()
        found: dict[bytes, Ref] = {}
        asked: dict[bytes, list[PackPlace]] = {}
        with self._lock:
            for name in wanted:
                if ref := self._recent.get(name):
                    found[name] = ref
                elif places := [p for p in self._places(name) if p.pack not in distrusted]:
                    asked[name] = places
        for name, places in asked.items():
            for place in places:
                directory = self._directory(place)
                if directory and (ref := directory.records.get(name)):
                    found[name] = ref
                    break
        return found

    def places(self, name: bytes) -> Iterator[Ref]:
        """Everywhere that a chunk or page lies, packs in quarantine not left out."""
        self._load()
        with self._lock:
            places = self._places(name)
        for place in dict.fromkeys(places):
            directory = self._directory(place)
            if directory and (ref := directory.records.get(name)):
                yield ref

    def _places(self, name: bytes) -> list[PackPlace]:
        return [place for one in self._segments for place in one.find(name)]

    def distrusted(self) -> frozenset[bytes]:
        """The packs in quarantine: what is in them is stored anew."""
        with self._load_lock:
            if self._quarantine is None:
                found = quarantine.load(self._repository)
                self._quarantine = frozenset(found.packs)
                self.warnings += found.warnings
            return self._quarantine

    def add(
        self, packs: PackWriter, records: list[tuple[bytes, bytes]]
    ) -> tuple[list[Ref], list[Ref]]:
        """Hand records to the packs, but those that another thread has handed over meanwhile.

        Returns:
            Where those lie that were handed over meanwhile, and those of this call.

        Raises:
            StorageError: an earlier pack could not be stored.
        """
        with self._add_lock:
            with self._lock:
                known = {
                    name: self._recent[name] for name, _data in records if name in self._recent
                }
            refs = packs.add([record for record in records if record[0] not in known])
            with self._lock:
                self._recent.update({ref.name: ref for ref in refs})
        return list(known.values()), refs

    def stored(self, place: PackPlace, refs: list[Ref]) -> None:
        """A pack of this run is stored; its chunks may go into a segment."""
        with self._lock:
            self._unwritten += [(segments.fingerprint(ref.name), place) for ref in refs]
            full = len(self._unwritten) >= RECENT
        if full:
            self.write()

    def _directory(self, place: PackPlace) -> Directory | None:
        """A pack's directory; None where it is gone or damaged: what it held is stored anew."""
        known, directory = self._directories.get(place.pack)
        if known:
            return directory
        try:
            directory = read_directory(self._repository, place)
        except (ObjectNotFound, DamagedObject) as error:
            self.warnings.append(str(error))
        self._directories.put(place.pack, directory)
        return directory

    # -- loading

    def _load(self) -> None:
        with self._load_lock:
            if not self._loaded:
                known = self._load_segments()
                self._load_orphans(known)
                self._loaded = True

    def _load_segments(self) -> set[bytes]:
        """The newest segments that fit the bound; the packs that any segment knows."""
        known: set[bytes] = set()
        done: set[str] = set()
        entries = 0
        for _attempt in range(_LISTINGS):
            gone = False
            listed = (one.name for one in self._repository.store.list(names.SEGMENTS))
            for name in sorted(listed, reverse=True):
                if name in done:
                    continue
                try:
                    segment = self._read(name)
                except ObjectNotFound:
                    # Another run merged it just now: what it merged it into is in the next list.
                    gone = True
                    continue
                except (ObjectTooLarge, DamagedObject) as error:
                    done.add(name)
                    self.warnings.append(str(error))
                    continue
                done.update((name, *segment.replaces))
                for one in segment.replaces:
                    # The clock of who merged may have been behind.
                    entries -= len(self._live.pop(one, ()))
                known.update(place.pack for place in segment.all_places())
                entries += len(segment)
                if entries <= self._most_entries:
                    self._live[name] = segment
            if not gone:
                break
        self._segments += self._live.values()
        return known

    def _read(self, name: str) -> Segment:
        repository = self._repository
        stored = repository.store.get(name, segments.SEGMENT_LIMIT)
        return segments.decode(repository.codec.unseal(name, stored, segments.SEGMENT_LIMIT), name)

    def _load_orphans(self, known: set[bytes]) -> None:
        """Packs of no segment: those of runs that were killed, or that are under way."""
        orphans = (
            (pack, found)
            for found in self._repository.store.list(names.PACKS)
            if (pack := names.pack_id(found.name)) and pack not in known
        )
        kinds: dict[bool, list[tuple[int, PackPlace]]] = {False: [], True: []}
        with ThreadPoolExecutor(_READERS) as pool:
            for lost, rows in in_order(pool, 2 * _READERS, self._orphan, orphans):
                kinds[lost] += rows
                if len(kinds[lost]) >= RECENT:
                    self._take_orphans(lost, kinds[lost])
                    kinds[lost] = []
        for lost, rows in kinds.items():
            self._take_orphans(lost, rows)

    def _orphan(
        self, orphan: tuple[bytes, StoredObject]
    ) -> tuple[bool, list[tuple[int, PackPlace]]]:
        """Whether a run that is over left a pack behind, and what it holds."""
        pack, found = orphan
        lost = self._lost_before is not None and found.modified < self._lost_before
        try:
            place = find_directory(self._repository, pack, found.size)
            directory = read_directory(self._repository, place)
        except (ObjectNotFound, DamagedObject) as error:
            self.warnings.append(str(error))
            return lost, []
        return lost, [(segments.fingerprint(name), place) for name in directory.records]

    def _take_orphans(self, lost: bool, rows: list[tuple[int, PackPlace]]) -> None:
        if rows:
            segment = segments.build(rows)
            self._segments.append(segment)
            if lost:
                self._adopted.append(segment)

    # -- writing

    def write(self) -> None:
        """Store what packs hold of this run, and of runs that were killed, for later runs."""
        with self._lock:
            rows, self._unwritten = self._unwritten, []
            new, self._adopted = self._adopted, []
            if rows:
                new.append(segments.build(rows))
                self._segments.append(new[-1])
                stored = {place.pack for _print, place in rows}
                self._recent = {
                    name: ref for name, ref in self._recent.items() if ref.pack not in stored
                }
            named: dict[str, Segment] = {}
            for segment in new:
                self._written += 1
                named[f"{names.SEGMENTS}{self._run}-{self._written:04d}"] = segment
            self._live.update(named)
        repository = self._repository
        for name, segment in named.items():
            repository.store.put(name, repository.codec.seal(name, segments.encode(segment)))

    def merge(self) -> None:
        """Make one segment of many small ones. Those that it replaces are deleted if they can be.

        Its name says what it replaces, so that two runs that merge the same make one segment.
        """
        if not self._loaded:
            return
        store = self._repository.store
        small = sorted(
            (len(segment), name)
            for name, segment in self._live.items()
            if len(segment) < _MERGE_ENTRIES // 2
        )
        if len(small) < _MERGE_COUNT:
            return
        parts: list[Segment] = []
        taken: list[str] = []
        room = _MERGE_ENTRIES
        for entries, name in small:
            room -= entries
            if room < 0:
                break
            parts.append(self._live[name])
            taken += [name, *self._live[name].replaces]
        if len({place for part in parts for place in part.all_places()}) > segments.MOST_PACKS:
            return
        rows = chain.from_iterable(part.rows() for part in parts)
        if not self._put_merged(segments.build(rows, sorted(set(taken)))):
            return
        for one in taken:
            try:
                store.delete(one)
            except StorageDenied:
                return

    def _put_merged(self, merged: Segment) -> bool:
        """Store a segment that replaces others; whether it is there now."""
        repository = self._repository
        stamp = max(merged.replaces).removeprefix(names.SEGMENTS).partition("-")[0]
        which = repository.codec.key_of("\n".join(merged.replaces))
        name = f"{names.SEGMENTS}{stamp}-merged-{which}"
        try:
            repository.store.put(name, repository.codec.seal(name, segments.encode(merged)))
        except ObjectExists:
            try:
                return set(self._read(name).replaces) == set(merged.replaces)
            except (ObjectNotFound, ObjectTooLarge, DamagedObject):
                return False
        return True
