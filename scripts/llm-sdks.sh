#!/usr/bin/env bash
# Installs the Python SDKs of OpenAI, Anthropic and MCP in .tools/llm-sdks: the tests of crates/agentnet-mesh check requests with
# their types, and the MCP client with their server. Does nothing if these versions are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

home=.tools/llm-sdks
wanted=$(cksum <scripts/llm/sdks.txt)
[ "$(cat "$home/.installed" 2>/dev/null)" = "$wanted" ] && exit 0
command -v python3 >/dev/null 2>&1 || { echo "llm-sdks: python3 (3.10 or newer) is needed" >&2; exit 1; }
rm -rf "$home"
python3 -m venv "$home" || {
    echo "llm-sdks: python3 has no venv module; on Debian: apt-get install python3-venv" >&2
    exit 1
}
"$home/bin/python" -m pip install --quiet --disable-pip-version-check --requirement scripts/llm/sdks.txt
printf '%s\n' "$wanted" >"$home/.installed"
echo "llm-sdks: the SDKs of OpenAI, Anthropic and MCP are in $home"
