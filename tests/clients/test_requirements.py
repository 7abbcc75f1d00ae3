"""pip finds packages for this collection and azure.azcollection in one environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
THEIRS = sorted((ROOT / "tests" / "requirements").glob("azure.azcollection-*.txt"))


@pytest.mark.parametrize("theirs", THEIRS, ids=lambda path: path.stem)
def test_both_sets_of_requirements_resolve_together(theirs: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    ended = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet",
            "--disable-pip-version-check", "--report", str(report),
            "--requirement", str(ROOT / "requirements.txt"), "--requirement", str(theirs),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found = {
        one["metadata"]["name"].lower(): one["metadata"]["version"]
        for one in json.loads(report.read_text())["install"]
    }
    assert found["azure-mgmt-compute"].startswith("33.0.")
    assert {"azure-identity", "azure-storage-blob", "blake3", "zstandard"} <= found.keys()
