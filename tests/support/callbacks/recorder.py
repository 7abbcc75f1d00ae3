"""Writes what every task did on every host, as one JSON object a line."""

from __future__ import annotations

import json
import os
import ssl
from typing import Any
from urllib.request import urlopen

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: recorder
type: notification
short_description: Record every task's outcome for a test
description:
  - Appends one JSON object a line to the file that E(PLAYBOOK_RECORD) names.
  - For a task in check mode it holds the writes that reached local Azure meanwhile.
"""


def _part(result: Any, name: str) -> Any:
    """Public since ansible-core 2.19."""
    return getattr(result, name) if hasattr(result, name) else getattr(result, f"_{name}")


class CallbackModule(CallbackBase):
    """The recorder; support.playbook reads what it writes."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "recorder"

    def __init__(self) -> None:
        super().__init__()
        # The number of the last request that was looked at.
        self._seen = 0

    def _writes(self) -> list[str]:
        """The requests with which somebody wrote since this was last asked."""
        url = f"{os.environ['AZURE_CLOUD_ENVIRONMENT']}/_local/audit?after={self._seen}"
        context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
        with urlopen(url, context=context, timeout=120) as answer:
            requests = json.load(answer)["requests"]
        self._seen += len(requests)
        return [f"{one['method']} {one['path']}" for one in requests if one["write"]]

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002
        if task.check_mode:
            self._writes()

    def _write(self, record: dict[str, Any]) -> None:
        with open(os.environ["PLAYBOOK_RECORD"], "a", encoding="utf-8") as file:
            file.write(json.dumps(record, default=str) + "\n")

    def _record(self, result: Any, outcome: str, ignored: bool = False) -> None:
        content, host, task = (_part(result, name) for name in ("result", "host", "task"))
        self._write(
            {
                "host": host.get_name(),
                "name": task.get_name(),
                "action": task.action,
                "outcome": "ignored" if ignored else outcome,
                "changed": bool(content.get("changed", False)),
                "check_mode": bool(task.check_mode),
                "writes": self._writes() if task.check_mode else [],
                "result": content,
            }
        )

    def v2_runner_on_ok(self, result: Any) -> None:
        self._record(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._record(result, "failed", ignore_errors)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._record(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._record(result, "unreachable")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._write({"stats": {host: stats.summarize(host) for host in sorted(stats.processed)}})
