"""A machine, what it was restored from, and restores of it that are killed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.vmguard.azure.plugins.module_utils._restore.engine import restore
from ansible_collections.vmguard.azure.plugins.module_utils._restore.journal import JOURNAL_TAG
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import Outcome, Request
from ansible_collections.vmguard.azure.plugins.module_utils._restore.source.backup import (
    BackupWanted,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.uploader import Uploader
from azure.core.pipeline.transport import RequestsTransport
from backup_bench import Place
from restore_bench import Bench, Machine, as_process

WRITES = ("PUT", "POST", "PATCH", "DELETE")
DATA: list[dict[str, Any]] = [{"lun": 0}, {"lun": 3, "caching": "ReadOnly"}]
NEW = "vm2"


class Killed(BaseException):
    """The process is no more."""


class KillingTransport(RequestsTransport):
    """Ends the process at its n-th write to Azure, before it is sent or before its answer arrives."""

    def __init__(self, nth: int, when: str) -> None:
        super().__init__()
        self._nth, self._when = nth, when
        self._count = 0
        self._guard = threading.Lock()
        self.killed: str | None = None

    def send(self, request: Any, **options: Any) -> Any:
        with self._guard:
            if self.killed:
                raise Killed
            is_write = request.method in WRITES
            self._count += is_write
            strikes = is_write and self._count == self._nth
            if strikes:
                self.killed = f"{request.method} {request.url.partition('?')[0]}"
                if self._when == "before":
                    raise Killed
        answer = super().send(request, **options)
        if strikes or self.killed:
            raise Killed
        return answer


class World:
    """A machine with a restore point or a backup, that has written since.

    Attributes:
        first: the name of its point, or the id of its backup.
        then: digests of its disks at the time of the point, by LUN.
        original: what was attached before any restore.
    """

    def __init__(
        self,
        bench: Bench,
        source: str,
        folder: Path,
        *,
        data: list[dict[str, Any]] | None = None,
        change: Callable[[Bench, Machine], None] | None = None,
        **machine: Any,
    ) -> None:
        """``change`` makes the machine what it is, before the point is taken."""
        self.bench = bench
        self.source = source
        self.machine: Machine = bench.machine(DATA if data is None else data, **machine)
        if change is not None:
            change(bench, self.machine)
        folder.mkdir()
        self.place = Place(bench, self.machine, folder)
        if source == "backup":
            self.place.create()
        self.first = self.take("p1")
        self.then = self.digests()
        if machine.get("running", True):
            bench.write(self.machine, "later")
        self.original = bench.attached(self.machine)
        self.power = bench.power(self.machine)
        self.disks = bench.disks(self.machine.group)

    def take(self, name: str) -> str:
        """A restore point or a backup; its name."""
        if self.source == "point":
            self.bench.protect(self.machine, name)
            return name
        made = self.place.backup(keep="none")
        assert made.backup is not None
        return made.backup.id

    def digests(self, name: str | None = None) -> dict[int | str, str]:
        vm = self.bench.get(self.machine, name)
        return self.bench.digests(vm["id"], self.machine.luns)

    def restore(
        self,
        target: str,
        *,
        kill: KillingTransport | None = None,
        point: str = "",
        writes: list[int] | None = None,
        **options: Any,
    ) -> Outcome:
        bench, machine = self.bench, self.machine
        arm = bench.arm()
        arm._transport = kill
        if target == "in_place":
            options.setdefault("allow_stop", True)
        if target == "new_vm":
            options.setdefault("new_name", NEW)
        if self.source == "point":
            return bench.restore(
                machine, target, arm=arm, point=point or "p1", writes=writes, **options
            )
        repository = self.place.open()

        def write(act: Any, _predicted: Any = None) -> Any:
            if writes is not None:
                writes.append(1)
            return act()

        with Uploader(repository, bench.clock, workers=4) as uploader, as_process():
            wanted = BackupWanted(
                repository, machine.group, machine.name, point or "latest", None,
                fill=uploader.fill, subscription=arm.subscription_id,
            )  # fmt: skip
            request = Request(
                **{"target": target, "group": machine.group, "vm": machine.name, **options}
            )
            return restore(arm, wanted, request, write, bench.clock)

    # -- what has to be so

    def journals(self) -> list[str]:
        """Everything that bears the record of a restore."""
        bench, group = self.bench, self.machine.group
        things = [bench.get(self.machine, name) for name in bench.vms(group)]
        things += bench.look.list("disks.list_by_resource_group", group, group)
        return [one["name"] for one in things if JOURNAL_TAG in (one.get("tags") or {})]

    def clean(self) -> None:
        assert self.bench.local.app.state.sas.active() == []
        assert self.journals() == []
        assert self.bench.crashes() == []

    def safety_points(self) -> set[str]:
        found = self.bench.look.list(
            "restore_point_collections.list", self.machine.group, self.machine.group
        )
        names: set[str] = set()
        for home in found:
            raw = self.bench.look.read(
                "restore_point_collections.get", "", self.machine.group, home["name"],
                expand="restorePoints",
            )  # fmt: skip
            points = raw["properties"].get("restorePoints") or []
            names |= {point["name"] for point in points if point["name"].startswith("before-")}
        return names

    def as_it_was(self) -> None:
        """The machine is as before every restore, and nothing of a restore is there."""
        assert self.bench.attached(self.machine) == self.original
        assert self.bench.power(self.machine) == self.power
        assert self.bench.disks(self.machine.group) == self.disks
        assert self.safety_points() == set()
        self.clean()

    def restored(self, outcome: Outcome, target: str, *, old_disks: str = "keep") -> None:
        """The restore is whole, and there is nothing beside it."""
        assert outcome.ready
        made = {disk.id.lower() for disk in outcome.disks}
        assert len(made) == len(self.machine.luns)
        kept = self.disks if target != "in_place" or old_disks == "keep" else set()
        assert self.bench.disks(self.machine.group) == kept | made
        name = {"new_vm": NEW, "in_place": self.machine.name}.get(target)
        if name is None:
            for disk in outcome.disks:
                lun = "os" if disk.source.lun is None else disk.source.lun
                assert self.bench.control.digest(id=disk.id) == self.then[lun]
        else:
            assert self.digests(name) == self.then
            attached = self.bench.attached(self.machine, name)
            assert {disk for disk, _caching in attached.values()} == made
            assert {lun: caching for lun, (_id, caching) in attached.items()} == {
                lun: caching for lun, (_id, caching) in self.original.items()
            }
        if target == "in_place":
            assert self.bench.power(self.machine) == self.power == outcome.power_state
            assert len(self.safety_points()) == 1
        else:
            assert self.bench.attached(self.machine) == self.original
        self.clean()


@contextmanager
def killing(nth: int, when: str) -> Iterator[KillingTransport]:
    yield KillingTransport(nth, when)


def kill(world: World, target: str, nth: int, when: str, **options: Any) -> str | None:
    """A restore that is killed at its n-th write; which one that was, None where there were fewer."""
    transport = KillingTransport(nth, when)
    try:
        world.restore(target, kill=transport, **options)
    except Killed:
        return transport.killed
    assert transport.killed is None
    return None
