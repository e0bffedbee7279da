"""How fast the package is, beside the same round trip written on nats-py with the same guards (benches/reference.py).

Two Python processes for each, a receiver and a sender, on a network of their own: nats-server, registry and store as
`agentnet up` starts them. For each implementation: sends with receipt and requests, 256 in flight and one after another; they
take turns, so that both have the same share of the machine's good and bad moments. Behind each rate stands what one message
cost every process in CPU time, among 256 and one after another, and how often its threads slept until another woke them while
one message was sent after another: which shows what bounds them.

    round_trip.py [SECONDS]            each rate is measured so long, in all (default 4)
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

IN_FLIGHT = 256
# How often the implementations take turns.
ROUNDS = 4
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


async def send(implementation: str, url: str, account: str) -> None:
    """Does what it is told on each line of the input, a kind of call, a way and a time, and says on a line what came of it."""
    alice = node(implementation, f"bench-{implementation}-sender", url)
    alice.on_message(lambda message: None)
    await alice.start()
    calls: dict[str, Call] = {
        "request": lambda: alice.request_account(account, PAYLOAD, timeout=30.0),
        "send": lambda: alice.send_to_account(account, PAYLOAD),
    }
    print("ready", flush=True)
    while line := await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        kind, way, seconds = line.split()
        thread, start = time.thread_time(), time.perf_counter()
        if way == "burst":
            count = await burst(calls[kind], float(seconds))
            said: Any = (count, time.perf_counter() - start, time.thread_time() - thread)
        else:
            said = await one_by_one(calls[kind], float(seconds))
        print(json.dumps(said), flush=True)
    await alice.close()


class Peers:
    """Two agents of one implementation, each in a process of its own."""

    def __init__(self, implementation: str, url: str) -> None:
        self.implementation = implementation
        self.url = url

    async def __aenter__(self) -> Peers:
        self.receiver = await self.start("receive")
        account = await self.said(self.receiver)
        self.sender = await self.start("send", account)
        await self.said(self.sender)
        return self

    async def __aexit__(self, *exception: object) -> None:
        for process in (self.sender, self.receiver):
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def start(self, role: str, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            role,
            self.implementation,
            self.url,
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=2**26,
        )

    async def said(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        return (await process.stdout.readline()).decode().strip()

    async def do(self, kind: str, way: str, seconds: float) -> Any:
        assert self.sender.stdin is not None
        self.sender.stdin.write(f"{kind} {way} {seconds}\n".encode())
        return json.loads(await self.said(self.sender))


class Measured:
    """What one implementation did in all rounds."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.count = 0
        self.elapsed = 0.0
        self.spent: Counter[str] = Counter()
        self.latency: list[float] = []
        self.spent_alone: Counter[str] = Counter()
        self.slept: Counter[str] = Counter()

    async def round(self, peers: Peers, kind: str, processes: dict[str, int], seconds: float) -> None:
        """A burst, and then calls one after another."""
        before = {process: cpu(pid) for process, pid in processes.items()}
        count, elapsed, thread = await peers.do(kind, "burst", seconds)
        self.spent.update({process: cpu(pid) - before[process] for process, pid in processes.items()})
        self.spent["sender's Python thread"] += thread
        self.rates.append(count / elapsed)
        self.count += count
        self.elapsed += elapsed
        await all_stored(peers.url)
        before = {process: cpu(pid) for process, pid in processes.items()}
        asleep = {process: waits(pid) for process, pid in processes.items()}
        self.latency += await peers.do(kind, "one-by-one", seconds / 2)
        self.slept.update({process: waits(pid) - asleep[process] for process, pid in processes.items()})
        self.spent_alone.update({process: cpu(pid) - before[process] for process, pid in processes.items()})

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def p50(self) -> float:
        return statistics.median(self.latency) * 1e6

    def show(self, title: str, processes: dict[str, int]) -> None:
        p99 = statistics.quantiles(self.latency, n=100)[98] * 1e6
        calls = len(self.latency)
        costs = ", ".join(f"{process} {cost / self.count * 1e6:.0f}" for process, cost in self.spent.items())
        alone = ", ".join(f"{process} {cost / calls * 1e6:.0f}" for process, cost in self.spent_alone.items())
        total = sum(cost for process, cost in self.spent.items() if process in processes)
        slept = ", ".join(f"{process} {count / calls:.1f}" for process, count in self.slept.items())
        busy = sum(self.spent_alone.values()) / sum(self.latency)
        print(
            f"{title:28}{self.rate:8,.0f}/s with {IN_FLIGHT} in flight"
            f"   one by one p50 {self.p50:5.0f} us, p99 {p99:5.0f} us\n"
            f"{'':11}CPU in us a message: {costs}; {total / self.elapsed:.2f} of {os.cpu_count()} cores busy\n"
            f"{'':11}the same, one by one: {alone}; {busy:.2f} of {os.cpu_count()} cores busy\n"
            f"{'':11}waits of a thread for another, a message, one by one: {slept}",
            flush=True,
        )


async def measure(url: str, pids: dict[str, int], seconds: float) -> None:
    async with Peers("reference", url) as reference, Peers("agentnet", url) as agentnet:
        for kind in ("request", "send"):
            measured: dict[Peers, Measured] = {reference: Measured(), agentnet: Measured()}
            for number in range(ROUNDS + 1):
                for peers, its in measured.items():
                    processes = {**pids, "receiver": peers.receiver.pid, "sender": peers.sender.pid}
                    if number == 0:
                        await peers.do(kind, "burst", 0.5)
                        await all_stored(url)
                    else:
                        await its.round(peers, kind, processes, seconds / ROUNDS)
            for peers, its in measured.items():
                its.show(f"{peers.implementation:9}  {kind}", processes)
            theirs, ours = measured.values()
            print(
                f"{kind}: {ours.rate / theirs.rate:.2f} times the reference's rate, {ours.p50 / theirs.p50:.2f} times its p50\n",
                flush=True,
            )


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
            asyncio.run(measure(url[1], pids, seconds))
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["receive"]:
        asyncio.run(receive(*sys.argv[2:]))
    elif sys.argv[1:2] == ["send"]:
        asyncio.run(send(*sys.argv[2:]))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)
