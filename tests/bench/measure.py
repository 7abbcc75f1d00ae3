"""What a command or a function takes: wall time, CPU, memory; and medians of several runs."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1 << 20
TESTS = Path(__file__).resolve().parents[1]


class BenchError(Exception):
    """Something that was to be measured failed; the message says what and shows its last words."""


@dataclass(frozen=True)
class Usage:
    """What one run took.

    Attributes:
        wall: seconds.
        cpu: seconds, user and system, of the process and its children.
        peak_mib: the most resident memory of the process and its children together.
        value: what a function returned; None for a command.
        servers: seconds of CPU that the servers of this benchmark took meanwhile.
    """

    wall: float
    cpu: float
    peak_mib: float
    value: Any = None
    servers: float = 0.0


@dataclass(frozen=True)
class Spread:
    """Several runs of one thing: the median, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def run_command(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Usage:
    """Measure a program; the time it takes to start is its own.

    Args:
        command: the program and its arguments.
        log: gets its output.
        environment: all of its environment; this process's when not given.
        folder: where it runs.

    Raises:
        BenchError: it ended with anything but 0.
    """
    task = {"command": [str(part) for part in command], "log": str(log)}
    answer = _in_child(task, environment, folder)
    if answer["code"]:
        tail = log.read_text(errors="replace").strip().splitlines()[-5:]
        raise BenchError(f"{task['command'][0]} ended with {answer['code']}:\n" + "\n".join(tail))
    return _usage(answer)


def run_function(
    function: Callable[..., Any],
    *,
    environment: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Usage:
    """Measure a module's function in a fresh interpreter, whose start is not counted.

    Args:
        function: defined at the top of a module; returns what JSON can hold.
        environment: all of its environment; this process's when not given.
        arguments: what pickle can hold.

    Raises:
        BenchError: it raised.
    """
    task = {
        "module": function.__module__,
        "function": function.__qualname__,
        "arguments": arguments,
    }
    answer = _in_child(task, environment, None)
    if "error" in answer:
        raise BenchError(f"{function.__qualname__} failed:\n{answer['error']}")
    return _usage(answer)


def _usage(answer: dict[str, Any]) -> Usage:
    peak = answer["peak"] / MIB
    return Usage(answer["wall"], answer["cpu"], peak, answer.get("value"), answer["servers"])


def _in_child(
    task: dict[str, Any], environment: Mapping[str, str] | None, folder: Path | None
) -> dict[str, Any]:
    variables = dict(os.environ if environment is None else environment)
    known = variables.get("PYTHONPATH")
    variables["PYTHONPATH"] = f"{TESTS}{os.pathsep}{known}" if known else str(TESTS)
    # Nobody pays for what an earlier run has yet to write to disk.
    os.sync()
    before = _cpu_of_children()
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=variables,
        cwd=folder,
        start_new_session=True,
    )
    try:
        output, _none = child.communicate(pickle.dumps(task))
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    if child.returncode:
        raise BenchError(f"The measuring process ended with {child.returncode}.")
    return {**json.loads(output), "servers": _cpu_of_children() - before}


def _cpu_of_children() -> float:
    """Seconds of CPU of the processes that this one has started and that still run: the servers."""
    ticks = 0
    for thread in Path("/proc/self/task").iterdir():
        for pid in (thread / "children").read_text().split():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
