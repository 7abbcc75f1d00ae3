"""Runs ansible-playbook against one local Azure, and tells what each task did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_azure.launcher import LocalAzure
from tools import tree

_CALLBACKS = Path(__file__).with_name("callbacks")
# The programs of another ansible-core than that of the tests, which `make cores` names.
PROGRAMS = Path(os.environ.get("VMGUARD_ANSIBLE") or Path(sys.executable).parent)


@dataclass(frozen=True)
class TaskRecord:
    """One task on one host; ``outcome`` is ok, failed, ignored, skipped or unreachable.

    ``writes`` are the requests that changed something while the task ran, if it was in check mode.
    """

    host: str
    name: str
    action: str
    outcome: str
    changed: bool
    check_mode: bool
    writes: list[str]
    result: dict[str, Any]


@dataclass
class PlaybookRun:
    """What came of one ansible-playbook."""

    rc: int
    stdout: str
    stats: dict[str, dict[str, int]] = field(default_factory=dict)
    tasks: list[TaskRecord] = field(default_factory=list)

    def total(self, counter: str) -> int:
        """One column of the recap over all hosts: ok, changed, failures, rescued, ..."""
        return sum(host[counter] for host in self.stats.values())

    @property
    def failed(self) -> list[TaskRecord]:
        """The tasks that failed, without those whose errors are ignored."""
        return [task for task in self.tasks if task.outcome in ("failed", "unreachable")]

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Host and name of each task that changed something, or would have in check mode."""
        return sorted((task.host, task.name) for task in self.tasks if task.changed)

    def results(self, module: str) -> dict[str, dict[str, Any]]:
        """By host, the last result of one of the collection's modules."""
        name = tree.fqcn(module)
        return {
            task.host: task.result
            for task in self.tasks
            if task.action == name and task.outcome != "skipped"
        }


def run_playbook(
    playbook: Path | str,
    local: LocalAzure,
    *options: str,
    variables: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
) -> PlaybookRun:
    """Run a playbook, by path or by full name, as a user of this local Azure would.

    Args:
        options: further options of ansible-playbook, such as ``--check``.
        variables: extra variables.
        environment: variables on top of those that reach this local Azure.
    """
    tree.link()
    with tempfile.TemporaryDirectory(prefix="playbook-") as name:
        home = Path(name)
        record = home / "record"
        record.touch()
        (home / "ansible.cfg").touch()
        extra = home / "variables.json"
        extra.write_text(json.dumps(variables or {}))
        program = PROGRAMS / "ansible-playbook"
        rc, stdout = _finish(
            [str(program), "--extra-vars", f"@{extra}", *options, str(playbook)],
            {**_environment(local, home, record), **(environment or {})},
        )
        run = PlaybookRun(rc, stdout)
        for line in record.read_text().splitlines():
            content = json.loads(line)
            if "stats" in content:
                run.stats = content["stats"]
            else:
                run.tasks.append(TaskRecord(**content))
        return run


def _finish(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run to the end. When this process is interrupted, let Ansible stop its workers first."""
    with subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            stdout, _unused = process.communicate()
        except BaseException:
            process.terminate()
            process.communicate()
            raise
    return process.returncode, stdout


def _environment(local: LocalAzure, home: Path, record: Path) -> dict[str, str]:
    """No configuration of whoever runs the tests, and nothing written outside ``home``."""
    kept = {
        name: value
        for name, value in local.process_environment().items()
        if not name.startswith("ANSIBLE_")
    }
    return {
        **kept,
        "ANSIBLE_CALLBACKS_ENABLED": "recorder",
        "ANSIBLE_CALLBACK_PLUGINS": str(_CALLBACKS),
        "ANSIBLE_COLLECTIONS_PATH": str(tree.COLLECTIONS),
        "ANSIBLE_COLLECTIONS_SCAN_SYS_PATH": "false",
        "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_PYTHON_INTERPRETER": str(PROGRAMS / "python"),
        "ANSIBLE_REMOTE_TEMP": str(home / "tmp"),
        "HOME": str(home),
        "PLAYBOOK_RECORD": str(record),
        "TMPDIR": str(home),
    }
