# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process wrote something, and whether it still runs, as far as this machine can tell."""

from __future__ import annotations

import os


def place() -> str:
    """The boot of this machine and its process namespace; empty where they cannot be told.

    Process numbers of one place can be compared with each other.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def is_running(pid: int) -> bool:
    """Whether there is a process of this number here; True where that cannot be told."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
