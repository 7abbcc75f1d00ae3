"""Changes of a virtual machine that its present state does not allow."""

from __future__ import annotations

from typing import Any

from ..arm.resources import Resource, same_id
from ..errors import ArmError, conflict
from .tracked import change_refused, member

_SPOT = ("spot", "low")
_PRICE = "Billing Profile change is not allowed"
_MORE_ON_PRICES = "For more information, see https://aka.ms/low-priority/errormessages."
_RUNS = ("start", "restart", "redeploy")


class _PriceError(ArmError):
    """The refusal of another price, which says more of the machine in its details."""

    def __init__(self, vm: str) -> None:
        super().__init__(409, "OperationNotAllowed", f"{_PRICE}. {_MORE_ON_PRICES}")
        self._vm = vm

    def body(self) -> dict[str, Any]:
        text = (
            f"{_PRICE} when the VM '{self._vm}' is currently allocated. Please deallocate and try"
            f" again. {_MORE_ON_PRICES}"
        )
        detail = {"code": self.code, "message": text, "target": self._vm}
        return {"error": {"details": [detail], **super().body()["error"]}}


def check_may_change(vm: Resource, properties: dict[str, Any]) -> None:
    """Refuse changes that are never allowed, or not while the machine is allocated or runs.

    Raises:
        ArmError: 409, as recorded (errors_gateway_and_compute).
    """
    held = vm.properties
    if vm.hidden.get("generalized") and properties:  # documented; the words are assumed
        raise _generalized("Update VM", vm)
    priority = properties.get("priority")
    if priority is not None and held.get("priority") is None:  # CompositionalIT/farmer#968
        raise ArmError(
            400, "BadRequest",
            f"The specified priority value '{priority}' cannot be applied to the Virtual Machine"
            f" '{vm.name}' since no priority was specified when the Virtual Machine was created. For"
            " more information, see http://aka.ms/AzureSpot/errormessages.",
        )  # fmt: skip
    if priority is not None and _is_spot(priority) != _is_spot(held.get("priority")):
        raise change_refused("priority")
    price = member(properties, "billingProfile").get("maxPrice")
    told = (held.get("billingProfile") or {}).get("maxPrice", -1)
    if price is not None and price != told and vm.hidden["power"] != "deallocated":
        raise _PriceError(vm.name)
    _check_placement(vm, properties)


def _check_placement(vm: Resource, properties: dict[str, Any]) -> None:
    if "proximityPlacementGroup" not in properties or vm.hidden["power"] != "running":
        return
    asked = member(properties, "proximityPlacementGroup").get("id") or ""
    held = (vm.properties.get("proximityPlacementGroup") or {}).get("id") or ""
    if not same_id(asked, held):
        raise conflict(
            "OperationNotAllowed",
            f"Updating proximity placement group of VM {vm.name} is not allowed while the VM is"
            " running. Please stop/deallocate the VM and retry the operation.",
        )


def check_may_run(vm: Resource, action: str) -> None:
    """Refuse to start what was generalized.

    Raises:
        ArmError: 409, in the words of bitnami/vms#1471 (documented code).
    """
    if vm.hidden.get("generalized") and action.lower() in _RUNS:
        raise _generalized(f"{action[0].upper()}{action[1:]} VM", vm)


def check_may_generalize(vm: Resource) -> None:
    """Refuse to generalize what runs.

    Raises:
        ArmError: 409, in the words of azure-docs#86809.
    """
    if vm.hidden["power"] == "running":
        raise conflict(
            "OperationNotAllowed",
            f"Operation 'generalize' is not allowed on VM '{vm.name}' since the VM is running."
            " Please power off explicitly in case you shut down the VM from inside the guest"
            " operating system.",
        )


def _generalized(operation: str, vm: Resource) -> ArmError:
    return conflict(
        "OperationNotAllowed",
        f"Operation '{operation}' is not allowed on VM '{vm.name}' since the VM is generalized.",
    )


def _is_spot(priority: Any) -> bool:
    return str(priority).lower() in _SPOT
