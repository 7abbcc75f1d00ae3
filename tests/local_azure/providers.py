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

# Newest first, as the service lists them. Disks: azure-sdk-for-python#33314, machines:
# azure-rest-api-specs#27695, networks: azure-cli#28496, Resource Manager: azure-cli#28038; what is
# newer: the packages of 2024 to 2026.
_POINT_VERSIONS = (
    "2026-04-01", "2026-03-01", "2025-11-01", "2025-04-01", "2024-11-01", "2024-07-01",
    "2024-03-01", "2023-09-01", "2023-07-01", "2023-03-01", "2022-11-01", "2022-08-01",
    "2022-03-01", "2021-11-01", "2021-07-01", "2021-04-01", "2021-03-01",
)  # fmt: skip
_COMPUTE_VERSIONS = (
    *_POINT_VERSIONS,
    "2020-12-01", "2020-06-01", "2019-12-01", "2019-07-01", "2019-03-01", "2018-10-01",
    "2018-06-01", "2018-04-01", "2017-12-01", "2017-03-30", "2016-08-30", "2016-04-30-preview",
    "2016-03-30", "2015-06-15", "2015-05-01-preview",
)  # fmt: skip
_DISK_VERSIONS = (
    "2026-03-02", "2025-01-02", "2024-03-02", "2023-10-02", "2023-04-02", "2023-01-02",
    "2022-07-02", "2022-03-02", "2021-12-01", "2021-08-01", "2021-04-01", "2020-12-01",
    "2020-09-30", "2020-06-30", "2020-05-01", "2019-11-01", "2019-07-01", "2019-03-01",
    "2018-09-30", "2018-06-01", "2018-04-01", "2017-03-30", "2016-04-30-preview",
)  # fmt: skip
_NETWORK_VERSIONS = (
    "2025-05-01", "2025-03-01", "2025-01-01", "2024-10-01", "2024-07-01", "2024-05-01",
    "2024-03-01", "2024-01-01", "2023-11-01", "2023-09-01", "2023-06-01", "2023-05-01",
    "2023-04-01", "2023-02-01", "2022-11-01", "2022-09-01", "2022-07-01", "2022-05-01",
    "2022-01-01", "2021-12-01", "2021-08-01", "2021-06-01", "2021-05-01", "2021-03-01",
    "2021-02-01", "2021-01-01", "2020-11-01", "2020-08-01", "2020-07-01", "2020-06-01",
    "2020-05-01", "2020-04-01", "2020-03-01", "2020-01-01", "2019-12-01", "2019-11-01",
    "2019-09-01", "2019-08-01", "2019-07-01", "2019-06-01", "2019-04-01", "2019-02-01",
    "2018-12-01", "2018-11-01", "2018-10-01", "2018-08-01", "2018-07-01", "2018-06-01",
    "2018-05-01", "2018-04-01", "2018-03-01", "2018-02-01", "2018-01-01", "2017-11-01",
    "2017-10-01", "2017-09-01", "2017-08-01", "2017-06-01", "2017-04-01", "2017-03-01",
    "2016-12-01", "2016-11-01", "2016-10-01", "2016-09-01", "2016-08-01", "2016-07-01",
    "2016-06-01", "2016-03-30", "2015-06-15", "2015-05-01-preview", "2014-12-01-preview",
)  # fmt: skip
RESOURCE_VERSIONS = (
    "2025-04-01", "2025-03-01", "2024-11-01", "2024-08-01", "2024-07-01", "2024-06-01-preview",
    "2024-03-01", "2023-07-01", "2023-07-01-preview", "2023-03-01-preview", "2022-12-01",
    "2022-11-01-preview", "2022-09-01", "2022-06-01", "2022-05-01", "2022-03-01-preview",
    "2022-01-01", "2021-04-01", "2021-01-01", "2020-10-01", "2020-09-01", "2020-08-01",
    "2020-07-01", "2020-06-01", "2020-05-01", "2020-01-01", "2019-11-01", "2019-10-01",
    "2019-09-01", "2019-08-01", "2019-07-01", "2019-06-01", "2019-05-10", "2019-05-01",
    "2019-03-01", "2018-11-01", "2018-09-01", "2018-08-01", "2018-07-01", "2018-06-01",
    "2018-05-01", "2018-02-01", "2018-01-01", "2017-12-01", "2017-08-01", "2017-06-01",
    "2017-05-10", "2017-05-01", "2017-03-01", "2016-09-01", "2016-07-01", "2016-06-01",
    "2016-02-01", "2015-11-01", "2015-01-01", "2014-04-01-preview", "2014-04-01", "2014-01-01",
    "2013-03-01", "2014-02-26", "2014-04",
)  # fmt: skip

PROVIDERS: dict[str, dict[str, tuple[str, ...]]] = {
    "Microsoft.Compute": {
        "virtualMachines": _COMPUTE_VERSIONS,
        "availabilitySets": _COMPUTE_VERSIONS,
        "restorePointCollections": _POINT_VERSIONS,
        "restorePointCollections/restorePoints": _POINT_VERSIONS,
        "restorePointCollections/restorePoints/diskRestorePoints": _DISK_VERSIONS,
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
        "resourceGroups": RESOURCE_VERSIONS,
        "subscriptions": RESOURCE_VERSIONS,
        "tenants": RESOURCE_VERSIONS,
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


def versions_of(namespace: str, kind: str) -> tuple[str, tuple[str, ...]] | None:
    """A resource type in its own casing, with its api-versions; None for a type that is not here."""
    for name, types in PROVIDERS.items():
        for known, versions in types.items():
            if (name.lower(), known.lower()) == (namespace.lower(), kind.lower()):
                return known, versions
    return None


def namespace_of(name: str) -> str | None:
    """A resource provider in its own casing, if there is one here."""
    return next((known for known in PROVIDERS if known.lower() == name.lower()), None)
