"""Does tasks, or asks for one and follows it.

    python examples/tasks.py work [NATS_URL]        counts words until Ctrl-C; start several, and stop some while they work
    python examples/tasks.py ask TEXT [NATS_URL]    asks for the words of a text; a worker may come later
    python examples/tasks.py result ID [NATS_URL]   what came of a task
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from agentnet import AgentNode, ClaimedWork, RegistryError, Task, TaskContext, TaskFailure


async def count(work: ClaimedWork, context: TaskContext) -> dict[str, int]:
    """Counts words, and goes on where an attempt that was lost has stopped."""
    words = work.text.split()
    if not words:
        raise TaskFailure.rejected("there are no words in it")
    kept: dict[str, Any] = work.checkpoint or {"done": 0, "counts": {}}
    counts: dict[str, int] = kept["counts"]
    for done in range(kept["done"], len(words)):
        if context.cancelled:
            raise TaskFailure.canceled()
        counts[words[done]] = counts.get(words[done], 0) + 1
        await context.checkpoint({"done": done + 1, "counts": counts})
        await context.progress(100 * (done + 1) // len(words), f"counted {words[done]}")
    return counts


async def do_tasks(nats_url: str | None) -> None:
    node = AgentNode(agent_id="counter", name="Counter", capabilities=["count"], nats_url=nats_url, task_concurrency=2)
    node.on_task(count)
    await node.start_forever()


async def follow(task: Task) -> None:
    async for event in task.events():
        print(event.type, event.text or "", flush=True)
    outcome = await task.result()
    print(outcome.state, outcome.result if outcome.completed else outcome.detail or outcome.code)


async def ask(text: str, nats_url: str | None) -> None:
    async with AgentNode(agent_id="reader", name="Reader", nats_url=nats_url) as node:
        task = await node.task("capability:count", text, title="count words", retries=3, heartbeat=5, deadline="1d")
        print("asked for", task.id, flush=True)
        await follow(task)


async def show(task_id: str, nats_url: str | None) -> None:
    async with AgentNode(agent_id="reader", name="Reader", nats_url=nats_url) as node:
        try:
            await follow(node.open_task(task_id))
        except RegistryError as error:
            sys.exit(f"{task_id}: {error}")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:] or ["help"]
    url = arguments[1] if len(arguments) > 1 else None
    if command == "work" and len(arguments) < 2:
        asyncio.run(do_tasks(arguments[0] if arguments else None))
    elif command == "ask" and 0 < len(arguments) < 3:
        asyncio.run(ask(arguments[0], url))
    elif command == "result" and 0 < len(arguments) < 3:
        asyncio.run(show(arguments[0], url))
    else:
        sys.exit(__doc__)
