"""A real network for the tests: the installed command `agentnet up`, with the nats-server of the environment."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentnet import AgentNode, list_online_agents

REPOSITORY = Path(__file__).resolve().parents[3]
VECTORS = REPOSITORY / "spec" / "vectors"
COMMAND = Path(sys.executable).parent / "agentnet"


class Network:
    """A running `agentnet up` on a free port, with further options of the command."""

    def __init__(self, directory: Path, *options: str) -> None:
        environment = {key: value for key, value in os.environ.items() if key != "AGENTNET_NATS_SERVER"}
        # Only this environment's nats-server can be found.
        environment["PATH"] = "/usr/bin:/bin"
        self.log = directory / "up.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [COMMAND, "up", "--port", "0", "--data-dir", str(directory / "data"), *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=directory,
            )
        self.url = self._wait()

    def _wait(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            text = self.log.read_text()
            found = re.search(r"^  URL +(nats://\S+)$", text, re.MULTILINE)
            if found and "registry ready:" in text:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"agentnet up did not start:\n{self.log.read_text()}")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    network = Network(tmp_path_factory.mktemp("network"))
    yield network
    network.stop()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "own_network: the test has a network to itself, because what it sends would keep the registry busy for the next tests",
    )


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.node.get_closest_marker("own_network") is None:
        yield request.getfixturevalue("network").url
        return
    network = Network(request.getfixturevalue("tmp_path"))
    yield network.url
    network.stop()


def fresh(stem: str) -> str:
    """A name that no other test has."""
    return f"{stem}-{uuid.uuid4().hex[:8]}"


def program(source: str, url: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source), url, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# The beginning of a program that Ctrl-C is to end: a shell that runs the tests in the background may ignore it, and children
# inherit that.
HEED = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"

# Agents that are sent to fast.
OPEN = {
    "rate_limit_per_sender_per_sec": 1e9,
    "rate_limit_burst": 1_000_000,
    "max_pending": 10_000,
    "max_concurrency": 64,
}


async def echo(node: AgentNode) -> None:
    """Makes a node answer every request with its payload."""

    @node.on_message
    async def handle(message: Any) -> None:
        if message.reply_to:
            await node.reply(message, {"echo": message.payload})


async def settled(raw: Any) -> None:
    """Waits until the server has done what a nats-py client asked of it. Its own flush does not: its ping overtakes what is
    still to be written."""
    probe = raw.new_inbox()
    probes = await raw.subscribe(probe)
    await raw.publish(probe, b"")
    await probes.next_msg(timeout=20)
    await probes.unsubscribe()


async def eventually(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Waits until `what` gives something true."""
    deadline = time.monotonic() + seconds
    while True:
        value = what()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"it did not come true within {seconds} s"
        await asyncio.sleep(0.01)


async def gone(url: str, account: str) -> None:
    """Waits until the registry has heard the goodbye of an account's only session."""

    async def is_gone() -> bool:
        return all(agent.account_id != account for agent in await list_online_agents(url, timeout=20))

    await eventually(is_gone)


def loop_runners() -> list[Any]:
    """Ways to run a coroutine: on asyncio's own loop, and on uvloop's."""
    import uvloop

    return [pytest.param(asyncio.run, id="asyncio"), pytest.param(uvloop.run, id="uvloop")]
