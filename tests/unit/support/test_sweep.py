"""Fault sweeps: every request once, every fault in turn; and all of them where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support import sweep
from tools import tree

pytest_plugins = ["pytester"]
KINDS = ("refused", "reset", "lost")


@pytest.fixture(autouse=True)
def choice(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As in ``make test``, whatever runs these."""
    monkeypatch.delenv(sweep.VARIABLE, raising=False)
    return monkeypatch


class Requests:
    """Work that takes so many requests, and of which one fails."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.failed: list[tuple[int, str]] = []

    def run(self, number: int, kind: str) -> str | None:
        if number > self.count:
            return None
        self.failed.append((number, kind))
        return "undone" if number % 2 else "restored"


def swept(
    kinds: tuple[str, ...], run: Callable[[int, str], str | None], **options: Any
) -> tuple[list[sweep.Injected[str]], dict[str, int]]:
    """A sweep, and its outcomes, which are not told with those of real ones."""
    counted = {}
    try:
        found = sweep.sweep(kinds, run, **options)
    finally:
        counted = sweep.take_outcomes()
    return found, counted


def test_every_request_fails_once_and_the_kinds_take_turns() -> None:
    (kinds,) = sweep.each_kind(KINDS)
    work = Requests(5)
    found, counted = swept(kinds, work.run, least=5, first=1)
    assert [one.number for one in found] == [1, 2, 3, 4, 5]
    assert [one.kind for one in found] == ["reset", "lost", "refused", "reset", "lost"]
    assert [(one.number, one.kind) for one in found] == work.failed
    assert counted == {"undone": 3, "restored": 2}
    assert sweep.take_outcomes() == {}


def test_every_request_fails_in_every_way_where_that_is_asked_for(
    choice: pytest.MonkeyPatch,
) -> None:
    choice.setenv(sweep.VARIABLE, "all")
    work = Requests(4)
    for kinds in sweep.each_kind(KINDS):
        swept(kinds, work.run)
    assert work.failed == [(number, kind) for kind in KINDS for number in range(1, 5)]


def test_a_sweep_may_leave_requests_out_but_where_all_are_asked_for(
    choice: pytest.MonkeyPatch,
) -> None:
    work = Requests(6)
    swept(("a", "b"), work.run, every=2, least=6)
    assert work.failed == [(1, "a"), (3, "b"), (5, "a")]
    choice.setenv(sweep.VARIABLE, "all")
    work = Requests(3)
    swept(("a",), work.run, every=2)
    assert work.failed == [(1, "a"), (2, "a"), (3, "a")]


def test_a_choice_that_means_nothing_is_refused(choice: pytest.MonkeyPatch) -> None:
    choice.setenv(sweep.VARIABLE, "yes")
    with pytest.raises(ValueError, match="VMGUARD_FAULTS is 'yes': set it to 'all'"):
        sweep.each_kind(KINDS)


def test_a_sweep_that_proves_nothing_fails() -> None:
    with pytest.raises(AssertionError, match="There were only 2 requests, not 3"):
        swept(KINDS, Requests(2).run, least=3)
    with pytest.raises(AssertionError, match="There were still faults at request 6"):
        swept(KINDS, Requests(100).run, most=6)


def test_what_fails_tells_the_fault() -> None:
    def run(number: int, _kind: str) -> str:
        assert number < 2, "Something is left."
        return "restored"

    with pytest.raises(AssertionError, match="Something is left") as caught:
        swept(KINDS, run)
    assert caught.value.__notes__ == ["This was with request 2 failing: reset."]


def test_a_run_of_pytest_tells_what_was_injected(pytester: pytest.Pytester) -> None:
    """Also for tests that fail, and for those that ran in other processes."""
    pytester.makeconftest((tree.ROOT / "tests" / "conftest.py").read_text())
    pytester.makepyfile(
        test_one="""
            from support.sweep import sweep

            def test_whole():
                sweep(["reset"], lambda number, _kind: "undone" if number < 4 else None)

            def test_broken():
                sweep(["reset"], lambda number, _kind: "restored" if number < 2 else 1 / 0)
        """,
        test_two="""
            from support.sweep import sweep

            def test_whole():
                sweep(["reset"], lambda number, _kind: "killed" if number < 3 else None)
        """,
    )
    options = ("-n", "2", "-o", f"pythonpath={tree.ROOT / 'tests'}", "-p", "no:cacheprovider")
    done = pytester.runpytest_subprocess(*options)
    done.assert_outcomes(passed=2, failed=1)
    done.stdout.fnmatch_lines(
        [
            "*fault sweeps*",
            "test_one.py: 4 faults: 3 undone, 1 restored",
            "test_two.py: 2 faults: 2 killed",
            "6 faults in all",
        ]
    )


def test_tests_that_want_a_tool_are_not_skipped_quietly(pytester: pytest.Pytester) -> None:
    pytester.makeconftest((tree.ROOT / "tests" / "conftest.py").read_text())
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.skip(reason="qemu-img is not here")
        @pytest.mark.parametrize("number", [1, 2])
        def test_reads(number):
            pass

        @pytest.mark.skip(reason="another reason")
        def test_more():
            pass
        """
    )
    options = ("-o", f"pythonpath={tree.ROOT / 'tests'}", "-p", "no:cacheprovider")
    done = pytester.runpytest_subprocess(*options)
    done.assert_outcomes(skipped=3)
    done.stdout.fnmatch_lines(["*qemu-img IS MISSING*", "2 tests were skipped. No foreign reader*"])
