"""Runs playbooks end to end on several ansible-core, as far as this machine has the Pythons.

``python tests/tools/cores.py [2.17 2.18 ...]``; each has a virtual environment in ``build/cores``, with the
collection's own requirements and nothing else. Local Azure runs in the environment of the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools import tree

PLACE = tree.ROOT / "build" / "cores"
# The Pythons of a control node, the one that is tried first in front: from the oldest that this collection
# takes to the newest. https://docs.ansible.com/ansible/latest/reference_appendices/release_and_maintenance.html
CORES = {
    "2.17": ("3.10", "3.11", "3.12"),
    "2.18": ("3.12", "3.11", "3.13"),
    "2.19": ("3.11", "3.12", "3.13"),
    "newest": ("3.14", "3.13", "3.12"),
}
# Protect, restore to each target, back up to an image: foretold, done, and nothing left to do.
TEST = (
    "tests/playbooks/test_shipped.py::test_check_mode_foretells_and_the_second_run_changes_nothing"
)
TESTS = tuple(f"{TEST}[{case}]" for case in ("restore-points", "image-backups"))


@dataclass(frozen=True)
class Ran:
    """What came of one ansible-core."""

    core: str
    told: str
    passed: bool | None


def find_python(version: str) -> Path | None:
    """A Python of this version that can make environments: on the PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    known = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for path in known:
        check = "import ensurepip, ssl, sys; print('%d.%d' % sys.version_info[:2])"
        if path is None:
            continue
        ended = subprocess.run(
            [path, "-c", check], capture_output=True, text=True, check=False, cwd="/"
        )
        if ended.stdout.strip() == version:
            return Path(path)
    return None


def set_up(core: str, python: Path) -> Path:
    """The environment of one ansible-core, made anew when what it is made of is another."""
    place = PLACE / core
    requirements = tree.ROOT / "requirements.txt"
    wanted = f"{python}\n{requirements.read_text()}"
    stamp = place / ".stamp"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([python, "-m", "venv", place], check=True)
        package = "ansible-core" if core == "newest" else f"ansible-core=={core}.*"
        pip = [
            place / "bin" / "python",
            "-m",
            "pip",
            "install",
            "-qq",
            "--disable-pip-version-check",
        ]
        subprocess.run([*pip, package, "-r", requirements], check=True)
        stamp.write_text(wanted)
    return place / "bin"


def describe(programs: Path) -> str:
    """Its versions of ansible-core and Python."""
    code = (
        "import platform; from ansible.release import __version__ as core;"
        " print(f'ansible-core {core} on Python {platform.python_version()}')"
    )
    command = [programs / "python", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def run(core: str, more: list[str]) -> Ran:
    """Set one up, if there is a Python for it, and run the playbooks with it."""
    python = next(filter(None, map(find_python, CORES[core])), None)
    if python is None:
        wanted = ", ".join(CORES[core][:-1]) + f" or {CORES[core][-1]}"
        return Ran(core, f"ansible-core {core} SKIPPED: this machine has no Python {wanted}.", None)
    programs = set_up(core, python)
    told = describe(programs)
    sys.stdout.write(f"== {told}\n")
    sys.stdout.flush()
    environment = {**os.environ, "VMGUARD_ANSIBLE": str(programs)}
    pytest = [sys.executable, "-m", "pytest", "--quiet", "-n", "2", *TESTS, *more]
    passed = subprocess.run(pytest, cwd=tree.ROOT, env=environment, check=False).returncode == 0
    return Ran(core, f"{told}: {'passed' if passed else 'FAILED'}", passed)


def main(arguments: list[str]) -> int:
    """Run those that are named, or all; what does not name one is for pytest."""
    chosen = [one for one in arguments if one in CORES] or list(CORES)
    more = [one for one in arguments if one not in CORES]
    ran = [run(core, more) for core in chosen]
    sys.stdout.write("\n" + "".join(f"{one.told}\n" for one in ran))
    # To have run nothing proves nothing.
    failed = any(one.passed is False for one in ran) or all(one.passed is None for one in ran)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
