"""Restores that are killed at any of their writes: the next run finishes them, or undoes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from restore_bench import Bench, open_bench
from restore_worlds import World, kill

from support.sweep import each_kind, sweep

# Threads that poll an operation end with the process, in the middle of a request.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
WHEN = ("before", "after")
TARGETS = ("in_place", "new_vm", "disks")
SOURCES = ("point", "backup")
# How many writes a restore has at the least: what is swept must not become less unseen.
LEAST = {
    ("point", "in_place"): 11, ("point", "new_vm"): 5, ("point", "disks"): 4,
    ("backup", "in_place"): 20, ("backup", "new_vm"): 14, ("backup", "disks"): 13,
}  # fmt: skip


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


def verb(request: str) -> str:
    """``PATCH .../virtualMachines/vm1`` in short: PATCH virtualMachines."""
    method, _space, url = request.partition(" ")
    parts = url.partition("/Microsoft.Compute/")[2].split("/")
    return f"{method} {'/'.join(parts[::2])}"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kinds", each_kind(WHEN))
def test_the_next_run_finishes_what_was_killed(
    bench: Bench, tmp_path: Path, kinds: tuple[str, ...], target: str, source: str
) -> None:
    def run(number: int, when: str) -> str | None:
        world = World(bench, source, tmp_path / f"{number}-{when}")
        killed = kill(world, target, number, when)
        if killed is None:
            return None
        outcome = world.restore(target)
        world.restored(outcome, target)
        writes: list[int] = []
        again = world.restore(target, writes=writes)
        assert writes == [] and again.reason == "AlreadyRestored"
        return f"{target}: killed {when} {verb(killed)}, then restored"

    # A restore from a backup writes the same, and more between: make faults kills it everywhere.
    every = 3 if source == "backup" else 1
    sweep(kinds, run, least=LEAST[source, target], every=every)


@pytest.mark.parametrize("kinds", each_kind(WHEN))
def test_another_restore_undoes_or_finishes_what_was_killed_in_place(
    bench: Bench, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    def run(number: int, when: str) -> str | None:
        world = World(bench, "point", tmp_path / f"{number}-{when}")
        second = world.take("p2")
        then = world.digests()
        bench.write(world.machine, "still later")
        killed = kill(world, "in_place", number, when)
        if killed is None:
            return None
        outcome = world.restore("in_place", point=second)
        assert world.digests() == then and bench.power(world.machine) == "running"
        attached = {disk for disk, _caching in bench.attached(world.machine).values()}
        assert attached == {disk.id.lower() for disk in outcome.disks}
        # Nothing that was replaced is gone, and nothing else is left.
        first = {disk.lower() for disk in outcome.kept_disks}
        assert bench.disks(world.machine.group) == world.disks | attached | first
        assert len(bench.disks(world.machine.group)) in (6, 9)
        world.clean()
        return f"killed {when} {verb(killed)}, then another restore"

    sweep(kinds, run, least=11, every=2)


@pytest.mark.parametrize("kinds", each_kind(WHEN))
def test_replaced_disks_are_deleted_by_the_next_run(
    bench: Bench, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    """Work goes on after a restore, a forced one deletes what it replaces: just that, also when killed."""

    def run(number: int, when: str) -> str | None:
        world = World(bench, "point", tmp_path / f"{number}-{when}")
        world.restore("in_place")
        bench.write(world.machine, "a week of work")
        options: dict[str, Any] = {"force": True, "old_disks": "delete"}
        killed = kill(world, "in_place", number, when, **options)
        if killed is None:
            return None
        forced = when == "before" or not killed.startswith("PATCH") or world.journals()
        outcome = world.restore("in_place", old_disks="delete", force=bool(forced))
        assert world.digests() == world.then and bench.power(world.machine) == "running"
        attached = {disk for disk, _caching in bench.attached(world.machine).values()}
        # The originals of the first restore were to be kept.
        assert bench.disks(world.machine.group) == world.disks | attached
        assert outcome.ready
        world.clean()
        return f"killed {when} {verb(killed)}, then finished"

    sweep(kinds, run, least=14, every=3)


@pytest.mark.parametrize("kinds", each_kind(WHEN))
def test_a_second_kill_is_survived_too(
    bench: Bench, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    """The run that finishes or undoes a killed one is killed as well."""

    def run(number: int, when: str) -> str | None:
        world = World(bench, "point", tmp_path / f"{number}-{when}")
        second = world.take("p2")
        then = world.digests()
        assert kill(world, "in_place", 9, "after")
        killed = kill(world, "in_place", number, when, point=second)
        if killed is None:
            return None
        world.restore("in_place", point=second)
        assert world.digests() == then and bench.power(world.machine) == "running"
        world.clean()
        return f"killed twice, {when} {verb(killed)}"

    sweep(kinds, run, least=11, every=4)
