"""What the engine has to reach, as ratios within one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .image import GIB
from .report import Report, Row
from .subject import AZURITE, FOLDER, OPERATIONS, OURS

_BIG = 4 * GIB


@dataclass(frozen=True)
class Target:
    """One target.

    Attributes:
        what: a short sentence without an end.
        limit: the most or the least that ``value`` may be; None where it only explains.
        most: whether ``limit`` is the most.
        value: None when something that it needs was not measured.
        binding: false where the target does not hold for a disk of this size.
    """

    what: str
    limit: float | None
    most: bool
    value: float | None
    binding: bool = True

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "not measured"
        if self.limit is None:
            return "for comparison"
        if not self.binding:
            return "only from 4 GiB on"
        good = self.value <= self.limit if self.most else self.value >= self.limit
        return "met" if good else "not met"

    @property
    def bound(self) -> str:
        if self.limit is None:
            return ""
        return f"{'at most' if self.most else 'at least'} {self.limit:g}"


def targets(report: Report) -> list[Target]:
    """All targets, those that could not be measured among them."""
    return [*_full(report), *_incremental(report), *_restore(report), *_memory(report)]


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def _wall(row: Row | None) -> float | None:
    return None if row is None else row.wall.median


def _ours(report: Report, operation: str, place: str) -> Row | None:
    return report.find(operation, OURS, place)


def _faster(
    report: Report, operation: str, peer: str, place: str, least: float, binding: bool = True
) -> Target:
    """How many times as long a peer takes, with its repository in the same place."""
    value = _ratio(
        _wall(report.find(operation, peer, place)), _wall(_ours(report, operation, place))
    )
    what = f"{operation}: {peer} / ours, {place}"
    return Target(what, least, most=False, value=value, binding=binding)


def _against_floor(report: Report, operation: str, place: str) -> Iterator[Target]:
    floor = report.floor(operation, place)
    value = _ratio(_wall(_ours(report, operation, place)), _wall(floor))
    stage = f" ({floor.tool.removeprefix('floor: ')})" if floor else ""
    yield Target(f"{operation}: ours / slowest stage{stage}, {place}", 1.3, True, value)
    value = _ratio(_wall(_ours(report, operation, place)), report.all_stages(operation, place))
    cores = report.machine["cores"]
    yield Target(f"{operation}: ours / all stages on {cores} cores, {place}", None, True, value)


def _full(report: Report) -> Iterator[Target]:
    for place in (AZURITE, FOLDER):
        yield from _against_floor(report, "full", place)
    yield _faster(report, "full", "rclone", AZURITE, 2)
    yield _faster(report, "full", "restic through rclone", AZURITE, 2)
    for peer in ("restic", "borg 64 KiB", "borg 4 MiB"):
        yield _faster(report, "full", peer, FOLDER, 1)


def _incremental(report: Report) -> Iterator[Target]:
    big = report.disk["size"] >= _BIG
    for place in (AZURITE, FOLDER):
        ours = _ours(report, "incremental", place)
        stored = _ratio(ours and ours.stored, report.disk["changed"])
        yield Target(f"incremental: bytes stored / changed, {place}", 2.5, True, stored)
        read = _ratio(ours and ours.read, report.disk["touched"])
        yield Target(f"incremental: bytes read / chunks touched, {place}", 1.5, True, read)
        value = _ratio(_wall(ours), _wall(_ours(report, "full", place)))
        yield Target(f"incremental / full: ours, {place}", 0.1, True, value, binding=big)
    yield _faster(report, "incremental", "restic through rclone", AZURITE, 5, big)
    yield _faster(report, "incremental", "restic", FOLDER, 5, big)
    yield _faster(report, "incremental", "borg 64 KiB", FOLDER, 3, big)


def _restore(report: Report) -> Iterator[Target]:
    for place in (AZURITE, FOLDER):
        yield from _against_floor(report, "restore", place)
    yield _faster(report, "restore", "restic through rclone", AZURITE, 1)
    for peer in ("restic", "borg 64 KiB", "borg 4 MiB"):
        yield _faster(report, "restore", peer, FOLDER, 1)


def _memory(report: Report) -> Iterator[Target]:
    rows = [_ours(report, name, place) for name in OPERATIONS for place in (AZURITE, FOLDER)]
    peak = max((row.peak_mib for row in rows if row), default=None)
    yield Target("peak memory of ours, MiB", 300, True, peak)
