"""Every module's playbook, for real and in check mode. README.md says how one is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.stage import Stage

PLAYBOOKS = sorted(Path(__file__).parent.glob("*.yml"))

every_playbook = pytest.mark.parametrize(
    "playbook", PLAYBOOKS, ids=[playbook.stem for playbook in PLAYBOOKS]
)


@every_playbook
def test_playbook_works_and_cleans_up(stage: Stage, playbook: Path) -> None:
    before = stage.kept()
    run = stage.run(playbook)
    assert run.rc == 0, run.stdout
    assert run.failed == [], run.stdout
    stage.assert_clean()
    assert stage.kept() == before


@every_playbook
def test_playbook_writes_nothing_in_check_mode(stage: Stage, playbook: Path) -> None:
    before, last = stage.kept(), stage.last_request()
    run = stage.run(playbook, "--check", "--diff")
    assert run.rc == 0, run.stdout
    assert run.failed == [], run.stdout
    assert stage.writes(after=last) == []
    assert stage.kept() == before
    stage.assert_clean()
