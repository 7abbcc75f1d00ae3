"""What `make cores` says of an ansible-core that this machine cannot run."""

from __future__ import annotations

import sys

import pytest

from tools import cores, tree


def test_a_core_without_a_python_is_told_and_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cores, "find_python", lambda _version: None)
    assert cores.main(["2.17"]) == 1
    told = "ansible-core 2.17 SKIPPED: this machine has no Python 3.10, 3.11 or 3.12."
    assert told in capsys.readouterr().out


def test_pythons_are_found_by_their_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.find_python("9.9") is None
    monkeypatch.setattr(cores.shutil, "which", lambda _name: sys.executable)
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert str(cores.find_python(ours)) == sys.executable


def test_the_oldest_core_is_the_one_that_is_promised() -> None:
    promised = (tree.ROOT / "meta" / "runtime.yml").read_text()
    assert f'requires_ansible: ">={min(set(cores.CORES) - {"newest"})}.0"' in promised
