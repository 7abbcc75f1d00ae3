"""What the owner of a subscription decides: locks, policies, registered providers, its state.

They are settings of local Azure (``governance``), checked before any provider sees a request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import ArmError
from .resources import Resources

_LEVELS = ("CanNotDelete", "ReadOnly")
_WRITES = ("PUT", "PATCH")
_TYPE = re.compile(r"/providers/([^/]+/[^/]+)/[^/]+/?$", re.IGNORECASE)
_NAMESPACE = re.compile(r"/providers/([^/]+)/", re.IGNORECASE)
_MEMBERS = {
    "locks": {"scope": True, "level": True},
    "denied": {"type": True, "policy": False, "field": False, "value": False},
    "modified": {"type": True, "field": True, "value": True},
}


@dataclass
class Governance:
    """The settings.

    Args:
        locks: each with the ``scope`` that it is on (an id, or one below the subscription) and its
            ``level``, CanNotDelete or ReadOnly.
        denied: policies that refuse a ``type`` of resource, or only one whose ``field`` (a dotted
            path such as ``properties.publicNetworkAccess``) is there and is ``value``.
        modified: policies that set a ``field`` of each resource of a ``type`` that is written.
        unregistered: namespaces of resource providers that the subscription does not use.
        disabled: the subscription can be read only.
    """

    locks: list[dict[str, Any]] = field(default_factory=list)
    denied: list[dict[str, Any]] = field(default_factory=list)
    modified: list[dict[str, Any]] = field(default_factory=list)
    unregistered: list[str] = field(default_factory=list)
    disabled: bool = False

    @staticmethod
    def checked(name: str, value: Any) -> Any:
        """A setting as it can be stored.

        Raises:
            ValueError: for one that does not exist, or a value of another form.
        """
        if name == "disabled":
            right = isinstance(value, bool)
        elif name == "unregistered":
            right = isinstance(value, list) and all(isinstance(item, str) for item in value)
        elif name in _MEMBERS:
            right = isinstance(value, list) and all(_is_rule(name, item) for item in value)
        else:
            raise ValueError(f"There is no setting {name!r} in governance.")
        if not right:
            raise ValueError(f"{name} in governance cannot be {value!r}.")
        return value


def _is_rule(name: str, item: Any) -> bool:
    members = _MEMBERS[name]
    if not isinstance(item, dict) or set(item) - set(members):
        return False
    if any(needed and member not in item for member, needed in members.items()):
        return False
    return name != "locks" or item["level"] in _LEVELS


def govern(rules: Governance, resources: Resources, method: str, path: str, body: bytes) -> bytes:
    """The body of a request as policies leave it.

    Raises:
        ArmError: where the group is being deleted, or a rule refuses the request.
    """
    if method in ("GET", "HEAD"):
        return body
    _check_subscription(rules, path)
    _check_group(resources, method, path)
    _check_locks(rules, method, path)
    kind = _TYPE.search(path)
    if kind is None or method not in _WRITES or not (rules.denied or rules.modified):
        return body
    return _apply_policies(rules, resources, path, kind[1], body)


# -- the subscription and the group


def _check_subscription(rules: Governance, path: str) -> None:
    if rules.disabled:
        parts = [*path.split("/"), "", ""]
        raise _refusal(
            409, "ReadOnlyDisabledSubscription",
            f"The subscription '{parts[2]}' is disabled and therefore marked as read only. You"
            " cannot perform any write actions on this subscription until it is re-enabled.",
        )  # fmt: skip
    found = _NAMESPACE.search(path)
    if found is None or found[1].lower() not in [item.lower() for item in rules.unregistered]:
        return
    if path.lower().rstrip("/").endswith("/register"):
        return
    text = (
        f"The subscription is not registered to use namespace '{found[1]}'. See"
        " https://aka.ms/rps-not-found for how to register subscriptions."
    )
    code = "MissingSubscriptionRegistration"
    details = [{"code": code, "target": found[1], "message": text}]
    raise ArmError(409, code, text, gateway=True, details=details)


def _check_group(resources: Resources, method: str, path: str) -> None:
    """PUT and PATCH only: signatures must be revoked for the deletion to come to its end."""
    parts = path.rstrip("/").split("/")
    if method not in _WRITES or len(parts) < 5 or parts[3].lower() != "resourcegroups":
        return
    group = resources.get("/".join(parts[:5]))
    if group is not None and group.properties.get("provisioningState") == "Deleting":
        raise _refusal(
            409, "ResourceGroupBeingDeleted",
            f"The resource group '{group.name}' is in deprovisioning state and cannot perform this"
            " operation.",
        )  # fmt: skip


# -- locks


def _check_locks(rules: Governance, method: str, path: str) -> None:
    target = path.rstrip("/")
    subscription = "/".join(target.split("/")[:3])
    scopes = list(_locks_on(rules, method, target.lower(), subscription))
    if scopes:
        verb = "delete" if method == "DELETE" else "write"
        scope = target if method != "POST" else target.rsplit("/", 1)[0]
        raise _refusal(
            409, "ScopeLocked",
            f"The scope '{scope}' cannot perform {verb} operation because following scope(s) are"
            f" locked: '{','.join(scopes)}'. Please remove the lock and try again.",
        )  # fmt: skip


def _locks_on(rules: Governance, method: str, target: str, subscription: str) -> Iterator[str]:
    """The locked scopes above a target; below it too, where it is deleted."""
    for lock in rules.locks:
        scope = lock["scope"].rstrip("/")
        if not scope.lower().startswith("/subscriptions/"):
            scope = f"{subscription}/{scope.strip('/')}".rstrip("/")
        if method != "DELETE" and lock["level"] != "ReadOnly":
            continue
        above = f"{target}/".startswith(f"{scope.lower()}/")
        if above or (method == "DELETE" and scope.lower().startswith(f"{target}/")):
            yield scope


# -- policies


def _apply_policies(
    rules: Governance, resources: Resources, path: str, kind: str, body: bytes
) -> bytes:
    try:
        asked = json.loads(body)
    except ValueError:
        return body  # refused by whoever reads it
    if not isinstance(asked, dict):
        return body
    held = resources.get(path)
    for rule in rules.modified:
        if rule["type"].lower() == kind.lower():
            _set(asked, rule["field"].split("."), rule["value"])
    for rule in rules.denied:
        if rule["type"].lower() == kind.lower() and _denies(rule, asked, held and held.body):
            raise _disallowed(rule.get("policy") or "denied", path)
    return json.dumps(asked).encode()


def _set(body: dict[str, Any], names: list[str], value: Any) -> None:
    for name in names[:-1]:
        inner = body.setdefault(name, {})
        if not isinstance(inner, dict):
            return  # refused by whoever reads it
        body = inner
    body[names[-1]] = value


def _denies(rule: dict[str, Any], asked: dict[str, Any], held: dict[str, Any] | None) -> bool:
    """A policy looks at the whole resource: at what the request leaves out as well."""
    if "field" not in rule:
        return True
    for body in (asked, held or {}):
        found: Any = body
        for name in rule["field"].split("."):
            found = found.get(name) if isinstance(found, dict) else None
        if found is not None:
            return "value" not in rule or found == rule["value"]
    return False


def _disallowed(policy: str, path: str) -> ArmError:
    parts = path.rstrip("/").split("/")
    home = f"/subscriptions/{parts[2]}/providers/Microsoft.Authorization"
    named = [
        {
            "policyAssignment": {"name": policy, "id": f"{home}/policyAssignments/{policy}"},
            "policyDefinition": {"name": policy, "id": f"{home}/policyDefinitions/{policy}"},
        }
    ]
    identifiers = json.dumps(named, separators=(",", ":"))
    return ArmError(
        403, "RequestDisallowedByPolicy",
        f"Resource '{parts[-1]}' was disallowed by policy. Policy identifiers: '{identifiers}'.",
        gateway=True, target=parts[-1],
    )  # fmt: skip


def _refusal(status: int, code: str, message: str) -> ArmError:
    return ArmError(status, code, message, gateway=True)
