"""Processes that end or fork while agents run in them."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest
from conftest import HEED, program

FLOOD = """
    import asyncio, sys
    from agentnet import AgentNode

    async def main():
        options = dict(nats_url=sys.argv[1], rate_limit_per_sender_per_sec=1e9, rate_limit_burst=10**6,
                       max_pending=10**4, max_concurrency=64)
        bob = AgentNode(agent_id="flood-b", name="B", **options)
        alice = AgentNode(agent_id="flood-a", name="A", **options)

        @bob.on_message
        async def handle(message):
            await bob.reply(message, message.payload)

        await bob.start()
        await alice.start()
        async def worker():
            while True:
                await alice.request_account(bob.account_id, {"x": [1, 2, 3]})
        tasks = [asyncio.create_task(worker()) for _ in range(64)]
        await asyncio.sleep(0.3)
        how = sys.argv[2]
        print("flows", flush=True)
        if how == "exit":
            sys.exit(3)
        if how == "raise":
            raise RuntimeError("in the middle")
        if how == "cancel":
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await alice.close()
            await bob.close()
            return
        await asyncio.sleep(60)

    asyncio.run(main())
"""


@pytest.mark.own_network
@pytest.mark.parametrize(("how", "code"), [("exit", 3), ("raise", 1), ("cancel", 0), ("return", 0)])
def test_the_interpreter_ends_while_messages_flow(url: str, how: str, code: int) -> None:
    source = FLOOD.replace("await asyncio.sleep(60)", "return") if how == "return" else FLOOD
    for _ in range(3):
        ended = program(source, url, how, timeout=60)
        assert ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
        assert "flows" in ended.stdout
        assert "Fatal" not in ended.stderr and "panicked" not in ended.stderr, ended.stderr


@pytest.mark.own_network
def test_ctrl_c_ends_a_flood(url: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", "-c", HEED + textwrap.dedent(FLOOD), url, "wait"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "flows\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (1, -signal.SIGINT, 130), errors
    assert "KeyboardInterrupt" in errors and "Fatal" not in errors


def test_after_a_fork_there_is_a_clear_error(url: str) -> None:
    ended = program(
        """
        import asyncio, os, sys
        from agentnet import AgentNode

        async def main():
            async with AgentNode(agent_id="forker", name="F", nats_url=sys.argv[1]) as node:
                child = os.fork()
                if child == 0:
                    try:
                        await node.send("@x", 1)
                    except RuntimeError as error:
                        os._exit(7 if "forked" in str(error) else 8)
                    os._exit(9)
                _, status = os.waitpid(child, 0)
                print("child", os.waitstatus_to_exitcode(status))

        asyncio.run(main())
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(main())
            except RuntimeError as error:
                print("later", "use agentnet only after the fork" in str(error), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        """,
        url,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "child 7\nlater True\n"


def test_forking_before_the_first_use_is_fine(url: str) -> None:
    ended = program(
        """
        import asyncio, os, sys
        from agentnet import list_online_agents

        child = os.fork()
        asyncio.run(list_online_agents(sys.argv[1]))
        if child:
            assert os.waitpid(child, 0)[1] == 0
        """,
        url,
    )
    assert ended.returncode == 0, ended.stderr
