"""The object that a task awaits while a message is under way, with each kind of loop and task."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from conftest import OPEN, echo, fresh

from agentnet import AgentNode
from agentnet._native import abandon

Run = Callable[[Coroutine[Any, Any, None]], None]
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who")


def with_tasks(factory: Callable[..., Any]) -> Run:
    """A loop whose tasks are made in another way."""

    def run(main: Coroutine[Any, Any, None]) -> None:
        async def within() -> None:
            asyncio.get_running_loop().set_task_factory(factory)
            await asyncio.create_task(main)

        asyncio.run(within())

    return run


WAYS: dict[str, Run] = {
    "asyncio": asyncio.run,
    "debugging": lambda main: asyncio.run(main, debug=True),
    "uvloop": uvloop.run,
    "tasks in Python": with_tasks(lambda loop, main, **more: asyncio.tasks._PyTask(main, loop=loop, **more)),
}
if hasattr(asyncio, "eager_task_factory"):  # from 3.12 on
    WAYS["eager"] = with_tasks(asyncio.eager_task_factory)


@pytest.mark.parametrize("way", WAYS)
def test_each_task_goes_on_as_itself(url: str, way: str) -> None:
    async def main() -> None:
        bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url, **OPEN)
        await echo(bob)
        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            account = str(bob.account_id)

            async def one(number: int) -> None:
                WHO.set(str(number))
                task = asyncio.current_task()
                reply = await alice.request_account(account, number, timeout=30)
                assert reply.payload == {"echo": number}
                assert (WHO.get(), asyncio.current_task()) == (str(number), task)
                assert await alice.send_to_account(account, number)
                assert (WHO.get(), asyncio.current_task()) == (str(number), task)
                async with asyncio.TaskGroup() if hasattr(asyncio, "TaskGroup") else asyncio.Lock():
                    await asyncio.wait_for(alice.send_to_account(account, number), 30)

            await asyncio.gather(*(one(number) for number in range(50)))

    WAYS[way](main())


@pytest.mark.parametrize("way", WAYS)
def test_who_is_cancelled_hears_it_and_the_next_call_works(url: str, way: str) -> None:
    async def main() -> None:
        bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url, **OPEN)
        held = asyncio.Event()

        @bob.on_message
        async def handle(message: Any) -> None:
            if message.payload == "hold":
                held.set()
                await asyncio.sleep(3600)
            await bob.reply(message, "done")

        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            account = str(bob.account_id)
            waiting = asyncio.ensure_future(alice.request_account(account, "hold", timeout=60))
            await asyncio.wait_for(held.wait(), 30)
            waiting.cancel("enough")
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(alice.request_account(account, "hold", timeout=60), 0.2)
            reply = await alice.request_account(account, "go", timeout=30)
            assert reply.payload == "done"

    WAYS[way](main())


def test_a_failed_call_is_collected(url: str) -> None:
    """Its exception, traceback and frames lead back to it."""

    class Kept:
        pass

    gone: list[weakref.ref[Kept]] = []

    async def main() -> None:
        async with AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:

            async def ask() -> None:
                kept = Kept()
                gone.append(weakref.ref(kept))
                await alice.request(f"username:{fresh('nobody')}", 1, timeout=5)

            try:
                await ask()
            except RuntimeError:
                pass
            else:
                raise AssertionError("it failed")

    asyncio.run(main())
    gc.collect()
    assert gone[0]() is None


def test_a_call_is_awaited_once(url: str) -> None:
    """The native part's own awaitable has the methods that asyncio uses, and can be awaited by one task."""

    async def main() -> None:
        bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url, **OPEN)
        await echo(bob)
        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            arguments = (None, 30.0, {})
            call = alice._native.request(1, str(bob.account_id), 7, *arguments)
            assert not isinstance(call, tuple)
            assert not call.done() and not call.cancelled() and call.get_loop() is asyncio.get_running_loop()
            with pytest.raises(asyncio.InvalidStateError):
                call.result()
            assert (await call).payload == {"echo": 7}
            assert call.done() and (await call).payload == {"echo": 7} and call.result().payload == {"echo": 7}
            assert call.cancel() is False

            call = alice._native.request(1, str(bob.account_id), 7, *arguments)
            assert call.cancel("no more") is True and call.cancelled() and call.cancel() is False
            with pytest.raises(asyncio.CancelledError):
                await call
            abandon(call)
            gone = weakref.ref(call)
            del call
            gc.collect()
            assert gone() is None

    asyncio.run(main())
