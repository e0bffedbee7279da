"""Event loops that end, nest, or belong to others."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest
from conftest import OPEN, echo, eventually, fresh, program

import agentnet
from agentnet import AgentNode


def test_calls_from_a_nested_loop_work(url: str) -> None:
    ended = program(
        """
        import asyncio, sys
        import nest_asyncio
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        nest_asyncio.apply(loop)
        from agentnet import AgentNode

        async def main():
            bob = AgentNode(agent_id="nested-b", name="B", nats_url=sys.argv[1])

            @bob.on_message
            async def handle(message):
                await bob.reply(message, message.payload)

            async with bob, AgentNode(agent_id="nested-a", name="A", nats_url=sys.argv[1]) as alice:
                ask = lambda number: alice.request_account(bob.account_id, number, timeout=20)
                print((await ask(1)).payload)
                # As a cell of a notebook does within a task that was resumed by an answer.
                print(asyncio.get_event_loop().run_until_complete(ask(2)).payload)
                print((await ask(3)).payload)

        loop.run_until_complete(main())
        """,
        url,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, "1\n2\n3\n"), ended.stderr


def test_a_process_patched_by_gevent_starts_nodes_and_ends(url: str) -> None:
    ended = program(
        """
        from gevent import monkey
        monkey.patch_all()
        import asyncio, sys
        from agentnet import AgentNode

        async def main():
            bob = AgentNode(agent_id="green-b", name="B", nats_url=sys.argv[1])

            @bob.on_message
            async def handle(message):
                await bob.reply(message, message.payload)

            async with bob, AgentNode(agent_id="green-a", name="A", nats_url=sys.argv[1]) as alice:
                print((await alice.request_account(bob.account_id, 1, timeout=20)).payload)

        asyncio.run(main())
        """,
        url,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, "1\n"), ended.stderr


def test_a_node_whose_loop_has_ended_leaves_and_says_so(url: str, caplog: pytest.LogCaptureFixture) -> None:
    bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url)

    async def start() -> str:
        await echo(bob)
        await bob.start()
        return str(bob.account_id)

    account = asyncio.run(start())

    async def later() -> None:
        async def is_gone() -> bool:
            return all(agent.account_id != account for agent in await agentnet.list_online_agents(url, timeout=20))

        # It does not accept and drop: it is off the list, and its calls say why.
        await eventually(is_gone)
        with pytest.raises(RuntimeError, match="event loop .* has ended.* start it again"):
            await bob.send("@anybody", 1)
        with pytest.raises(RuntimeError, match="event loop .* has ended.* start it again"):
            await bob.request("@anybody", 1)
        await asyncio.wait_for(bob.close(), 30)
        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            assert (await alice.request_account(account, 1, timeout=20)).payload == {"echo": 1}

    with caplog.at_level(logging.WARNING, "agentnet"):
        asyncio.run(later())
        asyncio.run(eventually(lambda: "loop" in caplog.text))


def test_a_started_node_lives_on_without_a_reference(url: str) -> None:
    async def main() -> None:
        async def start() -> str:
            node = AgentNode(agent_id=fresh("kept"), name="K", nats_url=url, **OPEN)
            await echo(node)
            await node.start()
            return str(node.account_id)

        account = await start()
        async with AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            for number in range(3):
                gc.collect()
                assert (await alice.request_account(account, number, timeout=20)).payload == {"echo": number}

    asyncio.run(main())


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variables, address in (
        ({"AGENTNET_NATS_URL": "nats://a@one:1", "NATS_URL": "nats://b@two:2"}, "nats://a@one:1"),
        ({"AGENTNET_NATS_URL": " ", "NATS_URL": "nats://b@two:2"}, "nats://b@two:2"),
        ({}, agentnet.DEFAULT_NATS_URL),
    ):
        for name in ("AGENTNET_NATS_URL", "NATS_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert AgentNode("a", "A").nats_url == address
        assert agentnet.AgentSDK(agent_id="a", name="A").node.nats_url == address
        assert AgentNode("a", "A", nats_url="nats://c@three:3").nats_url == "nats://c@three:3"
