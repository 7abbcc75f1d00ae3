"""The entity tag of a virtual machine, and requests that are made on condition of it.

Known: the member ``etag`` beside ``properties``, a quoted counter; ``If-Match`` and
``If-None-Match`` of PUT and PATCH; the code and the text of the 412. Assumed: that the counter grows
with every accepted change and once more when its operation ends, power actions included, and that
the condition is looked at before a change that is under way. No answer was seen with an ETag header.
DELETE and the actions are documented without these headers, and take no notice of them.
"""

from __future__ import annotations

from ..arm.resources import Resource
from ..errors import ArmError, invalid_parameter
from ..http_types import Headers

# Before this version a machine was seen without one, although documented from 2023-09-01 on.
SHOWN_SINCE = "2024-03-01"


def etag_of(vm: Resource) -> str:
    """The tag with its quotes, as it stands in the body and in the headers of a request."""
    return f'"{vm.hidden.get("etag", 1)}"'


def is_shown(api_version: str) -> bool:
    return api_version[: len(SHOWN_SINCE)] >= SHOWN_SINCE


def grow(vm: Resource) -> None:
    """The machine has changed: whoever has read it before has read something else."""
    vm.hidden["etag"] = vm.hidden.get("etag", 1) + 1


def check_conditions(headers: Headers, vm: Resource | None) -> None:
    """Refuse a PUT or PATCH whose condition does not hold; ``vm`` is None where there is none.

    Raises:
        ArmError: 412, or 400 for an ``If-None-Match`` other than ``*``.
    """
    wanted, unwanted = headers.get("if-match"), headers.get("if-none-match")
    if unwanted not in (None, "*"):
        raise invalid_parameter(
            f"The value '{unwanted}' of header 'If-None-Match' is not supported. Only '*' is."
        )
    if unwanted is not None and vm is not None:  # the service's own words are not recorded
        raise _failed(f"If-None-Match is '*', and VM '{vm.name}' exists.")
    if wanted is None:
        return
    if vm is None:  # the service's own words are not recorded
        raise _failed(f"Etag provided in if-match header {wanted} does not match any resource.")
    if wanted not in ("*", etag_of(vm)):
        raise _failed(
            f"Etag provided in if-match header {wanted} does not match etag {etag_of(vm)} of"
            " resource."
        )


def _failed(message: str) -> ArmError:
    return ArmError(412, "PreconditionFailed", message)
