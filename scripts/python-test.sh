#!/usr/bin/env bash
# Builds the Python wheels, installs them in a fresh environment, and runs its tests there: types, then pytest.
#
#   python-test.sh             on python3
#   python-test.sh versions    pytest on every other installed CPython from 3.10 on (PATH, pyenv)
#   python-test.sh bench       the benchmark instead
#   python-test.sh env         only the environment: agents of the package for the tests of other SDKs
#   PROFILE, LOCKED            as for python-wheel.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

read -ra wheels < <(scripts/python-wheel.sh | tail -1)
tools=.tools/python-build/bin
home=.tools/python-wheel

# fresh PYTHON HOME: creates an environment with the wheels and the test dependencies, in the versions of the tools' environment.
fresh() {
    rm -rf "$2"
    "$1" -m venv "$2"
    "$2/bin/python" -m pip install --quiet --disable-pip-version-check "${wheels[@]}"
    grep -E '^(pytest|pytest-xdist|uvloop|nats-py|nest-asyncio|gevent)==' bindings/python/requirements-dev.txt |
        xargs "$2/bin/python" -m pip install --quiet --disable-pip-version-check
}

# Prints the version of an interpreter as 3.N, if it is a CPython that the package supports.
version() {
    "$1" -c 'import sys
if sys.implementation.name == "cpython" and sys.version_info >= (3, 10):
    print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

root=$PWD
if [ "${1:-test}" = versions ]; then
    tested=" $(version python3) "
    for python in $(compgen -c python3. | sort -u) "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python; do
        found=$(version "$python") || continue
        case "$tested" in *" $found "*) continue ;; esac
        [ -n "$found" ] || continue
        tested+="$found "
        echo "python: tests on CPython $found"
        fresh "$python" "$home-$found"
        (cd bindings/python && "$root/$home-$found/bin/python" -m pytest)
    done
    echo "python: tested on all of these but python3 itself:$tested"
    exit 0
fi

fresh python3 "$home"
[ "${1:-test}" != env ] || exit 0
cd bindings/python
if [ "${1:-test}" = bench ]; then
    exec "$root/$home/bin/python" benches/round_trip.py
fi
echo "python: mypy and pyright"
"$root/$tools/mypy" -p agentnet
"$root/$tools/mypy" tests/static/calls.py
"$root/$tools/mypy" ../../examples
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
"$root/$tools/python" "$root/scripts/python-programs.py" "$root/docs/PYTHON.md" README.md "$programs"
for program in "$programs"/*.py; do "$root/$tools/mypy" "$program"; done
"$root/$tools/pyright"
# One process per processor, each with its own network.
echo "python: tests"
"$root/$home/bin/python" -m pytest --numprocesses auto --dist worksteal
