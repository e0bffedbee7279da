#!/usr/bin/env bash
# Builds the wheels of the Python package (bindings/python) and of the command agentnet (bindings/python/cli), and prints
# their paths on its last line.
#
#   PROFILE=release|dev   how to build (default release); on Linux, wheels of the release run on glibc 2.17 and newer, with
#                         the source distribution beside them, and those of dev on this machine
#   LOCKED=--locked       as in the Makefile
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=${PROFILE:-release}
requirements=bindings/python/requirements-dev.txt
venv=.tools/python-build
zig=ziglang==0.15.1
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_INCREMENTAL=0

# The pinned tools for building and testing; reinstalled when the list changes.
if ! cmp -s "$requirements" "$venv/requirements-dev.txt"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$venv/requirements-dev.txt"
fi

dist=bindings/python/dist
rm -rf "$dist"
options=(--profile "$profile" --strip --out "$PWD/$dist" --quiet)
[ -z "${LOCKED:-}" ] || options+=("$LOCKED")
# Zig links against the given glibc version; the system's compiler would require the glibc of this machine.
if [ "$profile" = release ] && [ "$(uname -s)" = Linux ]; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$zig"
    PATH="$PWD/$venv/bin:$PATH"
    options+=(--zig --target "$(uname -m)-unknown-linux-gnu" --compatibility manylinux_2_17)
fi
maturin="$PWD/$venv/bin/maturin"
(cd bindings/python/cli && "$maturin" build "${options[@]}")
(cd bindings/python && "$maturin" build "${options[@]}")
if [ "$profile" = release ]; then
    (cd bindings/python && "$maturin" sdist --out dist)
fi
echo "$dist"/*.whl
