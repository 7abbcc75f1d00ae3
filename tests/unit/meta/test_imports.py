"""Dependencies point one way: modules, then the engine; the tests' Azure and ours never meet."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import tree

COLLECTION = "ansible_collections.vmguard.azure"
PLUGINS = f"{COLLECTION}.plugins"
UTILS = f"{PLUGINS}.module_utils"
TESTS = ("tests", f"{COLLECTION}.tests", "local_azure", "tools", "pytest", "hypothesis")
# Engine folders that know neither Ansible nor Azure Resource Manager.
PURE = ("ansible", "azure.mgmt", f"{UTILS}._module", f"{UTILS}._arm", f"{UTILS}._compute")
RULES = {
    "plugins": TESTS,
    "plugins/module_utils/_image": PURE,
    "plugins/module_utils/_policy": (*PURE, "azure"),
    "plugins/module_utils/_storage": PURE,
    "tests/local_azure": ("ansible", "ansible_collections", "plugins"),
}


def imported(source: str, path: Path) -> Iterator[str]:
    """The full names that a file imports, at its top or inside its functions."""
    top, *below = path.parent.parts
    package = below if top == "tests" else [*PLUGINS.split("."), *below]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def python_files(folder: str) -> list[Path]:
    return [file for file in tree.files() if file.suffix == ".py" and Path(folder) in file.parents]


@pytest.mark.parametrize("folder", RULES)
def test_nothing_forbidden_is_imported(folder: str) -> None:
    found = [
        f"{file} imports {name}"
        for file in python_files(folder)
        for name in imported((tree.ROOT / file).read_text(), file)
        if under(name, RULES[folder])
    ]
    assert found == []


def test_only_one_file_of_the_engine_knows_ansible_module() -> None:
    found = [
        str(file)
        for file in python_files("plugins/module_utils")
        for name in imported((tree.ROOT / file).read_text(), file)
        if under(name, ("ansible.module_utils.basic",)) and file.stem != "_module"
    ]
    assert found == []


def test_private_utils_say_so() -> None:
    utils = Path("plugins/module_utils")
    tops = {file.relative_to(utils).parts[0] for file in python_files(str(utils))}
    assert [name for name in tops if not name.startswith("_")] == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import local_azure.server", "local_azure.server"),
        ("def f():\n    from ansible.module_utils import basic", "ansible.module_utils.basic"),
        ("from ..._arm import client", f"{PLUGINS}._arm.client"),
        ("from .._arm import client", f"{UTILS}._arm.client"),
        ("from . import chunks", f"{UTILS}._image.chunks"),
    ],
)
def test_imports_of_plugins_are_resolved(line: str, name: str) -> None:
    assert list(imported(line, Path("plugins/module_utils/_image/source.py"))) == [name]


def test_imports_of_tests_are_resolved() -> None:
    found = imported("from ..clock import Clock", Path("tests/local_azure/arm/tokens.py"))
    assert list(found) == ["local_azure.clock.Clock"]
