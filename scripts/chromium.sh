#!/usr/bin/env bash
# Ensures that the tests of the browser example find Chromium: prints its path, installs it on Debian when run as root, or
# prints instructions. AGENTNET_CHROMIUM names another one.
set -euo pipefail

# Prints the path of a Chromium that runs.
find_chromium() {
    local name path
    for name in "${AGENTNET_CHROMIUM:-}" chromium chromium-browser google-chrome; do
        [ -n "$name" ] && path=$(command -v "$name" 2>/dev/null) || continue
        "$path" --version >/dev/null 2>&1 && { echo "$path"; return; }
    done
    return 1
}

fail() {
    printf 'chromium: %s\n' "$@" >&2
    exit 1
}

if [ -n "${AGENTNET_CHROMIUM:-}" ] && ! command -v "$AGENTNET_CHROMIUM" >/dev/null 2>&1; then
    fail "AGENTNET_CHROMIUM names $AGENTNET_CHROMIUM, which is no program"
fi
if ! find_chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "chromium: installing Debian's chromium" >&2
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! { apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        fail "apt-get could not install chromium (its own words are above)"
    fi
fi
find_chromium || fail "the tests of the browser example need Chromium; install the package chromium, or name one in AGENTNET_CHROMIUM"
