"""Calls that type checkers must accept, and wrong calls that they must report. mypy and pyright check this file, and both
report an `ignore` without an error. It is never executed."""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from datetime import timedelta
from typing import Any

from agentnet import (
    AgentMessage,
    AgentNode,
    AgentSDK,
    AgentWrapper,
    AnswerStream,
    ClaimedWork,
    SDKResult,
    Task,
    TaskContext,
    TaskFailure,
    TaskOutcome,
    TaskOutput,
    ThreadSession,
    mailbox,
    registry,
    tasks,
)


async def sends(node: AgentNode, sdk: AgentSDK, thread: ThreadSession, wrapper: AgentWrapper) -> None:
    sent: str = await node.send("@b", {"text": "hi"})
    await node.send(to="@b", payload=1, kind="direct", ttl_ms=1_000, thread_id=None, idempotency_key="k")
    await node.send("@b", 1, "direct", 1_000, "trace", "thread", "parent", "key", False, 3, 0.5)
    await node.send_to_account(to_account_id="acct_1", payload=1, require_delivery_ack=False, retry_attempts=0)
    await node.send_to_username("b", 1, receipt_timeout=1.0, timeout=None)
    result: SDKResult = await sdk.send_text("b", sent, thread_id="t", parent_message_id="p", receipt_timeout=1)
    await thread.send_stream_delta("b", "s", "piece", seq=1, role="user", require_delivery_ack=True)
    await wrapper.send(payload=result, to_username="b", trace_id="t")

    await node.send("@b", 1, idempotence_key="k")  # type: ignore[call-arg]
    await node.send("@b", 1, ttl_ms="soon")  # type: ignore[arg-type]
    await node.send("@b")  # type: ignore[call-arg]
    await sdk.send_text("b", "x", ttl_ms=1)  # type: ignore[call-arg]
    await sdk.send_text("b", "x", "thread")  # type: ignore[call-arg]
    await thread.send_json("b", 1, thread_id="t")  # type: ignore[call-arg]
    await thread.send_json("b", 1, retry_attempts="3")  # type: ignore[arg-type]
    await wrapper.send(to_username="b")  # type: ignore[call-arg]


async def requests(node: AgentNode, sdk: AgentSDK, thread: ThreadSession, message: AgentMessage) -> None:
    reply: AgentMessage = await node.request("@b", 1, 2.0, "request", 1_000, trace_id="t")
    await node.request_username("b", reply.payload, timeout=None, lookup_timeout=5.0, idempotency_key="k")
    answer: SDKResult = await sdk.ask_text("b", "?", timeout=3, parent_message_id="p")
    stream: AnswerStream = thread.ask_stream("b", str(answer.text), idle_timeout=None)
    await node.reply(message, await stream.text(), "reply", 1_000, thread_id="t")
    node.reply_stream(message, metadata={"model": "m"}, ttl_ms=1_000)

    await node.request("@b", 1, require_delivery_ack=True)  # type: ignore[call-arg]
    await sdk.ask_json("b", 1, kind="direct")  # type: ignore[call-arg]
    thread.ask_stream("b", "?", timeout="3")  # type: ignore[arg-type]


async def lookups(node: AgentNode, sdk: AgentSDK) -> None:
    found: list[dict[str, object]] = await node.search_profiles(query="b", limit=5, timeout=None)
    await registry.search_messages(None, thread_id=str(found[0]["thread_id"]), limit=1)
    await sdk.list_threads(participant_username="b", soft_limit_tokens=1)

    await node.search_messages(query="b")  # type: ignore[call-arg]
    await sdk.list_threads(limit="20")  # type: ignore[arg-type]


async def mailboxes(node: AgentNode, sdk: AgentSDK, thread: ThreadSession, wrapper: AgentWrapper) -> None:
    sent: str = await node.send("@b", 1, mailbox=True)
    kept = await node.send_to_account("acct_1", 1, mailbox="7d")
    until: str | None = kept.detail if kept.queued else None
    await node.send_to_username("b", until, timeout=None, mailbox=3600.0)
    await sdk.send_text("b", sent, mailbox={"lifetime": "12h", "ack": "processed"})
    await thread.send_json("b", 1, mailbox={"ack": "accepted"})
    await wrapper.send(payload=1, to_username="b", mailbox=None)
    waiting: dict[str, object] = await mailbox.get_mailbox_status(None)
    page: dict[str, object] = await node.list_mailbox(username="b", state="dead", limit=len(waiting))
    number: int = await node.requeue_mailbox([str(page)]) + await sdk.drop_mailbox(state="dead")
    AgentNode("a", "A", pull_mailbox=number > 0)

    await node.send_to_capability("c", 1, mailbox=True)  # type: ignore[call-arg]
    await node.send("@b", 1, mailbox=[7])  # type: ignore[arg-type]
    await node.send("@b", 1, mailbox={"lifetime": "7d", "ack": "read"})  # type: ignore[arg-type]
    await node.request("@b", 1, mailbox=True)  # type: ignore[call-arg]
    await sdk.send_stream_start("b", "s", mailbox=True)  # type: ignore[call-arg]


async def asks_for_tasks(node: AgentNode, sdk: AgentSDK, wrapper: AgentWrapper) -> None:
    task: Task = await node.task("@b", "fix it", title="t", payload=[1], retries=2, deadline="1h", backoff=timedelta(seconds=1))
    part = await sdk.task("capability:build", parent=task, heartbeat=5, priority=5, key="k", metadata={"a": 1}, delay=None)
    outcome: TaskOutcome = await part.result()
    words: str | None = outcome.text if outcome.completed else outcome.code
    async for event in task.events(after=3):
        words = event.text
    status: dict[str, Any] = await wrapper.open_task(task.id).cancel(words or "", cascade=False)
    listed: list[dict[str, Any]] = await sdk.list_tasks(status="working", limit=len(status))
    page: dict[str, Any] = await tasks.search_tasks(None, capability="build", cursor=None)
    asked: SDKResult = await sdk.delegate_task("b", "x", title=str(listed), metadata=page)
    await sdk.report_progress("b", str(asked.trace_id), "half", percent=50, phase="tool")
    AgentNode("a", "A", task_concurrency=len(await sdk.agent_status("b")))

    await node.task("@b", "x", 3)  # type: ignore[call-arg]
    await node.task("@b", "x", retries="2")  # type: ignore[arg-type]
    await node.task("@b", "x", parent=7)  # type: ignore[arg-type]
    await sdk.task("@b", mailbox=True)  # type: ignore[call-arg]
    await sdk.list_tasks(capability="build")  # type: ignore[call-arg]
    await sdk.delegate_task("b", "x", ttl_ms=1)  # type: ignore[call-arg]


def does_tasks(node: AgentNode, sdk: AgentSDK) -> None:
    @node.on_task
    async def do(work: ClaimedWork, context: TaskContext) -> TaskOutput:
        await context.progress(40, work.text)
        await context.checkpoint(work.checkpoint)
        number: int = await context.until_cancelled(count(work))
        if context.cancelled:
            raise TaskFailure.canceled()
        return TaskOutput([number], "counted")

    async def count(work: ClaimedWork) -> int:
        return len(work.text)

    @sdk.on_task
    def plain(work: ClaimedWork, context: TaskContext) -> None: ...

    async def again(work: ClaimedWork, context: TaskContext) -> TaskOutput:
        # A decorated handler keeps its type.
        plain(work, context)
        return await do(work, context)

    node.on_task(again)

    async def wrong(work: ClaimedWork) -> None: ...

    node.on_task(wrong)  # type: ignore[type-var]
