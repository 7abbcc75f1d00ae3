"""What a passphrase costs to try: as much as the documents say, and as the key object says."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from ansible_collections.vmguard.azure.plugins.module_utils._repository import keys, names
from ansible_collections.vmguard.azure.plugins.module_utils._repository.repository import Repository
from ansible_collections.vmguard.azure.plugins.module_utils._storage.folder import FolderStore

PASSPHRASE = "made up for a test"
NOW = datetime(2026, 9, 1, tzinfo=timezone.utc)


def create(folder: Path) -> dict[str, int]:
    """A repository with a passphrase; what its key object says of the cost."""
    repository = Repository.create(
        FolderStore(str(folder)), chunk_size=1 << 16, passphrase=PASSPHRASE, now=NOW
    )
    (key,) = repository.store.list(names.KEYS)
    body = json.loads(repository.store.get(key.name, 1 << 16))
    return {name: body[name] for name in keys.SCRYPT}


def test_a_guess_takes_64_mib(tmp_path: Path, real_scrypt: dict[str, int]) -> None:
    cost = create(tmp_path / "repository")
    assert cost == real_scrypt == {"n": 65536, "r": 8, "p": 1}
    assert cost["n"] * cost["r"] * 128 == 64 << 20
    assert Repository.open(FolderStore(str(tmp_path / "repository")), PASSPHRASE)


def test_a_key_opens_at_the_cost_that_it_was_made_with(
    tmp_path: Path, real_scrypt: dict[str, int]
) -> None:
    keys.SCRYPT.update(n=16, r=2)
    assert create(tmp_path / "repository") == {"n": 16, "r": 2, "p": 1}
    keys.SCRYPT.update(real_scrypt)
    assert Repository.open(FolderStore(str(tmp_path / "repository")), PASSPHRASE)
