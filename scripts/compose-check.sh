#!/usr/bin/env bash
# Checks the compose files of docker/ against their schema, and docker/, .env.example and the binary against each other
# (scripts/compose_check.py). Needs neither docker nor, after its first run, the network.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.39.0
home=.tools/compose
agentnet=${1:-${CARGO_TARGET_DIR:-target}/debug/agentnet}

fail() {
    printf 'compose-check: %s\n' "$@" >&2
    exit 1
}

[ -x "$agentnet" ] || fail "$agentnet is not there: run \`make build\` first"
command -v python3 >/dev/null 2>&1 || fail "python3 is needed, and is not installed"
if ! "$home/bin/python" -c "from importlib.metadata import version; assert version('check-jsonschema') == '$version'" 2>/dev/null; then
    rm -rf "$home"
    python3 -m venv "$home" || fail "python3 has no venv module; on Debian: apt-get install python3-venv"
    # The package contains the schema of compose files.
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check "check-jsonschema==$version"
    echo "compose-check: check-jsonschema $version in $home"
fi

nats_server=${AGENTNET_NATS_SERVER:-}
[ -n "$nats_server" ] || nats_server=$(command -v nats-server || echo .tools/bin/nats-server)
[ -x "$nats_server" ] || fail "there is no nats-server: run \`make tools\` first"

for file in docker/docker-compose*.yml; do
    "$home/bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec "$file" ||
        "$home/bin/check-jsonschema" --builtin-schema vendor.compose-spec "$file"
done
"$home/bin/python" scripts/compose_check.py "$("$agentnet" registry --help)" "$nats_server"
