"""The ``$filter`` of the lists of resources and of resource groups."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..errors import ArmError

Test = Callable[[dict[str, Any]], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<mark>[(),])|(?P<word>[A-Za-z][\w./]*))", re.ASCII
)
_FIELDS = ("name", "resourcetype", "location", "resourcegroup", "tagname", "tagvalue", "identity")


def filtered(bodies: list[dict[str, Any]], text: str | None) -> list[dict[str, Any]]:
    """The resources that a filter keeps; all of them without one.

    ``eq`` and ``ne`` of name, resourceType, location, resourceGroup, tagName and tagValue,
    ``substringof`` and ``startswith``, with ``and``, ``or`` and parentheses.

    Raises:
        ArmError: 400 for a filter that cannot be read.
    """
    if not text or not text.strip():
        return bodies
    test = _Reader(text).whole()
    return [body for body in bodies if test(body)]


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            found = _TOKEN.match(text, position)
            if found is None:
                raise self._invalid()
            kind = found.lastgroup or ""
            self._tokens.append((kind, found[kind]))
            position = found.end()

    def _invalid(self) -> ArmError:
        return ArmError(
            400, "InvalidFilterInQueryString",
            f"Invalid $filter '{self._text}' specified in the query string.", gateway=True,
        )  # fmt: skip

    def whole(self) -> Test:
        test = self._alternatives()
        if self._tokens:
            raise self._invalid()
        return test

    def _alternatives(self) -> Test:
        tests = [self._all()]
        while self._take_word("or"):
            tests.append(self._all())
        return lambda body: any(test(body) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._take_word("and"):
            tests.append(self._one())
        return lambda body: all(test(body) for test in _paired(tests, body))

    def _one(self) -> Test:
        if self._take("("):
            test = self._alternatives()
            self._need(")")
            return test
        word = self._word()
        if word == "substringof":
            self._need("(")
            value = self._value()
            self._need(",")
            name = self._field()
            self._need(")")
            return lambda body: any(value.lower() in item for item in _values(body, name))
        if word == "startswith":
            self._need("(")
            name = self._field()
            self._need(",")
            value = self._value()
            self._need(")")
            return lambda body: any(item.startswith(value.lower()) for item in _values(body, name))
        return self._comparison(word)

    def _comparison(self, name: str) -> Test:
        if name not in _FIELDS:
            raise self._invalid()
        operator = self._word()
        value = self._value().lower()
        if operator not in ("eq", "ne"):
            raise self._invalid()
        if name == "location":
            value = value.replace(" ", "")
        if operator == "ne":
            return lambda body: value not in _values(body, name)

        def equal(body: dict[str, Any]) -> bool:
            return value in _values(body, name)

        equal.tag = (name, value)  # type: ignore[attr-defined]
        return equal

    # -- tokens

    def _next(self, kind: str) -> str:
        if not self._tokens or self._tokens[0][0] != kind:
            raise self._invalid()
        return self._tokens.pop(0)[1]

    def _word(self) -> str:
        return self._next("word").lower()

    def _field(self) -> str:
        name = self._word()
        if name not in _FIELDS:
            raise self._invalid()
        return name

    def _value(self) -> str:
        return self._next("text")[1:-1].replace("''", "'")

    def _need(self, mark: str) -> None:
        if self._next("mark") != mark:
            raise self._invalid()

    def _take(self, mark: str) -> bool:
        if self._tokens[:1] == [("mark", mark)]:
            del self._tokens[0]
            return True
        return False

    def _take_word(self, word: str) -> bool:
        if self._tokens and (self._tokens[0][0], self._tokens[0][1].lower()) == ("word", word):
            del self._tokens[0]
            return True
        return False


def _paired(tests: list[Test], body: dict[str, Any]) -> list[Test]:
    """Name and value of a tag belong together: both must be of the same tag."""
    named = {test.tag[0]: test.tag[1] for test in tests if hasattr(test, "tag")}
    if not {"tagname", "tagvalue"} <= set(named):
        return tests
    tags = {name.lower(): value.lower() for name, value in (body.get("tags") or {}).items()}
    if tags.get(named["tagname"]) != named["tagvalue"]:
        return [lambda _body: False]
    return tests


def _values(body: dict[str, Any], name: str) -> list[str]:
    """What a resource has in a field, in lower case."""
    tags = body.get("tags") or {}
    found: dict[str, list[Any]] = {
        "name": [body.get("name")],
        "resourcetype": [body.get("type")],
        "location": [body.get("location")],
        "resourcegroup": body["id"].split("/")[4:5],
        "identity": [(body.get("identity") or {}).get("principalId")],
        "tagname": list(tags),
        "tagvalue": list(tags.values()),
    }
    return [str(item).lower() for item in found[name] if item is not None]
