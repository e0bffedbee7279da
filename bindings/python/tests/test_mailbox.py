"""Messages that wait for receivers that are offline (PROTOCOL.md section 21), on a real network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
import pytest
from conftest import OPEN, Network, eventually, fresh, gone, settled

import agentnet
from agentnet import AgentMessage, AgentNode, AgentSDK, AgentWrapper, DeliveryError, MailboxError, RegistryError, mailbox


def agent(url: str, name: str, **options: Any) -> AgentNode:
    return AgentNode(agent_id=name, name=name, username=name, nats_url=url, **options)


def collector(url: str, name: str, got: list[AgentMessage], **options: Any) -> AgentNode:
    """An agent that keeps its messages, one after another."""
    node = agent(url, name, **{"max_concurrency": 1, **options})
    node.on_message(got.append)
    return node


async def offline(url: str, name: str, **options: Any) -> str:
    """The account of a name that was online, and is no more."""
    async with agent(url, name, **options) as node:
        account = str(node.account_id)
    await gone(url, account)
    return account


def is_empty(node: AgentNode, account: str) -> Callable[[], Any]:
    """Whether nothing waits for an account."""

    async def check() -> bool:
        status = await node.get_mailbox_status(account_id=account, timeout=20)
        return int(status["queued"]) + int(status["leased"]) == 0

    return check


def numbers(messages: list[AgentMessage]) -> list[int]:
    return [message.payload["n"] for message in messages]


def test_a_message_waits_until_its_receiver_is_back(url: str) -> None:
    async def main() -> None:
        name, thread = fresh("bob"), fresh("thread")
        account = await offline(url, name)
        got: list[AgentMessage] = []
        async with agent(url, fresh("alice"), **OPEN) as alice:
            sent = await alice.send(f"@{name}", {"n": 0}, thread_id=thread, mailbox=True)
            assert sent.queued and "kept" in str(sent.detail)
            status = await alice.get_mailbox_status(account_id=account)
            assert (status["queued"], status["leased"], status["dead"]) == (1, 0, 0) and status["bytes"] > 0
            assert (await agentnet.get_mailbox_status(url))["queued"] >= 1
            [item] = (await alice.list_mailbox(username=f"@{name}", state="queued"))["messages"]
            assert (item["message_id"], item["from_account_id"], item["state"]) == (sent, alice.account_id, "queued")
            async with collector(url, name, got, **OPEN) as bob:
                await eventually(lambda: len(got) == 1)
                assert got[0].message_id == sent and got[0].ttl_ms == 7 * 24 * 3600 * 1000
                assert bob.account_id == account
                await eventually(is_empty(alice, account))
                # Nothing waits, and the receiver is online: the next one goes to its inbox.
                second = await alice.send(f"@{name}", {"n": 1}, thread_id=thread, mailbox="1h")
                assert not second.queued and second.detail is None
                await eventually(lambda: len(got) == 2)
            assert numbers(got) == [0, 1]

            async def stored() -> list[str]:
                page = await alice.get_thread_messages(thread_id=thread)
                return [message["message_id"] for message in page["messages"]]

            async def both_are_stored() -> bool:
                return len(await stored()) == 2

            await eventually(both_are_stored)
            assert sorted(await stored()) == sorted([sent, second])

    asyncio.run(main())


def test_every_send_to_an_inbox_takes_the_option(url: str) -> None:
    async def main() -> None:
        name = fresh("bob")
        account = await offline(url, name)
        got: list[AgentMessage] = []
        async with AgentSDK(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            node = alice.node
            thread = alice.thread(fresh("thread"))
            results = [
                await alice.send_text(f"@{name}", "0", mailbox=True),
                await alice.send_json(f"account:{account}", {"text": "1"}, mailbox=3600),
                await thread.send_text(name, "2", mailbox="12h"),
            ]
            for result in results:
                assert result.ok and result.data["delivery"] == "queued" and "kept" in result.data["detail"]
            assert (await node.send_to_account(account, {"text": "3"}, mailbox=True)).queued
            assert (await node.send_to_username(name, {"text": "4"}, mailbox=True)).queued
            assert (await node.send_to_username(name, {"text": "5"}, timeout=5.0, mailbox=True)).queued
            wrapper = AgentWrapper(agent_id=fresh("w"), name="W", nats_url=url)
            async with wrapper:
                assert (await wrapper.send(payload={"text": "6"}, to_username=name, mailbox={"lifetime": "1d"})).queued
                status = await wrapper.get_mailbox_status(username=name)
                assert status["queued"] == 7
            page = await alice.list_mailbox(account_id=account, limit=5)
            rest = await alice.list_mailbox(account_id=account, limit=5, cursor=page["next_cursor"])
            assert [item["preview"] for item in page["messages"] + rest["messages"]] == list("0123456")
            assert "next_cursor" not in rest
            async with collector(url, name, got):
                await eventually(lambda: len(got) == 7)
                await eventually(is_empty(node, account))
                answer = await alice.send_text(name, "7", mailbox=True)
                assert answer.data == {"delivery": "delivered"}
                await eventually(lambda: len(got) == 8)
            # The seventh is of another sender: only the messages of one sender have an order.
            texts = [message.text for message in got]
            assert [text for text in texts if text != "6"] == list("0123457") and "6" in texts
            ttls = {message.text: message.ttl_ms for message in got}
            assert [ttls["1"], ttls["2"], ttls["6"]] == [hours * 3_600_000 for hours in (1, 12, 24)]

    asyncio.run(main())


def test_a_backlog_keeps_its_order_while_more_is_sent(url: str) -> None:
    """With the default limits, by which the inbox takes five messages a second from one sender."""

    async def main() -> None:
        name = fresh("bob")
        account = await offline(url, name)
        got: list[AgentMessage] = []
        async with agent(url, fresh("alice"), **OPEN) as alice:
            for n in range(50):
                assert (await alice.send(account, {"n": n}, mailbox=True)).queued
            async with collector(url, name, got):
                for n in range(50, 60):
                    await alice.send(account, {"n": n}, mailbox=True)
                await eventually(lambda: len(got) >= 60)
                await eventually(is_empty(alice, account))
            assert numbers(got) == list(range(60))

    asyncio.run(main())


def test_a_handler_of_the_backlog_can_use_its_node(url: str) -> None:
    async def main() -> None:
        name = fresh("bob")
        account = await offline(url, name)
        seen: list[tuple[str | None, str | None]] = []
        async with agent(url, fresh("alice"), **OPEN) as alice:
            answers: list[AgentMessage] = []
            async with collector(url, fresh("answers"), answers, **OPEN) as desk:
                await alice.send(account, {"desk": desk.account_id}, mailbox=True)
                bob = agent(url, name, **OPEN)

                @bob.on_message
                async def handle(message: AgentMessage) -> None:
                    seen.append((bob.account_id, bob.username))
                    await bob.send(message.payload["desk"], {"n": 1})

                async with bob:
                    await eventually(lambda: answers)
            assert seen == [(account, name)]

    asyncio.run(main())


def test_a_message_that_is_to_be_processed_comes_again_after_a_failure(url: str) -> None:
    async def main() -> None:
        name = fresh("bob")
        account = await offline(url, name)
        got: list[AgentMessage] = []
        bob = agent(url, name, **OPEN)

        @bob.on_message
        async def handle(message: AgentMessage) -> None:
            got.append(message)
            if len(got) == 1:
                raise RuntimeError("not yet")

        async with agent(url, fresh("alice"), **OPEN) as alice:
            sent = await alice.send(account, {"n": 0}, mailbox={"ack": "processed", "timeout": 0})
            assert sent.queued
            async with bob:
                await eventually(lambda: len(got) == 2, seconds=120)
                await eventually(is_empty(alice, account))
                # The receiver is there: the send waits until it has finished.
                second = await alice.send(account, {"n": 1}, mailbox={"ack": "processed", "timeout": 60})
                assert not second.queued and len(got) == 3
            assert [message.message_id for message in got] == [sent, sent, second]
            [first, *_] = (await alice.list_mailbox(account_id=account, state="done"))["messages"]
            assert first["message_id"] == sent and first["attempts"] == 2

    asyncio.run(main())


def test_dead_messages_are_delivered_again_or_dropped(url: str) -> None:
    async def main() -> None:
        name = fresh("bob")
        account = await offline(url, name)
        got: list[AgentMessage] = []
        async with agent(url, fresh("alice"), **OPEN) as alice:
            ids = [await alice.send(account, {"n": n}, mailbox=True) for n in range(3)]

            async def dead() -> list[dict[str, Any]]:
                page = await alice.list_mailbox(account_id=account, state="dead", timeout=20)
                return list(page["messages"])

            async def all_are_dead() -> bool:
                return len(await dead()) == 3

            # It takes no messages of the schema version that others send.
            async with collector(url, name, got, supported_schema_major=2, **OPEN) as bob:
                await eventually(all_are_dead)
                assert {item["last_code"] for item in await dead()} == {"unsupported_schema_version"}
                assert await bob.drop_mailbox([ids[0]]) == 1
                assert await bob.drop_mailbox([]) == 0
                with pytest.raises(ValueError, match="message_ids or state is required"):
                    await bob.drop_mailbox()
            await gone(url, account)
            assert [item["message_id"] for item in await dead()] == ids[1:] and got == []
            async with collector(url, name, got, **OPEN) as bob:
                assert await bob.requeue_mailbox([ids[1]]) == 1
                await eventually(lambda: len(got) == 1)
                assert await bob.requeue_mailbox() == 1
                await eventually(lambda: len(got) == 2)
                assert await bob.drop_mailbox(state="dead") == 0
            assert [message.message_id for message in got] == ids[1:]

    asyncio.run(main())


def test_messages_that_cannot_be_kept(url: str) -> None:
    async def main() -> None:
        closed = fresh("closed")
        account = await offline(url, closed, metadata={"mailbox": False})
        async with AgentSDK(agent_id=fresh("alice"), name="A", nats_url=url, **OPEN) as sdk:
            alice = sdk.node
            with pytest.raises(MailboxError, match=r"\(mailbox_refused\)$") as refused:
                await alice.send(account, 1, mailbox=True)
            error = refused.value
            assert isinstance(error, DeliveryError) and isinstance(error, RuntimeError)
            assert error.code == "mailbox_refused" and error.detail and error.message_id
            # The registry may say so at once, or when it is asked to keep the message.
            with pytest.raises(DeliveryError) as unknown:
                await alice.send("acct_01nobody", 1, mailbox=True)
            assert unknown.value.code in ("account_not_found", "mailbox_unknown_account")
            with pytest.raises(MailboxError) as capability:
                await sdk.send_text("capability:paint", "x", mailbox=True)
            assert capability.value.code == "mailbox_not_storable"
            with pytest.raises(RegistryError, match="^mailbox_unknown_account: "):
                await alice.get_mailbox_status(username=fresh("nobody"))
            with pytest.raises(ValueError, match="account_id or username is required"):
                await alice.list_mailbox()
            with pytest.raises(ValueError, match="state must be queued, leased, dead or done"):
                await alice.list_mailbox(account_id=account, state="asleep")
            # A request has a sender that waits: it is never kept.
            with pytest.raises(TypeError, match="mailbox"):
                await alice.request(account, 1, mailbox=True)  # type: ignore[call-arg]
        with pytest.raises(agentnet.AgentNetError, match="not running"):
            await alice.requeue_mailbox()

    asyncio.run(main())


def test_mailbox_calls_over_nats_py_and_on_a_connection_of_their_own(url: str) -> None:
    async def main() -> None:
        name = fresh("bob")
        account = await offline(url, name)
        async with agent(url, fresh("alice")) as alice:
            sent = await alice.send(account, {"text": "x"}, mailbox=True)
        raw = await nats.connect(url)  # type: ignore[attr-defined]
        # After it has left too.
        assert (await alice.get_mailbox_status(username=name))["queued"] == 1
        for status in (
            await agentnet.get_mailbox_status(url, account_id=account),
            await mailbox.get_mailbox_status_with_client(raw, username=f"@{name}"),
        ):
            assert (status["account_id"], status["queued"]) == (account, 1)
        for page in (
            await agentnet.list_mailbox(url, username=name, limit=10_000),
            await mailbox.list_mailbox_with_client(raw, account_id=account),
        ):
            assert [item["message_id"] for item in page["messages"]] == [sent]
        await raw.close()

    asyncio.run(main())


def test_signed_agents_pull_and_change_their_own_mailbox(tmp_path: Path) -> None:
    async def main(url: str) -> None:
        signed: dict[str, Any] = {"dev_auth_enabled": True, "dev_auth_key_dir": tmp_path / "keys", **OPEN}
        name = fresh("bob")
        account = await offline(url, name, **signed)
        got: list[AgentMessage] = []
        async with agent(url, fresh("alice"), **signed) as alice:
            ids = [await alice.send(account, {"n": n}, mailbox=True) for n in range(3)]
            assert all(sent.queued for sent in ids)

            async def dead() -> int:
                return int((await alice.get_mailbox_status(account_id=account, timeout=20))["dead"])

            async def all_are_dead() -> bool:
                return await dead() == 3

            async with collector(url, name, got, supported_schema_major=2, **signed):
                await eventually(all_are_dead)
            await gone(url, account)
            raw = await nats.connect(url)  # type: ignore[attr-defined]
            action = {"account_id": account, "session_tag": "", "action": "drop", "state": "dead"}
            answer = await raw.request("registry.mailbox_action", json.dumps(action).encode(), timeout=20)
            assert str(json.loads(answer.data)["error"]).startswith("auth_required")
            await raw.close()
            assert await dead() == 3
            async with collector(url, name, got, **signed) as bob:
                assert await bob.requeue_mailbox() == 3
                await eventually(lambda: len(got) == 3)
                await eventually(is_empty(alice, account))
            assert [message.message_id for message in got] == ids
            assert all(message.auth for message in got)

    network = Network(tmp_path, "--dev-auth")
    try:
        asyncio.run(main(network.url))
    finally:
        network.stop()


def test_the_wire_of_a_send_that_asks(url: str) -> None:
    async def main() -> None:
        seen: list[dict[str, Any]] = []
        got: list[AgentMessage] = []
        raw = await nats.connect(url)  # type: ignore[attr-defined]

        async def note(message: Any) -> None:
            seen.append(json.loads(message.data))

        async with collector(url, fresh("bob"), got, **OPEN) as bob, agent(url, fresh("alice"), **OPEN) as alice:
            await raw.subscribe(f"account.{bob.account_id}.inbox", cb=note)
            await settled(raw)
            to = str(bob.account_id)
            assert not (await alice.send(to, 0, mailbox=True)).queued
            await alice.send(to, 1, mailbox={"lifetime": "2d", "ack": "processed"})
            await alice.send(to, 2, ttl_ms=5_000, mailbox=True)
            await alice.send(to, 3)
            await eventually(lambda: len(seen) == 4)
        await raw.close()
        week, day = 604_800_000, 86_400_000
        assert [(one["payload"], one["ttl_ms"], one.get("mailbox")) for one in seen] == [
            (0, week, True),
            (1, 2 * day, {"ack": "processed"}),
            (2, 5_000, True),
            (3, 30_000, None),
        ]
        assert "mailbox" not in seen[3] and got[1].to_dict()["mailbox"] == {"ack": "processed"}

    asyncio.run(main())
