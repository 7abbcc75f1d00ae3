"""A disk image like a server's, and the same disk after its guest changed a little of it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

PIECE = 64 * KIB
RANDOM_SHARE = 0.4
TEXT_SHARE = 0.2
CHANGED_SHARE = 0.02
_LONGEST_RUN = 8 * MIB
_WORDS = 3000
_PAIRS = 2048
_LETTERS = b"etaoinshrdlcumwfgypbvk"

Range = tuple[int, int]


@dataclass(frozen=True)
class Disk:
    """Two images of one disk.

    Attributes:
        size: bytes, of each.
        base: the first image, a sparse file.
        changed: the second image, a sparse file.
        written: what the base holds, as sorted half-open ranges that do not touch.
        pieces: the offsets of the pieces of 64 KiB that differ, sorted.
    """

    size: int
    base: Path
    changed: Path
    written: list[Range] = field(repr=False)
    pieces: list[int] = field(repr=False)

    @property
    def written_bytes(self) -> int:
        return sum(end - start for start, end in self.written)

    @property
    def changed_bytes(self) -> int:
        return len(self.pieces) * PIECE

    def changed_ranges(self) -> list[Range]:
        return joined((at, at + PIECE) for at in self.pieces)

    def touched_bytes(self, chunk: int) -> int:
        """The bytes of all chunks of ``chunk`` bytes that a changed piece lies in."""
        chunks = {at // chunk for at in self.pieces}
        return sum(min(chunk, self.size - number * chunk) for number in chunks)


class Content:
    """Endless bytes that follow from a seed; no 64 KiB of them occur twice."""

    def __init__(self, seed: int) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        self._source = random.Random(seed)
        key = self._source.randbytes(32)
        self._stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
        self._page = _text(self._source)

    def noise(self, length: int) -> bytes:
        """Bytes that nothing compresses."""
        return self._stream.update(bytes(length))

    def text(self, length: int) -> bytes:
        """Words, which zstd makes a third of.

        Every MiB is the same page with its letters exchanged, begun at another place: making it
        is fast, and no tool that looks for equal chunks finds any.
        """
        pieces = []
        for at in range(0, length, MIB):
            other = self._source.sample(_LETTERS, len(_LETTERS))
            begin = self._source.randrange(MIB)
            page = self._page.translate(bytes.maketrans(_LETTERS, bytes(other)))
            pieces.append((page[begin:] + page[:begin])[: length - at])
        return b"".join(pieces)


def _text(source: random.Random) -> bytes:
    """A MiB of words, the frequent ones short, as in any language."""
    weights = [1 / (rank + 1) ** 0.5 for rank in range(len(_LETTERS))]
    words = [
        bytes(source.choices(_LETTERS, weights, k=source.randint(2, 4 + rank * 8 // _WORDS)))
        for rank in range(_WORDS)
    ]
    frequency = [1 / (rank + 3) for rank in range(_WORDS)]
    pairs = [b" ".join(source.choices(words, frequency, k=2)) for _number in range(_PAIRS)]
    ends = source.choices([b" ", b", ", b".\n"], [12, 2, 1], k=_PAIRS)
    phrases = [pair + end for pair, end in zip(pairs, ends, strict=True)]
    habit = [1 / (rank + 8) ** 0.5 for rank in range(_PAIRS)]
    return b"".join(source.choices(phrases, habit, k=MIB // 4))[:MIB]


def make_disk(folder: Path, size: int, seed: int = 1) -> Disk:
    """Write both images to ``folder``; equal arguments make equal bytes.

    Args:
        folder: an existing directory.
        size: bytes, a multiple of 1 MiB and at least 16 MiB.
        seed: another one makes another disk.

    Raises:
        ValueError: for another size.
    """
    if size < 16 * MIB or size % MIB:
        raise ValueError(f"A disk has a multiple of 1 MiB and at least 16 MiB, not {size} bytes.")
    source, content = random.Random(seed), Content(seed)
    written = _write_base(folder / "base.img", size, source, content)
    pieces = sorted(source.sample(range(size // PIECE), round(size // PIECE * CHANGED_SHARE)))
    _write_changed(folder / "base.img", folder / "changed.img", pieces, source, content)
    return Disk(
        size, folder / "base.img", folder / "changed.img", pieces=[at * PIECE for at in pieces],
        written=written,
    )  # fmt: skip


def _write_base(path: Path, size: int, source: random.Random, content: Content) -> list[Range]:
    noise, text = round(size * RANDOM_SHARE), round(size * TEXT_SHARE)
    runs: list[tuple[int, Callable[[int], bytes] | None]] = []
    runs += [(length, content.noise) for length in _lengths(noise, source)]
    runs += [(length, content.text) for length in _lengths(text, source)]
    runs += [(length, None) for length in _lengths(size - noise - text, source)]
    source.shuffle(runs)
    written, at = [], 0
    with path.open("wb") as image:
        image.truncate(size)
        for length, make in runs:
            if make is not None:
                image.seek(at)
                image.write(make(length))
                written.append((at, at + length))
            at += length
    return joined(written)


def _lengths(total: int, source: random.Random) -> Iterator[int]:
    """Lengths of runs from 64 KiB to 8 MiB whose sum is ``total`` in whole pieces."""
    left = total // PIECE * PIECE
    while left:
        length = min(left, source.randint(1, _LONGEST_RUN // PIECE) * PIECE)
        yield length
        left -= length


def _write_changed(
    base: Path, changed: Path, pieces: list[int], source: random.Random, content: Content
) -> None:
    """Copy the base, and write each piece anew: two in three as noise, one as text."""
    copy_sparse(base, changed)
    with changed.open("r+b") as image:
        for number in pieces:
            make = content.noise if source.random() < 2 / 3 else content.text
            image.seek(number * PIECE)
            image.write(make(PIECE))


def joined(ranges: Iterator[Range] | list[Range]) -> list[Range]:
    """Sorted ranges without those that touch."""
    found: list[Range] = []
    for start, end in ranges:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file and its holes."""
    with source.open("rb") as old, target.open("wb") as new:
        new.truncate(os.fstat(old.fileno()).st_size)
        for start, end in extents(old.fileno()):
            at = start
            while at < end:
                at += os.copy_file_range(old.fileno(), new.fileno(), end - at, at, at)


def extents(file: int) -> Iterator[Range]:
    """The parts of an open file that are not holes."""
    at, size = 0, os.fstat(file).st_size
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole up to the end
            return
        at = os.lseek(file, start, os.SEEK_HOLE)
        yield start, at


def warm(path: Path) -> None:
    """Read a file once, so that the next reader finds it in memory."""
    buffer = bytearray(4 * MIB)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def same_content(one: Path, other: Path) -> bool:
    """Whether two files have equal bytes."""
    if one.stat().st_size != other.stat().st_size:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        while data := first.read(4 * MIB):
            if data != second.read(4 * MIB):
                return False
    return True
