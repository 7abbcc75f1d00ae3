"""Modules on a Python whose packages are missing or too old: one message that names all of them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata, util
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils import _requirements as requirements
from ansible_collections.vmguard.azure.plugins.module_utils._errors import (
    MissingLibrary,
    missing_library,
)

from tools import module_docs, tree

CHILD = Path(__file__).parent / "module_child.py"
LOGIN = {
    "client_id": "c", "secret": "a-made-up-secret", "tenant": "t",
    "subscription_id": "00000000-0000-4000-8000-000000000001", "cloud_environment": "AzureCloud",
}  # fmt: skip


def test_the_bounds_are_those_of_requirements_txt() -> None:
    lines = (tree.ROOT / "requirements.txt").read_text().splitlines()
    bounds = dict(line.split(">=") for line in lines if not line.startswith("#"))
    assert bounds == {name: oldest for name, (oldest, _module) in requirements.PACKAGES.items()}


@pytest.mark.parametrize("module", tree.modules())
def test_the_documentation_names_the_bounds(module: str) -> None:
    told = module_docs.documentation()[module]["doc"]["requirements"]
    bounds = dict(re.split(" >= |,", one)[:2] for one in told if " >= " in one)
    for name, (oldest, _module) in requirements.PACKAGES.items():
        assert bounds.get(name, oldest) == oldest


def folder_of(name: str) -> Path:
    """Where a top-level module or package is installed."""
    spec = util.find_spec(name)
    assert spec is not None
    found = spec.submodule_search_locations
    return Path(found[0] if found else str(spec.origin))


class Python:
    """A Python that has the given packages of this one, and no others.

    Args:
        packages: a version for each package on PyPI, for which it gives itself out.
    """

    def __init__(self, folder: Path, **packages: str) -> None:
        self._folder = folder
        (folder / "ansible").symlink_to(folder_of("ansible"))
        for written, version in packages.items():
            name = written.replace("_", "-")
            info = folder / f"{written}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
            module = requirements.PACKAGES[name][1]
            place = folder.joinpath(*module.split("."))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(folder_of(module))

    def run(self, module: str, **options: Any) -> dict[str, Any]:
        """The result of a module of this collection."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("AZURE_")}
        path = os.pathsep.join([str(self._folder), str(tree.COLLECTIONS)])
        ended = subprocess.run(
            # -S: without the packages of this environment.
            [sys.executable, "-S", str(CHILD), module],
            input=json.dumps(options), env={**kept, "PYTHONPATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.stdout, ended.stderr
        return json.loads(ended.stdout)


def test_all_missing_and_all_old_packages_are_named_at_once(tmp_path: Path) -> None:
    python = Python(tmp_path, azure_identity="1.19.0", jmespath="1.0.1", zstandard="0.21")
    result = python.run("connection_info", **LOGIN)
    assert result["failed"] and not result["changed"]
    assert "azure-identity (1.19.0 is installed, 1.20.0 or newer is needed)" in result["msg"]
    assert "azure-mgmt-compute (not installed)" in result["msg"]
    assert "zstandard (0.21 is installed, 0.22.0 or newer is needed)" in result["msg"]
    assert "jmespath" not in result["msg"] and sys.executable in result["msg"]
    command = shlex.split(result["failure"]["hint"].partition(": ")[2])
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    wanted = set(requirements.PACKAGES) - {"jmespath"}
    assert {one.split(">=")[0] for one in command[4:]} == wanted
    assert "azure-mgmt-compute>=33.0.0" in command


def test_a_repository_in_a_folder_needs_no_package_of_azure(tmp_path: Path) -> None:
    versions = {name: requirements.PACKAGES[name][0] for name in ("blake3", "zstandard")}
    python = Python(tmp_path, **versions)
    repository = {"type": "folder", "path": str(tmp_path / "nothing")}
    result = python.run("backup_info", repository=repository)
    assert result["failed"] and "not installed" not in result["msg"]
    result = python.run("backup_info", repository={**repository, "passphrase": "a passphrase"})
    assert "cryptography (not installed)" in result["msg"]


def test_a_package_that_is_missed_further_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some are only looked for where they are used; the message is that of all, too."""
    lost = missing_library("jmespath", "for the option query")
    assert requirements.complete(lost) is lost
    monkeypatch.setattr(metadata, "version", lambda name: "0.1" if name == "blake3" else "99")
    told = requirements.complete(lost)
    assert "jmespath is needed for the option query" in told.message
    assert "blake3 (0.1 is installed" in told.message and "'blake3>=1.0.0'" in (told.hint or "")
    assert requirements.complete(told) is told


def test_a_package_without_a_version_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", unknown)
    requirements.require(*requirements.PACKAGES)


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("1.20.0", True),
        ("1.20", True),
        ("1.20.0b1", True),
        ("1.9.9", False),
        ("2", True),
        ("", True),
    ],
)
def test_versions_are_compared_as_numbers(
    monkeypatch: pytest.MonkeyPatch, version: str, enough: bool
) -> None:
    monkeypatch.setattr(metadata, "version", lambda _name: version)
    if enough:
        requirements.require("azure-identity")
    else:
        with pytest.raises(
            MissingLibrary, match=re.escape(f"azure-identity ({version} is installed")
        ):
            requirements.require("azure-identity")
