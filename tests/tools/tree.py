"""The repository as a collection: where it is, what belongs to it, how Python finds it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = ROOT / "build" / "collections"


def galaxy(root: Path = ROOT) -> dict[str, Any]:
    """What galaxy.yml says."""
    return yaml.safe_load((root / "galaxy.yml").read_text())


def fqcn(name: str) -> str:
    """The full name of one of the collection's modules, roles or playbooks."""
    collection = galaxy()
    return f"{collection['namespace']}.{collection['name']}.{name}"


def modules(root: Path = ROOT) -> list[str]:
    """The names of all modules, sorted."""
    files = (root / "plugins" / "modules").glob("*.py")
    return sorted(file.stem for file in files if file.stem != "__init__")


def files(root: Path = ROOT) -> list[Path]:
    """What git tracks or would track, relative to the root, and is there."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = {name for name in listing.split("\0") if name}
    return sorted(Path(name) for name in names if (root / name).is_file())


def link() -> None:
    """Make the work tree importable as ``ansible_collections.vmguard.azure``."""
    collection = galaxy()
    place = COLLECTIONS / "ansible_collections" / collection["namespace"] / collection["name"]
    place.parent.mkdir(parents=True, exist_ok=True)
    # Several test processes may come here at once.
    with contextlib.suppress(FileExistsError):
        place.symlink_to(os.path.relpath(ROOT, place.parent))


if __name__ == "__main__":
    link()
