"""Every example of every module can be copied into a playbook."""

from __future__ import annotations

from typing import Any

import pytest

from tools import examples, module_docs, tree

SPEC = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"]},
    "count": {"type": "int", "aliases": ["amount"]},
    "disks": {"type": "list", "elements": "dict", "options": {"lun": {"type": "int"}}},
    "source": {"type": "str"},
    "copy_of": {"type": "str"},
}
THING = "some.where.thing"
ARGUMENTS: dict[str, dict[str, Any]] = {
    THING: {"argument_spec": SPEC, "mutually_exclusive": [("source", "copy_of")]}
}


def of(options: str, action: str = THING) -> list[str]:
    return examples.problems(THING, f"- name: A task\n  {action}: {options}\n", ARGUMENTS)


@pytest.mark.parametrize("module", tree.modules())
def test_examples_of(module: str) -> None:
    arguments = {tree.fqcn(name): module_docs.arguments(name) for name in tree.modules()}
    text = module_docs.documentation()[module]["examples"]
    assert examples.problems(tree.fqcn(module), text, arguments) == []


@pytest.mark.parametrize(
    "options",
    [
        "{name: a, state: absent, amount: 3}",
        "{name: '{{ vm }}', state: '{{ state }}', count: '{{ 3 }}', disks: [{lun: '{{ 1 }}'}]}",
        "{name: a, disks: '{{ disks }}'}",
    ],
)
def test_a_right_example_passes(options: str) -> None:
    assert of(options) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("{}", "missing required arguments: name"),
        ("{name: a, colour: red}", "colour"),
        ("{name: a, state: gone}", "value of state must be one of"),
        ("{name: a, count: many}", "'count'"),
        ("{name: a, disks: [{lun: first}]}", "'lun'"),
        ("{name: a, disks: [{size: 1}]}", "disks.size"),
        ("{name: a, source: b, copy_of: c}", "mutually exclusive"),
    ],
)
def test_a_wrong_option_is_found(options: str, says: str) -> None:
    assert says in " ".join(of(options))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- name: [", "is not YAML"),
        ("- name: A task\n  thing: {name: a}\n", "no full name"),
        ("- name: A task\n  some.where.other: {name: a}\n", "there is no module"),
        ("- name: A task\n  ansible.builtin.debug: {msg: a}\n", "never use it"),
        (f"- {THING}: {{name: a}}\n", "every task has a name"),
        ("- name: A task\n  when: true\n", "expected one module, found none"),
        (
            f"- hosts: all\n  tasks: [{{block: [{{name: Deep, {THING}: {{}}}}]}}]\n",
            "missing required arguments: name",
        ),
    ],
)
def test_a_wrong_task_is_found(text: str, says: str) -> None:
    assert says in " ".join(examples.problems(THING, text, ARGUMENTS))
