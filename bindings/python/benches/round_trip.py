"""How fast the package is, beside the same round trip written on nats-py with the same guards (benches/reference.py).

Two Python processes, a receiver and a sender, on a network of their own: nats-server, registry and store as `agentnet up`
starts them. For each implementation: sends with receipt and requests, 256 in flight and one after another. Behind each rate
stands what one message cost every process in CPU time, and how often its threads slept until another woke them while one
message was sent after another: which shows what bounds them.

    round_trip.py [SECONDS]            each measurement takes so long (default 4)
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

IN_FLIGHT = 256
PAYLOAD = {"text": "What is the spread?", "n": 17, "tags": ["a", "b"], "ratio": 0.25}
OPEN: dict[str, Any] = {
    "rate_limit_per_sender_per_sec": 1e9,
    "rate_limit_burst": 10**9,
    "max_pending": 10_000,
    "max_concurrency": IN_FLIGHT,
    "dedupe_ttl_seconds": 600.0,
}
TICK = os.sysconf("SC_CLK_TCK")

Call = Callable[[], Awaitable[Any]]


def node(implementation: str, name: str, url: str) -> Any:
    if implementation == "agentnet":
        from agentnet import AgentNode

        return AgentNode(agent_id=name, name=name, username=name, nats_url=url, **OPEN)
    from reference import ReferenceNode

    return ReferenceNode(name, url, **OPEN)


async def receive(implementation: str, url: str) -> None:
    bob = node(implementation, f"bench-{implementation}", url)

    @bob.on_message
    async def handle(message: Any) -> None:
        if message.reply_to:
            await bob.reply(message, {"ok": True, "n": message.payload["n"]})

    await bob.start()
    print(bob.account_id, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await bob.close()


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def waits(pid: int) -> int:
    """How often the threads of a process have gone to sleep until another wakes them."""
    count = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.MULTILINE)
        count += int(found[1]) if found else 0
    return count


def python_thread() -> float:
    return time.thread_time()


async def burst(call: Call, seconds: float) -> int:
    count = 0
    end = time.perf_counter() + seconds

    async def worker() -> None:
        nonlocal count
        while time.perf_counter() < end:
            await call()
            count += 1

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return count


async def one_by_one(call: Call, seconds: float) -> list[float]:
    took: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        await call()
        took.append(time.perf_counter() - start)
    return took


async def all_stored(url: str) -> None:
    """Waits until the registry has stored what a burst has left it, which would share the machine with what comes next."""
    from agentnet import get_registry_metrics

    stored = -1
    while (now := (await get_registry_metrics(url, timeout=10.0))["capture"]["stored"]) != stored:
        stored = now
        await asyncio.sleep(0.5)


async def measure(implementation: str, url: str, pids: dict[str, int], seconds: float) -> dict[str, float]:
    receiver = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        "receive",
        implementation,
        url,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert receiver.stdout is not None and receiver.stdin is not None
    account = (await receiver.stdout.readline()).decode().strip()
    alice = node(implementation, f"bench-{implementation}-sender", url)
    alice.on_message(lambda message: None)
    await alice.start()
    processes = {**pids, "receiver": receiver.pid, "sender": os.getpid()}
    results: dict[str, float] = {}
    calls: dict[str, Call] = {
        "request": lambda: alice.request_account(account, PAYLOAD, timeout=30.0),
        "send with receipt": lambda: alice.send_to_account(account, PAYLOAD),
    }
    for name, call in calls.items():
        await burst(call, 0.5)
        await all_stored(url)
        before = {process: cpu(pid) for process, pid in processes.items()}
        thread, start = python_thread(), time.perf_counter()
        count = await burst(call, seconds)
        elapsed = time.perf_counter() - start
        spent = {process: cpu(pid) - before[process] for process, pid in processes.items()}
        spent["sender's Python thread"] = python_thread() - thread
        await all_stored(url)
        asleep = {process: waits(pid) for process, pid in processes.items()}
        latency = await one_by_one(call, seconds / 2)
        slept = {process: (waits(pid) - asleep[process]) / len(latency) for process, pid in processes.items()}
        p50 = statistics.median(latency) * 1e6
        p99 = statistics.quantiles(latency, n=100)[98] * 1e6
        costs = ", ".join(f"{process} {cost / count * 1e6:.0f}" for process, cost in spent.items())
        total = sum(cost for process, cost in spent.items() if process in processes)
        print(
            f"{implementation:9}  {name:17}  {count / elapsed:8,.0f}/s with {IN_FLIGHT} in flight"
            f"   one by one p50 {p50:5.0f} us, p99 {p99:5.0f} us\n"
            f"{'':11}CPU in us a message: {costs}; {total / elapsed:.2f} of {os.cpu_count()} cores busy\n"
            f"{'':11}waits of a thread for another, a message, one by one: "
            + ", ".join(f"{process} {count:.1f}" for process, count in slept.items()),
            flush=True,
        )
        results[f"{name} rate"], results[f"{name} p50"] = count / elapsed, p50
    await alice.close()
    receiver.stdin.close()
    await receiver.wait()
    return results


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "up.log"
        with log.open("wb") as output:
            command = [Path(sys.executable).parent / "agentnet", "up", "--port", "0", "--data-dir", directory + "/data"]
            up = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + 60
            while "registry ready:" not in log.read_text():
                assert up.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            text = log.read_text()
            url = re.search(r"URL +(\S+)", text)
            broker = re.search(r"pid (\d+)", text)
            assert url and broker, text
            pids = {"nats-server": int(broker[1]), "registry": up.pid}
            results = {
                implementation: asyncio.run(measure(implementation, url[1], pids, seconds))
                for implementation in ("reference", "agentnet")
            }
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait()
    ours, theirs = results["agentnet"], results["reference"]
    for name in ours:
        print(f"{name}: agentnet {ours[name]:,.0f}, reference {theirs[name]:,.0f}, ratio {ours[name] / theirs[name]:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["receive"]:
        asyncio.run(receive(*sys.argv[2:]))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)
