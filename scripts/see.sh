#!/usr/bin/env bash
# Runs a command and shows the message that it publishes on a subject: see.sh SUBJECT COMMAND [ARGUMENT]...
# Uses the network of AGENTNET_NATS_URL. Prints the message first, then the output of the command.
set -euo pipefail
subject=$1
shift
said=$(mktemp)
trap 'rm -f "$said"' EXIT
agentnet watch --json --max-messages 1 --subject "$subject" 2>"$said" &
watcher=$!
until grep -q 'watching ' "$said"; do sleep 0.02; done
printed=$("$@")
wait "$watcher"
printf '%s\n' "$printed"
