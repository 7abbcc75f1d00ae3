"""Images of the marketplace: every publisher has every image, in one version."""

from __future__ import annotations

from typing import Any

from ..arm.router import COMPUTE, SUBSCRIPTION, Call, Router
from ..http_types import Response, json_response
from .vm_storage import os_of_image

IMAGE_VERSION = "1.0.0"
_SKU = (
    f"{SUBSCRIPTION}{COMPUTE}/locations/{{location}}/publishers/{{publisher}}"
    "/artifacttypes/vmimage/offers/{offer}/skus/{sku}"
)


class Marketplace:
    """Answers what clients look up before they create a machine from an image."""

    def routes(self, router: Router) -> None:
        router.add("GET", f"{_SKU}/versions", self._versions)
        router.add("GET", f"{_SKU}/versions/{{version}}", self._version)

    def _versions(self, call: Call) -> Response:
        return json_response(200, [_image(call, IMAGE_VERSION)])

    def _version(self, call: Call) -> Response:
        body = _image(call, IMAGE_VERSION)
        body["properties"] = {
            "osDiskImage": {"operatingSystem": os_of_image(call.params)},
            "dataDiskImages": [],
            "hyperVGeneration": "V2",
            "architecture": "x64",
        }
        return json_response(200, body)


def _image(call: Call, version: str) -> dict[str, Any]:
    return {
        "location": call["location"],
        "name": version,
        "id": (
            f"/Subscriptions/{call['subscription']}/Providers/Microsoft.Compute"
            f"/Locations/{call['location']}/Publishers/{call['publisher']}/ArtifactTypes/VMImage"
            f"/Offers/{call['offer']}/Skus/{call['sku']}/Versions/{version}"
        ),
    }
