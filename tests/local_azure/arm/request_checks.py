"""What Resource Manager refuses by itself, whatever provider a request is for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import ArmError

MOST_TAGS, LONGEST_TAG_NAME, LONGEST_TAG_VALUE = 50, 512, 256
_FORBIDDEN_IN_TAG_NAMES = "<>%&\\?/"
_WRITES = ("PUT", "PATCH")
_RESOURCE_ID = re.compile(
    r"/(subscriptions/[^/]+/(resourceGroups/[^/]+/)?)?providers/[^/]+/[^/]+/[^/]+", re.IGNORECASE
)


def check_content(method: str, body: dict[str, Any]) -> None:
    """Refuse tags that no resource can have, and ids in the properties that are none.

    Raises:
        ArmError: 400.
    """
    if method not in _WRITES:
        return
    _check_tags(body.get("tags"))
    for path, value in _ids(body.get("properties"), "properties"):
        if not _RESOURCE_ID.match(value):
            raise _refusal(
                "LinkedInvalidPropertyId",
                f"Property id '{value}' at path '{path}' is invalid. Expect fully qualified"
                " resource Id that start with '/subscriptions/{subscriptionId}' or"
                " '/providers/{resourceProviderNamespace}/'.",
            )


def _check_tags(tags: Any) -> None:
    """The limits are documented; code and texts are not recorded."""
    if tags is None:
        return
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        raise _refusal("InvalidRequestContent", "The tags of a resource are an object of strings.")
    if len(tags) > MOST_TAGS:
        raise _refusal(
            "BadRequest", f"A resource can have {MOST_TAGS} tags; {len(tags)} were given."
        )
    if len({name.lower() for name in tags}) < len(tags):
        raise _refusal(
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized: 'An item with the same"
            " key has already been added.'.",
        )
    for name, value in tags.items():
        if not 0 < len(name) <= LONGEST_TAG_NAME or set(name) & set(_FORBIDDEN_IN_TAG_NAMES):
            raise _refusal(
                "InvalidTagNameCharacters",
                f"The tag name '{name}' is empty, longer than {LONGEST_TAG_NAME} characters, or has"
                f" one of {_FORBIDDEN_IN_TAG_NAMES}.",
            )
        if len(value) > LONGEST_TAG_VALUE:
            raise _refusal(
                "BadRequest",
                f"The value of tag '{name}' has {len(value)} characters; it can have"
                f" {LONGEST_TAG_VALUE}.",
            )


def _ids(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Path and value of each member ``id`` that is a text."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "id" and isinstance(item, str):
                yield f"{path}.id", item
            else:
                yield from _ids(item, f"{path}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _ids(item, f"{path}[{number}]")


def _refusal(code: str, message: str) -> ArmError:
    return ArmError(400, code, message, gateway=True)
