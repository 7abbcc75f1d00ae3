"""For all tests: the work tree is importable as a collection, also for a plain ``pytest``.

And what fault sweeps injected is told at the end, also with several processes.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

sys.path.insert(0, str(Path(__file__).resolve().parent))

from support import sweep
from tools import tree

tree.link()
if str(tree.COLLECTIONS) not in sys.path:
    sys.path.insert(0, str(tree.COLLECTIONS))
# The import system remembers folders that were not there when it first looked.
importlib.invalidate_caches()
set_hypothesis_home_dir(tree.ROOT / "build" / "cache" / "hypothesis")

_PROPERTY = "fault sweep"
# Tools without which tests are skipped, and what to do.
TOOLS = {"qemu-img": "No foreign reader checked VHD and qcow2 files: install qemu-utils."}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    try:
        return (yield)
    finally:
        # The report of the test carries this to the process that prints the summary.
        if found := sweep.take_outcomes():
            item.user_properties.append((_PROPERTY, found))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    tell_faults(terminalreporter)
    tell_missing_tools(terminalreporter)


def tell_faults(terminalreporter: Any) -> None:
    """What the fault sweeps of this run injected, and what it came to."""
    found = [
        (report.location[0], outcomes)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, outcomes in report.user_properties
        if name == _PROPERTY
    ]
    if lines := sweep.report(found):
        terminalreporter.section("fault sweeps")
        for line in lines:
            terminalreporter.write_line(line)


def tell_missing_tools(terminalreporter: Any) -> None:
    """Skips that a tool would end: what they prove is not proven by this run."""
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])]
    for tool, what_to_do in TOOLS.items():
        if count := sum(tool in reason for reason in reasons):
            terminalreporter.section(f"{tool} IS MISSING", red=True, bold=True)
            terminalreporter.write_line(f"{count} tests were skipped. {what_to_do}", red=True)
