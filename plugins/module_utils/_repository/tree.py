# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The index of an image: for each chunk of the disk, where it lies.

Two levels of pages with 1,024 entries each, below a list of roots in the manifest. A page is stored
like a chunk, by its content, so what did not change is shared by all images that have it. What
is not in a page is zeros.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from . import names
from .codec import NAME_SIZE, parse_json
from .errors import DamagedObject
from .packs import MOST_PACK_SIZE, MOST_RECORD, PACK_ID_SIZE, PackWriter, Ref
from .records import Copies, Records
from .repository import Repository
from .workers import in_groups

FANOUT = 1024
PAGE_LIMIT = 1 << 20
# Leaves that are read at once, and the most that are stored side by side.
TOGETHER, STORED_TOGETHER = 16, 64
# Azure's largest disk is 64 TiB (Ultra, Premium SSD v2).
MOST_DISK_SIZE = 64 << 40

Entries = dict[int, Ref]


def encode(entries: Entries) -> dict[str, Any]:
    """Entries as they are stored: in columns, which take a third of the time of rows."""
    packs = sorted({ref.pack for ref in entries.values()})
    number = {pack: index for index, pack in enumerate(packs)}
    positions = sorted(entries)
    refs = [entries[position] for position in positions]
    return {
        "packs": [pack.hex() for pack in packs],
        "positions": positions,
        "names": [ref.name.hex() for ref in refs],
        "in_packs": [number[ref.pack] for ref in refs],
        "offsets": [ref.offset for ref in refs],
        "lengths": [ref.length for ref in refs],
    }


_COLUMNS = ("packs", "positions", "names", "in_packs", "offsets", "lengths")


def decode(body: Any, where: str, most: int = FANOUT) -> Entries:
    """What ``encode`` was given.

    Args:
        where: the object, for the error.
        most: positions are below it.

    Raises:
        DamagedObject: it is none, or points where nothing can be.
    """
    try:
        columns = [body[key] for key in _COLUMNS]
        if not all(isinstance(column, list) for column in columns):
            raise DamagedObject(where, "its index holds what cannot be")
        packs, positions, texts, numbers, offsets, lengths = columns
        found = list(map(bytes.fromhex, texts))
        packs = list(map(bytes.fromhex, packs))
        sound = (
            set(map(len, packs)) <= {PACK_ID_SIZE}
            and set(map(len, found)) <= {NAME_SIZE}
            and len({len(column) for column in columns[1:]}) == 1
            and len(set(positions)) == len(positions)
            and _all_between(positions, 0, most - 1)
            and _all_between(numbers, 0, len(packs) - 1)
            and _all_between(offsets, 0, MOST_PACK_SIZE)
            and _all_between(lengths, 1, MOST_RECORD)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedObject(where, "its index cannot be read") from error
    if not sound:
        raise DamagedObject(where, "its index holds what cannot be")
    places = [packs[number] for number in numbers]
    return dict(zip(positions, map(Ref, found, places, offsets, lengths), strict=True))


def _all_between(column: list[Any], least: int, most: int) -> bool:
    """Whether all are whole numbers (``true`` is none) in these bounds."""
    return not column or (
        set(map(type, column)) == {int} and least <= min(column) and max(column) <= most
    )


def chunk_count(disk_size: int, chunk_size: int) -> int:
    return -(-disk_size // chunk_size)


class Tree:
    """The index of one image, read as needed. Keeps one page of each level.

    Args:
        copies: where to look for pages that are damaged; None to look nowhere else.
    """

    def __init__(
        self, repository: Repository, roots: Entries, copies: Copies | None = None
    ) -> None:
        self._repository = repository
        self._copies = copies
        self.roots = roots
        self._nodes: dict[int, Entries] = {}

    def node(self, number: int) -> Entries:
        """The references to leaves under a root."""
        if number not in self._nodes:
            root = self.roots.get(number)
            self._nodes = {number: self._page(root) if root else {}}
        return self._nodes[number]

    def leaf_ref(self, number: int) -> Ref | None:
        return self.node(number // FANOUT).get(number % FANOUT)

    def pages(self, numbers: Iterable[int]) -> Iterator[tuple[int, Entries]]:
        """The chunks of leaves, by their position in each; empty for a leaf that is not there.

        Raises:
            DamagedObject, StorageError: one cannot be read.
        """
        for group in in_groups(numbers, TOGETHER):
            refs = {number: ref for number in group if (ref := self.leaf_ref(number))}
            found = read_pages(self._repository, refs.values(), self._copies)
            for number in group:
                yield number, found[refs[number]] if number in refs else {}

    def all_pages(self) -> Iterator[tuple[int, Ref, Entries]]:
        """The leaves that are not empty, in order: number, where it lies, content. Raises: as ``pages``."""
        for group in in_groups(self.leaves(), TOGETHER):
            found = read_pages(self._repository, [ref for _number, ref in group], self._copies)
            for number, ref in group:
                yield number, ref, found[ref]

    def leaves(self) -> Iterator[tuple[int, Ref]]:
        """The numbers of the leaves that are not empty, in order, and where they lie."""
        for root in sorted(self.roots):
            for position, ref in sorted(self.node(root).items()):
                yield root * FANOUT + position, ref

    def _page(self, ref: Ref) -> Entries:
        return read_page(self._repository, ref, self._copies)


def read_page(repository: Repository, ref: Ref, copies: Copies | None = None) -> Entries:
    """A page, proved to be the one referred to.

    Raises:
        DamagedObject, StorageError: it cannot be read.
    """
    return read_pages(repository, [ref], copies)[ref]


def read_pages(
    repository: Repository, refs: Iterable[Ref], copies: Copies | None = None
) -> dict[Ref, Entries]:
    """Pages, each proved; those that lie together are read at once. Raises: as ``read_page``."""
    refs = set(refs)
    records = Records(repository, refs, copies)
    found: dict[Ref, Entries] = {}
    for ref in refs:
        place = names.pack(ref.pack)
        found[ref] = decode(parse_json(place, records.open(ref, PAGE_LIMIT)), place)
    return found


class TreeWriter:
    """Builds an index, leaf after leaf in ascending order, from an earlier one or from nothing.

    Args:
        distrusted: packs whose pages are stored anew when they would be referred to.
    """

    def __init__(
        self,
        repository: Repository,
        packs: PackWriter,
        base: Tree | None,
        distrusted: frozenset[bytes] = frozenset(),
    ) -> None:
        self._repository = repository
        self._packs = packs
        self._base = base
        self._distrusted = distrusted
        self._roots: Entries = dict(base.roots) if base else {}
        self._number: int | None = None
        self._node: Entries = {}
        # The pages of the node in work, in the base and since: what is there is not stored again.
        self._pages: dict[bytes, Ref] = {}
        # Leaves that are to be stored side by side, and the positions they belong to.
        self._waiting: dict[bytes, tuple[bytes, list[int]]] = {}

    def put(self, number: int, entries: Entries) -> None:
        """The content of a leaf; those that are not put stay as they are in the base."""
        root, position = divmod(number, FANOUT)
        if root != self._number:
            self._close_node()
            self._number = root
            self._node = dict(self._base.node(root)) if self._base else {}
            known = [*self._node.values(), *([self._roots[root]] if root in self._roots else [])]
            self._pages = {ref.name: ref for ref in known if ref.pack not in self._distrusted}
        if not entries:
            self._node.pop(position, None)
            return
        name, packed = self._packed(entries)
        if name in self._pages:
            self._node[position] = self._pages[name]
            return
        self._waiting.setdefault(name, (packed, []))[1].append(position)
        if len(self._waiting) >= STORED_TOGETHER:
            self._store_waiting()

    def finish(self, leaf_count: int) -> Entries:
        """The roots; those of which all leaves are behind ``leaf_count`` are dropped."""
        self._close_node()
        return {root: ref for root, ref in self._roots.items() if root * FANOUT < leaf_count}

    def _close_node(self) -> None:
        if self._number is None:
            return
        self._store_waiting()
        if self._node:
            name, packed = self._packed(self._node)
            if name not in self._pages:
                self._pages[name] = self._packs.add([(name, packed)])[0]
            self._roots[self._number] = self._pages[name]
        else:
            self._roots.pop(self._number, None)

    def _packed(self, entries: Entries) -> tuple[bytes, bytes]:
        """A page's name, and how it is stored."""
        plain = json.dumps(encode(entries), separators=(",", ":")).encode()
        codec = self._repository.codec
        return codec.name(plain), codec.compress(plain)

    def _store_waiting(self) -> None:
        """The leaves of a node side by side: who reads one of them mostly reads them all."""
        waiting, self._waiting = self._waiting, {}
        refs = self._packs.add((name, packed) for name, (packed, _to) in waiting.items())
        for ref, (_packed, positions) in zip(refs, waiting.values(), strict=True):
            self._pages[ref.name] = ref
            self._node.update(dict.fromkeys(positions, ref))
