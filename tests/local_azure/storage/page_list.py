"""The page list: a blob's ranges as XML, in pages that the caller follows by marker."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from .blob_errors import XML_START, StorageError, bad_query

if TYPE_CHECKING:
    from .page_blob import PageBlob

MAX_RANGES = 10_000

_PAGING_SINCE = "2020-10-02"


def page_list(
    blob: PageBlob,
    base: PageBlob | None,
    window: tuple[int, int],
    query: Mapping[str, str],
    version: str,
) -> bytes:
    """The ranges of ``blob`` in ``window``, or those changed since ``base``, as XML.

    From service version 2020-10-02 on an answer has at most 10,000 ranges; before, all of them,
    and ``maxresults`` and ``marker`` mean nothing.

    Raises:
        StorageError: for a malformed ``maxresults`` or ``marker``.
    """
    start, end = window
    limit: int | None = None
    if version >= _PAGING_SINCE:
        limit = _limit(query)
        start = max(start, _resume_at(query))
    ranges = _ranges(blob, base, start, end)
    shown = list(islice(ranges, limit))
    following = next(ranges, None)
    marker = "" if following is None else f"<NextMarker>{_marker(following[0])}</NextMarker>"
    return f"{XML_START}<PageList>{_elements(shown)}{marker}</PageList>".encode()


def _ranges(
    blob: PageBlob, base: PageBlob | None, start: int, end: int
) -> Iterator[tuple[int, int, bool]]:
    if base is not None:
        return iter(blob.changes(base, start, end))
    return ((low, high, False) for low, high in blob.ranges(start, end))


def _elements(ranges: list[tuple[int, int, bool]]) -> str:
    """Ends are inclusive on the wire. Changed and cleared ranges stay in disk order."""
    texts = []
    for start, end, cleared in ranges:
        name = "ClearRange" if cleared else "PageRange"
        texts.append(f"<{name}><Start>{start}</Start><End>{end - 1}</End></{name}>")
    return "".join(texts)


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("maxresults")
    if text is None:
        return MAX_RANGES
    if not re.fullmatch(r"-?\d+", text):
        raise bad_query("maxresults", text)
    if int(text) <= 0:
        raise StorageError(
            "OutOfRangeQueryParameterValue",
            {
                "QueryParameterName": "maxresults",
                "QueryParameterValue": text,
                "MinimumAllowed": 1,
                "MaximumAllowed": 2147483647,
            },
        )
    return min(int(text), MAX_RANGES)


def _marker(offset: int) -> str:
    """An opaque marker in the service's shape: length, then the base64 of where to go on."""
    inner = f"{len(str(offset)):06d}!{offset}!".encode()
    text = base64.b64encode(inner).decode()
    return f"2!{len(text)}!{text}"


def _resume_at(query: Mapping[str, str]) -> int:
    text = query.get("marker", "")
    if not text:
        return 0
    try:
        inner = base64.b64decode(text.split("!")[2], validate=True).decode()
        return int(inner.split("!")[1])
    except (IndexError, ValueError, binascii.Error) as error:
        raise bad_query("marker", text) from error
