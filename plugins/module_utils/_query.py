# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JMESPath over a module's result. Private to this collection."""

from __future__ import annotations

from typing import Any

from ._errors import InputError, missing_library


def apply_query(expression: str | None, result: dict[str, Any]) -> dict[str, Any]:
    """Return the result, with the answer to the expression under ``query_result``.

    Without an expression the result comes back as it is, without that key.

    Raises:
        InputError: the expression is no JMESPath, or a function in it got a wrong argument.
        MissingLibrary: jmespath is not installed.
    """
    if expression is None:
        return result
    try:
        import jmespath
    except ImportError as error:
        raise missing_library("jmespath", "for the option query") from error
    try:
        answer = jmespath.search(expression, result)
    except (jmespath.exceptions.JMESPathError, ValueError, TypeError) as error:
        detail = " ".join(str(error).split())
        raise InputError(
            f"The option query is no valid JMESPath expression: {detail}",
            hint="The language is described at https://jmespath.org.",
        ) from error
    return {**result, "query_result": answer}
