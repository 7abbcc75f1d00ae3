"""Whether a request body is of the form that its resource has: types, enumerations, members.

Everything that reads a body does so by ``Call.body``, which asks here first: what has another
form than the model is refused before any rule looks at it. The refusals of the compute provider
and of Resource Manager in front of it are quoted in jclouds-labs#394 (enumeration),
cloud-provider-azure#8919 (unknown member), azure-sdk-for-net#3487 (unknown member beside the
properties), managed-disks-powershell-getting-started#5 (SKU without a name),
azure-powershell#8651 (object in place of a list), azure-sdk-for-java#29811 (SKU of a snapshot),
ansible-collections/azure#792 (of a disk);
those of the network provider in azure-xplat-cli#497 and AZ-700#153.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import ArmError, invalid_parameter, missing_parameter
from .body_models import Kind, Shape, shape_of
from .body_routes import Form, form_of

_API = "Microsoft.WindowsAzure.ComputeResourceProvider.API"
_NET_TYPES = {str: "System.String", int: "System.Int32", float: "System.Double",
              bool: "System.Boolean"}  # fmt: skip
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
# What Resource Manager knows of every resource, beside what the model names.
_ENVELOPE = frozenset(
    ("id", "name", "type", "location", "tags", "plan", "sku", "kind", "managedBy", "identity",
     "managedByExtended", "zones", "extendedLocation", "properties", "systemData", "etag",
     "apiVersion", "scale", "resources", "placement")
)  # fmt: skip
# The service takes values that these enumerations do not have: sizes come without a new api-version.
_OPEN = frozenset({"VirtualMachineSizeTypes"})
# Refused by the provider itself, in words of its own.
_REQUIRED_ELSEWHERE = frozenset(
    {"location", "properties.creationData", "properties.creationData.createOption"}
)


def check_body(method: str, path: str, raw: bytes, body: dict[str, Any]) -> None:
    """Refuse a body that is not of the form that the request has.

    Raises:
        ArmError: 400, in the words of whoever reads that part of the body.
    """
    form = form_of(method, path)
    if form is None or form.shape is None:
        return
    checker = _Checker(form, raw.decode("utf-8", "replace"), is_patch=method == "PATCH")
    checker.envelope(body, form.shape)


@dataclass
class _Checker:
    form: Form
    text: str
    is_patch: bool

    def envelope(self, body: dict[str, Any], shape: Shape) -> None:
        """What lies beside the properties is read by Resource Manager, the rest by the provider."""
        refuse = self._by_gateway if self.form.has_envelope else self._by_provider
        self._object(body, shape, "", refuse)

    def _object(
        self, body: dict[str, Any], shape: Shape, path: str, refuse: Callable[[str, str], ArmError]
    ) -> None:
        for name, value in body.items():
            inner = f"{path}.{name}" if path else name
            member = shape.members.get(name)
            if member is None:
                if shape.is_complete and not (not path and self._is_enveloped(name)):
                    raise self._unknown(name, inner, shape, refuse)
                continue
            if member.read_only:
                continue  # the service takes no notice of it
            outer = path == "" and name == "properties"
            self._value(value, member.kind, inner, self._by_provider if outer else refuse)
        self._check_required(body, shape, path)

    def _is_enveloped(self, name: str) -> bool:
        return self.form.has_envelope and name in _ENVELOPE

    def _check_required(self, body: dict[str, Any], shape: Shape, path: str) -> None:
        if self.is_patch and "[" not in path:
            return  # what a PATCH leaves out stays
        for name, member in shape.members.items():
            inner = f"{path}.{name}" if path else name
            if not member.required or member.read_only or inner in _REQUIRED_ELSEWHERE:
                continue
            if body.get(name) is None and self.form.provider == "network":
                raise self._unreadable(*_missing_in_network(name, path))
            if body.get(name) is None:
                raise missing_parameter(self._parameter(inner))

    def _parameter(self, path: str) -> str:
        """What the provider calls a member: ``dataDisk.lun`` is one of ``dataDisks[0].lun``."""
        *outer, name = path.split(".")
        if not outer or outer == ["properties"]:
            return f"{self.form.target}.{name}"
        owner, index, _rest = outer[-1].partition("[")
        return f"{owner.removesuffix('s') if index else owner}.{name}"

    def _value(
        self, value: Any, kind: Kind, path: str, refuse: Callable[[str, str], ArmError]
    ) -> None:
        if value is None:
            return
        if kind.is_list:
            self._list(value, kind, path, refuse)
        elif kind.is_map:
            self._need(dict, value, "System.Collections.Generic.IDictionary`2", path, refuse)
            for name, item in value.items():
                self._value(item, kind.items or Kind(), f"{path}.{name}", refuse)
        elif kind.model is not None:
            inner = shape_of(kind)
            self._need(dict, value, f"{_API}.{kind.model.split('/')[0]}", path, refuse)
            if path == "sku":
                self._check_sku(value, inner)
            if inner is not None:
                self._object(value, inner, path, refuse)
        elif kind.plain is not None:
            self._plain(value, kind, path, refuse)

    def _list(
        self, value: Any, kind: Kind, path: str, refuse: Callable[[str, str], ArmError]
    ) -> None:
        self._need(list, value, "System.Collections.Generic.List`1", path, refuse)
        for number, item in enumerate(value):
            if item is None:
                raise missing_parameter(self._parameter(f"{path}[{number}]"))
            self._value(item, kind.items or Kind(), f"{path}[{number}]", refuse)

    def _need(
        self, wanted: type, value: Any, name: str, path: str, refuse: Callable[[str, str], ArmError]
    ) -> None:
        """Refuse what is no object, or no list."""
        if isinstance(value, wanted):
            return
        if not isinstance(value, dict | list):
            raise refuse(f"Error converting value {json.dumps(value)} to type '{name}'.", path)
        kinds = {list: ("array", "[1,2,3]"), dict: ("object", '{"name":"value"}')}
        (has, example), (needs, other) = kinds[type(value)], kinds[wanted]
        raise refuse(
            f"Cannot deserialize the current JSON {has} (e.g. {example}) into type '{name}' because"
            f" the type requires a JSON {needs} (e.g. {other}) to deserialize correctly.",
            path,
        )

    def _plain(
        self, value: Any, kind: Kind, path: str, refuse: Callable[[str, str], ArmError]
    ) -> None:
        """Assumed: a number in place of a text, or the reverse. The service converts some of them."""
        if isinstance(value, dict | list):
            opened = "[" if isinstance(value, list) else "{"
            raise refuse(f"Unexpected character encountered while parsing value: {opened}.", path)
        assert kind.plain is not None
        right = isinstance(value, kind.plain) or (kind.plain is float and isinstance(value, int))
        if isinstance(value, bool) and kind.plain is not bool:
            right = False
        if not right:
            name = _NET_TYPES[kind.plain]
            raise refuse(
                f"Error converting value {json.dumps(value)} to type '{name}': it is"
                f" {_WORDS[kind.plain]}.",
                path,
            )
        if kind.choices and kind.enumeration not in _OPEN and not _is_choice(value, kind.choices):
            raise refuse(
                f'Error converting value "{value}" to type'
                f" 'System.Nullable`1[{_API}.{kind.enumeration}]'.",
                path,
            )

    def _check_sku(self, sku: dict[str, Any], shape: Shape | None) -> None:
        name = sku.get("name")
        if name is None and not self.is_patch:
            raise _gateway("Required property 'name' not found in 'sku'.")
        choices = shape.members["name"].kind.choices if shape and "name" in shape.members else ()
        if isinstance(name, str) and choices and not _is_choice(name, choices):
            if self.form.title == "Disk":
                raise invalid_parameter(f"SKU {name} is not available.", "sku")
            raise invalid_parameter(
                f"SKU {name} is not supported for resource type {self.form.title} in this region."
                f" Supported SKUs for this region are {','.join(choices)}",
                "sku",
            )

    def _unknown(
        self, name: str, path: str, shape: Shape, refuse: Callable[[str, str], ArmError]
    ) -> ArmError:
        owner = "ResourceDefinition" if path == name and self.form.has_envelope else shape.name
        return refuse(f"Could not find member '{name}' on object of type '{owner}'.", path)

    def _by_provider(self, message: str, path: str) -> ArmError:
        text = f"{message} Path '{path}', {self._place(path)}."
        if self.form.provider == "network":
            return self._unreadable("InvalidJson", text)
        return ArmError(400, "BadRequest", text, target=f"{self.form.target}.{path}")

    @staticmethod
    def _unreadable(code: str, message: str) -> ArmError:
        """The network provider's form of it."""
        details = [{"code": code, "message": message}]
        return ArmError(400, "InvalidRequestFormat", "Cannot parse the request.", details=details)

    def _by_gateway(self, message: str, path: str) -> ArmError:
        return _gateway(f"'{message} Path '{path}', {self._place(path)}.'.")

    def _place(self, path: str) -> str:
        """Line and position of a member in the text of the request, near enough to find it."""
        end = 0
        for name in path.split("."):
            found = self.text.find(f'"{name.partition("[")[0]}"', end)
            end = end if found < 0 else found + len(name.partition("[")[0]) + 2
        line = self.text.count("\n", 0, end)
        return f"line {line + 1}, position {end - self.text.rfind(chr(10), 0, end) - 1}"


def _missing_in_network(name: str, path: str) -> tuple[str, str]:
    if name == "id":
        return "MissingJsonReferenceId", f"Value for reference id is missing. Path {path}."
    return "InvalidJson", f"Required property '{name}' not found in JSON. Path '{path}'."


def _is_choice(value: str, choices: tuple[str, ...]) -> bool:
    """Whether an enumeration has a value: in any casing, and with any spaces between two of them."""
    return value.replace(" ", "").lower() in {item.replace(" ", "").lower() for item in choices}


def _gateway(message: str) -> ArmError:
    return ArmError(
        400, "InvalidRequestContent",
        f"The request content was invalid and could not be deserialized: {message}", gateway=True,
    )  # fmt: skip
