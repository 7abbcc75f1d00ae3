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
from collections.abc import Iterator
from typing import Any

from ansible_collections.vmguard.azure.plugins.module_utils._image import names
from ansible_collections.vmguard.azure.plugins.module_utils._image.codec import (
    NAME_SIZE,
    is_whole,
    parse_json,
)
from ansible_collections.vmguard.azure.plugins.module_utils._image.errors import DamagedObject
from ansible_collections.vmguard.azure.plugins.module_utils._image.packs import (
    MOST_PACK_SIZE,
    MOST_RECORD,
    PACK_ID_SIZE,
    PackWriter,
    Ref,
    fetch,
)
from ansible_collections.vmguard.azure.plugins.module_utils._image.repository import Repository

FANOUT = 1024
PAGE_LIMIT = 1 << 20
# Azure's largest disk is 64 TiB (Ultra, Premium SSD v2).
MOST_DISK_SIZE = 64 << 40

Entries = dict[int, Ref]


def encode(entries: Entries) -> dict[str, Any]:
    """Entries as they are stored: ``[position, name, number of the pack, offset, length]``."""
    packs = sorted({ref.pack for ref in entries.values()})
    number = {pack: index for index, pack in enumerate(packs)}
    return {
        "packs": [pack.hex() for pack in packs],
        "entries": [
            [position, ref.name.hex(), number[ref.pack], ref.offset, ref.length]
            for position, ref in sorted(entries.items())
        ],
    }


def decode(body: Any, where: str, most: int = FANOUT) -> Entries:
    """What ``encode`` was given.

    Args:
        where: the object, for the error.
        most: positions are below it.

    Raises:
        DamagedObject: it is none, or points where nothing can be.
    """
    try:
        packs = [bytes.fromhex(text) for text in body["packs"]]
        entries = {
            position: Ref(bytes.fromhex(name), packs[number], offset, length)
            for position, name, number, offset, length in body["entries"]
        }
        numbers = [one[2] for one in body["entries"]]
        sound = len(entries) == len(body["entries"]) <= most and all(
            is_whole(number) and number >= 0 for number in numbers
        )
        sound = sound and all(
            all(map(is_whole, (position, ref.offset, ref.length)))
            and 0 <= position < most
            and len(ref.name) == NAME_SIZE
            and len(ref.pack) == PACK_ID_SIZE
            and 0 < ref.length <= MOST_RECORD
            and 0 <= ref.offset <= MOST_PACK_SIZE
            for position, ref in entries.items()
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DamagedObject(where, "its index cannot be read") from error
    if not sound:
        raise DamagedObject(where, "its index holds what cannot be")
    return entries


def chunk_count(disk_size: int, chunk_size: int) -> int:
    return -(-disk_size // chunk_size)


class Tree:
    """The index of one image, read as needed. Keeps one page of each level."""

    def __init__(self, repository: Repository, roots: Entries) -> None:
        self._repository = repository
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

    def leaf(self, number: int) -> Entries:
        """The chunks of a leaf, by their position in it.

        Raises:
            DamagedObject, StorageError: it cannot be read.
        """
        ref = self.leaf_ref(number)
        return self._page(ref) if ref else {}

    def leaves(self) -> Iterator[tuple[int, Ref]]:
        """The numbers of the leaves that are not empty, in order, and where they lie."""
        for root in sorted(self.roots):
            for position, ref in sorted(self.node(root).items()):
                yield root * FANOUT + position, ref

    def _page(self, ref: Ref) -> Entries:
        return read_page(self._repository, ref)


def read_page(repository: Repository, ref: Ref) -> Entries:
    """A page, proved to be the one referred to.

    Raises:
        DamagedObject, StorageError: it cannot be read.
    """
    place = names.pack(ref.pack)
    stored = fetch(repository, [ref])[ref]
    plain = repository.codec.box(place).open(stored, ref.name, PAGE_LIMIT)
    return decode(parse_json(place, plain), place)


class TreeWriter:
    """Builds an index, leaf after leaf in ascending order, from an earlier one or from nothing."""

    def __init__(self, repository: Repository, packs: PackWriter, base: Tree | None) -> None:
        self._repository = repository
        self._packs = packs
        self._base = base
        self._roots: Entries = dict(base.roots) if base else {}
        self._number: int | None = None
        self._node: Entries = {}
        # The pages of the node in work, in the base and since: what is there is not stored again.
        self._pages: dict[bytes, Ref] = {}

    def put(self, number: int, entries: Entries) -> None:
        """The content of a leaf; those that are not put stay as they are in the base."""
        root, position = divmod(number, FANOUT)
        if root != self._number:
            self._close_node()
            self._number = root
            self._node = dict(self._base.node(root)) if self._base else {}
            known = [*self._node.values(), *([self._roots[root]] if root in self._roots else [])]
            self._pages = {ref.name: ref for ref in known}
        if entries:
            self._node[position] = self._store(entries)
        else:
            self._node.pop(position, None)

    def finish(self, leaf_count: int) -> Entries:
        """The roots; those of which all leaves are behind ``leaf_count`` are dropped."""
        self._close_node()
        return {root: ref for root, ref in self._roots.items() if root * FANOUT < leaf_count}

    def _close_node(self) -> None:
        if self._number is None:
            return
        if self._node:
            self._roots[self._number] = self._store(self._node)
        else:
            self._roots.pop(self._number, None)

    def _store(self, entries: Entries) -> Ref:
        plain = json.dumps(encode(entries), separators=(",", ":")).encode()
        codec = self._repository.codec
        name = codec.name(plain)
        if name not in self._pages:
            self._pages[name] = self._packs.add([(name, codec.compress(plain))])[0]
        return self._pages[name]
