"""Who may do what: roles of logins, and Resource Manager's 403.

A login whose roles were never set may do everything. One whose roles were set may do what they name, where
they are assigned, and nothing else. The order is Resource Manager's: the right to the resource itself is
looked at before the resource group and the resource are looked for, so whoever may not know gets 403 and
not 404.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from ..errors import ArmError
from ..http_types import Request, Response

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_LISTS_OF_ACTIONS = ("actions", "notActions", "dataActions", "notDataActions")
# Linked scopes: whoever writes a resource of this type needs this action on what its properties name here;
# `*` stands for each item of a list.
#   disks/beginGetAccess, of whatever a disk or snapshot is made of: recorded for a disk
#   (Azure/OpenShift#186, azure-docs#11362) and for a snapshot (kubernetes#93020); for a disk restore point it
#   is taken to be the same, because the check goes by the property and not by what it names.
#   diskEncryptionSets/read: azuredisk-csi-driver#2609. assign: aad-pod-identity#636. join of subnets: for
#   other types (azure-cli#23447); of interfaces and addresses: the list of operations of Microsoft.Network.
_SOURCE = ("creationData/sourceResourceId", "Microsoft.Compute/disks/beginGetAccess/action")
_ENCRYPTION = "Microsoft.Compute/diskEncryptionSets/read"
_SET = ("encryption/diskEncryptionSetId", _ENCRYPTION)
_JOIN = "Microsoft.Network/{}/join/action"
_SUBNET = _JOIN.format("virtualNetworks/subnets")
_ADDRESS = _JOIN.format("publicIPAddresses")
_RULES = _JOIN.format("networkSecurityGroups")
_CONFIGURED = "networkProfile/networkInterfaceConfigurations/*/properties"
_STORED = "managedDisk/diskEncryptionSet/id"
LINKED: dict[str, tuple[tuple[str, str], ...]] = {
    "microsoft.compute/disks": (_SOURCE, _SET),
    "microsoft.compute/snapshots": (_SOURCE, _SET),
    "microsoft.compute/virtualmachines": (
        ("networkProfile/networkInterfaces/*/id", _JOIN.format("networkInterfaces")),
        (f"{_CONFIGURED}/ipConfigurations/*/properties/subnet/id", _SUBNET),
        (f"{_CONFIGURED}/networkSecurityGroup/id", _RULES),
        (f"storageProfile/osDisk/{_STORED}", _ENCRYPTION),
        (f"storageProfile/dataDisks/*/{_STORED}", _ENCRYPTION),
    ),
    "microsoft.network/networkinterfaces": (
        ("ipConfigurations/*/properties/subnet/id", _SUBNET),
        ("ipConfigurations/*/properties/publicIPAddress/id", _ADDRESS),
        ("networkSecurityGroup/id", _RULES),
    ),
    "microsoft.network/virtualnetworks": (
        ("subnets/*/properties/networkSecurityGroup/id", _RULES),
    ),
}  # fmt: skip
_ASSIGN = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    Args:
        action: as roles name it; ``""`` where none is needed.
        scope: what it is asked for, as the client wrote it.
        listed: whether it is a list, which may come shorter.
    """

    action: str
    scope: str
    listed: bool = False


@dataclass(frozen=True)
class Role:
    """A role and where it is assigned: a subscription, a resource group, a resource, or ``/``."""

    name: str
    scope: str
    actions: tuple[str, ...] = ()
    notActions: tuple[str, ...] = ()
    dataActions: tuple[str, ...] = ()
    notDataActions: tuple[str, ...] = ()

    @classmethod
    def read(cls, body: Any) -> Role:
        """A role of the control interface.

        Raises:
            ValueError: it is not one, with what is wrong.
        """
        if not isinstance(body, dict):
            raise ValueError("A role is an object.")  # noqa: TRY004 - all that is wrong is one kind of error
        if unknown := sorted(set(body) - {"name", "scope", *_LISTS_OF_ACTIONS}):
            raise ValueError(f"A role has no {unknown[0]!r}.")
        scope, name = body["scope"], body["name"]
        if not isinstance(scope, str) or not scope.startswith("/") or not isinstance(name, str):
            raise ValueError(f"A role has a name, and a scope that begins with '/', not {scope!r}.")
        lists = {}
        for key in _LISTS_OF_ACTIONS:
            value = body.get(key, [])
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise ValueError(f"The {key} of a role are a list of strings.")
            lists[key] = tuple(value)
        return cls(name, scope, **lists)

    def public(self) -> dict[str, Any]:
        """As the control interface shows it."""
        lists = {key: list(getattr(self, key)) for key in _LISTS_OF_ACTIONS}
        return {"name": self.name, "scope": self.scope, **lists}

    def has(self, action: str, *, data: bool = False) -> bool:
        """Whether the role names an action, wherever it is assigned."""
        granted, taken = self.actions, self.notActions
        if data:
            granted, taken = self.dataActions, self.notDataActions
        return _matches(action, granted) and not _matches(action, taken)

    def covers(self, scope: str) -> bool:
        """Whether what the role allows, it allows here."""
        return below(scope, self.scope)


def _matches(action: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns is the action; ``*`` stands for any characters, also ``/``."""
    return any(
        re.fullmatch(re.escape(one).replace(r"\*", ".*"), action, re.IGNORECASE) for one in patterns
    )


def below(scope: str, other: str) -> bool:
    """Whether a scope is another one or lies in it."""
    one, above = scope.lower().rstrip("/"), other.lower().rstrip("/")
    return one == above or one.startswith(f"{above}/")


@dataclass
class Authorization:
    """The roles of all logins of one local Azure, by client id."""

    subscription: str
    _roles: dict[str, list[Role]] = field(default_factory=dict)

    def assign(self, client: str, roles: Iterable[Role]) -> None:
        """Set all roles of a login; with none, it may do nothing."""
        self._roles[client] = list(roles)

    def everything(self, client: str) -> None:
        """Let a login do everything again."""
        self._roles.pop(client, None)

    def public(self) -> dict[str, list[dict[str, Any]]]:
        """The roles of each login that may not do everything."""
        return {client: [one.public() for one in roles] for client, roles in self._roles.items()}

    def allows(self, client: str, action: str, scope: str, *, data: bool = False) -> bool:
        """Whether a login may do something somewhere."""
        roles = self._roles.get(client)
        return roles is None or any(
            role.covers(scope) and role.has(action, data=data) for role in roles
        )

    def check(self, claims: dict[str, Any], request: Request) -> None:
        """Refuse what the login may not do.

        Raises:
            ArmError: 403, AuthorizationFailed or LinkedAuthorizationFailed.
        """
        client = claims["appid"]
        if client not in self._roles:
            return
        asked = asked_for(request)
        if asked is None or not self._is_ours(asked.scope):
            return
        if not self.allows(client, asked.action, asked.scope):
            if asked.listed and self._sees_some(client, asked):
                return
            raise _refused(claims, asked)
        missing = [
            (action, scope)
            for action, scope in linked_scopes(request, asked)
            if not self.allows(client, action, scope)
        ]
        if missing:
            raise _refused_linked(claims, asked, missing)

    def visible(self, claims: dict[str, Any], request: Request, response: Response) -> Response:
        """A list without what the login may not see; any other answer as it is.

        A login that may read single resources gets a shorter list and no error (azure-sdk-for-go#14110).
        """
        client = claims["appid"]
        if client not in self._roles or response.status != 200:
            return response
        asked = asked_for(request)
        if asked is None or not asked.listed or self.allows(client, asked.action, asked.scope):
            return response
        body = json.loads(bytes(response.body))  # type: ignore[arg-type]
        body["value"] = [
            item for item in body.get("value", []) if self.allows(client, asked.action, item["id"])
        ]
        return Response(response.status, response.headers, json.dumps(body).encode())

    def _sees_some(self, client: str, asked: Asked) -> bool:
        roles = self._roles[client]
        return any(role.has(asked.action) and below(role.scope, asked.scope) for role in roles)

    def _is_ours(self, scope: str) -> bool:
        """Another subscription is not found, whoever asks for it."""
        return below(scope, f"/subscriptions/{self.subscription}")


def asked_for(request: Request) -> Asked | None:
    """The action and the scope of a management request; None where every login may ask."""
    parts = [unquote(part) for part in request.path.strip("/").split("/")]
    if len(parts) < 2 or parts[0].lower() != "subscriptions":
        return None
    subscription = f"/{parts[0]}/{parts[1]}"
    if len(parts) == 2:
        return Asked("Microsoft.Resources/subscriptions/read", subscription)
    if parts[2].lower() == "resourcegroups":
        return _of_group(request, parts, subscription)
    if parts[2].lower() == "providers" and len(parts) > 4:
        if parts[4].lower() == "register":
            return Asked(f"{parts[3]}/register/action", subscription)
        return _of_provider(request, parts[3:], subscription)
    action = f"Microsoft.Resources/subscriptions/{parts[2]}/{_verb(request)}"
    return Asked(action, subscription, listed=parts[2].lower() == "resources")


def _of_group(request: Request, parts: list[str], subscription: str) -> Asked:
    kind = f"Microsoft.Resources/subscriptions/{parts[2]}"
    if len(parts) == 3:
        return Asked(f"{kind}/read", subscription, listed=True)
    group = f"{subscription}/{parts[2]}/{parts[3]}"
    if len(parts) > 6 and parts[4].lower() == "providers":
        return _of_provider(request, parts[5:], group)
    if len(parts) > 4:
        return Asked(f"{kind}/{parts[4]}/{_verb(request)}", group, listed=True)
    return Asked(f"{kind}/{_verb(request)}", group)


def _of_provider(request: Request, parts: list[str], above: str) -> Asked:
    """A request for a provider's resource: types and names by turns, after its namespace."""
    namespace, *rest = parts
    types = "/".join([namespace, *rest[0::2]])
    resource = "/".join([above, "providers", namespace, *rest])
    if len(rest) % 2 == 0:
        return Asked(f"{types}/{_verb(request)}", resource)
    # The last part is the name of an action, or a type whose resources are listed.
    parent = resource.rpartition("/")[0]
    if request.method == "POST":
        return Asked(f"{types}/action", parent)
    if len(rest) == 1 and above.count("/") == 2:
        parent = above  # as recorded: vagrant-azure#164
    return Asked(f"{types}/read", parent, listed=_is_list(rest))


def _is_list(rest: list[str]) -> bool:
    return rest[-1].lower() not in ("instanceview", "vmsizes")


def _verb(request: Request) -> str:
    return _VERBS.get(request.method, "action")


def linked_scopes(request: Request, asked: Asked) -> list[tuple[str, str]]:
    """The further actions that a write asks for by what its body names, each with its scope.

    A PATCH asks for what it names alone: so says azure-cli#23447. Of virtual machines the opposite has been
    suspected, not recorded (azuredisk-csi-driver#3112).
    """
    kind, _slash, verb = asked.action.rpartition("/")
    if verb != "write" or request.method not in ("PUT", "PATCH"):
        return []
    try:
        body = request.json()
    except ValueError:
        return []  # the provider says what is wrong with it
    if not isinstance(body, dict):
        return []
    found = [
        (action, scope)
        for path, action in LINKED.get(kind.lower(), ())
        for scope in _found(body.get("properties"), path.split("/"))
    ]
    if kind.lower() == "microsoft.compute/virtualmachines":
        identity = body.get("identity")
        named = identity.get("userAssignedIdentities") if isinstance(identity, dict) else None
        if isinstance(named, dict):
            found += [(_ASSIGN, one) for one, value in named.items() if value is not None]
    return list(dict.fromkeys(found))


def _found(value: Any, path: list[str]) -> Iterator[str]:
    """The texts at a path in a body."""
    if not path:
        if isinstance(value, str) and value:
            yield value
    elif path[0] == "*":
        for item in value if isinstance(value, list) else ():
            yield from _found(item, path[1:])
    elif isinstance(value, dict):
        yield from _found(value.get(path[0]), path[1:])


def _who(claims: dict[str, Any]) -> str:
    # Of an application, too, Azure calls the object id its name: azure-sdk-for-net#1157.
    return f"The client '{claims['oid']}' with object id '{claims['oid']}'"


def _refused(claims: dict[str, Any], asked: Asked) -> ArmError:
    """Recorded: azure-cli, test_backup_csr."""
    return ArmError(
        403,
        "AuthorizationFailed",
        f"{_who(claims)} does not have authorization to perform action '{asked.action}' over scope"
        f" '{asked.scope}' or the scope is invalid. If access was recently granted, please refresh your"
        " credentials.",
        gateway=True,
    )


def _refused_linked(
    claims: dict[str, Any], asked: Asked, missing: list[tuple[str, str]]
) -> ArmError:
    """As azuredisk-csi-driver#2609 has it (2024); that several are joined by a comma is assumed."""
    actions = ",".join(action for action, _scope in missing)
    scopes = ",".join(scope for _action, scope in missing)
    return ArmError(
        403,
        "LinkedAuthorizationFailed",
        f"{_who(claims)} has permission to perform action '{asked.action}' on scope '{asked.scope}';"
        f" however, it does not have permission to perform action(s) '{actions}' on the linked scope(s)"
        f" '{scopes}' (respectively) or the linked scope(s) are invalid.",
        gateway=True,
    )
