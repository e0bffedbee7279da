"""Measures how long short commands take as whole processes, on a new network with an agent and a thread.

Usage: cli_latency.py AGENTNET [RUNS]

Prints a line per command: median, 95th percentile and longest wall time in milliseconds. Exits 1 if a median is 50 ms or more.
Use a release build on a quiet machine.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

from guide import Network

COMMANDS = ["list", "profile --username parrot", "threads"]
LIMIT_MS = 50


def main(program, runs):
    slow = False
    with tempfile.TemporaryDirectory() as folder, Network(pathlib.Path(program).resolve(), pathlib.Path(folder)) as network:
        network.start("agentnet echo --username parrot")
        network.run("agentnet send --to-username parrot --thread-id t1 1; sleep 1")
        for command in COMMANDS:
            words = [str(network.program), *command.split()]
            times = sorted(timed(words, network.environment) for _ in range(runs))
            median, high, longest = times[runs // 2], times[int(runs * 0.95)], times[-1]
            slow |= median >= LIMIT_MS
            print(f"{command:28} median {median:6.1f} ms   p95 {high:6.1f} ms   longest {longest:6.1f} ms   ({runs} runs)")
    return 1 if slow else 0


def timed(words, environment):
    since = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment)
    return (time.perf_counter() - since) * 1000


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50))
