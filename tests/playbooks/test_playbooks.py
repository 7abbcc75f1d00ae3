"""Every module's playbook, in check mode and for real. README.md says how one is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.stage import Stage
from support.sweep import all_of_them
from tools import tree

# What its options alone decide is the same in check mode, and not done twice.
REFUSAL = "refusal"
CHECKED_WHOLE = ("backup_verify", "disk_snapshot_backup", "restore_point")
PLAYBOOKS = sorted(Path(__file__).parent.glob("*.yml"))


every_playbook = pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)


@every_playbook
def test_playbook_writes_nothing_in_check_mode_and_works_and_cleans_up(
    stage: Stage, playbook: Path
) -> None:
    before = stage.kept()
    # A module that only reads would do the same in a run that is all check mode: a task is enough. Each
    # other has tasks in check mode as well; make faults runs all of them a second time that way.
    if playbook.stem in CHECKED_WHOLE or (all_of_them() and not playbook.stem.endswith("_info")):
        assert_check_mode_writes_nothing(stage, playbook)
        assert stage.kept() == before

    run = stage.run(playbook)
    assert run.rc == 0, run.stdout
    assert run.failed == [], run.stdout
    in_check_mode = [one for one in run.tasks if one.check_mode and one.outcome != "skipped"]
    assert [one for one in in_check_mode if one.writes] == []
    if playbook.stem.endswith("_info"):
        assert tree.fqcn(playbook.stem) in {one.action for one in in_check_mode}
    assert stage.kept() == before
    stage.assert_clean()


def assert_check_mode_writes_nothing(stage: Stage, playbook: Path) -> None:
    last = stage.last_request()
    places = {"folder": stage.empty_folder("check"), "container": "check"}
    run = stage.run(playbook, "--check", "--diff", "--skip-tags", REFUSAL, **places)
    assert run.rc == 0, run.stdout
    assert run.failed == [], run.stdout
    assert stage.writes(after=last) == []
    stage.assert_clean()
