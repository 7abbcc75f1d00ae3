"""Names in the code are the field's own terms: words that only their author knew do not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tools import tree

# A part of a name, or a whole one; and what others call it.
WORDS = {
    "young": "max_age, recent enough",
    "mark": "restore id",
    "marks": "restore ids",
    "stale": "partial (of an upload), expired (of a lease)",
    "stray": "orphan",
    "strays": "orphans",
    "stranger": "foreign object",
    "strangers": "foreign objects",
    "namesake": "the resource that has the name",
    "settle_names": "reconcile",
}
_PART = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of every variable, argument, attribute, function and class of a file."""
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Name):
            yield line, node.id
        elif isinstance(node, ast.Attribute):
            yield line, node.attr
        elif isinstance(node, ast.arg) or (isinstance(node, ast.keyword) and node.arg):
            yield line, str(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield line, node.name
        elif isinstance(node, ast.alias):
            yield line, (node.asname or node.name).rpartition(".")[2]


def retired(source: str) -> list[str]:
    """What is named by a retired word: line, name, and what to call it instead."""
    found = {
        f"line {line}: {name} ({WORDS[part]})"
        for line, name in identifiers(source)
        for part in {name.strip("_"), *map(str.lower, _PART.findall(name))}
        if part in WORDS
    }
    return sorted(found)


def test_retired_words_are_no_names() -> None:
    found = {
        str(file): names
        for file in tree.files()
        if file.parts[0] == "plugins" and file.suffix == ".py"
        if (names := retired((tree.ROOT / file).read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    ["is_young = 1", "def settle_names(): pass", "f(stale=1)", "one.mark", "class StrayPacks: pass",
     "def f(*, strangers): pass", "from a import namesake"],
)  # fmt: skip
def test_a_retired_word_is_found(source: str) -> None:
    assert len(retired(source)) == 1


def test_what_only_looks_like_one_is_not() -> None:
    assert retired("marked = markdown = younger = Benchmark('stale')\n# young strays") == []
