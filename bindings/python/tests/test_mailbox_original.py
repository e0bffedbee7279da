"""Agents that do not pull their mailbox, as those of the original: the registry sends them what waits, one message after another
(PROTOCOL.md section 21.4)."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
from conftest import OPEN, REPOSITORY, eventually, fresh, gone, settled

from agentnet import AgentMessage, AgentNode, SentMessage

MAX_COPIES = 3


@asynccontextmanager
async def original(url: str, name: str, *options: str) -> AsyncIterator[list[dict[str, Any]]]:
    """An agent as those of the original are on the wire, and the events that it prints. The first one says its account."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        REPOSITORY / "spec" / "peers" / "agent.py",
        "serve",
        url,
        name,
        *options,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    output = process.stdout
    events: list[dict[str, Any]] = []
    ended = False

    async def read() -> None:
        nonlocal ended
        async for line in output:
            events.append(json.loads(line))
        ended = True

    reading = asyncio.create_task(read())
    try:
        await eventually(lambda: ended or any(event["event"] == "ready" for event in events))
        assert not ended, "the agent has ended"
        yield events
    finally:
        process.stdin.close()
        code = await asyncio.wait_for(process.wait(), 60)
        await reading
    assert code == 0


async def account_of(url: str, name: str, *options: str) -> str:
    """The account of such an agent, which is offline again."""
    async with original(url, name, *options) as events:
        account = next(str(event["account_id"]) for event in events if event["event"] == "ready")
    await gone(url, account)
    return account


def received(events: list[dict[str, Any]]) -> list[str]:
    """The ids of the messages that it got, with repetitions."""
    return [event["envelope"]["message_id"] for event in events if event["event"] == "message"]


@asynccontextmanager
async def copies_to(url: str, account: str) -> AsyncIterator[Counter[str]]:
    """How often each message is published to an inbox from now on."""
    copies: Counter[str] = Counter()

    async def count(message: Any) -> None:
        copies[json.loads(message.data)["message_id"]] += 1

    raw = await nats.connect(url)  # type: ignore[attr-defined]
    await raw.subscribe(f"account.{account}.inbox", cb=count)
    await settled(raw)
    try:
        yield copies
    finally:
        await raw.close()


async def leave(sender: AgentNode, account: str, number: int) -> list[SentMessage]:
    sent = [await sender.send(account, {"n": n}, mailbox=True) for n in range(number)]
    assert all(message.queued for message in sent)
    return sent


async def delivered(sender: AgentNode, account: str) -> list[dict[str, Any]]:
    """The messages that an account's mailbox has delivered, once nothing waits there."""

    async def nothing_waits() -> bool:
        status = await sender.get_mailbox_status(account_id=account, timeout=20)
        return int(status["queued"]) + int(status["leased"]) == 0

    await eventually(nothing_waits, seconds=180)
    page = await sender.list_mailbox(account_id=account, state="done", limit=200, timeout=20)
    return list(page["messages"])


def test_an_agent_of_the_original_gets_a_backlog_in_order(url: str) -> None:
    async def main() -> None:
        name = fresh("pia")
        account = await account_of(url, name)
        async with AgentNode(agent_id=fresh("alice"), name="A", nats_url=url, **OPEN) as alice:
            sent = await leave(alice, account, 50)
            async with copies_to(url, account) as copies:
                async with original(url, name) as events:
                    await eventually(lambda: len(set(received(events))) == 50, seconds=180)
                    done = await delivered(alice, account)
                    assert list(dict.fromkeys(received(events))) == sent
                    # It is online, and nothing waits: the next message goes to it at once.
                    last = await alice.send(account, {"n": 50}, mailbox=True)
                    assert not last.queued
                assert [item["message_id"] for item in done] == sent
                assert set(copies) == {*sent, last} and max(copies.values()) <= MAX_COPIES

    asyncio.run(main())


def test_an_agent_without_receipts_gets_at_most_three_copies(url: str) -> None:
    async def main() -> None:
        name = fresh("tess")
        account = await account_of(url, name, "--typescript")
        async with AgentNode(agent_id=fresh("alice"), name="A", nats_url=url, **OPEN) as alice:
            sent = await leave(alice, account, 2)
            async with copies_to(url, account) as copies, original(url, name, "--typescript") as events:
                done = await delivered(alice, account)
                assert [(item["message_id"], item["last_code"]) for item in done] == [(one, "unconfirmed") for one in sent]
                assert list(dict.fromkeys(received(events))) == sent
                assert max(copies.values()) <= MAX_COPIES

    asyncio.run(main())


def test_a_node_that_does_not_pull_gets_a_backlog_at_its_own_pace(url: str) -> None:
    """With the default limits, those of the original: it rejects what comes too fast, and gets it again later."""

    async def main() -> None:
        name = fresh("bob")
        got: list[AgentMessage] = []

        def bob() -> AgentNode:
            return AgentNode(
                agent_id=name, name="B", username=name, nats_url=url, max_concurrency=1, pull_mailbox=False
            )

        async with bob() as node:
            account = str(node.account_id)
        await gone(url, account)
        async with AgentNode(agent_id=fresh("alice"), name="A", nats_url=url, **OPEN) as alice:
            sent = await leave(alice, account, 25)
            node = bob()
            node.on_message(got.append)
            async with node:
                await eventually(lambda: len(got) == 25, seconds=180)
                done = await delivered(alice, account)
            # Each once, in order.
            assert [message.message_id for message in got] == sent
            assert [item["message_id"] for item in done] == sent

    asyncio.run(main())
