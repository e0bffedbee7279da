#!/usr/bin/env bash
# Installs the pinned tools that `make lint` needs beside Rust's own below .tools/lint (nothing to do when they are there):
# typos as a wheel, cargo-machete and cargo-deny built from source. Prints the folder of the programs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

typos=1.52.0
machete=0.9.2
deny=0.20.2
home=$PWD/.tools/lint

has() { [ "$("$home/bin/$1" "${@:3}" --version 2>/dev/null)" = "$2" ]; }

# built NAME VERSION: without optimization, since each runs for a second and building takes minutes.
built() {
    CARGO_TARGET_DIR=target/lint-tools cargo install --quiet --locked --debug --root "$home" --version "$2" "$1"
}

{
    if ! has typos "typos-cli $typos"; then
        python3 -m venv "$home"
        "$home/bin/python" -m pip install --quiet --disable-pip-version-check "typos==$typos"
    fi
    has cargo-machete "$machete" || built cargo-machete "$machete"
    has cargo-deny "cargo-deny $deny" || built cargo-deny "$deny"
    rm -rf target/lint-tools
} >&2
echo "$home/bin"
