#!/usr/bin/env bash
# Builds and tests the TypeScript package in sdks/typescript. Everything is installed below its node_modules.
#
#   typescript.sh find         say whether this machine has the Node.js and npm that are needed
#   typescript.sh build        build it into sdks/typescript/dist
#   typescript.sh lint         formatting, lint and checks
#   typescript.sh test         build it, then lint, checks of the package and all tests; what they need of Rust must be built (`make typescript-test`)
#   typescript.sh docs         the reference of what it exports, into target/typescript-docs
#   typescript.sh bench        build it and measure it beside nats.js (`make typescript-bench`)
#   typescript.sh test WORD…   only the tests whose path below test/ begins with one of the words
#   typescript.sh runtimes     build it, and run the tests of nodes on other runtimes: Node.js 22 and 26, Deno, Bun
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../sdks/typescript"

OLDEST=20

fail() {
    printf 'typescript: %s\n' "$@" >&2
    exit 1
}

hint="Install Node.js $OLDEST or newer, which brings npm: https://nodejs.org, or a version manager such as nvm or fnm."
command -v node >/dev/null 2>&1 || fail "node is not installed." "$hint"
found=$(node --version 2>/dev/null) || fail "$(command -v node) does not run." "$hint"
major=${found#v}
major=${major%%.*}
case $major in
    '' | *[!0-9]*) fail "$(command -v node) is not Node.js: its version is '$found'." "$hint" ;;
esac
[ "$major" -ge "$OLDEST" ] || fail "$(command -v node) is Node.js $found; $OLDEST or newer is needed." "$hint"
command -v npm >/dev/null 2>&1 || fail "npm is not installed, though node is (Debian has it in a package of its own: npm)." "$hint"

# install: exactly what package-lock.json names; nothing to do when it is there for this version of Node.js.
install() {
    local stamp=node_modules/.installed wanted
    wanted=$(cat package-lock.json <(echo "$found") | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        npm ci --no-audit --no-fund --loglevel=error
        printf '%s\n' "$wanted" >"$stamp"
    fi
}

case ${1:-} in
    find) ;;
    build)
        install
        npm run --silent build
        ;;
    lint)
        install
        npm run --silent lint
        ;;
    test)
        install
        echo "typescript: Node.js $found"
        npm run --silent build
        if [ $# -eq 1 ]; then
            npm run --silent lint
            npm run --silent check-package
            npm run --silent check-docs
        fi
        npm run --silent test -- "${@:2}"
        ;;
    runtimes)
        install
        npm run --silent build
        node scripts/runtimes.mjs "${@:2}"
        ;;
    docs)
        install
        npm run --silent docs
        ;;
    bench)
        install
        npm run --silent build
        node bench/bench.mjs "${@:2}"
        ;;
    *) fail "say find, build, lint, test, runtimes, docs or bench" ;;
esac
