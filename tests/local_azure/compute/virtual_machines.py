"""Microsoft.Compute/virtualMachines."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ..arm.operations import Operation
from ..arm.resources import Resource
from ..arm.router import Call, Router
from ..errors import entity_not_found, missing_parameter
from ..http_types import Response, json_response
from ..state import State
from .enumerations import MACHINE, check_choices
from .marketplace import Marketplace
from .sizes import Sizes
from .tracked import (
    GET_RATE,
    add_routes,
    check_location,
    empty_answer,
    listing,
    member,
    new_location,
    properties_of,
    rate,
    tracked_id,
)
from .vm_direct import create_vm_directly
from .vm_etag import check_conditions, etag_of, is_shown
from .vm_instance_view import instance_view
from .vm_model import VM_TYPE, answer, check_name
from .vm_power import PACED
from .vm_security import shown
from .vm_storage import Machine
from .vm_writes import Writes

__all__ = ["VirtualMachines", "create_vm_directly"]

_PUT_RATE = rate("PutVM3Min;239", "PutVM30Min;1197")
_UPDATE_RATE = rate("UpdateVM3Min;239", "UpdateVM30Min;1199")
_DELETE_RATE = rate("DeleteVM3Min;239", "DeleteVM30Min;1199")
_POWER = ("start", "powerOff", "deallocate", "restart", "redeploy")


class VirtualMachines:
    """Creates, changes, shows, starts, stops and deletes virtual machines.

    Attributes:
        page_size: how many machines a page of a list holds.
    """

    page_size = 200

    def __init__(self, state: State) -> None:
        self._state = state
        self._writes = Writes(state)

    def routes(self, router: Router) -> None:
        one = add_routes(
            router, "virtualMachines", self._list,
            PUT=self._put, PATCH=self._patch, GET=self._get, DELETE=self._delete,
        )  # fmt: skip
        router.add("GET", f"{one}/instanceView", self._instance_view)
        router.add("GET", f"{one}/extensions", self._extensions)
        for action in _POWER:
            router.add("POST", f"{one}/{action}", lambda call, name=action: self._power(call, name))
        router.add("POST", f"{one}/reapply", self._reapply)
        router.add("POST", f"{one}/generalize", self._generalize)
        Sizes(self._state).routes(router)
        Marketplace().routes(router)

    # -- reading

    def _find(self, call: Call) -> Resource:
        identity = tracked_id(call, "virtualMachines")
        if self._state.resources.get(identity) is None and self._writes.just_deleted(identity):
            error = entity_not_found()
            error.headers.update(GET_RATE)
            raise error
        return self._state.resources.need(identity)

    @staticmethod
    def _shown(vm: Resource, call: Call, *, user_data: bool = False) -> dict[str, Any]:
        body = answer(vm, user_data=user_data)
        if "securityProfile" in body["properties"]:
            profile = body["properties"]["securityProfile"]
            body["properties"]["securityProfile"] = shown(profile, call.api_version)
        if is_shown(call.api_version):
            body["etag"] = etag_of(vm)
        return body

    def _body(self, vm: Resource, call: Call) -> dict[str, Any]:
        expand = call.request.query.get("$expand", "").lower()
        body = self._shown(vm, call, user_data="userdata" in expand)
        if "instanceview" in expand or call.request.query.get("statusOnly", "").lower() == "true":
            body["properties"]["instanceView"] = instance_view(self._state, vm)
        if "userdata" in expand and vm.properties.get("userData"):
            body["properties"]["userData"] = vm.properties["userData"]
        return body

    def _get(self, call: Call) -> Response:
        return json_response(200, self._body(self._find(call), call), GET_RATE)

    def _instance_view(self, call: Call) -> Response:
        return json_response(200, instance_view(self._state, self._find(call)), GET_RATE)

    def _extensions(self, call: Call) -> Response:
        self._find(call)
        return json_response(200, {"value": []}, GET_RATE)

    def _list(self, call: Call) -> Response:
        group = call.params.get("group")
        found = list(
            self._state.resources.of_type(VM_TYPE, subscription=call["subscription"], group=group)
        )
        token = call.request.query.get("$skiptoken", "")
        start = int(token) if token.isdecimal() else 0
        end = start + self.page_size
        bodies = [self._body(vm, call) for vm in found[start:end]]
        body = listing(bodies, upper_group=group is None)
        if end < len(found):
            query = {**call.request.query, "$skiptoken": str(end)}
            text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
            body["nextLink"] = f"{self._state.operations.base_url}{call.request.path}?{text}"
        return json_response(200, body, GET_RATE)

    # -- writing

    def _put(self, call: Call) -> Response:
        body = call.body()
        check_choices("vm", body, MACHINE)
        held = self._state.resources.get(tracked_id(call, "virtualMachines"))
        check_conditions(call.request.headers, held)
        if held is None:
            return self._create(call, body)
        check_location(held, body)
        body.setdefault("tags", None)
        storage = member(properties_of(body), "storageProfile")
        if storage:
            storage.setdefault("dataDisks", [])
        return self._change(call, held, body, merge=False)

    def _create(self, call: Call, body: dict[str, Any]) -> Response:
        check_name(call["name"])
        location = new_location(self._state, call, body)
        size = member(properties_of(body), "hardwareProfile").get("vmSize")
        if not size:
            raise missing_parameter("hardwareProfile.vmSize")
        identity = tracked_id(call, "virtualMachines")
        machine = Machine(identity, location, body.get("zones") or [], size)
        vm, operation = self._writes.create(machine, body, call.api_version)
        headers = self._created_headers(operation, call)
        return json_response(201, self._shown(vm, call), {**headers, **_PUT_RATE})

    def _patch(self, call: Call) -> Response:
        vm, body = self._find(call), call.body()
        check_choices("vm", body, MACHINE)
        check_conditions(call.request.headers, vm)
        return self._change(call, vm, body, merge=True)

    def _change(self, call: Call, vm: Resource, body: dict[str, Any], *, merge: bool) -> Response:
        """A 200 without Retry-After; not every operation is announced."""
        announced, operation = self._writes.change(vm, body, call.api_version, merge=merge)
        headers = {}
        if announced:
            headers = self._state.operations.headers(
                operation, call, location=False, notification=True
            )
        return json_response(200, self._shown(vm, call), {**headers, **_PUT_RATE})

    def _created_headers(self, operation: Operation, call: Call) -> dict[str, str]:
        retry_after = self._state.config.retry_after.vm_write
        return self._state.operations.headers(
            operation, call, location=False, notification=True, retry_after=retry_after
        )

    def _power(self, call: Call, action: str) -> Response:
        operation = self._writes.power(self._find(call), action)
        rates = _DELETE_RATE if action == "deallocate" else _UPDATE_RATE
        return self._accepted(call, operation, rates, retry=action.lower() in PACED)

    def _reapply(self, call: Call) -> Response:
        operation = self._writes.reapply(self._find(call))
        return self._accepted(call, operation, _UPDATE_RATE, retry=False)

    def _generalize(self, call: Call) -> Response:
        self._writes.generalize(self._find(call))
        return Response(200, _UPDATE_RATE)

    def _delete(self, call: Call) -> Response:
        vm = self._state.resources.get(tracked_id(call, "virtualMachines"))
        if vm is None:
            return Response(204, _DELETE_RATE)
        return self._accepted(call, self._writes.delete(vm), _DELETE_RATE, retry=True)

    def _accepted(
        self, call: Call, operation: Operation, rates: dict[str, str], *, retry: bool
    ) -> Response:
        response = empty_answer(self._state, call, operation, rates, notification=True)
        if not retry:
            return response
        headers = {**response.headers, "Retry-After": str(self._state.config.retry_after.vm_write)}
        return Response(response.status, headers)
