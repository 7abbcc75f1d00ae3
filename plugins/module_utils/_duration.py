# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lengths of time as people write them: seconds, or ``90m``, ``4h``, ``1d``."""

from __future__ import annotations

import re

from ._errors import InputError

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"^\s*(\d+)\s*([smhdw]?)\s*$", re.I)


def parse_duration(text: str | int | None, option: str) -> int | None:
    """Seconds; None for None.

    Args:
        option: the name to complain about.

    Raises:
        InputError: for anything but a whole number and a unit, or for nothing at all.
    """
    if text is None:
        return None
    found = _DURATION.match(str(text))
    seconds = int(found.group(1)) * _SECONDS[found.group(2).lower()] if found else 0
    if not seconds:
        raise InputError(
            f"{option}: {text!r} is not a length of time: seconds, or a number with s, m, h, d or w"
            " such as 90m, 4h or 1d."
        )
    return seconds
