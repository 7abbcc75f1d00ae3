# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """What every module can do. A module sets ``support`` where it differs."""

    # For modules that change something.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode, predict the result and send nothing that changes Azure.
    support: full
  diff_mode:
    description: Returns what is different before and after, when run in diff mode.
    support: full
  idempotent:
    description: When run twice in a row with the same options, the second run changes nothing.
    support: full
  platform:
    description: Where the module runs.
    platforms: posix
    support: full
"""

    # For modules that only read.
    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode, and does the same there.
    support: full
    details:
      - The module changes nothing.
  diff_mode:
    description: Returns what is different before and after, when run in diff mode.
    support: N/A
    details:
      - The module changes nothing.
  idempotent:
    description: When run twice in a row with the same options, the second run changes nothing.
    support: full
    details:
      - The module changes nothing.
  platform:
    description: Where the module runs.
    platforms: posix
    support: full
"""

    # In addition, for every module that logs in to Azure.
    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description: Takes its options from C(group/vmguard.azure.azure) in C(module_defaults).
    support: full
    membership:
      - vmguard.azure.azure
"""
