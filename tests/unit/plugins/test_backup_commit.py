"""The moment of the commit, and what is committed: lost answers, ledgers, names, the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._backup import capture
from ansible_collections.vmguard.azure.plugins.module_utils._backup.machine import (
    BackupDisk,
    Machine,
    without_secrets,
)
from ansible_collections.vmguard.azure.plugins.module_utils._backup.request import BackupRequest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    StorageError,
    StorageUnavailable,
)
from ansible_collections.vmguard.azure.plugins.module_utils._repository import manifest, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.names import manifest_parts
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._restore.engine import restore
from ansible_collections.vmguard.azure.plugins.module_utils._restore.request import Request
from ansible_collections.vmguard.azure.plugins.module_utils._restore.source.backup import (
    BackupWanted,
)
from ansible_collections.vmguard.azure.plugins.module_utils._restore.uploader import Uploader
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore
from backup_bench import Place, open_place
from restore_bench import Bench, open_bench
from storage_backends import Wrapper


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as opened:
        yield opened


@pytest.fixture
def place(bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with open_place(bench, tmp_path, data=[]) as opened:
        opened.create()
        opened.scatter("os", 5)
        yield opened


class Failing(Wrapper):
    """A store whose calls fail where ``fails`` says so, after they have done their work if ``lost``."""

    def __init__(self, store: Any, fails: Callable[[str, str], bool], lost: bool = False) -> None:
        super().__init__(store)
        self._fails = fails
        self._lost = lost

    def _call(self, method: str, *args: Any, **options: Any) -> Any:
        fails = bool(args) and self._fails(method, args[0])
        if fails and not self._lost:
            raise StorageUnavailable("The storage does not answer.")
        result = super()._call(method, *args, **options)
        if fails:
            raise StorageUnavailable("The storage does not answer.")
        return result


def through(place: Place, fails: Callable[[str, str], bool], lost: bool = False) -> None:
    """From now on the repository is reached through such a store."""
    folder = FolderStore(str(place.repository))
    place.open = lambda: Repository.open(Failing(folder, fails, lost), place.passphrase)  # type: ignore[method-assign]


def whole(place: Place) -> None:
    del place.open


def objects(place: Place, prefix: str) -> list[str]:
    return [one.name for one in FolderStore(str(place.repository)).list(prefix)]


# -- the manifest's put


@pytest.mark.parametrize("passphrase", [None, "correct horse battery staple"])
def test_a_commit_whose_answer_is_lost_is_a_commit(
    bench: Bench, tmp_path: Path, passphrase: str | None
) -> None:
    with open_place(bench, tmp_path, data=[]) as place:
        place.create(passphrase)
        place.backup()
        through(place, lambda method, name: (method, name[:9]) == ("put", "manifests"), lost=True)
        content = place.export()
        outcome = place.backup()
        whole(place)
        assert outcome.made and outcome.warnings == []
        assert objects(place, names.LEDGERS) == objects(place, names.LEASES) == []
        # Its snapshots are there, so the next one reads what changed.
        place.check(outcome, content)
        assert place.backup(level="incremental").warnings == []


def test_a_commit_that_did_not_happen_is_undone(place: Place) -> None:
    through(place, lambda method, name: (method, name[:9]) == ("put", "manifests"))
    with pytest.raises(StorageUnavailable):
        place.backup()
    whole(place)
    assert place.snapshots() == set() and place.active_sas() == 0
    assert objects(place, names.LEDGERS) == objects(place, names.LEASES) == []


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_of_which_nobody_can_tell_keeps_the_snapshots_for_the_next_run(
    place: Place, committed: bool
) -> None:
    # Neither writing nor reading it back is answered; listing their folder still works.
    through(place, lambda _method, name: manifest_parts(name) is not None, lost=committed)
    with pytest.raises(StorageUnavailable) as caught:
        place.backup()
    assert "backup_info will show it" in str(caught.value.hint)
    whole(place)
    assert len(place.snapshots()) == 1 and place.active_sas() == 0
    assert len(objects(place, names.LEDGERS)) == 1
    assert len(objects(place, names.MANIFESTS)) == committed
    outcome = place.backup(level="incremental", keep="all")
    assert [disk.level for disk in outcome.backup.disks] == ["incremental" if committed else "full"]
    assert len(place.snapshots()) == 1 + committed
    assert objects(place, names.LEDGERS) == []


def test_what_lies_under_its_name_and_is_another_is_no_commit(place: Place) -> None:
    """Whoever may add objects can be the first to write a name, in the clear."""
    folder = FolderStore(str(place.repository))

    class Faster(Wrapper):
        def put(self, name: str, data: bytes) -> None:
            if name.startswith(names.MANIFESTS):
                folder.put(name, b"of somebody else")
            folder.put(name, data)

    place.open = lambda: Repository.open(Faster(folder), None)  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        place.backup()
    whole(place)
    assert place.active_sas() == 0


# -- after the commit


def test_a_ledger_that_cannot_be_closed_is_a_warning(place: Place) -> None:
    through(place, lambda method, name: method == "delete" and name.startswith(names.LEDGERS))
    outcome = place.backup()
    whole(place)
    assert outcome.made and "could not be closed" in " ".join(outcome.warnings)
    assert len(objects(place, names.LEDGERS)) == 1
    again = place.backup(level="incremental")
    assert again.warnings == [] and objects(place, names.LEDGERS) == []


def test_a_ledger_of_a_killed_run_that_cannot_be_closed_is_a_warning(place: Place) -> None:
    repository = place.open()
    key = manifest.vm_key(repository, place.machine.id)
    name = f"{names.LEDGERS}{key}/20260101t000000z-00000001.1"
    repository.write(name, {"kind": "made", "resources": []})
    through(place, lambda method, one: method == "delete" and one == name)
    outcome = place.backup()
    whole(place)
    assert outcome.made and ["could not be closed" in text for text in outcome.warnings] == [True]


def test_a_ledger_whose_answer_is_lost_is_taken_back(place: Place) -> None:
    through(place, lambda method, name: method == "put" and name.startswith(names.LEDGERS), True)
    with pytest.raises(StorageUnavailable):
        place.backup()
    whole(place)
    assert objects(place, names.LEDGERS) == [] and place.snapshots() == set()


# -- names of snapshots


def disk(name: str, lun: int | None) -> BackupDisk:
    return BackupDisk(f"/{name}", name, lun, f"u-{lun}", 1, {}, {})


@pytest.mark.parametrize(
    "disks",
    [
        [disk("data", 0), disk("data", 1), disk("data-lun1", 2)],
        [disk("x" * 80, None), disk("x" * 79 + "y", 0), disk("x" * 79 + "z", 1)],
        [disk("DATA", 0), disk("data", 1)],
        [disk("d", None), disk("d-os", 0), disk("d", 1), disk("d-lun1", 11), disk("d-lun11", 2)],
    ],
    ids=str,
)
def test_each_disk_has_a_snapshot_of_its_own(bench: Bench, disks: list[BackupDisk]) -> None:
    machine = Machine({"id": "/x", "name": "x", "properties": {}}, disks, [], {})
    run = "20260101t000000z-00000001"
    ids = capture.snapshot_ids(bench.look, machine, BackupRequest("g", "x"), run)
    assert set(ids) == {one.unique_id for one in disks}
    short = [one.rpartition("/")[2].lower() for one in ids.values()]
    assert len(set(short)) == len(disks)
    assert all(len(one) <= 80 and one.endswith(run) for one in short)


# -- the configuration


KEY = "-----BEGIN RSA PRIVATE KEY-----"
TAGS = {KEY: KEY, "accountKey": "blue door", "password": "on the door", "note": "sig=abc&se=1"}


def test_tags_come_back_as_they_were_and_kill_no_backup(place: Place) -> None:
    bench, machine = place.bench, place.machine
    vm = bench.get(machine)
    properties = {key: value for key, value in vm["properties"].items() if key != "instanceView"}
    bench.look.run(
        "virtual_machines.begin_create_or_update", machine.id, machine.group, machine.name,
        body={"location": vm["location"], "properties": properties, "tags": TAGS},
    )  # fmt: skip
    backup = place.backup().backup
    assert backup.configuration["virtual_machine"]["tags"] == TAGS
    with Uploader(place.open(), bench.clock, workers=2) as uploader:
        wanted = BackupWanted(
            place.open(), machine.group, machine.name, "latest", None,
            fill=uploader.fill, location=None, subscription=bench.look.subscription_id,
        )  # fmt: skip
        request = Request(target="new_vm", group=machine.group, vm=machine.name, new_name="back")
        restore(bench.arm(), wanted, request, lambda act, _p=None: act(), bench.clock)
    assert bench.get(machine, "back")["tags"].items() >= TAGS.items()


def test_secrets_are_taken_out_and_nothing_else_is_changed() -> None:
    described = {
        "id": "/vm",
        "tags": dict(TAGS),
        "settings": {
            "accessToken": None, "accountKey": True, "storageAccountKey": "made up",
            "fileUris": ["https://a/b?sv=1&sig=made-up&se=2", "https://a/c"],
            "commandToExecute": "run --client_secret=made-up now",
            "tags": {"password": "made up"}, "passwords": 5, "password": ["made up", ""],
            "key": f"{KEY}\nmade up\n-----END RSA PRIVATE KEY-----\n",
        },
        "protectedSettings": {"a": "made up", "b": ["made up"]},
        "osProfile": {"customData": "bWFkZSB1cA==", "adminUsername": "admin", "secrets": []},
        "diskEncryptionKey": {"secretUrl": "https://vault/secrets/x", "sourceVault": {"id": "/v"}},
        "size": 5, "on": True, "none": None,
    }  # fmt: skip
    found = without_secrets(described)
    assert "made" not in str({**found, "tags": None})
    assert found["tags"] == TAGS and found["tags"] is not described["tags"]
    settings = found["settings"]
    assert settings["accessToken"] is None and settings["accountKey"] is True
    assert settings["storageAccountKey"] == "***" and settings["passwords"] == 5
    assert settings["password"] == ["***", ""] and settings["tags"] == {"password": "***"}
    assert settings["fileUris"][1] == "https://a/c"
    assert settings["commandToExecute"].startswith("run --client_secret=")
    assert found["protectedSettings"] == "***" and found["osProfile"]["customData"] == "***"
    for name in ("diskEncryptionKey", "size", "on", "none"):
        assert found[name] == described[name]
    assert found["osProfile"]["adminUsername"] == "admin"
