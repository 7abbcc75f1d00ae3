"""Manifests: the only commit, and what a hostile one cannot do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup import result
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    InputError,
    StorageUnavailable,
)
from ansible_collections.vmguard.azure.plugins.module_utils._image import report
from ansible_collections.vmguard.azure.plugins.module_utils._repository import (
    catalog,
    manifest,
    names,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import (
    BackupNotFound,
    DamagedObject,
    RepositoryError,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from image_world import (
    CHUNK,
    MIB,
    NOW,
    PASSPHRASE,
    VM_ID,
    World,
    disk_image,
    folder_of,
    make_manifest,
    make_repository,
    random_disk,
    sizes,
    verify,
)
from storage_backends import FaultyStore

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "repository")


def name_of(repository: Repository, backup: manifest.Manifest) -> str:
    return names.manifest(manifest.vm_key(repository, backup.vm["id"]), backup.id)


def stored(repository: Repository, change: Edit) -> str:
    """The name of a backup of two disks that somebody changed."""
    disks = [disk_image(64 * MIB), disk_image(MIB, role="lun0", lun=0, name="web-data")]
    backup = make_manifest(1, disks)
    body = json.loads(json.dumps(backup.body(repository.chunk_size)))
    change(body)
    name = name_of(repository, backup)
    repository.write(name, body)
    return name


def disk(**fields: Any) -> Edit:
    return lambda body: body["disks"][1].update(fields)


def index(**fields: Any) -> Edit:
    return lambda body: body["disks"][1]["index"].update(fields)


def root(*entry: Any, packs: Any = None) -> Edit:
    columns = ("positions", "names", "in_packs", "offsets", "lengths")
    row = {name: [value] for name, value in zip(columns, entry, strict=True)}
    return index(packs=["cd" * 16] if packs is None else packs, **row)


def vm(**fields: Any) -> Edit:
    return lambda body: body["vm"].update(fields)


def top(**fields: Any) -> Edit:
    return lambda body: body.update(fields)


def test_what_is_written_can_be_read(repository: Repository) -> None:
    image = World(repository).back_up(random_disk(MIB + 512, 1)).disks[0]
    image.facts, image.stats = {"sku": "Premium_LRS"}, {"read": 5}
    backup = make_manifest(7, [image, disk_image(MIB, role="lun3", lun=3, base="b")])
    backup.warnings.append("one")
    backup.excluded_disks.append({"name": "scratch", "reason": "asked for"})
    manifest.write(repository, backup)
    assert manifest.read(repository, name_of(repository, backup)) == backup
    assert manifest.find(repository, backup.id.upper()) == backup


def test_backups_are_listed_by_machine_and_time(repository: Repository) -> None:
    other = VM_ID.replace("web", "db")
    made = [make_manifest(n, [disk_image(MIB)], vm) for n, vm in enumerate([VM_ID, other, VM_ID])]
    for backup in reversed(made):
        manifest.write(repository, backup)
    repository.store.put("manifests/notes.txt", b"not ours")
    assert manifest.listed(repository) == [name_of(repository, backup) for backup in made]
    key = manifest.vm_key(repository, other.upper() + "/")
    assert manifest.listed(repository, key) == [name_of(repository, made[1])]
    found = list(manifest.read_all(repository, manifest.listed(repository)))
    assert [one for _name, one in found] == made


def test_many_manifests_are_read_in_order_with_the_errors_in_their_places(
    repository: Repository,
) -> None:
    made = [make_manifest(number, [disk_image(MIB)]) for number in range(60)]
    for backup in made:
        manifest.write(repository, backup)
    wanted = manifest.listed(repository)
    wanted.insert(30, wanted[0][:-8] + "00000bad")
    found = list(manifest.read_all(repository, wanted))
    assert [name for name, _one in found] == wanted
    assert not isinstance(found.pop(30)[1], manifest.Manifest)
    assert [one for _name, one in found] == made


def test_an_unknown_id_is_not_found_and_nonsense_is_no_id(repository: Repository) -> None:
    with pytest.raises(BackupNotFound, match="no backup 20260901t010000z-00000000"):
        manifest.find(repository, "20260901t010000z-00000000")
    for text in ("", "latest", "../../vmguard.json", "20260901t010000z-0000000g", "x" * 10_000):
        with pytest.raises(RepositoryError):
            manifest.find(repository, text)


HOSTILE: dict[str, Edit] = {
    "other id": top(id="20260901t020000z-00000002"),
    "no id": lambda body: body.pop("id"),
    "id as a list": top(id=[]),
    "other machine": vm(id=VM_ID.replace("web", "db")),
    "machine without id": lambda body: body["vm"].pop("id"),
    "machine's id a number": vm(id=7),
    "machine's id no text": vm(id="\ud800"),
    "machine without name": lambda body: body["vm"].pop("name"),
    "machine's name a list": vm(name=["web"]),
    "machine's location an object": vm(location={}),
    "machine a list": top(vm=[]),
    "other chunk size": top(chunk_size=2 * CHUNK),
    "chunk size true": top(chunk_size=True),
    "other format": top(format="vmguard-repository"),
    "no version": lambda body: body.pop("version"),
    "version zero": top(version=0),
    "version true": top(version=True),
    "version as text": top(version="1"),
    "version as a float": top(version=1.0),
    "no time": top(started="yesterday"),
    "time without zone": top(started="2026-09-01T01:00:00"),
    "end without zone": top(finished="2026-09-01T01:00:00"),
    "time as a number": top(started=5),
    "source a list": top(source=[]),
    "indications a number": lambda body: body["source"].update(indications=5),
    "indications of numbers": lambda body: body["source"].update(indications=[5]),
    "consistency a list": lambda body: body["source"].update(consistency=[]),
    "same moment a number": lambda body: body["source"].update(same_moment=1),
    "configuration null": top(configuration=None),
    "warnings text": top(warnings="none"),
    "warnings of numbers": top(warnings=[1]),
    "excluded disks of text": top(excluded_disks=["web-os"]),
    "no disks": top(disks=[]),
    "disks an object": top(disks={}),
    "disks null": top(disks=None),
    "disks of numbers": top(disks=[1]),
    "too many disks": lambda body: body.update(disks=body["disks"] * 200),
    "one disk twice": lambda body: body.update(disks=body["disks"][:1] * 2),
    "size zero": disk(size=0),
    "size negative": disk(size=-512),
    "size of no sector": disk(size=MIB + 1),
    "size absurd": disk(size=1 << 60),
    "size of many digits": disk(size=10**1000),
    "size true": disk(size=True),
    "size as a float": disk(size=float(MIB)),
    "size as text": disk(size="1048576"),
    "lun true": disk(lun=True),
    "lun as text": disk(lun="0"),
    "role is a path": disk(role="../../../etc/passwd"),
    "role of another kind": disk(role="lun-1"),
    "role with a new line": disk(role="lun0\n"),
    "role null": disk(role=None),
    "level a number": disk(level=1),
    "base a list": disk(base=[]),
    "facts a list": disk(facts=[]),
    "no index": lambda body: body["disks"][1].pop("index"),
    "index null": disk(index=None),
    "root negative": root(-1, "ab" * 32, 0, 0, 100),
    "root true": root(True, "ab" * 32, 0, 0, 100),
    "root as a float": root(0.0, "ab" * 32, 0, 0, 100),
    "root behind the disk": root(1, "ab" * 32, 0, 0, 100),
    "root in no pack": root(0, "ab" * 32, 3, 0, 100),
    "root of absurd length": root(0, "ab" * 32, 0, 0, 1 << 40),
    "root's pack a path": root(0, "ab" * 32, 0, 0, 100, packs=["../../../../etc"]),
}


def test_the_manifest_that_the_hostile_ones_are_made_of_is_sound(repository: Repository) -> None:
    name = stored(repository, top())
    assert len(manifest.read(repository, name).disks) == 2


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_manifest_is_damage_and_nothing_else(repository: Repository, what: str) -> None:
    name = stored(repository, HOSTILE[what])
    with pytest.raises(DamagedObject) as caught:
        manifest.read(repository, name)
    assert caught.value.name == name
    report = verify(repository)
    assert name in report.objects
    assert [backup["id"] for backup in report.backups] == [name.rpartition("/")[2]]


ODD = (None, True, 5, 1.5, "text", [], [5], {}, {"a": 5})


@pytest.mark.parametrize("part", ["source", "facts", "stats", "excluded_disks", "vm"])
def test_whatever_a_manifest_holds_it_is_described_or_named(
    repository: Repository, part: str
) -> None:
    """One backup that is not what it should be does not hide the others."""
    whole = World(repository).back_up(random_disk(MIB, 1))
    known = {
        "source": ("kind", "restore_point", "consistency", "indications", "same_moment"),
        "facts": ("zones", "tags", "encryption", "sku", "size_gb"),
        "stats": ("read", "seconds", "stored"),
        "excluded_disks": ("id", "name", "reason", "message"),
        "vm": ("location", "resource_group", "vm_id"),
    }[part]
    for key in known:
        for value in ODD:
            body = make_manifest(9, [disk_image(MIB)]).body(CHUNK)
            if part in ("facts", "stats"):
                body["disks"][0][part] = {key: value}
            elif part == "excluded_disks":
                body[part] = [{key: value}]
            else:
                body[part] = {**body[part], key: value}
            name = name_of(repository, make_manifest(9, []))
            repository.store.delete(name)
            repository.write(name, body)
            found = report.find(repository)
            described = [result.describe(one, configuration=True) for one in found.backups]
            assert json.loads(json.dumps(described)) == described
            assert len(described) + len(found.damaged) == 2
            assert whole.id in [one["id"] for one in described]


@pytest.mark.parametrize("body", [None, [], 5, "text", {}, {"format": "vmguard-backup"}])
def test_what_is_no_manifest_at_all_is_damage(repository: Repository, body: Any) -> None:
    name = name_of(repository, make_manifest(1, []))
    repository.write(name, body)
    with pytest.raises(DamagedObject):
        manifest.read(repository, name)


def test_a_newer_manifest_is_named_and_does_not_hide_the_others(repository: Repository) -> None:
    whole = World(repository).back_up(random_disk(MIB, 1))
    newer = make_manifest(9, [disk_image(MIB)])
    body = {**newer.body(CHUNK), "version": 2, "vm": None, "disks": 7}
    repository.write(name_of(repository, newer), body)
    with pytest.raises(RepositoryError, match="reads up to 1") as caught:
        manifest.find(repository, newer.id)
    assert caught.value.code == "NewerFormat"
    report = verify(repository)
    assert [backup["id"] for backup in report.backups] == [newer.id]
    assert report.verified_backups == 1
    assert manifest.find(repository, whole.id) == whole


def test_a_backup_under_another_machines_name_is_damage(repository: Repository) -> None:
    backup = World(repository).back_up(random_disk(MIB, 1))
    moved = names.manifest("0" * 32, backup.id)
    repository.write(moved, backup.body(CHUNK))
    with pytest.raises(DamagedObject, match="not the backup that its name says"):
        manifest.read(repository, moved)
    copied = names.manifest("1" * 32, backup.id)
    repository.store.put(copied, repository.store.get(name_of(repository, backup), MIB))
    with pytest.raises(DamagedObject, match="checksum"):
        manifest.read(repository, copied)


def test_a_huge_manifest_is_refused_unread(repository: Repository) -> None:
    name = name_of(repository, make_manifest(1, []))
    bomb = repository.codec.seal(name, b" " * (manifest.LIMIT + 1))
    repository.store.put(name, bomb)
    assert sizes(repository.store, names.MANIFESTS)[name] < 10_000
    with pytest.raises(DamagedObject, match="are the most"):
        manifest.read(repository, name)


# -- foreign objects among the manifests


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["clear", "encrypted"])
@pytest.mark.parametrize("key", ["0" * 32, "f" * 32], ids=["before", "behind"])
def test_a_foreign_object_of_a_backups_id_shadows_nothing(
    tmp_path: Path, passphrase: str | None, key: str
) -> None:
    repository = make_repository(tmp_path / "place", passphrase)
    backup = World(repository).back_up(random_disk(MIB, 1))
    genuine, foreign = name_of(repository, backup), names.manifest(key, backup.id)
    repository.store.put(foreign, b"garbage")
    assert manifest.locate(repository, backup.id) == genuine
    assert manifest.find(repository, backup.id) == backup
    found = report.find(repository, backup=backup.id)
    assert (found.names, found.damaged) == ([genuine], [])
    told = verify(repository)
    assert list(told.objects) == [foreign]
    assert told.backups == [] and told.verified_backups == 1
    damaged = report.contents(repository, NOW)["damaged"]
    assert [one["object"] for one in damaged] == [foreign]


def test_where_none_of_an_id_is_genuine_each_is_named(repository: Repository) -> None:
    backup = World(repository).back_up(random_disk(MIB, 1))
    folder = folder_of(repository)
    (folder / name_of(repository, backup)).write_bytes(b"rot")
    repository.store.put(names.manifest("0" * 32, backup.id), b"garbage")
    with pytest.raises(DamagedObject):
        manifest.find(repository, backup.id)
    found = report.find(repository, backup=backup.id)
    assert found.damaged_names == manifest.located(repository, backup.id)
    assert len(found.damaged_names) == 2
    assert [one["id"] for one in verify(repository).backups] == [backup.id] * 2


def test_an_id_that_two_machines_have_is_told(repository: Repository) -> None:
    other = VM_ID.replace("web", "db")
    for vm in (VM_ID, other):
        manifest.write(repository, make_manifest(1, [disk_image(MIB)], vm))
    with pytest.raises(InputError, match=f"several machines have the id .*{other}, {VM_ID}"):
        manifest.find(repository, make_manifest(1, []).id)


NO_TIMES = [
    "20269999t999999z-00000000", "00000000t000000z-00000000", "20260230t010000z-00000000",
    "20260901t250000z-00000000", "99991231t235959z-ffffffff",
]  # fmt: skip


@pytest.mark.parametrize("backup_id", NO_TIMES)
def test_a_name_that_is_no_time_is_garbage(repository: Repository, backup_id: str) -> None:
    backup = World(repository).back_up(random_disk(MIB, 1))
    key = manifest.vm_key(repository, VM_ID)
    assert names.moment(backup_id) is None
    forged = names.manifest(key, backup_id)
    repository.write(forged, {**backup.body(CHUNK), "id": backup_id})
    with pytest.raises(DamagedObject, match="not the time of a backup"):
        manifest.find(repository, backup_id)
    assert catalog.of_vm(repository, "web", None) == [name_of(repository, backup)]
    assert list(verify(repository).objects) == [forged]


@pytest.mark.parametrize("after", ["", *NO_TIMES, "no id", "99991231t235959z-f423f000"])
def test_ids_follow_times_only(after: str) -> None:
    assert names.new_backup_id(NOW, b"\1\2", after=after) == "20260901t010000z-00000102"


def test_an_id_follows_one_that_is_ahead() -> None:
    ahead = "20991231t235959z-f423fabc"
    later = names.new_backup_id(NOW, b"\1\2", after=ahead)
    assert later == "21000101t000000z-00000102" > ahead
    assert names.moment(ahead) == datetime(2099, 12, 31, 23, 59, 59, 999999, timezone.utc)


# -- the commit


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE], ids=["clear", "encrypted"])
def test_a_commit_whose_answer_is_lost_is_one(tmp_path: Path, passphrase: str | None) -> None:
    repository = make_repository(tmp_path / "place", passphrase)
    backup = make_manifest(1, [disk_image(MIB)])
    lost = FaultyStore(repository.store, 1, methods=("put",), lost_answer=True)
    manifest.write(Repository(lost, repository.settings, repository.codec), backup)
    assert lost.failures == 1
    assert manifest.find(repository, backup.id) == backup


def test_a_commit_that_did_not_reach_the_storage_is_none(repository: Repository) -> None:
    backup = make_manifest(1, [disk_image(MIB)])
    for methods, told in ((("put",), False), (("put", "get"), True)):
        faulty = FaultyStore(repository.store, 1, methods=methods, lasting=True)
        with pytest.raises(StorageUnavailable) as caught:
            manifest.write(Repository(faulty, repository.settings, repository.codec), backup)
        assert ("cannot be told: backup_info shows it" in str(caught.value.hint)) == told
        assert manifest.listed(repository) == []
