# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client through which the engine talks to Azure Resource Manager.

Calls go through azure-mgmt-compute, which knows paths, verbs and API versions; answers are the
service's own JSON, so that nothing it says is lost in a model that is older than the service.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from .._azure_errors import from_azure
from .._clock import Deadline, SystemClock
from .._errors import NotFound, OperationFailed, missing_library
from .._login.clouds import PATIENCE
from .._requirements import require
from .noticing import noticing_policy
from .pipeline import policy_chain
from .read_only import read_only_policy
from .recording import recorder_of, recording_policy
from .versions import pins_of
from .waiting import operation_polling, wait_until

FINAL_STATES = ("Succeeded", "Failed", "Canceled")


def _raw(pipeline_response: Any, _deserialized: Any, _headers: Any) -> Any:
    """The JSON of an answer, None where it has no body."""
    response = pipeline_response.http_response
    return response.json() if response.text() else None


class ArmClient:
    """Reads, writes and waits, in one subscription.

    Args:
        login: credential, cloud and subscription (``_login.login.Login``).
        clock: the task's time.
        wait_timeout: seconds for everything that this client waits for, together.
        read_only: refuse every write at the transport (check mode).
        on_write: called for each write that Azure did not refuse.
        transport: an azure-core transport in place of the default one.
    """

    def __init__(
        self,
        login: Any,
        *,
        clock: SystemClock | None = None,
        wait_timeout: float = 1800,
        read_only: bool = False,
        on_write: Callable[[], None] | None = None,
        transport: Any = None,
    ) -> None:
        self.login = login
        self.subscription_id = login.subscription_id
        self.deadline = Deadline(clock or SystemClock(), wait_timeout)
        self._read_only = read_only
        self._on_write = on_write
        self._transport = transport
        self._compute: Any = None
        self._plain: Any = None

    def _settings(self, moniker: str) -> dict[str, Any]:
        below = []
        if self._read_only:
            below = [read_only_policy()]
        elif self._on_write is not None:
            below = [noticing_policy(self._on_write)]
        if recorder := recorder_of(self.login):
            # Below the others: what they refuse was never sent.
            below.append(recording_policy(recorder))
        settings: dict[str, Any] = {
            "policies": policy_chain(self.login, self.deadline, below, moniker),
            **PATIENCE,
        }
        if self._transport is not None:
            settings["transport"] = self._transport
        return settings

    @property
    def compute(self) -> Any:
        """The ComputeManagementClient, made when first used."""
        if self._compute is None:
            require("azure-mgmt-compute")
            try:
                from azure.mgmt import compute
            except ImportError as error:
                raise missing_library("azure-mgmt-compute", "to talk to Azure") from error
            self._compute = compute.ComputeManagementClient(
                self.login.credential,
                self.subscription_id,
                base_url=self.login.cloud.resource_manager,
                **self._settings(f"mgmt-compute/{compute.__version__}"),
            )
        return self._compute

    @property
    def plain(self) -> Any:
        """A pipeline for the few reads outside Microsoft.Compute."""
        if self._plain is None:
            require("azure-mgmt-compute")  # azure-mgmt-core comes with it
            import azure.mgmt.core

            self._plain = azure.mgmt.core.ARMPipelineClient(
                self.login.cloud.resource_manager,
                **self._settings(f"mgmt-core/{azure.mgmt.core.__version__}"),
            )
        return self._plain

    def get(self, resource_id: str, api_version: str = "") -> dict[str, Any]:
        """Any resource by its id.

        Args:
            api_version: for a kind that ``versions`` does not pin; for others that one counts.

        Raises:
            NotFound, AuthError, AzureError, ConnectionFailed: as Azure answers.
        """
        from azure.core.exceptions import AzureError, HttpResponseError
        from azure.core.rest import HttpRequest

        try:
            base = self.login.cloud.resource_manager.rstrip("/")
            version = api_version or pins_of(resource_id)[0]
            request = HttpRequest("GET", f"{base}{resource_id}?api-version={version}")
            response = self.plain.send_request(request)
            if response.status_code != 200:
                raise HttpResponseError(response=response)
            return response.json()
        except AzureError as error:
            raise from_azure(error, operation="read", resource=resource_id) from error

    def read(self, operation: str, resource: str, *args: Any, **options: Any) -> dict[str, Any]:
        """One read or synchronous write; ``operation`` is e.g. ``restore_points.get``."""
        return self._call(operation, resource, *args, cls=_raw, **options)

    def find(
        self, operation: str, resource: str, *args: Any, **options: Any
    ) -> dict[str, Any] | None:
        """Like read, but None where the resource does not exist."""
        try:
            return self.read(operation, resource, *args, **options)
        except NotFound:
            return None

    def list(
        self, operation: str, resource: str, *args: Any, **options: Any
    ) -> list[dict[str, Any]]:
        """All pages of a list."""
        pages: list[dict[str, Any]] = []

        def keep(pipeline_response: Any) -> None:
            pages.append(pipeline_response.http_response.json())

        def walk(function: Callable[..., Any]) -> None:
            for _unused in function(*args, raw_response_hook=keep, **options):
                pass

        self._guard(operation, resource, walk)
        return [item for page in pages for item in page.get("value", [])]

    def put(
        self, operation: str, resource: str, *args: Any, body: dict[str, Any]
    ) -> dict[str, Any]:
        """A synchronous write with a body."""
        return self.read(operation, resource, *args, _json(body), content_type="application/json")

    def run(
        self,
        operation: str,
        resource: str,
        *args: Any,
        body: dict[str, Any] | None = None,
        wait: bool = True,
        final_state_via: str | None = None,
        once: bool = False,
        **options: Any,
    ) -> Any:
        """Start a long-running operation and, by default, wait for its end.

        Args:
            once: send the request a single time, and raise for each refusal and for each lost
                connection what the pipeline would otherwise try again. For what creates something
                that was looked for before: who looked looks again, and then sends again. What
                follows the request, as looking for its end, is repeated as ever.

        Returns:
            What it ends with (the resource, ``{"accessSAS": ...}``), or None; without ``wait``
            the first answer.

        Raises:
            OperationFailed: it ended as Failed or Canceled.
            OperationTimeout: the deadline passed; Azure goes on with it.
        """
        if body is not None:
            args = (*args, _json(body))
            options["content_type"] = "application/json"
        if once:
            options["retry_total"] = 0
        polling: Any = False
        if wait:
            polling = operation_polling(
                self.deadline,
                operation=verb_phrase(operation),
                resource=resource,
                final_state_via=final_state_via,
            )

        def act(function: Callable[..., Any]) -> Any:
            from azure.core.exceptions import HttpResponseError

            try:
                return function(*args, polling=polling, cls=_raw, **options).result()
            except HttpResponseError as error:
                if not _accepted_before(error):
                    raise
                return self._adopt(error.response, operation, resource, wait=wait)

        return self._guard(operation, resource, act)

    def _adopt(self, response: Any, operation: str, resource: str, *, wait: bool) -> Any:
        """Go on with what an earlier request started, whose answer was lost on its way."""
        body = response.json()
        if not wait:
            return body
        path = urlsplit(response.request.url).path
        seen = self.wait_until(
            lambda: self.get(path),
            lambda found: _state(found) in FINAL_STATES,
            operation=verb_phrase(operation),
            resource=resource,
        )
        if _state(seen) != "Succeeded":
            raise OperationFailed(
                f"The operation to {verb_phrase(operation)} {resource} ended as {_state(seen)}.",
                operation=verb_phrase(operation),
                resource=resource,
            )
        return seen

    def wait_until(
        self, look: Callable[[], Any], done: Callable[[Any], bool], *, operation: str, resource: str
    ) -> Any:
        """Wait for a state instead of an operation, for example to adopt one of an earlier run."""
        return wait_until(look, done, self.deadline, operation=operation, resource=resource)

    def _call(self, operation: str, resource: str, *args: Any, **options: Any) -> Any:
        return self._guard(operation, resource, lambda function: function(*args, **options))

    def _guard(self, operation: str, resource: str, act: Callable[[Any], Any]) -> Any:
        group, name = operation.split(".")
        function = getattr(getattr(self.compute, group), name)
        phrase = verb_phrase(operation)
        from azure.core.exceptions import AzureError

        try:
            return act(function)
        except AzureError as error:
            if failed := _failed_operation(error):
                raise OperationFailed(
                    f"The operation to {phrase} {resource} failed: {failed['message']}",
                    code=failed["code"],
                    operation=phrase,
                    resource=resource,
                ) from error
            raise from_azure(error, operation=phrase, resource=resource) from error


def _accepted_before(error: Any) -> bool:
    """Whether a repeated PUT found its work begun: 200, where azure-mgmt-compute knows only 201."""
    response = error.response
    return (
        response is not None
        and response.status_code == 200
        and response.request.method == "PUT"
        and _failed_operation(error) is None
    )


def _state(resource: dict[str, Any]) -> str | None:
    return (resource.get("properties") or {}).get("provisioningState")


_VERBS = {
    "get": "read", "grant access": "grant access to", "revoke access": "revoke access to"
}  # fmt: skip


def verb_phrase(operation: str) -> str:
    """``restore_points.begin_create`` in words: create restore point."""
    group, name = operation.split(".")
    verb = name.removeprefix("begin_").replace("_or_update", "").replace("_", " ")
    noun = group.removesuffix("s").replace("_", " ")
    return f"{_VERBS.get(verb, verb)} {noun}"


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body).encode()


def _failed_operation(error: Any) -> dict[str, str] | None:
    """Azure's code and message, when the error is an operation that ended as failed."""
    response = getattr(error, "response", None)
    if response is None or response.status_code >= 400:
        return None
    try:
        body = response.json()
    except ValueError:
        return None
    if not isinstance(body, dict) or body.get("status") not in ("Failed", "Canceled"):
        return None
    told = body.get("error") or {}
    return {
        "code": told.get("code", body["status"]),
        "message": told.get("message", "Azure gives no reason."),
    }
