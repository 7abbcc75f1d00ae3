"""Puts pip into an empty virtual environment from the package index alone.

``ansible-test --venv`` fetches a bootstrap script from a host of its own. ``sanity.py`` lays this
one where the fetched script would be cached, so that a package index is all that is needed.
"""

from __future__ import annotations

import subprocess
import sys

# Options of the script this stands in for; pip itself does not know them.
FOREIGN_OPTIONS = ("--no-setuptools", "--no-wheel")


def main() -> None:
    """Unpack the pip that Python carries, then let it install the wanted version."""
    wanted = [argument for argument in sys.argv[1:] if argument not in FOREIGN_OPTIONS]
    quiet = {"stdout": subprocess.DEVNULL}
    subprocess.run([sys.executable, "-m", "ensurepip"], check=True, **quiet)
    subprocess.run([sys.executable, "-m", "pip", "install", *wanted], check=True, **quiet)


if __name__ == "__main__":
    main()
