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
PURE = ("ansible", "azure.mgmt")
RULES = {
    "plugins": TESTS,
    "plugins/module_utils/_disk": PURE,
    "plugins/module_utils/_image": PURE,
    "plugins/module_utils/_policy": (*PURE, "azure"),
    "plugins/module_utils/_repository": PURE,
    "plugins/module_utils/_storage": PURE,
    "tests/local_azure": ("ansible", "ansible_collections", "plugins"),
}
# Small things that every part may use; they use only each other, from left to right.
COMMON = (
    "_azure_errors", "_permissions", "_query", "_requirements", "_duration", "_clock", "_errors",
    "_secrets", "_spec",
)  # fmt: skip
# What each part of the engine may import besides: every arrow there is, and no other.
ARROWS = {
    "_login": (),
    "_arm": ("_login",),
    "_compute": ("_arm", "_policy"),
    "_policy": (),
    "_storage": (),
    "_repository": ("_storage",),
    "_disk": (),
    "_image": ("_repository", "_disk", "_storage"),
    "_backup": ("_arm", "_compute", "_disk", "_image", "_policy", "_repository", "_storage"),
    "_restore": ("_arm", "_compute", "_disk", "_image", "_policy", "_repository", "_storage"),
    "_module": ("_arm", "_login", "_repository", "_storage"),
    **dict.fromkeys(COMMON, ()),
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


def part_of(file: Path) -> str:
    """The part of the engine that a file below module_utils belongs to."""
    return file.relative_to("plugins/module_utils").parts[0].removesuffix(".py")


def may_import(part: str, other: str) -> bool:
    if part == other or other in ARROWS[part]:
        return True
    if other not in COMMON:
        return False
    return part not in COMMON or COMMON.index(part) < COMMON.index(other)


def test_the_parts_of_the_engine_import_each_other_in_one_direction() -> None:
    found = []
    for file in python_files("plugins/module_utils"):
        part = part_of(file)
        for name in imported((tree.ROOT / file).read_text(), file):
            if name.startswith(f"{UTILS}."):
                other = name.removeprefix(f"{UTILS}.").split(".")[0]
                if not may_import(part, other):
                    found.append(f"{file} imports {name}")
            elif under(name, (PLUGINS, COLLECTION)):
                found.append(f"{file} imports {name}")
    assert found == []


def test_no_arrow_can_be_turned_round() -> None:
    pairs = [(one, other) for one in ARROWS for other in ARROWS if one != other]
    both = [pair for pair in pairs if may_import(*pair) and may_import(*pair[::-1])]
    assert both == []
    # No circle of more than two either: taking away what imports nothing that is left ends with nothing.
    left = set(ARROWS)
    while free := {one for one in left if not any(may_import(one, o) for o in left - {one})}:
        left -= free
    assert left == set()


def test_imports_inside_the_collection_are_relative() -> None:
    found = [
        f"{file}:{number}"
        for file in python_files("plugins")
        for number, line in enumerate((tree.ROOT / file).read_text().splitlines(), 1)
        if line.lstrip().startswith(("from ansible_collections", "import ansible_collections"))
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
