"""What every place for a repository's objects promises, tried on each kind of them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    ObjectExists,
    ObjectNotFound,
    ObjectTooLarge,
    StorageDenied,
    StorageError,
    StorageUnavailable,
    WriteRefused,
)
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import (
    MAX_OBJECT,
    Store,
    is_object_name,
)
from ansible_collections.vmguard.azure.plugins.module_utils._storage.read_only import ReadOnlyStore
from storage_backends import AppendOnlyStore, FaultyStore

pytest_plugins = ["storage_backends"]

MIB = 1 << 20
BAD_NAMES = [
    "",
    "/",
    "/packs",
    "packs/",
    "packs//a",
    "../packs",
    "packs/../../etc",
    "packs/a..b",
    ".hidden",
    "packs/.hidden",
    "Packs",
    "pack s",
    "packs\\a",
    "packs/a\n",
    "päcks",
    "packs/a\0",
    "tmp",
    "tmp/a",
    "a" * 256,
    "/".join(["a" * 100] * 6),
]
GOOD_NAMES = ["a", "0", "a.b-c_d", "packs/ab/0123", "tmp2/a", "a/tmp/b", "a" * 255]


def names(store: Store, prefix: str = "") -> list[str]:
    return [found.name for found in store.list(prefix)]


def test_what_is_put_can_be_read(store: Store) -> None:
    data = os.urandom(100_000)
    store.put("packs/ab/one", data)
    assert store.get("packs/ab/one", len(data)) == data
    assert store.get("packs/ab/one", 2 * len(data)) == data


def test_an_object_can_be_empty(store: Store) -> None:
    store.put("empty", b"")
    assert store.get("empty", 0) == b""
    assert store.get("empty", 100) == b""
    assert [found.size for found in store.list()] == [0]
    with pytest.raises(StorageError) as caught:
        store.get_range("empty", 0, 1)
    assert caught.value.code == "ObjectTruncated"


def test_any_buffer_can_be_put(store: Store) -> None:
    store.put("array", bytearray(b"bytes"))
    store.put("view", memoryview(b"some bytes")[5:])
    assert store.get("array", 10) == store.get("view", 10) == b"bytes"


def test_ranges(store: Store) -> None:
    data = os.urandom(3 * MIB + 17)
    store.put("packs/one", data)
    for offset, length in [(0, 1), (0, len(data)), (5, MIB), (len(data) - 1, 1), (MIB, 2 * MIB)]:
        assert store.get_range("packs/one", offset, length) == data[offset : offset + length]


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 11), (9, 2), (10, 1), (1 << 40, 1), (3, 1 << 62)]
)
def test_a_range_behind_the_end_is_an_error(store: Store, offset: int, length: int) -> None:
    store.put("short", b"0123456789")
    with pytest.raises(StorageError) as caught:
        store.get_range("short", offset, length)
    assert caught.value.code == "ObjectTruncated"
    assert "short" in caught.value.message


@pytest.mark.parametrize(
    ("offset", "length"), [(-1, 2), (0, 0), (0, -5), (0, 1 << 63), (1 << 70, 1)]
)
def test_what_is_no_range_is_an_error(store: Store, offset: int, length: int) -> None:
    store.put("short", b"0123456789")
    with pytest.raises(StorageError) as caught:
        store.get_range("short", offset, length)
    assert caught.value.code == "InvalidRange"


def test_a_larger_object_than_the_limit_is_not_read(store: Store) -> None:
    store.put("big", bytes(5000))
    for limit in (0, 1, 4999):
        with pytest.raises(ObjectTooLarge, match=f"big .* more than {limit} bytes"):
            store.get("big", limit)
    assert store.get("big", 5000) == bytes(5000)


def test_what_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(ObjectNotFound, match="no object packs/none in the"):
        store.get("packs/none", 10)
    with pytest.raises(ObjectNotFound):
        store.get_range("packs/none", 0, 10)
    store.put("packs/some", b"")
    with pytest.raises(ObjectNotFound):
        store.get("packs/none", 10)


def test_the_same_again_is_a_success(store: Store) -> None:
    store.put("one", b"content")
    store.put("one", b"content")
    assert names(store) == ["one"]


@pytest.mark.parametrize("other", [b"", b"contenT", b"conten", b"content and more"])
def test_nothing_is_overwritten(store: Store, other: bytes) -> None:
    store.put("one", b"content")
    with pytest.raises(ObjectExists, match="one is already in the"):
        store.put("one", other)
    assert store.get("one", 100) == b"content"
    store.put("empty", b"")
    with pytest.raises(ObjectExists):
        store.put("empty", b"something")


def test_of_many_writers_one_wins(backend: Callable[[], Store]) -> None:
    stores = [backend() for _number in range(8)]

    def write(round_number: int, writer: int) -> bool:
        try:
            stores[writer].put(f"leases/{round_number}", bytes([writer]) * 1000)
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for round_number in range(10):
            won = list(pool.map(write, [round_number] * 8, range(8)))
            assert won.count(True) == 1
            winner = bytes([won.index(True)]) * 1000
            assert stores[0].get(f"leases/{round_number}", 1000) == winner


def test_many_writers_of_the_same_all_succeed(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _number: store.put("packs/same", bytes(MIB)), range(8)))
    assert store.get("packs/same", MIB) == bytes(MIB)


def test_objects_are_listed_by_name(store: Store) -> None:
    wanted = ["packs/a", "packs/ab/2", "packs/ab/10", "packs-old", "packs.1", "packs0", "z", "0"]
    wanted += ["packs/ab-c", "packs/abc/x"]
    for name in random.Random(1).sample(wanted, len(wanted)):
        store.put(name, name.encode())
    assert names(store) == sorted(wanted)
    for prefix in (
        "packs",
        "packs/",
        "packs/ab",
        "packs/ab/",
        "packs/ab/1",
        "z",
        "none",
        "packs/ab/10",
    ):
        assert names(store, prefix) == sorted(n for n in wanted if n.startswith(prefix)), prefix


def test_a_listing_tells_size_and_time(store: Store) -> None:
    before = datetime.now(timezone.utc) - timedelta(minutes=2)
    store.put("one", bytes(123))
    (found,) = store.list()
    assert (found.name, found.size) == ("one", 123)
    assert found.modified.utcoffset() == timedelta(0)
    assert before < found.modified < before + timedelta(minutes=4)


def test_an_empty_place_has_nothing(store: Store) -> None:
    assert names(store) == names(store, "packs/") == []
    assert store.exists()


def test_what_is_deleted_is_gone(store: Store) -> None:
    for name in ("packs/a", "packs/b"):
        store.put(name, b"content")
    store.delete("packs/a")
    store.delete("packs/a")
    store.delete("never/was")
    assert names(store) == ["packs/b"]
    with pytest.raises(ObjectNotFound):
        store.get("packs/a", 100)
    store.put("packs/a", b"another")
    assert store.get("packs/a", 100) == b"another"


def test_objects_may_go_during_a_listing(store: Store) -> None:
    for number in range(20):
        store.put(f"packs/{number:02}/x", b"")
    seen = []
    for found in store.list():
        seen.append(found.name)
        store.delete(found.name)
    assert len(seen) == 20
    assert names(store) == []


def test_preparing_again_changes_nothing(store: Store) -> None:
    store.put("one", b"content")
    store.prepare()
    assert names(store) == ["one"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names_are_refused(store: Store, name: str) -> None:
    tries: list[Callable[[], object]] = [
        lambda: store.put(name, b""),
        lambda: store.get(name, 1),
        lambda: store.get_range(name, 0, 1),
        lambda: store.delete(name),
    ]
    for attempt in tries:
        with pytest.raises(StorageError) as caught:
            attempt()
        assert caught.value.code == "InvalidObjectName"
    assert names(store) == []


@pytest.mark.parametrize("prefix", ["/", "../", "packs/../x", "Packs", "a//", "*", "a" * 600])
def test_bad_prefixes_are_refused(store: Store, prefix: str) -> None:
    with pytest.raises(StorageError) as caught:
        list(store.list(prefix))
    assert caught.value.code == "InvalidObjectName"


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_good_names(name: str) -> None:
    assert is_object_name(name)


def test_unusual_names_work(store: Store) -> None:
    for name in GOOD_NAMES[2:]:
        store.put(name, name.encode())
        assert store.get(name, 600) == name.encode()
    assert names(store) == sorted(GOOD_NAMES[2:])


def test_a_large_object(store: Store) -> None:
    data = random.Random(2).randbytes(40 * MIB)
    store.put("packs/large", data)
    assert store.get("packs/large", 64 * MIB) == data
    assert store.get_range("packs/large", 39 * MIB, MIB) == data[39 * MIB :]


def test_an_object_has_its_limit(store: Store) -> None:
    with pytest.raises(ObjectTooLarge, match="at most 67108864"):
        store.put("packs/too-large", bytes(MAX_OBJECT + 1))
    assert names(store) == []


def test_many_threads_write_and_read(store: Store) -> None:
    contents = {f"packs/{n:02}": random.Random(n).randbytes(2 * MIB + n) for n in range(32)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.put, contents, contents.values()))
        read = pool.map(lambda name: store.get(name, 3 * MIB), contents)
        assert list(read) == list(contents.values())
        ranges = pool.map(lambda name: store.get_range(name, MIB, 1000), contents)
        assert list(ranges) == [data[MIB : MIB + 1000] for data in contents.values()]


def test_nothing_is_left_over(store: Store) -> None:
    store.put("one", b"content")
    assert store.remove_leftovers() == store.remove_leftovers(everything=True) == 0
    assert names(store) == ["one"]


def test_a_read_only_store_reads(store: Store) -> None:
    store.put("one", b"content")
    reader = ReadOnlyStore(store)
    assert reader.exists()
    assert reader.description == store.description
    assert reader.get("one", 10) == b"content"
    assert reader.get_range("one", 3, 4) == b"tent"
    assert names(reader) == names(reader, "o") == ["one"]


def test_a_read_only_store_writes_nothing(store: Store) -> None:
    store.put("one", b"content")
    reader = ReadOnlyStore(store)
    writes: list[Callable[[], object]] = [
        reader.prepare,
        lambda: reader.put("two", b""),
        lambda: reader.put("one", b"content"),
        lambda: reader.delete("one"),
        lambda: reader.delete("none"),
        reader.remove_leftovers,
    ]
    for write in writes:
        with pytest.raises(WriteRefused, match="Check mode"):
            write()
    assert names(store) == ["one"]


def test_a_fault_comes_when_it_is_due(store: Store) -> None:
    faulty = FaultyStore(store, fail_at=2)
    faulty.put("one", b"1")
    with pytest.raises(StorageUnavailable, match="call 2, put two"):
        faulty.put("two", b"2")
    faulty.put("two", b"2")
    assert faulty.calls == [("put", "one"), ("put", "two"), ("put", "two")]
    gone = FaultyStore(store, 1, methods=("get", "list"), lasting=True, error=lambda: OSError("x"))
    for attempt in (lambda: gone.get("one", 1), gone.list):
        with pytest.raises(OSError, match="x"):
            attempt()
    assert gone.failures == 2


def test_a_lost_answer_does_not_undo_the_work(store: Store) -> None:
    faulty = FaultyStore(store, fail_at=1, lost_answer=True)
    with pytest.raises(StorageUnavailable):
        faulty.put("one", b"1")
    faulty.put("one", b"1")
    assert names(store) == ["one"]


def test_an_append_only_store_only_appends(store: Store) -> None:
    policy = AppendOnlyStore(store)
    policy.put("one", b"1")
    policy.delete("none")
    with pytest.raises(StorageDenied):
        policy.delete("one")
    with pytest.raises(ObjectExists):
        policy.put("one", b"1")
    assert policy.refused == [("delete", "one"), ("put", "one")]
    assert policy.get("one", 1) == b"1"
