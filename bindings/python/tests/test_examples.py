"""The examples run as the guides say."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

from conftest import REPOSITORY, eventually, fresh

import agentnet

EXAMPLES = REPOSITORY / "examples"


def start(name: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, EXAMPLES / name, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def online(url: str, count: int = 1, **members: Any) -> None:
    """Waits until so many sessions with these members are online."""

    async def are_there() -> bool:
        agents = await agentnet.list_online_agents(url, timeout=20)
        return sum(all(getattr(agent, k) == v for k, v in members.items()) for agent in agents) == count

    await eventually(are_there)


def test_agents_a_and_b_and_the_list(url: str) -> None:
    # From the root of the checkout, as README says, with the address from the environment.
    def root(name: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "AGENTNET_NATS_URL": url}
        command = [sys.executable, f"examples/{name}"]
        return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60)

    alone = root("agent_a.py")
    assert alone.returncode == 1 and alone.stdout == ""
    assert alone.stderr == "agent_b is not online: run `python examples/agent_b.py` in another terminal first\n"
    b = start("agent_b.py", AGENTNET_NATS_URL=url)
    asyncio.run(online(url, agent_id="agent_b"))
    assert "@agent_b Agent B ['smalltalk']\n" in root("list_agents.py").stdout
    assert root("agent_a.py").stdout == "found Agent B which can smalltalk\nagent_b says: Fine, thank you.\n"
    b.terminate()
    output, _ = b.communicate(timeout=30)
    assert b.returncode == 0
    assert output == "got {'text': 'How are you?'} from agent_a\ngot {'text': 'Bye'} from agent_a\n"


def test_the_rpc_worker_and_its_client(url: str) -> None:
    workers = [start("rpc_worker.py", url) for _ in range(2)]
    asyncio.run(online(url, count=2, agent_id="calculator"))
    assert run("rpc_client.py", url) == f"{2**70 + 4}\n{2**70}\n1\nrefused: unknown_operation\n"
    for worker in workers:
        worker.terminate()
        assert worker.wait(timeout=30) == 0


def test_the_bridge(url: str) -> None:
    name = fresh("shouter")
    bridge = start("bridge.py", name, "tr", "a-z", "A-Z", AGENTNET_NATS_URL=url)

    async def main() -> None:
        await online(url, username=name)
        async with agentnet.AgentSDK(agent_id=fresh("asker"), name="A", nats_url=url) as sdk:
            assert (await sdk.ask_text(name, "hello", timeout=20)).text == "HELLO"
            try:
                await sdk.ask_json(name, [1], timeout=20)
                raise AssertionError("it was refused")
            except agentnet.AgentRequestError as error:
                assert error.code == "unsupported_payload"

    asyncio.run(main())
    bridge.terminate()
    assert bridge.wait(timeout=30) == 0


def test_the_mailbox(url: str) -> None:
    unknown = subprocess.run(
        [sys.executable, EXAMPLES / "mailbox.py", "leave", "x", url], capture_output=True, text=True, timeout=60, check=False
    )
    assert unknown.returncode == 1 and unknown.stdout == "" and "night_shift is not known here" in unknown.stderr
    first = start("mailbox.py", "take", url)
    asyncio.run(online(url, username="night_shift"))
    first.terminate()
    assert first.communicate(timeout=30) == ("", None) and first.returncode == 0
    asyncio.run(online(url, count=0, username="night_shift"))
    for text in ("read the logs", "feed the cat"):
        assert run("mailbox.py", "leave", text, url).startswith("queued: ")
    second = start("mailbox.py", "take", url)
    assert second.stdout is not None
    assert [second.stdout.readline() for _ in range(2)] == ["got read the logs\n", "got feed the cat\n"]

    async def main() -> None:
        async def nothing_waits() -> bool:
            status = await agentnet.get_mailbox_status(url, username="night_shift", timeout=20)
            return int(status["queued"]) + int(status["leased"]) == 0

        await eventually(nothing_waits)

    asyncio.run(main())
    assert run("mailbox.py", "leave", "good night", url) == "delivered\n"
    assert second.stdout.readline() == "got good night\n"
    second.terminate()
    assert second.wait(timeout=30) == 0


def test_tasks(url: str) -> None:
    asker = start("tasks.py", "ask", "to be or not to be", url)
    assert asker.stdout is not None
    task_id = asker.stdout.readline().removeprefix("asked for ").strip()
    assert asker.stdout.readline() == "created to be or not to be\n"
    # The worker comes later.
    worker = start("tasks.py", "work", url)
    output, _ = asker.communicate(timeout=60)
    assert asker.returncode == 0
    lines = output.splitlines()
    assert lines[0].split() == ["claimed"] and "progress counted not" in lines
    assert lines[-1] == "completed {'to': 2, 'be': 2, 'or': 1, 'not': 1}"
    assert run("tasks.py", "result", task_id, url).splitlines()[-1] == lines[-1]
    assert run("tasks.py", "ask", " ", url).splitlines()[-1] == "rejected there are no words in it"
    unknown = subprocess.run(
        [sys.executable, EXAMPLES / "tasks.py", "result", "task_x", url], capture_output=True, text=True, timeout=60, check=False
    )
    assert unknown.returncode == 1 and unknown.stdout == "" and unknown.stderr == "task_x: not_found\n"
    worker.terminate()
    assert worker.wait(timeout=30) == 0
