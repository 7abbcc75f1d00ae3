"""What a key costs in tests that are not about it."""

from __future__ import annotations

# The least that scrypt takes; a repository's own cost is stored in its key object.
CHEAP_SCRYPT = {"n": 2, "r": 1, "p": 1}
