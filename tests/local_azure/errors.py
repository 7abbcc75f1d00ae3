"""Errors in the words of Azure Resource Manager."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .http_types import Response, json_response


class ArmError(Exception):
    """A refusal: HTTP status, Azure's code and message.

    ``gateway`` errors come from Resource Manager itself (compact JSON and
    ``x-ms-failure-cause``), all others from the resource provider. ``target`` is the property or
    parameter that is at fault, where the service names it, and ``details`` are the errors behind
    this one.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        gateway: bool = False,
        headers: Mapping[str, str] | None = None,
        target: str | None = None,
        details: Sequence[Mapping[str, Any]] = (),
        inner: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.gateway = gateway
        self.headers = dict(headers or {})
        self.target = target
        self.details = details
        self.inner = inner

    def body(self) -> dict[str, dict[str, Any]]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target is not None:
            error["target"] = self.target
        if self.details:
            error["details"] = list(self.details)
        if self.inner is not None:
            error["innererror"] = self.inner
        return {"error": error}

    def response(self) -> Response:
        if not self.gateway:
            return json_response(self.status, self.body(), self.headers)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "x-ms-failure-cause": "gateway",
            **self.headers,
        }
        return Response(
            self.status, headers, json.dumps(self.body(), separators=(",", ":")).encode()
        )


def resource_not_found(resource_type: str, name: str, resource_group: str) -> ArmError:
    """Resource Manager's 404 for a tracked resource that does not exist."""
    return ArmError(
        404,
        "ResourceNotFound",
        f"The Resource '{resource_type}/{name}' under resource group '{resource_group}' was not"
        " found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        gateway=True,
    )


def entity_not_found() -> ArmError:
    """The compute provider's 404 for a child resource that does not exist."""
    return ArmError(404, "NotFound", "The entity was not found in this Azure location.")


def invalid_parameter(message: str, target: str | None = None) -> ArmError:
    return ArmError(400, "InvalidParameter", message, target=target)


def missing_parameter(name: str) -> ArmError:
    """The provider's refusal of a request that lacks something."""
    return invalid_parameter(f"Required parameter '{name}' is missing (null).", name)


def conflict(code: str, message: str) -> ArmError:
    return ArmError(409, code, message)
