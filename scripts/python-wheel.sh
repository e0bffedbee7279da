#!/usr/bin/env bash
# Builds the Python wheel (bindings/python) with the agentnet command in it. Says where it is on its last line.
#
#   PROFILE=release|dev   how to build (default release)
#   LOCKED=--locked       as in the Makefile
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${PROFILE:-release}
requirements=bindings/python/requirements-dev.txt
venv=.tools/python-build
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_INCREMENTAL=0

# The tools of building and testing, pinned; made anew when the list changes.
if ! cmp -s "$requirements" "$venv/requirements-dev.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$venv/requirements-dev.txt"
fi

# shellcheck disable=SC2086 # LOCKED may be empty
cargo build ${LOCKED:-} --profile "$profile" -p agentnet-cli
built=$profile
[ "$profile" = dev ] && built=debug
scripts=bindings/python/wheel-data/scripts
mkdir -p "$scripts"
cp "$CARGO_TARGET_DIR/$built/agentnet" "$scripts/agentnet"
# Symbols are for debuggers; the wheel goes without.
strip "$scripts/agentnet" 2>/dev/null || true

dist=bindings/python/dist
rm -rf "$dist"
# shellcheck disable=SC2086
"$venv/bin/maturin" build ${LOCKED:-} --profile "$profile" --strip --manifest-path bindings/python/Cargo.toml --out "$dist" --quiet
echo "$dist"/*.whl
