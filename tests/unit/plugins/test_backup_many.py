"""Several machines and one repository: side by side, and of one image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from backup_bench import MIB, Place
from restore_bench import NAME, Bench, Machine, open_bench

COUNT = 4
DATA = 24 * MIB


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def places(bench: Bench, tmp_path: Path) -> list[Place]:
    """Machines of one image, each of which has written a little of its own."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
        file.write(os.urandom(DATA))
    found = []
    for number in range(COUNT):
        group = f"{tmp_path.name.replace('_', '')[:20]}x{number}"
        vm = bench.control.create_vm(group, NAME, {"size_gb": 1, "image": str(image)}, [])
        folder = tmp_path / str(number)
        folder.mkdir()
        place = Place(bench, Machine(group, vm["id"], ["os"]), folder, seed=number)
        place.repository = tmp_path / "repository"
        place.scatter("os", 3, end=DATA)
        found.append(place)
    found[0].create()
    return found


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_machines_of_one_image_take_little_more_than_one(places: list[Place]) -> None:
    folder = places[0].repository
    sizes = []
    for place in places:
        content = place.export()
        place.check(place.backup(), content)
        sizes.append(stored(folder))
    assert sizes[0] > DATA
    # What each machine wrote itself, three pieces in a chunk of their own, and an index page.
    assert sizes[-1] - sizes[0] < (COUNT - 1) * (3 * 2 * 64 + 128) * 1024


def test_machines_are_backed_up_side_by_side(places: list[Place]) -> None:
    contents = [place.export() for place in places]
    with ThreadPoolExecutor(COUNT) as pool:
        outcomes = list(pool.map(lambda place: place.backup(), places))
    for place, outcome, content in zip(places, outcomes, contents, strict=True):
        place.check(outcome, content)
        assert place.active_sas() == 0
    assert [one.name for one in places[0].open().store.list("leases/")] == []
