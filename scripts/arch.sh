#!/usr/bin/env bash
# Checks the architecture of the workspace: dependencies between crates and sizes of files. See scripts/arch.py.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

command -v python3 >/dev/null 2>&1 || {
    echo "arch: python3 is needed to check the crates' dependencies, and is not installed." >&2
    exit 1
}

metadata=$(mktemp)
trap 'rm -f "$metadata"' EXIT
# For this platform only, so that crates for other platforms need not be downloaded.
cargo metadata --format-version 1 --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" >"$metadata"
python3 scripts/arch.py "$metadata"
