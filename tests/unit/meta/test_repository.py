"""The repository keeps its own rules, whatever is added to it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tools import action_groups, module_docs, tree

VERSION = tree.galaxy()["version"]
MOST_LINES = 500
WRITTEN_BY_HAND = {".py", ".yml", ".yaml", ".j2", ".sh", ".js", ".cjs", ".md"}


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def version_constants(source: str) -> Iterator[str]:
    """Release numbers that a file gives to a name like ``VERSION``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            value = str(node.value.value)
            if any("version" in name.lower() for name in names) and re.fullmatch(
                r"\d+\.\d+\.\d+", value
            ):
                yield value


def roles() -> list[str]:
    return sorted(path.name for path in (tree.ROOT / "roles").glob("*") if path.is_dir())


@pytest.mark.parametrize("module", tree.modules())
def test_module_has_a_playbook_test(module: str) -> None:
    assert (tree.ROOT / "tests" / "playbooks" / f"{module}.yml").is_file()


@pytest.mark.parametrize("module", tree.modules())
def test_module_is_in_the_readme(module: str) -> None:
    table = [line for line in (tree.ROOT / "README.md").read_text().splitlines() if "|" in line]
    assert any(re.search(rf"(?<![\w.]){module}(?!\w)", line) for line in table)


@pytest.mark.parametrize("module", tree.modules())
def test_module_is_not_newer_than_the_collection(module: str) -> None:
    added = module_docs.documentation()[module]["doc"]["version_added"]
    assert numbers(added) <= numbers(VERSION)


@pytest.mark.parametrize("role", roles())
def test_role_documents_its_arguments_and_has_a_playbook(role: str) -> None:
    specs = yaml.safe_load((tree.ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())
    assert "main" in specs["argument_specs"]
    assert (tree.ROOT / "playbooks" / f"{role}.yml").is_file()


def test_action_group_lists_every_module() -> None:
    runtime = yaml.safe_load((tree.ROOT / "meta" / "runtime.yml").read_text())
    assert runtime["action_groups"] == {"azure": tree.modules()}
    assert action_groups.main(["--check"]) == 0


def test_action_group_is_rewritten_below_what_is_kept() -> None:
    old = "---\nrequires_ansible: '>=2'\naction_groups:\n  azure:\n    - gone\n"
    new = action_groups.render(old, ["one", "two"])
    assert new.startswith("---\nrequires_ansible: '>=2'\n")
    assert yaml.safe_load(new)["action_groups"] == {"azure": ["one", "two"]}
    assert action_groups.render(new, ["one", "two"]) == new


def test_the_version_has_one_value() -> None:
    found = {
        str(file): value
        for file in tree.files()
        if file.suffix == ".py" and file.parts[0] == "plugins"
        for value in version_constants((tree.ROOT / file).read_text())
        if value != VERSION
    }
    assert found == {}
    assert list(version_constants("USER_AGENT_VERSION = '9.9.9'\nAPI_VERSION = '2024-03-01'")) == [
        "9.9.9"
    ]


def test_no_release_is_newer_than_the_version() -> None:
    changelog = tree.ROOT / "changelogs" / "changelog.yaml"
    releases = yaml.safe_load(changelog.read_text())["releases"] if changelog.exists() else {}
    assert [release for release in releases if numbers(release) > numbers(VERSION)] == []


def test_files_are_short_enough_to_read() -> None:
    long = {
        str(file): lines
        for file in tree.files()
        if file.parts[0] in {"plugins", "tests"} and file.suffix in WRITTEN_BY_HAND
        if (lines := len((tree.ROOT / file).read_text().splitlines())) > MOST_LINES
    }
    assert long == {}


def test_no_sanity_test_is_ignored() -> None:
    ignores = [file for file in tree.files() if file.match("tests/sanity/ignore-*.txt")]
    assert [file for file in ignores if (tree.ROOT / file).read_text().strip()] == []


def test_changelog_fragments_are_valid() -> None:
    command = [sys.executable, "-m", "antsibull_changelog", "lint"]
    done = subprocess.run(command, cwd=tree.ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_lock_file_names_no_registry() -> None:
    lock = Path("tests/local_azure/azurite/package-lock.json")
    assert '"resolved"' not in (tree.ROOT / lock).read_text()
