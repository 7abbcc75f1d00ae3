"""Everything that a run of the benchmark found out, as one object that JSON can hold."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .floors import OURS_ONLY, Measured, stages_of
from .image import Disk
from .measure import Spread
from .subject import OPERATIONS, Outcome, Subject

_PACKAGES = ("azure-core", "azure-storage-blob", "blake3", "cryptography", "urllib3", "zstandard")
_PROGRAMS = (("rclone", "version"), ("restic", "version"), ("borg", "--version"))


@dataclass(frozen=True)
class Row:
    """One operation of one tool, or one way of one stage of the floor, over all runs.

    Attributes:
        operation: of ``OPERATIONS``.
        tool: a subject's name; for the floor the stage and the way.
        place: where the repository is; empty for the floor.
        wall: seconds.
        cpu: seconds, median.
        servers: seconds of CPU that the servers took meanwhile, median.
        peak_mib: the highest of all runs.
        read: bytes, None where unknown.
        stored: bytes that the repository grew by, None where unknown.
        stage: of the floor; None for a tool.
    """

    operation: str
    tool: str
    place: str
    wall: Spread
    cpu: float
    servers: float
    peak_mib: float
    read: int | None
    stored: int | None
    stage: str | None = None


@dataclass
class Report:
    """What was measured so far.

    Attributes:
        disk: sizes in bytes.
        machine: what it ran on, and with which versions.
        left_out: sentences on what could not run.
        notes: sentences that a reader of the figures has to know.
    """

    disk: dict[str, int]
    machine: dict[str, str]
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    runs: int = 0
    _outcomes: dict[tuple[str, str, str], list[Outcome]] = field(default_factory=dict, repr=False)
    _floors: dict[tuple[str, str, str], list[Measured]] = field(default_factory=dict, repr=False)

    @classmethod
    def begin(cls, disk: Disk, chunk: int) -> Report:
        sizes = {
            "size": disk.size,
            "written": disk.written_bytes,
            "changed": disk.changed_bytes,
            "changed_pieces": len(disk.pieces),
            "chunk": chunk,
            "touched": disk.touched_bytes(chunk),
        }
        return cls(sizes, machine())

    def add(self, subject: Subject, operation: str, outcome: Outcome) -> None:
        key = (operation, subject.name, subject.place)
        self._outcomes.setdefault(key, []).append(outcome)

    def add_floor(self, measured: Measured) -> None:
        key = (measured.operation, measured.stage, measured.way)
        self._floors.setdefault(key, []).append(measured)

    def rows(self) -> list[Row]:
        """By operation; tools first, the floor last, in the order in which they ran."""
        tools = [
            _row(operation, tool, place, found)
            for (operation, tool, place), found in self._outcomes.items()
        ]
        floors = [
            _floor_row(operation, stage, way, found)
            for (operation, stage, way), found in self._floors.items()
        ]
        return sorted([*tools, *floors], key=lambda row: OPERATIONS.index(row.operation))

    def find(self, operation: str, tool: str, place: str) -> Row | None:
        for row in self.rows():
            if (row.operation, row.tool, row.place) == (operation, tool, place):
                return row
        return None

    def stages(self, operation: str, place: str) -> list[Row]:
        """The stages, each in its fastest way; none unless all were measured."""
        rows = self.rows()
        found = []
        for stage in stages_of(operation, place):
            ways = [
                row
                for row in rows
                if (row.operation, row.stage) == (operation, stage)
                and not row.tool.endswith(OURS_ONLY)
            ]
            if not ways:
                return []
            found.append(min(ways, key=lambda row: row.wall.median))
        return found

    def floor(self, operation: str, place: str) -> Row | None:
        """The slowest stage; None unless all stages were measured."""
        stages = self.stages(operation, place)
        return max(stages, key=lambda row: row.wall.median, default=None)

    def all_stages(self, operation: str, place: str) -> float | None:
        """Seconds in which these cores can do the work of all stages, the servers' included."""
        stages = self.stages(operation, place)
        seconds = sum(row.cpu + row.servers for row in stages) / int(self.machine["cores"])
        return max([seconds, *(row.wall.median for row in stages)]) if stages else None

    def as_json(self, targets: Sequence[Any]) -> dict[str, Any]:
        return {
            "disk": self.disk,
            "machine": self.machine,
            "runs": self.runs,
            "rows": [asdict(row) for row in self.rows()],
            "targets": [asdict(target) for target in targets],
            "left_out": self.left_out,
            "notes": self.notes,
        }


def _row(operation: str, tool: str, place: str, found: list[Outcome]) -> Row:
    usages = [one.usage for one in found]
    return Row(
        operation,
        tool,
        place,
        Spread.of([usage.wall for usage in usages]),
        statistics.median(usage.cpu for usage in usages),
        statistics.median(usage.servers for usage in usages),
        max(usage.peak_mib for usage in usages),
        _median_bytes([one.read for one in found]),
        _median_bytes([one.stored for one in found]),
    )


def _floor_row(operation: str, stage: str, way: str, found: list[Measured]) -> Row:
    outcomes = [Outcome(one.usage, one.size, one.stored) for one in found]
    return replace(_row(operation, f"floor: {stage}, {way}", "", outcomes), stage=stage)


def _median_bytes(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return statistics.median_low(known) if known else None


def machine() -> dict[str, str]:
    """What it runs on: no host name, no path."""
    found = {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    for program, option in _PROGRAMS:
        if shutil.which(program):
            text = subprocess.run(
                [program, option], capture_output=True, text=True, check=False
            ).stdout
            words = text.split()
            found[program] = words[1] if len(words) > 1 else "unknown"
    return found


def cpu_ticks() -> tuple[int, int]:
    """Of all the processors' time so far: how much another guest of the host had, and all of it."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    return int(first[7]), sum(map(int, first))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
