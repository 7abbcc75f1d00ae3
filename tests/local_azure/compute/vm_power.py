"""Running, stopped, deallocated: and the way from one to the other."""

from __future__ import annotations

from ..arm.resources import Resource
from ..state import State
from .disk_model import set_reserved

# The state at the end of each action, and what is shown on the way there.
ACTIONS = {
    "start": ("running", "starting"),
    "restart": ("running", "running"),
    "redeploy": ("running", "starting"),
    "poweroff": ("stopped", "stopping"),
    "deallocate": ("deallocated", "deallocating"),
}
# The actions whose answer and first poll say when to come again.
PACED = ("start", "restart", "deallocate")
_NEEDS_RUNNING = ("restart",)


def disk_ids(vm: Resource) -> list[str]:
    """The ids of the disks that a machine has, the OS disk first."""
    storage = vm.properties["storageProfile"]
    entries = (storage["osDisk"], *storage["dataDisks"])
    return [entry["managedDisk"]["id"] for entry in entries if entry["managedDisk"].get("id")]


def set_power(state: State, vm: Resource, power: str) -> None:
    """Put a machine into a power state, and its disks with it."""
    vm.hidden["power"] = power
    vm.hidden["transition"] = None
    for identity in disk_ids(vm):
        disk = state.resources.get(identity)
        if disk is not None:
            set_reserved(disk, power == "deallocated")


def keeps_power(action: str, held: str) -> bool:
    """Whether an action leaves the power state as it is.

    A recorded machine was stopped, redeployed and then generalized: it had not been started.
    """
    return (action, held) == ("poweroff", "deallocated") or (
        action == "redeploy" and held != "running"
    )


def needs_running(action: str) -> bool:
    return action in _NEEDS_RUNNING
