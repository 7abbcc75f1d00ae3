"""Runs ``ansible-test sanity`` on a copy of the work tree, with its virtual environments kept.

ansible-test wants a git tree at ``ansible_collections/<namespace>/<name>``, and writes into the
home of whoever runs it: the copy and a home of its own lie under build/sanity.
"""

from __future__ import annotations

import ast
import configparser
import fcntl
import filecmp
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import ansible_test
from ansible_test._internal.python_requirements import get_venv_packages

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import tree

WORK = tree.ROOT / "build" / "sanity"
HOME = WORK / "home"
IGNORED = "/tests/output/\n__pycache__/\n"


def copy_tree(target: Path) -> None:
    """Bring the copy up to date; files that did not change keep their times."""
    wanted = tree.files()
    for old in set(tree.files(target)) - set(wanted):
        (target / old).unlink()
    for name in wanted:
        source, copy = tree.ROOT / name, target / name
        same = copy.is_file() and filecmp.cmp(source, copy)
        if same and source.stat().st_mode == copy.stat().st_mode:
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copy)


def git(target: Path, *arguments: str) -> None:
    """Run git on the copy alone, whatever git it was itself called from."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    subprocess.run(["git", *arguments], cwd=target, check=True, env=environment)


def bootstrap_cache(version: str) -> Path:
    """Where the installed ansible-test looks for its pip bootstrap script."""
    pip = get_venv_packages(SimpleNamespace(version=version))["pip"]
    script = Path(ansible_test.__file__).parent / "_util" / "target" / "setup" / "requirements.py"
    found = re.search(r"'~/(?P<path>[^']*get_pip_%s\.py)'", script.read_text())
    if found is None:
        raise RuntimeError(f"{script} no longer says where it caches the bootstrap script.")
    return HOME / (found["path"] % pip.replace(".", "_"))


def copy_pip_settings() -> None:
    """Keep the user's package index: ansible-test drops PIP_* and the home changes."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    settings = configparser.RawConfigParser()
    settings.add_section("global")
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _equals, value = line.partition("=")
        section, _dot, key = name.rpartition(".")
        section = "global" if section == ":env:" else section
        if not settings.has_section(section):
            settings.add_section(section)
        settings.set(section, key, str(ast.literal_eval(value)))
    settings.set("global", "quiet", "2")
    place = HOME / ".config" / "pip" / "pip.conf"
    place.parent.mkdir(parents=True, exist_ok=True)
    # An index URL may hold a password.
    with open(place, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        settings.write(file)


def main(arguments: list[str]) -> int:
    """Run the tests; further arguments go to ansible-test."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        # A second run in this clone waits: the copy and the virtual environments are kept.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return run(arguments)


def run(arguments: list[str]) -> int:
    """The same, where nobody else does it."""
    collection = tree.galaxy()
    target = WORK / "ansible_collections" / collection["namespace"] / collection["name"]
    target.mkdir(parents=True, exist_ok=True)
    git(target, "init", "--quiet")
    (target / ".git" / "info").mkdir(exist_ok=True)
    (target / ".git" / "info" / "exclude").write_text(IGNORED)
    copy_tree(target)
    git(target, "add", "--all")

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    script = bootstrap_cache(version)
    script.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("get_pip.py"), script)
    copy_pip_settings()

    ansible_test = Path(sys.executable).with_name("ansible-test")
    command = [str(ansible_test), "sanity", "--venv", "--python", version, *arguments]
    environment = {**os.environ, "HOME": str(HOME)}
    return subprocess.run(command, cwd=target, check=False, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
