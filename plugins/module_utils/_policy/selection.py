# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which virtual machines a task means: by name, by regular expression, by tag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .._errors import InputError


@dataclass(frozen=True)
class Selection:
    """What a task asks for.

    A VM named in ``names`` is taken, whatever the rest says. Without ``names`` every other VM is a
    candidate too; with them, only where ``include`` or ``tags`` ask for more. A candidate has to
    match ``include``, must not match ``exclude``, and has all ``tags``. (The rules of vm=, include=
    and exclude= of Bacula's plugin for Azure; tags are ours.)

    Attributes:
        names: names of VMs; None when the task names none.
        include, exclude: what the whole name has to match, and must not.
        tags: each ``key``, or ``key:value``.
    """

    names: tuple[str, ...] | None = None
    include: re.Pattern[str] | None = None
    exclude: re.Pattern[str] | None = None
    tags: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        names: Iterable[str] | None = None,
        include: str | None = None,
        exclude: str | None = None,
        tags: Iterable[str] | None = None,
    ) -> Selection:
        """Build one from a task's options; names that differ only in casing count once.

        Raises:
            InputError: for a bad regular expression, an empty name or an empty tag.
        """
        unique = None
        if names is not None:
            unique = tuple({_stated("name", name).lower(): name for name in names}.values())
        return cls(
            unique,
            _pattern("include", include),
            _pattern("exclude", exclude),
            tuple(_stated("tags", tag) for tag in tags or ()),
        )

    @property
    def only_names(self) -> bool:
        """Whether nothing but the named VMs can be taken, so that no list is needed."""
        return self.names is not None and self.include is None and not self.tags

    def names_it(self, name: str) -> bool:
        """Whether the task names this VM. Names of VMs have no casing in Azure."""
        return name.lower() in {wanted.lower() for wanted in self.names or ()}

    def takes(self, name: str, tags: Mapping[str, str] | None = None) -> bool:
        """Whether the VM of this name, with these tags, is meant."""
        if self.names_it(name):
            return True
        if self.only_names:
            return False
        if self.include is not None and not self.include.fullmatch(name):
            return False
        if self.exclude is not None and self.exclude.fullmatch(name):
            return False
        return has_tags(tags or {}, self.tags)

    def unknown(self, names: Iterable[str]) -> list[str]:
        """The names that the task asks for and that are not among these."""
        known = {name.lower() for name in names}
        return [name for name in self.names or () if name.lower() not in known]


def has_tags(tags: Mapping[str, str], wanted: Iterable[str]) -> bool:
    """Whether all wanted tags (``key`` or ``key:value``) are there.

    In Azure keys of tags have no casing and values have one; a key may hold a colon itself
    (``hidden-link:/app``).
    """
    return all(any(_is_tag(key, value, one) for key, value in tags.items()) for one in wanted)


def _is_tag(key: str, value: str | None, wanted: str) -> bool:
    if wanted.lower() == key.lower():
        return True
    return wanted[: len(key) + 1].lower() == f"{key}:".lower() and wanted[len(key) + 1 :] == (
        value or ""
    )


def _stated(option: str, value: str) -> str:
    if not value.strip():
        raise InputError(
            f"The option {option} holds an empty entry, which selects no virtual machine."
        )
    return value


def _pattern(option: str, text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    if not text:
        raise InputError(
            f"The option {option} is empty, which matches no name.",
            hint="Leave the option out, or write '.*' for every name.",
        )
    try:
        return re.compile(text)
    except re.error as error:
        raise InputError(
            f"The option {option} is no regular expression: {text!r}: {error}.",
            hint="It has to match the whole name: 'prod.*' for names that begin with prod.",
        ) from error
