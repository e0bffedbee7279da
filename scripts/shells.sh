#!/usr/bin/env bash
# Ensures that the tests of the completions find their shells: reports that they exist, installs them on Debian when run as
# root, or prints instructions.
set -euo pipefail

missing=()
for shell in bash zsh fish; do
    command -v "$shell" >/dev/null 2>&1 || missing+=("$shell")
done
if [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "shells: installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "shells: apt-get could not install ${missing[*]} (its own words are above)" >&2
        exit 1
    fi
    missing=()
fi
if [ "${#missing[@]}" -gt 0 ]; then
    echo "shells: the tests of the completions need ${missing[*]}; install the packages of these names" >&2
    exit 1
fi
echo "shells: bash, zsh and fish are there"
