"""Images of the marketplace: every publisher has every image, in one version."""

from __future__ import annotations

from typing import Any

from ..arm.router import COMPUTE, SUBSCRIPTION, Call, Router
from ..errors import ArmError
from ..http_types import Response, json_response
from .vm_storage import image_id, os_of_image

IMAGE_VERSION = "1.0.0"
# Publishers whose plans this subscription cannot have, each for another reason.
NO_OFFER, NO_TERMS, NOT_ELIGIBLE = "no-such-publisher", "terms-not-accepted", "not-eligible"
_SKU = (
    f"{SUBSCRIPTION}{COMPUTE}/locations/{{location}}/publishers/{{publisher}}"
    "/artifacttypes/vmimage/offers/{offer}/skus/{sku}"
)


def check_offer(plan: Any) -> None:
    """Refuse a machine whose plan cannot be bought. Plans exist, but for those of a few publishers.

    Raises:
        ArmError: 400, as recorded (errors_gateway_and_compute) and quoted (azure-docs#12998).
    """
    if not isinstance(plan, dict):
        return
    publisher, offer = (str(plan.get(name) or "") for name in ("publisher", "product"))
    if publisher.lower() == NO_OFFER:
        raise _not_bought(
            f"Offer with PublisherId: {publisher} and OfferId: {offer} not found. If this offer has"
            " been created recently, please allow upto 30 minutes for this offer to be available"
            " for Purchase. If error persists, contact support."
        )
    if publisher.lower() == NO_TERMS:
        raise _not_bought(
            "Legal terms have not been accepted for this item on this subscription. To accept legal"
            " terms using PowerShell, please use Get-AzureRmMarketplaceTerms and"
            " Set-AzureRmMarketplaceTerms API(https://go.microsoft.com/fwlink/?linkid=862451) or"
            " deploy via the Azure portal to accept the terms"
        )
    if publisher.lower() == NOT_ELIGIBLE:
        raise _IneligibleError(
            400, "MarketplacePurchaseEligibilityFailed",
            "Marketplace purchase eligibilty check returned errors. See inner errors for details. ",
            gateway=True,
            target=f"Offer with PublisherId: {publisher}, OfferId: {offer}",
        )  # fmt: skip


class _IneligibleError(ArmError):
    """A refusal that says in its details which offer it is about, as in hashicorp/packer#6009."""

    def body(self) -> dict[str, Any]:
        text = f"{self.target} cannot be purchased due to validation errors."
        detail = {"code": "BadRequest", "message": text}
        return {"error": {"code": self.code, "message": self.message, "details": [detail]}}


def _not_bought(reason: str) -> ArmError:
    return ArmError(
        400, "ResourcePurchaseValidationFailed",
        f"User failed validation to purchase resources. Error message: '{reason}'", gateway=True,
    )  # fmt: skip


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
        "id": image_id(call["subscription"], call["location"], {**call.params, "version": version}),
    }
