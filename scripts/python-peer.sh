#!/usr/bin/env bash
# Creates the Python environment of the agents in spec/peers: nats-py, pinned, in .tools/python.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.16.0
home=.tools/python

if "$home/bin/python" -c "from importlib.metadata import version; assert version('nats-py') == '$version'" 2>/dev/null; then
  exit 0
fi
command -v python3 >/dev/null 2>&1 || { echo "python-peer: python3 (3.10 or newer) is needed" >&2; exit 1; }
rm -rf "$home"
python3 -m venv "$home" || {
  echo "python-peer: python3 has no venv module; on Debian: apt-get install python3-venv" >&2
  exit 1
}
"$home/bin/python" -m pip install --quiet --disable-pip-version-check "nats-py==$version"
echo "python-peer: nats-py $version in $home"
