"""One environment holds this collection and azure.azcollection."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import tree

PINS = tree.ROOT / "tests" / "requirements"
# What releases of azure.azcollection ask for, as they say it themselves.
THEIRS = sorted(PINS.glob("azure.azcollection-*.txt"))


def requirements(path: Path) -> dict[str, Requirement]:
    """By name, the requirements in a file."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {one.name: one for one in found}


@pytest.mark.parametrize("theirs", THEIRS, ids=lambda path: path.stem)
def test_no_requirement_excludes_one_of_azcollection(theirs: Path) -> None:
    """All of theirs that we share are exact, so that this needs no resolver; `make clients` asks pip."""
    ours, others = requirements(tree.ROOT / "requirements.txt"), requirements(theirs)
    shared = ours.keys() & others.keys()
    assert {"azure-identity", "azure-mgmt-compute", "azure-storage-blob"} <= shared
    for name in shared:
        (pin,) = others[name].specifier
        assert pin.operator == "=="
        assert ours[name].specifier.contains(pin.version, prereleases=True), others[name]
