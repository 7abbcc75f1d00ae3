"""Resource types of Azure that local Azure has none of: their lists are empty, nothing is made.

A client that looks what else there is gets an answer; one that wants to make it is told by 404.
"""

from __future__ import annotations

from ..errors import ArmError, resource_not_found
from ..http_types import Response, json_response
from .router import GROUP, SUBSCRIPTION, Call, Router

OTHER_TYPES = {
    "Microsoft.Authorization": ("locks", "policyAssignments", "roleAssignments"),
    "Microsoft.Compute": (
        "availabilitySets", "capacityReservationGroups", "cloudServices", "diskAccesses",
        "diskEncryptionSets", "galleries", "hostGroups", "images", "proximityPlacementGroups",
        "sshPublicKeys", "virtualMachineScaleSets",
    ),
    "Microsoft.DataProtection": ("backupVaults",),
    "Microsoft.Insights": ("metricAlerts",),
    "Microsoft.KeyVault": ("vaults",),
    "Microsoft.ManagedIdentity": ("userAssignedIdentities",),
    "Microsoft.Network": (
        "applicationGateways", "applicationSecurityGroups", "bastionHosts", "loadBalancers",
        "natGateways", "privateDnsZones", "privateEndpoints", "routeTables",
        "virtualNetworkGateways",
    ),
    "Microsoft.RecoveryServices": ("vaults",),
    "Microsoft.Resources": ("deployments",),
    "Microsoft.Storage": ("storageAccounts",),
    "Microsoft.Web": ("sites",),
}  # fmt: skip


def add_other_types(router: Router) -> None:
    """Their routes; the ones that a provider has already are found first."""
    for namespace, kinds in OTHER_TYPES.items():
        for kind in kinds:
            below = f"/providers/{namespace}/{kind}"
            router.add("GET", f"{SUBSCRIPTION}{below}", _empty)
            router.add("GET", f"{GROUP}{below}", _empty)
            router.add("GET", f"{GROUP}{below}/{{name}}", _missing(f"{namespace}/{kind}"))
            for method in ("PUT", "PATCH", "DELETE", "POST"):
                router.add(method, f"{GROUP}{below}/{{name}}", unanswered)


def _empty(_call: Call) -> Response:
    return json_response(200, {"value": []})


def _missing(kind: str):
    def missing(call: Call) -> Response:
        raise resource_not_found(kind, call["name"], call["group"])

    return missing


def unanswered(call: Call) -> Response:
    raise not_answered(call.request.method, call.request.path)


def not_answered(method: str, path: str) -> ArmError:
    """The refusal of a request for something that local Azure does not have."""
    return ArmError(
        404, "InvalidResourceType", f"Nothing in local Azure answers {method} {path}.",
        gateway=True,
    )  # fmt: skip
