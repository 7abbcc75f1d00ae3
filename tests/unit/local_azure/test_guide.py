"""The guide to local Azure is true: its examples run, its tables are those of the code."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from local_azure.config import Config, profile
from local_azure.faults import KINDS
from local_azure.launcher import LocalAzure
from local_azure.recorded_answers import RECORDED

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "local-azure.md"
TEXT = GUIDE.read_text()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_examples_run(tmp_path: Path) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    script = "set -euo pipefail\n" + "\n".join(blocks)
    with LocalAzure() as local:
        environment = {**local.process_environment(), "TMPDIR": str(tmp_path)}
        done = subprocess.run(
            ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
        audit = local.control.audit()
    assert audit["crashes"] == []
    assert [entry["status"] for entry in audit["requests"]] == [200, 200]


def test_every_route_is_shown() -> None:
    with LocalAzure() as local:
        routes = local.app._control._routes
        shown = set(re.findall(r"(?:--request (\w+) )?\"\$control/([\w/]+)", TEXT))
        shown |= set(
            re.findall(r"--request (\w+) --data-binary @- \\\n +\"\$control/([\w/]+)", TEXT)
        )
    for method, pattern, handler in routes:
        paths = [path for verb, path in shown if (verb or "GET") == method]
        assert any(pattern.match(f"/_local/{path}") for path in paths), (method, handler)


@pytest.mark.parametrize("group", ["durations", "limits", "retry_after", "refusals"])
def test_every_setting_is_shown(group: str) -> None:
    table = TEXT.split(f"| `{group}`")[1].split("\n\n")[0]
    default, azure = vars(getattr(Config(), group)), vars(getattr(profile("azure"), group))
    for name in default:
        (row,) = [line for line in table.splitlines() if f"`{name}`" in line]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        place = re.findall(r"`(\w+)`", cells[0]).index(name)
        for cell, value in ((cells[1], default[name]), (cells[2], azure[name])):
            values = cell.split(", ")
            assert float(values[min(place, len(values) - 1)]) == value, (name, row)


def test_every_kind_of_fault_is_shown() -> None:
    table = TEXT.split("| `kind` |")[1].split("\n\n")[0]
    assert tuple(sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))) == tuple(sorted(KINDS))


def test_every_recorded_answer_is_shown() -> None:
    text = TEXT.split("`answer` names")[1].split("\n\n")[0]
    assert set(RECORDED) == set(re.findall(r"`(\w+_\w+)`", text)) - {"retry_after"}


def test_every_rule_of_the_owner_is_shown() -> None:
    table = TEXT.split("| `governance`")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(vars(Config().governance))
