"""Runs one thing and says what it took: ``python -m bench.child``, started by ``measure``.

A pickled task comes in on stdin, JSON goes out on stdout. It imports little, because what a
program starts with counts as memory of the program that it turns into.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import resource
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

_SAMPLE_SECONDS = 0.02
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Memory(threading.Thread):
    """Watches the resident memory of a process and all below it, added up."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._pid = pid
        self._ended = threading.Event()

    def run(self) -> None:
        while True:
            self.peak = max(self.peak, _tree(self._pid))
            if self._ended.wait(_SAMPLE_SECONDS):
                return

    def end(self) -> int:
        """Bytes at the worst moment that was seen."""
        self._ended.set()
        self.join()
        return self.peak


def _tree(pid: int) -> int:
    """Resident bytes of a process and its descendants; what has ended counts nothing."""
    try:
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        below = [name for one in threads for name in (one / "children").read_text().split()]
    except (OSError, IndexError):
        return 0
    return total + sum(_tree(int(name)) for name in below)


def _seconds(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def run_command(task: dict[str, Any]) -> dict[str, Any]:
    """Run a program to its end; its own children count where it waits for them."""
    with Path(task["log"]).open("ab") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            task["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        memory = Memory(process.pid)
        memory.start()
        _pid, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "wall": wall,
        "cpu": _seconds(usage),
        "peak": max(memory.end(), usage.ru_maxrss * 1024),
        "code": process.returncode,
    }


def run_function(task: dict[str, Any]) -> dict[str, Any]:
    """Call a function that starts no process; its module's import is not counted, its own are."""
    function = getattr(importlib.import_module(task["module"]), task["function"])
    before = _seconds(resource.getrusage(resource.RUSAGE_SELF))
    began = time.perf_counter()
    try:
        value = function(**task["arguments"])
    except Exception:  # noqa: BLE001 - the parent tells it
        return {"error": traceback.format_exc()}
    wall = time.perf_counter() - began
    cpu = _seconds(resource.getrusage(resource.RUSAGE_SELF)) - before
    return {"wall": wall, "cpu": cpu, "peak": _high_water(), "value": value}


def _high_water() -> int:
    """The most bytes that this process held; ru_maxrss would include its parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """One task in, one answer out."""
    task = pickle.load(sys.stdin.buffer)
    answer = run_command(task) if "command" in task else run_function(task)
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
