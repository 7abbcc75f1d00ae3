"""Made-up logins, in each of the places where one may stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.vmguard.azure.plugins.module_utils._login import login as auth
from ansible_collections.vmguard.azure.plugins.module_utils._login.layers import VARIABLES

SUBSCRIPTION = "00000000-0000-4000-8000-00000000000{}"
CLIENT = "11111111-0000-4000-8000-00000000000{}"
SECRET = "made-up~secret.of-the-{}"


def values(mark: Any) -> dict[str, str]:
    """A whole login, each value marked with where it stands."""
    return {
        "subscription_id": SUBSCRIPTION.format(mark),
        "tenant": f"tenant-{mark}",
        "client_id": CLIENT.format(mark),
        "secret": SECRET.format(mark),
    }


def env(mark: Any, *without: str) -> dict[str, str]:
    return {VARIABLES[key]: value for key, value in values(mark).items() if key not in without}


def write_profiles(
    home: Path, name: str = ".azure/credentials", **sections: dict[str, str]
) -> Path:
    lines: list[str] = []
    for section, keys in sections.items():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in keys.items()), ""]
    path = home / name
    path.write_text("\n".join(lines))
    return path


def log_in_cli(home: Path, *accounts: dict[str, Any]) -> None:
    # The CLI writes this file with a byte order mark.
    text = json.dumps({"subscriptions": list(accounts)})
    (home / ".azure" / "azureProfile.json").write_text(text, encoding="utf-8-sig")


def account(mark: Any, *, default: bool = True, cloud: str = "AzureCloud") -> dict[str, Any]:
    return {
        "id": SUBSCRIPTION.format(mark), "name": f"Name {mark}", "tenantId": f"tenant-{mark}",
        "isDefault": default, "environmentName": cloud, "user": {"name": "me", "type": "user"},
    }  # fmt: skip


def resolve(home: Path, options: Any = None, environ: Any = None, **more: Any) -> auth.Login:
    return auth.resolve_login(options or {}, environ or {}, home=home, **more)
