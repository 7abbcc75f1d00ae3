"""Machines in a local Azure, and restores of them by the engine over real HTTPS."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._arm.client import ArmClient
from ansible_collections.vmguard.azure.plugins.module_utils._clock import SystemClock
from ansible_collections.vmguard.azure.plugins.module_utils._compute import virtual_machines
from ansible_collections.vmguard.azure.plugins.module_utils._compute.ids import resource_id
from ansible_collections.vmguard.azure.plugins.module_utils._compute.storage_profile import (
    attached_disks,
    disk_id,
)
from ansible_collections.vmguard.azure.plugins.module_utils._login.login import resolve_login
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import Holder
from ansible_collections.vmguard.azure.plugins.module_utils._restore.engine import restore
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import Outcome, Request
from ansible_collections.vmguard.azure.plugins.module_utils._restore.source.restore_point import (
    PointWanted,
)

from local_azure.config import Config
from local_azure.launcher import LocalAzure

NAME = "vm1"
COLLECTION = "vm1-restore-points"
POINT = "p1"
NETWORK_API = "2022-11-01"
FOREVER = 10**8
Attached = dict[int | None, tuple[str, str]]


class QuickClock(SystemClock):
    """Time that a sleep moves forward at once, here and in local Azure alike."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self._advance = advance
        self._passed = 0.0
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._passed += seconds
            self.slept.append(seconds)
            self._advance(seconds)


@dataclass
class Machine:
    """A machine in a resource group of its own."""

    group: str
    id: str
    luns: list[int | str] = field(default_factory=list)
    name: str = NAME


class Bench:
    """One local Azure, and the engine's runs against it."""

    def __init__(self, local: LocalAzure) -> None:
        self.local = local
        self.control = local.control
        self.clock = QuickClock(local.app.state.clock.advance)
        self.login = resolve_login({}, local.environment())
        self.look = self.arm(timeout=FOREVER)
        self._groups = 0

    def arm(self, *, timeout: float = 600, read_only: bool = False) -> ArmClient:
        return ArmClient(self.login, clock=self.clock, wait_timeout=timeout, read_only=read_only)

    def machine(
        self, data: list[dict[str, Any]] | None = None, *, group: str = "", **more: Any
    ) -> Machine:
        """A machine whose every disk begins with its own words."""
        self._groups += 1
        group = group or f"rg{self._groups}"
        disks = [{"lun": 0}, {"lun": 3, "caching": "ReadOnly"}] if data is None else data
        disks = [{"size_gb": 1, **disk} for disk in disks]
        vm = self.control.create_vm(group, NAME, {"size_gb": 1}, disks, **more)
        machine = Machine(group, vm["id"], ["os", *(disk["lun"] for disk in disks)])
        if more.get("running", True):
            self.write(machine, "as it was")
        return machine

    def write(self, machine: Machine, text: str) -> None:
        """What a guest does to all of its disks."""
        for lun in machine.luns:
            self.control.guest_write(machine.id, lun, 4096, f"{text} on {lun}".encode())

    def protect(self, machine: Machine, name: str = POINT, exclude: list[str] | None = None) -> str:
        """Take a restore point; its id."""
        arm, group = self.look, machine.group
        arm.put(
            "restore_point_collections.create_or_update", COLLECTION, group, COLLECTION,
            body={"location": "westeurope", "properties": {"source": {"id": machine.id}}},
        )  # fmt: skip
        left_out = [{"id": one} for one in exclude or []]
        body = {"properties": {"excludeDisks": left_out}} if left_out else {}
        found = arm.run("restore_points.begin_create", name, group, COLLECTION, name, body=body)
        return found["id"]

    def restore(
        self,
        machine: Machine,
        target: str,
        *,
        point: str = POINT,
        timeout: float = 600,
        writes: list[int] | None = None,
        collection: str | None = None,
        arm: ArmClient | None = None,
        **options: Any,
    ) -> Outcome:
        """One run of the engine, as a process of its own; ``writes`` grows at each pass of the gate."""

        def write(act: Callable[[], Any], _predicted: Any = None) -> Any:
            if writes is not None:
                writes.append(1)
            return act()

        wanted = PointWanted(machine.group, machine.name, collection, None, point, None)
        request = Request(
            **{"target": target, "group": machine.group, "vm": machine.name, **options}
        )
        with as_process():
            return restore(arm or self.arm(timeout=timeout), wanted, request, write, self.clock)

    def get(self, machine: Machine, name: str | None = None) -> dict[str, Any]:
        return virtual_machines.get_vm(
            self.look, machine.group, name or machine.name, instance_view=True
        )

    def attached(self, machine: Machine, name: str | None = None) -> Attached:
        """By LUN: the disk's id in lower case, and its caching."""
        entries = attached_disks(self.get(machine, name))
        return {lun: (disk_id(one).lower(), one["caching"]) for lun, one in entries.items()}

    def power(self, machine: Machine) -> str | None:
        return virtual_machines.power_state(self.get(machine))

    def disk(self, machine: Machine, name: str) -> dict[str, Any]:
        return self.look.read("disks.get", name, machine.group, name)

    def disks(self, group: str) -> set[str]:
        """The ids, in lower case, of the disks of a resource group."""
        listed = self.look.list("disks.list_by_resource_group", group, group)
        return {disk["id"].lower() for disk in listed}

    def named(self, kind: str, group: str, name: str) -> str:
        return resource_id(self.login.subscription_id, group, kind, name)

    def vms(self, group: str) -> set[str]:
        return {vm["name"] for vm in virtual_machines.list_vms(self.look, group)}

    def nics(self, group: str) -> set[str]:
        where = f"/subscriptions/{self.login.subscription_id}/resourceGroups/{group}"
        path = f"{where}/providers/Microsoft.Network/networkInterfaces"
        return {nic["name"] for nic in self.look.get(path, NETWORK_API)["value"]}

    def digests(self, vm_id: str, luns: list[int | str]) -> dict[int | str, str]:
        return {lun: self.control.digest(vm=vm_id, lun=lun) for lun in luns}

    def deallocate(self, machine: Machine) -> None:
        virtual_machines.deallocate(self.look, machine.group, machine.name)

    def delete_vm(self, machine: Machine) -> None:
        virtual_machines.delete_vm(self.look, machine.group, machine.name)

    def hits(self) -> int:
        """How many requests the faults struck; they are removed."""
        found = sum(fault["hits"] for fault in self.control.call("GET", "faults"))
        self.control.clear_faults()
        return found

    def crashes(self) -> list[Any]:
        return self.control.audit(after=10**9)["crashes"]


_process = threading.local()
_here = Holder.here.__func__  # type: ignore[attr-defined]


def _holder(cls: type[Holder], run: str) -> Holder:
    pid = getattr(_process, "pid", None)
    return replace(_here(cls, run), pid=pid) if pid else _here(cls, run)


Holder.here = classmethod(_holder)  # type: ignore[method-assign, assignment]


@contextmanager
def as_process() -> Iterator[None]:
    """What runs here in this thread has the process id of a process that ends with it."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        _process.pid = process.pid
        try:
            yield
        finally:
            _process.pid = None
            process.kill()


@contextmanager
def open_bench() -> Iterator[Bench]:
    """A bench of its own, whose logins outlast all that its clock may be moved."""
    with (
        LocalAzure(Config(token_seconds=FOREVER)) as local,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("REQUESTS_CA_BUNDLE", str(local.ca_file))
        yield Bench(local)
