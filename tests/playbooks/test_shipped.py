"""The collection's own playbooks: foretold, done, and nothing left to do; on one machine and many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.playbook import PlaybookRun
from support.stage import Stage
from tools import tree

NEW_VM = {"restore_target": "new_vm"}
IN_PLACE = {"restore_target": "in_place", "restore_allow_stop": True}
DISKS = {"restore_target": "disks"}
REPOSITORY = {
    "type": "folder",
    "path": "{{ folder }}/repository",
    "passphrase": "made up for a test",
}
IMAGE_BACKUP = {"image_backup_repository": REPOSITORY}
IMAGE_BACKUP_IN_CLEAR = {"image_backup_repository": {**REPOSITORY, "passphrase": None}}
FROM_BACKUP = {**IMAGE_BACKUP, "restore_source": "backup", "restore_repository": REPOSITORY}
FILES = {
    "restore_target": "files",
    "restore_directory": "{{ folder }}/restored-{{ inventory_hostname }}",
}


@dataclass(frozen=True)
class Case:
    """A playbook with its variables."""

    playbook: str
    variables: dict[str, Any] = field(default_factory=dict)


# The cases of one test follow each other in one local Azure: a restore takes what was protected before.
CASES = {
    "restore-points": [
        Case("snapshot"),
        Case("restore", NEW_VM),
        Case("restore", DISKS),
        Case("restore", IN_PLACE),
    ],
    "restore-points-by-name": [Case("snapshot", {"snapshot_name": "before-upgrade"})],
    "image-backups": [
        Case("image_backup", {**IMAGE_BACKUP, "image_backup_verify": True}),
        Case("restore", {**FROM_BACKUP, **FILES}),
        Case("restore", {**FROM_BACKUP, **NEW_VM}),
        Case("restore", {**FROM_BACKUP, **DISKS}),
        Case("restore", {**FROM_BACKUP, **IN_PLACE}),
    ],
    "image-backups-of-points": [
        Case("image_backup", {**IMAGE_BACKUP_IN_CLEAR, "image_backup_source": "restore_point"})
    ],
}


@pytest.fixture
def inventory(stage: Stage, tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Writes an inventory of the stage's Linux machines and others; returns ansible's option."""

    def write(*others: str, **variables: Any) -> tuple[str, str]:
        names = (stage.vm.name, stage.other_vm.name, *others)
        variables["vmguard_resource_group"] = stage.variables["resource_group"]
        hosts = {"hosts": {name: {} for name in names}, "vars": variables}
        path = tmp_path / "inventory.yml"
        path.write_text(yaml.safe_dump({"all": hosts}))
        return "--inventory", str(path)

    return write


# It protects nothing, and asks Azure the same again each time: test_prove.py.
ASKS = {"prove_azure"}


def test_every_shipped_playbook_has_a_case() -> None:
    shipped = {path.stem for path in (tree.ROOT / "playbooks").glob("*.yml")}
    assert {case.playbook for cases in CASES.values() for case in cases} == shipped - ASKS


@pytest.mark.parametrize("cases", CASES.values(), ids=CASES)
def test_check_mode_foretells_and_the_second_run_changes_nothing(
    stage: Stage, inventory: Callable[..., tuple[str, str]], cases: list[Case]
) -> None:
    machines = inventory()
    for case in cases:
        foretold, done, again = (
            run_case(stage, machines, case, *options) for options in (("--check", "--diff"), (), ())
        )
        assert done.changes == foretold.changes, case
        assert {host for host, _task in done.changes} == {stage.vm.name, stage.other_vm.name}, case
        assert again.changes == [], again.stdout
        assert again.total("changed") == 0
        stage.assert_sound()


def run_case(stage: Stage, machines: tuple[str, str], case: Case, *options: str) -> PlaybookRun:
    """One run, which succeeds; in check mode it sends no write."""
    last = stage.last_request()
    run = stage.run(tree.fqcn(case.playbook), *machines, *options, **case.variables)
    assert run.rc == 0, run.stdout
    if "--check" in options:
        assert stage.writes(after=last) == []
    return run


def test_files_come_back_in_place(stage: Stage, inventory: Callable[..., tuple[str, str]]) -> None:
    stage.run(tree.fqcn("snapshot"), *inventory())
    stage.machines.damage(stage.other_vm)

    # The second run must not take its own safety restore point for the latest one.
    for expected in (True, False):
        run = stage.run(
            tree.fqcn("restore"), *inventory(), "--limit", stage.other_vm.name, **IN_PLACE
        )
        assert run.rc == 0, run.stdout
        assert bool(run.total("changed")) is expected
        stage.machines.check(stage.other_vm)


def test_files_come_back_in_a_new_machine(stage: Stage) -> None:
    chosen = {**stage.variables, "vmguard_vms": stage.vm.name}
    chosen["vmguard_resource_group"] = chosen["resource_group"]
    stage.run(tree.fqcn("snapshot"), **chosen)
    stage.machines.damage(stage.vm)

    run = stage.run(tree.fqcn("restore"), **chosen, **NEW_VM)

    assert run.rc == 0, run.stdout
    restored = run.results("vm_restore")[stage.vm.name]["vm"]
    assert restored["name"] == f"{stage.vm.name}-restored"
    stage.machines.check(stage.vm, vm_id=restored["id"])
    stage.assert_sound()


def test_one_machine_fails_and_the_others_are_protected(
    stage: Stage, inventory: Callable[..., tuple[str, str]]
) -> None:
    run = stage.run(tree.fqcn("snapshot"), *inventory("vm-gone"))

    assert run.rc == 2, run.stdout
    assert [task.host for task in run.failed] == ["vm-gone"]
    assert "vm-gone" in run.failed[0].result["msg"]
    points = run.results("restore_point")
    assert points[stage.vm.name]["restore_point"]["ready_to_use"]
    assert points[stage.other_vm.name]["restore_point"]["ready_to_use"]


def test_one_machine_fails_and_the_others_are_backed_up(
    stage: Stage, inventory: Callable[..., tuple[str, str]]
) -> None:
    machines = inventory("vm-gone")
    run = stage.run(tree.fqcn("image_backup"), *machines, **IMAGE_BACKUP, image_backup_verify=True)

    assert run.rc == 2, run.stdout
    assert [task.host for task in run.failed] == ["vm-gone"]
    backups = run.results("disk_snapshot_backup")
    for machine in (stage.vm, stage.other_vm):
        assert backups[machine.name]["ready_to_use"]
        assert run.results("backup_verify")[machine.name]["sound"]
    assert len({backups[one.name]["repository_id"] for one in (stage.vm, stage.other_vm)}) == 1
    stage.assert_sound()


def test_how_to_log_in_to_the_guests_does_not_matter(
    stage: Stage, inventory: Callable[..., tuple[str, str]]
) -> None:
    machines = inventory(
        ansible_become=True,
        ansible_connection="winrm",
        ansible_host="192.0.2.1",
        ansible_python_interpreter="/usr/bin/no-python",
        ansible_shell_type="powershell",
    )
    run = stage.run(tree.fqcn("snapshot"), *machines)
    assert run.rc == 0, run.stdout


SELECTIONS: list[tuple[dict[str, Any], set[str]]] = [
    ({"vmguard_vms": "vm-app, vm-win"}, {"vm-app", "vm-win"}),
    ({"vmguard_vms": ["vm-db"]}, {"vm-db"}),
    ({"vmguard_include": "vm-.*", "vmguard_exclude": ".*win"}, {"vm-app", "vm-db"}),
    ({"vmguard_tags": ["tier:db"]}, {"vm-db"}),
]


def test_machines_are_selected_by_name_pattern_and_tag(stage: Stage) -> None:
    for variables, names in SELECTIONS:
        run = stage.run(tree.fqcn("snapshot"), "--check", **variables)
        assert run.rc == 0, run.stdout
        assert {host for host, _task in run.changes} == names, variables


def test_protecting_nothing_is_a_failure(stage: Stage) -> None:
    for variables in ({}, {"vmguard_include": "nothing"}):
        run = stage.run(tree.fqcn("snapshot"), **variables)
        assert run.rc == 2
        assert "No virtual machine is selected" in run.failed[0].result["msg"], variables
