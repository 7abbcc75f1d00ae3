"""What a blob request asks for: its service version, byte range and conditions."""

from __future__ import annotations

import re

from ..http_types import Request
from .blob_errors import StorageError, bad_header
from .pages import PAGE

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")


def service_version(request: Request) -> str:
    """The ``x-ms-version`` asked for, else the one that the signature was made with.

    Raises:
        StorageError: for something that is not a version.
    """
    version = request.headers.get("x-ms-version") or request.query.get("sv", "2018-03-28")
    if not _VERSION.fullmatch(version):
        raise bad_header("x-ms-version", version)
    return version


def asked_range(request: Request, size: int) -> tuple[int, int] | None:
    """The half-open range asked for, cut to ``size``; None where none is asked for.

    Raises:
        StorageError: 400 when it is malformed, 416 when it begins after the end.
    """
    found = _range(request)
    if found is None:
        return None
    start, end = found
    if start >= size:
        raise StorageError("InvalidRange", headers={"Content-Range": f"bytes */{size}"})
    return start, size if end is None else min(end, size)


def page_range(request: Request, size: int) -> tuple[int, int]:
    """The half-open, page-aligned range that a page write is for.

    Raises:
        StorageError: when it is missing, malformed, misaligned or outside the blob.
    """
    found = _range(request)
    if found is None:
        raise StorageError("MissingRequiredHeader", {"HeaderName": "x-ms-range"})
    start, end = found
    if end is None or start % PAGE or end % PAGE or end > size:
        raise StorageError("InvalidPageRange")
    return start, end


def check_conditions(request: Request, etag: str) -> None:
    """Obey If-Match and If-None-Match.

    Raises:
        StorageError: 412, or 304 for a read of what the client already has.
    """
    wanted = _etags(request.headers.get("If-Match"))
    if wanted and not wanted & {"*", etag}:
        raise StorageError("ConditionNotMet")
    unwanted = _etags(request.headers.get("If-None-Match"))
    if unwanted & {"*", etag}:
        status = 304 if request.method in ("GET", "HEAD") else 412
        raise StorageError("ConditionNotMet", headers={"ETag": etag}, status=status)


def _range(request: Request) -> tuple[int, int | None] | None:
    """Start and exclusive end as asked. ``x-ms-range`` wins over ``Range``."""
    for name in ("x-ms-range", "Range"):
        text = request.headers.get(name)
        if not text:
            continue
        match = _RANGE.fullmatch(text.strip())
        if match is None or (match[2] and int(match[2]) < int(match[1])):
            raise bad_header(name, text)
        return int(match[1]), int(match[2]) + 1 if match[2] else None
    return None


def _etags(text: str | None) -> set[str]:
    return {item.strip() for item in text.split(",")} if text else set()
