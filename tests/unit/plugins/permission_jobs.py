"""What the roles of docs/permissions.md are for: each job as the modules do it, in this process.

A job is done by a login that has just its role, on the resource groups that the document names, and the
role of the subscription.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.vmguard.azure.plugins.module_utils._errors import VmguardError
from ansible_collections.vmguard.azure.plugins.module_utils._module import Task
from ansible_collections.vmguard.azure.plugins.module_utils._spec import AUTH_SPEC, WAIT_SPEC
from azure.core.rest import HttpRequest
from restore_bench import NETWORK_API, Bench, Machine, as_process

from local_azure.arm.authorization import Role
from local_azure.resource_groups import new_group
from tools import tree

MODULES = "ansible_collections.vmguard.azure.plugins.modules"
ROLES = tree.ROOT / "docs" / "roles"
CLIENT, SECRET = "11111111-0000-4000-8000-00000000000a", "made up for a test"
DATA = [{"lun": 0}]
SUBSCRIPTION_ROLE = "subscription"


class Said(Exception):
    """A task that failed; the text is what a person reads."""


class _Options:
    """As much of AnsibleModule as a task uses."""

    check_mode = False

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def role_of(name: str) -> dict[str, Any]:
    """A role as it is written in docs/roles."""
    return json.loads((ROLES / f"{name}.json").read_text())


@dataclass
class Person:
    """Who does a job: a login, its resource groups, and what the tasks said."""

    bench: Bench
    folder: Path
    login: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)

    @property
    def subscription(self) -> str:
        return f"/subscriptions/{self.bench.login.subscription_id}"

    def machine(self) -> Machine:
        """A machine whose disks are encrypted with a customer's key, which is in a group of its own."""
        found = self.bench.machine(DATA)
        keys = f"{self.subscription}/resourceGroups/{self.group('keys')}"
        key = f"{keys}/providers/Microsoft.Compute/diskEncryptionSets/key"
        kind = "EncryptionAtRestWithCustomerKey"
        for disk in self.bench.disks(found.group):
            encryption = {"type": kind, "diskEncryptionSetId": key}
            body = {"id": disk, "properties": {"encryption": encryption}}
            self.bench.control.call("PATCH", "disks", body)
        self.groups.add(found.group)
        return found

    def group(self, name: str, location: str = "westeurope") -> str:
        """A resource group for this person alone."""
        name = f"{self.folder.name}-{name}"
        state = self.bench.local.app.state
        with state.lock:
            new_group(state, self.bench.login.subscription_id, name, location)
        self.groups.add(name)
        return name

    def interface(self, vm: Machine) -> str:
        """A network interface in the network of a machine, which somebody else made."""
        network = f"{self.bench.control.group_id(vm.group)}/providers/Microsoft.Network"
        (first,) = self.bench.nics(vm.group)
        found = self.bench.look.get(f"{network}/networkInterfaces/{first}", NETWORK_API)
        subnet = found["properties"]["ipConfigurations"][0]["properties"]["subnet"]
        body = {
            "location": "westeurope",
            "properties": {"ipConfigurations": [{"name": "one", "properties": {"subnet": subnet}}]},
        }
        url = f"{self.bench.local.url}{network}/networkInterfaces/second?api-version={NETWORK_API}"
        answer = self.bench.look.plain.send_request(HttpRequest("PUT", url, json=body))
        assert answer.status_code in (200, 201), answer.text()
        return f"{network}/networkInterfaces/second"

    def do(self, module: str, **options: Any) -> dict[str, Any]:
        """One task.

        Raises:
            Said: it failed.
        """
        act, spec = _module(module)
        asked = {
            **self.login,
            **{key: value for key, value in options.items() if value is not None},
        }
        found = ArgumentSpecValidator(spec).validate(asked)
        assert not found.error_messages, found.error_messages
        module_of = _Options(found.validated_parameters)
        task = Task(module_of)  # type: ignore[arg-type]
        task.clock = self.bench.clock
        try:
            with as_process():
                return act(task)
        except VmguardError as error:
            raise Said(f"{error} {error.hint or ''}") from error
        finally:
            self.warnings += module_of.warnings
            close(task)


def close(task: Task) -> None:
    """Close a task's connections at once: where it ran in a process of its own, they would be."""
    arm = vars(task).get("arm")
    for opened in (arm._compute, arm._plain, arm.login.credential) if arm else ():
        if opened is not None:
            opened.close()


def _module(name: str) -> tuple[Callable[[Task], dict[str, Any]], dict[str, Any]]:
    """What a module does, and all of its options."""
    module: ModuleType = importlib.import_module(f"{MODULES}.{name}")
    taken: list[Any] = []

    def take(act: Any, spec: Any, *, waits: bool = False, **_constraints: Any) -> None:
        taken.append((act, {**AUTH_SPEC, **(WAIT_SPEC if waits else {}), **spec}))

    kept, module.run_module = module.run_module, take  # type: ignore[attr-defined]
    try:
        module.main()
    finally:
        module.run_module = kept  # type: ignore[attr-defined]
    return taken[0]


# -- the jobs


def _repository(person: Person) -> dict[str, Any]:
    return {"type": "folder", "path": str(person.folder / "repository")}


def restore_points(person: Person) -> Iterator[Callable[[], Any]]:
    """Taking, copying, listing, deleting."""
    vm, away = person.machine(), person.group("away", "northeurope")
    where = {"resource_group": vm.group}
    named = {"resource_group": vm.group, "collection": f"{vm.name}-restore-points"}
    copies = {"resource_group": away, "collection": "copies"}
    source = f"{person.bench.control.group_id(vm.group)}/providers/Microsoft.Compute"
    home = f"{source}/restorePointCollections/{vm.name}-restore-points"
    yield lambda: person.do("vm_info", **where, name=[vm.name])
    yield lambda: person.do("restore_point", **where, vm=vm.name, create_collection=True, name="p1")
    yield lambda: person.do("restore_point", **where, vm=vm.name, max_age="1h")
    yield lambda: person.do(
        "restore_point_collection",
        **where,
        name=named["collection"],
        source_vm=vm.id,
        tags={"a": "b"},
    )
    yield lambda: person.do(
        "restore_point_collection", resource_group=away, name="copies", source_collection=home,
        location="northeurope",
    )  # fmt: skip
    yield lambda: person.do(
        "restore_point", **copies, name="c1", source_restore_point=f"{home}/restorePoints/p1"
    )
    yield lambda: person.do("restore_point_info", **where, vm=vm.name, include_copies=True)
    yield lambda: person.do("restore_point_collection_info", **where, include_restore_points=True)
    for one, name in ((copies, "c1"), (named, "p1")):
        yield partial(person.do, "restore_point", **one, name=name, state="absent")
    for one in (copies, named):
        yield partial(
            person.do, "restore_point_collection", resource_group=one["resource_group"],
            name=one["collection"], state="absent", force=True,
        )  # fmt: skip


def _backup(person: Person, source: str, **more: Any) -> Iterator[Callable[[], Any]]:
    """In full, then what changed: the second deletes what the first was read from."""
    vm = person.machine()
    options = {
        "resource_group": vm.group, "vm": vm.name, "repository": _repository(person),
        "source": source, **more,
    }  # fmt: skip
    yield lambda: person.do("vm_info", resource_group=vm.group, include="vm.*")
    yield lambda: person.do("backup_repository", repository=options["repository"])
    yield lambda: person.do("disk_snapshot_backup", **options)

    def again() -> None:
        person.bench.write(vm, "later")
        person.do("disk_snapshot_backup", **options, keep_base_snapshots="none")

    yield again


def image_backup_snapshots(person: Person) -> Iterator[Callable[[], Any]]:
    """Image backups by snapshot."""
    yield from _backup(person, "snapshot", snapshot_resource_group=person.group("snapshots"))


def image_backup_restore_points(person: Person) -> Iterator[Callable[[], Any]]:
    """Image backups by restore point."""
    yield from _backup(person, "restore_point")


def _restores(person: Person, target: str, **more: Any) -> Iterator[Callable[[], Any]]:
    """From a restore point and from an image backup, which others have made; and one that fails."""
    for source in (point_of, backup_of):
        vm = person.machine()
        options = {"resource_group": vm.group, "vm": vm.name, **source(person, vm), **more}
        if target == "new_vm":
            options["new_name"] = f"{vm.group}-again"
        if target == "new_vm" and source is backup_of:
            options["network_interfaces"] = [person.interface(vm)]
        yield partial(_failing, person, target, options)
        yield partial(person.do, "vm_restore", **options, target=target)


def point_of(person: Person, vm: Machine) -> dict[str, Any]:
    person.bench.protect(vm)
    return {"restore_point": "p1", "collection": "vm1-restore-points"}


def backup_of(person: Person, vm: Machine) -> dict[str, Any]:
    owner = Person(person.bench, person.folder, login_of(person.bench))
    repository = {**_repository(person), "path": str(person.folder / vm.group)}
    owner.do("backup_repository", repository=repository)
    owner.do("disk_snapshot_backup", resource_group=vm.group, vm=vm.name, repository=repository)
    return {"source": "backup", "repository": repository, "backup": "latest"}


def _failing(person: Person, target: str, options: dict[str, Any]) -> None:
    """A restore whose last step fails: what it did is undone.

    Raises:
        Said: what it said was not that alone.
    """
    last = {"disks": "PUT .*/disks/.*_lun0|PUT .*/disks/.*Data", "in_place": "POST .*/start"}
    control = person.bench.control
    control.fault(last.get(target, "POST .*/deallocate"), "status", status=400, code="Injected",
                  message="injected", times=1)  # fmt: skip
    try:
        person.do("vm_restore", **options, target=target)
    except Said as said:
        if "injected" not in str(said) or "AuthorizationFailed" in str(said):
            raise
    else:
        raise AssertionError("the restore did not fail")
    finally:
        control.clear_faults()


def restore_disks(person: Person) -> Iterator[Callable[[], Any]]:
    """Restores as disks."""
    yield from _restores(person, "disks", new_resource_group=person.group("target"))


def restore_new_machine(person: Person) -> Iterator[Callable[[], Any]]:
    """Restores as a new machine."""
    yield from _restores(person, "new_vm", start=False, new_resource_group=person.group("target"))


def restore_in_place(person: Person) -> Iterator[Callable[[], Any]]:
    """Restores in place, which delete the old disks."""
    yield from _restores(person, "in_place", allow_stop=True, old_disks="delete")


def read_only(person: Person) -> Iterator[Callable[[], Any]]:
    """Looking, and nothing else."""
    vm = person.machine()
    person.bench.protect(vm)
    where = {"resource_group": vm.group}
    yield partial(connected, person)
    yield lambda: person.do("vm_info", **where, include="vm.*")
    yield lambda: person.do("restore_point_info", **where, vm=vm.name)
    yield lambda: person.do(
        "restore_point_info", **where, collection=f"{vm.name}-restore-points", name="p1"
    )
    yield lambda: person.do("restore_point_collection_info", **where, include_restore_points=True)


def connected(person: Person) -> None:
    """Whether there is a connection; what is missing is in the result."""
    seen = person.do("connection_info")
    if not seen["connected"]:
        raise Said(seen["reason"])


JOBS: dict[str, Callable[[Person], Iterator[Callable[[], Any]]]] = {
    "restore-points": restore_points,
    "image-backup-snapshots": image_backup_snapshots,
    "image-backup-restore-points": image_backup_restore_points,
    "restore-disks": restore_disks,
    "restore-new-machine": restore_new_machine,
    "restore-in-place": restore_in_place,
    "read-only": read_only,
}


def login_of(bench: Bench, client: str = "", secret: str = "") -> dict[str, Any]:
    config = bench.local.config
    return {
        "subscription_id": config.subscription, "tenant": config.tenant,
        "client_id": client or config.client_id, "secret": secret or config.secret,
        "cloud_environment": bench.local.url,
    }  # fmt: skip


def roles_for(person: Person, job: str, *, without: str = "") -> list[Role]:
    """What is assigned to who does a job: the role of the subscription, and the job's on each group.

    Args:
        without: an action that is taken away.
    """
    granted: list[Role] = []
    job_scopes = [f"{person.subscription}/resourceGroups/{one}" for one in person.groups]
    assigned = {job: job_scopes, SUBSCRIPTION_ROLE: [person.subscription]}
    if job == "read-only":
        assigned = {job: [person.subscription]}
    for name, scopes in assigned.items():
        role = role_of(name)
        actions = tuple(one for one in role["Actions"] if one != without)
        granted += [Role(role["Name"], scope, actions) for scope in scopes]
    return granted


def run_job(bench: Bench, folder: Path, job: str, *, without: str = "") -> Person:
    """Do a job with its role alone.

    Raises:
        Said: a task failed.
    """
    person = Person(bench, folder, login_of(bench, CLIENT, SECRET))
    bench.local.app.identity.clients[CLIENT] = {SECRET: None}
    for step in JOBS[job](person):
        bench.local.app.authorization.assign(CLIENT, roles_for(person, job, without=without))
        step()
    return person
