"""Which api-version a request can have: those of its resource type, and whatever is newer."""

from __future__ import annotations

import re
from datetime import datetime

from ..errors import ArmError
from ..providers import REGIONS, RESOURCE_VERSIONS, namespace_of, versions_of
from .other_types import OTHER_TYPES
from .resources import Resources

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(-[a-z.]+)?", re.IGNORECASE)
_PROVIDER = re.compile(r"/providers/([^/]+)/(.+?)/?$", re.IGNORECASE)
# The URLs of operations repeat the api-version of the request that began them.
_UNCHECKED = ("locations", "operationresults")


def check_api_version(resources: Resources, path: str, version: str | None, now: datetime) -> None:
    """Refuse a request without an api-version, or with one that its resource type does not have.

    A version that is newer than all known ones is taken where it is no younger than today.

    Raises:
        ArmError: 400, for a namespace that does not exist 404.
    """
    if version is None:
        raise _refusal(
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    found = _PROVIDER.search(path)
    if found is None or found[1].lower() == "microsoft.resources":
        if not _is_among(version, RESOURCE_VERSIONS, now):
            raise _invalid(version, RESOURCE_VERSIONS)
        return
    namespace = namespace_of(found[1])
    if namespace is None and found[1].lower() in [name.lower() for name in OTHER_TYPES]:
        return
    if namespace is None:
        raise ArmError(
            404, "InvalidResourceNamespace",
            f"The resource namespace '{found[1]}' is invalid.", gateway=True,
        )  # fmt: skip
    kinds, name = _type_of(found[2])
    known = versions_of(namespace, "/".join(kinds))
    while known is None and len(kinds) > 1:
        kinds = kinds[:-1]
        known = versions_of(namespace, "/".join(kinds))
    if kinds[0].lower() in _UNCHECKED or known is None:
        return
    kind, versions = known
    if not _DATE.fullmatch(version):
        raise _invalid(version, RESOURCE_VERSIONS)
    if _is_among(version, versions, now):
        return
    if name is None or "/resourcegroups/" not in path.lower():
        raise _unknown_type(namespace, kind, version, versions)
    raise _unregistered(resources, path, kind, version, versions)


def _type_of(path: str) -> tuple[list[str], str | None]:
    """The types and the last name in a path below a provider: ``disks/d1/beginGetAccess``."""
    parts = [part for part in path.split("/") if part]
    return parts[::2], parts[1] if len(parts) > 1 else None


def _is_among(version: str, versions: tuple[str, ...], now: datetime) -> bool:
    if version.lower() in versions:
        return True
    newest = max(versions)[:10]
    return bool(_DATE.fullmatch(version)) and newest < version[:10] <= now.date().isoformat()


def _refusal(code: str, message: str) -> ArmError:
    return ArmError(400, code, message, gateway=True)


def _invalid(version: str, versions: tuple[str, ...]) -> ArmError:
    return _refusal(
        "InvalidApiVersionParameter",
        f"The api-version '{version}' is invalid. The supported versions are"
        f" '{','.join(versions)}'.",
    )


def _unknown_type(namespace: str, kind: str, version: str, versions: tuple[str, ...]) -> ArmError:
    """For a list of a whole subscription (azure-sdk-for-python#33314)."""
    return _refusal(
        "InvalidResourceType",
        f"The resource type '{kind}' could not be found in the namespace '{namespace}' for api"
        f" version '{version}'. The supported api-versions are '{','.join(reversed(versions))}'.",
    )


def _unregistered(
    resources: Resources, path: str, kind: str, version: str, versions: tuple[str, ...]
) -> ArmError:
    """For one resource (azure-cli#28496, migAz#246); its region is that of the group otherwise."""
    parts = path.split("/")
    held = resources.get("/".join(parts[:9])) or resources.get("/".join(parts[:5]))
    location = held.location if held is not None else ""
    return _refusal(
        "NoRegisteredProviderFound",
        f"No registered resource provider found for location '{location}' and API version"
        f" '{version}' for type '{kind}'. The supported api-versions are"
        f" '{', '.join(reversed(versions))}'. The supported locations are '{', '.join(REGIONS)}'.",
    )
