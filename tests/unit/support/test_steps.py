"""Steps beside each other: one block each, the first failure stops the rest, nothing survives."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import tree
from tools.steps import Steps

# Each step is a shell script in the folder; "pipe" is what one waits for until another opens it.
Run = Callable[..., tuple[bool, str, Steps]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run_scripts(
        *lanes: list[str], keep_going: bool = False, **scripts: str
    ) -> tuple[bool, str, Steps]:
        os.mkfifo(tmp_path / "pipe")
        out = io.StringIO()
        steps = Steps(
            lambda step: ["sh", "-c", f"cd '{tmp_path}'; {scripts[step]}"],
            tmp_path,
            out,
            keep_going=keep_going,
        )
        return steps.run(lanes), out.getvalue(), steps

    return run_scripts


def gone(pid: int) -> bool:
    """Whether a process ends, however busy the machine; one that nobody has waited for has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_lanes_run_beside_each_other_and_each_step_has_one_block(run: Run) -> None:
    # Opening a pipe waits for the other end: neither ends without the other.
    passed, told, steps = run(
        ["one", "two"], ["three"],
        one="echo one begins; cat pipe; echo one ends",
        two="echo words of two",
        three="echo three begins; echo from three >pipe; echo three ends >&2",
    )  # fmt: skip
    assert passed
    assert "one begins\nfrom three\none ends\n=== end of one\n" in told
    assert "three begins\nthree ends\n=== end of three\n" in told
    assert "words of two\n=== end of two\n" in told
    assert {one.step for one in steps.ended} == {"one", "two", "three"}
    assert told.splitlines()[-1].startswith("All passed in ")
    assert told.endswith("one, two, three.\n")


def test_the_first_failure_is_named_and_stops_the_rest(run: Run) -> None:
    passed, told, steps = run(
        ["good", "bad", "later"], ["other"],
        good="true",
        bad="cat pipe; echo what went wrong; exit 3",
        later="true",
        # It has started something, and would wait for ever.
        other="sleep 1000 & echo $! >started; echo go >pipe; wait",
    )  # fmt: skip
    assert not passed
    assert "=== bad FAILED with exit code 3" in told
    assert "what went wrong\n=== end of bad" in told
    assert "=== other was stopped" in told
    assert told.splitlines()[-1].endswith(": bad. Not run to the end: later, other.")
    assert [one.step for one in steps.ended] == ["good", "bad", "other"]


def test_what_a_stopped_step_started_is_gone(run: Run, tmp_path: Path) -> None:
    passed, _told, _steps = run(
        ["bad"], ["other"],
        bad="cat pipe; exit 1",
        other="sleep 1000 & echo $! >started; echo go >pipe; wait",
    )  # fmt: skip
    assert not passed
    assert gone(int((tmp_path / "started").read_text()))


def test_all_run_where_that_is_asked_for(run: Run) -> None:
    passed, told, _steps = run(
        ["bad", "later"], ["other"], keep_going=True, bad="exit 1", later="echo done", other="true"
    )
    assert not passed
    assert "done\n=== end of later" in told
    assert told.splitlines()[-1].endswith(": bad.")


def test_a_run_that_is_ended_ends_its_steps(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(tree.ROOT / "tests")!r})
from pathlib import Path
from tools import steps
for number in (steps.signal.SIGINT, steps.signal.SIGTERM):
    steps.signal.signal(number, steps._end_by_signal)
folder = Path({str(tmp_path)!r})
run = steps.Steps(lambda step: ["sh", "-c", "echo $$; exec sleep 1000"], folder, sys.stdout)
run.run([["only"]])
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("=== only begins")
        process.send_signal(signal.SIGTERM)
        told = process.stdout.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert "=== only was stopped" in told
    pids = (tmp_path / "only.log").read_text().split()
    assert all(gone(int(pid)) for pid in pids)
