"""``python -m bench``: measure the engine, its peers and the floor in one run."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from local_azure.azurite import AzuriteError

from . import ours, peers
from .floors import CHUNK, Floors
from .image import GIB, KIB, MIB, make_disk
from .measure import BenchError
from .picture import draw
from .report import Report, cpu_ticks
from .subject import OPERATIONS, Setting, Subject, opened
from .table import as_markdown, as_text, put_into
from .targets import targets
from .world import World

ROOT = Path(__file__).resolve().parents[2]
FLOOR = "floor"
NOTES = (
    "The peers read a local image that is in the page cache, which favours them.",
    "Ours and the floor read local Azure over HTTPS.",
    "restic always encrypts; borg, the floor and ours (unless it says otherwise) do not.",
)


def size_of(text: str) -> int:
    """Bytes from a number with KiB, MiB or GiB."""
    found = re.fullmatch(r"(\d+)\s*(KiB|MiB|GiB)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 512MiB or 4GiB.")
    return int(found[1]) * {"KiB": KIB, "MiB": MIB, "GiB": GIB}[found[2]]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench BENCH_ARGS=...", description=__doc__)
    parser.add_argument("--size", type=size_of, default=GIB, help="of the disk (default: 1GiB)")
    parser.add_argument("--runs", type=int, default=3, help="of each (default: %(default)s)")
    parser.add_argument(
        "--only", action="append", metavar="NAME",
        help="what has this in its name, such as borg; `floor` is the floor; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--chunk", type=size_of, default=CHUNK, help="of the floor's chunks (default: 64KiB)"
    )
    parser.add_argument(
        "--output", type=Path, default=ROOT / "build" / "bench",
        help="where bench.json, bench.svg, bench.md and bench.txt go (default: build/bench)",
    )  # fmt: skip
    parser.add_argument(
        "--work", type=Path, help="where the images go for a while (default: the temporary folder)"
    )
    parser.add_argument(
        "--document", type=Path, help="a Markdown document whose marked part gets the tables"
    )
    arguments = parser.parse_args()
    if arguments.size < 16 * MIB or arguments.size % MIB or arguments.runs < 1:
        parser.error("A disk has whole MiB and at least 16 of them, and there is at least one run.")
    return arguments


class Bench:
    """One run of the benchmark."""

    def __init__(self, setting: Setting, report: Report, only: list[str] | None) -> None:
        self._setting = setting
        self._report = report
        self._only = only
        self._began = time.monotonic()

    def _wanted(self, name: str) -> bool:
        return self._only is None or any(word in name for word in self._only)

    def run(self, runs: int, chunk: int) -> None:
        """Everything once, then everything again: drift of the machine hits all alike."""
        subjects = self._subjects()
        floors = Floors(self._setting, chunk) if self._wanted(FLOOR) else None
        for number in range(1, runs + 1):
            if floors is not None:
                self._say(f"run {number} of {runs}: the floor")
                for measured in floors.run():
                    self._report.add_floor(measured)
            for subject in subjects:
                self._say(f"run {number} of {runs}: {subject.name}, {subject.place}")
                self._measure(subject)
            self._report.runs = number

    def _subjects(self) -> list[Subject]:
        found = []
        for kind in (*ours.SUBJECTS, *peers.SUBJECTS):
            subject = kind(self._setting)
            if not self._wanted(subject.name):
                continue
            if reason := subject.missing():
                self._report.left_out.append(f"Left out: {subject.name}, because {reason}.")
                continue
            if subject.note:
                self._report.notes.append(f"{subject.name}, {subject.place}: {subject.note}.")
            found.append(subject)
        return found

    def _measure(self, subject: Subject) -> None:
        with opened(subject):
            for operation in OPERATIONS:
                outcome = getattr(subject, operation)()
                if outcome is not None:
                    self._report.add(subject, operation, outcome)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {text}", file=sys.stderr, flush=True)


def _measured(arguments: argparse.Namespace) -> Report:
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.work) as name:
        folder = Path(name)
        disk = make_disk(folder, arguments.size)
        report = Report.begin(disk, arguments.chunk)
        report.notes += NOTES
        with World(folder) as world:
            bench = Bench(Setting(disk, world, folder), report, arguments.only)
            stolen, total = cpu_ticks()
            bench.run(arguments.runs, arguments.chunk)
    stolen, total = (now - then for now, then in zip(cpu_ticks(), (stolen, total), strict=True))
    report.notes.append(
        f"Other guests of the host took {stolen / total:.1%} of the processor time."
    )
    return report


def _write(report: Report, arguments: argparse.Namespace) -> None:
    found = targets(report)
    text = as_text(report, found)
    given = shlex.join(sys.argv[1:])
    command = f'make bench BENCH_ARGS="{given}"' if given else "make bench"
    markdown = as_markdown(report, found, command)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "bench.json").write_text(json.dumps(report.as_json(found), indent=1) + "\n")
    (arguments.output / "bench.svg").write_text(draw(report))
    (arguments.output / "bench.txt").write_text(text + "\n")
    (arguments.output / "bench.md").write_text(markdown + "\n")
    if arguments.document is not None:
        put_into(arguments.document, markdown)
    print(text)


def _stop(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """0 when everything was measured, whatever the targets say."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    try:
        _write(_measured(arguments), arguments)
    except (BenchError, AzuriteError, OSError, ValueError) as error:
        notes = " ".join(getattr(error, "__notes__", []))
        print(f"The benchmark failed: {error} {notes}".rstrip(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; nothing is left behind.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
