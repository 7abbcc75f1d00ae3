"""Disks as page blobs, and the part of the blob service that signed disk URLs lead to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from email.utils import format_datetime
from heapq import merge
from itertools import count
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4, uuid5

from ..clock import Clock
from ..http_types import Request, Response
from . import vhd
from .blob_errors import StorageError, bad_header, bad_query
from .blob_requests import asked_range, check_conditions, page_range, service_version
from .image import Image, ImageError
from .page_list import page_list
from .pages import merged
from .sas import Grant, SasRegistry

MAX_PAGE_WRITE = 4 << 20
MAX_MD5_RANGE = 4 << 20

_FOOTER_NAMES = UUID("6f1d7a52-6c1f-4c77-9a5a-51f7d1a0c0de")
_DIFF_SINCE = "2019-07-07"

_versions = count(0x8DC000000000001)


class PageBlob:
    """An image followed by its VHD footer, 512 bytes longer than the disk. Thread-safe.

    For an export the footer is made from the image. For an upload it is what the client writes.
    """

    def __init__(self, image: Image, upload: bool = False) -> None:
        self.image = image
        self.upload = upload
        self.lock = threading.RLock()
        self.etag = _new_etag()
        self.modified_at: datetime | None = None
        self._uploaded_footer: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes, the footer included."""
        return self.image.size + vhd.FOOTER_SIZE

    @property
    def footer(self) -> bytes:
        """The last 512 bytes: zeros while an upload has not written them."""
        if self.upload:
            return self._uploaded_footer or bytes(vhd.FOOTER_SIZE)
        # From the family, so that all snapshots of one disk end with the same footer.
        return vhd.build(self.image.size, uuid5(_FOOTER_NAMES, str(self.image.family)))

    def read_pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``end``, in small pieces."""
        disk_end = min(end, self.image.size)
        if start < disk_end:
            yield from self.image.read_pieces(start, disk_end - start)
        if end > self.image.size:
            yield self.footer[max(start - self.image.size, 0) : end - self.image.size]

    def write(self, start: int, data: bytes, now: datetime) -> None:
        """Write whole pages inside the blob; the footer's page goes to the footer."""
        split = max(min(self.image.size - start, len(data)), 0)
        with self.lock:
            if split:
                self.image.write(start, memoryview(data)[:split])
            if split < len(data):
                self._uploaded_footer = bytes(data[split:])
            self._touch(now)

    def clear(self, start: int, end: int, now: datetime) -> None:
        """Clear whole pages inside the blob."""
        with self.lock:
            if start < self.image.size:
                self.image.clear(start, min(end, self.image.size) - start)
            if end > self.image.size:
                self._uploaded_footer = None
            self._touch(now)

    def ranges(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The pages with content between ``start`` and ``end``, the footer's among them."""
        disk = self.image.size
        found = [] if start >= disk else self.image.allocated(start, min(end, disk))
        has_footer = end > disk and (not self.upload or self._uploaded_footer is not None)
        last = [(disk, self.size)] if has_footer else []
        for low, high, _cleared in merged(
            (*pages, False) for part in (found, last) for pages in part
        ):
            yield low, high

    def changes(self, base: PageBlob, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """The pages that changed since ``base``: ``(start, end, cleared)``, in order, merged.

        Raises:
            ImageError: when ``base`` is not a snapshot of the same disk.
        """
        disk, old_disk = self.image.size, base.image.size
        found = iter(self.image.changed_since(base.image, start, min(end, disk)))
        extra = []
        # After a disk has grown, its old footer lies where the disk now has its own content.
        if start <= old_disk < min(end, disk) and not self.image.has_bytes(
            old_disk, old_disk + vhd.FOOTER_SIZE
        ):
            extra.append((old_disk, old_disk + vhd.FOOTER_SIZE, True))
        if end > disk and self.footer != base.footer:
            extra.append((disk, self.size, False))
        return merged(merge(found, extra))

    def finish_upload(self) -> None:
        """Check that the client wrote a footer that fits the disk.

        Raises:
            vhd.VhdFooterError: saying what is wrong with it.
        """
        vhd.validate(self.footer, self.image.size)

    def _touch(self, now: datetime) -> None:
        self.etag = _new_etag()
        self.modified_at = now


class BlobService:
    """Answers requests to signed disk URLs as the blob service does.

    ``on_read(grant, bytes)`` is called for every piece of blob content that goes out;
    ``on_request(request)`` before anything is done, and what it raises is the answer: a disk that is
    throttled (ServerBusy), or a list that takes too long (OperationTimedOut).
    """

    def __init__(self, sas: SasRegistry, clock: Clock) -> None:
        self._sas = sas
        self._clock = clock
        self.on_read: Callable[[Grant, int], None] | None = None
        # Raises for a request without a token that is good for the data of managed disks.
        self.check_token: Callable[[Request, Grant], None] | None = None
        self.on_request: Callable[[Request], None] | None = None

    def handle(self, request: Request) -> Response:
        """The answer to one request. Never raises for what a client can cause."""
        request_id = str(uuid4())
        try:
            version = service_version(request)
            if self.on_request is not None:
                self.on_request(request)
            response = self._answer(request, self._grant_of(request), version)
        except ImageError:
            # The disk went away under its signature.
            response = self._refuse(StorageError("BlobNotFound"), request, request_id)
        except StorageError as error:
            response = self._refuse(error, request, request_id)
        headers = {
            "Server": "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0",
            "Date": _http_date(self._clock.now()),
            "x-ms-request-id": request_id,
            "x-ms-version": request.headers.get("x-ms-version")
            or request.query.get("sv", "2018-03-28"),
            **response.headers,
        }
        if client_id := request.headers.get("x-ms-client-request-id"):
            headers["x-ms-client-request-id"] = client_id
        return Response(response.status, headers, response.body)

    def _refuse(self, error: StorageError, request: Request, request_id: str) -> Response:
        return error.response(request_id, self._clock.now(), with_body=request.method != "HEAD")

    def _grant_of(self, request: Request) -> Grant:
        grant = self._sas.authenticate(request.path, request.query)
        if grant is None:
            raise StorageError("AuthenticationFailed")
        if grant.with_token and self.check_token is not None:
            self.check_token(request, grant)
        return grant

    def _answer(self, request: Request, grant: Grant, version: str) -> Response:
        match request.method, request.query.get("comp"):
            case "GET", None:
                return self._get(request, grant)
            case "HEAD", None:
                return self._head(request, grant)
            case "GET", "pagelist":
                return self._page_list(request, grant, version)
            case "PUT", "page":
                return self._put_page(request, grant)
            case (("GET" | "HEAD" | "PUT"), comp):
                raise bad_query("comp", comp or "")
        raise StorageError("UnsupportedHttpVerb")

    # -- reading

    def _head(self, request: Request, grant: Grant) -> Response:
        check_conditions(request, grant.blob.etag)
        return Response(200, _properties(grant) | {"Content-Length": str(grant.blob.size)})

    def _get(self, request: Request, grant: Grant) -> Response:
        blob = grant.blob
        check_conditions(request, blob.etag)
        size = blob.size
        asked = asked_range(request, size)
        start, end = asked or (0, size)
        headers = _properties(grant) | {"Content-Length": str(end - start)}
        if asked:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        body: Iterable[bytes] | bytes = self._counted(grant, start, end)
        if request.headers.get("x-ms-range-get-content-md5", "").lower() == "true":
            if not asked or end - start > MAX_MD5_RANGE:
                raise bad_header("x-ms-range-get-content-md5", "true")
            body = b"".join(body)
            headers["Content-MD5"] = _md5(body)
        return Response(206 if asked else 200, headers, body)

    def _counted(self, grant: Grant, start: int, end: int) -> Iterator[bytes]:
        for piece in grant.blob.read_pieces(start, end):
            if self.on_read:
                self.on_read(grant, len(piece))
            yield piece

    def _page_list(self, request: Request, grant: Grant, version: str) -> Response:
        blob = grant.blob
        check_conditions(request, blob.etag)
        window = asked_range(request, blob.size) or (0, blob.size)
        base = self._previous(request, blob, version)
        body = page_list(blob, base, window, request.query, version)
        headers = {
            "Content-Type": "application/xml",
            "Content-Length": str(len(body)),
            "ETag": blob.etag,
            "Last-Modified": _modified(grant),
            "x-ms-blob-content-length": str(blob.size),
        }
        return Response(200, headers, body)

    def _previous(self, request: Request, blob: PageBlob, version: str) -> PageBlob | None:
        """The blob that changes are asked since, None when a full list is asked for."""
        name = "x-ms-previous-snapshot-url"
        if "prevsnapshot" in request.query:
            # Disk blobs have no snapshots by time; a URL in its place is malformed as in Azure.
            try:
                datetime.fromisoformat(request.query["prevsnapshot"])
            except ValueError as error:
                raise bad_query("prevsnapshot", request.query["prevsnapshot"]) from error
            raise StorageError("PreviousSnapshotNotFound")
        url = request.headers.get(name)
        if url is None:
            return None
        if version < _DIFF_SINCE:
            raise StorageError("UnsupportedHeader", {"HeaderName": name})
        parts = urlsplit(url)
        if not parts.scheme or not parts.path:
            raise StorageError("InvalidHeaderValue", {"HeaderName": name})
        if self._sas.find(parts.path) is None:
            raise StorageError("PreviousSnapshotNotFound")
        grant = self._sas.authenticate(parts.path, dict(parse_qsl(parts.query)))
        if grant is None:
            raise StorageError("AuthenticationFailed")
        _check_base(grant.blob.image, blob.image)
        return grant.blob

    # -- writing

    def _put_page(self, request: Request, grant: Grant) -> Response:
        blob = grant.blob
        if grant.access != "Write":
            raise StorageError("AuthorizationPermissionMismatch")
        action = request.headers.get("x-ms-page-write")
        if action is None:
            raise StorageError("MissingRequiredHeader", {"HeaderName": "x-ms-page-write"})
        if action.lower() not in ("update", "clear"):
            raise bad_header("x-ms-page-write", action)
        start, end = page_range(request, blob.size)
        headers = {"Content-Length": "0", "x-ms-request-server-encrypted": "true"}
        with blob.lock:
            check_conditions(request, blob.etag)
            if action.lower() == "clear":
                _check_length(request, 0)
                blob.clear(start, end, self._clock.now())
            else:
                _check_update(request, end - start)
                blob.write(start, request.body, self._clock.now())
                if "content-md5" in request.headers:
                    headers["Content-MD5"] = request.headers["content-md5"]
            headers |= {
                "ETag": blob.etag,
                "Last-Modified": _modified(grant),
                "x-ms-blob-sequence-number": "0",
            }
        return Response(201, headers)


def _check_base(base: Image, now: Image) -> None:
    """Refuse a base that changes cannot be computed since."""
    if not now.related(base):
        raise StorageError("BlobOverwritten")
    if not base.frozen:
        raise StorageError("PreviousSnapshotOperationNotSupported")
    if now.frozen and base.moment > now.moment:
        raise StorageError("PreviousSnapshotCannotBeNewer")


def _check_update(request: Request, length: int) -> None:
    """Refuse a body that is too large, of another length than its range, or damaged."""
    if max(length, len(request.body)) > MAX_PAGE_WRITE:
        raise StorageError("RequestBodyTooLarge", {"MaxLimit": MAX_PAGE_WRITE})
    _check_length(request, length)
    given = request.headers.get("Content-MD5")
    if not given:
        return
    try:
        valid = len(base64.b64decode(given, validate=True)) == 16
    except binascii.Error:
        valid = False
    if not valid:
        raise StorageError("InvalidMd5")
    if given != (found := _md5(request.body)):
        raise StorageError("Md5Mismatch", {"UserSpecifiedMd5": given, "ServerCalculatedMd5": found})


def _check_length(request: Request, length: int) -> None:
    if len(request.body) != length:
        raise bad_header("Content-Length", str(len(request.body)))


def _properties(grant: Grant) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Last-Modified": _modified(grant),
        "Accept-Ranges": "bytes",
        "ETag": grant.blob.etag,
        "x-ms-blob-type": "PageBlob",
        "x-ms-blob-sequence-number": "0",
        "x-ms-creation-time": _http_date(grant.granted_at),
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-server-encrypted": "true",
    }


def _modified(grant: Grant) -> str:
    return _http_date(grant.blob.modified_at or grant.granted_at)


def _http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _new_etag() -> str:
    return f'"0x{next(_versions):X}"'
