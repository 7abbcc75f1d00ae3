"""Cheap keys.

A passphrase costs a fraction of a second of CPU by design (scrypt). The tests open encrypted
repositories a thousand times, so here a key costs next to nothing, but in tests that ask for
``real_scrypt``. Nothing in the product knows of that: what a key costs is stored with it.
"""

from __future__ import annotations

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._repository import keys

# The least that scrypt takes.
CHEAP_SCRYPT = {"n": 2, "r": 1, "p": 1}
REAL_SCRYPT = dict(keys.SCRYPT)
keys.SCRYPT.update(CHEAP_SCRYPT)


@pytest.fixture
def real_scrypt(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Keys cost what they cost a user; what that is."""
    monkeypatch.setattr(keys, "SCRYPT", dict(REAL_SCRYPT))
    return REAL_SCRYPT
