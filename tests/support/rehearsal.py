"""Two machines, ``web`` and ``db``, to protect, damage and restore.

``python -m support.rehearsal start FOLDER`` runs them in a local Azure in the background, until
``stop FOLDER``; ``damage FOLDER`` and ``check FOLDER name=vm-id...`` are for between.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from local_azure.control_client import ControlClient

from .machines import Machine, Machines

GROUP = "shop"
MACHINES: dict[str, dict[str, Any]] = {
    "web": {"data_disks": 0, "seed": 1},
    "db": {"data_disks": 2, "seed": 2},
}
_STARTING_SECONDS = 60
_LAST_LINE = "Interrupt to stop"
_TESTS = Path(__file__).resolve().parents[1]


class Background:
    """A local Azure in a process of its own; what is known of it lies in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state = folder / "state.json"
        self._log = folder / "local-azure.log"

    def start(self) -> None:
        """Start it, make the machines, and note how to reach it.

        Raises:
            RuntimeError: when it does not start; the message is what it said.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "local_azure", "--no-storage"],
                env={**os.environ, "PYTHONPATH": str(_TESTS), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._note({"pid": process.pid, "environment": {}})
        self._note({"pid": process.pid, "environment": self._wait_for_environment(process)})
        machines = self.machines()
        for name, options in MACHINES.items():
            machines.create(GROUP, name, **options)

    def _wait_for_environment(self, process: subprocess.Popen[bytes]) -> dict[str, str]:
        deadline = time.monotonic() + _STARTING_SECONDS
        while _LAST_LINE not in self._log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Local Azure did not start:\n{self._log.read_text()}")
            time.sleep(0.05)
        lines = [shlex.split(line) for line in self._log.read_text().splitlines()]
        exports = [line[1] for line in lines if len(line) == 2 and line[0] == "export"]
        return dict(export.split("=", 1) for export in exports)

    def _note(self, state: dict[str, Any]) -> None:
        self._state.write_text(json.dumps(state))

    def _noted(self) -> dict[str, Any]:
        return json.loads(self._state.read_text())

    def stop(self) -> None:
        """Stop it, if it runs, and remove the folder."""
        if self._state.exists():
            pid = self._noted()["pid"]
            if _is_local_azure(pid):
                os.kill(pid, signal.SIGTERM)
                while _is_local_azure(pid):
                    time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)

    def control(self) -> ControlClient:
        found = self._noted()["environment"]
        return ControlClient(
            found["AZURE_CLOUD_ENVIRONMENT"],
            Path(found["REQUESTS_CA_BUNDLE"]),
            found["AZURE_SUBSCRIPTION_ID"],
        )

    def machines(self) -> Machines:
        return Machines(self.control(), self.folder)

    def known(self) -> dict[str, Machine]:
        """The machines as they were in the beginning."""
        machines = self.machines()
        return {
            name: machines.describe(GROUP, name, **options) for name, options in MACHINES.items()
        }


def _is_local_azure(pid: int) -> bool:
    """Whether this process still runs and is what was started, not a later one of its number."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"local_azure" in words


def check(background: Background, restored: dict[str, str]) -> str:
    """Compare machines with the beginning; says what was compared.

    Args:
        restored: by name of a machine, the id of the one that has its disks now.
    """
    known, machines = background.known(), background.machines()
    counts = [machines.check(known[name], vm_id) for name, vm_id in restored.items()]
    audit = background.control().audit()
    if audit["crashes"] or audit["active_sas"]:
        raise RuntimeError(f"Left behind: {audit['active_sas']}; crashes: {audit['crashes']}")
    return f"{sum(counts)} files on {len(counts)} machines are what they were"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="rehearsal")
    parser.add_argument("act", choices=("start", "damage", "check", "stop"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("restored", nargs="*", help="name=vm-id, for check")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    background = Background(arguments.folder)
    if arguments.act == "start":
        background.start()
    elif arguments.act == "stop":
        background.stop()
    elif arguments.act == "check":
        told = check(background, dict(pair.split("=", 1) for pair in arguments.restored))
        sys.stdout.write(f"{told}\n")
    else:
        for machine in background.known().values():
            background.machines().damage(machine)
        (background.folder / "damaged").touch()


if __name__ == "__main__":
    main()
