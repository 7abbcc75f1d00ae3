# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The options of modules that start long-running operations."""

    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until the operation is finished.
      - With V(false) the task ends as soon as Azure has accepted the operation, and the result says
        how far it is.
    type: bool
    default: true
  wait_timeout:
    description:
      - How long to wait, in seconds, 1 at least.
      - When the time is over the task fails and names the operation, which goes on in Azure.
        Running the task again picks it up instead of starting another.
    type: int
    default: 1800
"""
