"""One local Azure: takes requests, checks them, hands them to the part that answers."""

from __future__ import annotations

import re
import sys
import traceback
from email.utils import format_datetime
from pathlib import Path

from .arm.api_versions import check_api_version
from .arm.authorization import Authorization
from .arm.batch import answer_batch, is_batch
from .arm.governance import govern
from .arm.operations import Operations
from .arm.other_types import add_other_types, not_answered
from .arm.pages import paged
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
from .faults import Fault, Faults, omit_operation, omit_range
from .http_server import Delivery
from .http_types import Request, Response
from .identity import Identity
from .network import Network
from .recorded_answers import recorded_answer
from .resource_groups import ResourceGroups
from .state import State
from .storage.blob_errors import StorageError
from .storage.disk_store import DiskStore
from .storage.page_blob import BlobService
from .storage.sas import Grant, SasRegistry

CONTROL_PREFIX = "/_local/"
BLOB_PREFIX = "/md-"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SPOILED = {"omit_range": omit_range, "omit_operation": omit_operation}
_TWICE = re.compile(r"(/providers/[^/]+)//+", re.IGNORECASE)
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
        self._spent: dict[str, int] = {}
        self.blobs.check_token = self._check_disk_token
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
        add_other_types(self._management)
        Control(self.state, self.identity, self.authorization, self.audit, self.faults).routes(
            self._control
        )

    def _check_disk_token(self, request: Request, grant: Grant) -> None:
        """The data actions of the role Data Operator for Managed Disks (disks-secure-upload-download).

        A disk restore point has none of its own; that those of snapshots count is assumed.

        Raises:
            StorageError: 401 without a good token, 403 where its owner may not do this.
        """
        claims = self.identity.check_disk(request)
        kind = "disks" if "/disks/" in grant.resource_id.lower() else "snapshots"
        verb = "upload" if grant.access == "Write" else "download"
        action = f"Microsoft.Compute/{kind}/{verb}/action"
        client = claims["appid"]
        if not self.authorization.allows(client, action, grant.resource_id, data=True):
            raise StorageError("AuthorizationPermissionMismatch")

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
            response = self._refusal(fault, request)
        else:
            response = self._answer(request, area, fault)
        if fault is not None and fault.kind in _SPOILED:
            response = _SPOILED[fault.kind](response)
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

    def _refusal(self, fault: Fault, request: Request) -> Response:
        if fault.answer is not None:
            error = recorded_answer(fault.answer, request, fault.retry_after, self.state.clock)
            return self._with_common_headers(request, error.response())
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return ArmError(fault.status, fault.code, fault.message, headers=headers).response()

    def _answer(self, request: Request, area: str, fault: Fault | None) -> Response:
        if area == "blob":
            return self._guarded(request, self.blobs.handle)
        if area == "identity":
            return self._guarded(request, self._answer_identity)
        if is_batch(request):
            response = self._guarded(request, self._answer_batch)
            return self._with_common_headers(request, response)
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
        request.path = _TWICE.sub(r"\1/", request.path)
        version = request.query.get("api-version")
        check_api_version(self.state.resources, request.path, version, self.state.clock.now())
        self.state.operations.settle()
        self.authorization.check(claims, request)
        self._check_scope(request)
        request.body = govern(
            self.config.governance, self.state.resources, request.method, request.path, request.body
        )
        response = _dispatch(self._management, request)
        size = self.config.limits.page_size
        response = self.authorization.visible(claims, request, response)
        return paged(request, response, size, self.state.operations.base_url)

    def _answer_batch(self, request: Request) -> Response:
        self.identity.check(request)
        check_api_version(
            self.state.resources,
            request.path,
            request.query.get("api-version"),
            self.state.clock.now(),
        )
        return answer_batch(request, lambda inner: self.handle(inner).response)

    def _check_scope(self, request: Request) -> None:
        parts = request.path.split("/")
        if len(parts) < 3 or parts[1].lower() != "subscriptions" or not parts[2]:
            return
        if parts[2].lower() != self.config.subscription.lower():
            if not _GUID.fullmatch(parts[2]):
                raise ArmError(
                    400,
                    "InvalidSubscriptionId",
                    f"The provided subscription identifier '{parts[2]}' is malformed or invalid.",
                    gateway=True,
                )
            raise ArmError(
                404,
                "SubscriptionNotFound",
                f"The subscription '{parts[2]}' could not be found.",
                gateway=True,
            )
        if len(parts) > 5 and parts[3].lower() == "resourcegroups":
            need_group(self.state.resources, parts[2], parts[4])

    def _remaining(self, request: Request) -> dict[str, str]:
        """How many requests Resource Manager would still take this hour; nothing runs out here."""
        kind = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}.get(request.method, "writes")
        self._spent[kind] = self._spent.get(kind, 0) + 1
        left = max(1, (15000 if kind == "deletes" else 12000) - self._spent[kind])
        return {f"x-ms-ratelimit-remaining-subscription-{kind}": str(left)}

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
            **self._remaining(request),
            **response.headers,
        }
        if client_id := request.headers.get("x-ms-client-request-id"):
            headers["x-ms-client-request-id"] = client_id
        return Response(response.status, headers, response.body)


def _dispatch(router: Router, request: Request) -> Response:
    found = router.find(request)
    if found is None:
        raise not_answered(request.method, request.path)
    handler, call = found
    return handler(call)
