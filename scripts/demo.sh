#!/usr/bin/env bash
# Starts a network, lets two example agents exchange messages, and shows the agents online and the thread.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}/debug
agentnet=$target/agentnet
data=$(mktemp -d)
thread=demo_1
started=()

stop() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$data"
}
trap stop EXIT

# Runs a command until it succeeds, for at most twenty seconds.
until_true() {
  for _ in $(seq 200); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "demo: gave up waiting for: $*" >&2
  tail -n 20 "$data"/*.log >&2 || true
  return 1
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export AGENTNET_NATS_URL=nats://agentnet_secret_token@127.0.0.1:$port

echo "== A network on port $port: agentnet up"
"$agentnet" up --port "$port" --data-dir "$data/network" >"$data/up.log" 2>&1 &
started+=($!)
until_true grep -q 'registry ready:' "$data/up.log"
grep 'registry ready:' "$data/up.log"

echo
echo "== Two agents talk"
"$target/examples/agent_b" >"$data/agent_b.log" 2>&1 &
started+=($!)
until_true grep -q 'online' "$data/agent_b.log"
"$target/examples/agent_a" "$thread"
cat "$data/agent_b.log"

echo
echo "== Who is online: agentnet list"
"$agentnet" list

echo
echo "== The thread, read back from the history: agentnet thread-messages --thread-id $thread"
# One message, one request with its reply, one capability call with its reply.
remembered() { [ "$("$agentnet" thread-messages --thread-id "$thread" --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["messages"]))')" = 5 ]; }
until_true remembered
"$agentnet" thread-messages --thread-id "$thread"

echo
echo "demo: everything worked"
