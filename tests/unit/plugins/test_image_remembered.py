"""What a verification remembers: held to a dict and a set, and to its bound."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timezone

from ansible_collections.vmguard.azure.plugins.module_utils._image.remembered import PackSizes, Seen
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.packs import Ref
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import StoredObject
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 9, 1, tzinfo=timezone.utc)
ids = st.binary(min_size=16, max_size=16)


def listed(packs: dict[bytes, int]) -> list[StoredObject]:
    return [StoredObject(names.pack(pack), size, NOW) for pack, size in packs.items()]


@given(st.dictionaries(ids, st.integers(0, 1 << 40), max_size=40), ids)
def test_sizes_are_a_dict_in_whatever_order_they_are_listed(
    packs: dict[bytes, int], other: bytes
) -> None:
    foreign = StoredObject("packs/ab/notes.txt", 5, NOW)
    for order in (sorted(packs), list(packs)):
        found = PackSizes([foreign, *listed({one: packs[one] for one in order})])
        assert len(found) == len(packs)
        assert list(found) == sorted(packs)
        assert {one: found.get(one) for one in packs} == packs
        assert found.get(other) == packs.get(other)


def test_a_sample_of_packs_has_its_size_and_each_is_as_likely() -> None:
    packs = {bytes([number]) * 16: 1 for number in range(20)}
    found = PackSizes(listed(packs))
    source = random.Random(1)
    counts: Counter[bytes] = Counter()
    for _turn in range(2000):
        drawn = list(found.sample(5, source))
        assert len(drawn) == 5 and drawn == sorted(drawn)
        counts.update(drawn)
    # 500 of each are expected; the spread is 19.
    assert len(counts) == 20 and 420 < min(counts.values()) <= max(counts.values()) < 580
    assert list(found.sample(0, source)) == []
    assert list(found.sample(20, source)) == sorted(packs)


refs = st.builds(
    Ref, st.binary(min_size=32, max_size=32), ids, st.integers(0, 1 << 26), st.integers(1, 1 << 22)
)


@given(
    st.lists(st.tuples(st.integers(1, 2), refs), max_size=60), st.tuples(st.integers(1, 2), refs)
)
def test_what_was_seen_is_a_set(added: list[tuple[int, Ref]], other: tuple[int, Ref]) -> None:
    seen = Seen()
    for one in added:
        seen.add(*one)
    assert all(seen.has(*one) for one in added)
    assert seen.has(*other) is (other in added)


def test_it_grows_and_is_bounded() -> None:
    seen = Seen(most=5000)
    made = [Ref(number.to_bytes(32, "big"), bytes(16), number, 1) for number in range(12_000)]
    for number, one in enumerate(made):
        seen.add(1, one)
        assert seen.has(1, one) and not seen.has(2, one)
        if number == 4000:
            assert all(seen.has(1, earlier) for earlier in made[:4000])
    assert len(seen._slots) <= 2 * 8192
