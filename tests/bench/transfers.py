"""The least that moving bytes takes: bare HTTP clients, bare loops. They run in a child process.

Every function takes what pickle can hold and returns the bytes that it moved.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .image import MIB, Range

REQUEST = 4 * MIB
VERSION = "2021-12-02"


class Client:
    """One connection that is kept, and one buffer that is filled again and again."""

    def __init__(self, url: str, ca_file: str | None = None) -> None:
        parts = urlsplit(url)
        self._buffer = memoryview(bytearray(16 * MIB))
        self._connection: http.client.HTTPConnection
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca_file)
            self._connection = http.client.HTTPSConnection(
                parts.netloc, context=context, timeout=120
            )
        else:
            self._connection = http.client.HTTPConnection(parts.netloc, timeout=120)

    def get(self, target: str, headers: dict[str, str]) -> memoryview:
        """The body, valid until the next call."""
        self._connection.request("GET", target, headers={"x-ms-version": VERSION, **headers})
        response = self._connection.getresponse()
        length, done = int(response.headers["Content-Length"]), 0
        while done < length:
            got = response.readinto(self._buffer[done:length])
            if not got:
                raise OSError("The answer ended too early.")
            done += got
        response.read()
        if response.status not in (200, 206):
            raise OSError(f"The answer had status {response.status}.")
        return self._buffer[:length]

    def put(self, target: str, headers: dict[str, str], body: memoryview | bytes) -> None:
        self._connection.request("PUT", target, body, {"x-ms-version": VERSION, **headers})
        response = self._connection.getresponse()
        response.read()
        if response.status != 201:
            raise OSError(f"The answer had status {response.status}.")


def target_of(url: str) -> str:
    """A URL without scheme and host."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def requests(ranges: Iterable[Range], length: int = REQUEST) -> Iterator[Range]:
    """Ranges cut where they are longer than one request."""
    for start, end in ranges:
        for at in range(start, end, length):
            yield at, min(at + length, end)


def in_threads(threads: int, work: Callable[[list[Any]], int], jobs: Iterable[Any]) -> int:
    """Share jobs among threads in turn; the sum of what ``work`` returns for each share."""
    every = list(jobs)
    shares = [list(islice(every, number, None, threads)) for number in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, shares))


def read_disk(url: str, ca_file: str, ranges: list[Range], threads: int) -> int:
    """Read ranges of a page blob into nothing."""
    target = target_of(url)

    def work(share: list[Range]) -> int:
        client = Client(url, ca_file)
        return sum(
            len(client.get(target, {"Range": f"bytes={start}-{end - 1}"})) for start, end in share
        )

    return in_threads(threads, work, requests(ranges))


def write_disk(url: str, ca_file: str, ranges: list[Range], threads: int) -> int:
    """Write noise to ranges of a disk that is open for upload."""
    target, noise = target_of(url) + "&comp=page", memoryview(os.urandom(REQUEST))

    def work(share: list[Range]) -> int:
        client = Client(url, ca_file)
        for start, end in share:
            headers = {"x-ms-page-write": "update", "Range": f"bytes={start}-{end - 1}"}
            client.put(target, headers, noise[: end - start])
        return sum(end - start for start, end in share)

    return in_threads(threads, work, requests(ranges))


def write_file(path: str, ranges: list[Range], threads: int) -> int:
    """Write noise to ranges of a sparse file, without waiting for the disk below."""
    noise = memoryview(os.urandom(REQUEST))

    def work(share: list[Range]) -> int:
        with Path(path).open("r+b", buffering=0) as file:
            for start, end in share:
                os.pwrite(file.fileno(), noise[: end - start], start)
        return sum(end - start for start, end in share)

    with Path(path).open("wb") as file:
        file.truncate(ranges[-1][1])
    return in_threads(threads, work, requests(ranges))


def put_blobs(url: str, lengths: list[int], threads: int) -> int:
    """Put blobs of noise; ``url`` is the container's with a SAS. Their names are numbers."""
    noise = memoryview(os.urandom(max(lengths)))
    container, query = target_of(url).split("?")

    def work(share: list[tuple[int, int]]) -> int:
        client = Client(url)
        for number, length in share:
            headers = {"x-ms-blob-type": "BlockBlob"}
            client.put(f"{container}/{number}?{query}", headers, noise[:length])
        return sum(length for _number, length in share)

    return in_threads(threads, work, enumerate(lengths))


def get_blobs(url: str, lengths: list[int], threads: int) -> int:
    """Read those blobs into nothing."""
    container, query = target_of(url).split("?")

    def work(share: list[int]) -> int:
        client = Client(url)
        return sum(len(client.get(f"{container}/{number}?{query}", {})) for number in share)

    return in_threads(threads, work, range(len(lengths)))


def put_files(folder: str, lengths: list[int], threads: int) -> int:
    """Write files of noise, each of them on the disk when the next one begins."""
    noise = memoryview(os.urandom(max(lengths)))

    def work(share: list[tuple[int, int]]) -> int:
        for number, length in share:
            with Path(folder, str(number)).open("wb") as file:
                file.write(noise[:length])
                file.flush()
                os.fsync(file.fileno())
        return sum(length for _number, length in share)

    done = in_threads(threads, work, enumerate(lengths))
    place = os.open(folder, os.O_RDONLY)
    os.fsync(place)
    os.close(place)
    return done


def get_files(folder: str, lengths: list[int], threads: int) -> int:
    """Read those files into nothing."""

    def work(share: list[int]) -> int:
        return sum(len(Path(folder, str(number)).read_bytes()) for number in share)

    return in_threads(threads, work, range(len(lengths)))


def pack(image: str, ranges: list[Range], chunk: int, algorithm: str, threads: int) -> int:
    """Hash and compress each chunk of a local image's ranges; returns the compressed bytes.

    The image is read from the page cache, in pieces of at most 4 MiB.
    """
    import zstandard

    digest = digest_named(algorithm)

    def work(share: list[Range]) -> int:
        compressor, total = zstandard.ZstdCompressor(level=1), 0
        buffer = memoryview(bytearray(REQUEST))
        with Path(image).open("rb", buffering=0) as file:
            for start, end in share:
                length = os.preadv(file.fileno(), [buffer[: end - start]], start)
                for at in range(0, length, chunk):
                    data = buffer[at : min(at + chunk, length)]
                    digest(data)
                    total += len(compressor.compress(data))
        return total

    return in_threads(threads, work, requests(whole_chunks(ranges, chunk)))


def write_frames(image: str, ranges: list[Range], chunk: int, frames: str) -> list[int]:
    """Compress the chunks of an image into one file; returns the length of each."""
    import zstandard

    compressor, lengths = zstandard.ZstdCompressor(level=1), []
    with Path(image).open("rb", buffering=0) as file, Path(frames).open("wb") as out:
        for start, end in requests(whole_chunks(ranges, chunk), chunk):
            data = compressor.compress(os.pread(file.fileno(), end - start, start))
            out.write(data)
            lengths.append(len(data))
    return lengths


def unpack(frames: str, lengths: list[int], algorithm: str, threads: int) -> int:
    """Decompress and hash each chunk that ``write_frames`` wrote; returns the bytes that come out.

    The frames are read from the page cache.
    """
    import zstandard

    digest = digest_named(algorithm)
    ends = list(accumulate(lengths))

    def work(share: list[tuple[int, int]]) -> int:
        decompressor, total = zstandard.ZstdDecompressor(), 0
        with Path(frames).open("rb", buffering=0) as file:
            for length, end in share:
                data = decompressor.decompress(os.pread(file.fileno(), length, end - length))
                digest(data)
                total += len(data)
        return total

    return in_threads(threads, work, zip(lengths, ends, strict=True))


def digest_named(name: str) -> Callable[[Any], bytes]:
    """A function from bytes to digest; ``sha256`` or ``blake3``."""
    if name == "blake3":
        from blake3 import blake3

        return lambda data: blake3(data).digest()
    return lambda data: hashlib.sha256(data).digest()


def whole_chunks(ranges: list[Range], chunk: int) -> Iterator[Range]:
    """Ranges widened to chunks and merged: a changed piece costs its whole chunk."""
    held: Range | None = None
    for start, end in ranges:
        low, high = start // chunk * chunk, -(-end // chunk) * chunk
        if held is not None and low <= held[1]:
            held = held[0], max(held[1], high)
            continue
        if held is not None:
            yield held
        held = low, high
    if held is not None:
        yield held
