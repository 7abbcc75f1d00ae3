#!/usr/bin/env bash
# Makes a virtual environment, unless it is there: make_venv.sh PYTHON DIRECTORY
set -euo pipefail

python=$1
directory=$2
if [ -x "$directory/bin/python" ]; then
    exit 0
fi
echo "Setting up $directory (about a minute)"
"$python" -m venv "$directory" || {
    echo "'$python -m venv' failed: install its venv package." >&2
    exit 1
}
