"""Backups in processes of their own, which are stopped at a request that a test chooses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backup_bench import Place
from module_child import HELD

from local_azure.http_types import Request
from local_azure.launcher import LocalAzure

CHILD = Path(__file__).with_name("module_child.py")
PATIENCE = 120.0


def start(
    place: Place, module: str = "disk_snapshot_backup", hold: str = "", **options: Any
) -> subprocess.Popen[str]:
    """A task that backs up the machine of a place.

    Args:
        hold: where it waits in its repository (``module_child``).
    """
    environment = {**place.bench.local.process_environment(), "HOLD": hold}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    repository = {"type": "folder", "path": str(place.repository), "passphrase": place.passphrase}
    child = subprocess.Popen(
        [sys.executable, str(CHILD), module],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    machine = {"resource_group": place.machine.group, "vm": place.machine.name}
    assert child.stdin is not None
    child.stdin.write(json.dumps({**machine, "repository": repository, **options}))
    child.stdin.close()
    child.stdin = None
    return child


def result_of(child: subprocess.Popen[str]) -> dict[str, Any]:
    """What a module says when it ends."""
    out, err = child.communicate(timeout=PATIENCE)
    assert out, err
    assert "Traceback" not in err, err
    return json.loads(out.splitlines()[-1])


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


class Holder:
    """Holds the answer to one request to local Azure, which has done the work by then."""

    def __init__(self, number: int, counts: Callable[[Request], bool]) -> None:
        self.reached = threading.Event()
        self.released = threading.Event()
        self.seen: list[str] = []
        self._number = number
        self._counts = counts
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> None:
        if not self._counts(request):
            return
        with self._lock:
            self.seen.append(stage(request))
            mine = len(self.seen) == self._number
        if mine:
            self.reached.set()
            self.released.wait(PATIENCE)

    def wait(self, child: subprocess.Popen[str]) -> bool:
        """Whether the request was made; False when the task ended before."""
        while not self.reached.wait(0.05):
            if child.poll() is not None:
                return self.reached.is_set()
        return True


def is_write(request: Request) -> bool:
    """Whether it is a write to Resource Manager."""
    return request.path.startswith("/subscriptions") and request.method not in ("GET", "HEAD")


def is_data(request: Request) -> bool:
    """Whether it reads a disk's bytes, and not a list of ranges."""
    return request.method == "GET" and "/md-" in request.target and "comp=" not in request.target


def stage(request: Request) -> str:
    """A request without names: ``POST snapshots beginGetAccess``."""
    parts = request.path.partition("/providers/Microsoft.Compute/")[2].split("/")
    return " ".join([request.method, *parts[0::2]])


@contextmanager
def holding(
    local: LocalAzure, number: int, counts: Callable[[Request], bool] = is_write
) -> Iterator[Holder]:
    """Hold the answer to the n-th request that counts; 0 holds none."""
    holder = Holder(number, counts)
    audit = local.app.audit
    record = audit.record

    def held(request: Request, *more: Any) -> None:
        record(request, *more)
        holder(request)

    audit.record = held  # type: ignore[method-assign]
    try:
        yield holder
    finally:
        holder.released.set()
        audit.record = record  # type: ignore[method-assign]


__all__ = ["HELD"]
