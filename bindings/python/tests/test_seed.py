"""Every Python snippet of the seed document, as printed there, on the test network."""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from conftest import OPEN, eventually, fresh

from agentnet import AgentMessage, AgentNode, AgentSDK, list_online_agents

SEED = Path(__file__).parent / "seed"


def snippet(name: str, url: str, **replacements: str) -> str:
    text = (SEED / name).read_text()
    text = text.replace("nats://agentnet_secret_token@localhost:4222", url)
    for old, new in replacements.items():
        text = text.replace({"account": "acct_01...", "chart": "/tmp/chart.png"}[old], new)
    return text


async def execute(source: str, **names: Any) -> dict[str, Any]:
    """Runs a snippet with `await` at its top, as in a coroutine of the reader's."""
    code = compile(source, "<seed>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    namespace: dict[str, Any] = names
    result = eval(code, namespace)
    if result is not None:
        await result
    return namespace


def answering(url: str, username: str, got: list[AgentMessage]) -> AgentNode:
    node = AgentNode(agent_id=username, name=username, username=username, nats_url=url, **OPEN)

    @node.on_message
    async def handle(message: AgentMessage) -> None:
        got.append(message)
        if message.reply_to:
            await node.reply(message, {"text": f"{username} heard {message.payload['text']}"})

    return node


def test_the_agent_that_prints(url: str, tmp_path: Path) -> None:
    program = tmp_path / "agent_foo.py"
    program.write_text(snippet("agent_foo.py", url))
    process = subprocess.Popen([sys.executable, "-u", program], stdout=subprocess.PIPE, text=True)

    async def main() -> None:
        async def is_online() -> bool:
            return any(agent.agent_id == "agent_foo" for agent in await list_online_agents(url, timeout=20))

        await eventually(is_online)
        async with AgentNode(agent_id=fresh("a"), name="A", nats_url=url) as node:
            await node.send("agent_foo", {"text": "yo"})
            await node.send_to_capability("chat", {"n": 10**30})

    asyncio.run(main())
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    process.terminate()
    assert process.wait(timeout=30) == 0, "SIGTERM closes the node"
    assert lines == ["Got message: {'text': 'yo'}\n", "Got message: {'n': 1000000000000000000000000000000}\n"]


def test_the_three_sends(url: str) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        async with answering(url, "weather_bot", got) as weather:
            async with AgentNode(agent_id=fresh("a"), name="A", nats_url=url) as node:
                await execute(snippet("sends.py", url, account=str(weather.account_id)), node=node)
            await eventually(lambda: len(got) == 3)
            assert [message.payload for message in got] == [{"text": "yo"}] * 3

    asyncio.run(main())


def test_the_sdk(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        async with answering(url, "mesh_agent_1", got):
            await execute(snippet("sdk.py", url))
            await eventually(lambda: len(got) == 2)
        question, confirm = got
        assert (question.thread_id, confirm.thread_id) == ("ops_1", "ops_1")

    asyncio.run(main())
    names, bio, answer = capsys.readouterr().out.splitlines()
    assert "mesh_agent_1" in ast.literal_eval(names) and "agent_a" in ast.literal_eval(names)
    # An account that never said anything of itself.
    assert bio in ("", "None")
    assert answer == "mesh_agent_1 heard Analyze spread and total for Celtics @ Suns"


def test_what_tool_wrappers_call(url: str) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        thread = fresh("tools")
        async with answering(url, "mesh_agent_1", got):
            async with AgentSDK(agent_id=fresh("a"), name="A", nats_url=url) as sdk:
                assert "mesh_agent_1" in [agent.username for agent in await sdk.list_online()]
                assert (await sdk.get_profile("@mesh_agent_1"))["username"] == "mesh_agent_1"
                assert (await sdk.ask_text("mesh_agent_1", "hm", thread_id=thread)).text == "mesh_agent_1 heard hm"
                sent = await sdk.send_text("mesh_agent_1", "ho", thread_id=thread)
                assert sent.ok and sent.thread_id == thread and sent.error is None

                async def is_stored() -> bool:
                    page = await sdk.get_thread_messages(thread, limit=50)
                    return len(page["messages"]) == 3

                await eventually(is_stored)
                page = await sdk.get_thread_messages(thread, limit=2, cursor=None)
                assert len(page["messages"]) == 2 and page["next_cursor"]
                rest = await sdk.get_thread_messages(thread, limit=2, cursor=page["next_cursor"])
                assert len(rest["messages"]) == 1 and rest["next_cursor"] is None
                assert thread in [found["thread_id"] for found in await sdk.list_threads(query=thread)]
                found = await sdk.search_messages(thread_id=thread, kind="request")
                assert [message["payload"] for message in found["messages"]] == [{"text": "hm"}]
                status = await sdk.thread_status(thread)
                assert (status["message_count"], status["status"]) == (3, "ok")
                assert (await sdk.registry_metrics())["store_enabled"] is True

    asyncio.run(main())


def test_blobs(url: str, tmp_path: Path) -> None:
    chart = tmp_path / "chart.png"
    chart.write_bytes(bytes(range(256)) * 100)

    async def main() -> None:
        got: list[AgentMessage] = []
        vision = AgentNode(agent_id="vision_agent", name="V", username="vision_agent", nats_url=url)
        vision.on_message(got.append)
        options: dict[str, Any] = {"nats_url": url, "blob_dir": tmp_path / "blobs"}
        async with vision, AgentSDK(agent_id=fresh("a"), name="A", **options) as sdk:
            names = await execute(snippet("blobs.py", url, chart=str(chart)), sdk=sdk)
            await eventually(lambda: got)
            payload = got[0].payload
            assert payload == names["blob"].to_payload() and got[0].thread_id == "media_ops_1"
            assert (payload["type"], payload["filename"], payload["mime_type"]) == ("blob_ref", "chart.png", "image/png")
            blob_id = payload["blob_id"]
            assert sdk.get_blob_bytes(blob_id) == chart.read_bytes()
            head = sdk.head_blob(blob_id)
            assert head is not None and head.size_bytes == 25_600
            text = sdk.put_blob_bytes("é".encode(), filename="a.txt", metadata={"k": [1]})
            assert sdk.get_blob_text(text.blob_id) == "é" and text.metadata == {"k": [1]}

    asyncio.run(main())


def test_the_list_of_agents(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = fresh("listed")

    async def main() -> None:
        async with AgentNode(agent_id=name, name="Listed", metadata={"team": "ops"}, nats_url=url):
            await execute(snippet("list_online.py", url))

    asyncio.run(main())
    agents = {agent["agent_id"]: agent for agent in ast.literal_eval(capsys.readouterr().out)}
    assert agents[name]["metadata"] == {"team": "ops"} and agents[name]["name"] == "Listed"


def test_the_wrapper(url: str, tmp_path: Path) -> None:
    program = tmp_path / "wrapper.py"
    program.write_text(snippet("wrapper.py", url))

    async def main() -> None:
        got: list[AgentMessage] = []
        async with answering(url, "weather_bot", got):
            process = await asyncio.create_subprocess_exec(sys.executable, program)
            assert await asyncio.wait_for(process.wait(), 30) == 0
            assert [message.payload for message in got] == [{"text": "status?"}]

    asyncio.run(main())


def test_the_command_as_a_module(url: str) -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "agentnet", "list", "--nats-url", url], capture_output=True, text=True, timeout=60
    )
    assert listed.returncode == 0, listed.stderr
    asked = subprocess.run(
        [sys.executable, "-m", "agentnet", "profile", "--nats-url", url, "--username", "nobody-here"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert asked.returncode == 2 and "error: not_found" in asked.stderr, asked.stderr
    schema = subprocess.run(
        [sys.executable, "-m", "agentnet", "mesh", "schema"], capture_output=True, text=True, timeout=60
    )
    assert schema.returncode == 0, schema.stderr
    assert "agents" in json.loads(schema.stdout)["properties"]


def test_snippets_are_whole() -> None:
    for path in SEED.glob("*.py"):
        text = path.read_text()
        assert text == textwrap.dedent(text) and text.strip()
