"""The check that every proof of a restore rests on notices what it should."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import images

SEED = 7


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = tmp_path_factory.mktemp("original") / "disk.img"
    images.make_image(image, SEED, count=100)
    return image


@pytest.fixture
def image(original: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "disk.img"
    copy.write_bytes(original.read_bytes())
    return copy


@pytest.fixture(scope="module")
def files(original: Path) -> dict[str, str]:
    return images.read_files(original)


def flip(image: Path, offset: int, length: int = 1) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        data = file.read(length)
        file.seek(offset)
        file.write(bytes(byte ^ 0xFF for byte in data))


def test_files_follow_from_the_seed(tmp_path: Path, files: dict[str, str]) -> None:
    assert images.make_image(tmp_path / "same.img", SEED, count=100) == files
    assert images.make_image(tmp_path / "other.img", SEED + 1, count=100) != files
    assert len(files) == 100


def test_an_untouched_image_passes(image: Path, files: dict[str, str]) -> None:
    images.check_image(image, files)


def test_one_flipped_byte_of_a_file_is_found(image: Path, files: dict[str, str]) -> None:
    marker = image.read_bytes().index(images.MARKER)
    flip(image, marker)
    with pytest.raises(images.ImageDamaged, match="1 different"):
        images.check_image(image, files)


def test_damage_is_found_and_named(image: Path, files: dict[str, str], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.img"
    damage = images.damage_image(image, damaged, files, seed=2)
    images.check_file_system(damaged)
    with pytest.raises(images.ImageDamaged) as caught:
        images.check_image(damaged, files)
    for told in ("20 missing", "1 new", "40 different", damage.added[0]):
        assert told in str(caught.value)


def test_a_broken_file_system_is_found(image: Path, files: dict[str, str]) -> None:
    flip(image, 1024, 64)
    with pytest.raises(images.ImageDamaged, match="e2fsck"):
        images.check_image(image, files)
