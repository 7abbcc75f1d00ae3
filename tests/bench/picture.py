"""The report as an SVG: for every operation one horizontal bar for each tool."""

from __future__ import annotations

from html import escape

from .report import Report, Row
from .subject import AZURITE, FOLDER, OPERATIONS, OURS

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _HEAD = 860, 270, 110, 18, 6, 46
_COLOURS = {"ours": "#0b6e4f", "peer": "#8a9ba8", "floor": "#d9a441"}
_STYLE = (
    "text{font:13px sans-serif;fill:#1b1f23}"
    ".title{font-weight:bold;font-size:15px}.small{font-size:11px;fill:#57606a}"
)
_TITLES = {
    "full": "Full backup",
    "incremental": "Second backup, 2 % changed",
    "verify": "Verification of all data",
    "restore": "Restore",
}


def draw(report: Report) -> str:
    """The picture's text; wall times are medians, whiskers the least and the most."""
    parts: list[str] = []
    y = 10
    for operation in OPERATIONS:
        bars = _bars(report, operation)
        if bars:
            parts += _group(operation, bars, y)
            y += _HEAD + len(bars) * (_BAR + _GAP) + 14
    size = f"{report.disk['size'] / 2**30:g} GiB disk, medians of {report.runs} runs, seconds"
    parts.append(f'<text class="small" x="10" y="{y + 8}">{escape(size)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y + 20}"'
        f' viewBox="0 0 {_WIDTH} {y + 20}" role="img">'
        f"<title>Wall time of backup and restore</title><style>{_STYLE}</style>"
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    )


def _bars(report: Report, operation: str) -> list[tuple[str, str, Row]]:
    """Label, colour and row: tools, then the slowest stage for each place."""
    bars = [
        (f"{row.tool}, {row.place}", "ours" if row.tool.startswith(OURS) else "peer", row)
        for row in report.rows()
        if row.operation == operation and row.stage is None
    ]
    for place in (AZURITE, FOLDER):
        floor = report.floor(operation, place)
        if floor is not None and all(floor is not row for _label, _kind, row in bars):
            bars.append((f"slowest stage, {place}: {floor.stage}", "floor", floor))
    return bars


def _group(operation: str, bars: list[tuple[str, str, Row]], y: int) -> list[str]:
    longest = max(row.wall.most for _label, _kind, row in bars)
    scale = (_WIDTH - _LEFT - _RIGHT) / longest
    parts = [f'<text class="title" x="10" y="{y + 22}">{_TITLES[operation]}</text>']
    for number, (label, kind, row) in enumerate(bars):
        top = y + _HEAD - 12 + number * (_BAR + _GAP)
        middle, text = top + _BAR / 2, top + _BAR - 5
        width = row.wall.median * scale
        low, high = _LEFT + row.wall.least * scale, _LEFT + row.wall.most * scale
        place = f'x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}"'
        parts += [
            f'<text x="{_LEFT - 8}" y="{text}" text-anchor="end">{escape(label)}</text>',
            f'<rect {place} fill="{_COLOURS[kind]}"/>',
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}" stroke="#1b1f23"/>',
            f'<text x="{high + 6:.1f}" y="{text}">{row.wall.median:.2f}</text>',
        ]
    return parts
