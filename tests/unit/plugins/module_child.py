"""One run of a module in a process of its own, to be killed or interrupted; its options come on stdin.

The argument is the module's name. What it says is on stdout, as Ansible reads it. With HOLD set to
``put packs/ 3 before`` it says so on stdout, and waits, before the third object below ``packs/`` is put
into a repository in a folder; so with ``delete`` and ``after``.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from ansible.module_utils import basic
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore

HELD = "held"


def hold(method: str, prefix: str, number: int, when: str) -> None:
    act: Callable[..., Any] = getattr(FolderStore, method)
    calls = 0
    lock = threading.Lock()

    def held(store: FolderStore, name: str, *arguments: Any) -> Any:
        nonlocal calls
        with lock:
            calls += name.startswith(prefix)
            mine = name.startswith(prefix) and calls == number
        if mine and when == "before":
            wait(name)
        result = act(store, name, *arguments)
        if mine:
            wait(name)
        return result

    setattr(FolderStore, method, held)


def wait(name: str) -> None:
    sys.stdout.write(f"{HELD} {name}\n")
    sys.stdout.flush()
    threading.Event().wait()


def main() -> None:
    if place := os.environ.get("HOLD"):
        method, prefix, number, when = place.split()
        hold(method, prefix, int(number), when)
    arguments = {"ANSIBLE_MODULE_ARGS": json.load(sys.stdin)}
    basic._ANSIBLE_ARGS = json.dumps(arguments).encode()
    basic._ANSIBLE_PROFILE = "legacy"
    name = f"ansible_collections.vmguard.azure.plugins.modules.{sys.argv[1]}"
    importlib.import_module(name).main()


if __name__ == "__main__":
    main()
