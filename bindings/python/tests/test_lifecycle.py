"""Many nodes and messages, failing handlers, collection, threads, loops: no leak, no deadlock, no crash."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from pathlib import Path
import pytest
from conftest import OPEN, descriptors, echo, eventually, fresh, program

from agentnet import AgentMessage, AgentNode, list_online_agents


def resident() -> float:
    """Memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.own_network
def test_a_hundred_thousand_messages_leak_nothing(url: str) -> None:
    async def main() -> None:
        bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url, dedupe_ttl_seconds=1, **OPEN)
        await echo(bob)
        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            account = str(bob.account_id)

            async def rounds(count: int) -> None:
                async def worker(share: int) -> None:
                    for number in range(share):
                        payload = {"number": number, "text": "x" * 200, "list": [1, 2.5, None]}
                        reply = await alice.request_account(account, payload, timeout=60)
                        assert reply.payload == {"echo": payload}

                await asyncio.gather(*(worker(count // 100) for _ in range(100)))

            async def collect() -> None:
                while True:
                    gc.collect()
                    await asyncio.sleep(0.2)

            collecting = asyncio.create_task(collect())

            await rounds(20_000)
            before = resident()
            await rounds(40_000)
            middle = resident()
            await rounds(40_000)
            after = resident()
            collecting.cancel()
            # The deduplication window of a second may be fuller than before; what leaks grows with every message.
            assert after - middle < 8, (before, middle, after)
            assert after - before < 40, (before, middle, after)

    asyncio.run(main())


@pytest.mark.own_network
def test_ten_thousand_failing_handlers(url: str, caplog: pytest.LogCaptureFixture) -> None:
    import logging

    # It formats nothing itself, but the traceback is made.
    quiet = logging.getLogger("quiet")
    quiet.propagate = False
    quiet.addHandler(logging.NullHandler())

    async def main() -> None:
        bob = AgentNode(
            agent_id=fresh("bob"),
            name="B",
            nats_url=url,
            logger=quiet,
            circuit_breaker_failures=10**6,
            dedupe_ttl_seconds=1,
            **OPEN,
        )

        @bob.on_message
        async def handle(message: AgentMessage) -> None:
            raise RuntimeError("again")

        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            account = str(bob.account_id)

            async def worker() -> None:
                for _ in range(100):
                    reply = await alice.request_account(account, None, timeout=60)
                    assert reply.payload["error"] == "handler_error"

            async def half() -> float:
                await asyncio.gather(*(worker() for _ in range(50)))
                gc.collect()
                return resident()

            first = await half()
            second = await half()
            assert second - first < 8, (first, second)
            assert bob.metrics_snapshot()["error_count"] == 10_000

    logging.getLogger("agentnet").setLevel(logging.CRITICAL)
    try:
        asyncio.run(main())
    finally:
        logging.getLogger("agentnet").setLevel(logging.NOTSET)


@pytest.mark.own_network
def test_a_thousand_nodes_in_one_process(url: str) -> None:
    async def main() -> None:
        before = descriptors()
        nodes = [AgentNode(agent_id=f"many-{n}-{os.getpid()}", name="M", nats_url=url) for n in range(1000)]
        for node in nodes:
            await echo(node)
        for start in range(0, len(nodes), 50):
            await asyncio.gather(*(node.start() for node in nodes[start : start + 50]))
        online = {agent.account_id for agent in await list_online_agents(url, timeout=20)}
        assert {node.account_id for node in nodes} <= online
        for start in range(0, len(nodes), 100):
            ring = zip(nodes[start : start + 100], (nodes[1:] + nodes[:1])[start : start + 100], strict=True)
            replies = await asyncio.gather(
                *(node.request_account(str(other.account_id), n, timeout=30) for n, (node, other) in enumerate(ring))
            )
            assert [reply.payload["echo"] for reply in replies] == list(range(100))
        for start in range(0, len(nodes), 50):
            await asyncio.gather(*(node.close() for node in nodes[start : start + 50]))
        # A closed connection's socket goes a moment later.
        await eventually(lambda: descriptors() <= before + 10)

    asyncio.run(main())


def test_loops_that_end_leave_nothing_behind(url: str) -> None:
    async def once() -> None:
        async with AgentNode(agent_id="again", name="A", nats_url=url) as node:
            assert node.session_tag

    async def forgetful() -> None:
        node = AgentNode(agent_id="forgetful", name="F", nats_url=url)
        await echo(node)
        await node.start()
        # Neither closed nor kept: it ends with its loop.

    def settle() -> None:
        gc.collect()
        asyncio.run(asyncio.sleep(0.05))
        gc.collect()

    for _ in range(3):
        asyncio.run(once())
        asyncio.run(forgetful())
    settle()
    before, memory = descriptors(), resident()
    for _ in range(30):
        asyncio.run(once())
        asyncio.run(forgetful())
    # A closed connection's socket goes a moment later. Three descriptors are those of the loop that looks.
    asyncio.run(eventually(lambda: gc.collect() >= 0 and descriptors() <= before + 6 + 3))
    assert resident() - memory < 20


@pytest.mark.own_network
def test_several_loops_in_threads_use_one_node(url: str) -> None:
    failures: list[BaseException] = []

    async def main() -> None:
        bob = AgentNode(agent_id=fresh("bob"), name="B", nats_url=url, **OPEN)
        home = threading.get_ident()
        handled_in: set[int] = set()

        @bob.on_message
        async def handle(message: AgentMessage) -> None:
            handled_in.add(threading.get_ident())
            await bob.reply(message, message.payload)

        async with bob, AgentNode(agent_id=fresh("alice"), name="A", nats_url=url, **OPEN) as alice:
            account = str(bob.account_id)

            async def ask(thread: int) -> None:
                payloads = [f"{thread}:{n}" for n in range(200)]
                replies = await asyncio.gather(*(alice.request_account(account, p, timeout=30) for p in payloads))
                assert [reply.payload for reply in replies] == payloads

            def in_thread(thread: int) -> None:
                try:
                    asyncio.run(ask(thread))
                except BaseException as error:
                    failures.append(error)

            threads = [threading.Thread(target=in_thread, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            await ask(99)
            await asyncio.to_thread(lambda: [thread.join() for thread in threads])
            assert handled_in == {home}

    asyncio.run(main())
    assert not failures, failures


@pytest.mark.own_network
def test_a_node_in_each_thread_and_loop(url: str) -> None:
    failures: list[BaseException] = []

    async def live(number: int) -> None:
        home, seen = threading.get_ident(), set[int]()
        async with AgentNode(agent_id=fresh("own"), name="O", nats_url=url, **OPEN) as other:
            node = AgentNode(agent_id=fresh("own"), name="O", nats_url=url, **OPEN)

            @node.on_message
            async def handle(message: AgentMessage) -> None:
                seen.add(threading.get_ident())
                await node.reply(message, message.payload)

            async with node:
                asked = (other.request_account(str(node.account_id), [number, n], timeout=30) for n in range(100))
                replies = await asyncio.gather(*asked)
        assert [reply.payload for reply in replies] == [[number, n] for n in range(100)]
        assert seen == {home}

    def in_thread(number: int) -> None:
        import uvloop

        try:
            (uvloop.run if number % 2 else asyncio.run)(live(number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=in_thread, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def test_nodes_are_collected(url: str) -> None:
    import weakref

    async def main() -> None:
        node = AgentNode(agent_id=fresh("gone"), name="G", nats_url=url)
        await echo(node)
        async with node:
            pass
        seen = weakref.ref(node)
        del node
        await eventually(lambda: gc.collect() is not None and seen() is None)

        def messages() -> int:
            gc.collect()
            return sum(isinstance(found, AgentMessage) for found in gc.get_objects())

        before = messages()
        message = AgentMessage("m", "a", "b", {"x": 1}, "2026-01-01T00:00:00Z")
        message.payload["self"] = message
        assert messages() == before + 1
        del message
        assert messages() == before

    asyncio.run(main())


def test_a_message_writes_no_line_of_the_log(url: str) -> None:
    ended = program(
        r"""
        import asyncio, json, logging, sys
        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        logging.getLogger("agentnet").setLevel(logging.DEBUG)
        import nats
        from agentnet import AgentNode

        class Refused(logging.Handler):
            def emit(self, record):
                if record.getMessage().startswith("message refused"):
                    loop.call_soon_threadsafe(refused.set)

        async def main():
            global loop, refused
            loop, refused = asyncio.get_running_loop(), asyncio.Event()
            logging.getLogger("agentnet").addHandler(Refused())
            node = AgentNode(agent_id="logger", name="L", nats_url=sys.argv[1])

            @node.on_message
            async def handle(message):
                pass

            async with node:
                raw = await nats.connect(sys.argv[1])
                message = {"message_id": "m1\nERROR all is lost\x1b[2J\u202e", "from_agent": "x" * 100_000, "schema_version": "9.9"}
                await raw.publish(f"account.{node.account_id}.inbox", json.dumps(message).encode())
                await asyncio.wait_for(refused.wait(), 30)
                await raw.close()

        asyncio.run(main())
        """,
        url,
    )
    assert ended.returncode == 0, ended.stderr
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith("message refused"))
    assert r"message_id=m1\nERROR all is lost\u{1b}[2J\u{202e} " in line, line
    assert not any(line.startswith("ERROR") or len(line) > 10_000 for line in ended.stdout.splitlines()), ended.stdout


def test_reports_of_the_native_part_reach_logging(url: str) -> None:
    ended = program(
        """
        import asyncio, logging, sys
        logging.basicConfig(format="%(name)s %(levelname)s %(message)s", stream=sys.stdout)
        from agentnet import AgentNode

        async def main():
            async with AgentNode(agent_id="advertiser", name="A", capabilities=["x"], nats_url=sys.argv[1]):
                pass

        asyncio.run(main())
        """,
        url,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("agentnet.node WARNING capabilities are advertised"), ended.stdout
