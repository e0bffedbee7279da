#!/usr/bin/env bash
# Builds the Python wheel, installs it in a fresh environment, and runs its tests there: types, then pytest.
#
#   python-test.sh [bench]   with `bench`, runs the benchmark instead
#   PROFILE, LOCKED          as for python-wheel.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wheel=$(scripts/python-wheel.sh | tail -1)
tools=.tools/python-build/bin
home=.tools/python-wheel

rm -rf "$home"
python3 -m venv "$home"
"$home/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel"
# What only tests need, at the versions of the tools' environment.
grep -E '^(pytest|uvloop|nats-py)==' bindings/python/requirements-dev.txt |
    xargs "$home/bin/python" -m pip install --quiet --disable-pip-version-check

cd bindings/python
root=$PWD/../..
if [ "${1:-test}" = bench ]; then
    exec "$root/$home/bin/python" benches/round_trip.py
fi
echo "python: mypy and pyright"
"$root/$tools/mypy" -p agentnet
"$root/$tools/mypy" examples
"$root/$tools/pyright"
echo "python: tests"
"$root/$home/bin/python" -m pytest
