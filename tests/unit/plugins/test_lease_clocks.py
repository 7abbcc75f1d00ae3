"""Leases where the clocks of the machines disagree: the live keep them, the dead give way."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import LeaseHeld
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import (
    HEARTBEAT,
    Lease,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from image_world import NOW
from lease_world import SCOPE, Interposed, Take, on_other_store, record

pytest_plugins = ["lease_world"]


class World:
    """Machines whose clocks disagree, and the time that really goes by, which is all the same to them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.beating: list[Lease] = []

    def clock(self, skew: float) -> SkewedClock:
        return SkewedClock(self, skew)

    def pass_by(self, seconds: float) -> None:
        end = self.seconds + seconds
        while self.seconds < end:
            beat = (self.seconds // HEARTBEAT + 1) * HEARTBEAT
            self.seconds = min(end, beat)
            for lease in self.beating if self.seconds == beat else ():
                lease.renew()


class SkewedClock:
    """The clock of one machine, ``skew`` seconds ahead."""

    def __init__(self, world: World, skew: float) -> None:
        self._world = world
        self._skew = skew

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self._world.seconds + self._skew)

    def monotonic(self) -> float:
        return 5000.0 + self._skew * 7 + self._world.seconds

    def sleep(self, seconds: float) -> None:
        self._world.pass_by(seconds)


SKEWS = [0, 3, 60, 100, 300, 3600, 86400, -60, -100, -300, -3600]


@pytest.mark.parametrize("skew", SKEWS)
@pytest.mark.parametrize("whose", ["holder", "other"])
def test_a_live_holder_keeps_it_whatever_the_clocks_say(
    take: Take, skew: float, whose: str
) -> None:
    world = World()
    clocks = {"holder": world.clock(0), "other": world.clock(0)}
    clocks[whose] = world.clock(skew)
    holder = take("holder", clock=clocks["holder"])
    holder.acquire()
    world.beating.append(holder)
    for _attempt in range(3):
        world.pass_by(111)
        begun = world.seconds
        with pytest.raises(LeaseHeld, match=r"by run holder on .* since 2026-") as caught:
            take("other", clock=clocks["other"]).acquire()
        assert world.seconds - begun <= 120
        holder.check()
        (told,) = re.findall(r"it gives way at (\S+),", str(caught.value.hint))
        here = clocks["other"].now()
        assert here <= datetime.fromisoformat(told) <= here + timedelta(seconds=120)
    world.beating.clear()
    holder.release()
    with take("other", clock=clocks["other"]) as other:
        assert other.broken is None


@pytest.mark.parametrize("skew", SKEWS)
@pytest.mark.parametrize("whose", ["holder", "other"])
def test_a_dead_holder_gives_way_in_time_whatever_the_clocks_say(
    take: Take, repository: Repository, skew: float, whose: str
) -> None:
    world = World()
    clocks = {"holder": world.clock(0), "other": world.clock(0)}
    clocks[whose] = world.clock(skew)
    until = clocks["holder"].now() + timedelta(seconds=120)
    record(repository, 7, until=until.isoformat())
    for attempt in range(4):
        try:
            other = take("other", clock=clocks["other"])
            other.acquire()
            break
        except LeaseHeld as error:
            assert attempt < 3
            (told,) = re.findall(r"it gives way at (\S+),", str(error.hint))
            wait = datetime.fromisoformat(told) - clocks["other"].now()
            world.pass_by(wait.total_seconds())
    assert other.broken is not None and other.broken.host == "elsewhere"
    # What the clocks say counts for as long as a lease lasts, and the watch takes as long again.
    assert world.seconds <= 250


def test_what_is_long_past_is_not_watched(
    take: Take, repository: Repository, tmp_path: Path
) -> None:
    world = World()
    record(repository, 7)
    path = tmp_path / "repository" / names.LEASES / SCOPE / f"{7:012d}"
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    world.pass_by(13 * 3600)
    begun = world.seconds
    with take("first", clock=world.clock(0)) as lease:
        assert lease.broken is not None
    assert world.seconds == begun


def test_a_lease_that_is_given_back_while_it_is_watched_is_free(take: Take) -> None:
    world = World()
    holder = take("holder", clock=world.clock(3600))
    holder.acquire()

    class Watching(SkewedClock):
        def sleep(self, seconds: float) -> None:
            holder.release()
            super().sleep(seconds)

    with take("other", clock=Watching(world, 0)) as other:
        assert other.broken is None
        assert world.seconds <= 10


def test_who_takes_it_at_the_same_moment_with_a_clock_behind_counts(
    take: Take, repository: Repository
) -> None:
    record(repository, 5, released=True)
    world = World()

    def begin_anew() -> None:
        repository.store.delete(f"{names.LEASES}{SCOPE}/{5:012d}")
        take("winner", clock=world.clock(-3600)).acquire()

    store = Interposed(repository.store, begin_anew)
    slow = take("slow", within=on_other_store(repository, store), clock=world.clock(0))
    with pytest.raises(LeaseHeld, match="run winner"):
        slow.acquire()
