"""Restores to files in processes of their own, that end in the middle: a JSON list of runs from stdin.

Each run is a fork. At its n-th step in the file system (``at``) it is killed, stopped, or the step
fails with an error of the system (``how``: kill, stop, fail). With ``no links`` it meets a file system
that has no hard links. What each run came to is a line of JSON.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from ansible_collections.vmguard.azure.plugins.module_utils._clock import SystemClock
from ansible_collections.vmguard.azure.plugins.module_utils._errors import VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._restore.source.backup import (
    BackupWanted,
    find_backup,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.targets.files import (
    FilesRequest,
    restore_files,
)
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore

CHANGES = ("os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
OTHERS = ("fcntl.flock", "subprocess.Popen")


class Steps:
    """Counts the steps of a run in the file system, and does what is to be done at one of them."""

    def __init__(self, roots: tuple[str, ...], at: int | None, how: str) -> None:
        self._roots = roots
        self._at = at
        self._how = how
        self.count = 0

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path = str(args[0])
            counts = path.startswith(self._roots) or ("/" not in path and args[1] is None)
        else:
            counts = event in CHANGES or event in OTHERS
        if not counts:
            return
        self.count += 1
        if self._how == "no links" and event == "os.link":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        if self.count != self._at:
            return
        if self._how == "fail":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.kill(os.getpid(), signal.SIGKILL if self._how == "kill" else signal.SIGSTOP)


def restore(run: dict[str, Any]) -> dict[str, Any]:
    if "limit" in run:
        resource.setrlimit(resource.RLIMIT_FSIZE, (run["limit"], run["limit"]))
    repository = Repository.open(FolderStore(run["repository"]), None)
    point = find_backup(BackupWanted(repository, None, None, run["backup"], None))
    request = FilesRequest(directory=run["directory"], workers=2, **run.get("options", {}))
    roots = (run["repository"], run["directory"])
    steps = Steps(roots, run.get("at"), run.get("how", "kill"))
    sys.addaudithook(steps)
    done: dict[str, Any] = {"code": None}
    try:
        outcome = restore_files(repository, point, request, SystemClock(), lambda act: act())
        done["made"] = outcome.made
    except VmguardError as error:
        done.update(code=error.code, message=error.message, hint=error.hint)
    steps._at = None
    folder = Path(run["directory"])
    left = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else None
    return {**done, "steps": steps.count, "left": left}


def say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def fork(run: dict[str, Any]) -> None:
    child = os.fork()
    if child == 0:
        try:
            say(restore(run))
        except BaseException:
            say({"code": "Traceback", "message": traceback.format_exc()})
            raise
        finally:
            os._exit(0)
    _child, status = os.waitpid(child, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        say({"code": "stopped"})
        sys.stdin.readline()
        os.kill(child, signal.SIGCONT)
        _child, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        say({"code": "killed"})


def main() -> None:
    for run in json.loads(sys.stdin.readline()):
        fork(run)


if __name__ == "__main__":
    main()
