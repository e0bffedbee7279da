"""Agents that do tasks (PROTOCOL.md section 22): those that leave, are killed, or sign; and the calls of every kind of agent."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from pathlib import Path
from typing import Any

import nats
import pytest
from conftest import Network, eventually, fresh, gone
from task_agents import agent, ended, types, worker

import agentnet
from agentnet import (
    AgentMessage,
    AgentSDK,
    AgentWrapper,
    ClaimedWork,
    RegistryError,
    TaskContext,
    TaskError,
    TaskFailure,
    TaskOutcome,
    tasks,
)


def test_a_worker_that_closes_gives_its_task_back(url: str) -> None:
    async def main() -> None:
        capability = fresh("build")
        begun = asyncio.Event()
        cancelled = asyncio.Event()

        async def hang(work: ClaimedWork, context: TaskContext) -> None:
            await context.checkpoint("half")
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async def leave(work: ClaimedWork, context: TaskContext) -> None:
            begun.set()
            await context.wait_closing()
            raise TaskFailure.released()

        async with agent(url, fresh("alice")) as alice:
            task = await alice.task(f"capability:{capability}", "x")
            for handler in (hang, leave):
                begun.clear()
                node = worker(url, fresh("w"), handler, capabilities=[capability], drain_timeout_seconds=0.1)
                async with node:
                    await asyncio.wait_for(begun.wait(), 60)
                assert (await task.status())["state"] == "submitted"
            await asyncio.wait_for(cancelled.wait(), 60)

            async def finish(work: ClaimedWork, context: TaskContext) -> Any:
                return work.checkpoint

            async with worker(url, fresh("w"), finish, capabilities=[capability]):
                outcome = await ended(task)
            assert outcome.completed and outcome.result == "half"
            happened = await types(task)
            assert happened.count("released") == 2 and happened.count("claimed") == 3

    asyncio.run(main())


def test_a_worker_whose_loop_ends_gives_its_task_back(url: str) -> None:
    capability = fresh("build")

    async def first() -> str:
        begun = asyncio.Event()

        async def hang(work: ClaimedWork, context: TaskContext) -> None:
            begun.set()
            await asyncio.Event().wait()

        node = worker(url, fresh("w"), hang, capabilities=[capability], drain_timeout_seconds=0.1)
        await node.start()
        async with agent(url, fresh("alice")) as alice:
            task = await alice.task(f"capability:{capability}", "x")
            await asyncio.wait_for(begun.wait(), 60)
        # Its loop ends without a close.
        return task.id

    async def second(task_id: str) -> None:
        async def do(work: ClaimedWork, context: TaskContext) -> str:
            return "done"

        async with worker(url, fresh("w"), do, capabilities=[capability]) as node:
            outcome = await ended(node.open_task(task_id))
            assert outcome.completed and outcome.result == "done"

    asyncio.run(second(asyncio.run(first())))


def test_a_handler_is_replaced_while_the_node_runs_and_refused_where_it_cannot_work(url: str) -> None:
    async def main() -> None:
        name = fresh("coder")
        coder = agent(url, name)
        with pytest.raises(TypeError, match="must be a function of a task and its context, not NoneType"):
            coder.on_task(None)  # type: ignore[type-var]

        async def generator(work: ClaimedWork, context: TaskContext) -> Any:
            yield 1

        with pytest.raises(TypeError, match="`yield`"):
            coder.on_task(generator)

        @coder.on_task
        async def old(work: ClaimedWork, context: TaskContext) -> str:
            # The node has its identity, also for a task that waited for it.
            return f"{coder.username} old"

        async with coder, agent(url, fresh("alice")) as alice:
            assert (await ended(await alice.task(name, "x"))).result == f"{name} old"

            @coder.on_task
            def new(work: ClaimedWork, context: TaskContext) -> str:
                return "new"

            assert (await ended(await alice.task(name, "x"))).result == "new"

    asyncio.run(main())


def test_every_kind_of_agent_has_the_calls(url: str) -> None:
    async def main() -> None:
        name = fresh("coder")
        coder = AgentWrapper(agent_id=name, name=name, username=name, nats_url=url, task_concurrency=3)

        @coder.on_task
        async def do(work: ClaimedWork, context: TaskContext) -> str:
            return work.text.upper()

        async with coder, AgentSDK(agent_id=fresh("a"), name="A", nats_url=url) as sdk:
            task = await sdk.task(f"@{name}", "x")
            assert (await ended(sdk.open_task(task))).result == "X"
            assert (await coder.task_status(task))["state"] == (await sdk.task_status(task.id))["state"] == "completed"
            page = await coder.task_events(task, after=1, limit=1)
            assert [event["type"] for event in page["events"]] == ["claimed"] and page["terminal"] and page["last"] == 3
            found = await sdk.search_tasks(assignee_account_id=coder.account_id, state="completed")
            assert [one["task_id"] for one in found["tasks"]] == [task.id]
            with pytest.raises(RegistryError, match="not_found") as unknown:
                await sdk.task_status("task_unknown")
            assert not isinstance(unknown.value, TaskError)
            with pytest.raises(RegistryError, match="not_found"):
                await sdk.open_task("task_unknown").status()
            for wrong in ("", " "):
                with pytest.raises(ValueError, match="is required"):
                    await sdk.task(wrong, "x")
                with pytest.raises(ValueError, match="is required"):
                    sdk.open_task(wrong)
            with pytest.raises(RegistryError):
                await sdk.task(f"@{fresh('nobody')}", "x")
            with pytest.raises(TypeError):
                await sdk.task(name, payload=object())

    asyncio.run(main())


def test_signed_agents_do_tasks_and_only_those_whom_it_concerns_change_them(tmp_path: Path) -> None:
    async def main(url: str) -> None:
        signed: dict[str, Any] = {"dev_auth_enabled": True, "dev_auth_key_dir": tmp_path / "keys"}
        name = fresh("coder")

        async def do(work: ClaimedWork, context: TaskContext) -> str:
            await context.progress(50, "half")
            if work.input is None:
                raise TaskFailure.input_required("more?")
            return str(work.input)

        async with worker(url, name, do, **signed), agent(url, fresh("alice"), **signed) as alice:
            task = await alice.task(name, "x")
            assert (await asyncio.wait_for(task.settled(), 60)).state == "input_required"
            async with agent(url, fresh("mallory"), **signed) as mallory:
                for call in (mallory.open_task(task).input(1), mallory.open_task(task).cancel()):
                    with pytest.raises(TaskError) as forbidden:
                        await call
                    assert forbidden.value.code == "task_forbidden"
            await task.input("yes")
            assert (await ended(task)).result == "yes"

    network = Network(tmp_path, "--dev-auth")
    try:
        asyncio.run(main(network.url))
    finally:
        network.stop()


def test_a_worker_that_is_killed_is_replaced(url: str) -> None:
    async def main() -> None:
        capability = fresh("build")
        source = """
            import asyncio, sys
            from agentnet import AgentNode

            async def main():
                node = AgentNode("w", "W", nats_url=sys.argv[1], capabilities=[sys.argv[2]])

                @node.on_task
                async def hang(work, context):
                    await context.checkpoint("half")
                    print("begun", flush=True)
                    await asyncio.Event().wait()

                await node.start_forever()

            asyncio.run(main())
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", textwrap.dedent(source), url, capability, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        async with agent(url, fresh("alice")) as alice:
            task = await alice.task(f"capability:{capability}", "x", retries=1, backoff=0.01, heartbeat="1s")
            assert await asyncio.wait_for(process.stdout.readline(), 60) == b"begun\n"
            process.kill()
            await process.wait()

            async def do(work: ClaimedWork, context: TaskContext) -> Any:
                return [work.attempt, work.checkpoint]

            async with worker(url, fresh("w"), do, capabilities=[capability]):
                assert (await ended(task)).result == [2, "half"]
            assert "lost" in await types(task)

    asyncio.run(main())


def test_an_exception_of_asyncio_inside_a_handler_is_a_failure(url: str) -> None:
    async def main() -> None:
        async def do(work: ClaimedWork, context: TaskContext) -> None:
            waited = asyncio.get_running_loop().create_future()
            waited.cancel()
            await waited

        name = fresh("coder")
        async with worker(url, name, do), agent(url, fresh("alice")) as alice:
            outcome = await ended(await alice.task(name, "x"))
            assert (outcome.state, outcome.code) == ("failed", "handler_error") and "cancelled" in str(outcome.detail)

    asyncio.run(main())


def test_delegated_tasks_are_messages_as_those_of_the_original(url: str) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        name = fresh("bob")
        bob = AgentSDK(agent_id=name, name=name, username=name, nats_url=url)
        bob.receive(got.append)
        alice = AgentSDK(agent_id=fresh("alice"), name="A", username=fresh("alice"), nats_url=url)
        reports: list[AgentMessage] = []
        alice.receive(reports.append)

        async def status(is_reached: Any) -> dict[str, Any]:
            """How the task stands, once it is there."""

            async def look() -> dict[str, Any] | None:
                try:
                    found = await alice.task_status(task_id, timeout=20)
                except RegistryError as error:
                    assert str(error) == "not_found"
                    return None
                return found if is_reached(found) else None

            found: dict[str, Any] = await eventually(look)
            return found

        async with bob, alice:
            assert (await alice.agent_status(f"@{name}"))["summary"] == f"@{name} is online and idle"
            asked = await alice.delegate_task(name, "fix it", title="fix #12", metadata={"m": 1})
            payload = asked.data
            task_id = payload["task_id"]
            assert asked.ok and asked.trace_id == task_id and asked.text == "fix it"
            assert task_id.startswith("task_") and task_id == task_id.lower()
            assert list(payload) == ["type", "task_id", "text", "created_at", "metadata", "coordinator", "title"]
            assert (payload["type"], payload["coordinator"], payload["metadata"]) == ("task.assign", alice.username, {"m": 1})
            found = await status(lambda task: True)
            assert (found["status"], found["title"], found["assigned_text"]) == ("assigned", "fix #12", "fix it")
            assert (found["assignee_account_id"], found["coordinator_account_id"]) == (bob.account_id, alice.account_id)
            await eventually(lambda: got)
            assert got[0].payload == payload and got[0].trace_id == task_id and got[0].thread_id == asked.thread_id
            to = str(alice.account_id)
            told = await bob.report_progress(
                to, task_id, "tests run", percent=140, phase="tool", thread_id=asked.thread_id, require_delivery_ack=True
            )
            assert list(told.data) == ["type", "task_id", "text", "event_at", "metadata"]
            assert told.data["metadata"] == {"percent": 100, "phase": "tool"}
            await eventually(lambda: reports)
            found = await status(lambda task: task["status"] == "working")
            assert (found["latest_progress_text"], found["percent"], found["type"]) == ("tests run", 100, "task.progress")
            busy = await alice.agent_status(f"@{name}")
            assert busy["summary"] == f"@{name} is working on fix #12: tests run"
            assert [task["task_id"] for task in busy["active_tasks"]] == [task_id] and busy["recent_tasks"] == []
            assert (busy["ok"], busy["online"], busy["session_count"]) == (True, True, 1)
            assert (busy["target"], busy["username"], busy["account_id"]) == (f"@{name}", name, bob.account_id)
            result = {"type": "task.result", "task_id": task_id, "status": "completed", "text": "done", "metadata": {}}
            await bob.send_json(to, result)
            assert (await ended(alice.open_task(task_id))) == TaskOutcome("completed", None, "done")
            idle = await alice.agent_status(str(bob.account_id))
            assert idle["active_tasks"] == [] and [task["task_id"] for task in idle["recent_tasks"]] == [task_id]
            nobody = await alice.agent_status(f"@{fresh('nobody')}")
            assert (nobody["ok"], nobody["online"], nobody["active_tasks"]) == (False, False, [])
            with pytest.raises(ValueError, match="capability"):
                await alice.agent_status("capability:build")
            with pytest.raises(ValueError, match="task_id is required"):
                await bob.report_progress(to, " ", "x")

    asyncio.run(main())


def test_a_delegated_task_is_claimed_by_a_worker_that_claims(url: str) -> None:
    async def main() -> None:
        name = fresh("coder")
        messages: list[AgentMessage] = []

        async def do(work: ClaimedWork, context: TaskContext) -> str:
            return work.text.upper()

        coder = worker(url, name, do)
        coder.on_message(messages.append)
        async with coder, AgentSDK(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            asked = await alice.delegate_task(f"@{name}", "do it", task_id=f"task_{fresh('given')}")

            async def is_done() -> bool:
                found = await alice.list_tasks(assignee_account_id=coder.account_id, status="completed", timeout=20)
                return [task["task_id"] for task in found] == [asked.trace_id]

            await eventually(is_done)
            assert (await ended(alice.open_task(str(asked.trace_id)))).text == "DO IT"
            # Its handler of messages does not get it.
            assert messages == []

    asyncio.run(main())


def test_an_agent_that_is_offline(url: str) -> None:
    async def main() -> None:
        name = fresh("bob")
        async with agent(url, name) as bob:
            account = str(bob.account_id)
        await gone(url, account)
        async with AgentSDK(agent_id=fresh("alice"), name="A", nats_url=url) as alice:
            task = await alice.task(name, "later")
            status = await alice.agent_status(name)
            assert status["summary"] == f"@{name} is offline" and status["session_count"] == 0
            assert [one["task_id"] for one in status["active_tasks"]] == [task.id]

    asyncio.run(main())


def test_tasks_are_found_over_nats_py_and_on_a_connection_of_their_own(url: str) -> None:
    async def main() -> None:
        async with agent(url, fresh("alice")) as alice:
            made = [await alice.task("capability:none", str(n)) for n in range(5)]
            account = alice.account_id
        # After it has left too.
        assert (await alice.get_task_status(made[0]))["assigned_text"] == "0"
        raw = await nats.connect(url)  # type: ignore[attr-defined]
        ids = [task.id for task in reversed(made)]
        page = await agentnet.search_tasks(url, coordinator_account_id=account, state="submitted", limit=3)
        rest = await tasks.search_tasks_with_client(
            raw, coordinator_account_id=account, status="assigned", limit=3, cursor=page["next_cursor"]
        )
        assert [task["task_id"] for task in page["tasks"] + rest["tasks"]] == ids and "next_cursor" not in rest
        for listed in (
            await agentnet.list_tasks(url, coordinator_account_id=account, limit=10_000),
            await tasks.list_tasks_with_client(raw, coordinator_account_id=account),
        ):
            assert [task["task_id"] for task in listed] == ids
        for status in (
            await agentnet.get_task_status(url, made[1].id),
            await tasks.get_task_status_with_client(raw, made[1]),
        ):
            assert (status["task_id"], status["capability"]) == (made[1].id, "none")
        for events in (
            await agentnet.get_task_events(url, made[1].id),
            await tasks.get_task_events_with_client(raw, made[1], after=0),
        ):
            assert [event["type"] for event in events["events"]] == ["created"] and not events["terminal"]
        with pytest.raises(RegistryError, match="not_found"):
            await tasks.get_task_status_with_client(raw, "task_unknown")
        with pytest.raises(ValueError, match="task_id is required"):
            await agentnet.get_task_status(url, " ")
        with pytest.raises((RegistryError, ValueError), match="status must be"):
            await agentnet.list_tasks(url, status="asleep")
        await raw.close()

    asyncio.run(main())
