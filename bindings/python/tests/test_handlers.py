"""What handlers may do wrong, and what their senders hear of it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from conftest import HEED, OPEN, eventually, fresh, program

import agentnet
from agentnet import AgentMessage, AgentNode, AgentSDK, StreamError


class NoText(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def node(url: str, stem: str, **options: Any) -> AgentNode:
    name = fresh(stem)
    return AgentNode(agent_id=name, name=stem, username=name, nats_url=url, **{**OPEN, **options})


def sdk(url: str, stem: str, **options: Any) -> AgentSDK:
    name = fresh(stem)
    return AgentSDK(agent_id=name, name=stem, username=name, nats_url=url, **{**OPEN, **options})


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("cannot read " + os.fsdecode(b"report\xff.txt")), id="surrogate"),
        pytest.param(NoText(), id="no text"),
    ],
)
def test_an_error_without_a_text_is_reported_and_frees_its_place(url: str, error: Exception) -> None:
    # The record of such an error cannot be formatted either.
    quiet = logging.getLogger("quiet")
    quiet.disabled = True

    async def main() -> None:
        bob = node(url, "bob", max_concurrency=1, circuit_breaker_failures=1000, logger=quiet)

        @bob.on_message
        async def handle(message: AgentMessage) -> None:
            if message.payload == "fail":
                raise error
            await bob.reply(message, message.payload)

        async with bob, node(url, "alice") as alice:
            for _ in range(3):
                reply = await alice.request_account(str(bob.account_id), "fail", timeout=20)
                assert reply.payload["error"] == "handler_error"
            assert (await alice.request_account(str(bob.account_id), "ok", timeout=20)).payload == "ok"
            counted = bob.metrics_snapshot()
            assert (counted["error_count"], counted["timeout_count"], counted["inflight_count"]) == (3, 0, 0)

    asyncio.run(main())


def test_readers_that_stop_reading_are_no_failures_of_the_handler(url: str) -> None:
    async def main() -> None:
        bob, alice = sdk(url, "bob", circuit_breaker_failures=2), sdk(url, "alice")
        ended: list[str] = []

        @bob.receive
        async def handle(message: AgentMessage) -> None:
            if message.payload["text"] != "endless":
                await bob.reply(message, {"text": "here"})
                return
            try:
                async with bob.reply_stream(message) as stream:
                    while True:
                        await stream.delta("x")
                        await asyncio.sleep(0)
            finally:
                ended.append(message.message_id)

        async with bob, alice:
            for count in range(1, 6):
                async with alice.ask_stream(str(bob.username), "endless") as stream:
                    async for _ in stream:
                        break
                await eventually(lambda count=count: len(ended) == count)
            # The circuit breaker would refuse this one.
            assert (await alice.ask_text(str(bob.username), "still?", timeout=20)).text == "here"
            counted = bob.node.metrics_snapshot()
            assert counted["error_count"] == 0 and not counted["circuit_open"]

    asyncio.run(main())


@pytest.mark.parametrize("handler", [None, "handle", 3])
def test_what_is_no_handler_is_refused(handler: Any) -> None:
    with pytest.raises(TypeError, match="the handler must be a function of one message"):
        AgentNode("a", "A").on_message(handler)


def test_generators_are_refused_with_what_to_write_instead(url: str, caplog: pytest.LogCaptureFixture) -> None:
    bob = node(url, "bob", circuit_breaker_failures=1000)

    async def pieces(message: AgentMessage) -> AsyncIterator[str]:
        yield "piece"

    def plain(message: AgentMessage) -> Iterator[str]:
        yield "piece"

    for generator in (pieces, plain):
        with pytest.raises(TypeError, match=r"reply_stream\(message\)"):
            bob.on_message(generator)  # type: ignore[type-var]

    async def main() -> None:
        # One that gives a generator is known only when it is called.
        bob.on_message(lambda message: pieces(message))  # type: ignore[arg-type, return-value]
        async with bob, node(url, "alice") as alice:
            reply = await alice.request_account(str(bob.account_id), 1, timeout=20)
            assert reply.payload["error"] == "handler_error"

    asyncio.run(main())
    assert "reply_stream(message)" in caplog.text


def test_a_returned_value_is_warned_about_once(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        bob = node(url, "bob")

        @bob.on_message
        async def handle(message: AgentMessage) -> Any:
            await bob.reply(message, message.payload)
            return {"text": "forgotten"}

        async with bob, node(url, "alice") as alice:
            for number in range(3):
                assert (await alice.request_account(str(bob.account_id), number, timeout=20)).payload == number

    asyncio.run(main())
    warnings = [record.getMessage() for record in caplog.records if "returned dict" in record.getMessage()]
    assert len(warnings) == 1 and "await node.reply(message, payload)" in warnings[0]


def test_a_refusal_raises_in_a_stream_as_in_an_ask(url: str) -> None:
    async def main() -> None:
        bob, alice = sdk(url, "bob"), sdk(url, "alice")

        @bob.receive
        async def handle(message: AgentMessage) -> None:
            await bob.reply(message, {"error": "busy", "detail": "later"})

        async with bob, alice:
            to = str(bob.username)
            with pytest.raises(agentnet.AgentBusyError, match="busy: later"):
                await alice.ask_text(to, "x", timeout=20)
            with pytest.raises(agentnet.AgentBusyError, match="busy: later"):
                await alice.ask_stream(to, "x").text()
            with pytest.raises(agentnet.AgentBusyError, match="busy: later"):
                [piece async for piece in alice.ask_stream(to, "x")]
            # The node gives replies as they are.
            [piece] = [piece async for piece in alice.node.request_stream(f"@{to}", {"text": "x"})]
            assert piece.value == {"error": "busy", "detail": "later"}

    asyncio.run(main())


def test_a_stream_says_what_it_cannot_do(url: str) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        bob, alice = sdk(url, "bob"), sdk(url, "alice")
        bob.receive(got.append)
        async with bob, alice:
            stream = alice.node.send_stream(str(bob.username))
            with pytest.raises(agentnet.AgentNetError, match="the stream is not open"):
                await stream.delta("early")
            async with stream:
                with pytest.raises(TypeError, match="None is no piece of a stream"):
                    await stream.delta(None)
                await stream.delta("a")
                await stream.end()
                for call in (lambda: stream.delta("late"), stream.end, lambda: stream.fail("code")):
                    with pytest.raises(StreamError, match="ended"):
                        await call()
            await eventually(lambda: len(got) == 3)
            deltas = [event.delta for event in map(agentnet.parse_stream_delta, got) if event is not None]
            assert deltas == ["a"]

    asyncio.run(main())


@pytest.mark.parametrize("way", ["request", "send"])
def test_an_unknown_capability_fails_at_once(url: str, way: str) -> None:
    async def main() -> None:
        async with sdk(url, "alice", default_receipt_timeout_seconds=60.0) as alice:
            if way == "send":
                with pytest.raises(agentnet.DeliveryError, match="capability_unavailable"):
                    await asyncio.wait_for(alice.send_text("capability:nobody-has-it", "x"), 30)
            else:
                with pytest.raises(agentnet.AgentRequestError, match="capability_unavailable"):
                    await asyncio.wait_for(alice.ask_text("capability:nobody-has-it", "x", timeout=60), 30)

    asyncio.run(main())


def test_ctrl_c_ends_an_agent_without_a_traceback(url: str) -> None:
    ended = program(
        """
        import asyncio, os, signal, sys, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from agentnet import AgentNode

        async def main():
            node = AgentNode(agent_id="interrupted", name="I", nats_url=sys.argv[1])

            @node.on_message
            async def handle(message):
                # While it works, and before it answers.
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(0)
                await node.reply(message, "finished")

            other = AgentNode(agent_id="interrupter", name="J", nats_url=sys.argv[1])
            await other.start()
            async def ask():
                while node.account_id is None:
                    await asyncio.sleep(0.01)
                print((await other.request_account(node.account_id, 1, timeout=20)).payload, flush=True)
            asking = asyncio.create_task(ask())
            await node.start_forever()
            await asking
            await other.close()

        asyncio.run(main())
        """,
        url,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "finished\n", "")


def test_ctrl_c_while_it_connects_ends_without_a_traceback() -> None:
    source = HEED + """
import asyncio, sys
from agentnet import AgentNode
asyncio.run(AgentNode(agent_id="early", name="E", nats_url=sys.argv[1]).start_forever())
"""
    # It takes the connection, and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        url = "nats://t@127.0.0.1:%d" % silent.getsockname()[1]
        process = subprocess.Popen([sys.executable, "-c", source, url], stderr=subprocess.PIPE, text=True)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
