#!/usr/bin/env bash
# qemu-img is the foreign reader that checks our VHD and qcow2 files. Where it is missing and we are root
# (CI, a container) it is installed; where that does not work, the tests that need it say that they are
# skipped. No failure here fails the set-up.
set -uo pipefail

if command -v qemu-img > /dev/null; then
    exit 0
fi
missing="qemu-img is missing: no foreign reader will check VHD and qcow2 files. Install qemu-utils."
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
    echo "$missing" >&2
    exit 0
fi
echo "Installing qemu-img"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    DEBIAN_FRONTEND=noninteractive timeout 240 \
        apt-get -o DPkg::Lock::Timeout=120 install -qq --yes --no-install-recommends qemu-utils
}
if ! { install || { timeout 120 apt-get -qq update && install; }; } > "$log" 2>&1 < /dev/null; then
    tail -n 5 "$log" >&2
    echo "$missing" >&2
fi
