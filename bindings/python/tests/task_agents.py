"""Agents that ask for tasks and do them, for the tests."""

from __future__ import annotations

import asyncio
from typing import Any

from conftest import OPEN

from agentnet import AgentNode, Task, TaskOutcome


def agent(url: str, name: str, **options: Any) -> AgentNode:
    return AgentNode(agent_id=name, name=name, username=name, nats_url=url, **{**OPEN, **options})


def worker(url: str, name: str, handler: Any, **options: Any) -> AgentNode:
    node = agent(url, name, **options)
    node.on_task(handler)
    return node


async def ended(task: Task) -> TaskOutcome:
    return await asyncio.wait_for(task.result(), 60)


async def types(task: Task) -> list[str]:
    """What happened to a task that ends."""

    async def read() -> list[str]:
        return [event.type async for event in task.events()]

    return await asyncio.wait_for(read(), 60)
