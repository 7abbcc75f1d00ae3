"""The roles of docs/permissions.md: each is enough for its job, and has nothing that is not needed.

Every action of every role is taken away once. Then the job fails and says what is missing, or it ends with
a warning that says so; or the action is one of those that local Azure cannot ask for, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils import _permissions
from permission_jobs import (
    CLIENT,
    JOBS,
    ROLES,
    SECRET,
    SUBSCRIPTION_ROLE,
    Person,
    Said,
    login_of,
    role_of,
    roles_for,
    run_job,
)
from restore_bench import Bench, open_bench

from local_azure.arm import authorization
from local_azure.http_types import Request
from local_azure.identity import object_id
from support.sweep import all_of_them
from tools import tree

DOCUMENT = tree.ROOT / "docs" / "permissions.md"
NAMES = sorted(path.stem for path in ROLES.glob("*.json"))
COMPUTE = "Microsoft.Compute"
POINTS = f"{COMPUTE}/restorePointCollections/restorePoints"
INTERFACES = "Microsoft.Network/networkInterfaces"
# What stays in roles although no job here asks for it. The document says the same.
UNPROVED = {
    f"{COMPUTE}/diskAccesses/read",
    f"{POINTS}/diskRestorePoints/beginGetAccess/action",
    f"{INTERFACES}/write",
    f"{INTERFACES}/delete",
}
# Where the work is done all the same, and a warning says what could not be.
WARNS = {
    ("image-backup-snapshots", f"{COMPUTE}/restorePointCollections/read"),
    ("image-backup-snapshots", f"{INTERFACES}/read"),
    ("image-backup-snapshots", f"{COMPUTE}/snapshots/delete"),
    ("image-backup-restore-points", f"{COMPUTE}/snapshots/read"),
    ("image-backup-restore-points", f"{POINTS}/delete"),
    ("image-backup-restore-points", f"{INTERFACES}/read"),
}


# What the document's tables call scopes, and the groups that they are in the jobs. In them the disks, the
# network and the collection of a machine are in its own group.
KINDS = {
    "subscription": {"subscription"},
    "the machine's group": {"machine"},
    "the group of the machine's disks": {"machine"},
    "the collection's group": {"machine"},
    "the copies' group": {"away"},
    "the interface's group": {"machine"},
    "the network's group": {"machine"},
    "the snapshot group": {"snapshots"},
    "the target group": {"target"},
    "the encryption set's group": {"keys"},
    "the disk access's group": {"keys"},
}
# Asked for by a list alone, which has a group or the subscription for its scope.
LISTED = {f"{COMPUTE}/snapshots/read".lower()}


def asked_in(job: str) -> set[str]:
    """The actions of a role that its job asks for here."""
    actions = set(role_of(job)["Actions"])
    if job == "image-backup-restore-points":
        return actions
    return actions - UNPROVED


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as made:
        yield made
        assert made.crashes() == []


@pytest.mark.parametrize("job", JOBS)
def test_a_job_is_done_with_its_role_alone_and_needs_all_of_it(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    asked: set[tuple[str, str]] = set()
    check = authorization.Authorization.check

    def noticing(
        self: authorization.Authorization, claims: dict[str, Any], request: Request
    ) -> None:
        found = authorization.asked_for(request)
        if claims["appid"] == CLIENT and found is not None:
            scopes = authorization.linked_scopes(request, found)
            scopes += [] if found.listed else [(found.action, found.scope)]
            asked.update((action.lower(), kind_of(scope)) for action, scope in scopes)
        check(self, claims, request)

    monkeypatch.setattr(authorization.Authorization, "check", noticing)
    person = run_job(bench, tmp_path, job)
    assert [one for one in person.warnings if "Authorization" in one] == []
    documented = {
        (action.lower(), kind)
        for name in sorted({job, SUBSCRIPTION_ROLE})
        for action, (scope, _proof, _why) in tables()[name].items()
        if action in role_of(name)["Actions"]
        for kind in kinds(scope)
    }
    here = {action.lower() for action in asked_in(job)}
    assert here <= {action for action, _kind in asked} | LISTED
    assert {one for one in asked if one not in documented} == set()
    missed = {(action, kind) for action, kind in documented - asked if action in here - LISTED}
    assert missed == set()


def kind_of(scope: str) -> str:
    """Which group of a job a scope is in, by the name that the job gave it; ``machine`` is its own."""
    parts = scope.split("/")
    if len(parts) < 5 or parts[3].lower() != "resourcegroups":
        return "subscription"
    kind = parts[4].lower().rpartition("-")[2]
    return kind if kind in ("away", "keys", "snapshots", "target") else "machine"


def kinds(text: str) -> set[str]:
    """The groups of a job that a cell of the document's tables means."""
    return {kind for one in text.split("; ") for kind in KINDS[one]}


CASES = [(job, action) for job in JOBS for action in sorted(asked_in(job))]
CASES += [
    ("restore-points", f"{COMPUTE}/locations/operations/read"),
    ("restore-disks", f"{COMPUTE}/locations/diskOperations/read"),
]


# make faults takes every action away.
SOME = CASES if all_of_them() else CASES[::4]


@pytest.mark.parametrize(("job", "action"), SOME, ids=lambda value: value.replace("/", "."))
def test_a_job_names_the_action_that_is_missing(
    bench: Bench, tmp_path: Path, job: str, action: str
) -> None:
    if (job, action) in WARNS:
        said = " ".join(run_job(bench, tmp_path, job, without=action).warnings)
    else:
        with pytest.raises(Said) as error:
            run_job(bench, tmp_path, job, without=action)
        said = str(error.value)
    named = re.search(rf"{re.escape(action)} on (/subscriptions/\S*?)[.,;:]? ", said, re.IGNORECASE)
    assert named, said
    assert re.search(rf"object id {object_id(CLIENT)}\b", said)
    has = {name for name in NAMES if action in role_of(name)["Actions"]}
    assert f"{_permissions.DOCUMENT}" in said
    assert job in has or SUBSCRIPTION_ROLE in has
    assert all(name in said for name in has), said


def test_the_role_of_the_subscription_is_enough_to_see_the_connection(
    bench: Bench, tmp_path: Path
) -> None:
    person = Person(bench, tmp_path, login_of(bench, CLIENT, SECRET))
    bench.local.app.identity.clients[CLIENT] = {SECRET: None}
    action = "Microsoft.Resources/subscriptions/read"
    for without in ("", action):
        granted = roles_for(person, SUBSCRIPTION_ROLE, without=without)
        bench.local.app.authorization.assign(CLIENT, granted)
        seen = person.do("connection_info")
        assert seen["connected"] is not bool(without)
    assert f"may not do {action} on {person.subscription}." in seen["reason"]
    assert "read-only and subscription have" in seen["reason"]


@pytest.mark.parametrize("name", NAMES)
def test_a_role_has_the_form_that_az_role_definition_create_takes(name: str) -> None:
    role = role_of(name)
    assert list(role) == [
        "Name", "IsCustom", "Description", "Actions", "NotActions", "DataActions", "NotDataActions",
        "AssignableScopes",
    ]  # fmt: skip
    assert role["IsCustom"] is True and len(role["Description"]) <= 1024
    assert role["NotActions"] == role["NotDataActions"] == []
    for actions in (role["Actions"], role["DataActions"]):
        assert actions == sorted(set(actions), key=str.lower)
        assert not any("*" in action for action in actions)
    assert role["AssignableScopes"] == ["/subscriptions/00000000-0000-0000-0000-000000000000"]


def test_names_of_roles_differ() -> None:
    assert len({role_of(name)["Name"] for name in NAMES}) == len(NAMES)
    assert set(JOBS) | {SUBSCRIPTION_ROLE, "repository"} == set(NAMES)


def test_the_product_knows_the_roles_as_they_are_written() -> None:
    written = {name: set(role_of(name)["Actions"]) for name in NAMES}
    assert {name: set(actions) for name, actions in _permissions.ROLES.items()} == written
    assert all(len(set(actions)) == len(actions) for actions in _permissions.ROLES.values())


def tables() -> dict[str, dict[str, list[str]]]:
    """The document's tables: by role, by action, the cells after it."""
    found: dict[str, dict[str, list[str]]] = {}
    name = ""
    for line in DOCUMENT.read_text().splitlines():
        if title := re.match(r"## .*\(`roles/([a-z-]+)\.json`\)", line):
            name = title[1]
        elif line.startswith("## "):
            name = ""
        elif name and (row := re.match(r"\| `(Microsoft\.[^`]+)` \|(.*)\|$", line)):
            cells = [cell.strip() for cell in row[2].split("|")]
            found.setdefault(name, {})[row[1]] = cells
    return found


def test_the_document_has_the_roles_as_they_are_written() -> None:
    written = {name: {*role_of(name)["Actions"], *role_of(name)["DataActions"]} for name in NAMES}
    assert {name: set(rows) for name, rows in tables().items()} == written


def test_the_document_says_which_actions_are_not_proved() -> None:
    for name, rows in tables().items():
        for action, (_scope, proof, _why) in rows.items():
            data = action in role_of(name)["DataActions"]
            unproved = (
                name == "repository" or data or (name in JOBS and action not in asked_in(name))
            )
            assert proof.startswith("not proved") == unproved, (name, action)
