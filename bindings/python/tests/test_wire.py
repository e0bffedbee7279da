"""A client of nats-py beside the package: the wire is that of PROTOCOL.md, and sessions of one account share its inbox."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import nats
import pytest
from conftest import COMMAND, OPEN, REPOSITORY, echo, eventually, fresh, settled

from agentnet import AgentMessage, AgentNode, list_online_agents

ENVELOPE = [
    "message_id",
    "from_agent",
    "to_agent",
    "payload",
    "sent_at",
    "kind",
    "schema_version",
    "from_session_tag",
    "from_account_id",
    "to_account_id",
    "ttl_ms",
    "expires_at",
    "trace_id",
    "thread_id",
    "parent_message_id",
    "idempotency_key",
]


async def connect(url: str) -> Any:
    token, address = url.removeprefix("nats://").split("@")
    return await nats.connect(f"nats://{address}", token=token)


def test_what_the_package_sends(url: str) -> None:
    async def main() -> None:
        raw = await connect(url)
        seen: list[Any] = []

        async def note(message: Any) -> None:
            seen.append(message)

        bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url)
        await echo(bob)
        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            await raw.subscribe(f"account.{bob.account_id}.inbox", cb=note)
            await raw.subscribe(f"account.{alice.account_id}.receipts", cb=note)
            await settled(raw)
            payload = {"b": 1, "a": [1.0, -0.0, 1e16, 10**25, True, None], "é😀": "\ud800\x7f"}
            message_id = await alice.send(
                str(bob.account_id), payload, parent_message_id="p", idempotency_key=" k ", thread_id="t", trace_id="tr"
            )
            await eventually(lambda: len(seen) == 3)
            inbox = next(message for message in seen if message.subject.endswith(".inbox"))
            receipts = [json.loads(message.data) for message in seen if message.subject.endswith(".receipts")]
            envelope = json.loads(inbox.data)
            assert list(envelope) == ENVELOPE
            text = json.dumps(payload, separators=(",", ":"))
            assert f'"payload":{text},'.encode() in inbox.data and inbox.data.isascii()
            assert (envelope["message_id"], envelope["to_agent"]) == (message_id, bob.account_id)
            assert (envelope["schema_version"], envelope["kind"], envelope["ttl_ms"]) == ("1.1", "direct", 30_000)
            assert (envelope["trace_id"], envelope["idempotency_key"]) == ("tr", "k")
            assert [receipt["status"] for receipt in receipts] == ["accepted", "processed"]
            for receipt in receipts:
                assert (receipt["message_id"], receipt["trace_id"], receipt["thread_id"]) == (message_id, "tr", "t")
                assert (receipt["from_account_id"], receipt["to_account_id"]) == (bob.account_id, alice.account_id)
            # A request as a plain NATS request.
            asked = {**envelope, "message_id": "raw-1", "kind": "request", "payload": {"n": 10**30}}
            del asked["idempotency_key"]
            reply = await raw.request(inbox.subject, json.dumps(asked).encode(), timeout=5)
            answer = json.loads(reply.data)
            assert answer["payload"] == {"echo": {"n": 10**30}}
            assert (answer["kind"], answer["parent_message_id"], answer["to_agent"]) == ("reply", "raw-1", alice.account_id)
            for refused, code in [
                ({**asked, "message_id": "raw-1"}, "duplicate"),
                ({**asked, "message_id": "raw-2", "schema_version": "2.0"}, "unsupported_schema_version"),
                ({**asked, "message_id": "raw-3", "expires_at": "2020-01-01T00:00:00Z"}, "expired"),
            ]:
                reply = await raw.request(inbox.subject, json.dumps(refused).encode(), timeout=5)
                assert json.loads(reply.data)["payload"]["error"] == code
        await raw.close()

    asyncio.run(main())


@pytest.mark.parametrize("typescript", [False, True], ids=["python", "typescript"])
def test_an_agent_of_the_original(url: str, typescript: bool) -> None:
    async def main() -> None:
        name = fresh("pia")
        peer = await asyncio.create_subprocess_exec(
            sys.executable,
            REPOSITORY / "spec" / "peers" / "agent.py",
            "serve",
            url,
            name,
            *(["--typescript"] if typescript else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert peer.stdin is not None and peer.stdout is not None
        assert json.loads(await peer.stdout.readline())["event"] == "ready"
        async with AgentNode(agent_id=fresh("alice"), name="A", nats_url=url, **OPEN) as alice:
            await alice.send(name, {"text": "x"}, require_delivery_ack=not typescript)
            reply = await alice.request(name, {"n": 10**30, "s": "é"}, timeout=10)
            assert reply.payload == {"echo": {"n": 10**30, "s": "é"}, "text": "hé 😀"}
        peer.stdin.close()
        assert await peer.wait() == 0

    asyncio.run(main())


def test_sessions_of_one_account_share_its_inbox(url: str, tmp_path: Path) -> None:
    """Ours in Python, ours in Rust, and one on nats-py: each message is handled by one of them."""

    async def main() -> None:
        name = fresh("shared")
        handled: Counter[str] = Counter()
        first = AgentNode(agent_id=name, name="S", username=name, nats_url=url, **OPEN)

        @first.on_message
        async def handle(message: AgentMessage) -> None:
            handled["python"] += 1
            await first.reply(message, {"by": "python"})

        peer = await asyncio.create_subprocess_exec(
            sys.executable,
            REPOSITORY / "spec" / "peers" / "agent.py",
            "serve",
            url,
            name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert peer.stdin is not None and peer.stdout is not None
        await peer.stdout.readline()
        options = ["--rate-limit", "100000", "--rate-burst", "100000"]
        rust = await asyncio.create_subprocess_exec(
            COMMAND, "echo", "--username", name, "--nats-url", url, *options, stdout=subprocess.DEVNULL
        )

        async def three_sessions() -> bool:
            return sum(agent.username == name for agent in await list_online_agents(url, timeout=20)) == 3

        async with first, AgentNode(agent_id=fresh("asker"), name="A", nats_url=url, **OPEN) as asker:
            await eventually(three_sessions)
            ids: set[str] = set()
            sessions: Counter[str | None] = Counter()
            for _ in range(10):
                replies = await asyncio.gather(*(asker.request(name, {"text": "x"}, timeout=20) for _ in range(30)))
                for reply in replies:
                    assert reply.kind == "reply", reply.payload
                    sessions[reply.from_session_tag] += 1
                    ids.add(str(reply.parent_message_id))
            assert len(ids) == 300 and sum(sessions.values()) == 300
            assert len(sessions) == 3 and min(sessions.values()) > 10, sessions
            assert sessions[first.session_tag] == handled["python"]
        peer.stdin.close()
        # It prints every message; its output is no longer read.
        await peer.communicate()
        rust.terminate()
        await rust.wait()

    asyncio.run(main())
