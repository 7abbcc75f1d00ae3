"""The resources that exist, by id."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import ArmError, resource_not_found

_TRACKED_PARTS = 9  # of an id split at "/", whose first part is empty


@dataclass
class Resource:
    """One resource: what the service answers (``body``) and what it keeps to itself (``hidden``)."""

    id: str
    type: str
    body: dict[str, Any]
    hidden: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.id.rsplit("/", 1)[1]

    @property
    def group(self) -> str:
        return self.id.split("/")[4]

    @property
    def properties(self) -> dict[str, Any]:
        return self.body["properties"]

    @property
    def location(self) -> str:
        return self.body.get("location", "")

    def answer(self) -> dict[str, Any]:
        """A copy of the body that the caller may change."""
        return copy.deepcopy(self.body)


def new_guid() -> str:
    return str(uuid.uuid4())


def same_id(one: str, other: str) -> bool:
    """Resource ids compare case-insensitively."""
    return one.lower() == other.lower()


class Resources:
    """A dictionary of resources keyed by their lower-cased ids, in creation order."""

    def __init__(self) -> None:
        self._by_id: dict[str, Resource] = {}

    def put(self, resource: Resource) -> Resource:
        self._by_id[resource.id.lower()] = resource
        return resource

    def get(self, resource_id: str) -> Resource | None:
        return self._by_id.get(resource_id.lower().rstrip("/"))

    def remove(self, resource_id: str) -> None:
        self._by_id.pop(resource_id.lower(), None)

    def need(self, resource_id: str) -> Resource:
        """The tracked resource with this id.

        Raises:
            ArmError: Resource Manager's 404, which is another one where its group is missing.
        """
        found = self.get(resource_id)
        if found is None:
            parts = resource_id.split("/")
            if len(parts) < _TRACKED_PARTS:
                raise resource_not_found("/".join(parts[-3:-1]), parts[-1], "")
            need_group(self, parts[2], parts[4])
            raise resource_not_found("/".join(parts[6:8]), parts[-1], parts[4])
        return found

    def of_type(
        self, resource_type: str, *, subscription: str | None = None, group: str | None = None
    ) -> Iterator[Resource]:
        """Resources of one type, in one resource group or in a whole subscription."""
        prefix = ""
        if subscription is not None:
            prefix = f"/subscriptions/{subscription}/"
        if group is not None:
            prefix += f"resourceGroups/{group}/"
        for key, resource in list(self._by_id.items()):
            if resource.type.lower() == resource_type.lower() and key.startswith(prefix.lower()):
                yield resource

    def below(self, resource_id: str) -> list[Resource]:
        """Resources whose id lies below this one."""
        prefix = resource_id.lower() + "/"
        return [item for key, item in self._by_id.items() if key.startswith(prefix)]


def need_group(resources: Resources, subscription: str, group: str) -> Resource:
    """The resource group that a tracked resource is created in.

    Raises:
        ArmError: Resource Manager's 404 when it does not exist.
    """
    found = resources.get(f"/subscriptions/{subscription}/resourceGroups/{group}")
    if found is None:
        raise ArmError(
            404,
            "ResourceGroupNotFound",
            f"Resource group '{group}' could not be found.",
            gateway=True,
        )
    return found
