"""Measures the memory of nats-server and registry without agents and with many.

Usage: .tools/python/bin/python scripts/footprint.py AGENTNET [AGENTS]

AGENTNET is the program (target/release/agentnet). Starts `agentnet up` in a temporary folder, connects AGENTS (1000 by default)
agents, each with a connection, an inbox, a receipts subscription and a session, and prints the resident memory of both
processes before and after.
"""

import asyncio
import json
import pathlib
import subprocess
import sys
import tempfile

import nats


def resident_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise SystemExit(f"footprint: process {pid} has no VmRSS")


async def join(url, number):
    connection = await nats.connect(url, max_reconnect_attempts=0)
    request = {"agent_id": f"agent_{number}", "name": f"Agent {number}", "username": f"agent_{number}",
               "capabilities": ["chat"], "metadata": {"zone": "eu"}}
    reply = json.loads((await connection.request("registry.register", json.dumps(request).encode(), timeout=10)).data)
    account = reply["account_id"]

    async def hear(_message):
        pass

    await connection.subscribe(f"account.{account}.inbox", queue=f"agentnet-account-{account}", cb=hear)
    await connection.subscribe(f"account.{account}.receipts", cb=hear)
    hello = request | {"account_id": account, "session_tag": reply["session_tag"]}
    await connection.publish("registry.hello", json.dumps(hello).encode())
    await connection.flush()
    return connection


async def main(program, agents):
    with tempfile.TemporaryDirectory() as folder:
        network = subprocess.Popen([program, "--json", "up", "--port", "0", "--data-dir", folder], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        try:
            ready = json.loads(network.stdout.readline())
            server = ready["nats_server"]["pid"]
            before = resident_kb(server), resident_kb(network.pid)
            connections = []
            for first in range(0, agents, 50):
                batch = range(first, min(first + 50, agents))
                connections += await asyncio.gather(*(join(ready["url"], number) for number in batch))
            after = resident_kb(server), resident_kb(network.pid)
            print(f"{'':12}{'none':>12}{f'{agents} agents':>16}{'an agent':>12}")
            for name, none, many in zip(("nats-server", "registry"), before, after):
                print(f"{name:12}{none:>9} kB{many:>13} kB{(many - none) / agents:>9.1f} kB")
        finally:
            network.terminate()
            network.wait()


if len(sys.argv) < 2:
    raise SystemExit(__doc__)
asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000))
