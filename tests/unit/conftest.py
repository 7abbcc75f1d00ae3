"""Makes the work tree importable as a collection, also for a plain ``pytest``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from hypothesis.configuration import set_hypothesis_home_dir

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import tree

tree.link()
if str(tree.COLLECTIONS) not in sys.path:
    sys.path.insert(0, str(tree.COLLECTIONS))
# The import system remembers folders that were not there when it first looked.
importlib.invalidate_caches()
set_hypothesis_home_dir(tree.ROOT / "build" / "cache" / "hypothesis")
