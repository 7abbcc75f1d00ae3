"""A repository in a folder: hostile content, full disks, permissions, kill -9."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    InputError,
    ObjectExists,
    ObjectNotFound,
    StorageDenied,
    StorageError,
)
from ansible_collections.vmguard.azure.plugins.module_utils._storage import folder as folder_module
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore

from tools import tree

MIB = 1 << 20
NOBODY = 65534
START = "from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore\n"
# Prints the code and the sentence of what a put raises.
PUT = (
    START
    + """
import sys
from ansible_collections.vmguard.azure.plugins.module_utils._errors import StorageError
store = FolderStore(sys.argv[1])
store.prepare()
store.put("packs/small", b"content")
try:
    store.put("packs/big", bytes(8 << 20))
except StorageError as error:
    print(error.code, error.message)
print([found.name for found in store.list()], store.get("packs/small", 10))
"""
)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree.COLLECTIONS)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def store(root: Path) -> FolderStore:
    store = FolderStore(str(root))
    store.prepare()
    return store


def actions(store: FolderStore, name: str) -> list[Callable[[], object]]:
    return [
        lambda: store.get(name, 1000),
        lambda: store.get_range(name, 0, 1),
        lambda: store.put(name, b"ours"),
    ]


def test_files_are_the_owner_s_alone(store: FolderStore, root: Path) -> None:
    store.put("packs/ab/one", b"content")
    assert (root / "packs/ab/one").read_bytes() == b"content"
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [root, *root.rglob("*")]}
    assert modes.pop(root / "packs/ab/one") == 0o600
    assert set(modes.values()) == {0o700}
    assert list((root / "tmp").iterdir()) == []


@pytest.mark.parametrize("path", ["", "repository", "./repository", "~/repository", "/a\0b"])
def test_the_path_is_absolute(path: str) -> None:
    with pytest.raises(InputError, match="not an absolute path"):
        FolderStore(path)


def test_a_folder_that_is_not_there(root: Path) -> None:
    store = FolderStore(str(root))
    assert not store.exists()
    for attempt in (
        lambda: list(store.list()),
        lambda: store.delete("one"),
        *actions(store, "packs/one"),
    ):
        with pytest.raises(StorageError, match=f"There is no folder {root}") as caught:
            attempt()
        assert caught.value.code == "FolderNotFound"
    assert store.remove_leftovers() == 0
    assert not root.exists()


def test_preparing_makes_one_folder_and_not_its_parents(root: Path) -> None:
    with pytest.raises(StorageError, match=f"there is no folder {root}/a"):
        FolderStore(str(root / "a" / "b")).prepare()
    assert not root.exists()


def test_a_file_in_the_place_of_the_folder(root: Path) -> None:
    root.write_text("a file")
    store = FolderStore(str(root))
    for attempt in (store.exists, store.prepare, lambda: store.get("one", 1)):
        with pytest.raises(StorageError, match=f"{root}.*: Not a directory"):
            attempt()
    assert root.read_text() == "a file"


def test_the_root_may_be_a_link(store: FolderStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    linked = FolderStore(str(tmp_path / "link"))
    linked.prepare()
    linked.put("packs/one", b"content")
    assert store.get("packs/one", 10) == b"content"


def test_a_linked_file_is_not_followed(store: FolderStore, root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (root / "packs").mkdir()
    (root / "packs" / "one").symlink_to(secret)
    (root / "packs" / "new").symlink_to(tmp_path / "new")
    for name in ("packs/one", "packs/new"):
        for action in actions(store, name):
            with pytest.raises(StorageError, match=f"{name} is a symbolic link") as caught:
                action()
            assert caught.value.code == "SymbolicLink"
    with pytest.raises(StorageError, match="symbolic link"):
        list(store.list())
    store.delete("packs/one")
    assert not (root / "packs" / "one").is_symlink()
    assert secret.read_bytes() == b"secret"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("linked", ["packs", "packs/ab", "tmp"])
def test_a_linked_folder_is_not_entered(
    store: FolderStore, root: Path, tmp_path: Path, linked: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "ab").mkdir(parents=True)
    for victim in (outside / "one", outside / "ab" / "one"):
        victim.write_bytes(b"secret")
    (root / linked).parent.mkdir(exist_ok=True)
    (root / linked).symlink_to(outside)
    before = sorted(outside.rglob("*"))
    attempts = [lambda: store.put("packs/ab/two", b"ours")]
    if linked == "tmp":
        attempts.append(lambda: store.remove_leftovers(everything=True))
    else:
        attempts += [*actions(store, "packs/ab/one"), lambda: store.delete("packs/ab/one")]
        attempts.append(lambda: list(store.list()))
    for attempt in attempts:
        with pytest.raises(StorageError, match=f"{root}/{linked} is a symbolic link"):
            attempt()
    assert sorted(outside.rglob("*")) == before
    assert (outside / "ab" / "one").read_bytes() == b"secret"


def test_no_special_file_is_read(store: FolderStore, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    store.put("one", b"content")
    for name in ("pipe", "folder"):
        for action in actions(store, name):
            with pytest.raises(StorageError, match=f"{name} is not a regular file"):
                action()
    assert [found.name for found in store.list()] == ["one"]


def test_a_huge_file_costs_no_memory(store: FolderStore, root: Path) -> None:
    with (root / "huge").open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(StorageError, match="more than 1000 bytes"):
        store.get("huge", 1000)
    assert store.get_range("huge", 1 << 41, 4) == bytes(4)
    with pytest.raises(ObjectExists):
        store.put("huge", b"small")


def test_foreign_files_are_not_listed(store: FolderStore, root: Path) -> None:
    for name in ("README", ".hidden", "lost+found", "a b", "tmp2", "packs~"):
        (root / name).mkdir()
        (root / name / "file").touch()
    (root / "Thumbs.db").touch()
    (root / "tmp").mkdir()
    (root / "tmp" / "file").touch()
    (root / "tmp2" / "Deep").touch()
    assert [found.name for found in store.list()] == ["tmp2/file"]
    assert list(store.foreign_objects()) == [
        ".hidden", "README", "Thumbs.db", "a b", "packs~", "tmp2/Deep"
    ]  # fmt: skip


def test_what_a_live_writer_may_be_writing_stays(store: FolderStore, root: Path) -> None:
    store.put("one", b"content")
    with subprocess.Popen(["true"]) as child:
        child.wait()
    here = folder_module._temporary_name()
    place, ours, entropy = here.split("-")
    elsewhere = "0" * 16 if place != "0" * 16 else "1" * 16
    kept = {
        "ours, alive": here,
        "of another machine": f"{elsewhere}-{child.pid}-{entropy}",
        "without a process": "1" * 32,
        "somebody's": "notes.txt",
    }
    gone = {
        "of a dead process": f"{place}-{child.pid}-{entropy}",
        "old, of another machine": f"{elsewhere}-{ours}-{entropy}",
        "old, without a process": "0" * 32,
    }
    for name in (*kept.values(), *gone.values()):
        (root / "tmp" / name).write_bytes(b"half")
    for what, name in (*gone.items(), *kept.items()):
        if what.startswith(("old", "somebody")):
            os.utime(root / "tmp" / name, (1_000_000, 1_000_000))
    assert [found.name for found in store.list()] == ["one"]
    assert store.remove_leftovers() == len(gone)
    assert sorted(path.name for path in (root / "tmp").iterdir()) == sorted(kept.values())
    assert store.remove_leftovers(everything=True) == 3
    assert [path.name for path in (root / "tmp").iterdir()] == ["notes.txt"]


def test_without_hard_links_one_still_wins(
    store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No file system without them is at hand; what is used in their place runs for real.
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)

    def write(writer: int) -> bool:
        try:
            store.put("packs/one", bytes([writer]) * 1000)
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert store.get("packs/one", 1000) == bytes([won.index(True)]) * 1000
    assert list((root / "tmp").iterdir()) == []


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that everybody may pass, and the rights of nobody in particular."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    before = os.geteuid()
    if before == 0:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(before)
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)


def test_missing_permissions_are_named(as_nobody: Path) -> None:
    root = as_nobody / "repository"
    store = FolderStore(str(root))
    store.prepare()
    store.put("packs/one", b"content")
    (root / "packs").chmod(0o500)
    assert store.get("packs/one", 10) == b"content"
    with pytest.raises(StorageDenied, match=f"No permission to write {root}/packs/two"):
        store.put("packs/two", b"content")
    with pytest.raises(StorageDenied, match=f"No permission to delete {root}/packs/one"):
        store.delete("packs/one")
    (root / "packs" / "one").chmod(0)
    with pytest.raises(StorageDenied, match=f"No permission to read {root}/packs/one"):
        store.get("packs/one", 10)
    (root / "packs").chmod(0)
    with pytest.raises(StorageDenied, match=f"No permission to list {root}/packs"):
        list(store.list())
    with pytest.raises(StorageDenied, match="No permission to create") as caught:
        FolderStore("/repository-of-nobody").prepare()
    assert f"uid {os.geteuid()}" in str(caught.value.hint)


def test_a_limit_on_file_sizes_is_a_full_disk(root: Path) -> None:
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({MIB}, {MIB}))\n"
    done = subprocess.run(
        [sys.executable, "-c", limited + PUT, str(root)],
        capture_output=True, text=True, check=True, env=environment(),
    )  # fmt: skip
    assert f"StorageFull There is no room to write {root}/packs/big" in done.stdout
    assert done.stdout.endswith("['packs/small'] b'content'\n")
    assert list((root / "tmp").iterdir()) == []


def test_a_full_disk(tmp_path: Path) -> None:
    mount = f"mount -t tmpfs -o size=2m tmpfs {tmp_path}"
    private = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*private, mount], check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system of his own")
    check = f'{mount} && "$0" -c "$1" {tmp_path}/repository && ls -A {tmp_path}/repository/tmp'
    done = subprocess.run(
        [*private, check, sys.executable, PUT],
        capture_output=True, text=True, check=True, env=environment(),
    )  # fmt: skip
    assert "StorageFull There is no room to write" in done.stdout
    assert "No space left on device" in done.stdout
    assert done.stdout.endswith("['packs/small'] b'content'\n"), "nothing is left in tmp"


def test_a_killed_writer_leaves_nothing_that_counts(store: FolderStore, root: Path) -> None:
    program = (
        START
        + "import sys\n"
        + "store = FolderStore(sys.argv[1])\n"
        + "for number in range(1000000):\n"
        + "    store.put(f'packs/{sys.argv[2]}-{number}', bytes([number % 256]) * (16 << 20))\n"
        + "    store.delete(f'packs/{sys.argv[2]}-{number - 2}') if number > 1 else None\n"
    )
    temporary = root / "tmp"

    def written() -> int:
        """Bytes of the largest file that is being written."""
        sizes = [0]
        for path in temporary.iterdir() if temporary.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):
                sizes.append(path.stat().st_size if path.name not in before else 0)
        return max(sizes)

    leftovers, before = 0, set[str]()
    for attempt in range(6):
        command = [sys.executable, "-c", program, str(root), str(attempt)]
        with subprocess.Popen(command, env=environment()) as writer:
            # Each time with more of it written; with all of it, while it is synced and named.
            while written() < max(1, attempt * 16 * MIB // 5):
                assert writer.poll() is None
            writer.send_signal(signal.SIGKILL)
        before = {path.name for path in temporary.iterdir()}
        leftovers = len(list(temporary.iterdir()))
        for found in store.list():
            number = int(found.name.rpartition("-")[2])
            assert store.get(found.name, 16 * MIB) == bytes([number % 256]) * (16 * MIB)
    assert leftovers > 0
    assert store.remove_leftovers() == leftovers
    assert list(temporary.iterdir()) == []


def test_a_file_that_shrinks_is_an_error(store: FolderStore, root: Path) -> None:
    store.put("one", b"content")
    os.truncate(root / "one", 3)
    with pytest.raises(StorageError, match="ends before byte 7"):
        store.get_range("one", 0, 7)
    assert store.get("one", 7) == b"con"
    (root / "one").unlink()
    with pytest.raises(ObjectNotFound):
        store.get_range("one", 0, 7)
