"""Disks of a local Azure behind signed URLs, as the engine reads and writes them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

from ansible_collections.vmguard.azure.plugins.module_utils._compute import snapshots
from ansible_collections.vmguard.azure.plugins.module_utils._compute.disk_access import ArmAccess
from ansible_collections.vmguard.azure.plugins.module_utils._compute.ids import resource_id
from ansible_collections.vmguard.azure.plugins.module_utils._disk.http import HttpPool
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_blob import PageBlob
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_ranges import PageRanges
from restore_bench import Bench, Machine, open_bench

from local_azure.storage.image import Image

GIB = 1 << 30
LUN = 0
_serials = count(1)


class World:
    """A local Azure, and what is opened in it until the test is over."""

    def __init__(self, bench: Bench, stack: ExitStack) -> None:
        self.bench = bench
        self.control = bench.control
        self.clock = bench.clock
        self.arm = bench.look
        self.http = stack.enter_context(HttpPool(8))
        self._stack = stack

    def machine(self, size_gb: int = 1) -> Machine:
        """A running machine with an empty data disk."""
        disks = [{"lun": LUN, "size_gb": size_gb}]
        machine = self.bench.machine([], running=True)
        vm = self.control.create_vm(f"{machine.group}d", "vm1", {"size_gb": 1}, disks)
        return Machine(f"{machine.group}d", vm["id"], [LUN])

    def disk_id(self, machine: Machine) -> str:
        (disk,) = self.bench.get(machine)["properties"]["storageProfile"]["dataDisks"]
        return disk["managedDisk"]["id"]

    def write(self, machine: Machine, offset: int, data: bytes) -> None:
        self.control.guest_write(machine.id, LUN, offset, data)

    def clear(self, machine: Machine, offset: int, length: int) -> None:
        query = {"vm": machine.id, "lun": LUN, "offset": offset, "length": length}
        self.control.call("POST", "guest/clear", **query)

    def snapshot(self, machine: Machine, name: str = "") -> str:
        """An incremental snapshot of the machine's disk; its id."""
        disk = self.arm.read("disks.get", "", machine.group, self.disk_id(machine).split("/")[-1])
        name = name or f"snapshot{next(_serials)}"
        identity = resource_id(self.arm.subscription_id, machine.group, "snapshots", name)
        return snapshots.put_snapshot(self.arm, identity, snapshots.snapshot_body(disk))["id"]

    def access(self, identity: str, **more: Any) -> ArmAccess:
        """Access that is revoked when the test is over."""
        return self._stack.enter_context(ArmAccess(self.arm, identity, clock=self.clock, **more))

    def blob(self, identity: str, *, attempts: int = 5, **more: Any) -> PageBlob:
        return PageBlob(self.access(identity, **more), self.http, self.clock, attempts=attempts)

    def ranges(self, **more: Any) -> PageRanges:
        return self._stack.enter_context(PageRanges(self.clock, **more))

    def image(self, identity: str) -> Image:
        """What local Azure holds for a disk or snapshot."""
        found = self.bench.local.app.state.resources.get(identity)
        assert found is not None
        return found.hidden["image"]

    def requests(self, word: str, after: int = 0) -> list[dict[str, Any]]:
        found = self.control.audit(after)["requests"]
        return [one for one in found if word in f"{one['method']} {one['target']}"]

    def active(self) -> list[str]:
        """The ids that somebody has access to."""
        return [one["resource_id"] for one in self.control.audit(10**9)["active_sas"]]


@contextmanager
def world_in(bench: Bench) -> Iterator[World]:
    """What is opened inside is closed at the end, and no access and no fault is left."""
    with ExitStack() as stack:
        world = World(bench, stack)
        try:
            yield world
        finally:
            bench.control.clear_faults()
            bench.local.app.blobs.on_request = None
    assert world.active() == [] and bench.crashes() == []


__all__ = ["GIB", "LUN", "World", "open_bench", "world_in"]
