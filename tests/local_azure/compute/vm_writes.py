"""Creating, changing and deleting virtual machines: the operations behind the requests."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..arm.operations import COMPUTE_OPERATIONS, Operation
from ..arm.resources import Resource, new_guid
from ..clock import wire_time
from ..errors import conflict, invalid_parameter, missing_parameter
from ..state import State
from .disk_model import delete_disk, detach
from .marketplace import check_offer
from .quota import check_cores
from .tracked import FORGOTTEN, change_refused, member, properties_of
from .vm_boot import check_boot, check_plan
from .vm_changes import check_may_change, check_may_generalize, check_may_run
from .vm_etag import grow
from .vm_model import (
    VM_TYPE,
    busy,
    change_properties,
    identity_body,
    merged_identity,
    os_profile,
    vm_body,
)
from .vm_network import attach_network, change_network, drop_network, plan_network
from .vm_power import ACTIONS, PACED, keeps_power, needs_running, set_power
from .vm_security import check_change, check_disk, check_profile, take_over
from .vm_storage import Machine, StoragePlan, check_luns, plan_change, plan_new


def machine_of(vm: Resource) -> Machine:
    size = vm.properties["hardwareProfile"]["vmSize"]
    return Machine(vm.id, vm.location, vm.body.get("zones") or [], size)


def check_idle(vm: Resource) -> None:
    """Refuse a second write while one is under way."""
    if vm.properties["provisioningState"] == "Deleting":  # documented
        raise conflict(
            "OperationNotAllowed",
            f"Operation 'Update VM' is not allowed on VM '{vm.name}' since the VM is marked for"
            " deletion. You can only retry the Delete operation (or wait for an ongoing one to"
            " complete).",
        )
    if vm.hidden.get("busy"):
        raise busy()


def _nothing() -> None:
    """Nothing to undo."""


class Writes:
    """Starts the operations on virtual machines; one at a time for each machine."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._deleted: dict[str, datetime] = {}

    def _run(
        self,
        vm: Resource,
        seconds: float,
        finish: Callable[[], None],
        undo: Callable[[], None] = _nothing,
        meanwhile: str = "Updating",
        *,
        paced: bool = True,
        differs: bool = True,
    ) -> Operation:
        """Start an operation on a machine; when it ends, it leaves Succeeded or Failed behind.

        ``paced``: its first poll says when to come again. ``differs``: it changes something.
        """
        vm.hidden["busy"] = True
        vm.properties["provisioningState"] = meanwhile
        if differs:
            grow(vm)

        def end(shown: str) -> None:
            if differs:
                grow(vm)
            vm.properties["provisioningState"] = shown
            vm.hidden.update(
                busy=False, transition=None, changed=wire_time(self._state.clock.now()),
                failure=operation.failure,
            )  # fmt: skip

        def done() -> None:
            finish()
            end("Succeeded")

        def failed() -> None:
            undo()
            end("Failed")

        operation = self._state.operations.start(
            kind=COMPUTE_OPERATIONS, subscription=vm.id.split("/")[2], location=vm.location,
            seconds=seconds, finish=done, abort=failed,
            poll_retry_after=self._state.config.retry_after.vm_poll if paced else None,
        )  # fmt: skip
        return operation

    # -- create

    def create(
        self, machine: Machine, request: dict[str, Any], api_version: str
    ) -> tuple[Resource, Operation]:
        """Begin a new machine.

        Raises:
            ArmError: for whatever the service refuses before it begins.
        """
        properties = request.get("properties") or {}
        security = member(properties, "securityProfile")
        check_profile(security, api_version)
        plan = plan_new(self._state, machine, properties.get("storageProfile") or {})
        check_boot(self._state, machine, plan)
        check_plan(self._state, machine, plan, request.get("plan"))
        check_offer(request.get("plan"))
        check_disk(security, plan)
        check_cores(self._state, machine)
        profile = _os_profile_of(properties, plan, machine.name)
        network = plan_network(self._state, machine, properties.get("networkProfile") or {})
        body = vm_body(
            identity=machine.id, location=machine.location, request=request, vm_guid=new_guid(),
            size=machine.size, storage=plan.profile, profile=profile,
            network=attach_network(self._state, machine, network), state="Creating",
            created=wire_time(self._state.clock.now()),
        )  # fmt: skip
        hidden = {"power": "stopped", "transition": "starting", "agent": True, "created": False,
                  "etag": 0, "generation": _generation(plan)}  # fmt: skip
        vm = self._state.resources.put(Resource(machine.id, VM_TYPE, body, hidden))
        plan.begin(self._state, machine, reserved=False)

        def finish() -> None:
            self._finish_creation(vm, plan)

        seconds = self._state.config.durations.vm_write
        return vm, self._run(vm, seconds, finish, meanwhile="Creating")

    def _finish_creation(self, vm: Resource, plan: StoragePlan) -> None:
        plan.finish(self._state, machine_of(vm), reserved=False)
        vm.hidden["created"] = True
        take_over(self._state, vm)
        set_power(self._state, vm, "running")

    # -- change

    def change(
        self, vm: Resource, request: dict[str, Any], api_version: str, *, merge: bool
    ) -> tuple[bool, Operation]:
        """Begin a change of a machine; also answer whether its operation is announced.

        A PATCH that changes nothing announces none, nor does a PUT that changes nothing but tags.
        ``merge``: the identities that the request leaves out stay, as a PATCH has it.

        Raises:
            ArmError: for whatever the service refuses before it begins.
        """
        check_idle(vm)
        check_may_change(vm, properties_of(request))
        before = copy.deepcopy(vm.body)
        machine = machine_of(vm)
        properties = request.get("properties") or {}
        asked_size = (properties.get("hardwareProfile") or {}).get("vmSize")
        machine.size = asked_size or machine.size
        if request.get("zones") is not None and request["zones"] != machine.zones:
            raise change_refused("zones")
        network = properties.get("networkProfile")
        if network:
            plan_network(self._state, machine, network)
        plan = plan_change(
            self._state, machine, vm.properties["storageProfile"],
            properties.get("storageProfile") or {}, running=vm.hidden["power"] == "running",
        )  # fmt: skip
        self._check_machine(vm, machine, plan, properties, api_version)
        change_properties(vm, properties)
        _change_envelope(vm, request, merge=merge)
        vm.properties["storageProfile"] = plan.meanwhile()
        differs = vm.body != before or bool(plan.wanted)
        announced = (
            differs if merge else bool(plan.wanted) or _untagged(vm.body) != _untagged(before)
        )
        return announced, self._run_change(vm, machine, plan, before, network, differs)

    def _check_machine(
        self,
        vm: Resource,
        machine: Machine,
        plan: StoragePlan,
        properties: dict[str, Any],
        api_version: str,
    ) -> None:
        """Refuse what the machine would be after a change, but for its disks and interfaces."""
        check_change(vm, properties, plan, api_version)
        check_luns(machine, plan.profile["dataDisks"])
        if machine.size != vm.properties["hardwareProfile"]["vmSize"] or plan.attached:
            check_boot(self._state, machine, plan)
        check_cores(self._state, machine)

    def _run_change(
        self,
        vm: Resource,
        machine: Machine,
        plan: StoragePlan,
        before: dict[str, Any],
        network: dict[str, Any] | None,
        differs: bool,
    ) -> Operation:
        # Where nothing differs there is nothing to wait for, and a PATCH announces no operation.
        seconds = self._state.config.durations.vm_write if differs else 0.0
        reserved = vm.hidden["power"] == "deallocated"
        plan.begin(self._state, machine, reserved=reserved)

        def finish() -> None:
            vm.properties["storageProfile"] = plan.profile
            if "identity" in vm.body:
                vm.body["identity"] = identity_body(vm.body["identity"])
            if network:
                change_network(self._state, vm, machine, network)
            if vm.hidden.get("created", True):
                plan.finish(self._state, machine, reserved=reserved)
                take_over(self._state, vm)
            else:
                self._finish_creation(vm, plan)

        def undo() -> None:
            plan.undo(self._state)
            vm.body = before

        return self._run(vm, seconds, finish, undo, differs=differs)

    # -- power

    def power(self, vm: Resource, action: str) -> Operation:
        """Begin ``start``, ``powerOff``, ``deallocate``, ``restart`` or ``redeploy``.

        Raises:
            ArmError: when something else is under way, or the machine is not in a state for it.
        """
        check_idle(vm)
        check_may_run(vm, action)
        power, transition = ACTIONS[action.lower()]
        held = vm.hidden["power"]
        if needs_running(action.lower()) and held != "running":
            raise conflict(
                "OperationNotAllowed",
                f"Operation '{action}' is not allowed on VM '{vm.name}' since the VM is not"
                " running. You can start the VM and retry.",
            )
        if keeps_power(action.lower(), held):
            power, transition = held, held
        if power != held:
            vm.hidden["transition"] = transition
        return self._run(
            vm,
            self._state.config.durations.vm_power,
            lambda: set_power(self._state, vm, power),
            paced=action.lower() in PACED,
        )

    def reapply(self, vm: Resource) -> Operation:
        check_idle(vm)
        return self._run(vm, self._state.config.durations.vm_power, _nothing, paced=False)

    @staticmethod
    def generalize(vm: Resource) -> None:
        """Note that its guest was prepared for copying; the only action without an operation."""
        check_idle(vm)
        check_may_generalize(vm)
        vm.hidden["generalized"] = True
        grow(vm)

    # -- delete

    def delete(self, vm: Resource) -> Operation:
        """Begin the deletion of a machine; disks and interfaces go with it where they say so."""
        check_idle(vm)
        seconds = self._state.config.durations.delete
        return self._run(vm, seconds, lambda: self._remove(vm), meanwhile="Deleting")

    def _remove(self, vm: Resource) -> None:
        storage = vm.properties["storageProfile"]
        drop_network(self._state, vm)
        for entry in (storage["osDisk"], *storage["dataDisks"]):
            disk = self._state.resources.get(entry["managedDisk"].get("id", ""))
            if disk is None:
                continue
            detach(self._state, disk)
            if entry["deleteOption"].lower() == "delete":
                delete_disk(self._state, disk)
        self._state.resources.remove(vm.id)
        self._deleted[vm.id.lower()] = self._state.clock.now()

    def just_deleted(self, identity: str) -> bool:
        """Whether Resource Manager does not know yet that a machine is gone."""
        gone = self._deleted.get(identity.lower())
        return gone is not None and (self._state.clock.now() - gone).total_seconds() < FORGOTTEN


def _os_profile_of(
    properties: dict[str, Any], plan: StoragePlan, vm_name: str
) -> dict[str, Any] | None:
    """The OS profile of a new machine: needed with an image, refused with an attached OS disk."""
    asked = properties.get("osProfile")
    os_disk = plan.profile["osDisk"]
    if os_disk["createOption"] == "Attach":
        if asked:
            raise invalid_parameter("Parameter 'osProfile' is not allowed.")
        return None
    if not asked:
        if (plan.profile.get("imageReference") or {}).get("publisher"):
            raise missing_parameter("osProfile")
        return None
    return os_profile(asked, vm_name, os_disk["osType"])


def _generation(plan: StoragePlan) -> str:
    """The generation of a new machine: that of its OS disk."""
    for disk in plan.attached:
        if disk.id == plan.profile["osDisk"]["managedDisk"].get("id"):
            return disk.properties.get("hyperVGeneration", "V1")
    return "V2"


def _untagged(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != "tags"}


def _change_envelope(vm: Resource, request: dict[str, Any], *, merge: bool) -> None:
    """Take over what lies beside the properties, keeping the order of the members."""
    made = {key: value for key, value in vm.body.items() if key != "properties"}
    if "tags" in request:
        made.pop("tags", None)
        if request["tags"] is not None:
            made["tags"] = request["tags"]
    if request.get("identity"):
        held = made.pop("identity", {}) if merge else {}
        identity = merged_identity(held, request["identity"])
        if identity["type"].lower() != "none":
            known = held.get("userAssignedIdentities") or {}
            made["identity"] = identity_body(identity, pending=merge, known=known)
    vm.body = {**made, "properties": vm.properties}
