"""The report for people: as text, and as Markdown between the markers of a document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .image import MIB
from .report import Report, Row
from .targets import Target

BEGIN = "<!-- begin: written by make bench -->"
END = "<!-- end: written by make bench -->"
_HEADS = (
    "operation", "tool", "repository", "wall s", "least-most", "CPU s", "servers' CPU s",
    "peak MiB", "read MiB", "stored MiB",
)  # fmt: skip
_TARGET_HEADS = ("target", "has to be", "is", "")
_TEXT_COLUMNS = 3


def _mib(count: int | None) -> str:
    return "" if count is None else f"{count / MIB:.1f}"


def _cells(row: Row) -> list[str]:
    return [
        row.operation,
        row.tool,
        row.place,
        f"{row.wall.median:.2f}",
        f"{row.wall.least:.2f}-{row.wall.most:.2f}",
        f"{row.cpu:.2f}",
        f"{row.servers:.2f}",
        f"{row.peak_mib:.0f}",
        _mib(row.read),
        _mib(row.stored),
    ]


def _target_cells(target: Target) -> list[str]:
    value = "" if target.value is None else f"{target.value:.2f}"
    return [target.what, target.bound, value, target.verdict]


def _aligned(heads: Sequence[str], lines: list[list[str]], left: int) -> list[str]:
    """Columns of equal width; the first ``left`` of them hold text."""
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [list(heads), ["-" * width for width in widths], *lines]
    ]


def _markdown(heads: Sequence[str], lines: list[list[str]], left: int) -> list[str]:
    rule = ["---" if number < left else "--:" for number in range(len(heads))]
    return [f"| {' | '.join(line)} |" for line in [list(heads), rule, *lines]]


def summary(report: Report) -> list[str]:
    """Sentences on what was measured, and on what was not."""
    disk = report.disk
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    held = f"A disk of {_mib(disk['size'])} MiB, of which {_mib(disk['written'])} MiB are written"
    return [
        f"{held}; then {disk['changed_pieces']} pieces of 64 KiB change: {_mib(disk['changed'])} MiB.",
        f"Medians of {report.runs} runs, everything on one machine: {machine}.",
        *report.notes,
        *report.left_out,
    ]


def as_text(report: Report, found: Sequence[Target]) -> str:
    lines = _aligned(_HEADS, [_cells(row) for row in report.rows()], _TEXT_COLUMNS)
    ratios = _aligned(_TARGET_HEADS, [_target_cells(target) for target in found], 2)
    return "\n".join([*summary(report), "", *lines, "", *ratios])


def as_markdown(report: Report, found: Sequence[Target], command: str) -> str:
    lines = _markdown(_HEADS, [_cells(row) for row in report.rows()], _TEXT_COLUMNS)
    ratios = _markdown(_TARGET_HEADS, [_target_cells(target) for target in found], 2)
    told = [f"- {sentence}" for sentence in summary(report)]
    return "\n".join([f"Made by `{command}`:", "", *told, "", *lines, "", *ratios])


def put_into(document: Path, text: str) -> None:
    """Replace what stands between the markers of a document.

    Raises:
        ValueError: the document has no markers.
    """
    old = document.read_text()
    before, begin, rest = old.partition(BEGIN)
    _replaced, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document.name} lacks the lines {BEGIN} and {END}.")
    document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
