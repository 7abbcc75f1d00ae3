"""The control interface, outside the Azure paths: what only the owner of local Azure can do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from .arm.authorization import Authorization, Role
from .arm.resources import Resource
from .arm.router import Call, Handler, Router
from .audit import Audit
from .compute.disk_model import DISK_TYPE
from .compute.virtual_machines import create_vm_directly
from .errors import ArmError
from .faults import OPTIONS as FAULT_OPTIONS
from .faults import Fault, Faults
from .http_types import Response
from .identity import Identity
from .state import State
from .storage.image import Image

GIB = 1 << 30


def _json(body: Any, status: int = 200) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _bad(message: str) -> ArmError:
    return ArmError(400, "BadRequest", message)


def _checked(handler: Handler) -> Handler:
    """Turn what a caller can get wrong into one sentence with status 400."""

    def answer(call: Call) -> Response:
        try:
            return handler(call)
        except KeyError as error:
            raise _bad(f"{error.args[0]!r} is missing.") from error
        except (ValueError, TypeError, OverflowError, OSError) as error:
            raise _bad(str(error)) from error

    return answer


class Control:
    """Virtual machines from image files, guest writes, the clock, faults, the audit."""

    def __init__(
        self,
        state: State,
        identity: Identity,
        authorization: Authorization,
        audit: Audit,
        faults: Faults,
    ) -> None:
        self._state = state
        self._identity = identity
        self._authorization = authorization
        self._audit = audit
        self._faults = faults

    def routes(self, router: Router) -> None:
        table: list[tuple[str, str, Callable[[Call], Response]]] = [
            ("POST", "vms", self._create_vm),
            ("PATCH", "vms", self._change_vm),
            ("POST", "guest/write", self._guest_write),
            ("POST", "guest/clear", self._guest_clear),
            ("GET", "disks/digest", self._digest),
            ("POST", "disks/export", self._export),
            ("PATCH", "disks", self._change_disk),
            ("POST", "clock/advance", self._advance),
            ("GET", "config", self._show_config),
            ("PATCH", "config", self._configure),
            ("POST", "credentials", self._credential),
            ("GET", "roles", self._show_roles),
            ("PUT", "roles", self._set_roles),
            ("DELETE", "roles", self._forget_roles),
            ("GET", "faults", self._show_faults),
            ("POST", "faults", self._add_fault),
            ("DELETE", "faults", self._clear_faults),
            ("GET", "audit", self._read_audit),
        ]
        for method, path, handler in table:
            router.add(method, f"/_local/{path}", _checked(handler))

    def _create_vm(self, call: Call) -> Response:
        body = call.body()
        config = self._state.config
        os_disk = body["os_disk"]
        vm = create_vm_directly(
            self._state,
            subscription=config.subscription,
            group=body["resource_group"],
            name=body["name"],
            location=body.get("location", config.location),
            size=body.get("size", "Standard_D8s_v5"),
            os_type=body.get("os_type", "Linux"),
            os_image=self._image(os_disk),
            os_gb=os_disk.get("size_gb", 1),
            data=[{**disk, "image": self._image(disk)} for disk in body.get("data_disks", [])],
            **{
                name: body[name]
                for name in (
                    "zones",
                    "tags",
                    "running",
                    "agent",
                    "hyper_v_generation",
                    "security_type",
                )
                if name in body
            },
        )
        return _json(vm.answer(), 201)

    def _image(self, disk: dict[str, Any]) -> Image:
        size = disk.get("size_gb", 1) * GIB
        if "image" not in disk:
            return self._state.store.create(size)
        return self._state.store.import_file(Path(disk["image"]), size)

    def _change_vm(self, call: Call) -> Response:
        body = call.body()
        vm = self._need(body["id"], "Microsoft.Compute/virtualMachines")
        vm.hidden["agent"] = bool(body["agent"])
        return _json(vm.answer())

    def _change_disk(self, call: Call) -> Response:
        body = call.body()
        disk = self._need(body["id"], DISK_TYPE)
        disk.properties.update(body["properties"])
        return _json(disk.answer())

    def _need(self, resource_id: str, resource_type: str) -> Resource:
        found = self._state.resources.get(resource_id)
        if found is None or found.type != resource_type:
            raise ArmError(404, "NotFound", f"There is no {resource_type} {resource_id}.")
        return found

    def _disk(self, call: Call) -> Resource:
        """The disk named by ``id``, or by ``vm`` and ``lun`` (a number, or ``os``)."""
        query = call.request.query
        if "id" in query:
            return self._need(query["id"], DISK_TYPE)
        vm = self._need(query["vm"], "Microsoft.Compute/virtualMachines")
        storage = vm.properties["storageProfile"]
        if query["lun"] == "os":
            return self._need(storage["osDisk"]["managedDisk"]["id"], DISK_TYPE)
        for disk in storage["dataDisks"]:
            if str(disk["lun"]) == query["lun"]:
                return self._need(disk["managedDisk"]["id"], DISK_TYPE)
        raise ArmError(404, "NotFound", f"The virtual machine has no disk at LUN {query['lun']}.")

    def _guest_disk(self, call: Call) -> Resource:
        vm = self._need(call.request.query["vm"], "Microsoft.Compute/virtualMachines")
        if vm.hidden["power"] != "running":
            raise ArmError(
                409, "VmNotRunning", f"The guest of {vm.name} does not run, so it cannot write."
            )
        return self._disk(call)

    def _guest_write(self, call: Call) -> Response:
        image = self._guest_disk(call).hidden["image"]
        image.write(int(call.request.query["offset"]), call.request.body)
        return _json({"written": len(call.request.body)})

    def _guest_clear(self, call: Call) -> Response:
        image = self._guest_disk(call).hidden["image"]
        length = int(call.request.query["length"])
        image.clear(int(call.request.query["offset"]), length)
        return _json({"cleared": length})

    def _digest(self, call: Call) -> Response:
        disk = self._disk(call)
        return _json({"id": disk.id, "fingerprint": disk.hidden["image"].fingerprint()})

    def _export(self, call: Call) -> Response:
        disk = self._disk(call)
        disk.hidden["image"].export(Path(call.body()["path"]))
        return _json({"id": disk.id})

    def _advance(self, call: Call) -> Response:
        self._state.clock.advance(float(call.body()["seconds"]))
        return _json({"now": self._state.clock.now().isoformat()})

    def _show_config(self, call: Call) -> Response:  # noqa: ARG002 - a handler
        return _json(self._state.config.public())

    def _configure(self, call: Call) -> Response:
        self._state.config.update(call.body())
        return _json(self._state.config.public())

    def _credential(self, call: Call) -> Response:
        """Make a client's secret; ``expires_in`` seconds, which may be negative."""
        body = call.body()
        expires_in = body.get("expires_in")
        expiry = None
        if expires_in is not None:
            expiry = self._state.clock.now() + timedelta(seconds=float(expires_in))
        self._identity.clients.setdefault(body["client_id"], {})[body["secret"]] = expiry
        return _json({"client_id": body["client_id"]}, 201)

    def _show_roles(self, call: Call) -> Response:  # noqa: ARG002 - a handler
        return _json(self._authorization.public())

    def _set_roles(self, call: Call) -> Response:
        """What a client may do from now on: what these roles name, and nothing else."""
        body = call.body()
        roles = body["roles"]
        if not isinstance(roles, list):
            raise _bad("roles is a list of roles.")
        self._authorization.assign(str(body["client_id"]), [Role.read(role) for role in roles])
        return _json(self._authorization.public())

    def _forget_roles(self, call: Call) -> Response:
        self._authorization.everything(call.request.query["client_id"])
        return _json(self._authorization.public())

    def _show_faults(self, call: Call) -> Response:  # noqa: ARG002 - a handler
        return _json([fault.public() for fault in self._faults.all()])

    def _add_fault(self, call: Call) -> Response:
        body = call.body()
        unknown = sorted(set(body) - FAULT_OPTIONS)
        if unknown:
            raise _bad(f"A fault has no {unknown[0]!r}.")
        fault = Fault(body.pop("pattern"), **body)
        self._faults.add(fault)
        return _json(fault.public(), 201)

    def _clear_faults(self, call: Call) -> Response:  # noqa: ARG002 - a handler
        self._faults.clear()
        return _json([])

    def _read_audit(self, call: Call) -> Response:
        """Requests after number ``after``, the live signatures, what is under way, and crashes."""
        return _json(
            {
                "requests": self._audit.entries(int(call.request.query.get("after", 0))),
                "active_sas": [grant.public() for grant in self._state.sas.active()],
                "operations_in_progress": self._state.operations.in_progress(),
                "crashes": self._audit.crashes,
            }
        )
