"""A loop that runs the network while it waits does all that a loop does; and the network runs when no loop can."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from conftest import HEED, OPEN, descriptors, echo, fresh, program

from agentnet import AgentMessage, AgentNode


def hosts(event_loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop may run the network: it has got a `select` that does."""
    return "select" in vars(event_loop._selector)  # type: ignore[attr-defined]


def test_a_hosting_loop_does_everything_else_too(url: str) -> None:
    async def main() -> None:
        event_loop = asyncio.get_running_loop()
        assert not hosts(event_loop)
        bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url, **OPEN)
        await echo(bob)
        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            assert hosts(event_loop)
            account = str(bob.account_id)
            over = asyncio.Event()

            async def talk() -> int:
                count = 0
                while not over.is_set():
                    assert (await alice.request_account(account, count)).payload == {"echo": count}
                    count += 1
                return count

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                while line := await reader.readline():
                    writer.write(line)
                writer.close()

            talking = asyncio.create_task(talk())
            # Sockets of others, ready again and again.
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                for number in range(300):
                    writer.write(b"%d\n" % number)
                    assert await reader.readline() == b"%d\n" % number
                writer.close()
                await writer.wait_closed()
            # Timers, in their order.
            heard: list[float] = []
            for delay in (0.03, 0.0, 0.01, 0.02):
                event_loop.call_later(delay, heard.append, delay)
            start = event_loop.time()
            await asyncio.sleep(0.05)
            assert event_loop.time() - start >= 0.05 and heard == sorted(heard) and len(heard) == 4
            # Calls from other threads.
            for number in range(100):
                assert await asyncio.to_thread(lambda number=number: number) == number
            # Child processes, and a thread that wakes a loop that has nothing else to do.
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(7)", stdout=subprocess.PIPE)
            assert (await child.communicate())[0] == b"7\n"
            over.set()
            assert await talking > 0
            woken = asyncio.Event()
            threading.Timer(0.05, event_loop.call_soon_threadsafe, [woken.set]).start()
            await asyncio.wait_for(woken.wait(), 20)
            # Signals.
            caught = asyncio.Event()
            event_loop.add_signal_handler(signal.SIGUSR1, caught.set)
            threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGUSR1]).start()
            await asyncio.wait_for(caught.wait(), 20)
            event_loop.remove_signal_handler(signal.SIGUSR1)

    asyncio.run(main())


@pytest.mark.parametrize("waits", ["run", "forever", "busy"])
def test_ctrl_c_ends_an_idle_loop(url: str, waits: str) -> None:
    source = """
        import asyncio, sys, time
        from agentnet import AgentNode

        async def main():
            node = AgentNode(agent_id="idle-" + sys.argv[2], name="I", nats_url=sys.argv[1])
            await node.start()
            if sys.argv[2] == "busy":
                # The network is run by its own thread when the loop comes to wait.
                time.sleep(0.1)
            if sys.argv[2] != "forever":
                print("ready", flush=True)
                await asyncio.Event().wait()

        if sys.argv[2] != "forever":
            asyncio.run(main())
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        # Not at the end of `main`: Python ignores an interrupt while it forgets the task.
        loop.call_soon(lambda: print("ready", flush=True))
        loop.run_forever()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", HEED + textwrap.dedent(source), url, waits],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    # What the node logs about its ended loop may come behind it.
    assert process.returncode != 0 and "KeyboardInterrupt" in errors.splitlines(), errors


@pytest.mark.parametrize("asks", [False, True], ids=["messages", "requests"])
def test_a_blocked_loop_does_not_hold_up_the_network(url: str, tmp_path: Path, asks: bool) -> None:
    """Its handler does not return until the sender has had the receipts of messages that came meanwhile."""
    source = """
        import asyncio, sys, time
        from pathlib import Path
        from agentnet import AgentNode

        async def main():
            bob = AgentNode(agent_id=sys.argv[2], name="B", nats_url=sys.argv[1])

            @bob.on_message
            async def handle(message):
                Path(sys.argv[3], "blocked").touch()
                while not Path(sys.argv[3], "go").exists():
                    time.sleep(0.01)
                if message.reply_to:
                    await bob.reply(message, "done")

            await bob.start()
            print(bob.account_id, flush=True)
            await asyncio.to_thread(sys.stdin.read)
            await bob.close()

        asyncio.run(main())
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(source), url, fresh("bob"), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    account = process.stdout.readline().strip()

    async def main() -> None:
        async with AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            call = alice.request_account if asks else alice.send_to_account
            first = asyncio.ensure_future(call(account, "block"))
            while not (tmp_path / "blocked").exists():
                await asyncio.sleep(0.01)
            for number in range(5):
                await alice.send_to_account(account, number, retry_attempts=1)
            (tmp_path / "go").touch()
            await first

    asyncio.run(main())
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.parametrize("own_thread", [False, True], ids=["hosting", "own thread"])
def test_handlers_have_the_variables_of_whoever_began(
    url: str, own_thread: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if own_thread:
        monkeypatch.setenv("AGENTNET_NETWORK_THREAD", "1")
    tenant = contextvars.ContextVar("tenant", default="nobody")

    async def main() -> None:
        tenant.set("blue")
        bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url, **OPEN)

        @bob.on_message
        async def handle(message: AgentMessage) -> None:
            seen = tenant.get()
            # Nobody else's.
            tenant.set("red")
            await bob.reply(message, seen)

        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            assert hosts(asyncio.get_running_loop()) != own_thread
            account = str(bob.account_id)
            for _ in range(20):
                answers = await asyncio.gather(*(alice.request_account(account, 1) for _ in range(5)))
                assert [answer.payload for answer in answers] == ["blue"] * 5

    asyncio.run(main())


def test_a_handler_whose_time_is_over_does_not_begin(url: str) -> None:
    """The loop is blocked for longer than handlers may take; what waited meanwhile was refused."""
    handled: list[object] = []

    async def main() -> None:
        bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url, work_timeout_seconds=0.2)
        bob.on_message(lambda message: handled.append(message.payload))
        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            account = str(bob.account_id)
            refused = threading.Event()

            async def watch() -> None:
                async with AgentNode(agent_id=fresh("carol"), name="C", nats_url=url) as carol:
                    for number in range(3):
                        answer = await carol.request_account(account, number)
                        assert answer.payload["error"] == "timeout"
                refused.set()

            thread = threading.Thread(target=asyncio.run, args=(watch(),))
            thread.start()
            # Not the loop's way of waiting: nothing of it goes on.
            assert refused.wait(60)
            thread.join()
            await alice.send_to_account(account, "last")
            while "last" not in handled:
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert handled == ["last"]


def test_a_closed_loop_leaves_nothing_to_the_collector(url: str) -> None:
    async def main() -> None:
        async with AgentNode(agent_id=fresh("once"), name="O", nats_url=url):
            assert hosts(asyncio.get_running_loop())

    asyncio.run(main())
    gc.collect()
    gc.disable()
    try:
        before = descriptors()
        for _ in range(5):
            asyncio.run(main())
        # Connections are closed by the network's thread, in its time.
        deadline = time.monotonic() + 20
        while descriptors() > before:
            assert time.monotonic() < deadline, (before, descriptors())
            time.sleep(0.01)
    finally:
        gc.enable()


def test_loops_come_and_go(url: str) -> None:
    """Each alone runs the network; two at a time leave it to its own thread; it works in all cases."""

    async def talk(times: int) -> None:
        bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url, **OPEN)
        await echo(bob)
        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            for number in range(times):
                assert (await alice.request_account(str(bob.account_id), number)).payload == {"echo": number}

    async def main() -> None:
        await talk(20)
        others = [threading.Thread(target=asyncio.run, args=(talk(50),)) for _ in range(2)]
        for other in others:
            other.start()
        await talk(50)
        while any(other.is_alive() for other in others):
            await asyncio.sleep(0.01)
        await talk(20)

    for _ in range(3):
        asyncio.run(main())


def test_a_forked_child_leaves_the_loop_alone(url: str) -> None:
    """What the child inherits is the parent's: when the child forgets it, the parent goes on to hear of what it watches."""
    done = program(
        """
        import asyncio, gc, os, sys
        from agentnet import AgentNode

        async def main():
            bob = AgentNode(agent_id="fork-b", name="B", nats_url=sys.argv[1])

            @bob.on_message
            async def handle(message):
                if message.reply_to:
                    await bob.reply(message, message.payload)

            async with bob, AgentNode(agent_id="fork-a", name="A", nats_url=sys.argv[1]) as alice:
                async def works():
                    assert (await alice.request_account(bob.account_id, 1)).payload == 1
                    assert await asyncio.to_thread(lambda: 2) == 2
                await works()
                selector = asyncio.get_running_loop()._selector
                child = os.fork()
                if child == 0:
                    # As if it were collected.
                    del selector.select, selector.close
                    gc.collect()
                    os._exit(3)
                while os.waitpid(child, os.WNOHANG) == (0, 0):
                    await asyncio.sleep(0.01)
                for _ in range(5):
                    await works()
            print("works")

        asyncio.run(main())
        """,
        url,
    )
    assert done.stdout.endswith("works\n"), done.stderr


def test_the_network_can_have_a_thread_of_its_own(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OWN_THREAD), url],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "AGENTNET_NETWORK_THREAD": "1"},
    )
    assert done.stdout == "1\n", done.stderr


OWN_THREAD = """
    import asyncio, sys
    from agentnet import AgentNode

    async def main():
        bob = AgentNode(agent_id="own-b", name="B", nats_url=sys.argv[1])

        @bob.on_message
        async def handle(message):
            await bob.reply(message, message.payload)

        async with bob, AgentNode(agent_id="own-a", name="A", nats_url=sys.argv[1]) as alice:
            assert "select" not in vars(asyncio.get_running_loop()._selector)
            print((await alice.request_account(bob.account_id, 1)).payload)

    asyncio.run(main())
"""
