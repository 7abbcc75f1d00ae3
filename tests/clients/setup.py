"""Set up the clients that ``make clients`` runs, each in a virtual environment of its own.

``python tests/clients/setup.py [az] [azcollection]``; what is up to date is left alone.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv-clients"
REQUIREMENTS = ROOT / "tests" / "requirements"
BUNDLE = "azcollection-bundle.txt"
COLLECTION = "ansible_collections/azure/azcollection/"


def _nothing_more(environment: Path) -> None:
    """The environment is complete with its packages."""


def _unpack_collection(environment: Path) -> None:
    """Take azure.azcollection, and nothing else, out of the community package."""
    with tempfile.TemporaryDirectory() as folder:
        # Only unpacked, never run: it may ask for a newer Python than there is.
        anywhere = ("--no-deps", "--only-binary=:all:", "--python-version=3.13")
        _pip(environment, "download", *anywhere, "--dest", folder, "-r", str(REQUIREMENTS / BUNDLE))
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith(COLLECTION)]
            archive.extractall(environment / "collections", names)


CLIENTS: dict[str, tuple[tuple[str, ...], Callable[[Path], None]]] = {
    "az": (("az.txt",), _nothing_more),
    "azcollection": (("azcollection.txt", BUNDLE), _unpack_collection),
}


def _pip(environment: Path, *arguments: str) -> None:
    command = [environment / "bin" / "python", "-m", "pip", arguments[0], "--quiet"]
    subprocess.run(
        [*command, "--disable-pip-version-check", *arguments[1:]], check=True, stdout=sys.stderr
    )


def set_up(name: str) -> None:
    """Make one client's environment, unless it has been made from the same pins."""
    files, finish = CLIENTS[name]
    digest = hashlib.sha256()
    for file in files:
        digest.update((REQUIREMENTS / file).read_bytes())
    pins = f"{digest.hexdigest()} {sys.version_info.major}.{sys.version_info.minor}"
    environment = ENVIRONMENTS / name
    stamp = environment / ".stamp"
    if stamp.is_file() and stamp.read_text() == pins:
        return
    sys.stderr.write(f"Setting up {environment.relative_to(ROOT)} (some minutes)\n")
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    _pip(environment, "install", "-r", str(REQUIREMENTS / files[0]))
    finish(environment)
    stamp.write_text(pins)


def main() -> int:
    """Set up the clients named on the command line, or all; 2 for a name that is none."""
    names = sys.argv[1:] or list(CLIENTS)
    unknown = [name for name in names if name not in CLIENTS]
    if unknown:
        sys.stderr.write(f"There is no client {unknown[0]!r}; choose from {', '.join(CLIENTS)}.\n")
        return 2
    for name in names:
        set_up(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
