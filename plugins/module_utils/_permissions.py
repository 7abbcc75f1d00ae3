# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles of docs/permissions.md, and what Azure says when a right is missing. Private to this collection.

A module cannot read docs/roles: only module_utils travels with it. A test holds the two together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DOCUMENT = "docs/permissions.md"

_DISKS = (
    "Microsoft.Compute/diskAccesses/read",
    "Microsoft.Compute/diskEncryptionSets/read",
    "Microsoft.Compute/disks/beginGetAccess/action",
    "Microsoft.Compute/disks/delete",
    "Microsoft.Compute/disks/endGetAccess/action",
    "Microsoft.Compute/disks/write",
)
_LOOK = ("Microsoft.Compute/disks/read", "Microsoft.Compute/virtualMachines/read")
_COLLECTIONS = "Microsoft.Compute/restorePointCollections"
_POINTS = f"{_COLLECTIONS}/restorePoints"
_DISK_POINTS = f"{_POINTS}/diskRestorePoints"
_SEE_POINTS = (f"{_COLLECTIONS}/read", f"{_POINTS}/read")
_MAKE_POINTS = (f"{_COLLECTIONS}/write", f"{_POINTS}/write", f"{_POINTS}/delete")
_GROUP = "Microsoft.Resources/subscriptions/resourceGroups/read"
_INTERFACES = "Microsoft.Network/networkInterfaces"

ROLES: dict[str, tuple[str, ...]] = {
    "image-backup-restore-points": (
        *_LOOK,
        *_SEE_POINTS,
        *_MAKE_POINTS,
        f"{_DISK_POINTS}/beginGetAccess/action",
        f"{_DISK_POINTS}/endGetAccess/action",
        f"{_DISK_POINTS}/read",
        "Microsoft.Compute/snapshots/read",
        f"{_INTERFACES}/read",
    ),
    "image-backup-snapshots": (
        *_LOOK,
        "Microsoft.Compute/diskAccesses/read",
        "Microsoft.Compute/diskEncryptionSets/read",
        "Microsoft.Compute/disks/beginGetAccess/action",
        f"{_COLLECTIONS}/read",
        "Microsoft.Compute/snapshots/beginGetAccess/action",
        "Microsoft.Compute/snapshots/delete",
        "Microsoft.Compute/snapshots/endGetAccess/action",
        "Microsoft.Compute/snapshots/read",
        "Microsoft.Compute/snapshots/write",
        f"{_INTERFACES}/read",
    ),
    "read-only": (*_LOOK, *_SEE_POINTS, "Microsoft.Resources/subscriptions/read"),
    "repository": ("Microsoft.Storage/storageAccounts/blobServices/containers/write",),
    "restore-disks": (
        *_LOOK,
        *_DISKS,
        *_SEE_POINTS,
        f"{_DISK_POINTS}/beginGetAccess/action",
        _GROUP,
    ),
    "restore-in-place": (
        *_LOOK,
        *_DISKS,
        *_SEE_POINTS,
        *_MAKE_POINTS,
        f"{_DISK_POINTS}/beginGetAccess/action",
        "Microsoft.Compute/virtualMachines/deallocate/action",
        "Microsoft.Compute/virtualMachines/start/action",
        "Microsoft.Compute/virtualMachines/write",
    ),
    "restore-new-machine": (
        *_LOOK,
        *_DISKS,
        *_SEE_POINTS,
        f"{_DISK_POINTS}/beginGetAccess/action",
        "Microsoft.Compute/virtualMachines/deallocate/action",
        "Microsoft.Compute/virtualMachines/delete",
        "Microsoft.Compute/virtualMachines/write",
        f"{_INTERFACES}/delete",
        f"{_INTERFACES}/join/action",
        f"{_INTERFACES}/read",
        f"{_INTERFACES}/write",
        "Microsoft.Network/virtualNetworks/subnets/join/action",
        "Microsoft.Network/virtualNetworks/subnets/read",
        _GROUP,
    ),
    "restore-points": (*_LOOK, *_SEE_POINTS, *_MAKE_POINTS, f"{_COLLECTIONS}/delete"),
    "subscription": (
        "Microsoft.Compute/locations/diskOperations/read",
        "Microsoft.Compute/locations/operations/read",
        "Microsoft.Resources/subscriptions/read",
    ),
}

# Azure's sentences. Recorded: azure-cli (test_backup_csr), azure-sdk-for-net (OSProfileTests);
# azuredisk-csi-driver#2609 has "action(s)" and "(respectively)", Azure/OpenShift#186 counts the scopes.
_WHO = r"client '(?P<client>[^']*)' with object id '(?P<id>[^']*)'"
_PLAIN = re.compile(
    rf"{_WHO} does not have authorization to perform action '(?P<actions>[^']*)' over scope"
    r" '(?P<scopes>[^']*)'"
)
_LINKED = re.compile(
    rf"{_WHO} has permission to perform action '(?P<had>[^']*)' on scope '(?P<here>[^']*)'; however,"
    r" it does not have permission to perform action(?:\(s\))? '(?P<actions>[^']*)' on the"
    r"(?: '\d+')? linked scope\(s\) '(?P<scopes>[^']*)'"
)
_DENIED = re.compile(r"blocked by deny assignments on the '\d+' linked scope\(s\) '([^']*)'")


@dataclass(frozen=True)
class Missing:
    """A right that a login does not have, as Azure names it.

    Args:
        client: what Azure calls the login; of an application that is its object id as well.
        rights: each missing action, and its scope.
        had: of a linked scope, the action that it was missing for; else ``""``.
        denied: the scope of a deny assignment, if it is one that forbids it.
    """

    client: str
    object_id: str
    rights: tuple[tuple[str, str], ...]
    had: str = ""
    denied: str = ""

    def sentence(self) -> str:
        """Who may not do what, where; and which of our roles has it."""
        who = f"object id {self.object_id}"
        if self.client and self.client != self.object_id:
            who = f"{self.client} ({who})"
        may_not = " and ".join(f"{action} on {scope}" for action, scope in self.rights)
        text = f"{who} may not do {may_not}"
        if self.had:
            text = f"{self.had} takes another right, on what the request names (a linked scope): {text}"
        if self.denied:
            text += f", where a deny assignment forbids it ({self.denied})"
        return f"{text}. {self._roles()}"

    def _roles(self) -> str:
        found = []
        for action in dict.fromkeys(action for action, _scope in self.rights):
            roles = roles_with(action)
            has = f"{_listed(roles)} {'have' if len(roles) > 1 else 'has'}" if roles else "none has"
            found.append(f"{has} {action}")
        return f"Of the roles in {DOCUMENT}, {'; '.join(found)}."

    def hint(self) -> str:
        """What to do, as a sentence."""
        if self.denied:
            return "A role does not help against a deny assignment: its owner has to take it away."
        scopes = _listed(list(dict.fromkeys(scope for _action, scope in self.rights)))
        return (
            f"Assign a role with it to the object id {self.object_id}, on {scopes} or above it; a new"
            " role takes some minutes to be in force."
        )


def missing(message: str) -> Missing | None:
    """What Azure says in AuthorizationFailed or LinkedAuthorizationFailed; None where it is another thing."""
    plain = _PLAIN.search(message)
    if plain:
        return Missing(plain["client"], plain["id"], ((plain["actions"], plain["scopes"]),))
    linked = _LINKED.search(message)
    if not linked:
        return None
    denied = _DENIED.search(message)
    actions = linked["actions"].split(",")
    scopes = (linked["scopes"] or (denied[1] if denied else "")).split(",")
    if len(actions) != len(scopes):
        # One action on several scopes, or the other way round.
        actions, scopes = [linked["actions"]], [linked["scopes"]]
    rights = tuple(
        (action.strip(), scope.strip()) for action, scope in zip(actions, scopes, strict=True)
    )
    return Missing(
        linked["client"], linked["id"], rights, linked["had"], denied[1] if denied else ""
    )


def roles_with(action: str) -> list[str]:
    """Our roles that have an action, by name."""
    wanted = action.lower()
    return [name for name, has in ROLES.items() if wanted in (one.lower() for one in has)]


def _listed(texts: list[str]) -> str:
    return " and ".join(", ".join(texts).rsplit(", ", 1))
