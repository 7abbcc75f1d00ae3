# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the values of a login are looked for, in which order.

Values are looked for in layers, and the first layer that has one gives it: the task's options, a
profile that is named, the environment, the default profile.

Principals are not mixed. A secret is only used for the ``client_id`` beside which it stands, and a
profile is a whole: it gives nothing to another principal than its own, and takes nothing from the
environment where that belongs to another. So no task acts with one principal in the subscription
of another by accident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import InputError
from .profiles import DEFAULT_PROFILE, credential_file, credential_profiles, read_profile

# Option and environment variable: those of azure.azcollection, whose users we share. Its
# documentation has no variable for the credential file; this one is in the same style.
VARIABLES = {
    "subscription_id": "AZURE_SUBSCRIPTION_ID",
    "tenant": "AZURE_TENANT",
    "client_id": "AZURE_CLIENT_ID",
    "secret": "AZURE_SECRET",
    "x509_certificate_path": "AZURE_X509_CERTIFICATE_PATH",
    "thumbprint": "AZURE_THUMBPRINT",
    "federated_token_file": "AZURE_FEDERATED_TOKEN_FILE",
    "cloud_environment": "AZURE_CLOUD_ENVIRONMENT",
}
# The names of the Azure SDKs, which workload identity sets as well; ours go first.
SDK_VARIABLES = {"tenant": "AZURE_TENANT_ID", "secret": "AZURE_CLIENT_SECRET"}
# How an application proves that it is who it says. A token of workload identity has no option: the
# platform names its file in the environment.
TOKEN_FILE = "federated_token_file"  # noqa: S105 - an option's name
PROOFS = frozenset(("secret", "x509_certificate_path", TOKEN_FILE))
PROFILE_VARIABLE = "AZURE_PROFILE"
FILE_VARIABLE = "AZURE_CREDENTIAL_FILE"
SOURCE_VARIABLE = "ANSIBLE_AZURE_AUTH_SOURCE"


@dataclass(frozen=True)
class Layer:
    """Values of one place, and how to call the place in a sentence."""

    source: str
    place: str
    values: Mapping[str, str]
    profile: str | None = None


def options_layer(given: Mapping[str, Any]) -> Layer:
    """The options of the task that are set."""
    values = {key: str(given[key]) for key in VARIABLES if key in given}
    return Layer("options", "the task's options", values)


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """The environment variables that are set and not empty."""
    names = [*SDK_VARIABLES.items(), *VARIABLES.items()]
    values = {key: environ[name] for key, name in names if environ.get(name)}
    return Layer("env", "the environment", values)


def _profile(path: Path, name: str) -> Layer:
    found = read_profile(path, name)
    values = {key: found[key] for key in VARIABLES if key in found}
    return Layer("credential_file", f"the profile {name!r} of {path}", values, profile=name)


def _file(given: Mapping[str, Any], environ: Mapping[str, str], home: Path) -> Path:
    return credential_file(given.get("credential_file") or environ.get(FILE_VARIABLE), home)


def home_folder(home: str | Path | None, environ: Mapping[str, str]) -> Path:
    """The user's home folder."""
    return Path(home or environ.get("HOME") or Path.home())


def profile_names(
    options: Mapping[str, Any], environ: Mapping[str, str], *, home: str | Path | None = None
) -> list[str]:
    """The profiles of the credential file that these options and variables mean.

    Raises:
        InputError: the file cannot be read, or is no ini file.
    """
    return credential_profiles(_file(options, environ, home_folder(home, environ)))


def login_layers(
    auth_source: str, given: Mapping[str, Any], environ: Mapping[str, str], home: Path
) -> list[Layer]:
    """Where to look, the strongest first.

    A profile that is named, in the task or in AZURE_PROFILE, goes before the single variables, as
    azure.azcollection does it; the environment then only fills its gaps.
    """
    path = _file(given, environ, home)
    layers = [options_layer(given)]
    name = given.get("profile") or environ.get(PROFILE_VARIABLE)
    if auth_source == "env":
        name = environ.get(PROFILE_VARIABLE)
        if "profile" in given:
            raise InputError(
                "The option profile has no place in a login with auth_source env.",
                hint=f"Leave one of the two out, or name the profile in {PROFILE_VARIABLE}.",
            )
    if name or auth_source == "credential_file":
        named = _profile(path, name or DEFAULT_PROFILE)
        _refuse_two_principals(layers[0], named, "profile" in given)
        return [*layers, named, environment_layer(environ)]
    layers.append(environment_layer(environ))
    if (
        auth_source == "auto"
        and not _complete(layers)
        and DEFAULT_PROFILE in credential_profiles(path)
    ):
        layers.append(_profile(path, DEFAULT_PROFILE))
    return layers


def _complete(layers: list[Layer]) -> bool:
    """Whether a login needs nothing more, so that a broken file nobody needs breaks nothing."""
    values, _principal = merge(layers)
    known = {"client_id", "tenant", "subscription_id"} <= values.keys()
    return known and not PROOFS.isdisjoint(values)


def _refuse_two_principals(options: Layer, named: Layer, in_task: bool) -> None:
    one, other = options.values.get("client_id"), named.values.get("client_id")
    if in_task and one and other and one.lower() != other.lower():
        raise InputError(
            f"The task names two logins: client_id {one}, and {named.place}, which is for {other}.",
            hint="Leave one of the two out.",
        )


def merge(layers: list[Layer]) -> tuple[dict[str, str], Layer | None]:
    """All values, and the layer that the principal comes from (None: no principal anywhere)."""
    values: dict[str, str] = {}
    principal: Layer | None = None
    for layer in layers:
        new = {key: value for key, value in layer.values.items() if key not in values}
        if principal is not None and other_client(values, layer):
            if layer.profile is not None or principal.profile is not None:
                continue
            new = {key: value for key, value in new.items() if key not in PROOFS}
        if PROOFS & values.keys():
            # One way to prove who it is: the strongest layer's.
            new = {key: value for key, value in new.items() if key not in PROOFS}
        values.update(new)
        if principal is None and new.keys() & {"client_id", *PROOFS}:
            principal = layer
    return values, principal


def other_client(values: Mapping[str, str], layer: Layer) -> bool:
    """Whether the layer belongs to another principal than the one already found."""
    ours, theirs = values.get("client_id"), layer.values.get("client_id")
    return bool(ours and theirs and ours.lower() != theirs.lower())
