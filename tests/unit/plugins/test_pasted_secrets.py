"""A secret in the wrong option appears nowhere: modules as processes, as Ansible runs them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._secrets import pasted
from ansible_collections.vmguard.azure.plugins.module_utils._spec import REPOSITORY_SPEC

from tools import tree

KEY = base64.b64encode(bytes(range(64))).decode()
SIGNATURE = "c2lnbmF0dXJlLW9mLWEtc2lnbmF0dXJl%3D"
SAS = f"sv=2024-11-04&ss=b&sp=racwdl&se=2026-12-01T00:00:00Z&sig={SIGNATURE}"
ACCOUNT = "https://contoso.blob.core.windows.net"
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=contoso;AccountKey={KEY}"
APPLICATION = "aB38Q~" + "abcdefghijklmnopqrstuvwxyz.-_0123"

# What is pasted where, and what must not be shown of it.
PASTED: dict[str, tuple[dict[str, Any], str]] = {
    "SAS in account_url": ({"account_url": f"{ACCOUNT}?{SAS}", "container": "c"}, SIGNATURE),
    "SAS in account_url beside a key": (
        {"account_url": f"{ACCOUNT}/?{SAS}", "container": "c", "account_key": KEY}, SIGNATURE,
    ),
    "SAS in account_url where Ansible refuses the options": (
        {"account_url": f"{ACCOUNT}?{SAS}", "connection_string": CONNECTION, "container": "c"},
        SIGNATURE,
    ),
    "SAS in container": ({"account_url": ACCOUNT, "container": f"c?{SAS}"}, SIGNATURE),
    "SAS in prefix": ({"account_url": ACCOUNT, "container": "c", "prefix": f"p?{SAS}"}, SIGNATURE),
    "SAS in path": ({"type": "folder", "path": f"/nowhere/that/is?{SAS}"}, SIGNATURE),
    "SAS in type": ({"type": f"https://c?{SAS}", "container": "c"}, SIGNATURE),
    "key in container": ({"account_url": ACCOUNT, "container": KEY}, KEY),
    "key in account_url": ({"account_url": KEY, "container": "c"}, KEY),
    "key in prefix": ({"account_url": ACCOUNT, "container": "c", "prefix": KEY}, KEY),
    "connection string in account_url": ({"account_url": CONNECTION, "container": "c"}, KEY),
    "key in connection_string": ({"connection_string": KEY, "container": "c"}, KEY),
    "half a connection string": (
        {"connection_string": CONNECTION[:-3], "container": "c"}, CONNECTION[60:-3],
    ),
    "URL with a SAS in sas": (
        {"account_url": ACCOUNT, "container": "c", "sas": f"{ACCOUNT}?{SAS}"}, SIGNATURE,
    ),
    "key in sas": ({"account_url": ACCOUNT, "container": "c", "sas": KEY}, KEY),
    "SAS in account_key": ({"account_url": ACCOUNT, "container": "c", "account_key": SAS}, SIGNATURE),
    "misspelt passphrase": ({"type": "folder", "path": "/srv/b", "passhprase": "hunter22"}, "hunter22"),
    "secret of the application in the container": (
        {"account_url": ACCOUNT, "container": APPLICATION}, APPLICATION,
    ),
}  # fmt: skip


def run(options: dict[str, Any], *, verbosity: int = 4) -> str:
    """All that a module says, and what it would write to the system's log."""
    arguments = {**options, "_ansible_verbosity": verbosity, "_ansible_debug": True}
    program = (
        "import sys\n"
        "from ansible.module_utils import basic\n"
        "basic.AnsibleModule.log = lambda _self, text, **_more: print(text, file=sys.stderr)\n"
        "import runpy\n"
        "runpy.run_module('ansible_collections.vmguard.azure.plugins.modules.backup_repository',"
        " run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env={**os.environ, "PYTHONPATH": str(tree.COLLECTIONS), "NO_PROXY": "*"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert '"failed": true' in done.stdout, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("what", PASTED)
def test_a_pasted_secret_is_shown_nowhere(what: str) -> None:
    repository, secret = PASTED[what]
    told = run({"repository": {"type": "azure_blob", **repository}, "state": "present"})
    assert secret not in told
    assert "Traceback" not in told
    assert '"invocation"' in told


def test_a_pasted_secret_in_an_option_of_the_login_is_shown_nowhere() -> None:
    folder = {"type": "folder", "path": "/nowhere/that/is"}
    for option in ("client_id", "tenant", "cloud_environment", "subscription_id", "profile"):
        for text, secret in ((f"{ACCOUNT}?{SAS}", SIGNATURE), (APPLICATION, APPLICATION)):
            assert secret in text
            assert pasted({option: text}, {option: {"type": "str"}}) >= {secret, text}
    told = run({"repository": folder, "client_id": APPLICATION, "sceret": "hunter22"})
    assert APPLICATION not in told and "hunter22" not in told


def test_what_is_no_secret_is_shown() -> None:
    plain = {
        "type": "azure_blob", "account_url": ACCOUNT, "container": "vm-backups", "prefix": "shop/a",
        "path": "/srv/backups", "pth": "/srv/other",
    }  # fmt: skip
    assert pasted({"repository": plain}, REPOSITORY_SPEC) == set()
    told = run({"repository": {"type": "folder", "path": "/nowhere/that/is", "pth": "/srv/other"}})
    assert "/nowhere/that/is" in told


def test_options_with_no_log_are_left_to_ansible(tmp_path: Path) -> None:
    secret = {"type": "folder", "path": str(tmp_path), "passphrase": f"AccountKey={KEY}"}
    assert pasted({"repository": secret}, REPOSITORY_SPEC) == set()
    assert KEY not in run({"repository": {**secret, "path": "/nowhere/that/is"}})
