"""Uploads through a page blob: pages, clears, the footer, and what is refused."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from uuid import uuid4

import pytest
from test_storage_page_blob import MIB, Service, body_of, error_code

from local_azure.storage import vhd


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def test_upload_footer_and_all(service: Service) -> None:
    grant = service.upload(8 * MIB)
    blob = grant.blob
    assert service.ranges(grant) == ([], None)
    with pytest.raises(vhd.VhdFooterError, match="conectix"):
        blob.finish_upload()
    # The last write spans the end of the disk and the footer.
    footer = vhd.build(8 * MIB, uuid4())
    first = service.ask(grant, "HEAD").headers["ETag"]
    written = service.put(grant, 8 * MIB - 512, b"e" * 512 + footer)
    assert written.status == 201
    assert written.headers["ETag"] != first
    assert written.headers["x-ms-blob-sequence-number"] == "0"
    assert "Last-Modified" in written.headers
    blob.finish_upload()
    assert blob.image.read(8 * MIB - 513, 513) == b"\0" + b"e" * 512
    assert service.ranges(grant)[0] == [("PageRange", 8 * MIB - 512, 8 * MIB + 512)]
    assert body_of(service.ask(grant, headers={"Range": f"bytes={8 * MIB}-"})) == footer


def test_clearing_may_span_the_whole_blob(service: Service) -> None:
    grant = service.upload(64 * MIB)
    service.put(grant, 0, b"x" * 4 * MIB)
    service.put(grant, 64 * MIB, vhd.build(64 * MIB, uuid4()))
    headers = {"x-ms-page-write": "clear", "x-ms-range": f"bytes=0-{64 * MIB + 511}"}
    assert service.ask(grant, "PUT", "comp=page", headers).status == 201
    assert service.ranges(grant) == ([], None)


def test_a_damaged_body_is_refused(service: Service) -> None:
    grant = service.upload(8 * MIB)
    good = base64.b64encode(hashlib.md5(b"x" * 512).digest()).decode()
    response = service.put(grant, 0, b"y" * 512, content_md5=good)
    assert error_code(response, 400) == "Md5Mismatch"
    assert service.ranges(grant) == ([], None)
    assert error_code(service.put(grant, 0, b"y" * 512, content_md5="?"), 400) == "InvalidMd5"
    stored = service.put(grant, 0, b"x" * 512, content_md5=good)
    assert (stored.status, stored.headers["Content-MD5"]) == (201, good)


@pytest.mark.parametrize(
    ("start", "length", "status", "code"),
    [
        (100, 512, 416, "InvalidPageRange"),
        (512, 100, 416, "InvalidPageRange"),
        (8 * MIB + 512, 512, 416, "InvalidPageRange"),
        (0, 4 * MIB + 512, 413, "RequestBodyTooLarge"),
    ],
)
def test_bad_writes(service: Service, start: int, length: int, status: int, code: str) -> None:
    grant = service.upload(8 * MIB)
    assert error_code(service.put(grant, start, b"x" * length), status) == code
    assert service.ranges(grant) == ([], None)


def test_incomplete_writes(service: Service) -> None:
    grant = service.upload(8 * MIB)
    page = {"x-ms-page-write": "update", "x-ms-range": "bytes=0-511"}
    for headers, status, code in (
        ({"x-ms-page-write": "update"}, 400, "MissingRequiredHeader"),
        ({"x-ms-range": "bytes=0-511"}, 400, "MissingRequiredHeader"),
        (page | {"x-ms-page-write": "erase"}, 400, "InvalidHeaderValue"),
        (page | {"x-ms-range": "bytes=0-1023"}, 400, "InvalidHeaderValue"),
        (page | {"x-ms-page-write": "clear"}, 400, "InvalidHeaderValue"),
        (page | {"If-Match": '"0x1"'}, 412, "ConditionNotMet"),
        (page | {"If-None-Match": "*"}, 412, "ConditionNotMet"),
    ):
        response = service.ask(grant, "PUT", "comp=page", headers, b"x" * 512)
        assert error_code(response, status) == code
