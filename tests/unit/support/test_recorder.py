"""The record of a playbook holds the writes that arrived while a task ran in check mode."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local_azure.launcher import LocalAzure
from support.arm import Arm
from support.callbacks.recorder import CallbackModule


def task(check_mode: bool) -> Any:
    return SimpleNamespace(
        check_mode=check_mode, action="some.module", get_name=lambda: "Some task"
    )


def result(of: Any) -> Any:
    return SimpleNamespace(
        host=SimpleNamespace(get_name=lambda: "localhost"), task=of, result={"changed": True}
    )


def test_writes_are_recorded_with_the_task_in_check_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "record"
    with LocalAzure() as local:
        for name, value in {**local.environment(), "PLAYBOOK_RECORD": str(record)}.items():
            monkeypatch.setenv(name, value)
        arm = Arm(local)
        recorder = CallbackModule()
        for number, check_mode in enumerate((False, True, True)):
            arm.make_group(f"before-{number}", "westeurope")
            one = task(check_mode)
            recorder.v2_playbook_on_task_start(one, False)
            if number < 2:
                arm.make_group(f"meanwhile-{number}", "westeurope")
            recorder.v2_runner_on_ok(result(one))
    found = [json.loads(line) for line in record.read_text().splitlines()]
    assert [one["check_mode"] for one in found] == [False, True, True]
    # What is written in earnest is nobody's business; what came before a task is not its own.
    assert found[0]["writes"] == [] and found[2]["writes"] == []
    (write,) = found[1]["writes"]
    assert write.startswith("PUT /subscriptions/") and write.endswith("/meanwhile-1")
