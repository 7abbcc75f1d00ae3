# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """The option of modules that only read."""

    DOCUMENTATION = r"""
options:
  query:
    description:
      - A JMESPath expression over the result, as in C(az --query). Its answer is returned as
        RV(ignore:query_result), beside the whole result.
      - It needs the Python package jmespath.
    type: str
"""
