"""Restores as real module processes: killed by SIGKILL, ended by SIGTERM and Ctrl-C, and two at once."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import Outcome
from killing import holding, kill, result_of, start
from restore_bench import Bench, open_bench
from restore_worlds import NEW, World

from support.sweep import each_kind, sweep

OPTIONS: dict[str, dict[str, Any]] = {
    "in_place": {"allow_stop": True},
    "new_vm": {"new_name": NEW},
}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


def begin(world: World, target: str) -> subprocess.Popen[str]:
    return start(
        world.place,
        "vm_restore",
        source="backup",
        backup="latest",
        target=target,
        **OPTIONS[target],
    )


def finish(world: World, target: str) -> None:
    """The same task once more, and again: it is whole, then nothing is left to do."""
    told = result_of(begin(world, target))
    assert not told.get("failed"), told
    writes: list[int] = []
    outcome: Outcome = world.restore(target, writes=writes)
    assert writes == [] and outcome.reason == "AlreadyRestored"
    world.restored(outcome, target)


@pytest.mark.parametrize("target", OPTIONS)
@pytest.mark.parametrize("kinds", each_kind(("SIGKILL",)))
def test_a_process_that_is_killed(
    bench: Bench, tmp_path: Path, kinds: tuple[str, ...], target: str
) -> None:
    def run(number: int, _kind: str) -> str | None:
        world = World(bench, "backup", tmp_path / str(number))
        with holding(bench.local, number) as holder:
            child = begin(world, target)
            reached = holder.wait(child)
            kill(child) if reached else child.communicate()
        if not reached:
            return None
        finish(world, target)
        return f"{target}: killed after {holder.seen[number - 1]}, then restored"

    sweep(kinds, run, least=13, every=7)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("target", "stage"),
    [
        ("in_place", "POST disks beginGetAccess"),
        ("in_place", "POST virtualMachines deallocate"),
        ("new_vm", "PUT virtualMachines"),
    ],
)
def test_a_process_that_is_told_to_end_undoes_what_it_began(
    bench: Bench, tmp_path: Path, target: str, stage: str, number: int
) -> None:
    world = World(bench, "backup", tmp_path / "w")

    def counts(request: Any) -> bool:
        from killing import is_write
        from killing import stage as stage_of

        return is_write(request) and stage_of(request) == stage

    with holding(bench.local, 1, counts) as holder:
        child = begin(world, target)
        assert holder.wait(child)
        child.send_signal(number)
        holder.released.set()
        told = result_of(child)
    assert told["failed"] and told["failure"]["code"] == "Interrupted", told
    sentence = "nothing is left of it" if target == "new_vm" else "vm1 "
    assert "The restore was interrupted." in told["msg"] and sentence in told["msg"]
    world.as_it_was()


def test_of_two_processes_one_works(bench: Bench, tmp_path: Path) -> None:
    world = World(bench, "backup", tmp_path / "w")
    with holding(bench.local, 2) as holder:
        first = begin(world, "in_place")
        assert holder.wait(first)
        second = result_of(begin(world, "in_place"))
        holder.released.set()
        told = result_of(first)
    assert second["failed"] and second["failure"]["code"] == "RestoreUnderWay"
    assert f"(process {first.pid}), which began at" in second["msg"]
    assert second["changed"] is False and not told.get("failed")
    world.restored(world.restore("in_place"), "in_place")
