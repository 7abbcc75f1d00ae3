"""Where the clients' programs are."""

from __future__ import annotations

from pathlib import Path

ENVIRONMENTS = Path(__file__).resolve().parents[2] / ".venv-clients"


def program(client: str, name: str) -> Path:
    """A program of a client's environment.

    Raises:
        FileNotFoundError: when the environment has not been set up.
    """
    path = ENVIRONMENTS / client / "bin" / name
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}: run 'python tests/clients/setup.py {client}'."
        )
    return path
