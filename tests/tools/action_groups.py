"""Writes the action group of meta/runtime.yml from the modules there are, or checks it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import tree

GROUP = "azure"
HEADING = "action_groups:\n"


def render(text: str, modules: list[str]) -> str:
    """The file's text with the group of these modules; what stands above it is kept."""
    head, found, _old = text.partition(HEADING)
    if not found:
        raise ValueError("meta/runtime.yml has no line 'action_groups:' to write under.")
    if not modules:
        return f"{head}{HEADING}  {GROUP}: []\n"
    members = "".join(f"    - {module}\n" for module in modules)
    return f"{head}{HEADING}  {GROUP}:\n{members}"


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 1 when a check finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="bring the file up to date")
    action.add_argument("--check", action="store_true", help="fail when it is not")
    options = parser.parse_args(arguments)

    runtime = tree.ROOT / "meta" / "runtime.yml"
    old = runtime.read_text()
    new = render(old, tree.modules())
    yaml.safe_load(new)
    if new == old:
        return 0
    if options.write:
        runtime.write_text(new)
        return 0
    print("meta/runtime.yml does not list the modules there are: run `make action-groups`.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
