"""Sizes of virtual machines, and the lists of them that clients ask for."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..arm.router import COMPUTE, SUBSCRIPTION, Call, Router
from ..errors import invalid_parameter
from ..http_types import Response, json_response
from ..state import State


class Size(NamedTuple):
    """What a size offers."""

    name: str
    cores: int
    memory_gb: float
    max_data_disks: int


_FAMILY_STEPS = ((2, 4), (4, 8), (8, 16), (16, 32), (32, 32))
_GB_PER_CORE = {"D": 4, "E": 8, "F": 2}
_SPECIAL = (
    Size("Standard_B1s", 1, 1, 2),
    Size("Standard_B2s", 2, 4, 4),
    Size("Standard_B2ms", 2, 8, 4),
    Size("Standard_B4ms", 4, 16, 8),
    Size("Standard_DS1_v2", 1, 3.5, 4),
    Size("Standard_DS2_v2", 2, 7, 8),
    Size("Standard_D1_v2", 1, 3.5, 4),
    Size("Standard_D2_v2", 2, 7, 8),
    Size("Standard_D2_v3", 2, 8, 4),
)
_KNOWN_SHAPE = re.compile(r"(Standard|Basic|Internal)_[A-Z]+\d+\w*", re.IGNORECASE)
_MOST_DATA_DISKS = 64


def _families() -> list[Size]:
    return [
        Size(f"Standard_{family}{cores}{suffix}_{version}", cores, cores * gigabytes, disks)
        for family, gigabytes in _GB_PER_CORE.items()
        for suffix in ("s", "as", "ds")
        for version in ("v2", "v3", "v4", "v5")
        for cores, disks in _FAMILY_STEPS
    ]


_NVME_ONLY = re.compile(r"_v[67]$", re.IGNORECASE)
_ARM = re.compile(r"Standard_[A-Z]+\d+[a-z]*p[a-z]*_", re.IGNORECASE)


def capabilities(size: str) -> dict[str, str]:
    """The ``supportedCapabilities`` of the OS disk of a marketplace image that boots on a size."""
    kept = {"architecture": "Arm64" if _ARM.match(size) else "x64"}
    return {"diskControllerTypes": "SCSI, NVMe", **kept} if _NVME_ONLY.search(size) else kept


_SIZES = {size.name.lower(): size for size in (*_SPECIAL, *_families())}


def max_data_disks(name: str) -> int:
    """How many data disks a size takes; sizes that are not in the list take 64.

    Raises:
        ArmError: for a name that no size can have.
    """
    if not _KNOWN_SHAPE.fullmatch(name):
        raise invalid_parameter(
            f"The value {name} provided for the VM size is not valid. The valid sizes in the"
            f" current region are: {','.join(size.name for size in _SIZES.values())}."
        )
    size = _SIZES.get(name.lower())
    return size.max_data_disks if size else _MOST_DATA_DISKS


def cores(name: str) -> int:
    """How many cores a size has; of sizes that are not in the list, the number in their name."""
    size = _SIZES.get(name.lower())
    if size:
        return size.cores
    found = re.search(r"\d+", name.split("_", 1)[-1])
    return int(found[0]) if found else 1


class Sizes:
    """Lists of sizes, by region and for one virtual machine, and the SKUs of the provider."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self, router: Router) -> None:
        router.add("GET", f"{SUBSCRIPTION}{COMPUTE}/locations/{{location}}/vmSizes", self._sizes)
        router.add("GET", f"{SUBSCRIPTION}{COMPUTE}/skus", self._skus)

    def _sizes(self, call: Call) -> Response:  # noqa: ARG002 - the same in every region
        return json_response(200, {"value": [_size_body(size) for size in _SIZES.values()]})

    def _skus(self, call: Call) -> Response:
        location = _asked_location(call) or self._state.config.location
        return json_response(
            200, {"value": [_sku_body(size, location) for size in _SIZES.values()]}
        )


def _asked_location(call: Call) -> str | None:
    found = re.search(r"location eq '([^']+)'", call.request.query.get("$filter", ""))
    return found[1] if found else None


def _size_body(size: Size) -> dict[str, Any]:
    return {
        "name": size.name,
        "numberOfCores": size.cores,
        "osDiskSizeInMB": 1047552,
        "resourceDiskSizeInMB": 0,
        "memoryInMB": int(size.memory_gb * 1024),
        "maxDataDiskCount": size.max_data_disks,
    }


def _sku_body(size: Size, location: str) -> dict[str, Any]:
    capabilities = {
        "vCPUs": size.cores,
        "MemoryGB": size.memory_gb,
        "MaxDataDiskCount": size.max_data_disks,
        "HyperVGenerations": "V1,V2",
        "PremiumIO": "True",
        "CpuArchitectureType": "x64",
    }
    return {
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": size.name.removeprefix("Standard_"),
        "family": f"{size.name.replace('_', '').lower()}Family",
        "locations": [location],
        "locationInfo": [{"location": location, "zones": ["1", "2", "3"], "zoneDetails": []}],
        "capabilities": [{"name": key, "value": str(value)} for key, value in capabilities.items()],
        "restrictions": [],
    }
