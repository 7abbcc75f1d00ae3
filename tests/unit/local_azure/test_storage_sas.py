"""Signatures: what the URL looks like, how long it lives, what an audit sees."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from local_azure.clock import Clock
from local_azure.storage.disk_store import DiskStore
from local_azure.storage.page_blob import PageBlob
from local_azure.storage.sas import AccessConflictError, SasRegistry

DISK = "/subscriptions/s/resourceGroups/RG/providers/Microsoft.Compute/snapshots/One"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(clock: Clock) -> SasRegistry:
    registry = SasRegistry(clock)
    registry.base_url = "https://127.0.0.1:4433"
    return registry


@pytest.fixture
def blob(tmp_path: Path) -> PageBlob:
    return PageBlob(DiskStore(tmp_path).create(1 << 20))


def test_the_url_looks_like_a_managed_disk(registry: SasRegistry, blob: PageBlob) -> None:
    url = registry.grant(DISK, blob, "Read", 60).url
    parts = urlsplit(url)
    assert url.startswith("https://127.0.0.1:4433/md-")
    assert re.fullmatch(r"/md-[a-z0-9]{12}/[a-z0-9]{12}/abcd", parts.path)
    assert list(parse_qs(parts.query)) == ["sv", "sr", "si", "sig"]
    assert not re.search(r"[+/ ]", parts.query), "the signature is encoded"


def test_a_second_grant_extends_the_first(
    registry: SasRegistry, blob: PageBlob, clock: Clock
) -> None:
    first = registry.grant(DISK, blob, "Read", 100)
    clock.advance(90)
    again = registry.grant(DISK.upper(), blob, "Read", 100)
    assert again is first
    clock.advance(50)
    assert registry.active_for(DISK.lower()) is first
    shorter = registry.grant(DISK, blob, "Read", 1)
    clock.advance(10)
    assert shorter.live(clock.now()), "a shorter grant takes nothing away"


def test_it_expires_and_the_next_is_a_new_one(
    registry: SasRegistry, blob: PageBlob, clock: Clock
) -> None:
    first = registry.grant(DISK, blob, "Read", 100)
    clock.advance(101)
    assert registry.active() == [] and registry.active_for(DISK) is None
    assert registry.find(first.path) is first
    assert registry.authenticate(first.path, first.query) is None
    assert registry.revoke(DISK) is False
    assert registry.grant(DISK, blob, "Read", 100).url != first.url


def test_revoking(registry: SasRegistry, blob: PageBlob) -> None:
    grant = registry.grant(DISK, blob, "Write", 100)
    other = registry.grant(DISK + "2", blob, "Read", 100)
    assert registry.revoke(DISK.upper()) is True
    assert registry.revoke(DISK) is False
    assert registry.revoke("/unknown") is False
    assert registry.active() == [other]
    assert registry.authenticate(grant.path, grant.query) is None


def test_one_kind_of_access_at_a_time(registry: SasRegistry, blob: PageBlob) -> None:
    registry.grant(DISK, blob, "Read", 100)
    with pytest.raises(AccessConflictError):
        registry.grant(DISK, blob, "Write", 100)
    with pytest.raises(ValueError):
        registry.grant(DISK + "2", blob, "Read", 0)
    with pytest.raises(ValueError):
        registry.grant(DISK + "2", blob, "None", 10)  # type: ignore[arg-type]


def test_every_part_of_the_signature_counts(registry: SasRegistry, blob: PageBlob) -> None:
    grant = registry.grant(DISK, blob, "Read", 100)
    assert registry.authenticate(grant.path, {**grant.query, "comp": "page"}) is grant
    for key in grant.query:
        assert registry.authenticate(grant.path, {**grant.query, key: "x"}) is None
        missing = {name: value for name, value in grant.query.items() if name != key}
        assert registry.authenticate(grant.path, missing) is None


def test_audits_see_no_signature(registry: SasRegistry, blob: PageBlob) -> None:
    grant = registry.grant(DISK, blob, "Read", 100)
    shown = str(grant.public()) + repr(grant) + str(registry.active())
    assert DISK in shown
    assert grant.query["sig"] not in shown and grant.url not in shown
