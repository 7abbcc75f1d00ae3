"""Every module's playbook, in check mode and for real. README.md says how one is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.stage import Stage

# What its options alone decide is the same in check mode, and not done twice.
REFUSAL = "refusal"
PLAYBOOKS = sorted(Path(__file__).parent.glob("*.yml"))


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=[playbook.stem for playbook in PLAYBOOKS])
def test_playbook_writes_nothing_in_check_mode_and_works_and_cleans_up(
    stage: Stage, playbook: Path
) -> None:
    before, last = stage.kept(), stage.last_request()
    places = {"folder": stage.empty_folder("check"), "container": "check"}
    checked = stage.run(playbook, "--check", "--diff", "--skip-tags", REFUSAL, **places)
    assert checked.rc == 0, checked.stdout
    assert checked.failed == [], checked.stdout
    assert stage.writes(after=last) == []
    assert stage.kept() == before
    stage.assert_clean()

    run = stage.run(playbook)
    assert run.rc == 0, run.stdout
    assert run.failed == [], run.stdout
    # It did write: what check mode did not send is what the playbook is about.
    assert stage.writes(after=last) or not checked.changes
    assert stage.kept() == before
    stage.assert_clean()
