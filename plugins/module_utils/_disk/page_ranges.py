# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bytes of a disk are allocated, and which changed between two snapshots of it.

The SDK's call for managed disks sends one request and has no marker; a list that is cut short
would lose changes silently. So the lists are asked for here: in windows of the disk, page by
page up to the end, and whatever is not plainly right in them is an error.

Source: https://learn.microsoft.com/rest/api/storageservices/get-page-ranges
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from .._clock import SystemClock
from .._errors import AzureError, VmguardError, missing_library
from .governor import Governor
from .http import CONNECT_SECONDS, Answer, TransferFailed, failed
from .page_blob import (
    API_VERSION,
    ATTEMPTS,
    PAGE,
    TIMED_OUT,
    USER_AGENT,
    Access,
    Exchanges,
    with_query,
)
from .ranges import Range, merge

WINDOW = 256 << 30
# What is fragmented takes the service long: smaller windows are asked for then, down to this one.
LEAST_WINDOW = 128 << 20
MOST_RESULTS = 10_000
# The service takes up to two minutes for each MiB of answer, and a page has less than one.
_LIST_SECONDS = 180.0
_SLOW_ATTEMPTS = 2
_SLOW_STATUS = 503
# Windows that are answered in time before they grow again.
_GROW_AFTER = 8
_LONGEST_NUMBER = 18
_PARENTS = {
    "PageList": (None,),
    "PageRange": ("PageList",),
    "ClearRange": ("PageList",),
    "NextMarker": ("PageList",),
    "Start": ("PageRange", "ClearRange"),
    "End": ("PageRange", "ClearRange"),
}


class Changed(NamedTuple):
    """The bytes from ``start`` up to ``end`` differ; ``cleared``: they are zeros now."""

    start: int
    end: int
    cleared: bool


class BadPageList(VmguardError):
    """A list of ranges that cannot be right."""

    default_code = "InvalidPageList"


class DiffUnavailable(VmguardError):
    """What changed cannot be known: the whole disk has to be read.

    ``code`` is Azure's own (BlobOverwritten, PreviousSnapshotNotFound...) where it refused.
    """

    default_code = "DiffUnavailable"


class PageRanges:
    """Asks for lists of ranges. Not thread-safe while a list is being walked.

    Args:
        attempts: for each request.
        window: bytes of the disk that one series of requests covers at most; a multiple of 512.
        least: bytes that one covers at least; what the service cannot list even so, in time, is
            told as allocated, or as changed.
        max_results: ranges in one answer; Azure gives at most 10,000.
        transport: an azure-core transport in place of the default one.
        check: called before each request; raises when the work has to stop.
        governor: of the disk, where others read it as well.

    Attributes:
        untold: bytes that were told as allocated or changed because no list of them came in time.
    """

    def __init__(
        self,
        clock: SystemClock,
        *,
        attempts: int = ATTEMPTS,
        window: int = WINDOW,
        least: int = LEAST_WINDOW,
        max_results: int = MOST_RESULTS,
        transport: Any = None,
        check: Callable[[], None] = lambda: None,
        governor: Governor | None = None,
    ) -> None:
        if window <= 0 or window % PAGE or max_results < 1:
            raise ValueError(f"No window has {window} bytes and {max_results} results.")
        self._exchanges = Exchanges(clock, attempts, check, governor, _SLOW_ATTEMPTS)
        self._window = window
        self._least = min(least, window)
        self.untold = 0
        self._max_results = max_results
        self._transport = transport
        self._client: Any = None

    def allocated(self, access: Access, window: Range) -> Iterator[Range]:
        """The ranges of a snapshot or disk that were ever written, ascending and joined.

        Args:
            window: where to look, in whole pages: ``Range(0, disk_size)`` for all of a disk,
                which leaves out the VHD footer behind it.

        Raises:
            TransferFailed, AzureError: as ``PageBlob.read``.
            BadPageList: the answer cannot be right.
        """
        yield from merge((start, end) for start, end, _clear in self._walk(access, None, window))

    def changed(self, access: Access, base: Access, window: Range) -> Iterator[Changed]:
        """What differs from an earlier snapshot of the same disk, ascending, as Azure tells it.

        The failure may come after some of the changes were given: they are worth nothing then.

        Raises:
            DiffUnavailable: for every reason there is.
        """
        try:
            yield from self._walk(access, base, window)
        except VmguardError as error:
            raise DiffUnavailable(
                f"The changes of {access.name} since {base.name} cannot be told: {error.message}",
                code=error.code,
                operation="list changed ranges",
                resource=access.name,
                request_id=error.request_id,
                hint=error.hint,
            ) from error

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def __enter__(self) -> PageRanges:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _walk(self, access: Access, base: Access | None, window: Range) -> Iterator[Changed]:
        if window.start % PAGE or window.end % PAGE:
            raise ValueError(f"{window} is not of whole pages.")
        low, size, in_time = window.start, self._window, 0
        while low < window.end:
            part = Range(low, min(window.end, (low // size + 1) * size))
            low = part.end
            upto = part.start
            try:
                for one in self._walk_part(access, base, part):
                    upto = one.end
                    yield one
            except (AzureError, TransferFailed) as error:
                if not _is_slow(error):
                    raise
                in_time = 0
                length = part.end - part.start
                if length > self._least:
                    low, size = upto, max(self._least, length // 2 // PAGE * PAGE)
                elif upto < part.end:
                    # What is read without need costs time; what is left out would be lost.
                    self.untold += part.end - upto
                    yield Changed(upto, part.end, False)
                continue
            in_time += 1
            if in_time % _GROW_AFTER == 0:
                size = min(self._window, size * 2)

    def _walk_part(self, access: Access, base: Access | None, part: Range) -> Iterator[Changed]:
        """One window: its pages, up to the one without a marker."""
        marker, markers = "", set[str]()
        upto = 0
        while True:
            found, following = self._page(access, base, part, marker)
            for one in found:
                _check(one, upto, part, access.name)
                if one.cleared and base is None:
                    raise _bad(access.name, "it has a cleared range, but no changes were asked for")
                upto = one.end
                yield Changed(max(one.start, part.start), min(one.end, part.end), one.cleared)
            if not following:
                return
            if following in markers:
                raise _bad(access.name, "its marker leads to a page that was already given")
            markers.add(following)
            marker = following

    def _page(
        self, access: Access, base: Access | None, part: Range, marker: str
    ) -> tuple[list[Changed], str]:
        """One page of the list, and the marker of the next one ("" after the last)."""
        query = f"comp=pagelist&maxresults={self._max_results}"
        if marker:
            query += f"&marker={quote(marker, safe='')}"
        headers = {"x-ms-version": API_VERSION, "x-ms-range": f"bytes={part.start}-{part.end - 1}"}
        others = () if base is None else (base,)

        def once(url: str, more: dict[str, str]) -> Answer:
            asked = headers | more | ({} if base is None else _since(base))
            return self._send(with_query(url, query), asked)

        what = f"list the {'allocated' if base is None else 'changed'} ranges of {access.name}"
        answer = self._exchanges.run(once, access, what, *others, done=200)
        try:
            return parse_page_list(answer.body)
        except ValueError as error:
            raise _bad(access.name, str(error)) from error

    def _send(self, url: str, headers: dict[str, str]) -> Answer:
        """One request through azure-core's pipeline. Tried again, if at all, by ``Exchanges``."""
        try:
            from azure.core import PipelineClient
            from azure.core.exceptions import AzureError
            from azure.core.pipeline import policies
            from azure.core.rest import HttpRequest
        except ImportError as error:
            raise missing_library("azure-core", "to list the ranges of a disk") from error
        if self._client is None:
            chain = [policies.RequestIdPolicy(), policies.UserAgentPolicy(USER_AGENT)]
            settings: dict[str, Any] = {
                "connection_timeout": CONNECT_SECONDS, "read_timeout": _LIST_SECONDS
            }  # fmt: skip
            if self._transport is not None:
                settings["transport"] = self._transport
            self._client = PipelineClient("", policies=chain, **settings)
        try:
            response = self._client.send_request(HttpRequest("GET", url, headers=headers))
            body = response.read()
        except AzureError as error:
            raise failed(urlsplit(url).hostname, error) from error
        told = response.headers.get("Content-Length")
        if told and told.isdigit() and int(told) != len(body) and not _encoded(response):
            raise failed(urlsplit(url).hostname, ConnectionError("cut"))
        return Answer(response.status_code, response.headers, body)


def parse_page_list(body: bytes) -> tuple[list[Changed], str]:
    """The ranges of one page in the document's order, and the next page's marker ("" for none).

    Raises:
        ValueError: it is no complete page list; the end of a sentence that says why.
    """
    from xml.parsers import expat

    reader = _Reader()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise ValueError(f"it is no complete XML document ({error})") from error
    return reader.found, reader.marker or ""


class _Reader:
    """Collects ranges from an XML parser's events."""

    def __init__(self) -> None:
        self.found: list[Changed] = []
        self.marker: str | None = None
        self._open: list[str | None] = [None]
        self._text = ""
        self._numbers: dict[str, int] = {}

    def doctype(self, *_declaration: object) -> None:
        raise ValueError("it declares a document type")

    def start(self, name: str, _attributes: object) -> None:
        if self._open[-1] not in _PARENTS.get(name, ()):
            raise ValueError(f"it has an element {name!r} where none belongs")
        self._open.append(name)
        self._text = ""

    def text(self, data: str) -> None:
        self._text += data

    def end(self, name: str) -> None:
        self._open.pop()
        text, self._text = self._text.strip(), ""
        if name in ("Start", "End"):
            if name in self._numbers or not (text.isascii() and text.isdigit()):
                raise ValueError(f"it has a range whose {name} is {text!r}")
            if len(text) > _LONGEST_NUMBER:
                raise ValueError(f"it has a range whose {name} is beyond every disk")
            self._numbers[name] = int(text)
        elif name == "NextMarker":
            if self.marker is not None:
                raise ValueError("it has two markers")
            self.marker = text
        elif text:
            raise ValueError(f"it has text in an element {name!r}")
        elif name != "PageList":
            numbers, self._numbers = self._numbers, {}
            if len(numbers) != 2:
                raise ValueError("it has a range without beginning or end")
            self.found.append(Changed(numbers["Start"], numbers["End"] + 1, name == "ClearRange"))


def _check(one: Changed, upto: int, part: Range, name: str) -> None:
    """Refuse a range that cannot be right. One that sticks out of the window is clipped later."""
    shown = f"the range {one.start}-{one.end - 1}"
    if one.start >= one.end or one.start % PAGE or one.end % PAGE:
        raise _bad(name, f"{shown} is not of whole pages")
    if one.start < upto:
        raise _bad(name, f"{shown} is out of order, or overlaps another")
    if one.end <= part.start or one.start >= part.end:
        raise _bad(name, f"{shown} is outside of what was asked for")


def _is_slow(error: AzureError | TransferFailed) -> bool:
    """Whether the service had no time for what was asked."""
    if isinstance(error, TransferFailed):
        return error.slow
    return error.status == _SLOW_STATUS or error.code == TIMED_OUT


def _bad(name: str, what: str) -> BadPageList:
    return BadPageList(
        f"Azure's list of the ranges of {name} cannot be right: {what}.", resource=name
    )


def _since(base: Access) -> dict[str, str]:
    return {"x-ms-previous-snapshot-url": base.url()}


def _encoded(response: Any) -> bool:
    return (response.headers.get("Content-Encoding") or "identity") != "identity"
