"""Settings and keys of a repository: who may open it, and what is no repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    InputError,
    StorageUnavailable,
    VmguardError,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository import keys, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.codec import parse_json
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import (
    DamagedObject,
    NotARepository,
    RepositoryError,
    WrongPassphrase,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import (
    Repository,
    Settings,
)
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import Store
from image_world import PASSPHRASE, flipped, make_repository, sizes
from storage_backends import FaultyStore

pytest_plugins = ["storage_backends"]

NAME = "manifests/one"
CONTENT = {"a": [1, 2, 3], "b": "ü"}
Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def reopened(folder: Path, passphrase: str | None = None) -> Repository:
    return Repository.open(FolderStore(str(folder)), passphrase)


def edit(path: Path, change: Edit) -> None:
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))


def with_check(change: Edit, separators: tuple[str, str]) -> Edit:
    """The edit of somebody who knows how the checksum is made."""

    def edited(body: dict[str, Any]) -> None:
        body.pop("check")
        change(body)
        text = json.dumps(body, sort_keys=True, separators=separators)
        body["check"] = hashlib.sha256(text.encode()).hexdigest()

    return edited


def forged(change: Edit) -> Edit:
    return with_check(change, (",", ":"))


def forged_key(change: Edit) -> Edit:
    return with_check(change, (", ", ": "))


def key_file(folder: Path) -> Path:
    (found,) = (folder / "keys").iterdir()
    return found


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_what_is_written_can_be_read_after_opening_again(
    backend: Callable[[], Store], passphrase: str | None
) -> None:
    made = make_repository(backend(), passphrase)
    made.write(NAME, CONTENT)
    again = Repository.open(backend(), passphrase)
    assert again.read(NAME, 1000) == CONTENT
    assert again.settings == made.settings
    assert again.codec.name(b"x") == made.codec.name(b"x")


def test_an_encrypted_repository_shows_nothing_of_its_content(folder: Path) -> None:
    make_repository(folder, PASSPHRASE).write(NAME, {"secret": "marker" * 100})
    assert 'chunk_key": null' in (folder / names.CONFIG).read_text()
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"marker" not in everything
    assert PASSPHRASE.encode() not in everything


def test_a_wrong_or_missing_or_needless_passphrase_is_refused(folder: Path, tmp_path: Path) -> None:
    make_repository(folder, PASSPHRASE)
    with pytest.raises(WrongPassphrase, match="not that of the repository"):
        reopened(folder, "wrong")
    with pytest.raises(InputError, match="give its passphrase"):
        reopened(folder, None)
    make_repository(tmp_path / "clear")
    with pytest.raises(InputError, match="is not encrypted"):
        reopened(tmp_path / "clear", PASSPHRASE)
    with pytest.raises(InputError, match="cannot be empty"):
        make_repository(tmp_path / "empty", "")


def test_a_newer_format_is_not_touched(folder: Path) -> None:
    make_repository(folder)
    edit(folder / names.CONFIG, lambda body: body.update(version=2))
    with pytest.raises(RepositoryError, match="reads formats up to 1") as caught:
        reopened(folder)
    assert caught.value.code == "NewerFormat"
    assert "Update" in str(caught.value.hint)


def test_what_is_no_repository_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(NotARepository, match="it does not exist"):
        reopened(tmp_path / "missing")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NotARepository, match="it is empty"):
        reopened(empty)
    other = tmp_path / "other"
    other.mkdir()
    (other / "report.txt").write_text("not ours")
    with pytest.raises(NotARepository, match=r"other things \(report.txt\)"):
        reopened(other)
    (other / names.CONFIG).write_text('{"format": "something else"}')
    with pytest.raises(NotARepository, match="does not describe"):
        reopened(other)
    with pytest.raises(NotARepository, match="is not empty"):
        make_repository(other)
    assert sorted(path.name for path in other.iterdir()) == ["report.txt", names.CONFIG]


@pytest.mark.parametrize("name", ["Report.TXT", ".git", "Photos 2026/", "photos/Paris.jpg"])
def test_no_repository_is_made_among_other_things(tmp_path: Path, name: str) -> None:
    path = tmp_path / "place" / name
    path.parent.mkdir(parents=True)
    path.mkdir() if name.endswith("/") else path.write_text("somebody's")
    with pytest.raises(NotARepository, match=rf"is not empty \(it holds {name.rstrip('/')}\)"):
        make_repository(tmp_path / "place")
    with pytest.raises(NotARepository, match=rf"other things \({name.rstrip('/')}\)"):
        reopened(tmp_path / "place")


def test_a_repository_is_made_at_the_root_of_a_new_file_system(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir(mode=0o700)
    make_repository(tmp_path)
    assert reopened(tmp_path).chunk_size


def test_a_repository_is_not_made_twice(backend: Callable[[], Store]) -> None:
    first = make_repository(backend())
    with pytest.raises(NotARepository, match="is not empty"):
        make_repository(backend(), PASSPHRASE)
    assert Repository.open(backend(), None).id == first.id
    assert list(sizes(first.store)) == [names.CONFIG]


def test_a_repository_that_was_made_halfway_is_none(folder: Path) -> None:
    folder.mkdir()
    with pytest.raises(StorageUnavailable):
        make_repository(FaultyStore(FolderStore(str(folder)), 2, methods=("put",)), PASSPHRASE)
    with pytest.raises(NotARepository, match="other things"):
        reopened(folder, PASSPHRASE)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_every_flipped_bit_of_the_settings_and_the_key_is_noticed(
    folder: Path, passphrase: str | None
) -> None:
    make_repository(folder, passphrase)
    settings = (folder / names.CONFIG).read_bytes()
    for changed in flipped(settings):
        with pytest.raises(RepositoryError):
            Settings.parse(changed)
    for changed in flipped(key_file(folder).read_bytes() if passphrase else b""):
        with pytest.raises(RepositoryError):
            keys.parse("keys/one", parse_json("keys/one", changed))


@pytest.mark.parametrize("which", [names.CONFIG, "key"])
def test_a_repository_with_a_flipped_bit_in_its_settings_or_key_does_not_open(
    folder: Path, which: str
) -> None:
    make_repository(folder, PASSPHRASE)
    path = key_file(folder) if which == "key" else folder / which
    whole = path.read_bytes()
    for changed in islice(flipped(whole), 0, None, 97):
        path.write_bytes(changed)
        with pytest.raises(RepositoryError):
            reopened(folder, PASSPHRASE)
    path.write_bytes(whole)
    assert reopened(folder, PASSPHRASE)


IMPOSSIBLE: dict[str, Edit] = {
    "chunk size": lambda body: body.update(chunk_size=1 << 40),
    "chunk size as text": lambda body: body.update(chunk_size="65536"),
    "chunk size as a float": lambda body: body.update(chunk_size=65536.0),
    "chunk size without end": lambda body: body.update(chunk_size=float("inf")),
    "id": lambda body: body.update(id="../../etc"),
    "id as a number": lambda body: body.update(id=7),
    "key": lambda body: body.update(chunk_key="00"),
    "key as a number": lambda body: body.update(chunk_key=7),
    "key of no digits": lambda body: body.update(chunk_key="x" * 64),
    "encryption": lambda body: body.update(encryption="rot13"),
    "version": lambda body: body.update(version=0),
    "version as text": lambda body: body.update(version="1"),
    "hash": lambda body: body.update(hash="md5"),
    "more": lambda body: body.update(more=1),
    "less": lambda body: body.pop("created"),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_settings_that_cannot_be_are_refused_even_with_a_checksum(folder: Path, what: str) -> None:
    make_repository(folder)
    edit(folder / names.CONFIG, forged(IMPOSSIBLE[what]))
    with pytest.raises(DamagedObject) as caught:
        reopened(folder)
    assert caught.value.name == names.CONFIG


@pytest.mark.parametrize("text", ["", "{", "[" * 60_000, "[]", "null", "\xff", " " * 70_000])
def test_settings_that_are_no_json_object_are_refused(folder: Path, text: str) -> None:
    make_repository(folder)
    (folder / names.CONFIG).write_text(text, encoding="latin-1")
    with pytest.raises(RepositoryError):
        reopened(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(chunk_size=1 << 20),
        lambda body: body.update(created="2020-01-01T00:00:00+00:00"),
        lambda body: body.update(encryption=None, chunk_key="00" * 32),
    ],
    ids=["chunk size", "created", "encryption taken off"],
)
def test_the_key_opens_with_the_settings_it_was_made_for_only(folder: Path, change: Edit) -> None:
    make_repository(folder, PASSPHRASE)
    edit(folder / names.CONFIG, forged(change))
    with pytest.raises(VmguardError):
        reopened(folder, PASSPHRASE)


ABSURD: dict[str, Edit] = {
    "memory": lambda body: body.update(n=1 << 30),
    "blocks": lambda body: body.update(n=2, r=1 << 20),
    "rounds": lambda body: body.update(p=1 << 20),
    "no power of two": lambda body: body.update(n=65535),
    "one": lambda body: body.update(n=1),
    "negative": lambda body: body.update(n=-65536, r=-8),
    "text": lambda body: body.update(n="65536"),
    "float": lambda body: body.update(n=65536.5),
    "without end": lambda body: body.update(p=float("inf")),
    "short nonce": lambda body: body.update(nonce="00"),
    "no digits": lambda body: body.update(salt="salt"),
    "number": lambda body: body.update(wrapped=7),
    "other function": lambda body: body.update(kdf="md5"),
    "less": lambda body: body.pop("salt"),
}


@pytest.mark.parametrize("what", ABSURD)
def test_a_key_that_asks_for_the_absurd_is_refused_unasked(folder: Path, what: str) -> None:
    make_repository(folder, PASSPHRASE)
    edit(key_file(folder), forged_key(ABSURD[what]))
    with pytest.raises(DamagedObject):
        reopened(folder, PASSPHRASE)


def test_a_damaged_key_beside_a_good_one_does_no_harm(folder: Path) -> None:
    make_repository(folder, PASSPHRASE)
    for number, text in enumerate(["", "[]", "[" * 60_000, " " * 70_000]):
        (folder / "keys" / f"{number:032x}.json").write_text(text)
    assert reopened(folder, PASSPHRASE)
    with pytest.raises(RepositoryError):
        reopened(folder, "wrong")


def test_without_any_key_the_sentence_says_so(folder: Path) -> None:
    make_repository(folder, PASSPHRASE)
    key_file(folder).unlink()
    with pytest.raises(DamagedObject, match="there is no key"):
        reopened(folder, PASSPHRASE)


@pytest.mark.parametrize("which", [names.CONFIG, "key"])
def test_what_does_not_open_sends_nobody_to_what_cannot_open_it_either(
    folder: Path, which: str
) -> None:
    make_repository(folder, PASSPHRASE)
    path = key_file(folder) if which == "key" else folder / which
    for text in ("{", "x" * 70_000):
        path.write_text(text)
        with pytest.raises(DamagedObject) as caught:
            reopened(folder, PASSPHRASE)
        assert "Put back a copy" in str(caught.value.hint)
        assert "backup_verify" not in str(caught.value.hint)
    path.unlink()
    with pytest.raises(RepositoryError) as missing:
        reopened(folder, PASSPHRASE)
    assert "backup_verify" not in str(missing.value.hint)


def put_keys(folder: Path, count: int, **cost: int) -> list[str]:
    """Keys of somebody who may add objects: whole, of a cost of his own, and opened by nobody."""
    body = json.loads(key_file(folder).read_text())
    made = []
    for number in range(count):
        changed = {**body, **cost, "salt": f"{number:032x}", "check": None}
        forged_key(lambda _unused: None)(changed)
        path = folder / "keys" / f"{number:032x}.json"
        path.write_text(json.dumps(changed))
        made.append(f"keys/{path.name}")
    return made


@pytest.fixture
def spent(monkeypatch: pytest.MonkeyPatch, real_scrypt: dict[str, int]) -> list[int]:
    """The work of each call of scrypt, at the real cost."""
    assert real_scrypt == keys.SCRYPT
    calls: list[int] = []
    real = hashlib.scrypt

    def counted(passphrase: bytes, **options: Any) -> bytes:
        calls.append(options["n"] * options["r"] * options["p"])
        # The work itself is not done, where it is more than the usual.
        cheap = {**options, "n": 2} if calls[-1] > keys.USUAL_WORK else options
        return real(passphrase, **cheap)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    return calls


def test_keys_that_cost_much_do_not_keep_the_usual_one_waiting(
    folder: Path, spent: list[int]
) -> None:
    make_repository(folder, PASSPHRASE)
    dear = put_keys(folder, 63, n=1 << 18, p=2)
    del spent[:]
    assert reopened(folder, PASSPHRASE)
    assert spent == [keys.USUAL_WORK]
    del spent[:]
    with pytest.raises(WrongPassphrase) as caught:
        reopened(folder, "wrong")
    assert sum(spent) <= 64 * keys.USUAL_WORK
    assert dear[-1] in str(caught.value.hint)


def test_a_key_of_absurd_cost_is_never_tried_and_told(folder: Path, spent: list[int]) -> None:
    make_repository(folder, PASSPHRASE)
    (absurd,) = put_keys(folder, 1, n=1 << 18, p=16)
    del spent[:]
    opened = reopened(folder, PASSPHRASE)
    assert spent == [keys.USUAL_WORK]
    assert [absurd in text and "too much" in text for text in opened.warnings] == [True]
    with pytest.raises(WrongPassphrase) as caught:
        reopened(folder, "wrong")
    assert absurd in str(caught.value.hint)


@pytest.fixture
def cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SCRYPT", {"n": 2, "r": 1, "p": 1})


@pytest.mark.usefixtures("cheap_scrypt")
def test_objects_read_through_a_repository_are_bounded_and_json(folder: Path) -> None:
    for passphrase in (None, PASSPHRASE):
        place = folder.with_name(f"made-{passphrase is None}")
        repository = make_repository(place, passphrase)
        repository.write(NAME, ["x" * 1000])
        with pytest.raises(DamagedObject, match="are the most"):
            repository.read(NAME, 900)
        (place / NAME).write_bytes(b"y" * 2000)
        with pytest.raises(DamagedObject, match="more than 1000 bytes"):
            repository.read(NAME, 1000)
        sealed = repository.codec.seal("manifests/two", b"[" * 200_000)
        repository.store.put("manifests/two", sealed)
        with pytest.raises(DamagedObject, match="not JSON"):
            repository.read("manifests/two", 1 << 20)
