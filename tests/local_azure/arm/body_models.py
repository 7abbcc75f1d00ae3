"""The shapes of request bodies, read from the models of the installed azure-mgmt-compute.

Two generations of models are understood: those with annotations (``rest_field``) and the older
ones with ``_attribute_map``, whose enumerations are in their documentation. The older ones know
fewer members than the service, so none is called unknown there (``Shape.is_complete``). Without
the package, or without a model, there is no shape.
"""

from __future__ import annotations

import enum
import importlib
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

_PACKAGE = "azure.mgmt.compute.models"
_ENUMERATION = re.compile(r":vartype (\w+): str or ~[\w.]+\.(\w+)")
_OLD_PLAIN = {
    "str": str, "int": int, "long": int, "float": float, "bool": bool, "iso-8601": str,
    "duration": str, "bytearray": str, "base64": str,
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """What the value of a member is.

    Args:
        plain: str, int, float or bool; None for the others, and for a value of any kind.
        model: the name of the model of an object, and ``own`` its shape if it is of no package.
        items: what a list has (``is_list``), or an object with names of the caller's (``is_map``).
        choices: the values of an enumeration, and its name.
    """

    plain: type | None = None
    model: str | None = None
    own: Shape | None = None
    items: Kind | None = None
    is_list: bool = False
    is_map: bool = False
    choices: tuple[str, ...] = ()
    enumeration: str = ""


@dataclass(frozen=True)
class Member:
    kind: Kind
    required: bool = False
    read_only: bool = False


@dataclass
class Shape:
    """The members of an object by their names on the wire.

    ``is_complete``: it has every member that the service knows, so that another one is unknown.
    """

    name: str
    members: dict[str, Member] = field(default_factory=dict)
    is_complete: bool = True


@cache
def shape(model: str) -> Shape | None:
    """The shape of a model, or None where the installed package has none of that name."""
    try:
        found = getattr(importlib.import_module(_PACKAGE), model, None)
    except ImportError:
        return None
    if found is None:
        return None
    if hasattr(found, "_attribute_map"):
        return _old_shape(found)
    return Shape(model, dict(_annotated(found)))


# -- models with annotations


def _annotated(model: type) -> Iterator[tuple[str, Member]]:
    package = importlib.import_module(_PACKAGE)
    hints = typing.get_type_hints(model, localns={"_models": package})
    for owner in reversed(model.__mro__):
        for attribute, found in vars(owner).items():
            if not hasattr(found, "_rest_name_input") or attribute not in hints:
                continue
            name = found._rest_name_input or attribute
            parts, optional = _without_none(hints[attribute])
            read_only = getattr(found, "_visibility", None) == ["read"]
            yield name, Member(_kind(parts), not optional, read_only)


def _without_none(hint: Any) -> tuple[list[Any], bool]:
    """The alternatives of an annotation, and whether None is one of them."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = list(typing.get_args(hint))
        return [part for part in parts if part is not type(None)], type(None) in parts
    return [hint], False


def _kind(parts: list[Any]) -> Kind:
    for part in parts:
        if isinstance(part, type) and issubclass(part, enum.Enum):
            return Kind(str, choices=tuple(item.value for item in part), enumeration=part.__name__)
    if len(parts) != 1:
        return Kind()
    part = parts[0]
    origin, arguments = typing.get_origin(part), typing.get_args(part)
    if origin is list:
        return Kind(items=_kind(_without_none(arguments[0])[0]), is_list=True)
    if origin is dict:
        return Kind(items=_kind(_without_none(arguments[1])[0]), is_map=True)
    if part in (str, int, float, bool):
        return Kind(part)
    if part in (datetime, bytes):
        return Kind(str)
    is_model = isinstance(part, type) and part.__module__.startswith("azure.mgmt.compute")
    return Kind(model=part.__name__) if is_model else Kind()


# -- models with an attribute map


def _old_shape(model: type) -> Shape:
    """The flattened names (``properties.diskSizeGB``) become objects again."""
    made = Shape(model.__name__, is_complete=False)
    enumerations = dict(_ENUMERATION.findall(model.__doc__ or ""))
    validation = getattr(model, "_validation", {})
    for attribute, entry in model._attribute_map.items():  # type: ignore[attr-defined]
        *outer, name = re.split(r"(?<!\\)\.", entry["key"])
        rules = validation.get(attribute, {})
        kind = _old_kind(entry["type"])
        if attribute in enumerations:
            package = importlib.import_module(_PACKAGE)
            kind = _kind([getattr(package, enumerations[attribute], str)])
        member = Member(kind, bool(rules.get("required")), bool(rules.get("readonly")))
        if not outer:
            made.members[name] = member
        elif len(outer) == 1:
            inner = f"{model.__name__}/{outer[0]}"
            made.members.setdefault(outer[0], Member(Kind(model=inner)))
            _flattened.setdefault(inner, Shape(inner, is_complete=False)).members[name] = member
    return made


_flattened: dict[str, Shape] = {}


def _old_kind(text: str) -> Kind:
    if text.startswith("["):
        return Kind(items=_old_kind(text[1:-1]), is_list=True)
    if text.startswith("{"):
        return Kind(items=_old_kind(text[1:-1]), is_map=True)
    if text in _OLD_PLAIN:
        return Kind(_OLD_PLAIN[text])
    return Kind() if text == "object" else Kind(model=text)


def shape_of(kind: Kind) -> Shape | None:
    """The shape of the object that a member is."""
    if kind.model is None:
        return None
    return kind.own or _flattened.get(kind.model) or shape(kind.model)
