"""Fault sweeps: each request of a run fails in its turn, in one way or in all of them.

``make test`` lets every request fail once and goes through the kinds of fault in turn, the same ones
at each run. ``make faults`` (``VMGUARD_FAULTS=all``) lets every request fail in every way. A test is
written once for both::

    KINDS = {"refused": {"kind": "status", "status": 409}, "reset": {"kind": "reset"}}

    @pytest.mark.parametrize("kinds", each_kind(KINDS))
    def test_a_restore_is_whole_or_undone(bench: Bench, kinds: tuple[str, ...]) -> None:
        def run(number: int, kind: str) -> str | None:
            bench.control.fault(WRITES, nth=number, **KINDS[kind])
            failed = attempt(bench)
            if not bench.hits():
                return None
            ...  # what has to be true after this fault
            return "undone" if failed else "restored"

        found = sweep(kinds, run, least=8)

What was injected, and what it came to, is printed at the end of a run of pytest (``report``).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Kind = TypeVar("Kind")
VARIABLE = "VMGUARD_FAULTS"
_ALL = "all"
# The most outcomes of one file that are told apart in the report.
_TOLD = 12

# The outcomes since they were last taken, for the report of the test that runs.
_outcomes: Counter[str] = Counter()


@dataclass(frozen=True)
class Injected(Generic[Kind]):
    """One fault that struck: at which request (from 1), of which kind, and what came of the run."""

    number: int
    kind: Kind
    outcome: str


def all_of_them() -> bool:
    """Whether every request has to fail in every way.

    Raises:
        ValueError: where the environment variable has a value that means nothing.
    """
    value = os.environ.get(VARIABLE, "")
    if value not in ("", _ALL):
        raise ValueError(f"{VARIABLE} is {value!r}: set it to {_ALL!r}, or leave it out.")
    return value == _ALL


def each_kind(kinds: Iterable[Kind]) -> list[tuple[Kind, ...]]:
    """What ``pytest.mark.parametrize`` is given for the argument ``kinds`` of ``sweep``.

    Returns:
        One tuple of all kinds, or in ``make faults`` a tuple for each.
    """
    every = tuple(kinds)
    return [(kind,) for kind in every] if all_of_them() else [every]


def sweep(
    kinds: Sequence[Kind],
    run: Callable[[int, Kind], str | None],
    *,
    least: int = 1,
    most: int = 200,
    first: int = 0,
    every: int = 1,
) -> list[Injected[Kind]]:
    """Let the first request fail, then the second, until there is none left.

    Args:
        kinds: the kinds of fault, taken in turn: request ``n`` fails in the way
            ``kinds[(n - 1 + first) % len(kinds)]``.
        run: makes the request of this number, from 1, fail in this way, and checks what has to be
            true afterwards; it returns what the run came to in a few words, or None when there was
            no such request any more, so that nothing failed.
        least: a sweep that ends with fewer faults fails: it would prove nothing.
        most: where it gives up: the fault strikes again and again.
        first: the place in ``kinds`` of the first request's fault, so that two sweeps over like
            requests need not choose the same.
        every: only every so many requests fail, where not all of them have to: for a sweep that shows
            on more machines, or from another source, what another one shows for each request.

    Raises:
        AssertionError: for too few or too many requests; and whatever ``run`` raises, with the
            request and the fault in a note.
    """
    done: list[Injected[Kind]] = []
    step = 1 if all_of_them() else every
    for turn, number in enumerate(range(1, most + 1, step)):
        kind = kinds[(turn + first) % len(kinds)]
        try:
            outcome = run(number, kind)
        except BaseException as error:
            error.add_note(f"This was with request {number} failing: {kind}.")
            raise
        if outcome is None:
            if number <= least:
                raise AssertionError(f"There were only {number - 1} requests, not {least}.")
            return done
        done.append(Injected(number, kind, outcome))
        _outcomes[outcome] += 1
    raise AssertionError(f"There were still faults at request {most}.")


def take_outcomes() -> dict[str, int]:
    """How often each outcome was seen since the last call."""
    found = dict(_outcomes)
    _outcomes.clear()
    return found


def report(outcomes: Iterable[tuple[str, dict[str, int]]]) -> list[str]:
    """The lines at the end of a run: for each test file, how many faults, and what came of them.

    Args:
        outcomes: the name of a test file, and what ``take_outcomes`` gave for one of its tests.
    """
    files: dict[str, Counter[str]] = {}
    for file, found in outcomes:
        files.setdefault(file, Counter()).update(found)
    lines = []
    for file in sorted(files):
        told = ", ".join(f"{count} {what}" for what, count in files[file].most_common(_TOLD))
        lines.append(f"{file}: {files[file].total()} faults: {told}")
    if lines:
        total = sum(count.total() for count in files.values())
        lines.append(f"{total} faults in all")
    return lines
