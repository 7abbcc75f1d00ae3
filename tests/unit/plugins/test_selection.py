"""Which virtual machines a task means."""

from __future__ import annotations

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._errors import InputError
from ansible_collections.vmguard.azure.plugins.module_utils._policy.selection import (
    Selection,
    has_tags,
)
from hypothesis import given
from hypothesis import strategies as st

NAMES = ["prod-db", "prod-web", "test-prod", "exception.test", "dev"]
vm_names = st.text("abAB01-.", min_size=1, max_size=8)


def taken(**options) -> list[str]:
    selection = Selection.of(**options)
    return [name for name in NAMES if selection.takes(name)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, NAMES),
        ({"names": ["dev"]}, ["dev"]),
        ({"names": []}, []),
        ({"include": "(.*)prod(.*)"}, ["prod-db", "prod-web", "test-prod"]),
        ({"include": "(.*)prod(.*)", "exclude": "^test(.*)"}, ["prod-db", "prod-web"]),
        ({"exclude": ".*test.*"}, ["prod-db", "prod-web", "dev"]),
        (
            {"names": ["exception.test"], "include": ".*prod.*", "exclude": ".*test.*"},
            ["prod-db", "prod-web", "exception.test"],
        ),
        ({"names": ["dev"], "exclude": ".*"}, ["dev"]),
    ],
)
def test_names_include_and_exclude(options, expected) -> None:
    assert taken(**options) == expected


@pytest.mark.parametrize("pattern", ["prod", "prod-", "rod-db", "^prod"])
def test_a_pattern_has_to_match_the_whole_name(pattern) -> None:
    assert taken(include=pattern) == []
    assert taken(exclude=pattern) == NAMES


def test_an_alternative_does_not_escape_the_whole_name() -> None:
    assert taken(include="dev|prod") == ["dev"]


def test_patterns_mind_the_casing_unless_told() -> None:
    assert taken(include="DEV") == []
    assert taken(include="(?i)DEV") == ["dev"]


def test_names_do_not_mind_the_casing_and_count_once() -> None:
    selection = Selection.of(["Dev", "dev", "DEV"])
    assert len(selection.names or ()) == 1
    assert selection.takes("deV")
    assert selection.unknown(["dEv"]) == []


def test_unknown_names_are_named_as_they_were_given() -> None:
    assert Selection.of(["Gone", "dev"]).unknown(NAMES) == ["Gone"]


@pytest.mark.parametrize(
    ("tags", "wanted", "expected"),
    [
        ({"backup": "daily"}, ["backup"], True),
        ({"backup": "daily"}, ["backup:daily"], True),
        ({"Backup": "daily"}, ["bACKUP:daily"], True),
        ({"backup": "daily"}, ["backup:Daily"], False),
        ({"backup": "daily"}, ["backup:dail"], False),
        ({"backup": "daily"}, ["back"], False),
        ({"backup": "daily", "tier": "1"}, ["backup", "tier:1"], True),
        ({"backup": "daily"}, ["backup", "tier"], False),
        ({"hidden-link:/app": "x:y"}, ["hidden-link:/app"], True),
        ({"hidden-link:/app": "x:y"}, ["hidden-link:/app:x:y"], True),
        ({"backup": ""}, ["backup:"], True),
        ({"backup": None}, ["backup:"], True),
        ({}, ["backup"], False),
        ({}, [], True),
    ],
)
def test_tags(tags, wanted, expected) -> None:
    assert has_tags(tags, wanted) is expected


def test_tags_narrow_what_is_included_and_add_to_names() -> None:
    narrow = Selection.of(include="prod.*", tags=["backup"])
    assert narrow.takes("prod-db", {"backup": "daily"})
    assert not narrow.takes("prod-db", {})
    assert not narrow.takes("dev", {"backup": "daily"})
    wide = Selection.of(["dev"], tags=["backup"])
    assert wide.takes("dev", {})
    assert wide.takes("prod-db", {"backup": "daily"})
    assert not wide.takes("prod-web")


@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_bad_pattern_is_named(option) -> None:
    with pytest.raises(InputError) as caught:
        Selection.of(**{option: "prod(["})
    assert f"option {option}" in str(caught.value)
    assert "prod([" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"include": ""}, "include"),
        ({"exclude": ""}, "exclude"),
        ({"names": ["a", " "]}, "name"),
        ({"tags": [""]}, "tags"),
    ],
)
def test_an_empty_option_selects_nothing_by_accident(options, named) -> None:
    with pytest.raises(InputError, match=f"option {named} "):
        Selection.of(**options)


@given(st.lists(vm_names), st.lists(vm_names, max_size=3))
def test_a_named_vm_is_always_taken_and_known(there, names) -> None:
    selection = Selection.of(names, include="a.*", exclude=".*1")
    for name in there:
        named = name.lower() in {one.lower() for one in names}
        matches = name.startswith("a") and not name.endswith("1")
        assert selection.takes(name) == (named or matches)
    assert not set(selection.unknown(there)) & set(there)
    assert selection.unknown([*there, *names]) == []
