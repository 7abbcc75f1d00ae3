"""What a module says of itself: its merged documentation, and the arguments it really takes."""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from ansible.module_utils.basic import AnsibleModule

from tools import tree


class _Stop(BaseException):
    """Ends a module at the moment it creates its AnsibleModule."""


def arguments(module: str) -> dict[str, Any]:
    """What the module hands to AnsibleModule: ``argument_spec``, ``required_if`` and so on."""
    collection = tree.galaxy()
    package = f"ansible_collections.{collection['namespace']}.{collection['name']}"
    program = importlib.import_module(f"{package}.plugins.modules.{module}")
    taken: dict[str, Any] = {}

    def stop(_self: AnsibleModule, argument_spec: dict[str, Any], **others: Any) -> None:
        taken.update(others, argument_spec=argument_spec)
        raise _Stop

    with mock.patch.object(AnsibleModule, "__init__", stop):
        try:
            program.main()
        except _Stop:
            return taken
    raise AssertionError(f"{module}: main() never creates an AnsibleModule.")


@functools.cache
def documentation() -> dict[str, dict[str, Any]]:
    """By module: ``doc`` with its fragments merged, ``examples``, ``return``; what parses."""
    names = tree.modules()
    if not names:
        return {}
    tree.link()
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(tree.COLLECTIONS),
        "ANSIBLE_HOME": str(tree.ROOT / "build" / "ansible"),
    }
    command = [str(Path(sys.executable).with_name("ansible-doc")), "--json", "--type", "module"]
    command += [tree.fqcn(name) for name in names]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return {name.rpartition(".")[2]: parts for name, parts in json.loads(done.stdout).items()}
