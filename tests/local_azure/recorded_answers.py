"""Refusals as they were recorded, for a test that asks for one by its name (a fault's ``answer``).

Each was sent by the service in the situation that its name says. They are here because local Azure
meets none of these situations by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta

from .clock import Clock, wire_time
from .errors import ArmError, entity_not_found, resource_not_found
from .http_types import Request

Recorded = Callable[[Request, int, Clock], ArmError]


def recorded_answer(name: str, request: Request, seconds: int | None, clock: Clock) -> ArmError:
    """The answer of this name to a request.

    Args:
        seconds: the pause that it names; None: what was recorded.
    """
    builder, usual = RECORDED[name]
    return builder(request, usual if seconds is None else seconds, clock)


def _later(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


def compute_throttled(group: str, clock: Clock, seconds: int, limit: int = 3) -> ArmError:
    """The compute provider's 429 (terraform-provider-azurerm#19146): the detail's message is JSON."""
    now = clock.now()
    measured = {
        "operationGroup": group,
        "startTime": wire_time(now),
        "endTime": wire_time(now + timedelta(seconds=seconds)),
        "allowedRequestCount": limit,
        "measuredRequestCount": limit + 1,
    }
    detail = {"code": "TooManyRequests", "target": group, "message": json.dumps(measured)}
    return ArmError(
        429, "OperationNotAllowed",
        "The server rejected the request because too many requests have been received for this"
        " subscription.",
        headers=_later(seconds), details=[detail],
        inner={"internalErrorCode": "TooManyRequestsReceived"},
    )  # fmt: skip


def _throttled(request: Request, seconds: int, clock: Clock) -> ArmError:
    group = "HighCostGet" if request.method == "GET" else "UpdateVM"
    return compute_throttled(f"{group}3Min", clock, seconds)


def _action_throttled(request: Request, seconds: int, _clock: Clock) -> ArmError:
    """Resource Manager's 429 for one action."""
    verbs = {"GET": "read", "DELETE": "delete", "POST": "action"}
    action = f"{_type_of(request)}/{verbs.get(request.method, 'write')}"
    return ArmError(
        429, "ResourceRequestsThrottled",
        f"Number of requests for action '{action}' exceeded the limit of '150' for time interval"
        f" '01:00:00'. Please try again after '{seconds}' seconds.",
        gateway=True, headers=_later(seconds),
    )  # fmt: skip


def _subscription_throttled(request: Request, seconds: int, _clock: Clock) -> ArmError:
    """Resource Manager's 429 for a subscription; without the header that names the gateway."""
    parts = request.path.split("/")
    where = _type_of(request).upper()
    return ArmError(
        429, "SubscriptionRequestsThrottled",
        f"Number of requests for subscription '{parts[2] if len(parts) > 2 else ''}' and operation"
        f" '{request.method}/SUBSCRIPTIONS/RESOURCEGROUPS/PROVIDERS/{where}/' exceeded the backend"
        f" storage limit. Please try again after '{seconds}' seconds.",
        headers=_later(seconds),
    )  # fmt: skip


def _server_timeout(_request: Request, _seconds: int, clock: Clock) -> ArmError:
    stamp = clock.now().strftime("%Y%m%dT%H%M%SZ")
    return ArmError(
        503, "ServerTimeout",
        f"The request timed out. Diagnostic information: timestamp '{stamp}', subscription id '',"
        " tracking id '', request correlation id ''.",
        gateway=True,
    )  # fmt: skip


def _gateway_timeout(request: Request, _seconds: int, _clock: Clock) -> ArmError:
    provider = _type_of(request).split("/")[0]
    return ArmError(
        504, "GatewayTimeout",
        f"The gateway did not receive a response from '{provider}' within the specified time"
        " period.",
        gateway=True,
    )  # fmt: skip


def _failed_poll(_request: Request, _seconds: int, _clock: Clock) -> ArmError:
    """A poll that fails while its operation goes on."""
    detail = {"code": "ServerTimeout", "message": "The request timed out."}
    return ArmError(
        500, "MultipleErrorsOccurred", "Multiple error occurred: . Please see details.",
        gateway=True, details=[detail],
    )  # fmt: skip


def _unread_by_policy(request: Request, _seconds: int, _clock: Clock) -> ArmError:
    return ArmError(
        504, "ResourceReadFailed",
        "Policy required full resource content to evaluate the request. The request to GET resource"
        f" '{request.path}' failed with status 'GatewayTimeout'.",
        gateway=True, target=request.path.rsplit("/", 1)[-1],
    )  # fmt: skip


def _not_in_gateway(request: Request, _seconds: int, _clock: Clock) -> ArmError:
    parts = request.path.split("/")
    return resource_not_found(_type_of(request), parts[-1], parts[4] if len(parts) > 4 else "")


def _not_in_provider(_request: Request, _seconds: int, _clock: Clock) -> ArmError:
    return entity_not_found()


def _not_in_disks(request: Request, _seconds: int, _clock: Clock) -> ArmError:
    kind = "Snapshot" if "/snapshots/" in request.path.lower() else "Disk"
    return ArmError(404, "NotFound", f"{kind} {request.path.rsplit('/', 1)[-1]} is not found.")


def _type_of(request: Request) -> str:
    found = re.search(r"/providers/([^/]+/[^/]+)", request.path, re.IGNORECASE)
    return found[1] if found else "Microsoft.Resources/subscriptions"


# The name, what builds it, and the seconds that it usually names.
RECORDED: dict[str, tuple[Recorded, int]] = {
    "throttled_by_compute": (_throttled, 120),
    "throttled_by_action": (_action_throttled, 324),
    "throttled_by_subscription": (_subscription_throttled, 6),
    "server_timeout": (_server_timeout, 0),
    "gateway_timeout": (_gateway_timeout, 0),
    "failed_poll": (_failed_poll, 0),
    "unread_by_policy": (_unread_by_policy, 0),
    "not_found_by_gateway": (_not_in_gateway, 0),
    "not_found_by_compute": (_not_in_provider, 0),
    "not_found_by_disks": (_not_in_disks, 0),
}
