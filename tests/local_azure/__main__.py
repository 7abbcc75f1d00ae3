"""``python -m local_azure``: local Azure in the foreground, until it is interrupted."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys

from .azurite import AzuriteError
from .config import profile
from .launcher import LocalAzure


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="local_azure", description="A small Azure on 127.0.0.1.")
    parser.add_argument(
        "--port", type=int, default=0, help="where to listen (default: a free port)"
    )
    parser.add_argument(
        "--profile",
        choices=("default", "azure"),
        default="default",
        help="durations and limits: fast and generous, or as documented (default: %(default)s)",
    )
    parser.add_argument("--no-storage", action="store_true", help="do not start Azurite")
    return parser.parse_args()


def main() -> int:
    """Run until SIGINT or SIGTERM; 1 when it could not start."""
    arguments = _arguments()
    local = LocalAzure(
        profile(arguments.profile), storage=not arguments.no_storage, port=arguments.port
    )
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    try:
        local.start()
    except (AzuriteError, OSError) as error:
        print(f"Local Azure cannot start: {error}", file=sys.stderr)
        return 1
    try:
        print(f"Local Azure listens at {local.url}. Paste this into another terminal:\n")
        for name, value in local.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        print("\nInterrupt to stop; everything in it goes with it.", flush=True)
        signal.sigwait(stop)
    finally:
        local.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
