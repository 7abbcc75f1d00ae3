"""Makes the work tree importable as a collection, also for a plain ``pytest``.

A passphrase costs a fraction of a second of CPU by design (scrypt). The tests open encrypted
repositories a thousand times, so here a key costs next to nothing, but in tests that ask for
``real_scrypt``. Nothing in the product knows of that: what a key costs is stored with it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.keys import CHEAP_SCRYPT
from tools import tree

tree.link()
if str(tree.COLLECTIONS) not in sys.path:
    sys.path.insert(0, str(tree.COLLECTIONS))
# The import system remembers folders that were not there when it first looked.
importlib.invalidate_caches()
set_hypothesis_home_dir(tree.ROOT / "build" / "cache" / "hypothesis")

keys = importlib.import_module(f"{tree.PACKAGE}.plugins.module_utils._repository.keys")
REAL_SCRYPT = dict(keys.SCRYPT)
keys.SCRYPT.update(CHEAP_SCRYPT)


@pytest.fixture
def real_scrypt(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Keys cost what they cost a user; what that is."""
    monkeypatch.setattr(keys, "SCRYPT", dict(REAL_SCRYPT))
    return REAL_SCRYPT
