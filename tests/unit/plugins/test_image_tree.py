"""The index of an image: a dict in pages, of which generations share what did not change."""

from __future__ import annotations

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import DamagedObject
from ansible_collections.vmguard.azure.plugins.module_utils._repository.packs import (
    MOST_PACK_SIZE,
    MOST_RECORD,
    PackWriter,
    Ref,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._repository.tree import (
    FANOUT,
    Entries,
    Tree,
    TreeWriter,
    decode,
    encode,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from image_world import (
    CHUNK,
    MIB,
    Sparse,
    World,
    disk_image,
    make_repository,
    record_count,
    restore,
    verify,
)

TEBIBYTE = 1 << 40
# Beside the bounds of leaves and of nodes, and the last of a disk of 64 TiB.
LEAVES = [0, 1, 2, FANOUT - 1, FANOUT, FANOUT + 1, 5 * FANOUT, FANOUT * FANOUT - 1]
Generation = dict[int, Entries]


@st.composite
def some_entries(draw: st.DrawFn) -> Entries:
    positions = draw(st.lists(st.sampled_from([0, 1, 7, 1023]), max_size=4, unique=True))
    # Few contents, so that leaves come back to what they were and resemble each other.
    return {one: fake_ref(draw(st.integers(0, 2))) for one in positions}


generations = st.lists(
    st.dictionaries(st.sampled_from(LEAVES), some_entries(), max_size=6), min_size=1, max_size=5
)


def fake_ref(number: int) -> Ref:
    return Ref(bytes([number]) * 32, bytes([number]) * 16, number * 100, 100)


def write(repository: Repository, changes: Generation, base: Tree | None) -> tuple[Entries, int]:
    """The roots, and how many pages were stored."""
    packs = PackWriter(repository)
    before = record_count(repository)
    try:
        writer = TreeWriter(repository, packs, base)
        for number, entries in sorted(changes.items()):
            writer.put(number, entries)
        roots = writer.finish(FANOUT * FANOUT)
        packs.flush()
    finally:
        packs.close()
    return roots, record_count(repository) - before


def content(tree: Tree) -> Generation:
    return {number: entries for number, _ref, entries in tree.all_pages()}


def node_of(model: Generation, root: int) -> Generation:
    return {number: entries for number, entries in model.items() if number // FANOUT == root}


def new_pages(changes: Generation, before: Generation, after: Generation) -> int:
    """The pages that a generation has to store: what is not under the same node before."""
    leaves: set[str] = set()
    for number, entries in changes.items():
        if entries and entries not in node_of(before, number // FANOUT).values():
            # In a pack's directory, pages that are the same are one.
            leaves.add(json.dumps(encode(entries)))
    roots = {number // FANOUT for number in changes}
    changed = [one for one in roots if node_of(after, one) not in ({}, node_of(before, one))]
    return len(leaves) + len(changed)


SAME = {1: fake_ref(1)}


@settings(max_examples=40, deadline=None)
@given(generations)
@example([{0: SAME, 1: SAME}, {1: SAME}])
@example([{0: SAME, 1: SAME}, {0: {}}, {0: SAME}])
def test_an_index_is_a_dict_whatever_was_put_before(rounds: list[Generation]) -> None:
    with TemporaryDirectory() as folder:
        repository = make_repository(Path(folder) / "repository")
        base, model = None, {}
        history: list[tuple[Entries, Generation]] = []
        for changes in rounds:
            before = model
            model = {**model, **changes}
            model = {number: entries for number, entries in model.items() if entries}
            roots, stored = write(repository, changes, base)
            assert stored == new_pages(changes, before, model)
            base = Tree(repository, roots)
            history.append((roots, model))
        for roots, expected in history:
            assert content(Tree(repository, roots)) == expected


def test_one_changed_chunk_of_32_tebibytes_costs_two_pages(tmp_path: Path) -> None:
    source = random.Random(1)
    world = World(make_repository(tmp_path / "repository"), pack_size=16 * MIB)
    starts = [source.randrange(0, 32 * TEBIBYTE, CHUNK) for _number in range(60)]
    disk = Sparse(32 * TEBIBYTE, {start: source.randbytes(CHUNK) for start in starts})
    full = world.read(disk, disk.size, disk.changes())
    before = record_count(world.repository)
    changed = Sparse(disk.size, {starts[30]: source.randbytes(CHUNK)})
    later = world.read(changed, disk.size, changed.changes(), full)
    assert record_count(world.repository) - before == 1 + 2
    now = content(Tree(world.repository, later.roots))
    earlier = content(Tree(world.repository, full.roots))
    chunk = starts[30] // CHUNK
    leaf = chunk // FANOUT
    assert now.keys() == earlier.keys()
    assert {number for number in earlier if now[number] != earlier[number]} == {leaf}
    assert now[leaf][chunk % FANOUT] != earlier[leaf][chunk % FANOUT]


def test_pages_lie_together_and_are_read_in_few_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = make_repository(tmp_path / "repository")
    # More than are stored side by side, in two nodes, and every third one is not there.
    numbers = [number for number in range(900, 1200) if number % 3]
    model = {number: {number % FANOUT: fake_ref(number % 199)} for number in numbers}
    roots, _stored = write(repository, model, None)
    asked: list[str] = []
    get_range = repository.store.get_range

    def counted(name: str, offset: int, length: int) -> bytes:
        asked.append(name)
        return get_range(name, offset, length)

    monkeypatch.setattr(repository.store, "get_range", counted)
    assert content(Tree(repository, roots)) == model
    # A request for 16 pages, and those for the nodes.
    assert len(asked) <= len(numbers) // 16 + 1 + 4
    wanted = [*range(890, 910), *range(1190, 1210)]
    found = dict(Tree(repository, roots).pages(wanted))
    assert found == {number: model.get(number, {}) for number in wanted}


REF = ["ab" * 32, 0, 0, 100]
PACKS = ["cd" * 16]


def body(*entries: Any, packs: Any = None) -> dict[str, Any]:
    """A page of rows, however odd; a row that is too short leaves columns of unequal length."""
    columns = {
        name: [entry[at] for entry in entries if at < len(entry)]
        for at, name in enumerate(("positions", "names", "in_packs", "offsets", "lengths"))
    }
    return {"packs": PACKS if packs is None else packs, **columns}


HOSTILE: dict[str, Any] = {
    "negative position": body([-1, *REF]),
    "position behind the page": body([FANOUT, *REF]),
    "position true": body([True, *REF]),
    "position as a float": body([1.0, *REF]),
    "position as text": body(["1", *REF]),
    "position as a list": body([[1], *REF]),
    "position null": body([None, *REF]),
    "position twice": body([1, *REF], [1, *REF]),
    "pack behind the list": body([1, REF[0], 1, 0, 100]),
    "pack from the end": body([1, REF[0], -1, 0, 100]),
    "pack false": body([1, REF[0], False, 0, 100]),
    "pack of absurd number": body([1, REF[0], 10**40, 0, 100]),
    "pack is a path": body([1, *REF], packs=["../../../etc/passwd"]),
    "pack is an absolute path": body([1, *REF], packs=["/etc/passwd"]),
    "pack too short": body([1, *REF], packs=["cd" * 15]),
    "pack is a number": body([1, *REF], packs=[7]),
    "packs are text": body([1, *REF], packs="cd"),
    "packs are null": {**body([1, *REF]), "packs": None},
    "name too short": body([1, "ab" * 31, 0, 0, 100]),
    "name is null": body([1, None, 0, 0, 100]),
    "offset negative": body([1, REF[0], 0, -1, 100]),
    "offset behind all packs": body([1, REF[0], 0, MOST_PACK_SIZE + 1, 100]),
    "offset as a float": body([1, REF[0], 0, 1.5, 100]),
    "offset without end": body([1, REF[0], 0, float("inf"), 100]),
    "length zero": body([1, REF[0], 0, 0, 0]),
    "length negative": body([1, REF[0], 0, 0, -5]),
    "length absurd": body([1, REF[0], 0, 0, MOST_RECORD + 1]),
    "length true": body([1, REF[0], 0, 0, True]),
    "entry too short": body([1, REF[0]]),
    "a column too long": {**body([1, *REF]), "names": ["ab" * 32] * 2},
    "a column missing": {key: value for key, value in body([1, *REF]).items() if key != "lengths"},
    "too many entries": body(*([one % FANOUT, *REF] for one in range(FANOUT + 1))),
    "a column is a number": {**body([1, *REF]), "offsets": 5},
    "a column is text": {**body([1, *REF]), "positions": "1"},
    "a column is an object": {**body([1, *REF]), "positions": {"1": 1}},
    "nothing": {},
    "a list": [],
    "null": None,
    "text": "index",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_page_is_damage_and_nothing_else(tmp_path: Path, what: str) -> None:
    hostile = json.loads(json.dumps(HOSTILE[what]))
    with pytest.raises(DamagedObject):
        decode(hostile, "packs/one")
    repository = make_repository(tmp_path / "repository")
    image = with_leaf(repository, json.dumps(hostile).encode())
    with pytest.raises(DamagedObject):
        restore(repository, image)


def with_leaf(repository: Repository, plain: bytes, size: int = 64 * MIB) -> Any:
    """A disk whose first leaf holds this text."""
    packs = PackWriter(repository)
    try:
        codec = repository.codec
        leaf = packs.add([(codec.name(plain), codec.compress(plain))])[0]
        node = json.dumps(encode({0: leaf})).encode()
        root = packs.add([(codec.name(node), codec.compress(node))])[0]
        packs.flush()
    finally:
        packs.close()
    return disk_image(size, roots={0: root})


@pytest.mark.parametrize("plain", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_page_that_is_no_json_is_damage(tmp_path: Path, plain: bytes) -> None:
    repository = make_repository(tmp_path / "repository")
    with pytest.raises(DamagedObject, match="not JSON"):
        restore(repository, with_leaf(repository, plain))


def test_a_page_that_points_behind_the_disks_end_is_damage(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    plain = json.dumps(body([16, *REF])).encode()
    with pytest.raises(DamagedObject, match="behind the disk's end"):
        restore(repository, with_leaf(repository, plain, size=16 * CHUNK))


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ([0, *REF], "missing"),
        ([0, "ab" * 32, 0, 0, MOST_RECORD], f"a chunk in it has {MOST_RECORD} bytes"),
    ],
    ids=["no such pack", "a record longer than any chunk"],
)
def test_a_page_that_points_nowhere_is_damage(
    tmp_path: Path, entry: list[Any], problem: str
) -> None:
    repository = make_repository(tmp_path / "repository")
    with pytest.raises(DamagedObject, match=problem) as caught:
        restore(repository, with_leaf(repository, json.dumps(body(entry)).encode()))
    assert caught.value.name == names.pack(bytes.fromhex(PACKS[0]))


def test_a_chunk_of_another_size_is_damage(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    packs = PackWriter(repository)
    data = b"short"
    ref = packs.add([(repository.codec.name(data), repository.codec.compress(data))])[0]
    packs.flush()
    packs.close()
    image = with_leaf(repository, json.dumps(encode({0: ref})).encode())
    with pytest.raises(DamagedObject, match="has 5 bytes"):
        restore(repository, image)
    assert verify(repository).sound  # no backup refers to it
