"""One local Azure: takes requests, checks them, hands them to the part that answers."""

from __future__ import annotations

import sys
import traceback
from email.utils import format_datetime
from pathlib import Path

from .arm.authorization import Authorization
from .arm.operations import Operations
from .arm.request_checks import check_request
from .arm.resources import Resources, need_group, new_guid
from .arm.router import Router
from .audit import Audit
from .clock import Clock
from .compute.disk_restore_points import DiskRestorePoints
from .compute.disks import Disks
from .compute.restore_point_collections import RestorePointCollections
from .compute.restore_points import RestorePoints
from .compute.snapshots import Snapshots
from .compute.virtual_machines import VirtualMachines
from .config import Config
from .control import Control
from .errors import ArmError
from .faults import Fault, Faults, omit_range
from .http_server import Delivery
from .http_types import Request, Response
from .identity import Identity
from .network import Network
from .resource_groups import ResourceGroups
from .state import State
from .storage.disk_store import DiskStore
from .storage.page_blob import BlobService
from .storage.sas import SasRegistry

CONTROL_PREFIX = "/_local/"
BLOB_PREFIX = "/md-"
_OPEN_PATHS = ("/metadata/", "/msi/", "/common/discovery/", "/.well-known/", "/oauth2/")


class App:
    """The application behind the server: ``handle`` answers every request."""

    def __init__(self, config: Config, directory: Path) -> None:
        clock = Clock()
        self.config = config
        self.state = State(
            config, clock, Resources(), Operations(clock), DiskStore(directory), SasRegistry(clock)
        )
        self.identity = Identity(config, clock)
        self.authorization = Authorization(config.subscription)
        self.audit = Audit(clock)
        self.faults = Faults()
        self.blobs = BlobService(self.state.sas, clock)
        self._management = Router()
        self._open = Router()
        self._control = Router()
        self._add_routes()

    def _add_routes(self) -> None:
        self.identity.routes(self._open)
        for provider in (
            ResourceGroups,
            Network,
            Disks,
            Snapshots,
            RestorePointCollections,
            RestorePoints,
            DiskRestorePoints,
            VirtualMachines,
        ):
            provider(self.state).routes(self._management)
        self.state.operations.routes(self._management)
        Control(self.state, self.identity, self.authorization, self.audit, self.faults).routes(
            self._control
        )

    def bind(self, base_url: str) -> None:
        """Tell every part the URL that clients reach it by; called once, before the first request."""
        self.state.operations.base_url = base_url
        self.state.sas.base_url = base_url
        self.identity.base_url = base_url

    def handle(self, request: Request) -> Delivery:
        """Answer one request; whatever goes wrong in here becomes Azure's 500 and is kept in the audit."""
        if request.path.startswith(CONTROL_PREFIX):
            return Delivery(self._guarded(request, self._answer_control))
        area = self._area(request)
        fault = self.faults.strike(request)
        if fault is not None and fault.is_held_before:
            self.faults.hold(fault)
        if fault is not None and fault.kind in ("status", "reset"):
            response = _refusal(fault)
        else:
            response = self._answer(request, area, fault)
        if fault is not None and fault.kind == "omit_range":
            response = omit_range(response)
        self.audit.record(request, response.status, area, fault.kind if fault else None)
        if fault is not None and not fault.is_held_before:
            self.faults.hold(fault)
        wire = {"reset": "reset", "lost_answer": "reset", "truncate": "truncate"}
        return Delivery(response, wire.get(fault.kind) if fault else None)

    @staticmethod
    def _area(request: Request) -> str:
        if request.path.startswith(BLOB_PREFIX):
            return "blob"
        opened = any(part in request.path for part in _OPEN_PATHS)
        return "identity" if opened and not request.path.startswith("/subscriptions") else "arm"

    def _answer(self, request: Request, area: str, fault: Fault | None) -> Response:
        if area == "blob":
            return self._guarded(request, self.blobs.handle)
        if area == "identity":
            return self._guarded(request, self._answer_identity)
        with self.state.lock:
            if fault is not None and fault.kind == "fail_operation":
                self.state.operations.fail_next = ArmError(fault.status, fault.code, fault.message)
            try:
                response = self._guarded(request, self._answer_management)
            finally:
                self.state.operations.fail_next = None
        return self._with_common_headers(request, response)

    def _guarded(self, request: Request, answer) -> Response:
        try:
            return answer(request)
        except ArmError as error:
            return error.response()
        except Exception:  # noqa: BLE001 - a client gets an answer whatever happens
            text = f"{request.method} {request.path}\n{traceback.format_exc()}"
            self.audit.crashes.append(text)
            sys.stderr.write(f"{text}\n")
            return ArmError(
                500, "InternalServerError", "Local Azure failed; see its audit."
            ).response()

    def _answer_control(self, request: Request) -> Response:
        with self.state.lock:
            self.state.operations.settle()
            return _dispatch(self._control, request)

    def _answer_identity(self, request: Request) -> Response:
        return _dispatch(self._open, request)

    def _answer_management(self, request: Request) -> Response:
        claims = self.identity.check(request)
        if "api-version" not in request.query:
            raise ArmError(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
                gateway=True,
            )
        self.state.operations.settle()
        self.authorization.check(claims, request)
        self._check_scope(request)
        check_request(request)
        answer = _dispatch(self._management, request)
        return self.authorization.visible(claims, request, answer)

    def _check_scope(self, request: Request) -> None:
        parts = request.path.split("/")
        if len(parts) < 3 or parts[1].lower() != "subscriptions" or not parts[2]:
            return
        if parts[2].lower() != self.config.subscription.lower():
            raise ArmError(
                404,
                "SubscriptionNotFound",
                f"The subscription '{parts[2]}' could not be found.",
                gateway=True,
            )
        if len(parts) > 5 and parts[3].lower() == "resourcegroups":
            need_group(self.state.resources, parts[2], parts[4])

    def _with_common_headers(self, request: Request, response: Response) -> Response:
        request_id = new_guid()
        headers = {
            "Date": format_datetime(self.state.clock.now(), usegmt=True),
            "Cache-Control": "no-cache",
            "Pragma": "no-cache",
            "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
            "x-ms-request-id": request_id,
            "x-ms-correlation-request-id": request.headers.get(
                "x-ms-correlation-request-id", request_id
            ),
            **response.headers,
        }
        if client_id := request.headers.get("x-ms-client-request-id"):
            headers["x-ms-client-request-id"] = client_id
        return Response(response.status, headers, response.body)


def _dispatch(router: Router, request: Request) -> Response:
    found = router.find(request)
    if found is None:
        raise ArmError(
            404,
            "InvalidResourceType",
            f"Nothing in local Azure answers {request.method} {request.path}.",
            gateway=True,
        )
    handler, call = found
    return handler(call)


def _refusal(fault: Fault) -> Response:
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return ArmError(fault.status, fault.code, fault.message, headers=headers).response()
