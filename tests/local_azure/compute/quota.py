"""How many cores the machines of a region may have together."""

from __future__ import annotations

from ..arm.resources import Resource, same_id
from ..errors import conflict
from ..state import State
from .sizes import cores
from .tracked import normal_location
from .vm_model import VM_TYPE
from .vm_storage import Machine


def check_cores(state: State, machine: Machine) -> None:
    """Refuse a machine, or a size for it, that is more than the cores that are left.

    Deallocated machines count as well, as documented.

    Raises:
        ArmError: 409, in the words of cb-spider#1558.
    """
    limit, region = state.config.limits.cores, normal_location(machine.location)
    others = [
        vm
        for vm in state.resources.of_type(VM_TYPE, subscription=machine.id.split("/")[2])
        if normal_location(vm.location) == region
    ]
    used = sum(_cores_of(vm) for vm in others)
    held = next((_cores_of(vm) for vm in others if same_id(vm.id, machine.id)), 0)
    more = cores(machine.size) - held
    if more > 0 and used + more > limit:
        raise conflict(
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved Total Regional"
            " Cores quota. Additional details - Deployment Model: Resource Manager, Location:"
            f" {region}, Current Limit: {limit}, Current Usage: {used}, Additional Required:"
            f" {more}, (Minimum) New Limit Required: {used + more}.",
        )


def _cores_of(vm: Resource) -> int:
    return cores(vm.properties["hardwareProfile"]["vmSize"])
