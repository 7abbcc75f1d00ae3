"""The content of a disk from a blob: a fixed VHD behind a URL."""

from __future__ import annotations

import ssl
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qsl, urlsplit
from urllib.request import Request, urlopen

from ..errors import ArmError, invalid_parameter
from ..state import State
from ..storage import vhd
from ..storage.image import MIB, Image
from ..storage.page_blob import PageBlob

_TIMEOUT = 60
_ZEROS = bytes(64 * 1024)
_PIECE = 4 * MIB


def import_blob(state: State, url: str) -> Image:
    """A new image with the content of the VHD blob behind ``url``, its footer checked and dropped.

    Raises:
        ArmError: when it cannot be read, or is not a fixed VHD.
    """
    own = _own_blob(state, url)
    if own is not None:
        return state.store.fork(own.image)
    try:
        return _fetch(state, url)
    except HTTPError as error:
        raise ArmError(
            403 if error.code in (401, 403, 404) else 400, "AccessDeniedToImportSource",
            f"The source blob cannot be read: the storage service answered {error.code}.",
        ) from error  # fmt: skip
    except (URLError, HTTPException, OSError, ValueError, ET.ParseError) as error:
        raise invalid_parameter(f"The source blob cannot be read: {error}.") from error
    except vhd.VhdFooterError as error:
        raise ArmError(400, "InvalidVhd", str(error)) from error


def _own_blob(state: State, url: str) -> PageBlob | None:
    """The disk that a signature of this local Azure leads to."""
    if not state.sas.base_url or not url.startswith(state.sas.base_url):
        return None
    parts = urlsplit(url)
    grant = state.sas.authenticate(parts.path, dict(parse_qsl(parts.query)))
    return grant.blob if grant else None


def _fetch(state: State, url: str) -> Image:
    with _open(url, method="HEAD") as answer:
        length = int(answer.headers["Content-Length"])
        paged = answer.headers.get("x-ms-blob-type") == "PageBlob"
    size = length - vhd.FOOTER_SIZE
    if size <= 0 or size % 512:
        raise vhd.VhdFooterError(f"A blob of {length} bytes is not a fixed VHD.")
    vhd.validate(_range(url, size, length), size)
    image = state.store.create(size)
    try:
        for start, end in _pages(url) if paged else [(0, length)]:
            for at in range(start, min(end, size), _PIECE):
                _write(image, at, _range(url, at, min(at + _PIECE, end, size)))
    except BaseException:
        state.store.delete(image)
        raise
    return image


def _write(image: Image, offset: int, data: bytes) -> None:
    """Write what is not zeros."""
    for low in range(0, len(data), len(_ZEROS)):
        block = data[low : low + len(_ZEROS)]
        if block != _ZEROS[: len(block)]:
            image.write(offset + low, block)


def _pages(url: str) -> Iterator[tuple[int, int]]:
    with _open(f"{url}{'&' if '?' in url else '?'}comp=pagelist") as answer:
        root = ET.fromstring(answer.read())
    for item in root.iter("PageRange"):
        yield int(item.findtext("Start", "0")), int(item.findtext("End", "-1")) + 1


def _range(url: str, start: int, end: int) -> bytes:
    with _open(url, {"Range": f"bytes={start}-{end - 1}"}) as answer:
        data = answer.read()
    if len(data) != end - start:
        raise ValueError(f"{len(data)} bytes came for the range {start}-{end - 1}")
    return data


def _open(url: str, headers: dict[str, str] | None = None, method: str = "GET") -> Any:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("the URL of the blob is neither http nor https")
    # The storage account beside local Azure has a certificate of a CA that was made for this run.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    request = Request(url, headers={"x-ms-version": "2021-12-02", **(headers or {})}, method=method)
    return urlopen(request, timeout=_TIMEOUT, context=context)
