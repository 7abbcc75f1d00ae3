"""The page-blob answers, request by request, without sockets."""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from local_azure.clock import Clock
from local_azure.http_types import Headers, Request, Response
from local_azure.storage import vhd
from local_azure.storage.disk_store import DiskStore, Image
from local_azure.storage.page_blob import BlobService, PageBlob
from local_azure.storage.sas import Grant, SasRegistry

MIB = 1 << 20
PAGING = "2021-12-02"
OLD = "2019-12-12"


class Service:
    """A store, a registry and a service, and short ways to ask them."""

    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.store = DiskStore(root)
        self.sas = SasRegistry(self.clock, "https://127.0.0.1:1")
        self.blobs = BlobService(self.sas, self.clock)

    def export(self, image: Image) -> Grant:
        return self.sas.grant(f"/disk/{uuid4()}", PageBlob(image), "Read", 3600)

    def upload(self, size: int) -> Grant:
        blob = PageBlob(self.store.create(size), upload=True)
        return self.sas.grant(f"/disk/{uuid4()}", blob, "Write", 3600)

    def ask(
        self,
        grant: Grant,
        method: str = "GET",
        query: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Response:
        target = grant.url.removeprefix(self.sas.base_url) + (f"&{query}" if query else "")
        sent = Headers({"x-ms-version": PAGING, **(headers or {})}.items())
        return self.blobs.handle(Request(method, target, sent, body))

    def put(self, grant: Grant, start: int, body: bytes, **headers: str) -> Response:
        sent = {
            "x-ms-page-write": "update",
            "x-ms-range": f"bytes={start}-{start + len(body) - 1}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self.ask(grant, "PUT", "comp=page", sent, body)

    def ranges(
        self, grant: Grant, query: str = "", **headers: str
    ) -> tuple[list[tuple[str, int, int]], str | None]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.ask(grant, "GET", "comp=pagelist" + query, sent)
        assert response.status == 200, body_of(response)
        root = ET.fromstring(body_of(response))
        found = [
            (item.tag, int(item.findtext("Start", "")), int(item.findtext("End", "")) + 1)
            for item in root
            if item.tag != "NextMarker"
        ]
        return found, root.findtext("NextMarker")


def body_of(response: Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b"".join(response.body)


def error_code(response: Response, status: int) -> str:
    """The error's code, the same in header and body."""
    assert response.status == status, body_of(response)
    code = ET.fromstring(body_of(response)).findtext("Code")
    assert code == response.headers["x-ms-error-code"]
    return code or ""


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


@pytest.fixture
def disk(service: Service) -> Image:
    disk = service.store.create(8 * MIB)
    disk.write(MIB, b"a" * MIB)
    disk.write(5 * MIB, b"b" * 512)
    return disk


# -- reading


def test_properties(service: Service, disk: Image) -> None:
    grant = service.export(disk)
    response = service.ask(grant, "HEAD", headers={"x-ms-client-request-id": "me"})
    assert (response.status, response.body) == (200, b"")
    assert response.headers["Content-Length"] == str(8 * MIB + 512)
    assert response.headers["x-ms-blob-type"] == "PageBlob"
    assert response.headers["x-ms-blob-sequence-number"] == "0"
    assert response.headers["x-ms-client-request-id"] == "me"
    assert response.headers["x-ms-version"] == PAGING
    assert {"ETag", "Last-Modified", "Date", "x-ms-request-id"} <= set(response.headers)


def test_the_whole_blob_is_disk_and_footer_in_small_pieces(service: Service, disk: Image) -> None:
    response = service.ask(service.export(disk))
    assert response.status == 200 and "Content-Range" not in response.headers
    assert not isinstance(response.body, bytes)
    pieces = list(response.body)
    assert max(map(len, pieces)) <= MIB
    whole = b"".join(pieces)
    assert whole[:-512] == disk.read(0, disk.size)
    vhd.validate(whole[-512:], disk.size)


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("bytes=0-511", 0, 512),
        ("bytes=1048570-1048579", 1048570, 1048580),
        (f"bytes={8 * MIB - 10}-{8 * MIB + 9}", 8 * MIB - 10, 8 * MIB + 10),
        (f"bytes={8 * MIB + 5}-", 8 * MIB + 5, 8 * MIB + 512),
        (f"bytes={5 * MIB}-{99 * MIB}", 5 * MIB, 8 * MIB + 512),
    ],
)
@pytest.mark.parametrize("header", ["Range", "x-ms-range"])
def test_ranges_of_bytes(
    service: Service, disk: Image, header: str, text: str, start: int, end: int
) -> None:
    grant = service.export(disk)
    whole = body_of(service.ask(grant))
    response = service.ask(grant, headers={header: text})
    assert response.status == 206
    assert response.headers["Content-Range"] == f"bytes {start}-{end - 1}/{8 * MIB + 512}"
    assert response.headers["Content-Length"] == str(end - start)
    assert body_of(response) == whole[start:end]


def test_a_range_with_its_digest(service: Service, disk: Image) -> None:
    grant = service.export(disk)
    asked = {"x-ms-range-get-content-md5": "true", "x-ms-range": f"bytes=0-{4 * MIB - 1}"}
    response = service.ask(grant, headers=asked)
    digest = hashlib.md5(disk.read(0, 4 * MIB)).digest()
    assert response.headers["Content-MD5"] == base64.b64encode(digest).decode()
    too_long = asked | {"x-ms-range": f"bytes=0-{4 * MIB}"}
    assert error_code(service.ask(grant, headers=too_long), 400) == "InvalidHeaderValue"


def test_bad_ranges(service: Service, disk: Image) -> None:
    grant = service.export(disk)
    beyond = {"Range": f"bytes={8 * MIB + 512}-"}
    assert error_code(service.ask(grant, headers=beyond), 416) == "InvalidRange"
    for text in ("bytes=5-4", "bytes=-5", "pages=1-2", "bytes=0-1,4-5"):
        assert error_code(service.ask(grant, headers={"Range": text}), 400) == "InvalidHeaderValue"


def test_conditions(service: Service, disk: Image) -> None:
    grant = service.export(disk)
    etag = service.ask(grant, "HEAD").headers["ETag"]
    assert service.ask(grant, headers={"If-Match": etag}).status == 200
    assert error_code(service.ask(grant, headers={"If-Match": '"0x1"'}), 412) == "ConditionNotMet"
    unchanged = service.ask(grant, headers={"If-None-Match": etag})
    assert (unchanged.status, unchanged.body) == (304, b"")


def test_bytes_served_are_counted(service: Service, disk: Image) -> None:
    served: list[tuple[Grant, int]] = []
    service.blobs.on_read = lambda grant, count: served.append((grant, count))
    grant = service.export(disk)
    service.ask(grant, "HEAD")
    service.ranges(grant)
    assert served == []
    body_of(service.ask(grant, headers={"Range": f"bytes=100-{3 * MIB}"}))
    assert {one for one, _count in served} == {grant}
    assert sum(count for _grant, count in served) == 3 * MIB - 99


# -- who may


def test_dead_signatures(service: Service, disk: Image) -> None:
    grant = service.export(disk)
    assert service.ask(grant, query="sig=wrong").status == 403
    service.clock.advance(3601)
    expired = service.ask(grant)
    assert error_code(expired, 403) == "AuthenticationFailed"
    assert b"<Message>Server failed to authenticate the request. Make sure" in body_of(expired)
    assert b"\nRequestId:" in body_of(expired) and b"\nTime:" in body_of(expired)
    assert expired.headers["Content-Length"] == str(len(body_of(expired)))

    revoked = service.export(disk)
    service.sas.revoke(revoked.resource_id)
    assert error_code(service.ask(revoked, query="comp=pagelist"), 403) == "AuthenticationFailed"
    head = service.ask(revoked, "HEAD")
    assert (head.status, head.body) == (403, b"")
    assert head.headers["x-ms-error-code"] == "AuthenticationFailed"
    unknown = service.blobs.handle(Request("GET", "/md-x/y/abcd?sig=1"))
    assert error_code(unknown, 403) == "AuthenticationFailed"


def test_reading_gives_no_right_to_write(service: Service, disk: Image) -> None:
    response = service.put(service.export(disk), 0, bytes(512))
    assert error_code(response, 403) == "AuthorizationPermissionMismatch"


def test_other_requests(service: Service, disk: Image) -> None:
    grant = service.export(disk)
    assert error_code(service.ask(grant, "DELETE"), 405) == "UnsupportedHttpVerb"
    for method, query in (("GET", "comp=tags"), ("PUT", ""), ("PUT", "comp=metadata")):
        code = error_code(service.ask(grant, method, query), 400)
        assert code == "InvalidQueryParameterValue"
    version = {"x-ms-version": "new"}
    assert error_code(service.ask(grant, headers=version), 400) == "InvalidHeaderValue"


def test_a_disk_deleted_under_its_signature(service: Service) -> None:
    grant = service.upload(MIB)
    service.store.delete(grant.blob.image)
    assert error_code(service.put(grant, 0, bytes(512)), 404) == "BlobNotFound"


# -- page lists


def test_allocated_ranges_and_the_footer(service: Service, disk: Image) -> None:
    grant = service.export(disk)
    footer = ("PageRange", 8 * MIB, 8 * MIB + 512)
    expected = [("PageRange", MIB, 2 * MIB), ("PageRange", 5 * MIB, 5 * MIB + 512), footer]
    assert service.ranges(grant) == (expected, None)
    disk.write(8 * MIB - 100, b"x")
    joined = ("PageRange", 8 * MIB - 512, 8 * MIB + 512)
    assert service.ranges(grant)[0][-1] == joined
    cut = service.ranges(grant, x_ms_range=f"bytes={MIB + 512}-{MIB + 1023}")
    assert cut == ([("PageRange", MIB + 512, MIB + 1024)], None)
    response = service.ask(grant, query="comp=pagelist")
    assert response.headers["x-ms-blob-content-length"] == str(8 * MIB + 512)
    assert response.headers["Content-Type"] == "application/xml"


def _scattered(service: Service, count: int) -> Image:
    disk = service.store.create(64 << 20)
    for turn in range(count):
        disk.write(turn * 1024, b"x")
    return disk


@pytest.mark.parametrize("limit", [None, 4_999, 10_000, 50_000])
def test_paging_30000_ranges_to_the_end(service: Service, limit: int | None) -> None:
    grant = service.export(service.store.freeze(_scattered(service, 30_000)))
    found, marker, calls = [], "", 0
    while marker is not None:
        query = f"&maxresults={limit}" if limit else ""
        page, marker = service.ranges(grant, f"{query}&marker={marker}")
        assert len(page) <= min(limit or 10_000, 10_000)
        found += page
        calls += 1
    assert calls == -(-30_001 // min(limit or 10_000, 10_000))
    assert found[:-1] == [("PageRange", n * 1024, n * 1024 + 512) for n in range(30_000)]


def test_changes_page_in_disk_order(service: Service) -> None:
    disk = _scattered(service, 12_000)
    base = service.store.freeze(disk)
    for turn in range(0, 12_000, 2):
        disk.clear(turn * 1024, 512)
        disk.write(turn * 1024 + 1024, b"y")
    before, after = service.export(base), service.export(service.store.freeze(disk))
    found, marker = [], ""
    while marker is not None:
        page, marker = service.ranges(
            after, f"&marker={marker}&maxresults=777", x_ms_previous_snapshot_url=before.url
        )
        found += page
    kinds = ["ClearRange", "PageRange"]
    assert found == [(kinds[n % 2], n * 1024, n * 1024 + 512) for n in range(12_000)]


def test_before_paging_everything_comes_at_once(service: Service) -> None:
    grant = service.export(_scattered(service, 12_000))
    found, marker = service.ranges(grant, "&maxresults=5", x_ms_version=OLD)
    assert (len(found), marker) == (12_001, None)


def test_a_window_is_paged_inside(service: Service) -> None:
    grant = service.export(_scattered(service, 100))
    window = {"x_ms_range": f"bytes={10 * 1024}-{20 * 1024 - 1}"}
    first, marker = service.ranges(grant, "&maxresults=6", **window)
    rest, end = service.ranges(grant, f"&maxresults=6&marker={marker}", **window)
    assert (len(first), len(rest), end) == (6, 4, None)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("maxresults=0", "OutOfRangeQueryParameterValue"),
        ("maxresults=-1", "OutOfRangeQueryParameterValue"),
        ("maxresults=many", "InvalidQueryParameterValue"),
        ("marker=nonsense", "InvalidQueryParameterValue"),
        ("prevsnapshot=https://x", "InvalidQueryParameterValue"),
    ],
)
def test_bad_page_list_queries(service: Service, disk: Image, query: str, code: str) -> None:
    response = service.ask(service.export(disk), query=f"comp=pagelist&{query}")
    assert error_code(response, 400) == code


# -- changes


def _diff_error(
    service: Service, after: Grant, url: str, status: int, version: str = PAGING
) -> str:
    headers = {"x-ms-previous-snapshot-url": url, "x-ms-version": version}
    return error_code(service.ask(after, query="comp=pagelist", headers=headers), status)


def test_a_base_that_cannot_be_used(service: Service, disk: Image) -> None:
    base = service.export(service.store.freeze(disk))
    after = service.export(service.store.freeze(disk))
    stranger = service.export(service.store.freeze(service.store.create(8 * MIB)))
    url = base.url
    assert _diff_error(service, after, stranger.url, 409) == "BlobOverwritten"
    assert _diff_error(service, base, after.url, 400) == "PreviousSnapshotCannotBeNewer"
    live = service.export(disk)
    code = _diff_error(service, after, live.url, 409)
    assert code == "PreviousSnapshotOperationNotSupported"
    unknown = url.replace("/md-", "/md-x")
    assert _diff_error(service, after, unknown, 409) == "PreviousSnapshotNotFound"
    assert _diff_error(service, after, url.partition("?")[0], 403) == "AuthenticationFailed"
    assert _diff_error(service, after, "nonsense", 400) == "InvalidHeaderValue"
    assert _diff_error(service, after, url, 400, "2019-02-02") == "UnsupportedHeader"
    service.sas.revoke(base.resource_id)
    assert _diff_error(service, after, url, 403) == "AuthenticationFailed"


def test_disk_blobs_have_no_snapshots_by_time(service: Service, disk: Image) -> None:
    query = "comp=pagelist&prevsnapshot=2020-07-01T07:49:40.8325043Z"
    assert (
        error_code(service.ask(service.export(disk), query=query), 409)
        == "PreviousSnapshotNotFound"
    )


def test_a_grown_disk_reports_its_old_footer(service: Service, disk: Image) -> None:
    base = service.export(service.store.freeze(disk))
    disk.resize(16 * MIB)
    after = service.export(service.store.freeze(disk))
    expected = [
        ("ClearRange", 8 * MIB, 8 * MIB + 512),
        ("PageRange", 16 * MIB, 16 * MIB + 512),
    ]
    assert service.ranges(after, x_ms_previous_snapshot_url=base.url)[0] == expected
    disk.write(8 * MIB, b"z")
    later = service.export(service.store.freeze(disk))
    found, _next = service.ranges(later, x_ms_previous_snapshot_url=base.url)
    assert found == [("PageRange", 8 * MIB, 8 * MIB + 512), expected[1]]
