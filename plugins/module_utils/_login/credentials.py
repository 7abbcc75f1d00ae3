# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credential objects of azure-identity. ``login`` chooses between them."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import InputError, missing_library
from .._requirements import require
from .clouds import PATIENCE, PUBLIC, Cloud

# The Azure CLI starts in one to ten seconds, on a busy controller with many forks in more.
CLI_SECONDS = 60


def _identity() -> Any:
    require("azure-identity")
    try:
        from azure import identity
    except ImportError as error:
        raise missing_library("azure-identity", "to log in to Azure") from error
    # It logs each refusal as a warning, which would end in the task's stderr; we raise it.
    logging.getLogger("azure.identity").addHandler(logging.NullHandler())
    return identity


def application_credential(values: Mapping[str, str], cloud: Cloud) -> Any:
    """A service principal with its proof; asks for no token yet.

    Args:
        values: ``tenant``, ``client_id``, and ``secret``, ``x509_certificate_path`` (with
            ``thumbprint`` if it is to be checked) or ``federated_token_file``.

    Raises:
        InputError: a value is malformed, or the certificate cannot be used.
        MissingLibrary: azure-identity is not installed.
    """
    identity = _identity()
    settings = {
        "authority": cloud.authority,
        # Discovery asks login.microsoftonline.com about a host: of use in the public cloud only.
        "disable_instance_discovery": cloud.authority != PUBLIC.authority,
        **PATIENCE,
    }
    if "x509_certificate_path" in values and "secret" not in values:
        return _certificate_credential(identity, values, settings)
    try:
        if "secret" not in values:
            return identity.WorkloadIdentityCredential(
                tenant_id=values["tenant"],
                client_id=values["client_id"],
                token_file_path=_readable(values["federated_token_file"]),
                **settings,
            )
        return identity.ClientSecretCredential(
            values["tenant"], values["client_id"], values["secret"], **settings
        )
    except ValueError as error:
        raise _malformed(error, values.get("secret", "")) from None


def _readable(path: str) -> str:
    """The file of a token, looked at: azure-identity raises a bare OSError for one that is not there."""
    try:
        told = "" if Path(path).read_text(encoding="utf-8").strip() else "it is empty"
    except OSError as error:
        told = str(error.strerror)
    except UnicodeDecodeError:
        told = "it is no text"
    if told:
        raise InputError(
            f"The token of the workload identity cannot be read from {path}: {told}.",
            hint="AZURE_FEDERATED_TOKEN_FILE names the file that the cluster writes the token to;"
            " check that the pod has the label and the service account for workload identity.",
        )
    return path


def machine_credential(client_id: str | None) -> Any:
    """The managed identity of this machine; ``client_id`` names one of several."""
    return _identity().ManagedIdentityCredential(client_id=client_id)


def cli_credential(*, subscription: str | None, tenant: str | None) -> Any:
    """The login of the Azure CLI, for a subscription that it knows, or else for a tenant."""
    identity = _identity()
    # az takes one of the two, never both.
    chosen = {"subscription": subscription} if subscription else {"tenant_id": tenant or ""}
    try:
        return identity.AzureCliCredential(process_timeout=CLI_SECONDS, **chosen)
    except ValueError as error:
        raise _malformed(error) from None


def _malformed(error: ValueError, *secrets: str) -> InputError:
    return InputError(f"The login is malformed: {error}", secrets=secrets)


def _certificate_credential(
    identity: Any, values: Mapping[str, str], settings: Mapping[str, Any]
) -> Any:
    path = values["x509_certificate_path"]
    try:
        credential = identity.CertificateCredential(
            values["tenant"], values["client_id"], path, **settings
        )
    except OSError as error:
        raise InputError(
            f"x509_certificate_path {path} cannot be read: {error.strerror}."
        ) from None
    except (ValueError, TypeError):
        raise InputError(
            f"x509_certificate_path {path} cannot be used.",
            hint="The file holds the certificate and its RSA private key, in PEM or PFX form,"
            " without a password.",
        ) from None
    _check_thumbprint(path, values.get("thumbprint"))
    return credential


def _check_thumbprint(path: str, wanted: str | None) -> None:
    """The login library takes it from the certificate; a given one must agree with that."""
    content = Path(path).read_bytes()
    if not wanted or b"-----BEGIN CERTIFICATE-----" not in content:
        return
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    certificate = x509.load_pem_x509_certificate(content)
    found = certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - SHA-1 is its definition
    if re.sub(r"[^0-9a-f]", "", wanted.lower()) != found:
        raise InputError(
            f"The thumbprint is not that of the certificate in {path}, which is {found.upper()}."
        )
