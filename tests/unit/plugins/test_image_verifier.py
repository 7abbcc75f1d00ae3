"""One flipped bit in any stored object: it is named, what needs it does not restore, the rest does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_ranges import Changed
from ansible_collections.vmguard.azure.plugins.module_utils._errors import StorageUnavailable
from ansible_collections.vmguard.azure.plugins.module_utils._image.verifier import Report, Verifier
from ansible_collections.vmguard.azure.plugins.module_utils._repository import keys, manifest, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import (
    DamagedObject,
    RepositoryError,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import Lease
from ansible_collections.vmguard.azure.plugins.module_utils._repository.manifest import Manifest
from ansible_collections.vmguard.azure.plugins.module_utils._repository.packs import PackWriter, Ref
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._repository.tree import (
    FANOUT,
    Tree,
    TreeWriter,
)
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from image_world import (
    CHUNK,
    MIB,
    PASSPHRASE,
    MovedClock,
    World,
    directories,
    disk_image,
    folder_of,
    make_manifest,
    make_repository,
    random_disk,
    restore,
    sizes,
    verify,
)
from storage_backends import FaultyStore, blob_repository, open_repository

from local_azure.azurite import Azurite

pytest_plugins = ["storage_backends"]

RANDOM_BITS = 20
Damage = Callable[[Path], None]


class Kept:
    """A repository in a folder with two backups of a disk, and what the disk held."""

    def __init__(self, folder: Path, passphrase: str | None) -> None:
        self.folder = folder
        self.passphrase = passphrase
        self.repository = make_repository(folder, passphrase)
        world = World(self.repository, pack_size=600 << 10)
        first = random_disk(3 * MIB - 512, 1)
        second = bytearray(first)
        second[5 * CHUNK : 7 * CHUNK] = random.Random(2).randbytes(2 * CHUNK)
        second[20 * CHUNK : 21 * CHUNK] = bytes(CHUNK)
        full = world.back_up(first)
        changes = [
            Changed(5 * CHUNK, 7 * CHUNK, False),
            Changed(20 * CHUNK, 21 * CHUNK, True),
        ]
        later = world.back_up(second, changes, full)
        self.backups = {full.id: (full, bytes(first)), later.id: (later, bytes(second))}
        Lease(self.repository, "0" * 32, "web", "killed", MovedClock(), heartbeat=9e9).acquire()
        self.repository.write(f"{names.LEDGERS}one", {"made": []})
        self.objects = sorted(sizes(self.repository.store))

    def check(self, report: Report) -> None:
        """A backup that is named does not restore; every other one does."""
        damaged = {backup["id"] for backup in report.backups}
        for backup_id, (backup, content) in self.backups.items():
            name = self.name_of(backup)
            if backup_id not in damaged:
                assert self.restored(name) == content, backup_id
                continue
            with pytest.raises(DamagedObject):
                self.restored(name)

    def name_of(self, backup: Manifest) -> str:
        return next(name for name in self.objects if name.endswith(backup.id))

    def restored(self, name: str) -> bytes:
        return restore(self.repository, manifest.read(self.repository, name).disks[0])


@pytest.fixture(scope="module", params=[None, PASSPHRASE], ids=["clear", "encrypted"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "SCRYPT", {"n": 2, "r": 1, "p": 1})
        return Kept(tmp_path_factory.mktemp("kept") / "repository", request.param)


def kind(name: str) -> str:
    return name.partition("/")[0]


def damaged(path: Path, changed: bytes | None) -> Iterator[None]:
    """Another content, or none, for as long as it takes."""
    whole = path.read_bytes()
    try:
        path.unlink() if changed is None else path.write_bytes(changed)
        yield
    finally:
        path.write_bytes(whole)


def chosen_bits(size: int, source: random.Random) -> list[int]:
    bits = size * 8
    return sorted({0, bits - 1, *(source.randrange(bits) for _number in range(RANDOM_BITS))})


def opens(kept: Kept) -> bool:
    try:
        Repository.open(FolderStore(str(kept.folder)), kept.passphrase)
    except RepositoryError:
        return False
    return True


def test_there_is_something_of_each_kind_to_damage(kept: Kept) -> None:
    found = {kind(name) for name in kept.objects}
    assert found >= {"packs", "chunk-index", "manifests", "leases", "ledgers", names.CONFIG}
    assert ("keys" in found) is (kept.passphrase is not None)
    assert len(sizes(kept.repository.store, names.PACKS)) >= 4
    report = verify(kept.repository)
    assert report.sound
    assert report.verified_backups == 2
    assert report.packs == report.packs_read == len(sizes(kept.repository.store, names.PACKS))
    kept.check(report)
    assert verify(kept.repository, percent=0).sound


def test_a_flipped_bit_anywhere_is_named_and_does_no_other_harm(kept: Kept) -> None:
    source = random.Random(3)
    named: set[str] = set()
    for name in kept.objects:
        path = kept.folder / name
        whole = path.read_bytes()
        for bit in chosen_bits(len(whole), source):
            changed = bytearray(whole)
            changed[bit >> 3] ^= 1 << (bit & 7)
            for _during in damaged(path, changed):
                if kind(name) in (names.CONFIG, "keys"):
                    assert not opens(kept), (name, bit)
                if name == names.CONFIG:
                    continue
                report = verify(kept.repository)
                assert set(report.objects) == {name}, (name, bit)
                named.update(kind(name) for _backup in report.backups)
                kept.check(report)
    assert named == {"packs", "manifests"}
    assert verify(kept.repository).sound


def test_without_reading_packs_a_bit_is_found_in_what_is_read_anyway(kept: Kept) -> None:
    source = random.Random(4)
    for name in kept.objects:
        if kind(name) in ("packs", names.CONFIG):
            continue
        whole = (kept.folder / name).read_bytes()
        changed = bytearray(whole)
        changed[source.randrange(len(whole))] ^= 0x10
        for _during in damaged(kept.folder / name, changed):
            assert set(verify(kept.repository, percent=0).objects) == {name}


def test_a_bit_that_changes_no_content_is_named_and_costs_no_backup(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "repository", None)
    name = next(iter(sizes(kept.repository.store, names.PACKS)))
    changed = bytearray((kept.folder / name).read_bytes())
    changed[4] ^= 0x10  # of the first frame's head, and of no meaning (RFC 8878, 3.1.1.1.1)
    for _during in damaged(kept.folder / name, changed):
        report = verify(kept.repository)
        assert report.objects == {name: "its bytes are not those that were stored"}
        assert report.backups == []
        kept.check(report)


@pytest.mark.parametrize("by", [1, -1, 5000])
def test_an_index_that_points_beside_a_record_is_named_and_the_record_is_found(
    tmp_path: Path, by: int
) -> None:
    repository = make_repository(tmp_path / "repository")
    packs = PackWriter(repository)
    codec = repository.codec
    data = [random.Random(number).randbytes(CHUNK) for number in range(3)]
    refs = packs.add([(codec.name(one), codec.compress(one)) for one in data])
    writer = TreeWriter(repository, packs, None)
    writer.put(0, {0: refs[0], 1: refs[1]._replace(offset=refs[1].offset + by)})
    image = disk_image(MIB, roots=writer.finish(1))
    packs.flush()
    packs.close()
    backup = make_manifest(1, [image])
    manifest.write(repository, backup)
    for percent in (0, 100):
        report = verify(repository, percent)
        assert list(report.objects) == [names.pack(refs[1].pack)]
        assert report.backups == [] and not report.sound
        assert report.recovered == [{"id": backup.id, "vm": "web", "disks": [image.name]}]
    assert restore(repository, image)[: 2 * CHUNK] == data[0] + data[1]


@pytest.mark.parametrize("percent", [0, 100])
def test_a_cut_or_missing_object_is_named(kept: Kept, percent: float) -> None:
    for name in kept.objects:
        if name == names.CONFIG:
            continue
        whole = (kept.folder / name).read_bytes()
        for length in (0, 7, len(whole) // 2, len(whole) - 1):
            for _during in damaged(kept.folder / name, whole[:length]):
                report = verify(kept.repository, percent)
                assert set(report.objects) == {name}, (name, length)
                kept.check(report)


@pytest.mark.parametrize("percent", [0, 100])
def test_a_missing_pack_is_named_with_the_backups_that_need_it(kept: Kept, percent: float) -> None:
    needed = set()
    for name in sizes(kept.repository.store, names.PACKS):
        for _during in damaged(kept.folder / name, None):
            report = verify(kept.repository, percent)
            assert set(report.objects) == {name}
            assert report.backups
            needed.add(len(report.backups))
            kept.check(report)
    assert needed == {1, 2}


def test_a_full_heals_what_was_in_a_pack_that_was_moved_away(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    world = World(repository, pack_size=256 * 1024)
    content = random_disk(40 * CHUNK, 5)
    first = world.back_up(content)
    packs = sizes(repository.store, names.PACKS)
    # The largest: the pack of index pages is small, and each backup stores its own.
    pack = tmp_path / "repository" / max(packs, key=lambda name: packs[name])
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.write_bytes(data)
    # In its place, it is trusted: the next full is as damaged as the first.
    second = world.back_up(content)
    assert {one["id"] for one in verify(repository).backups} == {first.id, second.id}
    away = tmp_path / "away"
    pack.rename(away)
    third = world.back_up(content)
    assert world.stats.stored > 0
    for _away_and_back in range(2):
        report = verify(repository)
        assert report.backups == []
        assert [one["id"] for one in report.recovered] == [first.id, second.id]
        for backup in (first, second, third):
            assert restore(repository, backup.disks[0]) == bytes(content)
        if away.exists():
            away.rename(pack)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "damaged"])
def test_an_index_that_repeats_a_page_without_end_is_read_once(tmp_path: Path, whole: bool) -> None:
    repository = make_repository(tmp_path / "repository")
    codec = repository.codec
    packs = PackWriter(repository)
    data = random.Random(1).randbytes(CHUNK)
    (chunk,) = packs.add([(codec.name(data), codec.compress(data))])
    writer = TreeWriter(repository, packs, None)
    leaf_entries = dict.fromkeys(range(FANOUT), chunk)
    for number in range(FANOUT):
        writer.put(number, leaf_entries)
    (root,) = writer.finish(FANOUT).values()
    packs.flush()
    packs.close()
    disks = [
        disk_image(64 << 40, roots=dict.fromkeys(range(1024), root), role=f"lun{lun}", lun=lun)
        for lun in range(4)
    ]
    manifest.write(repository, make_manifest(1, disks))
    if not whole:
        path = folder_of(repository) / names.pack(chunk.pack)
        content = bytearray(path.read_bytes())
        content[chunk.offset + 100] ^= 1
        path.write_bytes(content)
    store = FaultyStore(repository.store, methods=("get", "get_range", "list"))
    watched = Repository(store, repository.settings, repository.codec)
    report = verify(watched)
    assert len(report.backups) == (0 if whole else 1)
    assert len(store.calls) < 60
    assert report.chunks == FANOUT


def test_every_pack_that_is_missing_is_named_not_the_first_alone(kept: Kept) -> None:
    holds_pages = {
        name
        for name, one in directories(kept.repository).items()
        if one.records.keys() & {ref.name for ref in page_refs(kept)}
    }
    gone = [name for name in sizes(kept.repository.store, names.PACKS) if name not in holds_pages]
    assert len(gone) >= 2
    whole = {name: (kept.folder / name).read_bytes() for name in gone}
    try:
        for name in gone:
            (kept.folder / name).unlink()
        for percent in (0, 100):
            assert set(verify(kept.repository, percent).objects) == set(gone)
    finally:
        for name, data in whole.items():
            (kept.folder / name).write_bytes(data)


def page_refs(kept: Kept) -> list[Ref]:
    found: list[Ref] = []
    for backup, _content in kept.backups.values():
        roots = backup.disks[0].roots
        found += [*roots.values(), *(ref for _n, ref in Tree(kept.repository, roots).leaves())]
    return found


def test_a_missing_manifest_takes_its_own_backup_and_no_other(kept: Kept) -> None:
    for backup, _content in kept.backups.values():
        for _during in damaged(kept.folder / kept.name_of(backup), None):
            report = verify(kept.repository)
            assert report.sound
            assert report.verified_backups == 1


def test_objects_that_changed_places_are_named(kept: Kept) -> None:
    for group in ("packs", "manifests"):
        one, other = [name for name in kept.objects if kind(name) == group][:2]
        swapped = (kept.folder / other).read_bytes()
        for _during in damaged(kept.folder / one, swapped):
            report = verify(kept.repository)
            assert one in report.objects
            assert report.backups
            kept.check(report)


def test_a_manifest_that_is_asked_for_and_not_there_is_no_damage(kept: Kept) -> None:
    wanted = [names.manifest("0" * 32, make_manifest(99, []).id)]
    assert Verifier(kept.repository, 100, random.Random(1)).run(wanted).sound


def test_a_share_of_the_packs_is_read(kept: Kept) -> None:
    count = len(sizes(kept.repository.store, names.PACKS))
    for percent, expected in ((0, 0), (0.1, 1), (50, -(-count // 2)), (100, count)):
        report = verify(kept.repository, percent)
        assert report.packs_read == expected
        assert report.sound


def test_a_storage_that_does_not_answer_is_no_damage(kept: Kept) -> None:
    reads = FaultyStore(kept.repository.store, methods=("get", "get_range", "list"))
    repository = Repository(reads, kept.repository.settings, kept.repository.codec)
    assert verify(repository).sound
    for number in range(1, len(reads.calls) + 1, 7):
        failing = FaultyStore(kept.repository.store, number, methods=("get", "get_range", "list"))
        broken = Repository(failing, kept.repository.settings, kept.repository.codec)
        with pytest.raises(StorageUnavailable):
            Verifier(broken, 100, random.Random(1)).run(manifest.listed(kept.repository))


def test_it_writes_nothing(kept: Kept) -> None:
    watched = FaultyStore(kept.repository.store)
    verify(Repository(watched, kept.repository.settings, kept.repository.codec))
    assert watched.calls == []


def test_a_repository_in_a_storage_account_is_verified_too(azurite: Azurite) -> None:
    with open_repository(blob_repository(azurite)) as store:
        repository = make_repository(store)
        content = random_disk(2 * MIB, 5)
        backup = World(repository, pack_size=MIB).back_up(content)
        assert verify(repository).sound
        assert restore(repository, backup.disks[0]) == content
        (name, *_rest) = sizes(store, names.PACKS)
        store.delete(name)
        report = verify(repository, percent=0)
        assert name in report.objects
        assert [one["id"] for one in report.backups] == [backup.id]
        with pytest.raises(DamagedObject):
            restore(repository, backup.disks[0])
