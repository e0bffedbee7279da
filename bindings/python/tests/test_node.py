"""The node: life, sends, requests, replies, handlers, cancellation."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import nats
import nats.errors
import pytest
from conftest import OPEN, echo, eventually, fresh, loop_runners

from agentnet import (
    AgentMessage,
    AgentNode,
    ConnectError,
    DeliveryError,
    DeliveryTimeoutError,
    NoReplySubjectError,
    RegistryError,
    RequestTimeoutError,
)


def node(url: str, stem: str, **options: Any) -> AgentNode:
    name = fresh(stem)
    return AgentNode(agent_id=name, name=stem.title(), username=name, nats_url=url, **options)


@pytest.mark.parametrize("run", loop_runners())
def test_a_message_arrives_and_a_request_is_answered(url: str, run: Any) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        loops = []
        alice, bob = node(url, "alice", metadata={"team": "ops"}), node(url, "bob", capabilities=["paint"])

        @bob.on_message
        async def handle(message: AgentMessage) -> None:
            loops.append(asyncio.get_running_loop())
            got.append(message)
            if message.reply_to:
                await bob.reply(message, {"you": message.payload["text"]})

        assert bob.account_id is None and bob.session_tag is None
        async with alice, bob:
            assert bob.account_id and bob.session_tag and bob.username
            message_id = await alice.send(f"@{bob.username}", {"text": "yo"}, thread_id="t1", parent_message_id="p0")
            await eventually(lambda: got)
            message = got[0]
            assert message.message_id == message_id
            assert (message.payload, message.kind, message.thread_id) == ({"text": "yo"}, "direct", "t1")
            assert (message.from_account_id, message.to_account_id) == (alice.account_id, bob.account_id)
            assert (message.parent_message_id, message.reply_to, message.ttl_ms) == ("p0", None, 30_000)
            reply = await alice.request(bob.username, {"text": "hm?"}, timeout=10)
            assert reply.payload == {"you": "hm?"}
            assert (reply.kind, reply.parent_message_id) == ("reply", got[1].message_id)
            assert await alice.send_to_account(bob.account_id, 1)
            assert await alice.send_to_username(bob.username, 2, timeout=1.5)
            assert await alice.send_to_capability("paint", 3)
            assert (await alice.request_account(bob.account_id, {"text": "a"})).payload == {"you": "a"}
            assert (await alice.request_username(bob.username, {"text": "u"}, lookup_timeout=5.0)).payload == {"you": "u"}
            assert (await alice.request_capability("paint", {"text": "c"})).payload == {"you": "c"}
            assert set(loops) == {asyncio.get_running_loop()}
            assert alice.info.to_dict()["metadata"] == {"team": "ops"}
            snapshot = alice.metrics_snapshot()
            assert snapshot["latency_ms"]["send_account"]["count"] == 3
            await eventually(lambda: bob.metrics_snapshot()["processed_count"] == 8)
        assert alice.session_tag is None
        with pytest.raises(RuntimeError, match="not running"):
            await alice.send("@x", 1)

    run(main())


def test_it_can_be_started_again_on_another_loop(url: str) -> None:
    bob = node(url, "bob")
    asyncio.run(echo(bob))

    async def main() -> None:
        async with bob, node(url, "alice") as alice:
            await bob.start()  # does nothing
            assert (await alice.request(str(bob.username), 1)).payload == {"echo": 1}

    for _ in range(3):
        asyncio.run(main())


def test_what_is_impossible_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="agent_id is required"):
        AgentNode(agent_id="", name="x")
    with pytest.raises(ValueError, match="scheme"):
        AgentNode(agent_id="x", name="x", nats_url="http://x")
    with pytest.raises(TypeError):
        AgentNode(agent_id="x", name="x", metadata={"x": object()})

    async def main() -> None:
        lost = AgentNode(agent_id="x", name="x", nats_url="nats://t@127.0.0.1:1")
        with pytest.raises(ConnectError, match="Cannot connect to NATS at .*:1. Is it running?"):
            await lost.start()
        assert issubclass(ConnectError, RuntimeError) and issubclass(ConnectError, OSError)
        async with node(url, "alice") as alice:
            for target in ("", "capability:x", "@", "username:"):
                with pytest.raises(ValueError, match="Use send_to_capability"):
                    await alice.send(target, 1)
                with pytest.raises(ValueError, match="Use request_capability"):
                    await alice.request(target, 1)
            with pytest.raises(ValueError, match="to_account_id is required"):
                await alice.send_to_account(" ", 1)
            with pytest.raises(RuntimeError, match="No account found for username 'nobody-here'"):
                await alice.send("@nobody-here", 1)
            with pytest.raises(ValueError, match="exceeds max_payload_bytes=256000"):
                await alice.send("acct_x", "x" * 300_000)
            deep: list[Any] = []
            for _ in range(989):
                deep = [deep]
            with pytest.raises(ValueError, match="nested too deeply: a message has room for 989 levels"):
                await alice.send("acct_x", deep)
            with pytest.raises(TypeError, match="Object of type set is not JSON serializable"):
                await alice.send("acct_x", {"x": {1}})
            with pytest.raises(RegistryError, match="not_found"):
                await alice.get_profile(username="nobody-here")
            message = AgentMessage("m", "a", "b", None, "2026-01-01T00:00:00Z")
            with pytest.raises(ValueError, match="Cannot reply: incoming message has no reply_to subject."):
                await alice.reply(message, 1)
            with pytest.raises(RuntimeError):
                await alice.reply(message, 1)
            assert issubclass(NoReplySubjectError, ValueError)

    asyncio.run(main())


def test_a_handler_that_fails_is_logged_and_reported(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        bob = node(url, "bob", work_timeout_seconds=2, circuit_breaker_failures=100)
        cancelled: list[bool] = []

        @bob.on_message
        async def handle(message: AgentMessage) -> None:
            if message.payload == "slow":
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    cancelled.append(True)
                    raise
            if message.payload == "cancel":
                raise asyncio.CancelledError
            raise KeyError("no such thing")

        async with bob, node(url, "alice") as alice:
            with caplog.at_level(logging.ERROR):
                reply = await alice.request(str(bob.username), "x")
            assert reply.kind == "error"
            assert reply.payload["error"] == "handler_error"
            [record] = [record for record in caplog.records if record.exc_info]
            assert record.name == f"agentnet.{bob.agent_id}" and record.exc_info
            assert record.exc_info[0] is KeyError and "in handle" in caplog.text
            assert (await alice.request(str(bob.username), "slow")).payload["error"] == "timeout"
            await eventually(lambda: cancelled)
            assert (await alice.request(str(bob.username), "cancel")).payload["error"] == "handler_error"
            assert bob.metrics_snapshot()["error_count"] == 2

    asyncio.run(main())


def test_a_plain_function_is_a_handler_too(url: str) -> None:
    async def main() -> None:
        got: list[Any] = []
        bob = node(url, "bob")
        bob.on_message(lambda message: got.append(message.payload))
        async with bob, node(url, "alice") as alice:
            await alice.send(str(bob.username), [1])
            await eventually(lambda: got == [[1]])

    asyncio.run(main())


def test_a_refusal_is_a_runtime_error_with_its_code(url: str) -> None:
    async def main() -> None:
        bob = node(url, "bob", rate_limit_burst=1, rate_limit_per_sender_per_sec=0.1)
        await echo(bob)
        async with bob, node(url, "alice") as alice:
            await alice.send(str(bob.username), 1)
            with pytest.raises(RuntimeError, match="delivery_rejected rate_limited: sender rate exceeded") as caught:
                await alice.send(str(bob.username), 2)
            assert isinstance(caught.value, DeliveryError) and caught.value.code == "rate_limited"
            await alice.send(str(bob.username), 3, require_delivery_ack=False)
        async with node(url, "silent") as silent, node(url, "alice") as alice:
            with pytest.raises(DeliveryTimeoutError, match="delivery_ack_timeout message_id=.* attempts=1"):
                await alice.send(str(silent.account_id), 1, retry_attempts=0, receipt_timeout=0.2)

    asyncio.run(main())


def test_a_request_times_out_and_cancelling_the_task_cancels_the_work(url: str) -> None:
    async def main() -> None:
        release = asyncio.Event()
        bob = node(url, "bob")

        @bob.on_message
        async def handle(message: AgentMessage) -> None:
            await release.wait()

        async with bob, node(url, "alice") as alice:
            to = str(bob.username)
            with pytest.raises(asyncio.TimeoutError, match="no reply to message"):
                await alice.request(to, 1, timeout=0.1)
            assert issubclass(RequestTimeoutError, asyncio.TimeoutError)
            asking = asyncio.create_task(alice.request(to, 2, timeout=60))
            await asyncio.sleep(0)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(alice.request(to, 3, timeout=60), 0.05)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            # The runtime's side is gone as well: a closing node does not wait for a handler.
            release.set()

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("run", loop_runners())
def test_a_cancelled_send_is_not_repeated(url: str, run: Any) -> None:
    async def main() -> None:
        nc = await nats.connect(url)  # type: ignore[attr-defined]
        silent = await nc.subscribe("account.acct_silent.inbox")
        # It counts as online, so that the registry does not refuse for it.
        await nc.request("registry.register", b'{"agent_id":"silent","account_id":"acct_silent"}', timeout=20)
        async with node(url, "alice") as alice:
            timing: dict[str, Any] = {"retry_attempts": 50, "receipt_timeout": 0.2}
            sending = asyncio.create_task(alice.send_to_account("acct_silent", 1, **timing))
            await silent.next_msg(timeout=10)
            await silent.next_msg(timeout=10)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            # What was sent after it comes behind everything of the cancelled one.
            await alice.send_to_account("acct_silent", "last", require_delivery_ack=False)
            while json.loads((await silent.next_msg(timeout=10)).data)["payload"] != "last":
                pass
            assert silent.pending_msgs == 0
        await nc.close()

    run(asyncio.wait_for(main(), 30))


@pytest.mark.own_network
@pytest.mark.parametrize("run", loop_runners())
def test_many_at_once(url: str, run: Any) -> None:
    async def main() -> None:
        bob = node(url, "bob", **OPEN)
        await echo(bob)
        async with bob, node(url, "alice", **OPEN) as alice:
            account = str(bob.account_id)
            replies = await asyncio.gather(*(alice.request_account(account, n, timeout=30) for n in range(2000)))
            assert [reply.payload["echo"] for reply in replies] == list(range(2000))
            await asyncio.gather(*(alice.send_to_account(account, n) for n in range(2000)))
            await eventually(lambda: bob.metrics_snapshot()["processed_count"] == 4000)

    run(main())


def test_closing_refuses_what_is_not_finished(url: str) -> None:
    async def main() -> None:
        started = asyncio.Event()
        bob = node(url, "bob", drain_timeout_seconds=0.1)

        @bob.on_message
        async def handle(message: AgentMessage) -> None:
            started.set()
            await asyncio.sleep(60)

        async with node(url, "alice") as alice:
            await bob.start()
            asking = asyncio.create_task(alice.request(str(bob.username), 1, timeout=20))
            await started.wait()
            await bob.close()
            assert (await asking).payload["error"] == "shutting_down"

    asyncio.run(main())
