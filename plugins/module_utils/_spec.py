# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that many modules share. Private to this collection.

None of the login options has an ``env_fallback`` or a default: the engine must be able to tell a
task's option from the environment, and both from the credential file (see ``_login.login.resolve_login``).
"""

from __future__ import annotations

from typing import Any

AUTH_SOURCES = ["auto", "cli", "credential_file", "env", "msi", "workload_identity"]

AUTH_SPEC: dict[str, dict[str, Any]] = {
    "auth_source": {"type": "str", "choices": AUTH_SOURCES},
    "profile": {"type": "str"},
    "credential_file": {"type": "path", "no_log": False},
    "subscription_id": {"type": "str"},
    "tenant": {"type": "str"},
    "client_id": {"type": "str"},
    "secret": {"type": "str", "no_log": True},
    "x509_certificate_path": {"type": "path"},
    "thumbprint": {"type": "str"},
    "cloud_environment": {"type": "str"},
}

WAIT_SPEC: dict[str, dict[str, Any]] = {
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 1800},
}

QUERY_SPEC: dict[str, dict[str, Any]] = {"query": {"type": "str"}}

_BLOB_LOGINS = ["account_key", "sas", "connection_string"]

REPOSITORY_SPEC: dict[str, dict[str, Any]] = {
    "repository": {
        "type": "dict",
        "required": True,
        "options": {
            "type": {"type": "str", "required": True, "choices": ["azure_blob", "folder"]},
            "path": {"type": "path"},
            "account_url": {"type": "str"},
            "container": {"type": "str"},
            "prefix": {"type": "str"},
            "connection_string": {"type": "str", "no_log": True},
            "account_key": {"type": "str", "no_log": True},
            "sas": {"type": "str", "no_log": True},
            "passphrase": {"type": "str", "no_log": True},
        },
        "required_if": [
            ("type", "folder", ["path"]),
            ("type", "azure_blob", ["container"]),
            ("type", "azure_blob", ["account_url", "connection_string"], True),
        ],
        "mutually_exclusive": [
            ["account_url", "connection_string"],
            _BLOB_LOGINS,
            *(["path", name] for name in ("account_url", "container", "prefix", *_BLOB_LOGINS)),
        ],
    },
}

OPTIONAL_REPOSITORY_SPEC: dict[str, dict[str, Any]] = {
    "repository": {**REPOSITORY_SPEC["repository"], "required": False}
}
