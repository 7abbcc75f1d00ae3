"""No secret leaves an image backup: not at -vvvv, not into the repository, not by an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.vmguard.azure.plugins.module_utils._repository import names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.codec import Codec
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore

from local_azure.launcher import LocalAzure
from support.stage import Stage, build_stage
from tools import tree

PASSPHRASE = "no-one-may-read-this-passphrase"
NEW_PASSPHRASE = "nor-this-one-which-follows-it"
ECHOED = "c2lnbmF0dXJlLXRoYXQtaXMtZWNob2Vk"
# What any of them looks like, wherever it comes from.
PATTERNS = (r"\bsig(=|%3D)(?!\*)", r"\beyJ[A-Za-z0-9_-]{8,}", r"Bearer\s+[A-Za-z0-9._-]{8,}")
LIMIT = 64 << 20


@pytest.fixture
def stage(images: Path) -> Iterator[Stage]:
    with LocalAzure(storage=True) as local:
        yield build_stage(local, images, "secrets")


def task(module: str, **options: Any) -> dict[str, Any]:
    return {"name": f"Run {module}", tree.fqcn(module): options}


def run_tasks(stage: Stage, folder: Path, *tasks: dict[str, Any]) -> Any:
    play = {"name": "Back up", "hosts": "localhost", "gather_facts": False, "tasks": list(tasks)}
    path = folder / "play.yml"
    path.write_text(yaml.safe_dump([play]))
    # As in a vault: Ansible shows the lines of a playbook when a task fails.
    vault = dict(zip(("passphrase", "new_passphrase", "account_key"), secrets(stage), strict=False))
    return stage.run(path, "-vvvv", "--diff", **vault)


def secrets(stage: Stage) -> list[str]:
    account = stage.local.storage
    assert account is not None
    variables = stage.local.environment()
    return [PASSPHRASE, NEW_PASSPHRASE, account.account_key, variables["AZURE_SECRET"], ECHOED]


def leaks(text: str, known: list[str]) -> list[str]:
    found = [secret for secret in known if secret in text]
    return found + [match[0] for one in PATTERNS if (match := re.search(one, text))]


def documents(repository: Repository) -> Iterator[tuple[str, str]]:
    """What is in a repository but for the disks' own content."""
    for one in repository.store.list():
        stored = repository.store.get(one.name, LIMIT)
        if one.name == names.CONFIG or one.name.startswith(names.KEYS):
            yield one.name, stored.decode()
        elif one.name.startswith((names.MANIFESTS, names.LEASES, names.LEDGERS)):
            plain = repository.codec.unseal(one.name, stored, LIMIT)
            yield one.name, plain.decode()


def test_nothing_that_opens_something_is_told(stage: Stage, tmp_path: Path) -> None:
    account = stage.local.storage
    assert account is not None
    clear = {"type": "folder", "path": str(tmp_path / "clear")}
    secret = {
        "type": "azure_blob",
        "account_url": account.blob_endpoint,
        "account_key": "{{ account_key }}",
        "container": "backups",
        "passphrase": "{{ passphrase }}",
    }
    group, name = stage.variables["resource_group"], stage.vm.name
    outputs = []
    requests = ("GET .*comp=pagelist", "POST .*/beginGetAccess")
    for place, pattern in zip((clear, secret), requests, strict=True):
        backup = task(
            "disk_snapshot_backup", resource_group=group, vm=name, repository=place, level="auto"
        )
        create = task("backup_repository", repository=place)
        done = run_tasks(
            stage, tmp_path, create, backup, backup,
            task("backup_info", repository=place, configuration=True),
            task("backup_repository_info", repository=place),
            task("backup_verify", repository=place, read_data="all"),
        )  # fmt: skip
        assert done.rc == 0, done.stdout
        outputs.append(done.stdout)
        # What the service says when it refuses: it repeats the signature.
        stage.local.control.fault(
            pattern, status=403, code="AuthenticationFailed", times=1000,
            message=f"Signature did not match: https://disk/blob?sv=1&sig={ECHOED}%3D&se=2",
        )  # fmt: skip
        failed = run_tasks(stage, tmp_path, {**backup, "name": "Fail"})
        stage.local.control.clear_faults()
        assert [one.name for one in failed.failed] == ["Fail"], failed.stdout
        outputs.append(failed.stdout)
    # The sentence of the service is passed on, without what it repeats.
    assert "Signature did not match: https://disk/blob?***" in outputs[-1]
    changed = task("backup_repository", repository=secret, new_passphrase="{{ new_passphrase }}")
    refused = {**task("backup_repository", repository=secret), "ignore_errors": True}
    done = run_tasks(stage, tmp_path, changed, refused)
    assert done.rc == 0, done.stdout
    outputs.append(done.stdout)

    known = secrets(stage)
    assert [leaks(one, known) for one in outputs] == [[]] * len(outputs)
    repository = Repository.open(FolderStore(clear["path"]), None)
    assert isinstance(repository.codec, Codec)
    told = dict(documents(repository))
    assert len([one for one in told if one.startswith(names.MANIFESTS)]) == 2
    assert {one: leaks(text, known) for one, text in told.items()} == {one: [] for one in told}
    for path in Path(clear["path"]).rglob("*"):
        if path.is_file():
            assert leaks(path.read_bytes().decode("latin-1"), known) == [], path
    stage.assert_sound()


@pytest.mark.parametrize(
    "text", [PASSPHRASE, "?sv=1&sig=abc%3D", "Bearer abcdefgh.ijk", "eyJhbGciOiJI"]
)
def test_a_leak_would_be_found(text: str) -> None:
    assert leaks(f"something {text} something", [PASSPHRASE])
