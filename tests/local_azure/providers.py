"""The regions and resource providers that local Azure claims to have."""

from __future__ import annotations

from typing import Any

REGIONS = {
    "westeurope": ("West Europe", "northeurope"),
    "northeurope": ("North Europe", "westeurope"),
    "germanywestcentral": ("Germany West Central", "germanynorth"),
    "germanynorth": ("Germany North", "germanywestcentral"),
    "swedencentral": ("Sweden Central", "swedensouth"),
    "eastus": ("East US", "westus"),
    "eastus2": ("East US 2", "centralus"),
    "centralus": ("Central US", "eastus2"),
    "westus": ("West US", "eastus"),
    "westus2": ("West US 2", "westcentralus"),
}

_COMPUTE_VERSIONS = (
    "2025-04-01", "2024-11-01", "2024-07-01", "2024-03-01", "2023-09-01", "2023-07-01",
    "2023-03-01", "2022-11-01", "2022-08-01", "2022-03-01", "2021-11-01", "2021-03-01",
)  # fmt: skip
_DISK_VERSIONS = (
    "2025-01-02", "2024-03-02", "2023-10-02", "2023-04-02", "2023-01-02", "2022-07-02",
    "2022-03-02",
    "2021-12-01", "2020-12-01",
)  # fmt: skip
_NETWORK_VERSIONS = (
    "2024-07-01", "2024-05-01", "2024-01-01", "2023-11-01", "2023-09-01", "2022-11-01",
    "2022-01-01",
    "2021-08-01", "2020-11-01",
)  # fmt: skip
_RESOURCE_VERSIONS = (
    "2024-11-01",
    "2024-03-01",
    "2022-09-01",
    "2021-04-01",
    "2020-06-01",
    "2019-10-01",
)

PROVIDERS: dict[str, dict[str, tuple[str, ...]]] = {
    "Microsoft.Compute": {
        "virtualMachines": _COMPUTE_VERSIONS,
        "availabilitySets": _COMPUTE_VERSIONS,
        "restorePointCollections": _COMPUTE_VERSIONS,
        "restorePointCollections/restorePoints": _COMPUTE_VERSIONS,
        "locations": _COMPUTE_VERSIONS,
        "locations/operations": _COMPUTE_VERSIONS,
        "disks": _DISK_VERSIONS,
        "snapshots": _DISK_VERSIONS,
    },
    "Microsoft.Network": {
        "virtualNetworks": _NETWORK_VERSIONS,
        "virtualNetworks/subnets": _NETWORK_VERSIONS,
        "networkInterfaces": _NETWORK_VERSIONS,
        "networkSecurityGroups": _NETWORK_VERSIONS,
        "publicIPAddresses": _NETWORK_VERSIONS,
    },
    "Microsoft.Resources": {
        "resourceGroups": _RESOURCE_VERSIONS,
        "subscriptions": _RESOURCE_VERSIONS,
        "tenants": _RESOURCE_VERSIONS,
    },
}


def region_body(subscription: str, name: str) -> dict[str, Any]:
    """One item of a subscription's list of locations."""
    display, pair = REGIONS.get(name, (name, name))
    return {
        "id": f"/subscriptions/{subscription}/locations/{name}",
        "name": name,
        "type": "Region",
        "displayName": display,
        "regionalDisplayName": display,
        "metadata": {
            "regionType": "Physical",
            "regionCategory": "Recommended",
            "pairedRegion": [
                {"name": pair, "id": f"/subscriptions/{subscription}/locations/{pair}"}
            ],
        },
    }


def provider_body(subscription: str, namespace: str, locations: list[str]) -> dict[str, Any]:
    """A registered resource provider."""
    return {
        "id": f"/subscriptions/{subscription}/providers/{namespace}",
        "namespace": namespace,
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": [
            {
                "resourceType": kind,
                "locations": [REGIONS.get(name, (name,))[0] for name in locations],
                "apiVersions": list(versions),
                "capabilities": "SupportsTags, SupportsLocation",
            }
            for kind, versions in PROVIDERS[namespace].items()
        ],
        "registrationState": "Registered",
    }
