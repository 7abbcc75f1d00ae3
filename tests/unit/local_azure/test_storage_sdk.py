"""The unmodified storage SDK against the blob service, over real HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from local_azure.clock import Clock
from local_azure.http_types import Headers, Request
from local_azure.storage import vhd
from local_azure.storage.disk_store import DiskStore, Image
from local_azure.storage.page_blob import BlobService, PageBlob
from local_azure.storage.sas import Access, SasRegistry

blob_sdk = pytest.importorskip("azure.storage.blob")
core_errors = pytest.importorskip("azure.core.exceptions")

MIB = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """Carries requests to the service and answers back, nothing more."""

    protocol_version = "HTTP/1.1"
    service: BlobService

    def _carry(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, Headers(self.headers.items()), body)
        response = self.service.handle(request)
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        pieces = [response.body] if isinstance(response.body, bytes) else response.body
        for piece in pieces:
            self.wfile.write(piece)

    do_GET = do_HEAD = do_PUT = do_DELETE = _carry

    def log_message(self, *args: object) -> None:
        pass


class Served:
    """A store and its signatures behind a free port."""

    def __init__(self, root: Path) -> None:
        self.store = DiskStore(root)
        self.sas = SasRegistry(Clock())
        handler = type("Bound", (Handler,), {"service": BlobService(self.sas, Clock())})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.sas.base_url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def url(self, image: Image, access: Access = "Read") -> str:
        blob = PageBlob(image, upload=access == "Write")
        return self.sas.grant(f"/disk/{uuid4()}", blob, access, 3600).url

    def client(self, image: Image, access: Access = "Read", **options: object):
        url = self.url(image, access)
        return blob_sdk.BlobClient.from_blob_url(url, retry_total=0, **options)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    thread = threading.Thread(target=served.server.serve_forever, args=(0.01,))
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


@pytest.fixture
def disk(served: Served) -> Image:
    disk = served.store.create(64 * MIB)
    disk.write(0, b"boot" * 128)
    disk.write(10 * MIB + 5, bytes(range(256)) * 16 * 1024)
    disk.write(50 * MIB, b"tail" * MIB)
    return disk


def test_properties_and_download(served: Served, disk: Image) -> None:
    client = served.client(disk, max_concurrency=4)
    properties = client.get_blob_properties()
    assert properties.size == 64 * MIB + 512
    assert properties.blob_type == blob_sdk.BlobType.PAGEBLOB
    assert properties.page_blob_sequence_number == 0
    whole = client.download_blob(max_concurrency=4).readall()
    assert whole[:-512] == disk.read(0, disk.size)
    vhd.validate(whole[-512:], disk.size)
    part = client.download_blob(offset=10 * MIB, length=3 * MIB, validate_content=True)
    assert part.readall() == disk.read(10 * MIB, 3 * MIB)


@pytest.mark.filterwarnings("ignore:get_page_ranges is deprecated")
def test_page_ranges(served: Served, disk: Image) -> None:
    client = served.client(disk)
    expected = [*list(disk.allocated()), (64 * MIB, 64 * MIB + 512)]
    filled, cleared = client.get_page_ranges()
    assert [(one["start"], one["end"] + 1) for one in filled] == expected and cleared == []
    listed = list(client.list_page_ranges(results_per_page=2))
    assert [(one.start, one.end + 1) for one in listed] == expected


def test_changes_since_a_snapshot(served: Served, disk: Image) -> None:
    base = served.store.freeze(disk)
    disk.write(20 * MIB, b"new" * 1024)
    disk.clear(50 * MIB, MIB)
    after = served.store.freeze(disk)
    filled, cleared = served.client(after).get_page_range_diff_for_managed_disk(served.url(base))
    assert filled == [{"start": 20 * MIB, "end": 20 * MIB + 3071}]
    assert cleared == [{"start": 50 * MIB, "end": 51 * MIB - 1}]


def test_upload(served: Served) -> None:
    image = served.store.create(32 * MIB)
    client = served.client(image, "Write")
    data = bytes(range(256)) * 16 * 1024
    written = client.upload_page(data, offset=8 * MIB, length=4 * MIB, validate_content=True)
    assert written["etag"]
    client.upload_page(vhd.build(image.size, uuid4()), offset=32 * MIB, length=512)
    client.clear_page(offset=8 * MIB, length=MIB)
    served.sas.active()[0].blob.finish_upload()
    assert image.read(8 * MIB, 4 * MIB) == bytes(MIB) + data[MIB:]
    assert list(image.allocated()) == [(9 * MIB, 12 * MIB)]


@pytest.mark.filterwarnings("ignore:get_page_ranges is deprecated")
def test_refusals_arrive_as_the_sdk_knows_them(served: Served, disk: Image) -> None:
    client = served.client(disk)
    with pytest.raises(core_errors.HttpResponseError) as refused:
        client.upload_page(bytes(512), offset=0, length=512)
    assert refused.value.error_code == "AuthorizationPermissionMismatch"
    stranger = served.url(served.store.freeze(served.store.create(64 * MIB)))
    with pytest.raises(core_errors.HttpResponseError) as refused:
        served.client(served.store.freeze(disk)).get_page_range_diff_for_managed_disk(stranger)
    assert (refused.value.status_code, refused.value.error_code) == (409, "BlobOverwritten")
    for grant in served.sas.active():
        served.sas.revoke(grant.resource_id)
    for call in (client.get_blob_properties, client.get_page_ranges, client.download_blob):
        with pytest.raises(core_errors.ClientAuthenticationError) as refused:
            call()
        assert refused.value.error_code == "AuthenticationFailed"
