"""Runs the steps of ``make test`` in lanes beside each other, and tells of each in one block.

``python tests/tools/steps.py unit,integration lint,sanity`` runs two lanes: the steps of a lane come
one after the other, and each is ``make <step>``. What a step says goes to a file in a folder of this
run alone, and is shown when the step ends. The first step that fails stops the others, unless
``--keep-going`` is given.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO, TextIO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import tree

# First what lets a step clear up, last what nothing survives; and seconds to wait for each.
SIGNALS = ((signal.SIGINT, 15.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0))


@dataclass(frozen=True)
class Ended:
    """A step that ended: ``code`` is its exit code, negative for a signal; times are in seconds."""

    step: str
    code: int
    seconds: float
    cpu_seconds: float
    stopped: bool

    def __str__(self) -> str:
        how = "passed" if self.code == 0 else f"FAILED with exit code {self.code}"
        how = "was stopped" if self.stopped else how
        return f"{self.step} {how} after {self.seconds:.0f} s ({self.cpu_seconds:.0f} s of CPU)"


class Steps:
    """One run.

    Args:
        command: gives the command line of a step.
        folder: where the output of the steps is written; nobody else writes there.
        out: where the blocks go.
        keep_going: run all steps, whatever fails.
    """

    def __init__(
        self,
        command: Callable[[str], list[str]],
        folder: Path,
        out: TextIO,
        *,
        keep_going: bool = False,
    ) -> None:
        self._command = command
        self._folder = folder
        self._out = out
        self._keep_going = keep_going
        self._lock = threading.Lock()
        # By the step's name: its process, which leads a group of its own.
        self._running: dict[str, int] = {}
        self._stopping = False
        self.ended: list[Ended] = []

    def run(self, lanes: Sequence[Sequence[str]]) -> bool:
        """Run them all; whether all of them passed."""
        began = time.monotonic()
        threads = [threading.Thread(target=self._run_lane, args=(lane,)) for lane in lanes]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            self._stop()
        return self._sum_up([step for lane in lanes for step in lane], time.monotonic() - began)

    def _run_lane(self, steps: Sequence[str]) -> None:
        for step in steps:
            log = self._folder / f"{step}.log"
            with log.open("wb") as output:
                began = time.monotonic()
                process = self._start(step, output)
                if process is None:
                    return
                # While its end has not been fetched, its number is no other process's.
                os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
                with self._lock:
                    os.killpg(process, signal.SIGKILL)  # what it may have left behind
                    # This also tells the CPU time of the step, and of all that it waited for.
                    _process, status, usage = os.wait4(process, 0)
                    del self._running[step]
            self._end(
                step,
                os.waitstatus_to_exitcode(status),
                time.monotonic() - began,
                usage.ru_utime + usage.ru_stime,
                log,
            )

    def _start(self, step: str, output: BinaryIO) -> int | None:
        """The process of a step, unless nothing is to be started any more."""
        with self._lock:
            if self._stopping:
                return None
            self._say(f"=== {step} begins; it writes to {output.name}")
            process = subprocess.Popen(
                self._command(step),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            # It is waited for with wait4, not by this object.
            process.returncode = 0
            self._running[step] = process.pid
            return process.pid

    def _end(self, step: str, code: int, seconds: float, cpu: float, log: Path) -> None:
        with self._lock:
            ended = Ended(step, code, seconds, cpu, self._stopping)
            self.ended.append(ended)
            text = "" if ended.stopped else log.read_text(errors="replace").strip("\n")
            self._say(f"=== {ended}" + (f"\n{text}\n=== end of {step}" if text else ""))
            failed = code != 0 and not self._stopping
        if failed and not self._keep_going:
            self._stop()

    def _stop(self) -> None:
        """Start nothing more, and end what still runs with all that it started."""
        with self._lock:
            self._stopping = True
        for sent, patience in SIGNALS:
            with self._lock:
                for process in self._running.values():
                    os.killpg(process, sent)
            deadline = time.monotonic() + patience
            while self._running and time.monotonic() < deadline:
                time.sleep(0.05)

    def _sum_up(self, wanted: list[str], seconds: float) -> bool:
        self._say("")
        for one in self.ended:
            self._say(str(one))
        failed = [one.step for one in self.ended if one.code != 0 and not one.stopped]
        done = {one.step for one in self.ended if not one.stopped}
        left = [step for step in wanted if step not in done]
        cpu = sum(one.cpu_seconds for one in self.ended)
        took = f"in {seconds:.0f} s ({cpu:.0f} s of CPU)"
        if failed or left:
            more = f" Not run to the end: {', '.join(left)}." if left else ""
            self._say(f"FAILED {took}: {', '.join(failed)}.{more}")
        else:
            self._say(f"All passed {took}: {', '.join(wanted)}.")
        return not failed and not left

    def _say(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


def _end_by_signal(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> int:
    """Run ``make`` for each step; returns the exit code."""
    parser = argparse.ArgumentParser(prog="steps", description="Run steps beside each other.")
    parser.add_argument("lanes", nargs="+", help="steps, separated by commas")
    parser.add_argument("--keep-going", action="store_true", help="run all, whatever fails")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end_by_signal)
    place = tree.ROOT / "build" / "steps"
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=place))
    steps = Steps(lambda step: ["make", step], folder, sys.stdout, keep_going=options.keep_going)
    passed = steps.run([lane.split(",") for lane in options.lanes])
    if passed:
        shutil.rmtree(folder)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
