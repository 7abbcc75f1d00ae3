"""The shipped playbooks and their roles, by a login that has just the role of docs/permissions.md."""

from __future__ import annotations

import json
from typing import Any

from support.playbook import PlaybookRun, run_playbook
from support.stage import Stage
from tools import tree

CLIENT, SECRET = "11111111-0000-4000-8000-00000000000b", "made up for a test"
REPOSITORY = {"type": "folder", "path": "{{ folder }}/repository"}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("restore-points", "snapshot", {}),
    ("image-backup-snapshots", "image_backup", {"image_backup_repository": REPOSITORY}),
    ("restore-new-machine", "restore", {"restore_target": "new_vm"}),
]
# It makes machines, networks and groups of its own, and needs Contributor: docs/prove.md.
OF_AN_OWNER = {"prove_azure"}


def test_every_shipped_playbook_has_a_case() -> None:
    shipped = {path.stem for path in (tree.ROOT / "playbooks").glob("*.yml")}
    assert {playbook for _role, playbook, _variables in CASES} == shipped - OF_AN_OWNER


def run_as(
    stage: Stage, role: str, playbook: str, *, without: str = "", **variables: Any
) -> PlaybookRun:
    """One run for one machine, by who has this role on its group, and that of the subscription."""
    subscription = f"/subscriptions/{stage.local.config.subscription}"
    group = stage.variables["resource_group"]
    roles = []
    for name, scope in (
        ("subscription", subscription),
        (role, f"{subscription}/resourceGroups/{group}"),
    ):
        written = json.loads((tree.ROOT / "docs" / "roles" / f"{name}.json").read_text())
        actions = [action for action in written["Actions"] if action != without]
        roles.append({"name": written["Name"], "actions": actions, "scope": scope})
    stage.local.control.login(CLIENT, SECRET, roles)
    chosen = {"vmguard_resource_group": group, "vmguard_vms": stage.vm.name}
    return run_playbook(
        tree.fqcn(playbook),
        stage.local,
        variables={**stage.variables, **chosen, **variables},
        environment={"AZURE_CLIENT_ID": CLIENT, "AZURE_SECRET": SECRET},
    )


def test_the_playbooks_run_with_their_roles_alone(stage: Stage) -> None:
    for role, playbook, variables in CASES:
        run = run_as(stage, role, playbook, **variables)
        assert run.rc == 0, run.stdout
        assert {host for host, _task in run.changes} == {stage.vm.name}, run.stdout
        assert "Authorization" not in run.stdout, run.stdout
    stage.assert_sound()


def test_a_playbook_names_the_action_that_is_missing(stage: Stage) -> None:
    action = "Microsoft.Compute/restorePointCollections/restorePoints/write"
    run = run_as(stage, "restore-points", "snapshot", without=action)
    (failed,) = run.failed
    assert f"may not do {action} on {stage.vm.id.split('/providers')[0]}/" in failed.result["msg"]
    assert (
        "docs/permissions.md, image-backup-restore-points, restore-in-place and restore-points"
        in (failed.result["msg"])
    )
    assert failed.result["failure"]["code"] == "AuthorizationFailed"
