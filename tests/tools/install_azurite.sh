#!/usr/bin/env bash
# Installs Azurite from its lock file: install_azurite.sh DIRECTORY NODE_REQUIREMENTS
# Node is the system's where it is 18 or newer and npm is there, else a wheel's.
set -euo pipefail

directory=$1
node_requirements=$2
new_enough='process.exit(parseInt(process.versions.node, 10) >= 18 ? 0 : 1)'

if ! { command -v npm && command -v node && node -e "$new_enough"; } > /dev/null 2>&1; then
    python -m pip install -qq --disable-pip-version-check --requirement "$node_requirements"
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Its packages' install scripts only print; none is needed to run it.
if ! npm ci --prefix "$directory" --ignore-scripts --no-audit --no-fund > "$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
