"""For all tests: what fault sweeps injected is told at the end, also with several processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support import sweep

_PROPERTY = "fault sweep"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    try:
        return (yield)
    finally:
        # The report of the test carries this to the process that prints the summary.
        if found := sweep.take_outcomes():
            item.user_properties.append((_PROPERTY, found))


def pytest_terminal_summary(terminalreporter: Any) -> None:
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
