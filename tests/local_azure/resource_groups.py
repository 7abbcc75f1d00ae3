"""Resource groups and what else Azure Resource Manager itself answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .arm.filters import filtered
from .arm.operations import COMPUTE_OPERATIONS
from .arm.resources import Resource, new_guid
from .arm.router import GROUP, SUBSCRIPTION, Call, Router
from .errors import ArmError
from .http_types import Response, json_response
from .providers import PROVIDERS, REGIONS, provider_body, region_body
from .state import State

GROUP_TYPE = "Microsoft.Resources/resourceGroups"
_CHECK_AGAIN_SECONDS = 1.0
_NAME = re.compile(r"[\w().-]{0,89}[\w()-]")
_TRACKED_PARTS = 9  # of an id split at "/", whose first part is empty


def new_group(
    state: State, subscription: str, name: str, location: str, tags: dict[str, str] | None = None
) -> Resource:
    """Make a resource group, or answer the one that is there."""
    identity = f"/subscriptions/{subscription}/resourceGroups/{name}"
    found = state.resources.get(identity)
    if found is not None:
        return found
    body: dict[str, Any] = {"id": identity, "name": name, "type": GROUP_TYPE, "location": location}
    if tags is not None:
        body["tags"] = tags
    body["properties"] = {"provisioningState": "Succeeded"}
    return state.resources.put(Resource(identity, GROUP_TYPE, body))


class ResourceGroups:
    """Subscriptions, locations, providers, resource groups and the lists of what is in them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._deletions: dict[str, ArmError | bool | None] = {}

    def routes(self, router: Router) -> None:
        table = (
            ("GET", "/tenants", self._tenants),
            ("GET", "/subscriptions", self._subscriptions),
            ("GET", SUBSCRIPTION, self._subscription),
            ("GET", f"{SUBSCRIPTION}/locations", self._locations),
            ("GET", f"{SUBSCRIPTION}/providers", self._providers),
            ("GET", f"{SUBSCRIPTION}/providers/{{namespace}}", self._provider),
            ("POST", f"{SUBSCRIPTION}/providers/{{namespace}}/register", self._provider),
            ("GET", f"{SUBSCRIPTION}/resources", self._resources),
            ("GET", f"{SUBSCRIPTION}/operationresults/{{id}}", self._poll_deletion),
            ("GET", f"{SUBSCRIPTION}/resourceGroups", self._list),
            ("GET", f"{GROUP}/resources", self._resources),
            ("PUT", GROUP, self._put),
            ("PATCH", GROUP, self._patch),
            ("GET", GROUP, lambda call: json_response(200, self._need(call).answer())),
            ("HEAD", GROUP, self._exists),
            ("DELETE", GROUP, self._delete),
        )
        for method, path, handler in table:
            router.add(method, path, handler)

    # -- subscriptions and providers

    def _subscription_body(self) -> dict[str, Any]:
        config = self._state.config
        return {
            "id": f"/subscriptions/{config.subscription}",
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "subscriptionId": config.subscription,
            "tenantId": config.tenant,
            "displayName": config.subscription_name,
            "state": "Enabled",
            "subscriptionPolicies": {
                "locationPlacementId": "Public_2014-09-01",
                "quotaId": "PayAsYouGo_2014-09-01",
                "spendingLimit": "Off",
            },
        }

    def _tenants(self, call: Call) -> Response:  # noqa: ARG002 - there is one
        tenant = self._state.config.tenant
        body = {
            "id": f"/tenants/{tenant}", "tenantId": tenant, "tenantCategory": "Home",
            "displayName": "Local Azure", "countryCode": "DE", "domains": ["local.azure.invalid"],
            "defaultDomain": "local.azure.invalid", "tenantType": "AAD",
        }  # fmt: skip
        return json_response(200, {"value": [body]})

    def _subscriptions(self, call: Call) -> Response:  # noqa: ARG002 - there is one
        body = {"value": [self._subscription_body()], "count": {"type": "Total", "value": 1}}
        return json_response(200, body)

    def _subscription(self, call: Call) -> Response:
        if call["subscription"].lower() != self._state.config.subscription.lower():
            raise ArmError(
                404, "SubscriptionNotFound",
                f"The subscription '{call['subscription']}' could not be found.", gateway=True,
            )  # fmt: skip
        return json_response(200, self._subscription_body())

    def _locations(self, call: Call) -> Response:
        names = {self._state.config.location: None, **dict.fromkeys(REGIONS)}
        return json_response(
            200, {"value": [region_body(call["subscription"], name) for name in names]}
        )

    def _providers(self, call: Call) -> Response:
        bodies = [
            provider_body(call["subscription"], name, self._locations_known()) for name in PROVIDERS
        ]
        return json_response(200, {"value": bodies})

    def _provider(self, call: Call) -> Response:
        name = next((item for item in PROVIDERS if item.lower() == call["namespace"].lower()), None)
        if name is None:
            raise ArmError(
                404, "InvalidResourceNamespace",
                f"The resource namespace '{call['namespace']}' is invalid.", gateway=True,
            )  # fmt: skip
        return json_response(
            200, provider_body(call["subscription"], name, self._locations_known())
        )

    def _locations_known(self) -> list[str]:
        return list(dict.fromkeys((self._state.config.location, *REGIONS)))

    # -- what there is

    def _resources(self, call: Call) -> Response:
        if "group" in call.params:
            self._need(call)
        found = self._tracked(call["subscription"], call.params.get("group"))
        shown = ("id", "name", "type", "sku", "location", "zones", "identity", "managedBy", "tags")
        value = [{key: item.body[key] for key in shown if key in item.body} for item in found]
        return json_response(200, {"value": filtered(value, call.request.query.get("$filter"))})

    def _tracked(self, subscription: str, group: str | None) -> Iterator[Resource]:
        """Resources with a life of their own: no groups, and nothing inside of another resource."""
        prefix = f"/subscriptions/{subscription}/resourceGroups"
        for item in self._state.resources.below(f"{prefix}/{group}" if group else prefix):
            if len(item.id.split("/")) == _TRACKED_PARTS:
                yield item

    # -- resource groups

    def _id(self, call: Call) -> str:
        return f"/subscriptions/{call['subscription']}/resourceGroups/{call['group']}"

    def _need(self, call: Call) -> Resource:
        found = self._state.resources.get(self._id(call))
        if found is None:
            raise ArmError(
                404, "ResourceGroupNotFound",
                f"Resource group '{call['group']}' could not be found.", gateway=True,
            )  # fmt: skip
        return found

    def _list(self, call: Call) -> Response:
        found = self._state.resources.of_type(GROUP_TYPE, subscription=call["subscription"])
        value = filtered([item.answer() for item in found], call.request.query.get("$filter"))
        return json_response(200, {"value": value})

    def _exists(self, call: Call) -> Response:
        return Response(204 if self._state.resources.get(self._id(call)) else 404)

    def _put(self, call: Call) -> Response:
        body = call.body()
        name, location = call["group"], str(body.get("location") or "").replace(" ", "").lower()
        if not _NAME.fullmatch(name):
            raise ArmError(
                400, "InvalidResourceGroupName",
                f"The provided resource group name '{name}' has these invalid characters or ends"
                " with a period. The name can only be a letter, digit, '-', '.', '(', ')' or '_',"
                " and is at most 90 characters long.",
                gateway=True,
            )  # fmt: skip
        if not location:
            raise ArmError(
                400, "LocationRequired", "The location property is required for this definition.",
                gateway=True,
            )  # fmt: skip
        old = self._state.resources.get(self._id(call))
        if old is None:
            made = new_group(self._state, call["subscription"], name, location, body.get("tags"))
            return json_response(201, made.answer())
        _check_same_location(old, location)
        return self._retag(old, body.get("tags"))

    def _patch(self, call: Call) -> Response:
        found, body = self._need(call), call.body()
        return self._retag(found, body.get("tags", found.body.get("tags")))

    @staticmethod
    def _retag(group: Resource, tags: dict[str, str] | None) -> Response:
        group.body.pop("tags", None)
        if tags is not None:
            properties = group.body.pop("properties")
            group.body.update(tags=tags, properties=properties)
        return json_response(200, group.answer())

    # -- deletion

    def _delete(self, call: Call) -> Response:
        group = self._need(call)
        group.properties["provisioningState"] = "Deleting"
        deletion = new_guid()
        self._deletions[deletion] = None
        self._schedule(group, deletion, self._state.config.durations.delete)
        return Response(202, self._location(call, deletion))

    def _location(self, call: Call, deletion: str) -> dict[str, str]:
        url = (
            f"{self._state.operations.base_url}/subscriptions/{call['subscription']}"
            f"/operationresults/{deletion}?api-version={call.api_version}"
        )
        retry_after = str(self._state.config.retry_after.vm_write)
        return {"Location": url, "Retry-After": retry_after}

    def _schedule(self, group: Resource, deletion: str, seconds: float) -> None:
        def failed() -> None:
            group.properties["provisioningState"] = "Succeeded"
            self._deletions[deletion] = operation.failure

        operation = self._state.operations.start(
            kind=COMPUTE_OPERATIONS, subscription=group.id.split("/")[2], location=group.location,
            seconds=seconds, finish=lambda: self._finish(group, deletion), abort=failed,
        )  # fmt: skip

    def _finish(self, group: Resource, deletion: str) -> None:
        """Delete the group; while something in it has a live signature, come back later."""
        inside = self._state.resources.below(group.id)
        held = [item for item in inside if self._state.sas.active_for(item.id)]
        if held:
            self._schedule(group, deletion, _CHECK_AGAIN_SECONDS)
            return
        for item in inside:
            image = item.hidden.pop("image", None)
            if image is not None:
                self._state.store.delete(image)
            self._state.resources.remove(item.id)
        self._state.resources.remove(group.id)
        self._deletions[deletion] = True

    def _poll_deletion(self, call: Call) -> Response:
        if call["id"] not in self._deletions:
            raise ArmError(404, "NotFound", "The operation could not be found.", gateway=True)
        outcome = self._deletions[call["id"]]
        if isinstance(outcome, ArmError):
            raise outcome
        return Response(200) if outcome else Response(202, self._location(call, call["id"]))


def _check_same_location(group: Resource, location: str) -> None:
    if group.location != location:
        raise ArmError(
            409, "InvalidResourceGroupLocation",
            f"Invalid resource group location '{location}'. The Resource group already exists in"
            f" location '{group.location}'.",
            gateway=True,
        )  # fmt: skip
