#!/usr/bin/env bash
# Installs in .tools/aimock what the tests of `agentnet mesh` talk with: aimock, a server with the APIs of OpenAI and Anthropic
# whose answers a test writes down, and a foreign MCP server. Versions and hashes are in scripts/aimock/package-lock.json.
# Does nothing if these versions are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

home=.tools/aimock
scripts/typescript.sh find

wanted=$(cat scripts/aimock/package.json scripts/aimock/package-lock.json | cksum)
if [ "$(cat "$home/.installed" 2>/dev/null)" = "$wanted" ]; then
    echo "aimock: it is in place"
    exit 0
fi
rm -rf "$home"
mkdir -p "$home"
cp scripts/aimock/package.json scripts/aimock/package-lock.json "$home"
npm ci --prefix "$home" --ignore-scripts --no-audit --no-fund --loglevel=error
printf '%s\n' "$wanted" >"$home/.installed"
echo "aimock: $(node -p "require('./$home/node_modules/@copilotkit/aimock/package.json').version") in $home"
