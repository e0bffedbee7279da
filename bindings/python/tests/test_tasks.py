"""Tasks (PROTOCOL.md section 22): asking for work and what comes of it, on a real network."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import eventually, fresh, gone
from task_agents import agent, ended, types, worker

from agentnet import (
    AgentMessage,
    AgentSDK,
    ClaimedWork,
    RegistryError,
    Task,
    TaskContext,
    TaskError,
    TaskFailure,
    TaskOutcome,
    TaskOutput,
)


def test_a_task_is_done_and_its_result_is_kept(url: str) -> None:
    async def main() -> None:
        got: list[ClaimedWork] = []

        async def do(work: ClaimedWork, context: TaskContext) -> dict[str, Any]:
            got.append(work)
            assert context.id == work.id
            await context.progress(40, "tests run", phase="tool")
            return {"text": "fixed", "files": [1, 2.5, None]}

        name = fresh("coder")
        async with worker(url, name, do) as coder, agent(url, fresh("alice")) as alice:
            task = await alice.task(
                f"@{name}", "fix the test", title="fix #12", payload={"issue": 12}, metadata={"m": 1}, priority=5
            )
            assert task.created and task.id.startswith("task_") and repr(task) == f"Task({task.id!r})"
            outcome = await ended(task)
            assert outcome == TaskOutcome("completed", {"text": "fixed", "files": [1, 2.5, None]}, "fixed")
            assert outcome.completed
            status = await task.status()
            assert (status["state"], status["status"], status["terminal"]) == ("completed", "completed", True)
            assert status["latest_progress_text"] == "tests run" and status["result"] == outcome.result
            assert status["coordinator_account_id"] == alice.account_id and status["coordinator"] == alice.username
            assert task.snapshot is not None and task.snapshot["task_id"] == task.id
            [work] = got
            assert (work.id, work.title, work.text, work.payload) == (task.id, "fix #12", "fix the test", {"issue": 12})
            assert (work.attempt, work.max_attempts, work.checkpoint, work.input) == (1, 1, None, None)
            assert work.metadata == {"m": 1} and work.thread_id == status["thread_id"]
            assert work.coordinator_account_id == alice.account_id and work.task["task_id"] == task.id
            assert status["assignee_account_id"] == coder.account_id
            assert await types(task) == ["created", "claimed", "progress", "finished"]
            # Another process finds it by its id, after it has ended too.
            other = alice.open_task(task.id)
            assert not other.created and other.snapshot is None and other.id == alice.open_task(task).id
            assert await ended(other) == outcome

    asyncio.run(main())


def test_a_capability_is_served_by_several_workers_each_task_once(url: str) -> None:
    async def main() -> None:
        capability = fresh("build")
        done: list[str] = []
        running = most = 0

        async def do(work: ClaimedWork, context: TaskContext) -> str:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await context.progress(50)
            running -= 1
            done.append(work.id)
            return work.text

        nodes = [worker(url, fresh("w"), do, capabilities=[capability], task_concurrency=2) for _ in range(2)]
        async with nodes[0], nodes[1], AgentSDK(agent_id=fresh("a"), name="A", nats_url=url) as sdk:
            asked = await asyncio.gather(*(sdk.task(f"capability:{capability}", str(n)) for n in range(12)))
            outcomes = await asyncio.gather(*map(ended, asked))
            assert [outcome.result for outcome in outcomes] == [str(n) for n in range(12)]
            assert sorted(done) == sorted(task.id for task in asked) and most <= 4
            listed = await sdk.list_tasks(coordinator_account_id=sdk.account_id, status="completed", limit=100)
            assert sorted(task["task_id"] for task in listed) == sorted(done)
            assert {task["capability"] for task in listed} == {capability}

    asyncio.run(main())


def test_a_failed_attempt_is_repeated_with_what_it_has_kept(url: str) -> None:
    async def main() -> None:
        seen: list[tuple[int, Any]] = []

        async def do(work: ClaimedWork, context: TaskContext) -> TaskOutput:
            seen.append((work.attempt, work.checkpoint))
            await context.checkpoint({"step": work.attempt})
            if work.attempt == 1:
                raise RuntimeError("not yet")
            if work.attempt == 2:
                raise TaskFailure.retryable("busy", "try again")
            return TaskOutput([3], "in words")

        name = fresh("coder")
        async with worker(url, name, do), agent(url, fresh("alice")) as alice:
            task = await alice.task(name, "x", retries=2, backoff=0.01)
            assert await ended(task) == TaskOutcome("completed", [3], "in words")
            assert seen == [(1, None), (2, {"step": 1}), (3, {"step": 2})]
            assert (await task.status())["attempt"] == 3
            again = await alice.task(name, "x")
            assert (await ended(again)).detail == "RuntimeError: not yet"

    asyncio.run(main())


def test_failures_say_what_they_are(url: str) -> None:
    async def main() -> None:
        async def do(work: ClaimedWork, context: TaskContext) -> Any:
            if work.payload == "object":
                return object()
            if work.payload == "large":
                return "x" * 300_000
            if work.payload == "generator":
                return (n for n in range(3))
            if work.payload == "nothing":
                return None
            if work.payload == "rejected":
                raise TaskFailure.rejected("no such work here")
            if work.payload == "canceled":
                raise TaskFailure.canceled()
            raise TaskFailure.failed("broken", "for good")

        name = fresh("coder")
        async with worker(url, name, do), agent(url, fresh("alice")) as alice:

            async def outcome(payload: str, **options: Any) -> TaskOutcome:
                return await ended(await alice.task(name, payload=payload, **options))

            assert await outcome("nothing") == TaskOutcome("completed")
            failed = await outcome("failed", retries=3)
            assert (failed.state, failed.code, failed.detail) == ("failed", "broken", "for good")
            assert not failed.completed
            rejected = await outcome("rejected")
            assert (rejected.state, rejected.code, rejected.detail) == ("rejected", "rejected", "no such work here")
            assert (await outcome("canceled")).state == "canceled"
            invalid = await outcome("object", retries=3)
            assert (invalid.state, invalid.code) == ("failed", "result_invalid") and "object" in str(invalid.detail)
            large = await outcome("large")
            assert (large.state, large.code) == ("failed", "task_too_large")
            generator = await outcome("generator")
            assert generator.code == "handler_error" and "`yield`" in str(generator.detail)

    asyncio.run(main())


def test_a_cancelled_task_stops_its_handler(url: str) -> None:
    async def main() -> None:
        begun = asyncio.Event()
        stopped: list[str] = []

        async def forever() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                stopped.append("work")
                raise

        async def do(work: ClaimedWork, context: TaskContext) -> None:
            assert not context.cancelled and not context.lease_lost
            if work.payload == "by hand":
                begun.set()
                await context.wait_cancelled()
                assert context.cancelled
                raise RuntimeError("stopped half way")
            await context.until_cancelled(forever())

        name = fresh("coder")
        async with worker(url, name, do), agent(url, fresh("alice")) as alice:
            for payload in (None, "by hand"):
                begun.clear()
                task = await alice.task(name, payload=payload)
                await asyncio.wait_for(begun.wait(), 60)
                # It is told at once, not with its next heartbeat.
                canceled = await task.cancel("no more")
                assert canceled["state"] in ("working", "canceled")
                assert (await ended(task)).state == "canceled"
                assert "cancel_requested" in await types(task)
                with pytest.raises(TaskError) as over:
                    await task.cancel()
                assert over.value.code == "task_not_cancelable" and over.value.detail
            assert stopped == ["work"]

    asyncio.run(main())


def test_work_that_ends_before_a_cancellation_has_its_result(url: str) -> None:
    async def main() -> None:
        async def add() -> int:
            return 2

        async def fail() -> int:
            raise ValueError("wrong")

        async def do(work: ClaimedWork, context: TaskContext) -> int:
            with pytest.raises(ValueError, match="wrong"):
                await context.until_cancelled(fail())
            return 1 + await context.until_cancelled(add())

        name = fresh("coder")
        async with worker(url, name, do), agent(url, fresh("alice")) as alice:
            assert (await ended(await alice.task(name, "x"))).result == 3

    asyncio.run(main())


def test_parts_are_cancelled_with_their_task_unless_they_shall_stay(url: str) -> None:
    async def main() -> None:
        name, nobody = fresh("coder"), fresh("nobody")
        async with agent(url, nobody) as node:
            account = str(node.account_id)
        parts: list[Task] = []

        async def do(work: ClaimedWork, context: TaskContext) -> None:
            parts.append(await coder.task(account, "a part", parent=context))
            await context.wait_cancelled()
            raise TaskFailure.canceled()

        coder = worker(url, name, do)
        async with coder, agent(url, fresh("alice")) as alice:
            for cascade in (True, False):
                task = await alice.task(name, "whole")
                await eventually(lambda: parts)
                part = parts.pop()
                assert [one["task_id"] for one in await alice.list_tasks(parent_task_id=task.id)] == [part.id]
                assert (await task.status())["children"] == {"open": 1, "done": 0}
                await task.cancel(cascade=cascade)
                assert (await ended(task)).state == "canceled"
                assert (await part.status())["state"] == ("canceled" if cascade else "submitted")
                if not cascade:
                    # The coordinator of the whole may cancel a part, too.
                    assert (await alice.open_task(part).cancel())["state"] == "canceled"

    asyncio.run(main())


def test_a_worker_gets_the_answer_that_it_waits_for(url: str) -> None:
    async def main() -> None:
        async def do(work: ClaimedWork, context: TaskContext) -> Any:
            if work.input is None:
                await context.checkpoint("asked")
                raise TaskFailure.input_required("which branch?")
            if work.input == {"branch": "main"}:
                raise TaskFailure.auth_required("may I push?")
            return [work.checkpoint, work.input]

        name = fresh("coder")
        async with worker(url, name, do), agent(url, fresh("alice")) as alice:
            task = await alice.task(name, "x")
            waiting = await asyncio.wait_for(task.settled(), 60)
            assert (waiting.state, waiting.text) == ("input_required", "which branch?")
            assert (await task.status())["status"] == "blocked"
            await task.input({"branch": "main"})

            async def asks_for_permission() -> bool:
                return (await task.status())["state"] == "auth_required"

            await eventually(asks_for_permission)
            await task.input(True)
            assert await ended(task) == TaskOutcome("completed", ["asked", True])
            with pytest.raises(TaskError) as late:
                await task.input(1)
            assert late.value.code == "task_needs_no_input"

    asyncio.run(main())


def test_a_task_is_made_once_and_tried_again_when_asked(url: str) -> None:
    async def main() -> None:
        fails = True

        def do(work: ClaimedWork, context: TaskContext) -> str:
            if fails:
                raise TaskFailure.failed("broken")
            return "done"

        name, key = fresh("coder"), fresh("gh")
        async with worker(url, name, do), agent(url, fresh("alice")) as alice:
            task = await alice.task(name, "x", key=key)
            second = await alice.task(name, "x", key=key)
            assert task.created and not second.created and second.id == task.id
            with pytest.raises(TaskError, match="^task_conflict: ") as other:
                await alice.task(name, "another text", key=key)
            assert other.value.code == "task_conflict" and isinstance(other.value, RegistryError)
            named = await alice.task(name, "x", task_id=fresh("task"))
            assert not (await alice.task(name, "x", task_id=named.id)).created
            assert (await ended(task)).code == "broken"
            fails = False
            await task.retry()
            assert await ended(task) == TaskOutcome("completed", "done", "done")
            with pytest.raises(TaskError) as not_failed:
                await task.retry()
            assert not_failed.value.code == "task_not_retriable"

    asyncio.run(main())


def test_tasks_wait_for_their_worker_and_are_given_up_in_time(url: str) -> None:
    async def main() -> None:
        name = fresh("coder")
        async with agent(url, name) as coder:
            account = str(coder.account_id)
        await gone(url, account)
        async with agent(url, fresh("alice")) as alice:
            low = await alice.task(account, "low")
            high = await alice.task(account, "high", priority=10)
            late = await alice.task(account, "late", delay="1h")
            given_up = await alice.task(account, "given up", deadline=0.1)
            outcome = await ended(given_up)
            assert (outcome.state, outcome.code) == ("failed", "deadline_exceeded")
            order: list[str] = []
            async with worker(url, name, lambda work, context: order.append(work.text)):
                await asyncio.gather(ended(low), ended(high))
            assert order == ["high", "low"]
            status = await late.status()
            assert status["state"] == "submitted" and status["not_before"] > status["created_at"]

    asyncio.run(main())


def test_an_agent_without_a_handler_of_tasks_gets_a_message(url: str) -> None:
    async def main() -> None:
        got: list[AgentMessage] = []
        name = fresh("bob")
        bob = agent(url, name)
        bob.on_message(got.append)
        async with bob, agent(url, fresh("alice")) as alice:
            task = await alice.task(name, "do it", title="T", payload=[1])
            assert task.not_told is None
            await eventually(lambda: got)
            [message] = got
            assert message.message_id == f"task_assign_{task.id}" and message.kind == "direct"
            payload = message.payload
            assert (payload["type"], payload["task_id"], payload["text"]) == ("task.assign", task.id, "do it")
            assert (payload["title"], payload["payload"], payload["attempt"]) == ("T", [1], 1)
            # It answers as agents of the original do.
            result = {"type": "task.result", "task_id": task.id, "status": "completed", "text": "done", "metadata": {}}
            await bob.send(str(alice.account_id), result, require_delivery_ack=False)
            outcome = await ended(task)
            assert (outcome.state, outcome.text) == ("completed", "done")

    asyncio.run(main())


def test_events_can_be_read_from_any_number_on(url: str) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def do(work: ClaimedWork, context: TaskContext) -> None:
            await context.progress(10, "first")
            await go.wait()
            await context.progress(20, "second")

        name = fresh("coder")
        async with worker(url, name, do), agent(url, fresh("alice")) as alice:
            task = await alice.task(name, "x")
            events = task.events()
            seen = [await asyncio.wait_for(anext(events), 60) for _ in range(3)]
            assert [event.type for event in seen] == ["created", "claimed", "progress"]
            assert seen[2].text == "first" and seen[2].data["percent"] == 10 and events.last == 3
            # A wait that is cancelled loses nothing.
            waiting = asyncio.create_task(asyncio.wait_for(anext(events), 60))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            go.set()
            seen += [event async for event in events]
            assert [event.seq for event in seen] == [1, 2, 3, 4, 5]
            assert seen[3].text == "second" and seen[4].state == "completed"
            rest = [event async for event in alice.open_task(task).events(after=events.last - 1)]
            assert rest == seen[4:]

    asyncio.run(main())
