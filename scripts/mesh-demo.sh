#!/usr/bin/env bash
# Two language models talk over a network of their own (the duo), then two agents of a YAML file answer, by OpenAI's and by
# Anthropic's API. The model is the small one of `make llm`; the threads are read back from the history.
#
#   AGENTNET   the command to run; by default that of the debug build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

agentnet=${AGENTNET:-${CARGO_TARGET_DIR:-target}/debug/agentnet}
data=$(mktemp -d)
started=()

stop() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$data"
}
trap stop EXIT

# Runs a command until it succeeds, for at most a minute.
until_true() {
    local end=$((SECONDS + 60))
    while [ "$SECONDS" -lt "$end" ]; do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    echo "mesh-demo: gave up waiting for: $*" >&2
    tail -n 20 "$data"/*.log >&2 || true
    return 1
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# read_json EXPRESSION: evaluates a Python expression on the JSON document of standard input, which is `it`.
read_json() {
    python3 -c 'import json, sys; it = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"
}

model_port=$(free_port)
echo "== A language model on port $model_port: SmolLM2-135M-Instruct on llama.cpp"
scripts/llm-local.sh serve "$model_port" >"$data/llm.log" 2>&1 &
started+=($!)
healthy() { python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2)' "http://127.0.0.1:$model_port/health"; }
until_true healthy

port=$(free_port)
export AGENTNET_NATS_URL=nats://agentnet_secret_token@127.0.0.1:$port
echo "== A network on port $port: agentnet up"
"$agentnet" up --port "$port" --data-dir "$data/network" >"$data/up.log" 2>&1 &
started+=($!)
until_true grep -q 'registry ready:' "$data/up.log"

echo
echo "== Two models talk: agentnet demo duo"
export NOVITA_API_KEY=none NOVITA_BASE_URL=http://127.0.0.1:$model_port/v1 NOVITA_MODEL=smollm2
export NOVITA_MAX_TOKENS=${NOVITA_MAX_TOKENS:-48} DEMO_TURNS=${DEMO_TURNS:-2}
"$agentnet" demo duo --log pretty

# Each turn has a thread of its own: a question and its answer.
remembered() {
    [ "$("$agentnet" threads --json | read_json 'sum(thread["message_count"] == 2 for thread in it["results"])')" = "$DEMO_TURNS" ]
}
until_true remembered
echo
echo "== The last turn, read back from the history"
thread=$("$agentnet" threads --json | read_json 'it["results"][0]["thread_id"]')
"$agentnet" thread-messages --thread-id "$thread"

echo
echo "== Two agents of a YAML file, by two APIs: agentnet mesh run examples/mesh/local.yaml"
export LLM_BASE_URL=http://127.0.0.1:$model_port
"$agentnet" mesh check --online examples/mesh/local.yaml
"$agentnet" mesh run examples/mesh/local.yaml --data-dir "$data/mesh" >"$data/mesh.log" 2>&1 &
started+=($!)
online() { [ "$("$agentnet" list --json | read_json 'len(it["agents"])')" = "$1" ]; }
until_true online 2
for agent in local_chat local_messages; do
    for question in "What is the capital of France?" "And of Italy?"; do
        "$agentnet" request --timeout 120 --to-username "$agent" --thread-id "demo_$agent" "{\"text\":\"$question\"}" >"$data/reply"
    done
done
"$agentnet" mesh usage --by agent --data-dir "$data/mesh"
for agent in local_chat local_messages; do
    answered() { [ "$("$agentnet" thread-messages --thread-id "demo_$agent" --json | read_json 'len(it["messages"])')" = 4 ]; }
    until_true answered
    echo
    "$agentnet" thread-messages --thread-id "demo_$agent"
    "$agentnet" thread-messages --thread-id "demo_$agent" --json |
        read_json '[1 / bool(message["payload"]["text"].strip()) for message in it["messages"]]' >/dev/null
done

echo
echo "== The trio of examples/mesh, on the same model"
export OPENAI_API_KEY=none OPENAI_BASE_URL=$LLM_BASE_URL OPENAI_MODEL=smollm2
export ANTHROPIC_API_KEY=none ANTHROPIC_BASE_URL=$LLM_BASE_URL ANTHROPIC_MODEL=smollm2
# So small a model calls no tools, and reads slowly: without them its answers come sooner.
"$agentnet" mesh run examples/mesh/mesh_agents.yaml --data-dir "$data/trio" \
    --set 'agents[0].tools=[]' --set 'agents[1].tools=[]' --set 'agents[2].tools=[]' \
    --set 'agents[0].model.max_tokens=32' --set 'agents[1].model.max_tokens=32' --set 'agents[2].model.max_tokens=32' \
    >"$data/trio.log" 2>&1 &
started+=($!)
until_true online 5
for number in 1 2 3; do
    "$agentnet" request --timeout 120 --to-username "mesh_agent_$number" --thread-id demo_trio '{"text":"Say hello."}' >"$data/reply"
done
together() { [ "$("$agentnet" thread-messages --thread-id demo_trio --json | read_json 'len(it["messages"])')" = 6 ]; }
until_true together
"$agentnet" thread-messages --thread-id demo_trio

echo
echo "mesh-demo: everything worked"
