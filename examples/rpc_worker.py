"""A worker that is called by its capability, as a function would be: `{"op": "sum", "values": [...]}`.

    python examples/rpc_worker.py [NATS_URL]     several of them share the work
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from agentnet import AgentMessage, AgentNode

OPERATIONS: dict[str, Callable[[list[int]], int]] = {"sum": sum, "max": max, "min": min}


async def main(nats_url: str | None) -> None:
    worker = AgentNode(agent_id="calculator", name="Calculator", capabilities=["calculate"], nats_url=nats_url)

    @worker.on_message
    async def handle(message: AgentMessage) -> None:
        if message.kind != "request":
            return
        call: dict[str, Any] = message.payload
        operation = OPERATIONS.get(call["op"])
        if operation is None:
            # A refusal in words; the client raises it as an AgentRequestError.
            await worker.reply(message, {"error": "unknown_operation", "detail": f"one of {sorted(OPERATIONS)}"})
            return
        await worker.reply(message, {"result": operation(call["values"])})

    await worker.start_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
