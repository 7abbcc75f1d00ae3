"""The gate that every write of a module goes through, and how a module ends."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils import _module
from ansible_collections.vmguard.azure.plugins.module_utils._arm import client
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    AzureError,
    InputError,
    ObjectExists,
    WriteRefused,
)
from ansible_collections.vmguard.azure.plugins.module_utils._login import login


class Ended(Exception):
    """The module ended; ``result`` is what it said, ``failed`` how."""

    def __init__(self, result: dict[str, Any], *, failed: bool) -> None:
        super().__init__(result)
        self.result = result
        self.failed = failed


class FakeModule:
    """What Ansible hands to a module."""

    def __init__(self, *, check_mode: bool = False, **options: Any) -> None:
        self.check_mode = check_mode
        self.params: dict[str, Any] = {"wait_timeout": 7, **options}
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def exit_json(self, **result: Any) -> None:
        raise Ended(result, failed=False)

    def fail_json(self, **result: Any) -> None:
        raise Ended(result, failed=True)


def task_of(**options: Any) -> _module.Task:
    return _module.Task(FakeModule(**options))  # type: ignore[arg-type]


def ended(task: _module.Task, result: dict[str, Any] | None = None) -> dict[str, Any]:
    with pytest.raises(Ended) as end:
        task.exit(result or {})
    assert not end.value.failed
    return end.value.result


def test_a_write_is_done_and_counted() -> None:
    task, done = task_of(), list[int]()
    assert task.write(lambda: done.append(1) or "made", "foreseen") == "made"
    assert done == [1] and ended(task, {"a": 1}) == {"changed": True, "a": 1}


def test_in_check_mode_a_write_is_counted_and_not_done() -> None:
    task, done = task_of(check_mode=True), list[int]()
    assert task.write(lambda: done.append(1), "foreseen") == "foreseen"
    assert done == [] and ended(task)["changed"] is True


@pytest.mark.parametrize("check_mode", [False, True])
def test_without_a_write_nothing_changed(check_mode: bool) -> None:
    assert ended(task_of(check_mode=check_mode)) == {"changed": False}


def test_a_write_that_failed_counts_for_nothing() -> None:
    task = task_of()

    def fail() -> None:
        raise AzureError("No.")

    with pytest.raises(AzureError):
        task.write(fail)
    assert not task.changed


def test_a_diff_shows_both_sides_and_absence_as_empty() -> None:
    task = task_of()
    task.diff(None, {"a": 1})
    assert ended(task)["diff"] == {"before": {}, "after": {"a": 1}}


def test_equal_sides_are_no_diff() -> None:
    task = task_of()
    task.diff({"a": 1}, {"a": 1})
    assert "diff" not in ended(task)


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_client_writes_only_outside_of_check_mode(
    monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    given: dict[str, Any] = {}

    class Recorder:
        def __init__(self, _login: Any, **options: Any) -> None:
            given.update(options)

    monkeypatch.setattr(client, "ArmClient", Recorder)
    monkeypatch.setattr(login, "resolve_login", lambda _params, _environ: None)
    task = task_of(check_mode=check_mode)
    assert task.arm is task.arm
    told = given.pop("on_write")
    assert given == {"clock": task.clock, "wait_timeout": 7, "read_only": check_mode}
    assert failed(task)["changed"] is False
    told()
    assert failed(task)["changed"] is True


def failed(task: _module.Task) -> dict[str, Any]:
    with pytest.raises(Ended) as end:
        task.fail(AzureError("No."))
    return end.value.result


def test_what_was_stored_before_a_failure_is_a_change(tmp_path: Path) -> None:
    place = {"type": "folder", "path": str(tmp_path / "repository")}
    task = task_of(repository=place)
    task.store.prepare()
    for name in ("leases/a/1", "ledgers/a/b.1"):
        task.store.put(name, b"1")
        task.store.delete(name)
    assert failed(task)["changed"] is False
    task.store.put("packs/a", b"1")
    assert failed(task)["changed"] is True
    second = task_of(repository=place)
    with pytest.raises(ObjectExists):
        second.store.put("packs/a", b"2")
    assert failed(second)["changed"] is False
    second.store.delete("packs/a")
    assert failed(second)["changed"] is True


def test_a_failure_says_what_to_do_and_keeps_what_is_known() -> None:
    task = task_of()
    error = InputError("It is wrong.", code="Wrong", hint="Do it right.")
    error.result = {"vm": "known"}  # type: ignore[attr-defined]
    with pytest.raises(Ended) as end:
        task.fail(error)
    result = end.value.result
    assert end.value.failed and result["msg"] == "It is wrong. Do it right."
    assert result["failure"]["code"] == "Wrong" and result["vm"] == "known"
    assert result["changed"] is False


def run(
    monkeypatch: pytest.MonkeyPatch, act: Any, *, waits: bool = False, **options: Any
) -> tuple[Ended, dict[str, Any]]:
    """How a module with this act ends, and what AnsibleModule was made with."""
    made: dict[str, Any] = {}

    def factory(**given: Any) -> FakeModule:
        made.update(given)
        return FakeModule(**options)

    monkeypatch.setattr(_module, "Module", factory)
    with pytest.raises(Ended) as end:
        _module.run_module(act, {"own": {}}, waits=waits, mutually_exclusive=[("a", "b")])
    return end.value, made


def test_every_module_has_the_login_options_and_check_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end, made = run(monkeypatch, lambda _task: {"a": 1})
    assert end.result == {"changed": False, "a": 1}
    assert made["supports_check_mode"] is True and made["mutually_exclusive"] == [("a", "b")]
    assert {"own", "subscription_id", "secret"} <= made["argument_spec"].keys()
    assert made["argument_spec"]["secret"]["no_log"] is True
    assert "wait" not in made["argument_spec"]
    assert "wait" in run(monkeypatch, lambda _task: {}, waits=True)[1]["argument_spec"]


def test_an_error_of_the_engine_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_task: _module.Task) -> dict[str, Any]:
        raise WriteRefused("Check mode: PUT was not sent.")

    end, _made = run(monkeypatch, refuse)
    assert end.failed and end.result["failure"]["code"] == "WriteRefused"


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_wait_of_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    begun: list[int] = []
    end, _made = run(monkeypatch, lambda _task: begun.append(1) or {}, wait_timeout=seconds)
    assert end.failed and begun == []
    assert end.result["failure"]["code"] == "InvalidInput"
    assert f"wait_timeout is {seconds}" in end.result["msg"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_a_signal_is_an_exception_once_and_then_what_it_was(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    undone: list[str] = []
    before = signal.getsignal(number)

    def act(_task: _module.Task) -> dict[str, Any]:
        try:
            signal.raise_signal(number)
        finally:
            if number == signal.SIGTERM:
                signal.raise_signal(number)
            undone.append("all of it")
        return {}

    end, _made = run(monkeypatch, act)
    assert end.failed and end.result["failure"]["code"] == "Interrupted"
    assert undone == ["all of it"] and signal.getsignal(number) is before


def test_outside_of_the_main_thread_signals_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ThreadPoolExecutor(1) as pool:
        end, _made = pool.submit(run, monkeypatch, lambda _task: {"a": 1}).result()
    assert end.result == {"changed": False, "a": 1}


def test_a_mistake_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_module, "Module", lambda **_options: FakeModule())
    with pytest.raises(ZeroDivisionError):
        _module.run_module(lambda _task: {"a": 1 // 0}, {})
