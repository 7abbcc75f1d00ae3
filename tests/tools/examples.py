"""Checks a module's EXAMPLES as a person would use them: copied into a playbook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.playbook.task import Task

NESTED = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
# What a template may turn into, by the type of its option.
SAMPLES: dict[str, Any] = {
    "bool": True,
    "dict": {},
    "float": 1.0,
    "int": 1,
    "list": [],
    "path": "sample",
    "raw": "sample",
    "str": "sample",
}
RELATIONS = (
    "mutually_exclusive",
    "required_together",
    "required_one_of",
    "required_if",
    "required_by",
)


def tasks(node: Any) -> Iterator[dict[str, Any]]:
    """Every task of a list of tasks or plays, those within blocks too."""
    if isinstance(node, list):
        for item in node:
            yield from tasks(item)
    elif isinstance(node, dict):
        nested = [node[key] for key in NESTED if key in node]
        for items in nested:
            yield from tasks(items)
        if not nested and not {"hosts", "ansible.builtin.import_playbook"} & node.keys():
            yield node


def actions(task: Mapping[str, Any]) -> list[str]:
    """The keys of a task that are no keyword of Ansible: there should be one, its module."""
    return [key for key in task if key not in Task.fattributes and not key.startswith("with_")]


def fill(options: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """The options with templates replaced by a value that their type and choices allow."""
    known = dict(spec)
    for option in spec.values():
        known.update((alias, option) for alias in option.get("aliases") or ())
    return {name: _value(value, known.get(name, {})) for name, value in options.items()}


def _value(value: Any, option: Mapping[str, Any]) -> Any:
    kind = option.get("type", "str")
    if isinstance(value, str) and "{{" in value:
        if option.get("choices"):
            return option["choices"][0]
        return value if kind == "str" else SAMPLES[kind]
    if isinstance(value, list):
        element = {**option, "type": option.get("elements", "str")}
        return [_value(item, element) for item in value]
    if isinstance(value, dict) and option.get("options"):
        return fill(value, option["options"])
    return value


def problems(module: str, text: str, arguments: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is wrong with the examples of a module.

    Args:
        module: its full name.
        text: its EXAMPLES.
        arguments: by full name, what each module of the collection hands to AnsibleModule.
    """
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [f"{module}: EXAMPLES is not YAML: {error}"]
    found: list[str] = []
    used: set[str] = set()
    for task in tasks(parsed):
        label = f"{module}, {task.get('name', 'a task without a name')!r}"
        names = actions(task)
        used.update(names)
        if "name" not in task:
            found.append(f"{label}: every task has a name.")
        if len(names) != 1:
            found.append(f"{label}: expected one module, found {names or 'none'}.")
            continue
        found += [f"{label}: {problem}" for problem in _call(names[0], task[names[0]], arguments)]
    if module not in used:
        found.append(f"{module}: EXAMPLES never use it.")
    return found


def _call(name: str, options: Any, arguments: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    collections = {known.rpartition(".")[0] for known in arguments}
    if name.count(".") < 2:
        yield f"{name!r} is no full name."
    elif name in arguments:
        taken = arguments[name]
        spec = taken["argument_spec"]
        relations = {key: taken.get(key) for key in RELATIONS}
        result = ArgumentSpecValidator(spec, **relations).validate(fill(options or {}, spec))
        yield from result.error_messages
    elif name.rpartition(".")[0] in collections:
        yield f"there is no module {name!r}."
