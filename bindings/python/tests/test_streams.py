"""Answers piece by piece."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import OPEN, eventually, fresh

import agentnet
from agentnet import AgentMessage, AgentSDK, StreamCancelledError


def sdk(url: str, stem: str) -> AgentSDK:
    name = fresh(stem)
    return AgentSDK(agent_id=name, name=stem, username=name, nats_url=url, **OPEN)


def poet(url: str, seen: dict[str, Any]) -> AgentSDK:
    poet = sdk(url, "poet")

    @poet.receive
    async def handle(message: AgentMessage) -> None:
        what = message.payload["text"]
        if what == "whole":
            await poet.reply(message, {"text": "all at once"})
            return
        async with poet.reply_stream(message, metadata={"model": "m"}) as stream:
            if what == "endless":
                seen["stream"] = stream
                while True:
                    await stream.delta("x")
                    await asyncio.sleep(0.001)
            for word in ("one ", "two ", "thrée"):
                await stream.delta(word)
            await stream.delta({"n": 10**30})
            if what == "fail":
                raise ValueError("no more words")
            if what == "code":
                await stream.fail("own_code", "mine")
                return
            await stream.end({"words": 3})

    return poet


def test_pieces_come_in_order_and_the_whole_at_the_end(url: str) -> None:
    async def main() -> None:
        async with poet(url, {}) as bob, sdk(url, "alice") as alice:
            pieces = []
            text = ""
            stream = alice.ask_stream(f"@{bob.username}", "poem", thread_id="poems")
            async for piece in stream:
                pieces.append(piece.value)
                text += str(piece)
            assert pieces == ["one ", "two ", "thrée", {"n": 10**30}] and text == "one two thrée"
            whole = await stream.finish()
            assert (whole.text, whole.result, whole.metadata) == (text, {"words": 3}, {"model": "m"})
            assert whole.message.thread_id == "poems"
            assert await alice.ask_stream(str(bob.username), "poem").text() == text
            [piece] = [piece async for piece in alice.ask_stream(str(bob.username), "whole")]
            assert piece.text == "all at once" and piece.seq == 0
            thread = alice.thread("poems")
            answer = thread.ask_stream(str(bob.username), "poem")
            await answer.text()
            assert thread.parent_message_id == (await answer.finish()).message.message_id
            by_node = alice.node.request_stream(str(bob.account_id), {"text": "poem"})
            assert await by_node.text() == text

    asyncio.run(main())


def test_failures_of_the_other_side_raise_after_the_pieces(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with poet(url, {}) as bob, sdk(url, "alice") as alice:
            pieces = []
            with pytest.raises(agentnet.AgentHandlerError, match="handler_error: no more words"):
                async for piece in alice.ask_stream(str(bob.username), "fail"):
                    pieces.append(piece.value)
            assert pieces[:3] == ["one ", "two ", "thrée"]
            with pytest.raises(agentnet.AgentRequestError, match="own_code: mine"):
                await alice.ask_stream(str(bob.username), "code").text()
            with pytest.raises(RuntimeError, match="No account found"):
                await alice.ask_stream("nobody-here", "x").text()

    asyncio.run(main())


def test_leaving_early_stops_the_other_side(url: str) -> None:
    async def main() -> None:
        seen: dict[str, Any] = {}
        async with poet(url, seen) as bob, sdk(url, "alice") as alice:
            count = 0
            async with alice.ask_stream(str(bob.username), "endless") as stream:
                async for _ in stream:
                    count += 1
                    if count == 3:
                        break
            await eventually(lambda: "stream" in seen and seen["stream"].cancelled)
            with pytest.raises((StreamCancelledError, RuntimeError)):
                await seen["stream"].delta("more")
            # It counts as handled: the reader cancelled. The handler saw the cancellation as an error of its own.
            await eventually(lambda: bob.node.metrics_snapshot()["inflight_count"] == 0)

    asyncio.run(main())


def test_a_stream_to_an_inbox(url: str) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        bob, alice = sdk(url, "bob"), sdk(url, "alice")
        bob.receive(got.append)
        async with bob, alice:
            async with alice.node.send_stream(str(bob.username), thread_id="s", stream_id="s-1") as stream:
                assert stream.stream_id == "s-1"
                await stream.delta("a")
            await eventually(lambda: len(got) == 3)
        events = sorted((message.payload["seq"], message.payload["type"]) for message in got)
        assert events == [(0, "stream_start"), (1, "stream_delta"), (2, "stream_end")]
        assert all(agentnet.is_stream_event(message) and message.kind == "stream" for message in got)
        delta = [event for event in map(agentnet.parse_stream_delta, got) if event is not None]
        assert [(event.delta, event.seq, event.stream_id) for event in delta] == [("a", 1, "s-1")]
        [start] = [event for event in map(agentnet.parse_stream_start, got) if event is not None]
        [end] = [event for event in map(agentnet.parse_stream_end, got) if event is not None]
        assert (start.stream_id, end.seq, start.role) == ("s-1", 2, "assistant")

    asyncio.run(main())


def test_what_cannot_be_streamed(url: str) -> None:
    async def main() -> None:
        refused: list[BaseException] = []
        bob, alice = sdk(url, "bob"), sdk(url, "alice")

        @bob.receive
        async def handle(message: AgentMessage) -> None:
            try:
                async with bob.reply_stream(message):
                    pass
            except ValueError as error:
                refused.append(error)

        async with bob, alice:
            await alice.send_text(str(bob.username), "nobody waits")
            await eventually(lambda: refused)
            assert "no reply_to subject" in str(refused[0])

    asyncio.run(main())
    error = agentnet.parse_stream_error({"type": "stream_error", "stream_id": "s", "error": "x", "seq": "3"})
    assert error is not None and (error.error, error.seq) == ("x", 3)
    assert agentnet.parse_stream_error({"type": "stream_error", "stream_id": "s"}) is None
