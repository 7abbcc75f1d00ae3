"""Changes of the passphrase: whatever happens, and whoever else does the same, the repository opens."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._clock import SystemClock
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    InputError,
    StorageUnavailable,
    VmguardError,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository import admin, keys, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.errors import (
    DamagedObject,
    LeaseHeld,
    LeaseLost,
    RepositoryError,
    WrongPassphrase,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.lease import (
    KEYS_SCOPE,
    Lease,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from ansible_collections.vmguard.azure.plugins.module_utils._storage.interface import Store
from image_world import PASSPHRASE, MovedClock, make_repository, sizes
from storage_backends import (
    BACKENDS,
    AppendOnlyStore,
    FaultyStore,
    Wrapper,
    blob_repository,
    open_repository,
)

pytest_plugins = ["storage_backends"]

NAME = "manifests/one"
CONTENT = {"a": [1, 2, 3]}
NEW = "made up: the new one"
# Pairs of simultaneous creations and changes in each kind of storage.
PAIRS = int(os.environ.get("VMGUARD_PAIRS", "12"))


@pytest.fixture(autouse=True)
def _cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SCRYPT", {"n": 2, "r": 1, "p": 1})


@pytest.fixture
def place(tmp_path: Path) -> FolderStore:
    return FolderStore(str(tmp_path / "repository"))


class Gate:
    """What ``Task.write`` is outside of check mode."""

    changed = False

    def __call__(self, act: Callable[[], Any], _predicted: Any = None) -> Any:
        result = act()
        self.changed = True
        return result


def present(
    store: Store, passphrase: str | None, new: str | None = None, clock: Any = None
) -> tuple[bool, list[str]]:
    """One task: whether it changed something, and its warnings."""
    gate = Gate()
    change = admin.ensure_present(
        store, passphrase=passphrase, new_passphrase=new, chunk_size=None,
        clock=clock or MovedClock(), write=gate,
    )  # fmt: skip
    return gate.changed, change.warnings


def opens(store: Store, passphrase: str) -> bool:
    try:
        return Repository.open(store, passphrase) is not None
    except WrongPassphrase:
        return False


def key_names(store: Store) -> list[str]:
    return list(sizes(store, names.KEYS))


# -- two at once


class SlowDelete(Wrapper):
    """A share on which a deletion takes a while."""

    def delete(self, name: str) -> None:
        threading.Event().wait(random.uniform(0, 0.03))
        super().delete(name)


def at_once(tasks: list[Callable[[], Any]]) -> list[Any]:
    """What tasks that begin together return, or the error that they fail with."""
    start = threading.Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return task()
        except VmguardError as error:
            return error

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(run, tasks))


@pytest.mark.parametrize("kind", BACKENDS)
def test_of_two_at_once_who_is_told_that_it_succeeded_can_open_it(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    clock = SystemClock()
    for number in range(PAIRS):
        option: dict[str, Any] = {"type": "folder", "path": str(tmp_path / str(number))}
        if kind == "azure_blob":
            option = blob_repository(request.getfixturevalue("azurite"))
        stores = [SlowDelete(open_repository(option)) for _one in range(2)]

        def task(
            which: int, *passphrases: str | None, stores: list[SlowDelete] = stores
        ) -> Callable[[], Any]:
            return lambda: present(stores[which], *passphrases, clock=clock)

        created = at_once([task(0, "old 0"), task(1, "old 1")])
        won = [which for which, told in enumerate(created) if told == (True, [])]
        assert len(won) == 1, created
        assert isinstance(created[1 - won[0]], WrongPassphrase), created
        old = f"old {won[0]}"
        assert [opens(stores[0], f"old {which}") for which in (0, 1)] == [n in won for n in (0, 1)]
        Repository.open(stores[0], old).write(NAME, CONTENT)

        wanted = ["new 0", "new 0" if number % 4 == 0 else "new 1"]
        changed = at_once([task(0, old, wanted[0]), task(1, old, wanted[1])])
        told = [new for new, one in zip(wanted, changed, strict=True) if isinstance(one, tuple)]
        assert told, changed
        assert sum(one == (True, []) for one in changed) == 1, changed
        assert len(set(told)) == 1, changed
        assert len(told) == 2 or set(wanted) == {"new 0", "new 1"}, changed
        for passphrase in {*wanted, old}:
            assert opens(stores[0], passphrase) == (passphrase in told), changed
        assert Repository.open(stores[0], told[0]).read(NAME, 1000) == CONTENT
        assert len(key_names(stores[0])) == 1
        assert sizes(stores[0], names.LEASES) == {}
        for store in stores:
            store.close()


class Before(Wrapper):
    """Does something before a call of a method, once."""

    def __init__(self, store: Store, method: str, prefix: str, act: Callable[[], Any]) -> None:
        super().__init__(store)
        self._at = (method, prefix)
        self._act: Callable[[], Any] | None = act

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        at, prefix = self._at
        if self._act and method == at and str(args[0]).startswith(prefix):
            act, self._act = self._act, None
            act()
        return super()._call(method, *args, **options)


def test_a_change_is_refused_while_another_one_works(place: FolderStore) -> None:
    present(place, PASSPHRASE)
    refused: list[LeaseHeld] = []

    class Impatient(MovedClock):
        """Waits less long than the other works, whose heartbeats are written meanwhile."""

        def sleep(self, seconds: float) -> None:
            lease.renew()
            super().sleep(seconds)

    clock = Impatient()
    repository = Repository.open(place, PASSPHRASE)
    with Lease(repository, KEYS_SCOPE, "a change", "other", clock, heartbeat=9e9) as lease:
        with pytest.raises(LeaseHeld, match="worked on by run other") as caught:
            present(place, PASSPHRASE, NEW, clock)
        refused.append(caught.value)
    assert "gives way at" in str(refused[0].hint)
    assert opens(place, PASSPHRASE) and not opens(place, NEW)
    assert present(place, PASSPHRASE, NEW) == (True, [])


@pytest.mark.parametrize("method", ["put", "list"])
def test_who_comes_second_is_told_that_another_changed_it(place: FolderStore, method: str) -> None:
    present(place, PASSPHRASE)
    late = Before(place, method, names.LEASES, lambda: present(place, PASSPHRASE, "first"))
    with pytest.raises((RepositoryError, LeaseHeld), match="Another run changed"):
        present(late, PASSPHRASE, NEW)
    assert opens(place, "first")
    assert not opens(place, NEW) and not opens(place, PASSPHRASE)
    assert len(key_names(place)) == 1


def test_who_lost_the_lease_deletes_nothing(place: FolderStore) -> None:
    present(place, PASSPHRASE)
    clock = MovedClock()

    def sleep_through() -> None:
        clock.sleep(121)
        present(place, PASSPHRASE, "first", clock)

    late = Before(place, "put", names.KEYS, sleep_through)
    with pytest.raises(LeaseLost) as caught:
        present(late, PASSPHRASE, NEW, clock)
    assert "with which the new passphrase opens the repository as well" in str(caught.value.hint)
    assert opens(place, "first") and not opens(place, PASSPHRASE)
    changed, warnings = present(place, NEW, "first", clock)
    assert (changed, warnings) == (True, [])
    assert not opens(place, NEW)
    assert len(key_names(place)) == 1


def test_both_believe_to_have_the_lease_and_none_deletes_the_others_key(place: FolderStore) -> None:
    """The worst that can be: one is stopped between its last look at the lease and the deletion."""
    present(place, PASSPHRASE)
    clock = MovedClock()

    def stopped() -> None:
        clock.sleep(121)
        present(place, PASSPHRASE, "first", clock)

    present(Before(place, "delete", names.KEYS, stopped), PASSPHRASE, NEW, clock)
    assert opens(place, "first") and opens(place, NEW) and not opens(place, PASSPHRASE)


# -- broken off


class Killed(BaseException):
    """The process is no more: nothing that it would have written comes any more."""


@pytest.mark.parametrize("lost_answer", [False, True])
def test_a_change_that_is_killed_at_any_write_is_finished_by_the_next(
    tmp_path: Path, lost_answer: bool
) -> None:
    for number in count(1):
        store = FolderStore(str(tmp_path / str(number)))
        present(store, PASSPHRASE)
        clock = MovedClock()
        dying = FaultyStore(
            store, number, error=Killed, methods=("put", "delete"),
            lost_answer=lost_answer, lasting=True,
        )  # fmt: skip
        survived = True
        try:
            present(dying, PASSPHRASE, NEW, clock)
        except Killed:
            survived = False
        assert survived or opens(store, PASSPHRASE) or opens(store, NEW)
        present(store, PASSPHRASE, NEW, clock)
        assert opens(store, NEW) and not opens(store, PASSPHRASE)
        assert len(key_names(store)) == 1
        if survived:
            break
    assert number > 4


@pytest.mark.parametrize("lost_answer", [False, True])
def test_a_change_that_fails_at_any_write_leaves_one_that_opens(
    tmp_path: Path, lost_answer: bool
) -> None:
    for number in count(1):
        store = FolderStore(str(tmp_path / str(number)))
        present(store, PASSPHRASE)
        faulty = FaultyStore(store, number, lost_answer=lost_answer)
        hint = ""
        try:
            present(faulty, PASSPHRASE, NEW)
        except StorageUnavailable as error:
            hint = str(error.hint)
        # Where a second passphrase opens it, the failure says so.
        both = opens(store, PASSPHRASE) and opens(store, NEW)
        assert not both or "opens the repository as well" in hint
        assert opens(store, PASSPHRASE) or opens(store, NEW)
        present(store, PASSPHRASE, NEW)
        assert opens(store, NEW) and not opens(store, PASSPHRASE)
        if faulty.failures == 0:
            break
    assert number > 4


class Forgetful(Wrapper):
    """Says that it wrote a key, and has other bytes."""

    def put(self, name: str, data: bytes) -> None:
        if name.startswith(names.KEYS):
            data = bytes(data).replace(b'"wrapped": "', b'"wrapped": "00')
        super().put(name, data)


def test_no_key_goes_before_the_new_one_was_read_back(place: FolderStore) -> None:
    present(place, PASSPHRASE)
    before = key_names(place)
    with pytest.raises(DamagedObject, match="not what was written"):
        present(Forgetful(place), PASSPHRASE, NEW)
    assert before[0] in key_names(place)
    assert opens(place, PASSPHRASE)


@pytest.mark.parametrize("also_old", [True, False])
def test_a_new_key_that_somebody_deletes_is_told_and_not_the_end(
    place: FolderStore, also_old: bool
) -> None:
    present(place, PASSPHRASE)
    (old,) = key_names(place)
    third = f"{names.KEYS}{'0' * 32}.json"
    content = place.get(old, 1 << 16)

    def delete_the_new_one() -> None:
        for name in key_names(place):
            if name != old:
                place.delete(name)
        if not also_old:
            place.put(third, content)

    with pytest.raises(RepositoryError, match="Somebody took away the key") as caught:
        present(Before(place, "delete", names.KEYS, delete_the_new_one), PASSPHRASE, NEW)
    assert ("no other was left" in caught.value.message) == also_old
    assert opens(place, NEW) == also_old
    assert opens(place, PASSPHRASE) != also_old


def test_a_key_of_neither_passphrase_stays_and_is_told(place: FolderStore) -> None:
    present(place, PASSPHRASE)
    repository = Repository.open(place, PASSPHRASE)
    third = f"{names.KEYS}{'0' * 32}.json"
    content = place.get(key_names(place)[0], 1 << 16)
    present(place, PASSPHRASE, "a third one")
    place.put(f"{names.KEYS}{'f' * 32}.json", b"[]")
    place.put(third, content)
    changed, warnings = present(place, "a third one", NEW)
    assert changed and third in warnings[0]
    assert opens(place, PASSPHRASE) and opens(place, NEW)
    assert Repository.open(place, NEW).id == repository.id
    assert present(place, PASSPHRASE, NEW)[0]
    assert not opens(place, PASSPHRASE)


# -- opening meanwhile


def test_a_repository_is_opened_while_its_key_is_replaced(place: FolderStore) -> None:
    present(place, PASSPHRASE)
    used = Repository.open(place, PASSPHRASE)
    changing = Before(place, "get", names.KEYS, lambda: present(place, PASSPHRASE, NEW))
    assert Repository.open(changing, NEW).id == used.id
    back = Before(place, "get", names.KEYS, lambda: present(place, NEW, PASSPHRASE))
    with pytest.raises(WrongPassphrase):
        Repository.open(back, NEW)
    used.write(NAME, CONTENT)
    assert Repository.open(place, PASSPHRASE).read(NAME, 1000) == CONTENT


# -- one alone


def test_a_changed_passphrase_opens_the_same_data_and_the_old_one_nothing(
    place: FolderStore,
) -> None:
    present(place, PASSPHRASE)
    Repository.open(place, PASSPHRASE).write(NAME, CONTENT)
    (old,) = key_names(place)
    before = {name: place.get(name, 1 << 16) for name in sizes(place) if name != old}
    assert present(place, PASSPHRASE, NEW) == (True, [])
    (new,) = key_names(place)
    after = {name: place.get(name, 1 << 16) for name in sizes(place) if name != new}
    assert new != old and after == before
    assert Repository.open(place, NEW).read(NAME, 1000) == CONTENT
    with pytest.raises(WrongPassphrase):
        Repository.open(place, PASSPHRASE)


def test_a_passphrase_is_changed_by_who_knows_it_only(place: FolderStore, tmp_path: Path) -> None:
    present(place, PASSPHRASE)
    for attempt, error, text in (
        ((place, "wrong", NEW), WrongPassphrase, "not that of the repository"),
        ((place, None, NEW), InputError, "give its passphrase"),
        ((place, PASSPHRASE, ""), InputError, "is empty"),
    ):
        with pytest.raises(error, match=text):
            present(*attempt)
    make_repository(tmp_path / "clear")
    with pytest.raises(InputError, match="not encrypted"):
        present(FolderStore(str(tmp_path / "clear")), None, NEW)
    assert opens(place, PASSPHRASE) and len(key_names(place)) == 1
    assert present(place, PASSPHRASE, PASSPHRASE) == (False, [])
    assert present(place, None, PASSPHRASE) == (False, [])


def test_where_nothing_can_be_deleted_the_old_key_is_named(place: FolderStore) -> None:
    present(place, PASSPHRASE)
    (old,) = key_names(place)
    kept = AppendOnlyStore(place)
    for number in range(3):
        changed, (warning,) = present(kept, PASSPHRASE, NEW)
        assert changed == (number == 0)
        assert "The old passphrase still opens the repository" in warning and old in warning
        assert len(key_names(place)) == 2
    assert opens(place, PASSPHRASE) and opens(place, NEW)
