"""What a missing right is told like: by each of Azure's sentences, and where only undoing needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils import _azure_errors
from ansible_collections.vmguard.azure.plugins.module_utils._errors import AzureError
from ansible_collections.vmguard.azure.plugins.module_utils._permissions import missing, roles_with
from permission_jobs import CLIENT, SECRET, Person, Said, backup_of, login_of, roles_for
from restore_bench import Bench, open_bench
from test_errors import refused

SNAPSHOT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/snapshots/one"
DISK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/one"
WRITE, READ = "Microsoft.Compute/snapshots/write", "Microsoft.Compute/disks/beginGetAccess/action"
KEY = "/subscriptions/s/resourceGroups/k/providers/Microsoft.Compute/diskEncryptionSets/k"
KEYS = "Microsoft.Compute/diskEncryptionSets/read"
WHO = "The client 'app' with object id 'oid-1'"
MAY = f"{WHO} has permission to perform action '{WRITE}' on scope '{SNAPSHOT}'; however, it does not have"
INVALID = "or the linked scope(s) are invalid"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as made:
        yield made
        assert made.crashes() == []


PLAIN = f"{WHO} does not have authorization to perform action '{WRITE}' over scope '{SNAPSHOT}'"
LINKED = f"{MAY} permission to perform action '{READ}' on the linked scope(s) '{DISK}'"
# The sentences of 2015, 2017, 2020 (with a deny assignment) and 2024, and of several linked scopes.
DENIED = (
    f"{MAY} permission to perform action '{READ}' on the '0' linked scope(s) '' {INVALID} and is"
    f" blocked by deny assignments on the '1' linked scope(s) '{DISK}'."
)
TWO = (
    f"{MAY} permission to perform action(s) '{READ},{KEYS}' on the linked scope(s) '{DISK},{KEY}'"
    f" (respectively) {INVALID}."
)
RESPECTIVELY = (
    LINKED.replace(f"action '{READ}'", f"action(s) '{READ}'") + f" (respectively) {INVALID}."
)
REFRESH = (
    " or the scope is invalid. If access was recently granted, please refresh your credentials."
)
SENTENCES = [
    (f"{PLAIN}.", [(WRITE, SNAPSHOT)]),
    (PLAIN + REFRESH, [(WRITE, SNAPSHOT)]),
    (f"{LINKED}.", [(READ, DISK)]),
    (f"{LINKED} {INVALID}.", [(READ, DISK)]),
    (DENIED, [(READ, DISK)]),
    (RESPECTIVELY, [(READ, DISK)]),
    (TWO, [(READ, DISK), (KEYS, KEY)]),
]


@pytest.mark.parametrize(("sentence", "rights"), SENTENCES)
def test_azures_sentences_are_understood(sentence: str, rights: list[tuple[str, str]]) -> None:
    found = missing(sentence)
    assert found is not None
    assert list(found.rights) == rights
    assert (found.client, found.object_id) == ("app", "oid-1")
    assert found.had == (WRITE if "however" in sentence else "")
    code = "LinkedAuthorizationFailed" if found.had else "AuthorizationFailed"
    said = _azure_errors.from_azure(
        refused(403, code, sentence.replace(" ", "\r\n ", 1)),
        operation="create snapshot",
        resource="one",
    )
    assert isinstance(said, AzureError)
    assert (said.code, said.status) == (code, 403)
    for action, scope in rights:
        assert f"{action} on {scope}" in said.message
        assert all(name in said.message for name in roles_with(action))
    assert "app (object id oid-1) may not do" in said.message
    assert "docs/permissions.md" in said.message
    assert "oid-1" in (said.hint or "") or "deny assignment" in (said.hint or "")


FOREIGN = "The client has permission to perform action 'a/join/action' on scope '/s', however the"


@pytest.mark.parametrize(
    ("sentence", "hint"),
    [
        ("No.", "docs/permissions.md"),
        (f"{FOREIGN} linked subscription 'x' was not found. ", "check the ids"),
        (
            f"{FOREIGN} current tenant 't' is not authorized to access linked subscription 's'.",
            "tenant",
        ),
    ],
)
def test_other_sentences_stay_as_they_are(sentence: str, hint: str) -> None:
    assert missing(sentence) is None
    error = refused(403, "LinkedAuthorizationFailed", sentence)
    said = _azure_errors.from_azure(error, operation="create disk")
    assert sentence.strip() in said.message
    assert hint in (said.hint or "")


def test_an_action_that_no_role_has_is_told_so() -> None:
    sentence = PLAIN.replace(WRITE, "Microsoft.Sql/servers/read")
    found = missing(sentence)
    assert found is not None and "none has Microsoft.Sql/servers/read" in found.sentence()


def test_no_secret_of_a_message_is_told() -> None:
    sentence = PLAIN.replace(SNAPSHOT, "https://x/y?sig=Zm9vYmFyYmF6cXV4%2Fabc%3D")
    said = _azure_errors.from_azure(refused(403, "AuthorizationFailed", sentence), operation="read")
    assert "Zm9vYmFy" not in str(said.failure())


# -- where only undoing needs it


def without(bench: Bench, person: Person, job: str, action: str) -> None:
    bench.local.app.identity.clients[CLIENT] = {SECRET: None}
    roles = roles_for(person, job, without=action)
    bench.local.app.authorization.assign(CLIENT, roles)


def test_a_failed_backup_tells_which_snapshots_it_could_not_delete(
    bench: Bench, tmp_path: Path
) -> None:
    person = Person(bench, tmp_path, login_of(bench, CLIENT, SECRET))
    vm = person.machine()
    without(bench, person, "image-backup-snapshots", "Microsoft.Compute/snapshots/delete")
    options = {
        "resource_group": vm.group, "vm": vm.name,
        "repository": {"type": "folder", "path": str(tmp_path / "repository")},
    }  # fmt: skip
    person.do("backup_repository", repository=options["repository"])
    bench.control.fault("POST .*/beginGetAccess", status=400, code="Injected", times=0)
    with pytest.raises(Said, match="Injected") as said:
        person.do("disk_snapshot_backup", **options)
    bench.control.clear_faults()
    left = {
        one["name"]
        for one in bench.look.list("snapshots.list_by_resource_group", vm.group, vm.group)
    }
    assert len(left) == 2
    assert all(f"{name} could not be deleted" in str(said.value) for name in left)
    assert "may not do Microsoft.Compute/snapshots/delete on /subscriptions/" in str(said.value)
    assert "next backup tries again" in str(said.value)

    without(bench, person, "image-backup-snapshots", "")
    person.do("disk_snapshot_backup", **options)
    now = {
        one["name"]
        for one in bench.look.list("snapshots.list_by_resource_group", vm.group, vm.group)
    }
    assert not left & now


def test_a_restore_in_place_that_may_not_start_the_machine_says_that_it_is_stopped(
    bench: Bench, tmp_path: Path
) -> None:
    person = Person(bench, tmp_path, login_of(bench, CLIENT, SECRET))
    vm = person.machine()
    bench.protect(vm)
    attached = bench.attached(vm)
    action = "Microsoft.Compute/virtualMachines/start/action"
    without(bench, person, "restore-in-place", action)
    with pytest.raises(Said) as said:
        person.do(
            "vm_restore", resource_group=vm.group, vm=vm.name, restore_point="p1", target="in_place",
            collection="vm1-restore-points", allow_stop=True,
        )  # fmt: skip
    assert bench.attached(vm) == attached and bench.power(vm) == "deallocated"
    told = str(said.value)
    assert "is on its original disks" in told and "starting it failed" in told
    assert told.count(f"may not do {action} on ") == 2


def test_a_restore_that_may_not_delete_names_the_disks_that_it_left(
    bench: Bench, tmp_path: Path
) -> None:
    person = Person(bench, tmp_path, login_of(bench, CLIENT, SECRET))
    vm, target = person.machine(), person.group("target")
    bench.protect(vm)
    without(bench, person, "restore-disks", "Microsoft.Compute/disks/delete")
    bench.control.fault("PUT .*/disks/.*DataDisk", status=400, code="Injected", times=1)
    with pytest.raises(Said, match="Injected") as said:
        person.do(
            "vm_restore", resource_group=vm.group, vm=vm.name, restore_point="p1", target="disks",
            collection="vm1-restore-points", new_resource_group=target,
        )  # fmt: skip
    bench.control.clear_faults()
    (left,) = bench.disks(target)
    told = str(said.value)
    assert f"could not be deleted: {left.rsplit('/', 1)[1]}." in told.lower()
    assert "may not do Microsoft.Compute/disks/delete on " in told


def test_a_run_that_cannot_clear_away_what_an_earlier_one_left_names_the_right(
    bench: Bench, tmp_path: Path
) -> None:
    """Before, it said that another run had taken it over: the dead one, whose record was still there."""
    person = Person(bench, tmp_path, login_of(bench, CLIENT, SECRET))
    vm, target = person.machine(), person.group("target")
    options = {
        "resource_group": vm.group, "vm": vm.name, "target": "disks", "new_resource_group": target,
        **backup_of(person, vm),
    }  # fmt: skip
    action = "Microsoft.Compute/disks/endGetAccess/action"
    without(bench, person, "restore-disks", action)
    for _run in range(2):
        with pytest.raises(Said) as said:
            person.do("vm_restore", **options)
        assert f"may not do {action} on " in str(said.value)
        assert "taken over" not in str(said.value)
    without(bench, person, "restore-disks", "")
    assert person.do("vm_restore", **options)["ready_to_use"]
    assert len(bench.disks(target)) == 2
    assert bench.local.app.state.sas.active() == []
