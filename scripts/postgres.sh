#!/usr/bin/env bash
# Ensures that the tests find PostgreSQL: prints its path, installs it on Debian when run as root, or prints instructions.
# The tests start their own clusters; no system-wide server is needed, and this script starts none.
set -euo pipefail

programs="initdb postgres createdb psql"

complete() {
    local name
    for name in $programs; do
        [ -x "$1/$name" ] || return 1
    done
}

# The same places, in the same order, as crates/agentnet-testkit/src/locate.rs.
find_programs() {
    local folder
    local IFS=:
    for folder in $PATH; do
        complete "$folder" && printf '%s\n' "$folder" && return 0
    done
    unset IFS
    while IFS= read -r folder; do
        complete "$folder" && printf '%s\n' "$folder" && return 0
    done < <(ls -d /usr/lib/postgresql/*/bin /usr/pgsql/bin /usr/local/pgsql/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin 2>/dev/null | sort -rV)
    return 1
}

if found=$(find_programs); then
    echo "postgres: using $found"
    exit 0
fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "postgres: not installed; installing the package postgresql"
    export DEBIAN_FRONTEND=noninteractive
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    # postgresql-common first: its setting prevents the package from creating and starting a server.
    if ! { apt-get update && apt-get install -y --no-install-recommends postgresql-common &&
        { [ ! -f /etc/postgresql-common/createcluster.conf ] ||
            sed -i 's/^#\? *create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf; } &&
        apt-get install -y --no-install-recommends postgresql; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "postgres: apt-get could not install PostgreSQL (its own words are above)" >&2
        exit 1
    fi
    if found=$(find_programs); then
        echo "postgres: using $found"
        exit 0
    fi
fi

cat >&2 <<'TEXT'
postgres: PostgreSQL is not installed, and the tests of the PostgreSQL store need its programs
    (initdb, postgres, createdb, psql). They start clusters of their own; no running server is needed.
    Debian, Ubuntu:  sudo apt-get install postgresql
    Fedora:          sudo dnf install postgresql-server
    macOS:           brew install postgresql
    Elsewhere: put the folder of these programs into PATH.
TEXT
exit 1
